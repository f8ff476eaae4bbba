//! From a plan to running threads: discover splits, claim the shard, check that the checkpoint fits, restore panes, open
//! sinks, give splits to threads.
//!
//! Sources are asked before the claim, so that a job that cannot reach its input does not push a healthy owner aside.

use crate::config::{Environment, Settings};
use crate::control::Control;
use crate::delivery::{Delivery, Reach, SinkTask, backlog};
use crate::drain::Drain;
use crate::epochs::{Epochs, Totals};
use crate::exits::{Counts, Exits};
use crate::fits::{Found, check_identity, starts};
use crate::fork;
use crate::ground::{self, Ground, Site};
use crate::host::blocking;
use crate::loading::{Feed, Load, Loads, loader};
use crate::progress::{Command, Event, JobShared, SourceCounts, WorkerShared};
use crate::repeat::{Held, Limits};
use crate::restore::Restored;
use crate::seal::Sealing;
use crate::status::{CheckpointStatus, StatusBoard, StatusSnapshot};
use crate::window::WindowOperator;
use crate::worker::{Reading, Worker};
use aqueduct_checkpoint::record::SplitState;
use aqueduct_checkpoint::{CommitBody, Cut, ShardLog, ShardReader};
use aqueduct_core::json::JsonEncoder;
use aqueduct_core::{
    Claimed, Clock, Cursor, Error, FailPoints, Host, Line, Result, Sink, Source, SourceIdentity, SourceReader, SplitId,
    SplitStart, TableColumn,
};
use aqueduct_plan::{JobPlan, QueryInput};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::sync::mpsc as channel;

/// So often an owner takes a sink that another process has come for at the same time.
const DISPUTES: usize = 5;

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
    /// What each source said of itself at the start, by table.
    pub(crate) identity: BTreeMap<String, SourceIdentity>,
    /// Per source: splits that some thread reads.
    pub(crate) known: Vec<BTreeSet<SplitId>>,
    pub(crate) deliveries: Vec<Arc<Delivery>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) points: FailPoints,
    pub(crate) control: Arc<Control>,
    /// Epochs that are to be cut again as they were.
    pub(crate) repeats: VecDeque<Cut>,
    /// Set while there are any.
    pub(crate) limits: Option<Arc<Limits>>,
    /// What is loaded beside the records; taken by the coordinator.
    loads: Option<Loads>,
    /// Totals at the restore.
    pub(crate) base: Totals,
}

impl Started {
    /// The owner of log and state, once.
    pub(crate) fn take_epochs(&mut self) -> Option<Box<Epochs>> {
        self.epochs.take()
    }

    /// What is loaded beside the records, once.
    pub(crate) fn take_loads(&mut self) -> Option<Loads> {
        self.loads.take()
    }

    /// Whether the split was given to a thread, which may not have begun with it yet.
    pub(crate) fn is_known(&self, state: &SplitState) -> bool {
        let mut tables = self.plan.sources.iter().zip(&self.known);
        tables.any(|(source, splits)| source.spec.table == state.source && splits.contains(&state.split))
    }
}

/// Where each split of each source begins, and the watermark that it had reached.
pub(crate) type Starts = Vec<Vec<(SplitStart, i64)>>;

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
    let (site, mut sinks) = (Site::of(&environment), std::mem::take(&mut environment.sinks));
    fork::from_savepoint(&plan, settings, &site, &mut sinks, &found).await?;
    ground::look(&plan, settings, &site, &found).await?;
    let begun = clock.steady();
    let Ground { log, head, line, repeats, totals, fired_up_to, stored, mut restored } =
        ground::ground(&plan, settings, &site, &mut sinks).await?;
    let identity = check_identity(&plan, &found, head.as_ref(), settings.other_input)?;
    let starts = starts(host.as_ref(), &plan, &sources, &found, head.as_ref()).await?;
    let checkpoint = restored_from(head.as_ref(), clock.steady().saturating_sub(begun), !restored.loads.is_empty());
    let ((failed, failures), (events_in, events)) = (channel::unbounded_channel(), channel::unbounded_channel());
    let (opened, deliveries) = open_sinks(&plan, sinks, &log, (&clock, &host, &points), &line, &repeats).await?;
    status.update(|snapshot| announce(snapshot, log.claimed(), &checkpoint, &deliveries));
    let (job, limits) = (Arc::new(JobShared::new(plan.sources.len())), Limits::up_to(repeats.front()));
    let known = starts.iter().map(|splits| splits.iter().map(|(start, _)| start.split.clone()).collect()).collect();
    let readers = readers(host.as_ref(), &plan, &sources, starts, settings.parallelism, limits.as_ref()).await?;
    points.hit("runtime.start.before-threads");
    let around = (&clock, host.as_ref(), &points);
    let (threads, loads) = threads(&plan, settings, around, &job, &mut restored, readers, &events_in)?;
    opened.into_iter().for_each(|task| host.spawn(Box::pin(task.run(failed.clone()))));
    let epochs = Some(Box::new(Epochs {
        log,
        state: restored.state,
        sealing: Sealing::new(plan.clone())?,
        state_dir: environment.state_dir,
        deliveries: deliveries.clone(),
        identity: identity.clone(),
        totals: totals.clone(),
        fired_up_to,
        stored,
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
        identity,
        known,
        deliveries,
        clock,
        host,
        points,
        control: environment.control,
        repeats,
        limits,
        loads,
        base: totals,
    })
}

