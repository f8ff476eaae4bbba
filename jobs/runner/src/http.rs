//! `--http`: `/metrics`, `/healthz`, `/readyz`, `/status` over plain HTTP, on loopback unless told otherwise; and what may be
//! asked of the job, from this machine only: `POST /stop` (also `?drain=true`) and `POST /checkpoint`.
//!
//! It decides nothing: requests become wishes that the runtime looks at.

use crate::metrics;
use aqueduct_core::{Error, Result};
use aqueduct_runtime::{Control, JobState, StatusBoard, StatusSnapshot};
use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Where to listen for a `--http` value: `:8080` and `8080` mean loopback.
pub(crate) fn address(given: &str) -> String {
    match given.strip_prefix(':').unwrap_or(given) {
        port if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => format!("127.0.0.1:{port}"),
        _ => given.to_owned(),
    }
}

/// Starts to serve; ends with the process.
pub(crate) async fn serve(given: &str, face: Face) -> Result<SocketAddr> {
    let address = address(given);
    let unusable = |error: std::io::Error| {
        Error::config(format!("--http {given}: cannot listen on {address}: {error}; take another address or port"))
    };
    let listener = TcpListener::bind(&address).await.map_err(unusable)?;
    let bound = listener.local_addr().map_err(unusable)?;
    tokio::spawn(async move {
        let service = router(face).into_make_service_with_connect_info::<SocketAddr>();
        if let Err(error) = axum::serve(listener, service).await {
            tracing::error!("the HTTP server has ended: {error}");
        }
    });
    Ok(bound)
}

/// What requests see and ask.
#[derive(Debug, Clone)]
pub(crate) struct Face {
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) control: Arc<Control>,
    /// Ends the job well.
    pub(crate) stop: Arc<watch::Sender<bool>>,
}

/// A page in somebody's browser can send a plain POST to this machine, but not with a header of its own.
pub(crate) const ASKS: &str = "x-aqueduct";

/// How long `POST /checkpoint` waits for the seal.
const SEAL: Duration = Duration::from_secs(150);

fn router(face: Face) -> Router {
    Router::new()
        .route("/", get(|| async { "aqueduct: /metrics /healthz /readyz /status; POST /stop /checkpoint\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .route("/status", get(status))
        .route("/stop", post(stop))
        .route("/checkpoint", post(checkpoint))
        .with_state(face)
}

/// Asks come from this machine, by a program.
fn refusal(peer: SocketAddr, headers: &HeaderMap) -> Option<(StatusCode, String)> {
    if !peer.ip().to_canonical().is_loopback() {
        return Some((StatusCode::FORBIDDEN, "only this machine may ask: run the command there\n".to_owned()));
    }
    let asked = headers.contains_key(ASKS);
    (!asked).then(|| (StatusCode::FORBIDDEN, format!("the header {ASKS} is missing\n")))
}

async fn stop(
    State(face): State<Face>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> (StatusCode, String) {
    if let Some(refusal) = refusal(peer, &headers) {
        return refusal;
    }
    let drain = match query.as_deref() {
        None | Some("" | "drain=false") => false,
        Some("drain=true") => true,
        Some(other) => return (StatusCode::BAD_REQUEST, format!("'{other}' is not understood: it is drain=true\n")),
    };
    if drain {
        face.control.ask_drain();
    }
    tracing::warn!(drain, "asked to stop: reading stops, what was read is sealed and delivered");
    // Without a receiver the job has ended already.
    let _ = face.stop.send(true);
    (StatusCode::ACCEPTED, "stopping\n".to_owned())
}

async fn checkpoint(
    State(face): State<Face>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    if let Some(refusal) = refusal(peer, &headers) {
        return refusal;
    }
    let asked = face.control.ask_seal();
    let sealed = async {
        loop {
            let snapshot = face.board.snapshot();
            if snapshot.checkpoint.answered >= asked {
                return Ok(snapshot.checkpoint.epoch);
            }
            if snapshot.state != JobState::Running && snapshot.state != JobState::Starting {
                return Err(state_name(snapshot.state));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(SEAL, sealed).await {
        Ok(Ok(epoch)) => (StatusCode::OK, format!("{epoch}\n")),
        Ok(Err(state)) => (StatusCode::CONFLICT, format!("the job is {state}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, format!("no epoch was sealed within {} s\n", SEAL.as_secs())),
    }
}

async fn readyz(State(face): State<Face>) -> impl IntoResponse {
    let snapshot = face.board.snapshot();
    if ready(&snapshot) {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", state_name(snapshot.state)))
    }
}

/// Reading, and owner of the shard.
fn ready(snapshot: &StatusSnapshot) -> bool {
    snapshot.state == JobState::Running && snapshot.generation > 0
}

/// The state's name, as in JSON.
pub(crate) fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Starting => "starting",
        JobState::Running => "running",
        JobState::Draining => "draining",
        JobState::Finished => "finished",
        JobState::Stopped => "stopped",
        JobState::Failed => "failed",
    }
}

async fn metrics_page(State(face): State<Face>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::page(&face.board.snapshot()))
}

async fn status(State(face): State<Face>) -> impl IntoResponse {
    match serde_json::to_string(&face.board.snapshot()) {
        Ok(body) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body + "\n"),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], format!("{error}\n")),
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
