//! The two calls that the sink needs, over gRPC, each with a deadline.
//!
//! It retries nothing: whether a call may be repeated is the fence's business.

use crate::config::Config;
use crate::database::{Database, Outcome, Service};
use crate::error::{Failure, NETWORK, connecting, preparing};
use aqueduct_core::{Error, Hurdle, Result};
use async_trait::async_trait;
use gcloud_sdk::google::firestore::v1::firestore_client::FirestoreClient;
use gcloud_sdk::google::firestore::v1::{CommitRequest, CommitResponse, Document, GetDocumentRequest, Write};
use gcloud_sdk::{GoogleApi, GoogleAuthMiddleware};
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

const GOOGLE: &str = "https://firestore.googleapis.com";

/// The service of the options.
#[derive(Debug)]
pub(crate) struct Firestore(pub(crate) Config);

#[async_trait]
impl Service for Firestore {
    async fn connect(&self) -> Result<Box<dyn Database>> {
        Ok(Box::new(Client::connect(&self.0).await?))
    }
}

/// A connection to a database.
#[derive(Clone)]
pub(crate) struct Client {
    door: Door,
    database: String,
    request_timeout: Duration,
}

#[derive(Clone)]
enum Door {
    Google(FirestoreClient<GoogleAuthMiddleware>),
    /// It asks for no credentials, but lets only an "owner" pass all rules.
    Emulator(FirestoreClient<Channel>),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects; with Google, by the application default credentials.
    pub(crate) async fn connect(config: &Config) -> Result<Self> {
        let door = match &config.emulator {
            Some(host) => Door::Emulator(FirestoreClient::new(emulator(host, config.connect_timeout).await?)),
            None => Door::Google(google(config, GOOGLE).await?),
        };
        Ok(Self { door, database: config.location.to_string(), request_timeout: config.request_timeout })
    }

    async fn within<T>(
        &self,
        answer: impl Future<Output = std::result::Result<Response<T>, Status>>,
    ) -> std::result::Result<T, Failure> {
        match tokio::time::timeout(self.request_timeout, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Failure::from(Box::new(status))),
            Err(_) => Err(Failure::Silent(self.request_timeout)),
        }
    }
}

#[async_trait]
impl Database for Client {
    async fn get(&self, name: String) -> Outcome<Option<Document>> {
        let request = GetDocumentRequest { name, ..GetDocumentRequest::default() };
        let answer = match self.door.clone() {
            Door::Google(mut client) => self.within(client.get_document(request)).await,
            Door::Emulator(mut client) => self.within(client.get_document(as_owner(request))).await,
        };
        match answer {
            Err(failure) if failure.code() == Some(Code::NotFound) => Ok(None),
            other => other.map(Some),
        }
    }

    async fn commit(&self, writes: Vec<Write>) -> Outcome<CommitResponse> {
        let request = CommitRequest { database: self.database.clone(), writes, ..CommitRequest::default() };
        match self.door.clone() {
            Door::Google(mut client) => self.within(client.commit(request)).await,
            Door::Emulator(mut client) => self.within(client.commit(as_owner(request))).await,
        }
    }
}

fn as_owner<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer owner"));
    request
}

async fn emulator(host: &str, within: Duration) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{host}"))
        .map_err(|error| Error::config(format!("option 'emulator-host' = '{host}' is no address: {error}")))?
        .connect_timeout(within);
    match tokio::time::timeout(within, endpoint.connect()).await {
        Ok(connected) => connected.map_err(|error| connecting(host, &error).with_source(error)),
        Err(_) => Err(silent(host, within)),
    }
}

async fn google(config: &Config, address: &str) -> Result<FirestoreClient<GoogleAuthMiddleware>> {
    // The tree links two crypto libraries, so the TLS layer must be told which; an earlier choice stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let prefix = Some(config.location.to_string());
    let connecting_to = GoogleApi::from_function(FirestoreClient::<GoogleAuthMiddleware>::new, address, prefix);
    match tokio::time::timeout(config.connect_timeout, connecting_to).await {
        Ok(Ok(api)) => Ok(api.get()),
        Ok(Err(error)) => Err(preparing(address, error)),
        Err(_) => Err(silent(address, config.connect_timeout)),
    }
}

fn silent(address: &str, within: Duration) -> Error {
    let seconds = within.as_secs_f32();
    Error::retry(format!("firestore at {address} cannot be reached: no answer within {seconds} s; {NETWORK}"))
        .at(Hurdle::Reach)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
