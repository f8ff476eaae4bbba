//! The Firestore sink: a row becomes a whole document, an epoch becomes atomic commits behind a fence document.
//!
//! The anatomy: `config` (options), `database` (the border to the service), `client` (calls with deadlines), `error` (what the operator does next), `id`
//! (documents' ids), `value` (Arrow to Firestore), `rows` (last row of a document), `fence` (who may write, and what is
//! written), `sink` (the contract). There is no source side.
//!
//! # Exactly once
//! Firestore has no condition on a field, only on a document's update time. So every commit carries a write of the
//! fence document `aqueduct_cursors/<job>-s<shard>-<table>` with the update time that this owner has seen last: if
//! anybody wrote the fence in between, the whole commit is refused. An epoch larger than one commit goes in chunks; the
//! fence counts the documents done, and the epoch counts with the last chunk. Readers that must not see parts of an
//! epoch look at the fence's `pending_epoch`, which is 0 when there is none. Opening always changes the fence, so that
//! a commit of ours that is still under way somewhere is refused too. Lineages are numbered upwards; a newer one fences
//! the older.
//!
//! # Values
//! BIGINT, INT, SMALLINT, TINYINT: integer. DOUBLE, FLOAT: double. BOOLEAN, STRING, BYTES: themselves. TIMESTAMP,
//! TIMESTAMP_LTZ: ISO-8601 text, or with `'timestamp-format' = 'native'` a timestamp (without zone: taken as UTC).
//! DATE, TIME: ISO-8601 text. DECIMAL: text with all its digits, because Firestore's only fractions are doubles. ROW,
//! MAP: map. ARRAY: array. NULL: null.

mod client;
mod config;
mod database;
mod error;
mod fence;
mod id;
mod rows;
mod sink;
mod value;

use aqueduct_core::{Connector, MetadataKey, OptionDef, Options, Result, Roles, Sink, SinkSpec, Source, SourceSpec};

/// `'connector' = 'firestore'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct FirestoreConnector;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new("project-id", "The Google Cloud project."),
    OptionDef::with_default("database", "(default)", "The database in the project."),
    OptionDef::new("collection", "The collection to write; default: the table's name in the job."),
    OptionDef::with_default(
        "document-id.key-delimiter",
        "_",
        "Stands between the values of the primary key in a document's id. Percent-encoded in values: '/', '%', and the \
         delimiter's first character in all values but the last.",
    ),
    OptionDef::with_default(
        "timestamp-format",
        "iso",
        "iso: timestamps are ISO-8601 text; native: Firestore timestamps.",
    ),
    OptionDef::new("emulator-host", "host:port of the Firestore emulator; no credentials are asked for then."),
    OptionDef::with_default("sink.max-writes-per-commit", "499", "Documents per commit, besides the fence document."),
    OptionDef::with_default("connect.timeout", "20 s", "How long to wait for a connection."),
    OptionDef::with_default("request.timeout", "60 s", "How long to wait for an answer."),
];

/// Where a test may stop the process: between what was decided and what is durable.
const FAIL_POINTS: &[&str] = &[
    "sink.firestore.after-fence-read",
    "sink.firestore.after-claim",
    "sink.firestore.before-commit",
    "sink.firestore.between-chunks",
    "sink.firestore.after-commit",
];

impl Connector for FirestoreConnector {
    fn name(&self) -> &'static str {
        "firestore"
    }

    fn roles(&self) -> Roles {
        Roles { source: false, sink: true }
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        Vec::new()
    }

    fn fail_points(&self) -> &'static [&'static str] {
        FAIL_POINTS
    }

    fn address(&self, options: &Options) -> Option<String> {
        let (project, database) = (options.get("project-id")?, options.get("database").unwrap_or("(default)"));
        let collection = options.get("collection").unwrap_or(options.table());
        let emulator = options.get("emulator-host").map(|host| format!(" (emulator {host})")).unwrap_or_default();
        Some(format!("{collection} at {project}/{database}{emulator}"))
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        let table = &spec.table;
        Err(aqueduct_core::Error::config(format!(
            "table '{table}': the connector 'firestore' writes only; read from 'kafka' or 'filesystem'"
        )))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::FirestoreSink::new(spec)?))
    }
}

/// The same sink over a service of a simulation. No part of the connector's interface.
#[doc(hidden)]
pub mod simulation {
    pub use crate::database::{Database, Outcome, Service};
    pub use crate::error::Failure;
    use aqueduct_core::{Result, Sink, SinkSpec};
    use std::sync::Arc;

    /// A sink that reads its options from `spec` and writes to `service`.
    pub fn sink(spec: &SinkSpec, service: Arc<dyn Service>) -> Result<Box<dyn Sink>> {
        Ok(Box::new(crate::sink::FirestoreSink::over(spec, service)?))
    }

    /// The real service that `spec` names, to compare a simulated one with.
    pub fn service(spec: &SinkSpec) -> Result<Arc<dyn Service>> {
        Ok(Arc::new(crate::client::Firestore(crate::config::Config::new(spec)?)))
    }
}
