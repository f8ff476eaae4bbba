//! From a plan to running threads: discover splits, claim the shard, check that the checkpoint fits, restore panes, open
//! sinks, give splits to threads.
//!
//! Sources are asked before the claim, so that a job that cannot reach its input does not push a healthy owner aside.

use crate::config::{Environment, Settings};
use crate::delivery::{Delivery, SinkTask, backlog};
use crate::epochs::{Epochs, Totals, fingerprint};
use crate::exits::{Counts, Exits};
use crate::host::blocking;
use crate::progress::{Command, Event, JobShared, SourceCounts, WorkerShared};
use crate::restore;
use crate::seal::Sealing;
use crate::status::{CheckpointStatus, StatusBoard, StatusSnapshot};
use crate::window::WindowOperator;
use crate::worker::{Reading, Worker};
use aqueduct_checkpoint::{CommitBody, Patience, ShardLog};
use aqueduct_core::json::JsonEncoder;
use aqueduct_core::{
    Claimed, Clock, Error, FailPoints, Host, Result, ShardId, Source, SourceIdentity, SourceReader, SplitId,
    SplitStart, TableColumn,
};
use aqueduct_plan::JobPlan;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::sync::mpsc as channel;

/// A source that the coordinator calls from blocking tasks.
pub(crate) type SharedSource = Arc<Mutex<Box<dyn Source>>>;

/// A reading thread as the coordinator holds it.
pub(crate) struct Thread {
    pub(crate) shared: Arc<WorkerShared>,
    pub(crate) commands: mpsc::Sender<Command>,
    /// Sources that this thread has a reader for.
    pub(crate) reads: BTreeSet<usize>,
    /// How many splits it has.
    pub(crate) splits: usize,
}

/// Everything that runs, before the coordinator's loop begins.
pub(crate) struct Started {
    pub(crate) plan: Arc<JobPlan>,
    /// Taken by the coordinator.
    epochs: Option<Box<Epochs>>,
    pub(crate) threads: Vec<Thread>,
    pub(crate) events: channel::UnboundedReceiver<Event>,
    pub(crate) failures: channel::UnboundedReceiver<Error>,
    pub(crate) job: Arc<JobShared>,
    pub(crate) sources: Vec<SharedSource>,
    /// Per source: splits that some thread reads.
    pub(crate) known: Vec<BTreeSet<SplitId>>,
    pub(crate) deliveries: Vec<Arc<Delivery>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) points: FailPoints,
    /// Counters of the sources at the restore.
    pub(crate) base_sources: BTreeMap<String, SourceCounts>,
    /// Counts per query id at the restore.
    pub(crate) base_counts: BTreeMap<String, Counts>,
}

impl Started {
    /// The owner of log and state, once.
    pub(crate) fn take_epochs(&mut self) -> Option<Box<Epochs>> {
        self.epochs.take()
    }
}

/// Where each split of each source begins, and the watermark that it had reached.
type Starts = Vec<Vec<(SplitStart, i64)>>;

/// Calls a source on a thread that may block.
pub(crate) async fn with_source<T: Send + 'static>(
    host: &dyn Host,
    source: &SharedSource,
    call: impl FnOnce(&mut dyn Source) -> Result<T> + Send + 'static,
) -> Result<T> {
    let source = source.clone();
    let called = blocking(host, "a source", move || {
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        call(source.as_mut())
    });
    called.await?
}

