//! The HTTP face of the stand-in: what the XML interface says on the wire, and where faults strike.

use super::objects::{ListQuery, Object, Objects, Page};
use super::{Fault, FaultKind};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Timelike};
use percent_encoding::percent_decode_str;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// POST adds a fault, DELETE ends all of them.
pub(super) const FAULTS_PATH: &str = "/_faults";

const GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");
const IF_GENERATION: HeaderName = HeaderName::from_static("x-goog-if-generation-match");
const COPY_SOURCE: HeaderName = HeaderName::from_static("x-goog-copy-source");

/// A server on a thread of its own; ends when dropped.
#[derive(Debug)]
pub(super) struct Running {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    objects: Mutex<Objects>,
    faults: Mutex<Vec<Fault>>,
}

/// A request with its target taken apart.
struct Call {
    method: Method,
    bucket: String,
    key: Option<String>,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

impl Running {
    /// Listens before it returns.
    pub(super) fn start(port: u16) -> Running {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|e| panic!("port {port}: {e}"));
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is fit");
                let app = Router::new().fallback(handle).with_state(Arc::new(Shared::default()));
                tokio::select! {
                    ended = axum::serve(listener, app) => ended.expect("the server runs until it is stopped"),
                    _ = stopped => {}
                }
            });
        });
        Running { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return plain(StatusCode::BAD_REQUEST, "") };
    if parts.uri.path() == FAULTS_PATH {
        return control(&shared, &parts.method, &body);
    }
    let path = parts.uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').map_or((path, None), |(bucket, key)| (bucket, Some(key)));
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let call = Call {
        method: parts.method,
        bucket: decode(bucket),
        key: key.filter(|key| !key.is_empty()).map(decode),
        query: parse_query(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body,
    };
    let fault = strike(&shared, &call);
    match fault {
        Some(FaultKind::FailBefore(status)) => return failure(status),
        Some(FaultKind::DropRequest) => cut_connection(),
        Some(FaultKind::Delay(ms)) => tokio::time::sleep(Duration::from_millis(ms)).await,
        _ => {}
    }
    let response = answer(&mut lock(&shared.objects), &call);
    match fault {
        Some(FaultKind::FailAfter(status)) => failure(status),
        Some(FaultKind::DropReply) => cut_connection(),
        _ => response,
    }
}

/// Unwinding ends the connection's task, and the connection with it, before any byte of an answer; without the message
/// that a panic prints.
fn cut_connection() -> ! {
    std::panic::resume_unwind(Box::new("a fault cuts this connection"))
}

fn control(shared: &Shared, method: &Method, body: &[u8]) -> Response {
    let mut faults = lock(&shared.faults);
    match serde_json::from_slice(body) {
        _ if method == Method::DELETE => faults.clear(),
        Ok(fault) => faults.push(fault),
        Err(e) => return plain(StatusCode::BAD_REQUEST, &e.to_string()),
    }
    plain(StatusCode::OK, "")
}

fn strike(shared: &Shared, call: &Call) -> Option<FaultKind> {
    let key = call.key.as_deref().or(call.query.get("prefix").map(String::as_str)).unwrap_or_default();
    let target = format!("{}/{key}", call.bucket);
    let mut faults = lock(&shared.faults);
    let hits = |fault: &&mut Fault| {
        fault.times > 0
            && (fault.method.is_empty() || fault.method == call.method.as_str())
            && target.contains(&fault.on)
    };
    let fault = faults.iter_mut().find(hits)?;
    if fault.skip > 0 {
        fault.skip -= 1;
        return None;
    }
    fault.times -= 1;
    Some(fault.kind)
}

