//! Who asks Google's storage: tokens of the application default credentials of every kind (the machine's service account, a key,
//! workload identity federation), and a new one in the place of one that the store refuses.
//!
//! The storage client of `object_store` knows fewer kinds, and takes no second token. When a token is due is Google's library's
//! business.

use aqueduct_core::with_causes;
use async_trait::async_trait;
use gcloud_sdk::GoogleAuthHeaders;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{ClientOptions, CredentialProvider, Error as StoreError};
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The variables with which `object_store` itself is told who asks.
const ITS_OWN: [&str; 4] =
    ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_SKIP_SIGNATURE"];

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Where tokens come from.
#[async_trait]
trait Source: Debug + Send + Sync {
    /// A token; with `anew` another one than before.
    async fn token(&self, anew: bool) -> Result<String, Failed>;
}

/// Lets the builder ask with the application default credentials, unless the environment says otherwise.
pub(super) fn identified(builder: GoogleCloudStorageBuilder) -> GoogleCloudStorageBuilder {
    if ITS_OWN.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return builder;
    }
    with_source(builder, Arc::new(DefaultCredentials::default()), ReqwestConnector::default())
}

fn with_source(
    builder: GoogleCloudStorageBuilder,
    source: Arc<dyn Source>,
    connector: impl HttpConnector,
) -> GoogleCloudStorageBuilder {
    builder
        .with_credentials(Arc::new(Tokens(Arc::clone(&source))))
        .with_http_connector(Renewing { inner: connector, source })
}

/// Google's library, which keeps a token young on the runtime where it was first asked.
#[derive(Debug, Default)]
struct DefaultCredentials(Mutex<Option<Arc<GoogleAuthHeaders>>>);

impl DefaultCredentials {
    async fn bearer(&self, anew: bool) -> Result<String, Failed> {
        let mut held = self.0.lock().await;
        if anew {
            *held = None;
        }
        let headers = match &*held {
            Some(known) => Arc::clone(known),
            None => Arc::clone(held.insert(Arc::new(GoogleAuthHeaders::from_adc().await?))),
        };
        let headers = headers.headers().await?;
        let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        bearer.map(str::to_owned).ok_or_else(|| "the credentials bring no bearer token".into())
    }
}

#[async_trait]
impl Source for DefaultCredentials {
    async fn token(&self, anew: bool) -> Result<String, Failed> {
        match self.bearer(anew).await {
            // The runtime that kept it young may have ended.
            Err(_) if !anew => self.bearer(true).await,
            other => other,
        }
    }
}

#[derive(Debug)]
struct Tokens(Arc<dyn Source>);

#[async_trait]
impl CredentialProvider for Tokens {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let bearer = self.0.token(false).await;
        bearer.map(|bearer| Arc::new(GcpCredential { bearer })).map_err(|source| StoreError::Generic {
            store: "GCS",
            source: format!("token request: {}", with_causes(source.as_ref())).into(),
        })
    }
}

/// Sends a request once more, with a new token, when the store does not believe the first one.
#[derive(Debug)]
struct Renewing<C> {
    inner: C,
    source: Arc<dyn Source>,
}

impl<C: HttpConnector> HttpConnector for Renewing<C> {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = self.inner.connect(options)?;
        Ok(HttpClient::new(Twice { inner, source: Arc::clone(&self.source) }))
    }
}

#[derive(Debug)]
struct Twice {
    inner: HttpClient,
    source: Arc<dyn Source>,
}

#[async_trait]
impl HttpService for Twice {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut again = request.clone();
        let response = self.inner.execute(request).await?;
        if response.status().as_u16() != 401 {
            return Ok(response);
        }
        let Ok(token) = self.source.token(true).await else { return Ok(response) };
        let Ok(bearer) = format!("Bearer {token}").parse() else { return Ok(response) };
        again.headers_mut().insert("authorization", bearer);
        tracing::info!("the store refuses the token: asking once more with a new one");
        self.inner.execute(again).await
    }
}

#[cfg(test)]
#[path = "google_tests.rs"]
mod tests;
