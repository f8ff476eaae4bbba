//! Launchers of the real services that the tests talk to, each a process of its own on free loopback ports.
//!
//! | service | what it is | at hand everywhere? |
//! |---|---|---|
//! | [`Kafka`] | one KRaft node; plain, TLS with client certificates, TLS with SCRAM | yes |
//! | [`Postgres`] | Debian's server in a temporary folder, TLS and passwords | yes |
//! | [`Gcs`] | a stand-in of our own for Google's storage, with faults on demand | yes |
//! | [`S3`] | SeaweedFS | yes |
//! | [`Firestore`] | Google's emulator | only where `gcloud` has it: [`Firestore::try_shared`] |
//!
//! [`Proxy`] and [`GrpcFront`] stand in front of any of them and go wrong on demand.
//!
//! Three ways to one:
//! - `X::shared()`: the instance of this test run. `./dev test` starts all services once and names them in the file
//!   `AQUEDUCT_SERVICES`; without it the first caller in a test binary starts one that lives as long as the process.
//!   Use names of your own in it ([`unique`]): topics, databases, collections, prefixes.
//! - `X::start()`: one for this test alone, ended when the value is dropped. For tests that kill, stop or break it.
//! - `X::attach(address)`: one that another process has started.
//!
//! No service outlives its test process: not a panic, not an abort, not SIGKILL (see [`daemon`]). Nothing sleeps for a fixed
//! time: readiness is polled.

pub mod clouds;
pub mod daemon;
pub mod firestore;
pub mod gcs;
pub mod grpc;
pub mod http;
pub mod kafka;
pub mod postgres;
pub mod proxy;
pub mod s3;
pub mod tls;

pub use clouds::{Clouds, Refusal};
pub use firestore::Firestore;
pub use gcs::Gcs;
pub use grpc::GrpcFront;
pub use kafka::{Kafka, Listener, Record};
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use s3::S3;
pub use tls::TlsFiles;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Names the file with the [`Addresses`] of services that are already running.
pub const SERVICES_FILE: &str = "AQUEDUCT_SERVICES";

/// Where the services of a test run are to be found: the contents of the file [`SERVICES_FILE`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// The broker.
    pub kafka: kafka::KafkaAddress,
    /// The database server.
    pub postgres: postgres::PostgresAddress,
    /// The emulator, where there is one.
    pub firestore: Option<firestore::FirestoreAddress>,
    /// The stand-in for Google's storage.
    pub gcs: gcs::GcsAddress,
    /// The S3 server, where there is one.
    pub s3: Option<s3::S3Address>,
}

impl Addresses {
    /// The addresses of the running services, if `AQUEDUCT_SERVICES` is set.
    pub fn of_this_run() -> Option<Addresses> {
        let file = std::env::var_os(SERVICES_FILE)?;
        let text = std::fs::read(&file).unwrap_or_else(|e| panic!("{SERVICES_FILE}={}: {e}", file.display()));
        let addresses = serde_json::from_slice(&text);
        Some(addresses.unwrap_or_else(|e| panic!("{SERVICES_FILE}={}: {e}", file.display())))
    }
}

/// `prefix-<process>-<counter>`: a name that no other test of this run uses, fit for topics, buckets' prefixes,
/// collections and job names.
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// The folder of things that are fetched once: `AQUEDUCT_CACHE`, or `~/.cache/aqueduct`.
pub fn cache_dir() -> PathBuf {
    match std::env::var_os("AQUEDUCT_CACHE") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/aqueduct"),
    }
}

/// Says that tests of a service are passed over, so that nobody takes silence for success. `./dev test` collects these lines.
pub fn skipped(what: &str, remedy: &str) {
    use std::io::Write;
    let line = format!("SKIPPED: {what} is not on this machine ({remedy})\n");
    // Not through the print macros: the test harness would swallow the line of a passing test.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("AQUEDUCT_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
