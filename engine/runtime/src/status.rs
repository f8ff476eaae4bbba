//! What a running job tells about itself: one snapshot type that the panel, `/status`, `/metrics` and the summary all read.
//!
//! It holds numbers only; nobody decides anything from them.

use crate::histogram::Histogram;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;

/// Where the job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Claiming the shard, restoring state, opening sinks.
    #[default]
    Starting,
    /// Reading.
    Running,
    /// No more input; sealing and delivering what is left.
    Draining,
    /// Bounded input was read to its end and everything is delivered.
    Finished,
    /// Stopped on request; goes on from here at the next start.
    Stopped,
    /// Ended with an error.
    Failed,
}

/// Everything at one moment. Counters count since the start of the job's lineage (restored from the checkpoint) unless
/// their name says `run`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StatusSnapshot {
    /// `pipeline.name`
    pub job: String,
    /// Where the job is in its life.
    pub state: JobState,
    /// The line of epochs.
    pub lineage: u32,
    /// The shard.
    pub shard: u32,
    /// This owner's generation.
    pub generation: u64,
    /// Wall time of the start of this process's run, ms since 1970.
    pub started_at_ms: i64,
    /// Wall time of this snapshot, ms since 1970.
    pub now_ms: i64,
    /// Number of reading threads.
    pub parallelism: usize,
    /// Records read since the process started (for rates).
    pub run_records: u64,
    /// Records that a bounded input holds in all, if known.
    pub expected_records: Option<u64>,
    /// The tables that are read.
    pub sources: Vec<SourceStatus>,
    /// The computations.
    pub queries: Vec<QueryStatus>,
    /// The tables that are written.
    pub sinks: Vec<SinkStatus>,
    /// Checkpoints.
    pub checkpoint: CheckpointStatus,
    /// Where the records went, per query.
    pub ledger: Vec<LedgerTotals>,
    /// True while reading waits for sinks, state or checkpoints.
    pub backpressured: bool,
    /// The error that ended the job.
    pub error: Option<String>,
    /// How often this process learned that a newer owner had taken over; it ends then.
    #[serde(default)]
    pub fences_lost: u64,
}

/// A table that is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Table name.
    pub table: String,
    /// Records read: rows, dead letters and skipped ones.
    pub records: u64,
    /// Records that could not become rows.
    pub dead: u64,
    /// Records that the source passes over by contract, such as tombstones.
    pub skipped: u64,
    /// Sum of the splits' lag; `None` while some split cannot tell.
    pub lag: Option<u64>,
    /// The source's watermark, ms since 1970; `None` before the first row or without `WATERMARK FOR`.
    pub watermark_ms: Option<i64>,
    /// The split that holds the watermark back.
    pub watermark_holder: Option<String>,
    /// Each split.
    pub splits: Vec<SplitStatus>,
}

/// A split of a table.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SplitStatus {
    /// `topic[partition]`
    pub split: String,
    /// The next record to read.
    pub next_offset: i64,
    /// Records that exist and are not read yet.
    pub lag: Option<u64>,
    /// Greatest watermark reached, ms since 1970.
    pub watermark_ms: Option<i64>,
    /// Silent for longer than the idle timeout.
    pub idle: bool,
    /// Bounded and read to its end.
    pub ended: bool,
}

/// A computation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct QueryStatus {
    /// View or table name.
    pub name: String,
    /// Live (window, key) panes in memory at the last seal.
    pub panes: u64,
    /// Windows whose panes are in the state store, for want of memory.
    #[serde(default)]
    pub stored_windows: u64,
    /// Windows that have fired.
    pub fired_windows: u64,
    /// Result rows sealed.
    pub result_rows: u64,
    /// Bytes of panes in memory at the last seal.
    pub state_bytes: u64,
}

