//! Stand-ins of the clouds' small services on one loopback port: Google's metadata server and Secret Manager, AWS' Secrets Manager
//! and token service (STS). They check who asks, and refuse on demand.
//!
//! They know of requests what a test looks at, and no more: signatures are not recomputed (Kafka's IAM broker does that), tokens
//! are texts.

use super::daemon::free_port;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use chrono::{TimeDelta, Utc};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong, until it is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Secret Manager: 403.
    SecretForbidden,
    /// Secret Manager: 401, whatever the token.
    TokenRefused,
    /// Secret Manager: 401 to tokens that were given out before this was set.
    OldTokens,
    /// Both secret managers: 503.
    Down,
    /// AWS Secrets Manager: `AccessDeniedException`.
    AwsForbidden,
    /// AWS Secrets Manager: the signature's time is too far from the server's.
    AwsSkewed,
    /// STS: `AccessDenied`.
    RoleForbidden,
    /// STS: `ExpiredTokenException`.
    IdentityExpired,
    /// STS: `InvalidIdentityToken`: the token's time lies ahead of the server's.
    IdentityFromTheFuture,
    /// The metadata server: 404, as where no service account is attached.
    NoIdentity,
}

#[derive(Debug)]
struct Book {
    secrets: BTreeMap<String, String>,
    refusals: Vec<Refusal>,
    /// Counts tokens, so that each is another one.
    tokens: u32,
    /// Tokens up to this one are old.
    old: u32,
    /// How long identities last, in seconds.
    life: i64,
    /// `METHOD path` of every request.
    seen: Vec<String>,
}

