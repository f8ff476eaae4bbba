//! Tests of the HTTP face, over real sockets, with the client of `aqueduct status`.

use super::*;
use crate::{samples, status_cmd::fetch};

async fn serve_sample(change: impl FnOnce(&mut StatusSnapshot)) -> String {
    let board = Arc::new(StatusBoard::default());
    board.update(|snapshot| {
        *snapshot = samples::snapshot();
        change(snapshot);
    });
    serve("127.0.0.1:0", board).await.unwrap().to_string()
}

#[test]
fn a_bare_port_is_on_loopback() {
    assert_eq!(address(":8080"), "127.0.0.1:8080");
    assert_eq!(address("8080"), "127.0.0.1:8080");
    assert_eq!(address("0.0.0.0:8080"), "0.0.0.0:8080");
    assert_eq!(address("[::1]:80"), "[::1]:80");
}

#[tokio::test]
async fn pages_are_served() {
    let at = serve_sample(|_| ()).await;
    assert_eq!(fetch(&at, "/healthz").await.unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(fetch(&at, "/readyz").await.unwrap().0, 200);
    let (code, page) = fetch(&at, "/metrics").await.unwrap();
    assert!(code == 200 && page.contains("# TYPE aqueduct_info gauge"));
    let (code, body) = fetch(&at, "/status").await.unwrap();
    let snapshot: StatusSnapshot = serde_json::from_str(&body).unwrap();
    assert!(code == 200 && snapshot.job == "image-metrics" && body.contains("\"state\":\"running\""));
    assert_eq!(fetch(&at, "/nothing").await.unwrap().0, 404);
}

#[tokio::test]
async fn a_job_is_ready_when_it_reads_and_owns_its_shard() {
    let starting = serve_sample(|snapshot| snapshot.state = JobState::Starting).await;
    assert_eq!(fetch(&starting, "/readyz").await.unwrap(), (503, "not ready: starting\n".to_owned()));
    let unclaimed = serve_sample(|snapshot| snapshot.generation = 0).await;
    assert_eq!(fetch(&unclaimed, "/readyz").await.unwrap().0, 503);
    assert_eq!(fetch(&unclaimed, "/healthz").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_taken_port_is_a_configuration_error() {
    let at = serve_sample(|_| ()).await;
    let error = serve(&at, Arc::new(StatusBoard::default())).await.unwrap_err();
    assert_eq!(error.kind(), aqueduct_core::ErrorKind::FixConfig);
    assert!(error.message().contains("cannot listen on"), "{error}");
}
