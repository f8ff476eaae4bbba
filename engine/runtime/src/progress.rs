//! What a reading thread publishes after each batch, and what the coordinator tells the threads.
//!
//! Plain shared data: the threads write, the coordinator reads. No decision is made here.

use crate::exits::{Counts, Exits};
use crate::window::{Fired, PartKey};
use aqueduct_core::{Error, EventTime, Offset, SourceReader, SplitId, SplitStart, Watermark};
use aqueduct_state::PanePuts;
use arrow::array::RecordBatch;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::Sender;

/// A split as its thread sees it.
#[derive(Debug, Clone)]
pub(crate) struct SplitProgress {
    pub(crate) source: usize,
    pub(crate) split: SplitId,
    pub(crate) next: Offset,
    /// Greatest watermark value so far; `i64::MIN` before the first row.
    pub(crate) reached: i64,
    pub(crate) idle: bool,
    pub(crate) ended: bool,
    pub(crate) lag: Option<u64>,
}

impl SplitProgress {
    /// What the split says about time.
    pub(crate) fn watermark(&self) -> Watermark {
        let at = aqueduct_core::EventTime(self.reached);
        match (self.ended, self.idle) {
            (true, _) => Watermark::Ended,
            (false, true) => Watermark::Idle(at),
            (false, false) => Watermark::Active(at),
        }
    }
}

/// How far a source has come over all threads. While a split that was `given` to a thread has not been taken up there, it may
/// stand anywhere and holds everything back: else a thread that begins late would find the windows of its rows fired.
pub(crate) fn shard_watermark(given: usize, splits: impl Iterator<Item = Watermark>) -> EventTime {
    let taken: Vec<Watermark> = splits.collect();
    if taken.len() < given { EventTime::MIN } else { Watermark::combine(taken) }
}

/// Counters of a source on one thread, since the thread began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SourceCounts {
    pub(crate) records: u64,
    pub(crate) dead: u64,
    pub(crate) skipped: u64,
}

/// The published state of one thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerProgress {
    pub(crate) splits: Vec<SplitProgress>,
    /// Per source.
    pub(crate) sources: Vec<SourceCounts>,
    /// Per query: counts since the thread began.
    pub(crate) counts: Vec<Counts>,
    /// Per query: the earliest end of a window with rows that has not fired.
    pub(crate) next_ends: Vec<Option<i64>>,
    /// Per query: panes in memory, and in how many parts of slices they lie.
    pub(crate) live: Vec<(u64, u64)>,
    /// Every reader has come to its end.
    pub(crate) ended: bool,
}

/// Records that were read since the threads began.
pub(crate) fn records(progress: &[WorkerProgress]) -> u64 {
    progress.iter().flat_map(|worker| &worker.sources).map(|counts| counts.records).sum()
}

/// Shared between one thread and the coordinator.
#[derive(Debug, Default)]
pub(crate) struct WorkerShared {
    pub(crate) progress: Mutex<WorkerProgress>,
    /// Bytes of results and exits that wait for the next seal.
    pub(crate) buffered: AtomicU64,
    /// Bytes of state that could leave memory, or are about to.
    pub(crate) state: AtomicU64,
}

impl WorkerShared {
    /// A copy of the newest progress.
    pub(crate) fn progress(&self) -> WorkerProgress {
        self.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Shared between all threads and the coordinator.
#[derive(Debug)]
pub(crate) struct JobShared {
    /// True while nobody may read: a sink, the store or a checkpoint is behind.
    pub(crate) paused: AtomicBool,
    /// No more reading, for good: the job is stopping.
    pub(crate) draining: AtomicBool,
    /// Per source: the shard's watermark, for `late-scope` = `operator`.
    pub(crate) watermarks: Vec<AtomicI64>,
}

impl JobShared {
    /// Of a job that reads so many sources and has just begun.
    pub(crate) fn new(sources: usize) -> Self {
        Self {
            paused: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            watermarks: (0..sources).map(|_| AtomicI64::new(i64::MIN)).collect(),
        }
    }
}

/// What the coordinator asks of a thread.
pub(crate) enum Command {
    /// Cut here. Per source, windows whose last millisecond is at most this fire. Changed panes that the cut does not hold
    /// follow through `panes`, which is closed behind the last of them.
    Barrier { fire_up_to: Arc<Vec<i64>>, space: Arc<Space>, panes: Sender<Panes> },
    /// New splits for a source; the reader is for threads that have none yet.
    Assign { source: usize, reader: Option<Box<dyn SourceReader>>, splits: Vec<(SplitStart, i64)> },
    /// Close the readers and end.
    Stop,
}

/// What a thread tells the coordinator.
pub(crate) enum Event {
    /// The answer to a barrier.
    Cut(Box<Cut>),
    /// The thread has ended with an error.
    Failed(Error),
}

/// What does not fit into memory.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Everything that can leave memory leaves it with this cut.
    pub(crate) make: bool,
    /// What was loaded is taken over right behind the cut.
    pub(crate) loaded: bool,
    /// Per query: parts that some thread has in the state store.
    pub(crate) spilled: Vec<BTreeSet<PartKey>>,
}

/// Changed panes of a cut, as they were when it was cut.
#[derive(Debug, Default)]
pub(crate) struct Panes {
    pub(crate) puts: PanePuts,
    /// How long the thread did nothing but write them down.
    pub(crate) took: std::time::Duration,
}

/// A thread's part of an epoch: everything that came before the barrier.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) worker: usize,
    pub(crate) splits: Vec<SplitProgress>,
    /// Per query, since the last cut.
    pub(crate) counts: Vec<Counts>,
    /// Per query: partials of the windows that fire.
    pub(crate) fired: Vec<Vec<Fired>>,
    /// Per query: windows that fire from the state store, by their only part.
    pub(crate) stored: Vec<Vec<PartKey>>,
    /// Per query: slice parts to delete from the state store.
    pub(crate) retired: Vec<Vec<PartKey>>,
    /// Per query: parts that are in the state store after the cut, those that fire apart.
    pub(crate) spilled: Vec<BTreeSet<PartKey>>,
    /// The first of the changed panes of all queries.
    pub(crate) changes: PanePuts,
    /// Per query without windows: result rows.
    pub(crate) rows: Vec<Vec<RecordBatch>>,
    pub(crate) exits: Exits,
    /// Per query: live panes and their bytes after the cut.
    pub(crate) sizes: Vec<(u64, u64)>,
    /// How long the thread stood still.
    pub(crate) pause: std::time::Duration,
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
