//! The Postgres sink: sealed epochs become multi-row statements behind a cursor row.
//!
//! The anatomy: `config` (options), `error` (what the operator does next), `cursor` (claim and fence), `rows` (order, last
//! row of a key), `sink` (the contract). Below the border that `session` draws: `server` (the statements), `login` and `client` (one
//! connection), `types`, `table` and `look` (columns of the job against columns of the table), `encode` and `statement` (Arrow to
//! SQL). There is no source side.
//!
//! # Exactly once
//! `aqueduct_cursor`, in the schema of the target table, holds a row per (job, shard, sink, lineage). An epoch is one
//! transaction: first the cursor moves from the expected epoch to the new one, if no higher generation has claimed it,
//! then the rows are written. Opening claims the generation, and gives every older lineage the highest generation there
//! is, so that no owner of it can ever write again. Lineages are numbered upwards.

mod client;
mod config;
mod cursor;
mod encode;
mod error;
mod login;
mod look;
mod rows;
mod server;
mod session;
mod sink;
mod statement;
mod table;
mod types;

use aqueduct_core::{Connector, MetadataKey, OptionDef, Options, Result, Roles, Sink, SinkSpec, Source, SourceSpec};

/// `'connector' = 'postgres'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresConnector;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "url",
        "Where the database is: postgres://host:port/database or jdbc:postgresql://host:port/database.",
    ),
    OptionDef::new("table-name", "The table to write, schema.table allowed; default: the table's name in the job."),
    OptionDef::new("username", "The user; also possible in the url."),
    OptionDef::new("password", "The password; take it from a file with ${file:PATH}."),
    OptionDef::with_default(
        "sslmode",
        "prefer",
        "disable, allow (as disable), prefer, require (with ssl-root-cert: as verify-ca), verify-ca or verify-full.",
    ),
    OptionDef::new("ssl-root-cert", "PEM file with the certificate authorities to trust beside the public ones."),
    OptionDef::new("ssl-cert", "PEM file with the client's certificate."),
    OptionDef::new("ssl-key", "PEM file with the client's key."),
    OptionDef::with_default("sink.create-table", "false", "Create the table when it is missing."),
    OptionDef::with_default("sink.buffer-flush.max-rows", "5000", "Rows per statement."),
    OptionDef::with_default("connect.timeout", "20 s", "How long to wait for a connection."),
];

/// Where a test may stop the process: between what was decided and what is durable.
const FAIL_POINTS: &[&str] = &[
    "sink.postgres.before-claim",
    "sink.postgres.before-claim-commit",
    "sink.postgres.after-claim",
    "sink.postgres.after-begin",
    "sink.postgres.after-fence",
    "sink.postgres.before-commit",
    "sink.postgres.after-commit",
];

impl Connector for PostgresConnector {
    fn name(&self) -> &'static str {
        "postgres"
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
        let config = config::Config::new(options).ok()?;
        Some(format!("{} at {}", config.table, config.address))
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        let table = &spec.table;
        Err(aqueduct_core::Error::config(format!(
            "table '{table}': the connector 'postgres' writes only; read from 'kafka' or 'filesystem'"
        )))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::PostgresSink::new(spec)?))
    }
}

/// The same sink over a database of a simulation. No part of the connector's interface.
#[doc(hidden)]
pub mod simulation {
    pub use crate::error::Failure;
    pub use crate::session::{Boundary, Change, Database, Entry, Key, Names, Only, Outcome, Session};
    use aqueduct_core::{Result, Sink, SinkSpec};
    use std::sync::Arc;

    /// A sink that reads its options from `spec` and writes to `database`.
    pub fn sink(spec: &SinkSpec, database: Arc<dyn Database>) -> Result<Box<dyn Sink>> {
        Ok(Box::new(crate::sink::PostgresSink::over(spec, database)?))
    }

    /// The real server that `spec` names, to compare a simulated one with.
    pub fn server(spec: &SinkSpec) -> Result<Arc<dyn Database>> {
        let config = Arc::new(crate::config::Config::new(&spec.options)?);
        Ok(Arc::new(crate::server::Server::new(config, spec)))
    }
}
