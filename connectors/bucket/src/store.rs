//! Opening object stores: `gs://`, `s3://` and local folders, with bounded waiting and errors that say what to do.
//!
//! Used by the sink, the source, the runner and the checkpoints. It knows nothing of tables, ledgers or checkpoints,
//! and keeps no credentials: those come from the environment of the process.

mod durable;
mod errors;
mod google;
mod look;

use aqueduct_core::{Error, Result};
use durable::DurableLocal;
use errors::cause;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider};
use std::sync::Arc;
use std::time::Duration;

pub use errors::store_error;
pub use look::{Needs, look};

/// How a store is reached.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// A stand-in's or private endpoint's address, such as `http://127.0.0.1:9000`. It goes before the environment's
    /// (`STORAGE_EMULATOR_HOST`, `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`). With `http://` a `gs://` store gets a
    /// dummy bearer token, because stand-ins do not look at it.
    pub endpoint: Option<String>,
    /// No request is tried again after so long.
    pub retry_timeout: Duration,
    /// One try of one request, upload or download included, takes at most so long.
    pub request_timeout: Duration,
    /// Local folders only: flush files and folders to the disk before a write counts. Checkpoints ask for it.
    pub fsync: bool,
    /// Local folders only: create a missing folder instead of failing.
    pub create_folder: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            retry_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(30),
            fsync: false,
            create_folder: true,
        }
    }
}

/// The systems that a URL can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Gcs,
    S3,
    Local,
}

/// A URL taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    system: System,
    /// Empty for local folders.
    bucket: String,
    /// Below the bucket, or the folder on this machine.
    path: String,
}

impl Location {
    /// Takes `gs://bucket/prefix`, `s3://bucket/prefix`, `file:///folder` and plain local paths.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            if url.trim().is_empty() {
                return Err(Error::config(
                    "the path is empty: give gs://bucket/folder, s3://bucket/folder or a local folder",
                ));
            }
            // Flink's users also write file:/folder.
            let path = url.strip_prefix("file:").unwrap_or(url);
            return Ok(Self { system: System::Local, bucket: String::new(), path: path.to_owned() });
        };
        let system = match scheme.to_ascii_lowercase().as_str() {
            "gs" => System::Gcs,
            // Hadoop's spellings, which Flink's users write.
            "s3" | "s3a" | "s3p" => System::S3,
            "file" => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                if !path.starts_with('/') {
                    return Err(Error::config(format!(
                        "'{url}' is not usable: a file URL has three slashes, file:///folder"
                    )));
                }
                return Ok(Self { system: System::Local, bucket: String::new(), path: path.to_owned() });
            }
            _ => {
                return Err(Error::config(format!(
                    "'{url}' is not usable: '{scheme}://' is not supported; take gs://, s3://, file:/// or a local path"
                )));
            }
        };
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::config(format!("'{url}' names no bucket: write {scheme}://bucket/folder")));
        }
        let path = path.trim_matches('/').to_owned();
        Path::parse(&path).map_err(|error| Error::config(format!("'{url}' is not usable as a path: {error}")))?;
        Ok(Self { system, bucket: bucket.to_owned(), path })
    }

    /// True for a folder of this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.system == System::Local
    }

    /// True for a folder of this machine that does not exist; nothing is asked of buckets.
    pub(crate) fn is_missing_folder(&self) -> bool {
        self.is_local() && !std::path::Path::new(&self.path).exists()
    }
}

/// True for the URL of a folder of this machine that does not exist; nothing is asked of buckets.
pub fn is_missing_folder(url: &str) -> Result<bool> {
    Location::parse(url).map(|location| location.is_missing_folder())
}

/// Opens the store of `url` and names the place in it: `gs://bucket/prefix`, `s3://bucket/prefix`, `file:///folder`, or
/// a local path (a relative one counts from the current folder). No request is made; a missing local folder is created
/// (see [`StoreOptions::create_folder`]). A local path that is a file gives its folder and the file's name.
///
/// The environment counts: for S3 the usual `AWS_*` variables, for GCS `GOOGLE_APPLICATION_CREDENTIALS`,
/// `GOOGLE_SERVICE_ACCOUNT` and `STORAGE_EMULATOR_HOST`; without any of them the machine's own identity is asked for.
pub fn open_store(url: &str, options: &StoreOptions) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let location = Location::parse(url)?;
    if location.is_local() {
        return open_local(&location.path, options);
    }
    let prefix = Path::parse(&location.path)
        .map_err(|error| Error::config(format!("'{url}' is not usable as a path: {error}")).with_source(error))?;
    let store: Arc<dyn ObjectStore> = match location.system {
        System::Gcs => open_gcs(&location.bucket, options).map_err(|error| not_opened(url, error))?,
        _ => open_s3(&location.bucket, options).map_err(|error| not_opened(url, error))?,
    };
    Ok((store, prefix))
}

