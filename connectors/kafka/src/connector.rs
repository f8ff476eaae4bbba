//! [`KafkaConnector`]: what the connector is to the engine. Validates; opens nothing.

use crate::columns;
use crate::options::{OPTIONS, SinkOptions, SourceOptions};
use crate::sink::KafkaSink;
use crate::source::KafkaSource;
use aqueduct_core::{Connector, MetadataKey, OptionDef, Result, Roles, Sink, SinkSpec, Source, SourceSpec};

/// `'connector' = 'kafka'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct KafkaConnector;

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

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        Ok(Box::new(KafkaSource::new(spec, SourceOptions::parse(spec)?)?))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Ok(Box::new(KafkaSink::new(spec, SinkOptions::parse(spec)?)?))
    }
}
