//! Tests of the HTTP face, over real sockets, with the client of `aqueduct status`.

use super::*;
use crate::{samples, status_cmd::fetch};

async fn serve_sample(change: impl FnOnce(&mut StatusSnapshot)) -> String {
    let board = Arc::new(StatusBoard::default());
    board.update(|snapshot| {
        *snapshot = samples::snapshot();
        change(snapshot);
    });
    serve("127.0.0.1:0", face(board).0).await.unwrap().to_string()
}

fn face(board: Arc<StatusBoard>) -> (Face, Arc<Control>, watch::Receiver<bool>) {
    let ((stop, stopped), control) = (watch::channel(false), Arc::new(Control::default()));
    (Face { board, control: control.clone(), stop: Arc::new(stop) }, control, stopped)
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
    let error = serve(&at, face(Arc::new(StatusBoard::default())).0).await.unwrap_err();
    assert_eq!(error.kind(), aqueduct_core::ErrorKind::FixConfig);
    assert!(error.message().contains("cannot listen on"), "{error}");
}

#[tokio::test]
async fn a_stop_is_asked_by_a_program_on_this_machine() {
    let (face, control, stopped) = face(Arc::new(StatusBoard::default()));
    let at = serve("127.0.0.1:0", face).await.unwrap().to_string();
    assert_eq!(fetch(&at, "/stop").await.unwrap().0, 405, "a GET changes nothing");
    assert_eq!(post_to(&at, "/stop?drian=true").await.0, 400);
    assert!(!*stopped.borrow());
    assert_eq!(post_to(&at, "/stop?drain=true").await.0, 202);
    assert!(*stopped.borrow());
    // Only the stop was asked for.
    assert_eq!(control.ask_seal(), 1);
    let stranger: SocketAddr = "10.1.2.3:4".parse().unwrap();
    let mut headers = HeaderMap::new();
    assert_eq!(refusal("127.0.0.1:5".parse().unwrap(), &headers).unwrap().0, StatusCode::FORBIDDEN);
    headers.insert(ASKS, "1".parse().unwrap());
    assert_eq!(refusal(stranger, &headers).unwrap().0, StatusCode::FORBIDDEN);
    assert_eq!(refusal("[::ffff:127.0.0.1]:5".parse().unwrap(), &headers), None);
}

#[tokio::test]
async fn a_seal_is_answered_with_its_epoch() {
    let board = Arc::new(StatusBoard::default());
    board.update(|snapshot| *snapshot = samples::snapshot());
    let (face, control, _stopped) = face(board.clone());
    let at = serve("127.0.0.1:0", face).await.unwrap().to_string();
    // The sample has answered two requests before.
    control.ask_seal();
    control.ask_seal();
    let sealing = tokio::spawn(async move { post_to(&at, "/checkpoint").await });
    tokio::task::yield_now().await;
    board.update(|snapshot| (snapshot.checkpoint.answered, snapshot.checkpoint.epoch) = (3, 8));
    assert_eq!(sealing.await.unwrap(), (200, "8\n".to_owned()));
}

async fn post_to(at: &str, path: &str) -> (u16, String) {
    crate::status_cmd::post(at, path).await.unwrap()
}
