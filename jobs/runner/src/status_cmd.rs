//! `aqueduct status`: asks a running job's `/status` and prints it.
//!
//! A small HTTP/1.0 client of its own: one GET, plain text, no redirects.

use crate::cli::{StatusArgs, StatusFormat};
use crate::{exit, http, render};
use aqueduct_core::{Error, Result};
use aqueduct_runtime::StatusSnapshot;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(5);
const LONG_PATIENCE: Duration = Duration::from_secs(180);

/// The verb.
pub(crate) async fn run(args: StatusArgs) -> Result<()> {
    let given = args.http.as_deref().unwrap_or(&args.url);
    let at = host_and_port(given)?;
    let (snapshot, body) = ask(&at).await?;
    match args.format {
        StatusFormat::Json => exit::say(&body),
        StatusFormat::Table => exit::say(&render::status(&snapshot)),
    }
    Ok(())
}

/// What the job at `at` says of itself.
pub(crate) async fn status(at: &str) -> Result<StatusSnapshot> {
    ask(at).await.map(|(snapshot, _)| snapshot)
}

async fn ask(at: &str) -> Result<(StatusSnapshot, String)> {
    let (code, body) = fetch(at, "/status").await?;
    if code != 200 {
        return Err(Error::retry(format!("http://{at}/status answered {code}: is it an aqueduct job?")));
    }
    let snapshot = serde_json::from_str(&body).map_err(|error| {
        Error::config(format!("http://{at}/status is not the status of an aqueduct job of this version: {error}"))
    })?;
    Ok((snapshot, body))
}

pub(crate) fn host_and_port(given: &str) -> Result<String> {
    if given.starts_with("https://") {
        return Err(Error::config(format!("{given}: the status page is plain HTTP: use http://")));
    }
    let rest = given.strip_prefix("http://").unwrap_or(given);
    let rest = rest.split('/').next().unwrap_or(rest);
    let at = http::address(rest);
    Ok(if at.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) { at } else { format!("{at}:8080") })
}

/// One GET: status code and body.
pub(crate) async fn fetch(at: &str, path: &str) -> Result<(u16, String)> {
    exchange("GET", at, path, PATIENCE).await
}

/// One POST without a body, which asks for something that takes a while.
pub(crate) async fn post(at: &str, path: &str) -> Result<(u16, String)> {
    exchange("POST", at, path, LONG_PATIENCE).await
}

async fn exchange(method: &str, at: &str, path: &str, patience: Duration) -> Result<(u16, String)> {
    let unreachable = |what: String| {
        Error::retry(format!("cannot ask http://{at}{path}: {what}; was the job started with --http, and there?"))
    };
    let exchange = async {
        let mut stream = TcpStream::connect(at).await?;
        // HTTP/1.0: the answer ends with the connection, never in chunks.
        let head = format!("{method} {path} HTTP/1.0\r\nHost: {at}\r\n{}: 1\r\nConnection: close\r\n\r\n", http::ASKS);
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(patience, exchange)
        .await
        .map_err(|_| unreachable(format!("no answer within {} s", patience.as_secs())))?
        .map_err(|error| unreachable(error.to_string()))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| unreachable("the answer is not HTTP".to_owned()))?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.ok_or_else(|| unreachable("the answer is not HTTP".to_owned()))?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_in_every_usual_form() {
        for given in ["http://127.0.0.1:8080", "http://127.0.0.1:8080/status", ":8080", "127.0.0.1:8080", "127.0.0.1"] {
            assert_eq!(host_and_port(given).unwrap(), "127.0.0.1:8080", "{given}");
        }
        assert!(host_and_port("https://x").is_err());
    }

    #[tokio::test]
    async fn nobody_there_is_a_reason_to_try_again() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let error = fetch(&free, "/status").await.unwrap_err();
        assert_eq!(error.kind(), aqueduct_core::ErrorKind::Retry);
        assert!(error.message().contains("--http"), "{error}");
    }
}
