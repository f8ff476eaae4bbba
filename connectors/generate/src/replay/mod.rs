//! The connector `replay`: a recorded topic as a source, bounded by the end of its files.
//!
//! It says which options there are and finds the files; lines are taken apart in [`crate::recording`].

mod index;
mod reader;

#[cfg(test)]
mod tests;

use crate::table::{Metadata, TableBuilder};
use aqueduct_core::json::JsonOptions;
use aqueduct_core::{
    Connector, Error, MetadataKey, OptionDef, Options, Result, Roles, Sink, SinkSpec, Source, SourceSpec,
};
use reader::{ReplayConfig, ReplaySource};
use std::path::PathBuf;

/// The metadata that `replay` offers.
const METADATA: [&str; 5] = ["partition", "offset", "timestamp", "topic", "key"];

static OPTIONS: [OptionDef; 5] = [
    OptionDef::new(
        "path",
        "A recording (*.jsonl, *.jsonl.zst), or a folder of them, read in the order of their names.",
    ),
    OptionDef::with_default("format", "json", "The format of the recorded values; only json."),
    OptionDef::new(
        "rows-per-second",
        "How many records come per second, over all partitions; without it as fast as possible.",
    ),
    OptionDef::with_default("json.timestamp-format.standard", "ISO-8601", "ISO-8601 (reads the SQL form too) or SQL."),
    OptionDef::with_default("json.ignore-parse-errors", "false", "Fields that do not convert become null."),
];

/// The connector `replay`; sources only.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayConnector;

impl Connector for ReplayConnector {
    fn name(&self) -> &'static str {
        "replay"
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

    fn address(&self, options: &Options) -> Option<String> {
        options.get("path").map(str::to_owned)
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        spec.options.one_of("format", "json", &["json"])?;
        let json = JsonOptions::from_options(&spec.options)?;
        // A column that cannot be decoded is found now, not when the job runs.
        TableBuilder::new(spec, json, &METADATA)?;
        let config = ReplayConfig { path: path(&spec.options)?, json, rows_per_second: rate(&spec.options)? };
        Ok(Box::new(ReplaySource::new(spec, config)))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Err(Error::config(format!(
            "table '{}': 'replay' only reads; to write files take 'connector' = 'filesystem'",
            spec.table
        )))
    }
}

fn path(options: &Options) -> Result<PathBuf> {
    let text = options.require("path")?;
    let local = text.strip_prefix("file://").unwrap_or(text);
    if local.contains("://") || local.is_empty() {
        return Err(options.invalid("path", text, "a file or folder of this machine (a path or file://...)"));
    }
    Ok(PathBuf::from(local))
}

fn rate(options: &Options) -> Result<Option<f64>> {
    const EXPECTED: &str = "a number of records per second above 0";
    let Some(text) = options.get("rows-per-second") else { return Ok(None) };
    match options.number::<f64>("rows-per-second", 0.0, EXPECTED)? {
        rate if rate > 0.0 && rate.is_finite() => Ok(Some(rate)),
        _ => Err(options.invalid("rows-per-second", text, EXPECTED)),
    }
}
