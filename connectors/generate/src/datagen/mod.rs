//! The connector `datagen`: a source of made-up records, for demos, tests and measurements.
//!
//! It says which options there are and makes sources; the records themselves are made in [`crate::records`].

mod columns;
mod config;
mod reader;

#[cfg(test)]
mod tests;

pub use columns::{ColumnRule, Values};
pub use config::{DatagenConfig, Template};

use crate::table::Metadata;
use aqueduct_core::{Connector, Error, MetadataKey, OptionDef, Result, Roles, Sink, SinkSpec, Source, SourceSpec};
use reader::DatagenSource;

/// The metadata that `datagen` offers.
const METADATA: [&str; 3] = ["partition", "offset", "timestamp"];

static OPTIONS: [OptionDef; 18] = [
    OptionDef::new(
        "number-of-rows",
        "How many records there are in all, dead letters included; without it there is no end.",
    ),
    OptionDef::new(
        "rows-per-second",
        "How many records come per second, over all partitions; without it as fast as possible.",
    ),
    OptionDef::with_default("seed", "1", "Another seed gives other records; the same seed always gives the same."),
    OptionDef::with_default("partitions", "4", "How many partitions there are."),
    OptionDef::with_default("idle-partitions", "0", "How many of them, the last ones, stay empty."),
    OptionDef::with_default("start-time", "2026-01-01T00:00:00Z", "When the first record is produced, in RFC 3339."),
    OptionDef::with_default("time-step", "1 ms", "Event time between one record of the source and the next."),
    OptionDef::with_default(
        "disorder",
        "0 ms",
        "Event times lie up to this much, evenly spread, before the production.",
    ),
    OptionDef::with_default(
        "late-fraction",
        "0",
        "The share of records whose event time lies 'late-by' before the production.",
    ),
    OptionDef::new("late-by", "How late late records are; without it one minute more than 'disorder'."),
    OptionDef::with_default(
        "malformed-fraction",
        "0",
        "The share of broken records: cut off, wrong type, time missing or empty, no value, not UTF-8.",
    ),
    OptionDef::with_default("missing-fraction", "0", "The share of optional fields that are left out."),
    OptionDef::with_default("text-number-fraction", "0", "The share of numbers that are written as text."),
    OptionDef::with_default("key-cardinality", "10", "How many different keys (labels, currencies, texts) there are."),
    OptionDef::with_default(
        "time-format",
        "iso",
        "iso: always with Z and milliseconds; mixed: other offsets and fractions too.",
    ),
    OptionDef::new(
        "template",
        "product-images, payments or columns; without it chosen by the declared columns (size_label; currency and amount).",
    ),
    OptionDef::prefix(
        "fields.",
        "For the template columns: fields.<name>.kind = random or sequence, .min, .max, .length (random), .start (sequence).",
    ),
    OptionDef::with_default("format", "json", "Only json: the records are made as JSON text and decoded from it."),
];

/// The connector `datagen`; sources only.
#[derive(Debug, Clone, Copy, Default)]
pub struct DatagenConnector;

impl Connector for DatagenConnector {
    fn name(&self) -> &'static str {
        "datagen"
    }

    fn roles(&self) -> Roles {
        Roles { source: true, sink: false }
    }

    fn options(&self) -> &'static [OptionDef] {
        &OPTIONS
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        Metadata::keys(&METADATA)
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        let config = DatagenConfig::new(&spec.options, &spec.declared)?;
        Ok(Box::new(DatagenSource::new(spec, config)?))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Err(Error::config(format!(
            "table '{}': 'datagen' only makes records; to write into nothing take 'connector' = 'blackhole'",
            spec.table
        )))
    }
}