/// Starts everything.
pub(crate) async fn start(
    plan: JobPlan,
    settings: &Settings,
    mut environment: Environment,
    status: &StatusBoard,
) -> Result<Started> {
    let (plan, clock, host) = (Arc::new(plan), environment.clock.clone(), environment.host.clone());
    let (sources, points) = (share(std::mem::take(&mut environment.sources)), environment.fail_points.clone());
    let found = discover(host.as_ref(), &plan, &sources).await?;
    let (log, head) = claim(&environment, settings).await?;
    let begun = clock.steady();
    head.as_ref().map_or(Ok(()), |head| check_fits(&plan, head))?;
    let totals = head.as_ref().map(Totals::of).transpose()?.unwrap_or_default();
    let identity = check_identity(&plan, &found, head.as_ref())?;
    let starts = starts(host.as_ref(), &plan, &sources, &found, head.as_ref()).await?;
    let fired_up_to = fired(&plan, head.as_ref());
    let restored =
        restore::panes(&plan, &log, head.as_ref(), &environment.state_dir, settings.parallelism, &fired_up_to, &points)
            .await?;
    let checkpoint = restored_from(head.as_ref(), clock.steady().saturating_sub(begun));
    let (failed, failures) = channel::unbounded_channel();
    let opened = open_sinks(&plan, environment.sinks, &log, &clock, &host, &points).await?;
    let deliveries: Vec<Arc<Delivery>> = opened.iter().map(|task| task.delivery.clone()).collect();
    status.update(|snapshot| announce(snapshot, log.claimed(), &checkpoint, &deliveries));
    let job = Arc::new(JobShared::new(plan.sources.len()));
    let known = starts.iter().map(|splits| splits.iter().map(|(start, _)| start.split.clone()).collect()).collect();
    let readers = readers(host.as_ref(), &sources, starts, settings.parallelism).await?;
    let (events_in, events) = channel::unbounded_channel();
    points.hit("runtime.start.before-threads");
    let threads = threads(&plan, settings, (&clock, host.as_ref()), &job, restored.operators, readers, &events_in)?;
    opened.into_iter().for_each(|task| host.spawn(Box::pin(task.run(failed.clone()))));
    let (base_sources, base_counts) = (totals.sources.clone(), totals.counts.clone());
    let epochs = Some(Box::new(Epochs {
        log,
        state: restored.state,
        sealing: Sealing::new(plan.clone())?,
        state_dir: environment.state_dir,
        deliveries: deliveries.clone(),
        identity,
        totals,
        fired_up_to,
        moved: restored.moved,
        clock: clock.clone(),
        host: host.clone(),
        retained: settings.retained_checkpoints,
        collect_every: settings.collect_every.max(1),
        settled: environment.settled_state,
        status: checkpoint,
        uploaded: HashMap::new(),
        offsets: Vec::new(),
        points: points.clone(),
    }));
    Ok(Started {
        plan,
        epochs,
        threads,
        events,
        failures,
        job,
        sources,
        known,
        deliveries,
        clock,
        host,
        points,
        base_sources,
        base_counts,
    })
}

fn share(sources: Vec<Box<dyn Source>>) -> Vec<SharedSource> {
    sources.into_iter().map(|source| Arc::new(Mutex::new(source))).collect()
}

/// Begins to take the shard. The future holds nothing of `environment`, whose sources and sinks belong to one thread.
fn claim(
    environment: &Environment,
    settings: &Settings,
) -> impl Future<Output = Result<(ShardLog, Option<CommitBody>)>> + use<> {
    let (host, ids, store) = (environment.host.clone(), environment.ids.clone(), environment.checkpoint_store.clone());
    let (root, url) = (environment.checkpoint_root.clone(), environment.checkpoint_url.clone());
    let (job, points) = (settings.job.clone(), environment.fail_points.clone());
    async move {
        points.hit("runtime.start.before-claim");
        let care = (Patience::default(), points.clone());
        let owned = ShardLog::own_on(host, store, &root, &job, ShardId(0), ids, care).await;
        points.hit("runtime.start.after-claim");
        owned.map_err(|error| error.context(format!("checkpoints in {url}")))
    }
}

/// Splits and identity of every source. Whatever cannot be reached is named with its table.
async fn discover(host: &dyn Host, plan: &JobPlan, sources: &[SharedSource]) -> Result<Vec<Found>> {
    let mut found = Vec::with_capacity(sources.len());
    for (source, table) in sources.iter().zip(&plan.sources) {
        let discovered = with_source(host, source, |source| source.discover()).await;
        found.push(discovered.map_err(|error| error.context(format!("source '{}'", table.spec.table)))?);
    }
    Ok(found)
}

fn restored_from(head: Option<&CommitBody>, took: std::time::Duration) -> CheckpointStatus {
    let Some(head) = head else { return CheckpointStatus::default() };
    CheckpointStatus {
        epoch: head.epoch.0,
        committed_at_ms: Some(head.sealed_at_ms),
        restored_epoch: Some(head.epoch.0),
        restore_ms: Some(took.as_millis() as u64),
        ..CheckpointStatus::default()
    }
}

fn announce(
    snapshot: &mut StatusSnapshot,
    claimed: &Claimed,
    checkpoint: &CheckpointStatus,
    deliveries: &[Arc<Delivery>],
) {
    snapshot.lineage = claimed.lineage.0;
    snapshot.shard = claimed.shard.0;
    snapshot.generation = claimed.generation.0;
    snapshot.checkpoint = checkpoint.clone();
    snapshot.sinks = deliveries.iter().map(|delivery| delivery.status()).collect();
}

/// One thread per list of operators, each with its readers.
fn threads(
    plan: &Arc<JobPlan>,
    settings: &Settings,
    (clock, host): (&Arc<dyn Clock>, &dyn Host),
    job: &Arc<JobShared>,
    operators: Vec<Vec<Option<WindowOperator>>>,
    mut readers: BTreeMap<usize, ReadersOfThread>,
    events: &channel::UnboundedSender<Event>,
) -> Result<Vec<Thread>> {
    let mut threads = Vec::with_capacity(operators.len());
    for (index, operators) in operators.into_iter().enumerate() {
        let worker = worker(index, plan, settings, clock, job, operators)?;
        let mine = readers.remove(&index).unwrap_or_default();
        threads.push(spawn(host, worker, mine, events.clone())?);
    }
    Ok(threads)
}

