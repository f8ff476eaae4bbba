//! What a connector is to the engine: a name, the options it accepts, and a maker of sources and sinks.
//!
//! It does not register anything: the runner hands the list of connectors to whoever needs it.

use crate::{OptionDef, Options, Result, Sink, SinkSpec, Source, SourceSpec};
use arrow::datatypes::DataType;

/// Which sides a connector offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// `FROM t` works.
    pub source: bool,
    /// `INSERT INTO t` works.
    pub sink: bool,
}

/// A metadata column that a source offers through `METADATA FROM 'key'`.
#[derive(Debug, Clone)]
pub struct MetadataKey {
    /// The key, such as `offset`.
    pub key: &'static str,
    /// The Arrow type that the source delivers; the planner casts it to the declared type.
    pub data_type: DataType,
}

/// A kind of external system. Implementations are stateless; making a source or sink only validates the options and
/// opens no connection: that happens in [`Source::discover`] and [`Sink::open`].
pub trait Connector: Send + Sync + std::fmt::Debug {
    /// The value of the `connector` option.
    fn name(&self) -> &'static str;

    /// Which sides exist.
    fn roles(&self) -> Roles;

    /// Every option that is accepted, `connector` excluded.
    fn options(&self) -> &'static [OptionDef];

    /// The metadata columns of the source side.
    fn metadata(&self) -> Vec<MetadataKey>;

    /// The names of every fail point that its sources and sinks pass.
    fn fail_points(&self) -> &'static [&'static str] {
        &[]
    }

    /// Where a table with these options is, for people: server, topic, database, folder; never a secret. `None` for tables
    /// that are nowhere outside of this process, and for options that cannot be read.
    fn address(&self, _options: &Options) -> Option<String> {
        None
    }

    /// A source for a table. Errors are [`crate::ErrorKind::FixConfig`] and name table and option.
    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>>;

    /// A sink for a table. Errors are [`crate::ErrorKind::FixConfig`] and name table and option.
    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>>;
}
