//! The `filesystem` connector: results to, and files from, `gs://`, `s3://` and local folders.
//!
//! | part | duty |
//! |---|---|
//! | [`store`] | opens stores and says what their errors mean; the checkpoints use it too |
//! | [`FilesystemConnector`] | sink (an epoch becomes files that are created only, and one ledger entry) and bounded source |
//! | [`reader`] | reads a results table back, committed files only |
//!
//! # What readers see
//! Files lie in folders that BigQuery, Athena and DuckDB understand (`dt=.../hour=...`, or `PARTITIONED BY`); the
//! ledger lies in `_committed`, which they leave out. A file is whole as soon as it is visible and never changes.
//! Readers of this crate count only files of epochs in the ledger; engines that read the folders directly can see files
//! of an epoch a moment before the epoch counts. These are never wrong rows, because an epoch's contents are sealed
//! before the first file is written.
//!
//! # Limits
//! A table with a primary key keeps the last row of a key within an epoch; a later epoch adds rows and replaces none.
//! Only `object-per-row` replaces. Files are not merged and nothing is ever deleted but claims of older generations.

mod config;
mod connector;
mod decode;
mod encode;
mod layout;
mod ledger;
mod open_file;
mod put;
pub mod reader;
mod rows;
mod sink;
mod source;
pub mod store;

pub use connector::FilesystemConnector;

/// The same sink over a store of a simulation. No part of the connector's interface.
#[doc(hidden)]
pub mod simulation {
    use crate::config::SinkConfig;
    use crate::sink::FilesystemSink;
    use aqueduct_core::{Result, Sink, SinkSpec};
    use object_store::ObjectStore;
    use object_store::path::Path;
    use std::sync::Arc;

    /// A sink that reads its options from `spec` and writes below `path` of `store`.
    pub fn sink(spec: &SinkSpec, store: Arc<dyn ObjectStore>, path: Path) -> Result<Box<dyn Sink>> {
        Ok(Box::new(FilesystemSink::over(SinkConfig::new(spec)?, store, path)?))
    }
}
