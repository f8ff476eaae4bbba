//! The reading side of the boundary: [`Source`] knows splits, [`SourceReader`] brings their rows in batches.
//!
//! Watermarks, lateness and windows are the engine's; a source only decodes and counts.

use crate::{FailPoints, Offset, Options, Result, SplitId, TableColumn};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a source is made from. `columns` holds only what the job reads, in the order of the batches.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// The table's name in the job.
    pub table: String,
    /// The `WITH` options.
    pub options: Options,
    /// Physical and metadata columns that are referenced; the schema of every batch, in this order.
    pub columns: Vec<TableColumn>,
    /// Every physical column of the table, referenced or not: generators and file readers may need it.
    pub declared: Vec<TableColumn>,
    /// The job's name, for client ids and progress groups.
    pub job: String,
    /// Passed where something was decided and is not yet durable.
    pub fail_points: FailPoints,
}

/// What must stay the same between a checkpoint and a restart, such as cluster and topic ids: name to id.
/// A name whose id has changed makes the start fail; a name that is new or gone does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceIdentity(pub std::collections::BTreeMap<String, String>);

/// A split and where to begin in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitStart {
    /// The split.
    pub split: SplitId,
    /// The next record to read.
    pub offset: Offset,
}

/// The limits of one read.
#[derive(Debug, Clone, Copy)]
pub struct ReadBudget {
    /// At most so many records (rows and dead letters together).
    pub max_records: usize,
    /// Wait at most so long for the first record.
    pub max_wait: Duration,
}

/// What one read brought.
#[derive(Debug)]
pub enum Read {
    /// Records of one split.
    Batch(SourceBatch),
    /// Nothing within the budget's wait; ask again.
    Empty,
    /// A bounded split has been read to its end. Told once per split.
    SplitEnd(SplitId),
    /// Every assigned split has ended. Told on each further read.
    End,
}

/// Consecutive records of ONE split. `offsets` and `rows` run in parallel; dead letters lie between them.
#[derive(Debug)]
pub struct SourceBatch {
    /// Where the records come from.
    pub split: SplitId,
    /// The decoded rows, with the columns of [`SourceSpec::columns`].
    pub rows: RecordBatch,
    /// The offset of each row; as long as `rows`, ascending.
    pub offsets: Vec<i64>,
    /// Records that could not be decoded, ascending by offset.
    pub dead: Vec<DeadLetter>,
    /// The next record to read after this batch: greater than every offset in it, and it counts records that a source
    /// passes over by contract (tombstones, transaction markers).
    pub next: Offset,
    /// Records passed over by contract (such as tombstones): read, but neither rows nor dead letters.
    pub skipped: u64,
    /// The bytes behind the rows, for rows that the engine must reject later.
    pub raw: Box<dyn RawRecords>,
}

/// The undecoded records behind the rows of a batch.
pub trait RawRecords: Send + std::fmt::Debug {
    /// The record behind row `row` of the batch.
    fn raw(&self, row: usize) -> RawRecord;
}

/// A record as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// The key, if the record has one.
    pub key: Option<Vec<u8>>,
    /// The value, if the record has one.
    pub value: Option<Vec<u8>>,
    /// The record's own timestamp, in milliseconds since 1970, if it has one.
    pub timestamp_ms: Option<i64>,
}

/// A record that cannot become a row. It never stops the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it was read.
    pub split: SplitId,
    /// Its own offset.
    pub offset: i64,
    /// What came.
    pub record: RawRecord,
    /// Why it cannot be a row, for a person: `size_bytes: expected BIGINT, found text 'abc'`.
    pub reason: String,
}

/// How far a reader is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitLag {
    /// The split.
    pub split: SplitId,
    /// Records that exist and have not been returned; `None` while the source cannot tell yet.
    pub records: Option<u64>,
}

/// A table that can be read.
///
/// # Who implements
/// Connectors; one value per table and job, used by the engine's coordinator.
/// # Atomicity and ordering
/// `discover` may be called at any time and reports all splits that exist now. Readers of disjoint splits run at once
/// on different threads.
/// # Idempotency and retry
/// Every method may be repeated. [`crate::ErrorKind::Retry`] means: the same call may work later.
/// # Blocking
/// Methods block the calling thread; the engine calls them from threads of its own, each with a deadline of the source's.
pub trait Source: Send {
    /// The splits that exist now and the identity of what they belong to. The first call checks that every part of the
    /// system can be reached and names the part that cannot.
    fn discover(&mut self) -> Result<(Vec<SplitId>, SourceIdentity)>;

    /// Where a split begins that no checkpoint knows. `late_arrival` is true for splits found while running, which
    /// begin at their first record whatever the start-up mode says (else records are lost).
    fn start_of(&mut self, split: &SplitId, late_arrival: bool) -> Result<Offset>;

    /// A reader for some splits. An offset that the system no longer holds is [`crate::ErrorKind::FixData`].
    fn reader(&mut self, splits: Vec<SplitStart>) -> Result<Box<dyn SourceReader>>;

    /// Shows progress to outsiders (such as Kafka's committed group offsets). Never read back as truth.
    fn publish_progress(&mut self, offsets: &[SplitStart]) -> Result<()>;

    /// True when every split ends (bounded input): the job can finish.
    fn bounded(&self) -> bool;

    /// How many records there are to read in all, when that is known, for a progress bar.
    fn expected_records(&self) -> Option<u64>;
}

/// Reads some splits, on a thread of its own.
///
/// # Atomicity and ordering
/// The batches of a split come in offset order without gap or repetition: a batch begins where the one before ended.
/// # Idempotency and retry
/// After [`crate::ErrorKind::Retry`] the next `read` goes on at the same place.
/// # Blocking
/// `read` returns within the budget's wait plus the time to decode one batch.
pub trait SourceReader: Send {
    /// The next batch of one split.
    fn read(&mut self, budget: ReadBudget) -> Result<Read>;

    /// Adds splits that were found while running.
    fn assign(&mut self, splits: Vec<SplitStart>) -> Result<()>;

    /// How far each assigned split is behind, from what the reader knows without asking.
    fn lag(&self) -> Vec<SplitLag>;

    /// Gives back connections and buffers.
    fn close(&mut self);
}
