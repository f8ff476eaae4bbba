//! What the runner hands to the runtime: settings as numbers, collaborators as values.
//!
//! Parsing text into these happens in the runner; no default is decided here.

use crate::control::Control;
use aqueduct_checkpoint::{IdSource, Owner, Place};
use aqueduct_core::{Clock, FailPoints, Host, JobName, Sink, Source};
use aqueduct_plan::JobPlan;
use object_store::{ObjectStore, path::Path};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Numbers and names.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `pipeline.name`
    pub job: JobName,
    /// `parallelism.default`: number of reading threads, at least 1.
    pub parallelism: usize,
    /// `execution.checkpointing.interval`
    pub checkpoint_interval: Duration,
    /// `execution.checkpointing.min-pause`: the least time between two seals, also after a fired window.
    pub checkpoint_min_pause: Duration,
    /// Undelivered outbox bytes of one sink above which reading waits.
    pub max_backlog_bytes: u64,
    /// Result bytes buffered in the threads above which an epoch is sealed early.
    pub max_buffered_bytes: u64,
    /// Late rows and dead letters kept per epoch and query (all are counted).
    pub max_kept_exits: usize,
    /// `taskmanager.memory.managed.size`: bytes of keys and aggregates in memory; what is more goes to the state store.
    pub max_state_bytes: u64,
    /// `aqueduct.restore.max-bytes`: state files up to so many bytes are read before the first record, others beside the records.
    pub max_restore_bytes: u64,
    /// Keys of windows that fire from the state store in one epoch, at least 1.
    pub max_fired_keys: usize,
    /// Result rows above which windows wait for the next epoch, where several can fire; at least 1.
    pub max_fired_rows: usize,
    /// Changed panes that a thread writes down at a time, for a checkpoint, before it reads on; at least 1.
    pub panes_per_turn: usize,
    /// Panes that are read into memory at a time, beside the records after a restart; at least 1.
    pub panes_per_load: usize,
    /// How often new splits are looked for; `None` is never.
    pub discovery_interval: Option<Duration>,
    /// Committed epochs kept for restores, at least 1.
    pub retained_checkpoints: usize,
    /// Commits between two collections of garbage, at least 1.
    pub collect_every: u64,
    /// `execution.checkpointing.on-damage`
    pub on_damage: OnDamage,
    /// The input may be another one than the checkpoint's, with the same records at the same offsets.
    pub other_input: bool,
}

/// What a start does when the newest checkpoint cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDamage {
    /// Nothing: it names the damage and ends.
    #[default]
    Refuse,
    /// Goes back to the newest epoch that is whole, under a new lineage, if no sink loses or doubles a row by it.
    FallBack,
}

/// A savepoint to begin with.
#[derive(Debug, Clone)]
pub struct FromSavepoint {
    /// Where it lies.
    pub place: Place,
    /// The same as the user wrote it.
    pub url: String,
    /// Begin with it although the checkpoint folder holds another state of the job.
    pub confirmed: bool,
}

/// Collaborators.
pub struct Environment {
    /// The store of `execution.checkpointing.dir`, and the folder in it (without the job's name).
    pub checkpoint_store: Arc<dyn ObjectStore>,
    /// See `checkpoint_store`.
    pub checkpoint_root: Path,
    /// `execution.checkpointing.dir` as the user wrote it, for messages.
    pub checkpoint_url: String,
    /// A local folder for RocksDB; emptied at the start.
    pub state_dir: PathBuf,
    /// One per [`JobPlan::sources`], in order.
    pub sources: Vec<Box<dyn Source>>,
    /// One per [`JobPlan::sinks`], in order.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Wall and steady time.
    pub clock: Arc<dyn Clock>,
    /// Who this process is, for the claim.
    pub owner: Option<Owner>,
    /// What people ask while the job runs.
    pub control: Arc<Control>,
    /// Begin with this savepoint, unless the folder has begun with it already.
    pub savepoint: Option<FromSavepoint>,
    /// Passed where something was decided and is not yet durable.
    pub fail_points: FailPoints,
    /// Starts tasks and threads, and waits.
    pub host: Arc<dyn Host>,
    /// Ids of checkpoint records.
    pub ids: Arc<dyn IdSource>,
    /// Waits for RocksDB's compactions before each snapshot, so that equal runs have equal sets of files. For simulations: it
    /// makes seals longer.
    pub settled_state: bool,
}

/// A job ready to run.
pub struct Job {
    /// What to compute.
    pub plan: JobPlan,
    /// Numbers and names.
    pub settings: Settings,
    /// Collaborators.
    pub environment: Environment,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("settings", &self.settings).finish_non_exhaustive()
    }
}
