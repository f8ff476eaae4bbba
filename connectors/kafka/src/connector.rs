//! [`KafkaConnector`]: what the connector is to the engine. Validates; opens nothing.

use crate::columns;
use crate::options::{OPTIONS, SinkOptions, SourceOptions};
use crate::sink::KafkaSink;
use crate::source::KafkaSource;
use aqueduct_core::{Connector, MetadataKey, OptionDef, Options, Result, Roles, Sink, SinkSpec, Source, SourceSpec};

/// `'connector' = 'kafka'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct KafkaConnector;

/// Where a test may stop the process: between what was decided and what is durable or visible.
const FAIL_POINTS: &[&str] = &[
    "source.kafka.before-assign",
    "source.kafka.after-assign",
    "source.kafka.before-progress",
    "source.kafka.after-progress",
    "sink.kafka.before-init",
    "sink.kafka.after-init",
    "sink.kafka.after-begin",
    "sink.kafka.after-produce",
    "sink.kafka.before-commit",
    "sink.kafka.after-commit",
];

impl Connector for KafkaConnector {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn roles(&self) -> Roles {
        Roles { source: true, sink: true }
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        columns::keys()
    }

    fn fail_points(&self) -> &'static [&'static str] {
        FAIL_POINTS
    }

    fn address(&self, options: &Options) -> Option<String> {
        Some(format!("{} at {}", options.get("topic")?, options.get("properties.bootstrap.servers")?))
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        Ok(Box::new(KafkaSource::new(spec, SourceOptions::parse(spec)?)?))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Ok(Box::new(KafkaSink::new(spec, SinkOptions::parse(spec)?)?))
    }
}
