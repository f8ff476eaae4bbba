//! The system tables of a job: what left by the late and dead-letter exits, and the ledger that proves that nothing is lost.
//!
//! Their schemas are a promise to users; who fills them is the runtime.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// A table that the job itself fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SystemTable {
    /// `aqueduct$late`: rows that came after every window of theirs had closed, one row per query.
    Late,
    /// `aqueduct$dead_letters`: records that could not become rows.
    DeadLetters,
    /// `aqueduct$ledger`: per sealed epoch and query, where every record went.
    Ledger,
}

impl SystemTable {
    /// All of them.
    pub const ALL: [SystemTable; 3] = [SystemTable::Late, SystemTable::DeadLetters, SystemTable::Ledger];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            SystemTable::Late => "aqueduct$late",
            SystemTable::DeadLetters => "aqueduct$dead_letters",
            SystemTable::Ledger => "aqueduct$ledger",
        }
    }

    /// The columns. Timestamps are `Timestamp(Millisecond, "UTC")`, counts are `Int64`.
    pub fn schema(self) -> SchemaRef {
        let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
        let number = |name: &str| Field::new(name, DataType::Int64, false);
        let time = |name: &str, nullable| {
            Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), nullable)
        };
        let fields = match self {
            SystemTable::Late => vec![
                text("query", false),
                text("source", false),
                text("topic", false),
                number("partition"),
                number("offset"),
                time("event_time", false),
                time("window_start", false),
                time("window_end", false),
                // The decoded columns of the row as a JSON object.
                text("row", false),
            ],
            SystemTable::DeadLetters => vec![
                text("source", false),
                text("topic", false),
                number("partition"),
                number("offset"),
                time("timestamp", true),
                Field::new("key", DataType::Binary, true),
                Field::new("value", DataType::Binary, true),
                text("reason", false),
            ],
            SystemTable::Ledger => vec![
                text("query", false),
                text("source", false),
                number("shard"),
                number("epoch"),
                number("rows_read"),
                number("rows_in_windows"),
                number("rows_filtered"),
                number("rows_late"),
                number("rows_dead"),
                time("sealed_at", false),
            ],
        };
        Arc::new(Schema::new(fields))
    }
}