/// Refuses a checkpoint of another query, by the names of what changed.
fn check_fits(plan: &JobPlan, head: &CommitBody) -> Result<()> {
    let mut changes = Vec::new();
    for (id, stored) in &head.queries {
        if plan.queries.iter().any(|query| &query.id == id) {
            continue;
        }
        match plan.queries.iter().find(|query| query.name == stored.name && query.window.is_some()) {
            None => changes.push(format!("query '{}' is gone", stored.name)),
            Some(query) => {
                let now = fingerprint(query);
                let gone = stored.fingerprint.iter().filter(|part| !now.contains(part)).map(|part| format!("-{part}"));
                let new = now.iter().filter(|part| !stored.fingerprint.contains(part)).map(|part| format!("+{part}"));
                let parts: Vec<String> = gone.chain(new).collect();
                let parts = if parts.is_empty() {
                    "its source, filters or expressions changed".to_owned()
                } else {
                    parts.join(", ")
                };
                changes.push(format!("query '{}' changed: {parts}", stored.name));
            }
        }
    }
    let windowed = plan.queries.iter().filter(|query| query.window.is_some());
    for query in windowed.filter(|query| !head.queries.contains_key(&query.id)) {
        if !head.queries.values().any(|stored| stored.name == query.name) {
            changes.push(format!("query '{}' is new and would miss everything read before", query.name));
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "the checkpoint of epoch {} belongs to another query: {}. Give the changed job another 'pipeline.name' or another \
         'execution.checkpointing.dir' to start anew, or run the old query",
        head.epoch,
        changes.join("; ")
    )))
}

type Found = (Vec<SplitId>, SourceIdentity);

fn check_identity(
    plan: &JobPlan,
    found: &[Found],
    head: Option<&CommitBody>,
) -> Result<BTreeMap<String, SourceIdentity>> {
    let mut all = BTreeMap::new();
    for (source, (_, identity)) in plan.sources.iter().zip(found) {
        let table = &source.spec.table;
        let stored = head.and_then(|head| head.source_identity.get(table));
        for (name, id) in stored.iter().flat_map(|stored| &stored.0) {
            if let Some(now) = identity.0.get(name).filter(|now| *now != id) {
                return Err(Error::data(format!(
                    "source '{table}': {name} is '{now}', the checkpoint was made with '{id}': this is not the same input (was it \
                     deleted and created again?). Start with another 'pipeline.name' to read it from its beginning"
                )));
            }
        }
        all.insert(table.clone(), identity.clone());
    }
    Ok(all)
}

async fn starts(
    host: &dyn Host,
    plan: &JobPlan,
    sources: &[SharedSource],
    found: &[Found],
    head: Option<&CommitBody>,
) -> Result<Starts> {
    let mut all = Vec::with_capacity(sources.len());
    for ((source, table), (splits, _)) in sources.iter().zip(&plan.sources).zip(found) {
        let table = table.spec.table.clone();
        let stored: BTreeMap<&SplitId, (SplitStart, i64)> = head
            .iter()
            .flat_map(|head| &head.splits)
            .filter(|state| state.source == table)
            .map(|state| {
                let start = SplitStart { split: state.split.clone(), offset: state.next };
                (&state.split, (start, state.watermark.reached().0))
            })
            .collect();
        if let Some(gone) = stored.keys().find(|split| !splits.contains(split)) {
            return Err(Error::data(format!(
                "source '{table}': the checkpoint holds a position in {gone}, which does not exist any more; restore the input, or \
                 start with another 'pipeline.name'"
            )));
        }
        let mut mine = Vec::with_capacity(splits.len());
        for split in splits {
            match stored.get(split) {
                Some(start) => mine.push(start.clone()),
                None => {
                    let (asked, late_arrival) = (split.clone(), head.is_some());
                    let offset = with_source(host, source, move |source| source.start_of(&asked, late_arrival)).await?;
                    mine.push((SplitStart { split: split.clone(), offset }, i64::MIN));
                }
            }
        }
        all.push(mine);
    }
    Ok(all)
}

fn fired(plan: &JobPlan, head: Option<&CommitBody>) -> Vec<i64> {
    let stored = |query: &aqueduct_plan::Query| {
        head.and_then(|head| head.queries.get(&query.id)).map(|state| state.fired_up_to.0)
    };
    plan.queries.iter().map(|query| stored(query).unwrap_or(i64::MIN)).collect()
}

