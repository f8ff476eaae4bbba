//! The Kafka connector: a source that loses and repeats nothing, and a sink whose transactions carry its own cursor.
//!
//! | file | duty |
//! |---|---|
//! | `options` | the `WITH` options of a table, checked |
//! | `properties`, `files` | `properties.*` in Kafka's words to librdkafka's |
//! | `login` | user and password, read again when they are refused |
//! | `tokens` | where OAUTHBEARER tokens come from (MSK IAM) |
//! | `errors`, `context`, `client` | what went wrong with which broker; connections that can say so |
//! | `native` | the only unsafe code: batches straight from librdkafka's queues |
//! | `decode`, `columns` | messages to Arrow batches, dead letters |
//! | `source`, `offsets`, `reader` | splits, where they begin and end; one reader per thread |
//! | `sink`, `cursor`, `producer`, `rows` | the transactional sink, its cursor and fence, its records |
//! | [`transactions`] | what stands open on a results topic, and its end |
//! | `broker`, `link` | the border between the sink's decisions and the brokers; librdkafka behind it |
//!
//! # The source
//! Partitions are assigned by hand at the checkpoint's offsets; offsets committed to a group only show progress. A table
//! without `scan.startup.mode` starts at the **earliest** offset (Flink: the group's), so that nothing is lost unasked.
//! `group-offsets` falls back to the earliest offset where the group has none. A partition found while running starts
//! at its first record. `scan.bounded.mode` = `latest-offset` takes its bound once, at the first look.
//!
//! A record with a null value (a tombstone) is skipped and counted; an empty value, and everything that does not decode,
//! is a dead letter, also with `json.ignore-parse-errors` = `true`, where Flink would drop it in silence. With `format` =
//! `raw` the value is one column as it is, and a null value is NULL.
//!
//! # The sink
//! Every record is the row as a JSON object. Its key is the column of `key.fields` (or the primary key) as plain text;
//! several columns make a JSON object; neither makes no key. With `exactly-once` an epoch is one transaction, and the
//! epoch's number is an offset in that same transaction, in the group `aqueduct.<job>.<shard>.<table>`, on partition 0 of the
//! topic. Brokers forget offsets of a group that is silent for `offsets.retention.minutes` (7 days): the sink renews its own
//! while it runs; after a longer stop the cursor is gone.

mod broker;
mod client;
mod columns;
mod connector;
mod context;
mod cursor;
mod decode;
mod errors;
mod files;
mod link;
mod login;
mod native;
mod offsets;
mod options;
mod producer;
mod properties;
mod reader;
mod rows;
mod sink;
mod source;
mod tokens;
pub mod transactions;
mod values;

pub use connector::KafkaConnector;

/// The same sink over brokers of a simulation. No part of the connector's interface.
#[doc(hidden)]
pub mod simulation {
    pub use crate::broker::{Broker, Failure, Identity, Link, Mark, Outcome, Records, Step, Trouble, Way};
    pub use crate::errors::Complaint;
    use crate::options::SinkOptions;
    use aqueduct_core::{Result, Sink, SinkSpec};
    use arrow::record_batch::RecordBatch;
    use std::sync::Arc;

    /// A sink that reads its options from `spec` and writes to `broker`.
    pub fn sink(spec: &SinkSpec, broker: Arc<dyn Broker>) -> Result<Box<dyn Sink>> {
        Ok(Box::new(crate::sink::KafkaSink::over(spec, SinkOptions::parse(spec)?, broker)?))
    }

    /// The real brokers that `spec` names, to compare simulated ones with.
    pub fn brokers(spec: &SinkSpec) -> Result<Arc<dyn Broker>> {
        Ok(Arc::new(crate::link::Brokers::new(&spec.table, &SinkOptions::parse(spec)?)))
    }

    /// The records that the sink of `spec` makes of rows.
    pub fn records(spec: &SinkSpec, batches: Vec<RecordBatch>) -> Result<Records> {
        let options = SinkOptions::parse(spec)?;
        let rows = Arc::new(crate::rows::Rows::new(spec, options.key, options.json)?);
        Ok(Records { rows, batches })
    }
}
