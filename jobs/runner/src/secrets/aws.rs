//! AWS Secrets Manager: a secret's newest value, with the credentials of AWS' default chain.
//!
//! Credentials that are refused are taken anew once. What else may pass, the caller tries again.

use super::http::{Answer, client, send};
use aqueduct_core::{Error, Hurdle, Result, with_causes};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use std::time::SystemTime;

const WHO: &str = "AWS Secrets Manager";
const KIND: &str = "application/x-amz-json-1.1";
const TARGET: &str = "secretsmanager.GetSecretValue";

/// The value of a secret, by its name or ARN.
pub(super) async fn get(id: &str) -> Result<String> {
    let mut answer = ask(id).await?;
    if answer.status == 403 || complaint(&answer).0.contains("ExpiredToken") {
        answer = ask(id).await?;
    }
    if answer.status != 200 {
        return Err(refused(id, &answer));
    }
    let said = answer.json();
    if let Some(text) = said["SecretString"].as_str() {
        return Ok(text.to_owned());
    }
    let bytes = said["SecretBinary"].as_str().and_then(|data| base64::prelude::BASE64_STANDARD.decode(data).ok());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Error::config(format!("the value of '{id}' is no text: store it as UTF-8")))
}

async fn ask(id: &str) -> Result<Answer> {
    let mut loader = aws_config::from_env();
    // An ARN names its region: arn:aws:secretsmanager:REGION:...
    if let Some(region) = id.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2)) {
        loader = loader.region(aws_types::region::Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    let region = config.region().map(ToString::to_string).ok_or_else(|| {
        Error::config("no AWS region is known: set AWS_REGION, or name the secret by its ARN").at(Hurdle::Authenticate)
    })?;
    let provider = config.credentials_provider().ok_or_else(|| no_credentials("there is no provider of them"))?;
    let credentials = provider.provide_credentials().await.map_err(|error| no_credentials(&with_causes(&error)))?;
    let address = endpoint(&region);
    let body = serde_json::json!({ "SecretId": id }).to_string();
    let signed = signed_headers(&address, &region, credentials, &body)?;
    let mut request = client()?.post(&address).header("content-type", KIND).header("x-amz-target", TARGET);
    for (name, value) in signed {
        request = request.header(name, value);
    }
    send(request.body(body), WHO, &address).await
}

/// As the AWS SDKs: the variables name a stand-in or private endpoint.
fn endpoint(region: &str) -> String {
    let given = ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"].iter().find_map(|name| {
        let text = std::env::var(name).ok()?;
        (!text.is_empty()).then_some(text)
    });
    let address = given.unwrap_or_else(|| format!("https://secretsmanager.{region}.amazonaws.com"));
    format!("{}/", address.trim_end_matches('/'))
}

fn signed_headers(address: &str, region: &str, credentials: Credentials, body: &str) -> Result<Vec<(String, String)>> {
    let failed = |why: String| Error::bug(format!("a request to {WHO} cannot be signed: {why}"));
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("secretsmanager")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let headers = [("content-type", KIND), ("x-amz-target", TARGET)].into_iter();
    let request = SignableRequest::new("POST", address, headers, SignableBody::Bytes(body.as_bytes()));
    let request = request.map_err(|error| failed(error.to_string()))?;
    let output = sign(request, &parameters.into()).map_err(|error| failed(error.to_string()))?;
    let (instructions, _) = output.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn no_credentials(why: &str) -> Error {
    Error::config(format!(
        "no AWS credentials: {why}; set the AWS_* variables, run where the machine has a role, or see 'Identities' in README"
    ))
    .at(Hurdle::Authenticate)
}

/// The kind and the words of a refusal.
fn complaint(answer: &Answer) -> (String, String) {
    let said = answer.json();
    let kind = said["__type"].as_str().unwrap_or_default();
    let words = said["message"].as_str().or(said["Message"].as_str()).unwrap_or("no reason given");
    (kind.rsplit('#').next().unwrap_or_default().to_owned(), words.to_owned())
}

fn refused(id: &str, answer: &Answer) -> Error {
    let (kind, words) = complaint(answer);
    let said = format!("{kind}: {words}");
    let says = |text: &str| said.contains(text);
    if says("Signature expired") || says("Signature not yet current") || says("RequestTimeTooSkewed") {
        return Error::config(format!("{WHO} refuses the signature's time ({said}): set this machine's clock (NTP)"))
            .at(Hurdle::Authenticate);
    }
    match kind.as_str() {
        "AccessDeniedException" => Error::config(format!(
            "permission denied ({said}): allow secretsmanager:GetSecretValue on '{id}' to the job's role (and kms:Decrypt on its key)"
        ))
        .at(Hurdle::Permit),
        "ResourceNotFoundException" => {
            Error::config(format!("'{id}' does not exist ({said}): check its name and the region")).at(Hurdle::Permit)
        }
        _ if says("ExpiredToken") || says("UnrecognizedClient") || says("InvalidSignature") || says("InvalidClientToken") => {
            Error::config(format!("{WHO} refuses the credentials, also new ones ({said}): check the AWS credentials"))
                .at(Hurdle::Authenticate)
        }
        _ if answer.status >= 500 || says("Throttling") || says("TooManyRequests") => {
            Error::retry(format!("{WHO} fails ({said}): try again later")).at(Hurdle::Reach)
        }
        _ => Error::config(format!("{WHO} refuses ({}, {said})", answer.status)).at(Hurdle::Permit),
    }
}
