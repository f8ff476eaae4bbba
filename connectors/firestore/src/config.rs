//! The options of a Firestore table, checked. It connects to nothing.

use crate::value::TimestampFormat;
use aqueduct_core::{Error, Options, Result, SinkSpec};
use std::fmt;
use std::time::Duration;

/// Google refuses more writes in one commit than 500; one of them is the fence.
const MAX_DOCUMENTS: usize = 499;

/// Google takes requests of 10 MiB, the emulator of 4 MiB; the rest is for what stands around the writes.
const GOOGLE_BYTES: usize = 9 << 20;
const EMULATOR_BYTES: usize = 7 << 19;

/// Everything that the options say.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) location: Location,
    pub(crate) collection: String,
    pub(crate) delimiter: String,
    pub(crate) timestamps: TimestampFormat,
    pub(crate) emulator: Option<String>,
    pub(crate) max_documents: usize,
    /// What the writes of one commit may take.
    pub(crate) max_bytes: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

/// A database. Its text is its resource name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) project: String,
    pub(crate) database: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "projects/{}/databases/{}", self.project, self.database)
    }
}

impl Location {
    /// The resource name of a document.
    pub(crate) fn document(&self, collection: &str, id: &str) -> String {
        format!("{self}/documents/{collection}/{id}")
    }
}

impl Config {
    /// Reads the options. Errors name table and option.
    pub(crate) fn new(spec: &SinkSpec) -> Result<Self> {
        let options = &spec.options;
        if spec.primary_key.is_empty() {
            return Err(Error::config(format!(
                "table '{}': document ids are made from the primary key; declare PRIMARY KEY (...) NOT ENFORCED",
                spec.table
            )));
        }
        let native = options.one_of("timestamp-format", "iso", &["iso", "native"])? == "native";
        Ok(Self {
            location: Location {
                project: name(options, "project-id", options.require("project-id")?)?,
                database: name(options, "database", options.get("database").unwrap_or("(default)"))?,
            },
            collection: collection(options)?,
            delimiter: delimiter(options, spec.primary_key.len())?,
            timestamps: if native { TimestampFormat::Native } else { TimestampFormat::Iso },
            emulator: options.get("emulator-host").map(|host| emulator(options, host)).transpose()?,
            max_documents: max_documents(options)?,
            max_bytes: if options.get("emulator-host").is_some() { EMULATOR_BYTES } else { GOOGLE_BYTES },
            connect_timeout: options.duration("connect.timeout")?.unwrap_or(Duration::from_secs(20)),
            request_timeout: options.duration("request.timeout")?.unwrap_or(Duration::from_secs(60)),
        })
    }
}

/// A part of a resource name.
fn name(options: &Options, key: &str, value: &str) -> Result<String> {
    match value.contains('/') || value.chars().any(char::is_whitespace) {
        true => Err(options.invalid(key, value, "a name without '/' and blanks")),
        false => Ok(value.to_owned()),
    }
}

/// A collection, or one below a document: an odd number of parts.
fn collection(options: &Options) -> Result<String> {
    let path = options.get("collection").unwrap_or(options.table());
    let mut parts = path.split('/');
    let fits = path.split('/').count() % 2 == 1 && parts.all(|part| !part.is_empty() && part != "." && part != "..");
    match fits {
        true => Ok(path.to_owned()),
        false => Err(options.invalid("collection", path, "a collection, or collection/document/collection")),
    }
}

fn delimiter(options: &Options, keys: usize) -> Result<String> {
    // An empty value counts as absent, so it is the default.
    let delimiter = options.get("document-id.key-delimiter").unwrap_or("_");
    match keys > 1 && delimiter.contains(['/', '%']) {
        true => Err(options.invalid("document-id.key-delimiter", delimiter, "a text without '/' and '%'")),
        false => Ok(delimiter.to_owned()),
    }
}

fn emulator(options: &Options, host: &str) -> Result<String> {
    let bare = host.strip_prefix("http://").unwrap_or(host).trim_end_matches('/');
    let port = bare.rsplit_once(':').and_then(|(name, port)| (!name.is_empty()).then(|| port.parse::<u16>().ok())?);
    match port {
        Some(_) => Ok(bare.to_owned()),
        None => Err(options.invalid("emulator-host", host, "host:port")),
    }
}

fn max_documents(options: &Options) -> Result<usize> {
    let key = "sink.max-writes-per-commit";
    let expected = "a number from 1 to 499";
    let number = options.number(key, MAX_DOCUMENTS, expected)?;
    match (1..=MAX_DOCUMENTS).contains(&number) {
        true => Ok(number),
        false => Err(options.invalid(key, options.get(key).unwrap_or_default(), expected)),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