/// The running stand-ins; they end when dropped.
#[derive(Debug)]
pub struct Clouds {
    port: u16,
    book: Arc<Mutex<Book>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What STS gives out: the pair that the tests' IAM broker knows.
pub const ACCESS_KEY: &str = "AKIDTESTS";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "test-secret";
/// The role that may be assumed.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/aqueduct";

impl Clouds {
    /// On a free port.
    pub fn start() -> Clouds {
        let port = free_port();
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|e| panic!("port {port}: {e}"));
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let (secrets, refusals, seen) = (BTreeMap::new(), Vec::new(), Vec::new());
        let book = Arc::new(Mutex::new(Book { secrets, refusals, tokens: 0, old: 0, life: 3600, seen }));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let state = Arc::clone(&book);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is fit");
                let app = Router::new().fallback(handle).with_state(state);
                tokio::select! {
                    ended = axum::serve(listener, app) => ended.expect("the server runs until it is stopped"),
                    _ = stopped => {}
                }
            });
        });
        Clouds { port, book, stop: Some(stop), thread: Some(thread) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The environment that sends a process here for all of them, with AWS keys of its own.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = self.env_without_keys();
        env.extend([("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)].map(owned));
        env
    }

    /// The same for a process that has no AWS keys.
    pub fn env_without_keys(&self) -> Vec<(String, String)> {
        let (host, url) = (format!("127.0.0.1:{}", self.port), format!("http://127.0.0.1:{}", self.port));
        [
            ("GCE_METADATA_HOST", host.as_str()),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", &url),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &url),
            ("AWS_ENDPOINT_URL_STS", &url),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            // Nothing of the developer's may be found.
            ("HOME", "/nonexistent"),
        ]
        .map(owned)
        .into()
    }

    /// Stores a secret: `projects/P/secrets/S` or an AWS name.
    pub fn put(&self, name: &str, value: &str) {
        self.book().secrets.insert(name.to_owned(), value.to_owned());
    }

    /// From now on this goes wrong.
    pub fn refuse(&self, refusal: Refusal) {
        let mut book = self.book();
        book.old = book.tokens;
        book.refusals.push(refusal);
    }

    /// How long the identities live that the metadata server gives out from now on.
    pub fn identities_live(&self, seconds: i64) {
        self.book().life = seconds;
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.book().refusals.clear();
    }

    /// How many requests there were whose `METHOD path` holds the text.
    pub fn asked(&self, text: &str) -> usize {
        self.book().seen.iter().filter(|request| request.contains(text)).count()
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Drop for Clouds {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

async fn handle(State(book): State<Arc<Mutex<Book>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 1 << 20).await else { return StatusCode::BAD_REQUEST.into_response() };
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    book.seen.push(format!("{} {path} {target}", parts.method));
    if path.starts_with("/computeMetadata/") {
        return metadata(&mut book, &path, &query, &parts.headers);
    }
    if let Some(version) = path.strip_prefix("/v1/").and_then(|rest| rest.strip_suffix(":access")) {
        return secret_manager(&book, version, &parts.headers);
    }
    if target == "secretsmanager.GetSecretValue" {
        return secrets_manager(&book, &body, &parts.headers);
    }
    let form = if query.is_empty() { String::from_utf8_lossy(&body).into_owned() } else { query };
    if form.contains("Action=AssumeRoleWithWebIdentity") {
        return token_service(&book, &form);
    }
    (StatusCode::NOT_FOUND, "the stand-ins do not know this request").into_response()
}

fn metadata(book: &mut Book, path: &str, query: &str, headers: &HeaderMap) -> Response {
    let flavor = [("Metadata-Flavor", "Google")];
    if headers.get("metadata-flavor").is_none_or(|value| value != "Google") {
        return (StatusCode::FORBIDDEN, flavor, "Missing Metadata-Flavor:Google header.").into_response();
    }
    if book.refusals.contains(&Refusal::NoIdentity) {
        return (StatusCode::NOT_FOUND, flavor, "no service account").into_response();
    }
    if path.ends_with("/identity") {
        book.tokens += 1;
        let audience = query.split('&').find_map(|pair| pair.strip_prefix("audience=")).unwrap_or_default();
        let audience = percent_encoding::percent_decode_str(audience).decode_utf8_lossy().into_owned();
        return (flavor, identity(&audience, book.life, book.tokens)).into_response();
    }
    if path.ends_with("/token") {
        book.tokens += 1;
        let token =
            json!({"access_token": format!("google-{}", book.tokens), "expires_in": 3600, "token_type": "Bearer"});
        return (flavor, [("content-type", "application/json")], token.to_string()).into_response();
    }
    (flavor, "").into_response()
}

/// A token as Google's: its signature is no signature.
fn identity(audience: &str, life: i64, number: u32) -> String {
    let encode = |value: serde_json::Value| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let now = Utc::now().timestamp();
    let claims = json!({
        "iss": "https://accounts.google.com", "aud": audience, "sub": "1234567890", "azp": "1234567890",
        "email": "job@my-project.iam.gserviceaccount.com", "iat": now, "exp": now + life, "jti": number,
    });
    format!("{}.{}.c2lnbmF0dXJl", encode(json!({"alg": "RS256", "typ": "JWT", "kid": "k"})), encode(claims))
}

fn secret_manager(book: &Book, version: &str, headers: &HeaderMap) -> Response {
    let refuse = |status: u16, kind: &str, message: &str| {
        let body = json!({"error": {"code": status, "message": message, "status": kind}}).to_string();
        (StatusCode::from_u16(status).expect("a status"), [("content-type", "application/json")], body).into_response()
    };
    if book.refusals.contains(&Refusal::Down) {
        return refuse(503, "UNAVAILABLE", "The service is currently unavailable.");
    }
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let number = bearer.strip_prefix("Bearer google-").and_then(|number| number.parse::<u32>().ok());
    let expired = book.refusals.contains(&Refusal::OldTokens) && number.is_some_and(|number| number <= book.old + 1);
    if number.is_none() || expired || book.refusals.contains(&Refusal::TokenRefused) {
        return refuse(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.");
    }
    if book.refusals.contains(&Refusal::SecretForbidden) {
        return refuse(403, "PERMISSION_DENIED", "Permission 'secretmanager.versions.access' denied for resource.");
    }
    let name = version.split("/versions/").next().unwrap_or_default();
    match book.secrets.get(name) {
        None => refuse(404, "NOT_FOUND", "Secret not found or has no versions."),
        Some(value) => {
            let data = base64::prelude::BASE64_STANDARD.encode(value);
            json!({"name": version, "payload": {"data": data}}).to_string().into_response()
        }
    }
}

fn secrets_manager(book: &Book, body: &Bytes, headers: &HeaderMap) -> Response {
    let refuse = |status: StatusCode, kind: &str, message: &str| {
        (status, json!({"__type": kind, "Message": message}).to_string()).into_response()
    };
    if book.refusals.contains(&Refusal::Down) {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "InternalServiceError",
            "An error occurred on the server side.",
        );
    }
    let signed = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signed.contains(&format!("Credential={ACCESS_KEY}/"))
        || !signed.contains("/eu-west-1/secretsmanager/aws4_request")
    {
        return refuse(StatusCode::BAD_REQUEST, "UnrecognizedClientException", "The security token is invalid.");
    }
    if book.refusals.contains(&Refusal::AwsSkewed) {
        let message =
            "Signature expired: 20261121T100000Z is now earlier than 20261121T100100Z (20261121T100600Z - 5 min.)";
        return refuse(StatusCode::BAD_REQUEST, "InvalidSignatureException", message);
    }
    if book.refusals.contains(&Refusal::AwsForbidden) {
        let message = "User is not authorized to perform: secretsmanager:GetSecretValue";
        return refuse(StatusCode::BAD_REQUEST, "AccessDeniedException", message);
    }
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match book.secrets.get(asked["SecretId"].as_str().unwrap_or_default()) {
        None => refuse(
            StatusCode::BAD_REQUEST,
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret.",
        ),
        Some(value) => json!({"SecretString": value}).to_string().into_response(),
    }
}

fn token_service(book: &Book, form: &str) -> Response {
    let refuse = |status: u16, code: &str, message: &str| {
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        );
        (StatusCode::from_u16(status).expect("a status"), [("content-type", "text/xml")], body).into_response()
    };
    let value = |name: &str| {
        let found = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        percent_encoding::percent_decode_str(found.unwrap_or_default()).decode_utf8_lossy().into_owned()
    };
    let claims = value("WebIdentityToken")
        .split('.')
        .nth(1)
        .and_then(|part| base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    let claims: serde_json::Value = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    if book.refusals.contains(&Refusal::RoleForbidden) || value("RoleArn") != ROLE {
        return refuse(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    }
    if claims["aud"] != "aqueduct-tests" || book.refusals.contains(&Refusal::IdentityFromTheFuture) {
        return refuse(400, "InvalidIdentityToken", "Token issued in the future, or incorrect token audience");
    }
    let expired = claims["exp"].as_i64().unwrap_or(0) <= Utc::now().timestamp();
    if expired || book.refusals.contains(&Refusal::IdentityExpired) {
        return refuse(400, "ExpiredTokenException", "Token expired");
    }
    let until = (Utc::now() + TimeDelta::hours(1)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
         <AssumedRoleUser><Arn>{ROLE}/s</Arn><AssumedRoleId>R:s</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>\
         <SessionToken>session-of-the-role</SessionToken><Expiration>{until}</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    ([("content-type", "text/xml")], body).into_response()
}