fn answer(objects: &mut Objects, call: &Call) -> Response {
    if call.bucket.starts_with("missing") {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist.");
    }
    if call.bucket.starts_with("forbidden") {
        return error(StatusCode::FORBIDDEN, "AccessDenied", "Access denied.");
    }
    let Some(key) = &call.key else { return list(objects, call) };
    let name = format!("{}/{key}", call.bucket);
    let upload = call.query.get("uploadId").map(String::as_str);
    match (call.method.as_str(), upload) {
        ("GET" | "HEAD", _) => read(objects, call, &name),
        ("PUT", Some(id)) => part(objects, call, id),
        ("PUT", None) => put(objects, call, &name),
        ("POST", Some(id)) => complete(objects, id, &name),
        ("POST", None) if call.query.contains_key("uploads") => {
            let id = objects.begin(kept_headers(&call.headers));
            xml(&format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
        }
        ("DELETE", Some(id)) if objects.abort(id) => plain(StatusCode::NO_CONTENT, ""),
        ("DELETE", None) if objects.delete(&name) => plain(StatusCode::NO_CONTENT, ""),
        ("DELETE", _) => no_such_key(),
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "The stand-in does not know this request."),
    }
}

fn put(objects: &mut Objects, call: &Call, name: &str) -> Response {
    let text = |header: &HeaderName| call.headers.get(header).and_then(|value| value.to_str().ok());
    let expected = text(&IF_GENERATION).and_then(|generation| generation.parse().ok());
    let (data, headers) = match text(&COPY_SOURCE) {
        None => (call.body.clone(), kept_headers(&call.headers)),
        Some(source) => {
            let source = percent_decode_str(source.trim_start_matches('/')).decode_utf8_lossy().into_owned();
            let Some(object) = objects.get(&source, None) else { return no_such_key() };
            (object.data.clone(), object.headers.clone())
        }
    };
    match objects.put(name, data, headers, expected) {
        Ok(object) if call.headers.contains_key(&COPY_SOURCE) => with_identity(
            &object,
            xml(&format!("<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>", escape(&object.etag()))),
        ),
        Ok(object) => with_identity(&object, plain(StatusCode::OK, "")),
        Err(()) => {
            let message = "At least one of the pre-conditions you specified did not hold.";
            error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message)
        }
    }
}

fn part(objects: &mut Objects, call: &Call, id: &str) -> Response {
    let number = call.query.get("partNumber").and_then(|number| number.parse().ok()).unwrap_or_default();
    let Some(tag) = objects.part(id, number, call.body.clone()) else { return no_such_key() };
    let mut response = plain(StatusCode::OK, "");
    response.headers_mut().insert(header::ETAG, tag.parse().expect("plain text"));
    response
}

fn complete(objects: &mut Objects, id: &str, name: &str) -> Response {
    let Some(object) = objects.complete(id, name) else { return no_such_key() };
    let tag = escape(&object.etag());
    let body = format!("<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>");
    with_identity(&object, xml(&body))
}

fn read(objects: &Objects, call: &Call, name: &str) -> Response {
    let generation = call.query.get("generation").and_then(|generation| generation.parse().ok());
    let Some(object) = objects.get(name, generation) else { return no_such_key() };
    if let Some(status) = refused(object, &call.headers) {
        return with_identity(object, plain(status, ""));
    }
    let size = object.data.len();
    let range = call.headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let (status, data) = match range.map(|range| parse_range(range, size)) {
        None => (StatusCode::OK, object.data.clone()),
        Some(Some((from, to))) => (StatusCode::PARTIAL_CONTENT, object.data.slice(from..to)),
        Some(None) => {
            return error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "The range cannot be satisfied.");
        }
    };
    let mut response =
        Response::new(if call.method == Method::HEAD { Body::empty() } else { Body::from(data.clone()) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(object.headers.clone());
    headers.insert(header::CONTENT_LENGTH, data.len().into());
    if let Some(Some((from, to))) = range.map(|range| parse_range(range, size)) {
        let content_range = format!("bytes {from}-{}/{size}", to.saturating_sub(1));
        headers.insert(header::CONTENT_RANGE, content_range.parse().expect("plain text"));
    }
    with_identity(object, response)
}

/// The status that a read's own preconditions demand instead of the object.
fn refused(object: &Object, headers: &HeaderMap) -> Option<StatusCode> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let time = |name: HeaderName| text(name).and_then(|value| DateTime::parse_from_rfc2822(value).ok());
    // The wire knows whole seconds only.
    let modified = object.modified.with_nanosecond(0).unwrap_or(object.modified);
    let names = |list: &str| list.split(',').any(|tag| tag.trim() == object.etag() || tag.trim() == "*");
    if text(header::IF_MATCH).is_some_and(|list| !names(list)) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    if text(header::IF_NONE_MATCH).is_some_and(names) {
        return Some(StatusCode::NOT_MODIFIED);
    }
    if time(header::IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    time(header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since).then_some(StatusCode::NOT_MODIFIED)
}

/// `bytes=a-b`, `bytes=a-`, `bytes=-n` as a half-open range; `None` when nothing of it exists.
fn parse_range(range: &str, size: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) => (from, (to + 1).min(size)),
        (Ok(from), Err(_)) => (from, size),
        (Err(_), Ok(last)) => (size.saturating_sub(last), size),
        (Err(_), Err(_)) => return None,
    };
    (from < to).then_some((from, to))
}

