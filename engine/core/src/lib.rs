//! The nouns of the engine and its two boundary traits.
//!
//! Everything that engine rooms and connectors say to each other is said in the words of this crate. It holds Arrow
//! types, plain data and contracts; it does no I/O, knows no async runtime and reads no wall clock.
//!
//! | noun | its one law |
//! |---|---|
//! | [`SplitId`], [`Offset`] | an offset is the NEXT record to read; offsets advance only inside a checkpoint |
//! | [`Watermark`] | monotone per split; a source's is the minimum over its active splits |
//! | [`Epoch`] | the number of a consistent cut of a shard |
//! | [`Generation`] | one incarnation of a shard's owner; a lower one can make nothing visible |
//! | [`Source`], [`SourceReader`] | open at offsets, read a batch, report lag, close |
//! | [`Sink`], [`CommitPermit`] | apply a sealed epoch behind the sink's own fence; report the last applied epoch |
//! | [`Error`] | its kind says what the operator does next |

mod connector;
mod error;
mod fail;
mod host;
pub mod json;
mod line;
mod look;
mod options;
mod position;
mod secrets;
mod sink;
mod source;
mod table;
mod time;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use connector::{Connector, MetadataKey, Roles};
pub use error::{Error, ErrorKind, Result, with_causes};
pub use fail::FailPoints;
pub use host::{Host, Task, Turn, Turns};
pub use line::{Ancestor, Line, Repeated, Standing, Survey};
pub use look::Hurdle;
pub use options::{OptionDef, Options, parse_duration};
pub use position::{Epoch, Generation, JobName, Lineage, Offset, ShardId, SplitId};
pub use secrets::Secrets;
pub use sink::{Claimed, CommitPermit, Cursor, SealedEpoch, Sink, SinkSpec};
pub use source::{
    DeadLetter, RawRecord, RawRecords, Read, ReadBudget, Source, SourceBatch, SourceIdentity, SourceReader, SourceSpec,
    SplitLag, SplitStart,
};
pub use table::{ColumnKind, TableColumn};
pub use time::{Clock, EventTime, Watermark};