/// A table that is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Table name.
    pub table: String,
    /// `postgres`, `kafka`, ...
    pub connector: String,
    /// The last epoch that the sink has applied.
    pub cursor: u64,
    /// Sealed epochs with rows for it that are not applied yet.
    pub backlog_epochs: u64,
    /// Rows in them.
    pub backlog_rows: u64,
    /// Rows applied by this process.
    pub run_rows: u64,
    /// Deliveries that had to be repeated.
    pub retries: u64,
    /// The last error, while the sink is down.
    pub error: Option<String>,
    /// Wall time at which the last epoch became visible, ms since 1970.
    pub applied_at_ms: Option<i64>,
    /// Records of the sink's topic that committed readers cannot see yet; `None` where that has no meaning or is not known.
    #[serde(default)]
    pub unstable_records: Option<u64>,
}

/// Checkpoints.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CheckpointStatus {
    /// The last committed epoch.
    pub epoch: u64,
    /// When it was committed, ms since 1970.
    pub committed_at_ms: Option<i64>,
    /// From the cut to the durable record, ms, of the last one.
    pub last_duration_ms: Option<u64>,
    /// The longest time that a thread stood still for the last cut, or for some of its panes, microseconds.
    pub last_pause_us: Option<u64>,
    /// The same of every cut of this process.
    #[serde(default)]
    pub pauses: Histogram,
    /// Bytes uploaded for the last one.
    pub last_uploaded_bytes: u64,
    /// Bytes of state files that this process uploaded.
    #[serde(default)]
    pub run_state_bytes: u64,
    /// Bytes of the changed panes behind them, keys and values.
    #[serde(default)]
    pub run_changed_bytes: u64,
    /// Bytes that the whole last checkpoint refers to.
    pub last_total_bytes: u64,
    /// Committed by this process.
    pub run_commits: u64,
    /// Put attempts whose outcome had to be read back.
    pub put_readbacks: u64,
    /// The epoch from which this process restored, if any.
    pub restored_epoch: Option<u64>,
    /// How long the restore took, ms: until the first record can be read.
    pub restore_ms: Option<u64>,
    /// Much state is still being read into memory beside the records; its windows do not fire meanwhile.
    #[serde(default)]
    pub loading: bool,
    /// How long that took beyond the restore, ms, when it is over.
    #[serde(default)]
    pub load_ms: Option<u64>,
    /// Wall time up to which nothing was left to seal, ms since 1970: the last commit, or a later look that found nothing.
    #[serde(default)]
    pub secured_at_ms: Option<i64>,
    /// The newest request to seal ([`crate::Control::ask_seal`]) that is fulfilled.
    #[serde(default)]
    pub answered: u64,
    /// Blobs of earlier owners that no commit needed, found by this process.
    #[serde(default)]
    pub orphaned_blobs: u64,
    /// Epochs that are still to be cut again after damage.
    #[serde(default)]
    pub repeats_left: u64,
}

/// `rows_read = in_windows + filtered + late + dead`, per query. For a query without windows `in_windows` counts its result rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTotals {
    /// View or table name.
    pub query: String,
    /// The table that it reads.
    pub source: String,
    /// Records read: rows, dead letters and skipped ones.
    pub rows_read: u64,
    /// Rows that entered at least one window.
    pub in_windows: u64,
    /// Rows that a filter dropped, and records skipped by contract.
    pub filtered: u64,
    /// Rows that came after every window of theirs had closed.
    pub late: u64,
    /// Records that could not become rows.
    pub dead: u64,
}

impl LedgerTotals {
    /// True when every record is accounted for.
    pub fn closes(&self) -> bool {
        self.rows_read == self.in_windows + self.filtered + self.late + self.dead
    }
}

/// The shared place of the newest snapshot.
#[derive(Debug, Default)]
pub struct StatusBoard {
    current: Mutex<StatusSnapshot>,
}

impl StatusBoard {
    /// The newest snapshot.
    pub fn snapshot(&self) -> StatusSnapshot {
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Changes the snapshot in place.
    pub fn update(&self, change: impl FnOnce(&mut StatusSnapshot)) {
        change(&mut self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}
