//! The `print` and `blackhole` connectors: sinks for looking and for measuring.
//!
//! Neither keeps a cursor or a fence, because standard output can be asked for neither. `open` always answers epoch 0,
//! so after a restart the engine delivers every epoch again that its checkpoints still hold: `print` shows rows **at
//! least once**, and a process that was replaced can print beside its successor until it notices. For exactly once take
//! another connector. Nothing is written to files here.

mod sink;

use aqueduct_core::json::{JsonEncoder, JsonOptions};
use aqueduct_core::{
    Connector, Error, MetadataKey, OptionDef, Result, Roles, Sink, SinkSpec, Source, SourceSpec, TableColumn,
};
use sink::{BlackholeSink, PrintSink};

/// `'connector' = 'print'`: every row as `table> {json}` on standard output.
#[derive(Debug, Clone, Copy, Default)]
pub struct PrintConnector;

/// `'connector' = 'blackhole'`: takes every row and forgets it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlackholeConnector;

const SINK_ONLY: Roles = Roles { source: false, sink: true };

const PRINT_OPTIONS: &[OptionDef] = &[
    OptionDef::new("print-identifier", "stands before each row instead of the table's name"),
    OptionDef::with_default("standard-error", "false", "true prints to standard error"),
];

fn no_source(connector: &str, table: &str) -> Error {
    Error::config(format!("table '{table}': the {connector} connector cannot be read from: use it in INSERT INTO only"))
}

impl Connector for PrintConnector {
    fn name(&self) -> &'static str {
        "print"
    }

    fn roles(&self) -> Roles {
        SINK_ONLY
    }

    fn options(&self) -> &'static [OptionDef] {
        PRINT_OPTIONS
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        vec![]
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        Err(no_source(self.name(), &spec.table))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        let encoder = JsonEncoder::new(&TableColumn::schema(&spec.columns), JsonOptions::default())
            .map_err(|error| error.context(format!("table '{}'", spec.table)))?;
        let name = spec.options.get("print-identifier").unwrap_or(&spec.table);
        Ok(if spec.options.bool("standard-error", false)? {
            Box::new(PrintSink::new(name, encoder, std::io::stderr))
        } else {
            Box::new(PrintSink::new(name, encoder, std::io::stdout))
        })
    }
}

impl Connector for BlackholeConnector {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn roles(&self) -> Roles {
        SINK_ONLY
    }

    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        vec![]
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        Err(no_source(self.name(), &spec.table))
    }

    fn sink(&self, _spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Ok(Box::new(BlackholeSink))
    }
}
