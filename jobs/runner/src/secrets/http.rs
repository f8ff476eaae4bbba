//! One HTTP exchange with a secret manager or a token service, and what it means that there was none. It tries nothing again.

use aqueduct_core::{Error, Hurdle, Result};
use std::time::Duration;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A client that follows no redirects: they would carry credentials elsewhere.
pub(crate) fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(15))
        .build()
        .map_err(|error| Error::bug(format!("cannot make an HTTP client: {error}")))
}

/// Sends a request. `who` is asked, at `address`.
pub(crate) async fn send(request: reqwest::RequestBuilder, who: &str, address: &str) -> Result<Answer> {
    let unreachable = |error: reqwest::Error| {
        let mut why: &dyn std::error::Error = &error;
        while let Some(cause) = why.source() {
            why = cause;
        }
        Error::retry(format!("{who} at {address} cannot be reached: {why}; check the network")).at(Hurdle::Reach)
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(unreachable)?;
    Ok(Answer { status, body: body.to_vec() })
}
