//! Holds `client.rs` to what it says.

use super::*;
use aqueduct_core::ErrorKind;
use aqueduct_core::conformance::sink::spec;

fn config(options: &[(&str, &str)]) -> Config {
    let base = [("project-id", "p"), ("connect.timeout", "2 s")];
    Config::new(&spec("t", &[&base, options].concat(), true)).unwrap()
}

fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn an_emulator_that_is_not_there_is_worth_a_retry() {
    let host = format!("127.0.0.1:{}", closed_port());
    let error = Client::connect(&config(&[("emulator-host", &host)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.message().contains(&host) && error.message().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_accepts_and_is_silent_is_worth_a_retry() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let config = config(&[("emulator-host", &host), ("request.timeout", "200 ms"), ("connect.timeout", "300 ms")]);
    let answer = match Client::connect(&config).await {
        Ok(client) => client
            .get("projects/p/databases/(default)/documents/c/d".into())
            .await
            .map_err(|failure| failure.to_string()),
        Err(error) => Err(error.message().to_owned()),
    };
    assert!(answer.unwrap_err().contains("no answer within"));
}

#[tokio::test]
async fn tls_is_set_up_before_it_is_needed() {
    let address = format!("https://127.0.0.1:{}", closed_port());
    let error = google(&config(&[]), &address).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(error.message().contains("cannot be reached"), "{error}");
}