/// Settings or credential files that the store's client refuses before any request.
fn not_opened(url: &str, error: object_store::Error) -> Error {
    Error::config(format!("opening {url}: {}: check the credentials and the endpoint", cause(&error)))
        .with_source(error)
}

fn open_local(folder: &str, options: &StoreOptions) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let failed = |what: &str, error: std::io::Error| {
        Error::config(format!("{what} '{folder}': {error}: check the path and its permissions")).with_source(error)
    };
    let absolute = std::path::absolute(folder).map_err(|error| failed("resolving the folder", error))?;
    let (root, inside) = if absolute.is_file() {
        let name = absolute.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let inside = Path::parse(&name).map_err(|error| Error::config(format!("file '{folder}': {error}")))?;
        (absolute.parent().map(std::path::Path::to_path_buf).unwrap_or_default(), inside)
    } else {
        if options.create_folder {
            std::fs::create_dir_all(&absolute).map_err(|error| failed("creating the folder", error))?;
        } else if let Err(error) = std::fs::metadata(&absolute) {
            return Err(failed("reading the folder", error));
        }
        (absolute, Path::ROOT)
    };
    let local = LocalFileSystem::new_with_prefix(&root).map_err(|error| {
        Error::config(format!("opening the folder '{folder}': {}", cause(&error))).with_source(error)
    })?;
    let store: Arc<dyn ObjectStore> = if options.fsync { Arc::new(DurableLocal::new(local)) } else { Arc::new(local) };
    Ok((store, inside))
}

fn open_gcs(bucket: &str, options: &StoreOptions) -> object_store::Result<Arc<dyn ObjectStore>> {
    let emulator = std::env::var("STORAGE_EMULATOR_HOST").ok().filter(|host| !host.is_empty());
    let (endpoint, stand_in) = match (&options.endpoint, emulator) {
        (Some(url), _) => (Some(url.clone()), url.starts_with("http://")),
        (None, Some(host)) if host.contains("://") => (Some(host), true),
        (None, Some(host)) => (Some(format!("http://{host}")), true),
        (None, None) => (None, false),
    };
    let mut builder = if stand_in {
        // Not from the environment: a credentials file must not be sent to a stand-in, nor be needed for it. Skipping
        // the signature alone would still ask the metadata server for a token on writes.
        let credential = GcpCredential { bearer: "stand-in".to_owned() };
        GoogleCloudStorageBuilder::new().with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
    } else {
        google::identified(GoogleCloudStorageBuilder::from_env())
    };
    if let Some(url) = &endpoint {
        builder = builder.with_base_url(url.trim_end_matches('/'));
    }
    let client = client_options(options, endpoint.as_deref());
    let store = builder.with_bucket_name(bucket).with_retry(retry(options)).with_client_options(client).build()?;
    Ok(Arc::new(store))
}

fn open_s3(bucket: &str, options: &StoreOptions) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::from_env();
    if let Some(url) = &options.endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, url.trim_end_matches('/'));
    }
    let endpoint = builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    let client = client_options(options, endpoint.as_deref());
    let store = builder
        .with_bucket_name(bucket)
        .with_retry(retry(options))
        .with_client_options(client)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()?;
    Ok(Arc::new(store))
}

fn client_options(options: &StoreOptions, endpoint: Option<&str>) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(endpoint.is_some_and(|url| url.starts_with("http://")))
        .with_timeout(options.request_timeout)
        .with_connect_timeout(Duration::from_secs(5).min(options.request_timeout))
        .with_content_type_for_suffix("json", "application/json")
        .with_content_type_for_suffix("parquet", "application/vnd.apache.parquet")
}

/// The library's own limit is minutes: a caller that is to make backpressure must hear of a down store sooner.
fn retry(options: &StoreOptions) -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(3), base: 2.0 };
    RetryConfig { backoff, max_retries: 10, retry_timeout: options.retry_timeout }
}

#[cfg(test)]
mod tests;
