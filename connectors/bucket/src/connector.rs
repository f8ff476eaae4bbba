//! What the engine sees of this crate: a name, options, and a maker of sinks and sources.

use crate::config::{OPTIONS, SinkConfig};
use crate::sink::FilesystemSink;
use crate::source::{FILE_PATH, FilesystemSource, OFFSET};
use aqueduct_core::{Connector, MetadataKey, OptionDef, Options, Result, Roles, Sink, SinkSpec, Source, SourceSpec};
use arrow::datatypes::DataType;

/// `'connector' = 'filesystem'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilesystemConnector;

/// Where a test may stop the process: between what was decided and what is durable.
const FAIL_POINTS: &[&str] = &[
    "sink.filesystem.before-claim",
    "sink.filesystem.after-claim",
    "sink.filesystem.before-object",
    "sink.filesystem.before-entry",
    "sink.filesystem.after-entry",
];

impl Connector for FilesystemConnector {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn roles(&self) -> Roles {
        Roles { source: true, sink: true }
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        vec![
            MetadataKey { key: FILE_PATH, data_type: DataType::Utf8 },
            MetadataKey { key: OFFSET, data_type: DataType::Int64 },
        ]
    }

    fn fail_points(&self) -> &'static [&'static str] {
        FAIL_POINTS
    }

    fn address(&self, options: &Options) -> Option<String> {
        options.get("path").map(str::to_owned)
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        Ok(Box::new(FilesystemSource::new(spec)?))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Ok(Box::new(FilesystemSink::new(SinkConfig::new(spec)?)?))
    }
}