async fn open_sinks(
    plan: &JobPlan,
    sinks: Vec<Box<dyn aqueduct_core::Sink>>,
    log: &ShardLog,
    clock: &Arc<dyn Clock>,
    host: &Arc<dyn Host>,
    points: &FailPoints,
) -> Result<Vec<SinkTask>> {
    let claimed = log.claimed().clone();
    let opening = sinks.into_iter().zip(&plan.sinks).map(|(mut sink, table)| {
        let claimed = claimed.clone();
        async move {
            points.hit("runtime.sinks.before-open");
            let cursor = sink.open(&claimed).await;
            points.hit("runtime.sinks.after-open");
            cursor.map(|cursor| (sink, cursor)).map_err(|error| error.context(format!("sink '{}'", table.spec.table)))
        }
    });
    let opened = futures::future::join_all(opening).await;
    let mut tasks = Vec::with_capacity(opened.len());
    for (outcome, table) in opened.into_iter().zip(&plan.sinks) {
        let (sink, cursor) = outcome?;
        let name = table.spec.table.clone();
        let pending = backlog(&log.reader(), &name, cursor).await?;
        let delivery = Arc::new(Delivery::new(name, table.connector.clone(), cursor, pending));
        let (claimed, log, clock) = (claimed.clone(), log.reader(), clock.clone());
        let (host, points) = (host.clone(), points.clone());
        tasks.push(SinkTask { sink, cursor, claimed, log, delivery, clock, host, points });
    }
    Ok(tasks)
}

type ReadersOfThread = Vec<(usize, Box<dyn SourceReader>, Vec<(SplitStart, i64)>)>;

/// Splits go to threads round robin, over all sources, so that few splits of many topics still use every thread.
async fn readers(
    host: &dyn Host,
    sources: &[SharedSource],
    starts: Starts,
    threads: usize,
) -> Result<BTreeMap<usize, ReadersOfThread>> {
    let mut all: BTreeMap<usize, ReadersOfThread> = BTreeMap::new();
    let mut turn = 0;
    for (index, splits) in starts.into_iter().enumerate() {
        let mut shares: BTreeMap<usize, Vec<(SplitStart, i64)>> = BTreeMap::new();
        for split in splits {
            shares.entry(turn % threads).or_default().push(split);
            turn += 1;
        }
        for (thread, share) in shares {
            let splits: Vec<SplitStart> = share.iter().map(|(start, _)| start.clone()).collect();
            let reader = with_source(host, &sources[index], move |source| source.reader(splits)).await?;
            all.entry(thread).or_default().push((index, reader, share));
        }
    }
    Ok(all)
}

fn worker(
    index: usize,
    plan: &Arc<JobPlan>,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    job: &Arc<JobShared>,
    operators: Vec<Option<WindowOperator>>,
) -> Result<Worker> {
    let encoder = |source: &aqueduct_plan::SourceTable| {
        JsonEncoder::new(&TableColumn::schema(&source.spec.columns), aqueduct_core::json::JsonOptions::default())
    };
    let queries = plan.queries.len();
    Ok(Worker {
        index,
        plan: plan.clone(),
        clock: clock.clone(),
        job: job.clone(),
        shared: Arc::new(WorkerShared::default()),
        max_kept_exits: settings.max_kept_exits,
        max_buffered_bytes: settings.max_buffered_bytes,
        readers: Vec::new(),
        splits: Vec::new(),
        operators,
        rows: vec![Vec::new(); queries],
        rows_bytes: 0,
        exits: Exits::default(),
        counts: vec![Counts::default(); queries],
        totals: vec![Counts::default(); queries],
        source_counts: vec![SourceCounts::default(); plan.sources.len()],
        encoders: plan.sources.iter().map(encoder).collect::<Result<Vec<_>>>()?,
    })
}

fn spawn(
    host: &dyn Host,
    worker: Worker,
    readers: ReadersOfThread,
    events: channel::UnboundedSender<Event>,
) -> Result<Thread> {
    let (commands, inbox) = mpsc::channel();
    let shared = worker.shared.clone();
    let (reads, splits) =
        (readers.iter().map(|(source, ..)| *source).collect(), readers.iter().map(|(.., splits)| splits.len()).sum());
    for (source, reader, splits) in readers {
        let assign = Command::Assign { source, reader: Some(reader), splits };
        commands.send(assign).map_err(|_| Error::bug("a reading thread's inbox closed before it began"))?;
    }
    host.thread(&format!("read-{}", worker.index), Box::new(Reading::new(worker, inbox, events)))?;
    Ok(Thread { shared, commands, reads, splits })
}