fn list(objects: &Objects, call: &Call) -> Response {
    let text = |name: &str| call.query.get(name).map(String::as_str);
    let after = text("continuation-token").max(text("start-after"));
    let limit = text("max-keys").and_then(|limit| limit.parse().ok()).unwrap_or(1000);
    let query = ListQuery { prefix: text("prefix").unwrap_or_default(), delimiter: text("delimiter"), after, limit };
    let Page { objects, prefixes, next } = objects.list(&call.bucket, &query);
    let mut body =
        format!("<ListBucketResult><Name>{}</Name><IsTruncated>{}</IsTruncated>", escape(&call.bucket), next.is_some());
    if let Some(next) = next {
        body.push_str(&format!("<NextContinuationToken>{}</NextContinuationToken>", escape(&next)));
    }
    for (key, object) in objects {
        let modified = object.modified.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let (key, tag, size) = (escape(&key), escape(&object.etag()), object.data.len());
        let entry =
            format!("<Key>{key}</Key><LastModified>{modified}</LastModified><ETag>{tag}</ETag><Size>{size}</Size>");
        body.push_str(&format!("<Contents>{entry}</Contents>"));
    }
    for prefix in prefixes {
        body.push_str(&format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape(&prefix)));
    }
    body.push_str("</ListBucketResult>");
    xml(&body)
}

/// What an object remembers of the request that made it.
fn kept_headers(headers: &HeaderMap) -> HeaderMap {
    let kept = |name: &HeaderName| {
        let fixed = [
            header::CACHE_CONTROL,
            header::CONTENT_DISPOSITION,
            header::CONTENT_ENCODING,
            header::CONTENT_LANGUAGE,
            header::CONTENT_TYPE,
        ];
        fixed.contains(name) || name.as_str().starts_with("x-goog-meta-")
    };
    headers.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn with_identity(object: &Object, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, object.etag().parse().expect("plain text"));
    headers.insert(GENERATION, object.generation.into());
    let modified = object.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    headers.insert(header::LAST_MODIFIED, modified.parse().expect("plain text"));
    response
}

fn parse_query(query: &str) -> HashMap<String, String> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
}

fn xml(body: &str) -> Response {
    let mut response = plain(StatusCode::OK, &format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}"));
    response.headers_mut().insert(header::CONTENT_TYPE, "application/xml".parse().expect("plain text"));
    response
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    plain(
        status,
        &format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        ),
    )
}

fn failure(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    error(status, "InjectedFault", "A fault was injected here.")
}

fn no_such_key() -> Response {
    error(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;

    #[test]
    fn ranges_are_half_open_and_bounded() {
        assert_eq!(parse_range("bytes=1-3", 10), Some((1, 4)));
        assert_eq!(parse_range("bytes=8-20", 10), Some((8, 10)));
        assert_eq!(parse_range("bytes=4-", 10), Some((4, 10)));
        assert_eq!(parse_range("bytes=-3", 10), Some((7, 10)));
        assert_eq!(parse_range("bytes=10-", 10), None);
    }

    #[test]
    fn times_on_the_wire_are_whole_seconds() {
        let object = Object { generation: 1, data: Bytes::new(), modified: Utc::now(), headers: HeaderMap::new() };
        let mut headers = HeaderMap::new();
        let wire = object.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        headers.insert(header::IF_MODIFIED_SINCE, wire.parse().unwrap());
        assert_eq!(refused(&object, &headers), Some(StatusCode::NOT_MODIFIED));
    }
}