fn share(sources: Vec<Box<dyn Source>>) -> Vec<SharedSource> {
    sources.into_iter().map(|source| Arc::new(Mutex::new(source))).collect()
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

fn restored_from(head: Option<&CommitBody>, took: std::time::Duration, loading: bool) -> CheckpointStatus {
    let Some(head) = head else { return CheckpointStatus::default() };
    CheckpointStatus {
        epoch: head.epoch.0,
        committed_at_ms: Some(head.sealed_at_ms),
        restored_epoch: Some(head.epoch.0),
        restore_ms: Some(took.as_millis() as u64),
        loading,
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

/// Starts a loader per thread, where there is anything to load.
fn loaders(
    plan: &Arc<JobPlan>,
    host: &dyn Host,
    loads: Vec<Load>,
    events: &channel::UnboundedSender<Event>,
    points: &FailPoints,
    page: usize,
) -> Result<Vec<Feed>> {
    let start = |(index, load)| {
        let (loader, feed) = loader(plan, load, events.clone(), (points, page));
        host.thread(&format!("load-{index}"), Box::new(loader)).map(|()| feed)
    };
    loads.into_iter().enumerate().map(start).collect()
}

/// Per source: up to where windows need no state that is being loaded.
fn loading_bounds(plan: &JobPlan, operators: &[Vec<Option<WindowOperator>>]) -> Vec<i64> {
    let mut bounds = vec![i64::MAX; plan.sources.len()];
    // Every thread waits for the same.
    for (query, operator) in plan.queries.iter().zip(operators.first().into_iter().flatten()) {
        if let (QueryInput::Source(source), Some(end)) =
            (query.input, operator.as_ref().and_then(WindowOperator::loading_from))
        {
            bounds[source] = bounds[source].min(end.saturating_sub(2));
        }
    }
    bounds
}

/// One thread per list of operators, each with its readers, and with its loader where there is anything to load.
fn threads(
    plan: &Arc<JobPlan>,
    settings: &Settings,
    (clock, host, points): (&Arc<dyn Clock>, &dyn Host, &FailPoints),
    job: &Arc<JobShared>,
    restored: &mut Restored,
    mut readers: BTreeMap<usize, ReadersOfThread>,
    events: &channel::UnboundedSender<Event>,
) -> Result<(Vec<Thread>, Option<Loads>)> {
    let operators = std::mem::take(&mut restored.operators);
    let feeds = loaders(plan, host, std::mem::take(&mut restored.loads), events, points, settings.panes_per_load)?;
    let loads = Loads::of(&feeds, loading_bounds(plan, &operators), clock.steady());
    let (mut threads, mut feeds) = (Vec::with_capacity(operators.len()), feeds.into_iter());
    for (index, operators) in operators.into_iter().enumerate() {
        let worker = worker(index, plan, settings, clock, job, (operators, feeds.next()))?;
        let mine = readers.remove(&index).unwrap_or_default();
        threads.push(spawn(host, worker, mine, events.clone())?);
    }
    Ok((threads, loads))
}

async fn open_sinks(
    plan: &JobPlan,
    sinks: Vec<Box<dyn Sink>>,
    log: &ShardLog,
    (clock, host, points): (&Arc<dyn Clock>, &Arc<dyn Host>, &FailPoints),
    line: &Line,
    repeats: &VecDeque<Cut>,
) -> Result<(Vec<SinkTask>, Vec<Arc<Delivery>>)> {
    let claimed = log.claimed().clone();
    let opening = sinks.into_iter().zip(&plan.sinks).map(|(mut sink, table)| {
        let claimed = claimed.clone();
        let reader = log.reader();
        async move {
            sink.follow(line);
            points.hit("runtime.sinks.before-open");
            let cursor = open_as_owner(sink.as_mut(), &claimed, &reader).await;
            points.hit("runtime.sinks.after-open");
            cursor.map(|cursor| (sink, cursor)).map_err(|error| error.context(format!("sink '{}'", table.spec.table)))
        }
    });
    let opened = futures::future::join_all(opening).await;
    let (mut tasks, mut deliveries) = (Vec::with_capacity(opened.len()), Vec::with_capacity(opened.len()));
    for (outcome, table) in opened.into_iter().zip(&plan.sinks) {
        let (sink, cursor) = outcome?;
        let name = table.spec.table.clone();
        let reach = Reach { repeated: repeats.back().map(|cut| cut.epoch), remembers: sink.remembers() };
        let pending = backlog(&log.reader(), &name, cursor, reach).await?;
        let unstable = sink.unstable_records();
        let delivery = Arc::new(Delivery::new(name, table.connector.clone(), cursor, pending, reach, unstable));
        let (claimed, log, clock) = (claimed.clone(), log.reader(), clock.clone());
        let (host, points) = (host.clone(), points.clone());
        deliveries.push(delivery.clone());
        tasks.push(SinkTask { sink, cursor, claimed, log, delivery, clock, host, points });
    }
    Ok((tasks, deliveries))
}

/// Opens a sink. A process that is too old and came late may take the sink from the owner for a moment: the owner takes it
/// back, and the other one learns from the claim that it is too old, instead of taking it back in its turn.
async fn open_as_owner(sink: &mut dyn Sink, claimed: &Claimed, log: &ShardReader) -> Result<Cursor> {
    let mut tries = 0;
    loop {
        tries += 1;
        match sink.open(claimed).await {
            Err(error) if error.is_disputed() => {
                log.check_owner().await?;
                if tries == DISPUTES {
                    return Err(error);
                }
                tracing::info!(error = %error, "opening it again");
            }
            outcome => return outcome,
        }
    }
}

type ReadersOfThread = Vec<(usize, Box<dyn SourceReader>, Vec<(SplitStart, i64)>)>;

/// Splits go to threads round robin, over all sources, so that few splits of many topics still use every thread.
async fn readers(
    host: &dyn Host,
    plan: &JobPlan,
    sources: &[SharedSource],
    starts: Starts,
    threads: usize,
    limits: Option<&Arc<Limits>>,
) -> Result<BTreeMap<usize, ReadersOfThread>> {
    let mut all: BTreeMap<usize, ReadersOfThread> = BTreeMap::new();
    let mut turn = 0;
    for (index, splits) in starts.into_iter().enumerate() {
        let mut shares: BTreeMap<usize, Vec<(SplitStart, i64)>> = BTreeMap::new();
        for split in splits {
            shares.entry(turn % threads).or_default().push(split);
            turn += 1;
        }
        if let Some(limits) = limits {
            // One reader per split: one that may not go on holds no other one back.
            let alone: Vec<(usize, (SplitStart, i64))> = shares
                .into_iter()
                .flat_map(|(thread, share)| share.into_iter().map(move |split| (thread, split)))
                .collect();
            for (thread, split) in alone {
                let start = vec![split.0.clone()];
                let reader = with_source(host, &sources[index], move |source| source.reader(start)).await?;
                let held = Held::new(reader, &plan.sources[index].spec.table, &split.0, limits.clone());
                all.entry(thread).or_default().push((index, Box::new(held), vec![split]));
            }
            continue;
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
    (operators, feed): (Vec<Option<WindowOperator>>, Option<Feed>),
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
        drain: Drain::new(index, plan, settings.panes_per_turn, feed),
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

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
