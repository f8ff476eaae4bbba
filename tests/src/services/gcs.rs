//! A stand-in for Google's storage (its XML interface, as `object_store` speaks it), with faults on demand.
//!
//! In memory, on a thread of its own. Preconditions on generations are exact: each request is applied whole under one lock.
//! Any bucket exists, except names that begin with `missing` (404) and `forbidden` (403 on everything). Judged by
//! `object_store`'s own suite in `tests/gcs_stand_in.rs`.

mod objects;
mod server;

use super::daemon::free_port;
use super::http;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::{BackoffConfig, ClientOptions, RetryConfig, StaticCredentialProvider};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Where a stand-in is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GcsAddress {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Not applied; this status is answered (503, 429, 403, ...).
    FailBefore(u16),
    /// Applied; this status is answered all the same.
    FailAfter(u16),
    /// Not applied; the connection is cut.
    DropRequest,
    /// Applied; the connection is cut before any answer.
    DropReply,
    /// Applied after so many milliseconds.
    Delay(u64),
}

/// A fault and the requests that it befalls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// `PUT`, `GET`, `HEAD`, `POST`, `DELETE`; empty for any.
    pub method: String,
    /// Requests whose `bucket/key` holds this text; empty for any. For lists: `bucket/prefix`.
    pub on: String,
    /// How many matching requests pass unharmed first.
    pub skip: u32,
    /// How many requests it befalls after that.
    pub times: u32,
}

impl Fault {
    /// Befalls the next `times` requests of the method whose `bucket/key` holds `on`.
    pub fn new(kind: FaultKind, method: &str, on: &str, times: u32) -> Fault {
        Fault { kind, method: method.into(), on: on.into(), skip: 0, times }
    }
}

/// A stand-in for Google's storage.
#[derive(Debug)]
pub struct Gcs {
    address: GcsAddress,
    server: Option<server::Running>,
}

impl Gcs {
    /// The stand-in of this test run. Inject no faults into it whose `on` could match another test's names.
    pub fn shared() -> &'static Gcs {
        static SHARED: OnceLock<Gcs> = OnceLock::new();
        SHARED.get_or_init(|| match super::Addresses::of_this_run() {
            Some(addresses) => Gcs::attach(addresses.gcs),
            None => Gcs::start(),
        })
    }

    /// One that another process has started.
    pub fn attach(address: GcsAddress) -> Gcs {
        Gcs { address, server: None }
    }

    /// One for this test alone.
    pub fn start() -> Gcs {
        let port = free_port();
        let server = server::Running::start(port);
        Gcs { address: GcsAddress { endpoint: format!("http://127.0.0.1:{port}") }, server: Some(server) }
    }

    /// Where it is, for another process.
    pub fn address(&self) -> &GcsAddress {
        &self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> &str {
        &self.address.endpoint
    }

    /// A bucket for tests; its name holds a `-`.
    pub fn bucket(&self) -> &str {
        "aqueduct-test-bucket"
    }

    /// `gs://BUCKET/path`
    pub fn url(&self, path: &str) -> String {
        format!("gs://{}/{path}", self.bucket())
    }

    /// A service account's key file that sends `object_store` here without signing anything.
    pub fn service_account_key(&self) -> String {
        Gcs::key_of(self.endpoint())
    }

    fn key_of(endpoint: &str) -> String {
        serde_json::json!({
            "type": "service_account",
            "gcs_base_url": endpoint,
            "disable_oauth": true,
            "client_email": "tests@aqueduct.invalid",
            "private_key": "unused",
            "private_key_id": "unused",
        })
        .to_string()
    }

    /// The environment that points a process here: the engine's own variable, and a key file for `object_store`'s `from_env`.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        Gcs::env_of(self.endpoint())
    }

    /// The same for an address before a stand-in, such as a proxy's.
    pub fn env_of(endpoint: &str) -> Vec<(&'static str, String)> {
        vec![("STORAGE_EMULATOR_HOST", endpoint.to_owned()), ("GOOGLE_SERVICE_ACCOUNT_KEY", Gcs::key_of(endpoint))]
    }

    /// A client of a bucket, quick to give up.
    pub fn store_of(&self, bucket: &str) -> GoogleCloudStorage {
        self.store_with(bucket, quick_retries())
    }

    /// A client of [`Gcs::bucket`], quick to give up.
    pub fn store(&self) -> GoogleCloudStorage {
        self.store_of(self.bucket())
    }

    /// A client with retries of the test's choice.
    pub fn store_with(&self, bucket: &str, retries: RetryConfig) -> GoogleCloudStorage {
        GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_base_url(self.endpoint())
            .with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: "test".into() })))
            .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout(Duration::from_secs(20)))
            .with_retry(retries)
            .build()
            .expect("all settings are given")
    }

    /// Makes something go wrong. Faults are tried in the order of injection; the first that matches befalls the request.
    pub fn inject(&self, fault: Fault) {
        let body = serde_json::to_vec(&fault).expect("plain data");
        self.control("POST", &body);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.control("DELETE", b"");
    }

    fn control(&self, method: &str, body: &[u8]) {
        let url = format!("{}{}", self.endpoint(), server::FAULTS_PATH);
        let reply = http::request(method, &url, &[], body).unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!(reply.status, 200, "{url}: {}", reply.text());
    }

    /// Ends the server; everything in it is forgotten. Further requests find a closed port.
    pub fn kill(&mut self) {
        assert!(self.server.is_some(), "a shared stand-in must not be killed: use Gcs::start()");
        self.server = None;
    }
}

/// A few quick retries instead of minutes of them.
pub fn quick_retries() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(20), max_backoff: Duration::from_millis(200), base: 2. };
    RetryConfig { backoff, max_retries: 3, retry_timeout: Duration::from_secs(10) }
}
