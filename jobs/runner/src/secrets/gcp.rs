//! Google's Secret Manager: one version's value, with the identity of the application default credentials.
//!
//! A token that is refused is taken anew once. What else may pass, the caller tries again.

use super::http::{Answer, client, send};
use aqueduct_core::{Error, Hurdle, Result, with_causes};
use base64::Engine as _;
use gcloud_sdk::GoogleAuthHeaders;

const WHO: &str = "Secret Manager";
/// As for gcloud: an address of a stand-in or private endpoint.
const ENDPOINT: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER";

/// The value of `projects/P/secrets/S/versions/V`.
pub(super) async fn access(version: &str) -> Result<String> {
    let address = std::env::var(ENDPOINT).ok().filter(|text| !text.is_empty());
    let address = address.unwrap_or_else(|| "https://secretmanager.googleapis.com".to_owned());
    let address = address.trim_end_matches('/');
    let mut answer = ask(address, version).await?;
    if answer.status == 401 {
        answer = ask(address, version).await?;
    }
    if answer.status != 200 {
        return Err(refused(version, &answer));
    }
    let data = answer.json()["payload"]["data"].as_str().map(str::to_owned);
    let bytes = data.and_then(|data| base64::prelude::BASE64_STANDARD.decode(data).ok());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Error::config(format!("the value of {version} is no text: store it as UTF-8")))
}

async fn ask(address: &str, version: &str) -> Result<Answer> {
    // New credentials each time: a token is never older than the question.
    let headers = async { GoogleAuthHeaders::from_adc().await?.headers().await };
    let headers = headers.await.map_err(|error| no_token(&error))?;
    let mut request = client()?.get(format!("{address}/v1/{version}:access"));
    for (name, value) in headers.iter() {
        request = request.header(name.as_str(), value.as_bytes());
    }
    send(request, WHO, address).await
}

/// No token could be had.
pub(crate) fn no_token(error: &gcloud_sdk::error::Error) -> Error {
    let text = with_causes(error);
    let passes = matches!(error.kind(), gcloud_sdk::error::ErrorKind::Credentials(cause) if cause.is_transient());
    let message = format!(
        "no token of this machine's Google identity: {text}; set GOOGLE_APPLICATION_CREDENTIALS, or run where a service account is"
    );
    if passes { Error::retry(message) } else { Error::config(message) }.at(Hurdle::Authenticate)
}

fn refused(version: &str, answer: &Answer) -> Error {
    let said = answer.json()["error"]["message"].as_str().unwrap_or("no reason given").to_owned();
    let status = answer.status;
    match status {
        401 => Error::config(format!(
            "{WHO} refuses this machine's token, also a new one ({said}): check the application default credentials and this machine's clock"
        ))
        .at(Hurdle::Authenticate),
        403 => Error::config(format!(
            "permission denied ({said}): grant roles/secretmanager.secretAccessor on the secret to the job's service account"
        ))
        .at(Hurdle::Permit),
        404 => Error::config(format!("{version} does not exist ({said}): check project, name and version")).at(Hurdle::Permit),
        408 | 429 | 500.. => Error::retry(format!("{WHO} fails ({status}: {said}): try again later")).at(Hurdle::Reach),
        _ => Error::config(format!("{WHO} refuses ({status}: {said}): is the version enabled?")).at(Hurdle::Permit),
    }
}
