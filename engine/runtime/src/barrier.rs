//! What the coordinator and the owner of the epochs tell each other: a barrier with the cuts of all threads, and what became of it.

use crate::progress::{Cut, Panes, SourceCounts};
use crate::status::{CheckpointStatus, QueryStatus};
use crate::window::PartKey;
use aqueduct_checkpoint::Cut as RecordedCut;
use aqueduct_core::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// What a committed epoch tells the coordinator.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    pub(crate) epoch: Epoch,
    /// As [`Barrier::asked`].
    pub(crate) asked: u64,
    pub(crate) checkpoint: CheckpointStatus,
    pub(crate) queries: Vec<QueryStatus>,
    /// Per query: parts in the state store that a thread may have to add to.
    pub(crate) spilled: Vec<BTreeSet<PartKey>>,
    /// Windows that fire from the state store have more keys to show.
    pub(crate) unfired: bool,
}

/// The cuts of all threads and what they were cut for.
#[derive(Debug)]
pub(crate) struct Barrier {
    pub(crate) cuts: Vec<Cut>,
    /// Per source.
    pub(crate) fire_up_to: Arc<Vec<i64>>,
    /// The input has ended.
    pub(crate) finished: bool,
    /// Steady time at which the barrier was sent.
    pub(crate) begun: Duration,
    /// Per source: counts since the job's lineage began.
    pub(crate) sources: BTreeMap<String, SourceCounts>,
    /// The newest request to seal that this cut fulfils.
    pub(crate) asked: u64,
    /// The cut that this one repeats.
    pub(crate) repeat: Option<RecordedCut>,
    /// Brings the changed panes that the cuts do not hold.
    pub(crate) rest: Option<Receiver<Panes>>,
    /// Everything that can leave memory is to leave it.
    pub(crate) make_space: bool,
    /// What was loaded is taken over behind this cut.
    pub(crate) loaded: bool,
}

impl Barrier {
    /// A cut that nobody has answered yet.
    pub(crate) fn new(fire_up_to: Vec<i64>, finished: bool, begun: Duration, asked: u64) -> Self {
        Self {
            cuts: Vec::new(),
            fire_up_to: Arc::new(fire_up_to),
            finished,
            begun,
            sources: BTreeMap::new(),
            asked,
            repeat: None,
            rest: None,
            make_space: false,
            loaded: false,
        }
    }

    /// Query and end of every window that begins to fire from the state store.
    pub(crate) fn stored_ends(&self) -> impl Iterator<Item = (usize, i64)> {
        let windows = self.cuts.iter().flat_map(|cut| cut.stored.iter().enumerate());
        windows.flat_map(|(query, windows)| windows.iter().map(move |(_, end)| (query, *end)))
    }
}

/// The next panes that follow a cut.
pub(crate) async fn next(rest: &mut Option<Receiver<Panes>>) -> Option<Panes> {
    match rest {
        Some(rest) => rest.recv().await,
        None => None,
    }
}
