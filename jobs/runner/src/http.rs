//! `--http`: `/metrics`, `/healthz`, `/readyz`, `/status` over plain HTTP, on loopback unless told otherwise.
//!
//! Read-only: nothing here changes the job.

use crate::metrics;
use aqueduct_core::{Error, Result};
use aqueduct_runtime::{JobState, StatusBoard, StatusSnapshot};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Router, routing::get};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where to listen for a `--http` value: `:8080` and `8080` mean loopback.
pub(crate) fn address(given: &str) -> String {
    match given.strip_prefix(':').unwrap_or(given) {
        port if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => format!("127.0.0.1:{port}"),
        _ => given.to_owned(),
    }
}

/// Starts to serve; ends with the process.
pub(crate) async fn serve(given: &str, board: Arc<StatusBoard>) -> Result<SocketAddr> {
    let address = address(given);
    let unusable = |error: std::io::Error| {
        Error::config(format!("--http {given}: cannot listen on {address}: {error}; take another address or port"))
    };
    let listener = TcpListener::bind(&address).await.map_err(unusable)?;
    let bound = listener.local_addr().map_err(unusable)?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router(board)).await {
            tracing::error!("the HTTP server has ended: {error}");
        }
    });
    Ok(bound)
}

fn router(board: Arc<StatusBoard>) -> Router {
    Router::new()
        .route("/", get(|| async { "aqueduct: /metrics /healthz /readyz /status\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .route("/status", get(status))
        .with_state(board)
}

async fn readyz(State(board): State<Arc<StatusBoard>>) -> impl IntoResponse {
    let snapshot = board.snapshot();
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

async fn metrics_page(State(board): State<Arc<StatusBoard>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::page(&board.snapshot()))
}

async fn status(State(board): State<Arc<StatusBoard>>) -> impl IntoResponse {
    match serde_json::to_string(&board.snapshot()) {
        Ok(body) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body + "\n"),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], format!("{error}\n")),
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
