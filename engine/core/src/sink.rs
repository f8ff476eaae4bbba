//! The writing side of the boundary: a [`Sink`] applies sealed epochs behind its own fence.
//!
//! What is delivered when, and whether this process may deliver at all, is decided in the checkpoint room; the right to
//! apply arrives as a [`CommitPermit`].

use crate::{Epoch, FailPoints, Generation, JobName, Line, Lineage, Options, Result, ShardId, Survey, TableColumn};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What a sink is made from.
#[derive(Debug, Clone)]
pub struct SinkSpec {
    /// The table's name in the job; part of the sink's identity together with the job's name.
    pub table: String,
    /// The `WITH` options.
    pub options: Options,
    /// The columns; the schema of every batch, in this order.
    pub columns: Vec<TableColumn>,
    /// Indexes into `columns` of `PRIMARY KEY (...) NOT ENFORCED`; empty without one.
    pub primary_key: Vec<usize>,
    /// Indexes into `columns` of `PARTITIONED BY (...)`; empty without one.
    pub partitioned_by: Vec<usize>,
    /// Passed where something was decided and is not yet durable.
    pub fail_points: FailPoints,
}

/// Who writes: the owner of a shard, after its claim was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The job.
    pub job: JobName,
    /// The line of epochs.
    pub lineage: Lineage,
    /// The shard.
    pub shard: ShardId,
    /// This owner's generation. The sink's fence refuses every lower one from now on.
    pub generation: Generation,
}

/// What a sink has applied: everything up to and including this epoch of the claimed lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub Epoch);

/// The right to make one epoch visible. Only the checkpoint room mints it, after the epoch's record is durable.
#[derive(Debug)]
pub struct CommitPermit {
    claimed: Claimed,
    epoch: Epoch,
}

impl CommitPermit {
    /// For the checkpoint room only; the architecture test fails on any other caller (test doubles excepted).
    #[doc(hidden)]
    pub fn mint(claimed: Claimed, epoch: Epoch) -> Self {
        Self { claimed, epoch }
    }

    /// Who may apply.
    pub fn claimed(&self) -> &Claimed {
        &self.claimed
    }

    /// What may be applied.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// The rows that one epoch brings to one sink. Its contents never change, however often it is delivered.
#[derive(Debug, Clone)]
pub struct SealedEpoch {
    /// The cursor that the sink stands at: the fence expects exactly this one.
    pub after: Cursor,
    /// When the epoch was sealed, in milliseconds since 1970; the same at each delivery.
    pub sealed_at_ms: i64,
    /// The rows, in order, with the columns of [`SinkSpec::columns`]. At least one row; epochs without rows are not delivered.
    pub batches: Vec<RecordBatch>,
}

impl SealedEpoch {
    /// Rows in all batches.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// A table that takes sealed epochs.
///
/// # Who implements
/// Connectors; one value per table and job, owned by one task.
/// # Atomicity and ordering
/// `apply` makes the rows of an epoch visible and advances the cursor in one atomic step of the external system (or, where
/// the system has none, in steps of which only the last one makes the epoch count). Epochs arrive in ascending order;
/// numbers may be skipped (epochs without rows). Rows of an epoch with the same primary key: the last one wins.
/// # Fence
/// After `open` of generation g, no `apply` of a lower generation may change anything; it fails with
/// [`crate::ErrorKind::Fenced`]. An `apply` whose `after` is not the stored cursor changes nothing and fails.
/// # Idempotency and retry
/// After [`crate::ErrorKind::Retry`] the outcome may be unknown: the caller waits, calls `open` again with the same claim
/// and goes on after the cursor that it returns.
/// # Cancel-safety
/// None is asked for: the engine never drops a running call except at process exit.
#[async_trait]
pub trait Sink: Send {
    /// Connects, checks table and columns, takes the fence for the claim's generation, and returns the cursor of the
    /// claim's lineage ([`Epoch::ZERO`] before the first epoch). May be called again after an error.
    async fn open(&mut self, claimed: &Claimed) -> Result<Cursor>;

    /// Applies one epoch and returns the new cursor, which is the permit's epoch.
    async fn apply(&mut self, permit: CommitPermit, epoch: &SealedEpoch) -> Result<Cursor>;

    /// Ends connections. Nothing may be lost by not calling it.
    async fn close(&mut self) -> Result<()>;

    /// Told before every `open` of a lineage that was cut from others: where the cursor of a lineage begins that this sink
    /// was never opened for is [`Line::begin`]'s decision. Without it such a lineage begins at [`Epoch::ZERO`].
    fn follow(&mut self, _line: &Line) {}

    /// Ends what a process of the job's shard has left half done and that hides the truth from [`Sink::survey`], such as an open
    /// transaction. It fences a process that still runs, so it is called only by who takes the shard over. Works before `open`.
    async fn settle(&mut self, _job: &JobName, _shard: ShardId) -> Result<()> {
        Ok(())
    }

    /// What the external system knows of the job's shard, without changing or fencing anything. Works before `open`.
    async fn survey(&mut self, _job: &JobName, _shard: ShardId) -> Result<Survey> {
        Ok(Survey::default())
    }

    /// Whether `open` and `apply` will find what they need: reached, logged in, allowed, fitting. Changes, claims and fences
    /// nothing, and creates nothing either. Works before `open`. The answer is what cannot be known without writing, each as the
    /// rest of a sentence for a person: `the right to WRITE with the transactional id 'x'`.
    async fn look(&mut self, job: &JobName, shard: ShardId) -> Result<Vec<String>> {
        self.survey(job, shard).await.map(|_| Vec::new())
    }

    /// False for a sink that cannot be asked what it has applied: its cursor is always [`Epoch::ZERO`], and after a restart it
    /// gets what is still kept.
    fn remembers(&self) -> bool {
        true
    }

    /// Records that exist and that readers of committed records cannot see yet, kept up to date while the sink is open;
    /// `u64::MAX` is unknown. For sinks whose readers can be held back by open transactions.
    fn unstable_records(&self) -> Option<Arc<AtomicU64>> {
        None
    }
}
