//! The coordinator: watches the threads, decides when to seal, ends the job.
//!
//! It moves no rows. Windows fire only here: it picks the watermark up to which they fire BEFORE it asks the threads to
//! cut, so that a cut needs no second round between threads.

mod cuts;

use crate::barrier::{Barrier, Committed};
use crate::config::Settings;
use crate::epochs::Epochs;
use crate::host::{Answer, received};
use crate::loading::Loads;
use crate::looks::{self, CHECKING, Found, LOOKING};
use crate::portions::Portions;
use crate::pressure;
use crate::progress::{Command, Event, SplitProgress, WorkerProgress, shard_watermark};
use crate::start::{Started, with_source};
use crate::status::{JobState, StatusBoard, StatusSnapshot};
use crate::view;
use crate::window::PartKey;
use aqueduct_core::{Error, EventTime, Result, SplitStart};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often the threads are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often the status board is refreshed.
const REFRESH: Duration = Duration::from_millis(100);
/// After a stop was asked for, delivery may take so long; what is left is delivered at the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// Reading waits when a seal takes longer than this: the store is down.
const SLOW_SEAL: Duration = Duration::from_secs(30);

/// So many portions of panes may wait for the state store; then a thread only reads.
const WAITING_PANES: usize = 8;

const SEALING: &str = "sealing an epoch";

/// What the job is doing about its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// No more reading; the last barrier is still to be sent. A barrier that is under way does not count: rows may have been
    /// read after it.
    Ending(JobState),
    /// The last barrier is under way.
    Sealing(JobState),
    /// The last epoch is sealed; sinks are catching up.
    Delivering(JobState),
}

type Sealed = (Box<Epochs>, Committed);

/// The coordinator of one shard.
pub(crate) struct Coordinator {
    started: Started,
    /// `None` while a seal runs.
    epochs: Option<Box<Epochs>>,
    settings: Settings,
    status: Arc<StatusBoard>,
    /// Every source ends. Asked once: a source may be busy for as long as its broker is silent.
    bounded: bool,
    phase: Phase,
    /// A barrier that not all threads have answered: the cuts so far.
    barrier: Option<Barrier>,
    sealing: Option<Answer<Sealed>>,
    looking: Option<Answer<Vec<Found>>>,
    checking: Option<Answer<()>>,
    last_committed: Option<Committed>,
    /// Steady times.
    last_seal: Duration,
    last_discovery: Duration,
    last_refresh: Duration,
    stop_asked: Option<Duration>,
    /// Records read and splits' offsets at the last seal, to know whether there is anything to seal.
    sealed_records: u64,
    /// The newest request to seal that is fulfilled.
    answered: u64,
    /// Per query: parts that are in the state store for want of memory.
    spilled: Vec<BTreeSet<PartKey>>,
    /// Windows that fire from there have more keys to show.
    unfired: bool,
    portions: Portions,
    /// What is loaded beside the records.
    loads: Option<Loads>,
    /// How long that took, when it is over.
    loaded_after: Option<Duration>,
    /// Windows were kept for the epochs after the last cut.
    held_back: bool,
    /// Wall time of the last look that found nothing to seal.
    secured_at_ms: Option<i64>,
}

impl Coordinator {
    pub(crate) fn new(mut started: Started, settings: Settings, status: Arc<StatusBoard>) -> Self {
        let now = started.clock.steady();
        let (epochs, loads) = (started.take_epochs(), started.take_loads());
        let stored = epochs.as_ref().map(|epochs| (epochs.stored.open.clone(), epochs.stored.is_firing()));
        let (epochs_spilled, unfired) = stored.unwrap_or_default();
        let bounded =
            started.sources.iter().all(|source| source.lock().unwrap_or_else(PoisonError::into_inner).bounded());
        let portions = Portions::new(settings.max_fired_rows, started.plan.queries.len());
        Self {
            bounded,
            started,
            epochs,
            settings,
            status,
            phase: Phase::Running,
            barrier: None,
            sealing: None,
            looking: None,
            checking: None,
            last_committed: None,
            last_seal: now,
            last_discovery: now,
            last_refresh: Duration::ZERO,
            stop_asked: None,
            sealed_records: 0,
            answered: 0,
            spilled: epochs_spilled,
            unfired,
            portions,
            loads,
            loaded_after: None,
            held_back: false,
            secured_at_ms: None,
        }
    }

    /// Runs until the input ends, a stop is asked for, or something cannot be cured by waiting.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<StatusSnapshot> {
        let outcome = self.serve(&mut stop).await;
        // The threads end when their inbox closes or they are told; nobody waits for one that hangs in a client library.
        for thread in &self.started.threads {
            let _ = thread.commands.send(Command::Stop);
        }
        self.refresh(&self.progress(), true);
        outcome.map(|()| self.status.snapshot())
    }

    async fn serve(&mut self, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let host = self.started.host.clone();
        let mut tick = host.sleep(Duration::ZERO);
        loop {
            tokio::select! {
                biased;
                Some(error) = self.started.failures.recv() => return Err(error),
                Some(event) = self.started.events.recv() => match event {
                    Event::Cut(cut) => self.take_cut(*cut)?,
                    Event::Failed(error) => return Err(error),
                },
                sealed = join(SEALING, &mut self.sealing) => self.take_sealed(sealed)?,
                found = join(LOOKING, &mut self.looking) => self.take_found(found)?,
                checked = join(CHECKING, &mut self.checking) => {
                    self.checking = None;
                    checked?;
                }
                () = &mut tick => {
                    tick = host.sleep(TICK);
                    if *stop.borrow() && self.stop_asked.is_none() {
                        self.stop_asked = Some(self.started.clock.steady());
                        self.started.job.draining.store(true, Ordering::Relaxed);
                        self.started.points.hit("runtime.stop.asked");
                        self.begin_stop();
                    }
                    if self.step()? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn begin_stop(&mut self) {
        if self.started.repeats.is_empty() {
            self.begin_end(JobState::Stopped);
        } else if self.phase == Phase::Running {
            // An epoch that is to be cut again is not cut elsewhere: the next start goes on with it.
            tracing::warn!(
                left = self.started.repeats.len(),
                "stopped before all epochs were cut again; the next start goes on"
            );
            self.phase = Phase::Delivering(JobState::Stopped);
        }
    }

    fn begin_end(&mut self, state: JobState) {
        if self.phase == Phase::Running {
            self.phase = Phase::Ending(state);
            self.status.update(|snapshot| snapshot.state = JobState::Draining);
        }
    }

    /// One look at everything. True when the job is over.
    fn step(&mut self) -> Result<bool> {
        let progress = self.progress();
        let now = self.started.clock.steady();
        let watermarks = self.watermarks(&progress);
        self.throttle(now);
        self.refresh(&progress, false);
        let ended = self.all_read(&progress) && self.started.repeats.is_empty();
        if self.phase == Phase::Running && ended && self.bounded {
            self.begin_end(JobState::Finished);
        }
        if let Phase::Delivering(state) = self.phase {
            return self.delivered(state, now);
        }
        if let Some(asked) = self.stop_asked.filter(|asked| now.saturating_sub(*asked) > STOP_PATIENCE) {
            return Err(Error::retry(format!(
                "the last epoch could not be sealed within {} s of the request to stop; the next start goes on from the checkpoint before it",
                now.saturating_sub(asked).as_secs()
            )));
        }
        if self.barrier.is_none() && self.sealing.is_none() {
            self.maybe_seal(&progress, &watermarks, now)?;
        }
        self.look(now);
        Ok(false)
    }

    /// Every split has been read to its end, also one that was found just now and has not reached its thread.
    fn all_read(&self, progress: &[WorkerProgress]) -> bool {
        let given: usize = self.started.known.iter().map(|splits| splits.len()).sum();
        let taken: usize = progress.iter().map(|worker| worker.splits.len()).sum();
        taken == given && progress.iter().all(|worker| worker.ended)
    }

    fn delivered(&mut self, state: JobState, now: Duration) -> Result<bool> {
        let all = self.started.deliveries.iter().all(|delivery| delivery.is_idle());
        let given_up = self.stop_asked.is_some_and(|asked| now.saturating_sub(asked) > STOP_PATIENCE);
        if !all && !given_up {
            return Ok(false);
        }
        if !all {
            tracing::warn!("stopped with sealed epochs that a sink has not taken; the next start delivers them");
        }
        self.started.points.hit("runtime.end.delivered");
        self.status.update(|snapshot| snapshot.state = state);
        Ok(true)
    }

    fn progress(&self) -> Vec<WorkerProgress> {
        self.started.threads.iter().map(|thread| thread.shared.progress()).collect()
    }

    /// Per source; also told to the threads, for those who want Flink's late scope.
    fn watermarks(&self, progress: &[WorkerProgress]) -> Vec<EventTime> {
        let mut all = Vec::with_capacity(self.started.plan.sources.len());
        for (source, shared) in self.started.job.watermarks.iter().enumerate() {
            let splits = progress.iter().flat_map(|worker| &worker.splits).filter(|split| split.source == source);
            let at = shard_watermark(self.started.known[source].len(), splits.map(SplitProgress::watermark));
            shared.fetch_max(at.0, Ordering::Relaxed);
            all.push(at);
        }
        all
    }

    /// Reading waits while a sink is far behind, the store does not take an epoch, or state has to leave memory first.
    fn throttle(&self, now: Duration) {
        let backlog = pressure::of_sinks(&self.started, &self.settings)
            || pressure::of_state(&self.started, self.loads.as_ref(), &self.settings);
        let slow = self.sealing.is_some()
            && now.saturating_sub(self.last_seal) > SLOW_SEAL.max(self.settings.checkpoint_interval * 2);
        self.started.job.paused.store(backlog || slow, Ordering::Relaxed);
    }

    fn take_sealed(&mut self, sealed: Result<Sealed>) -> Result<()> {
        self.sealing = None;
        let (epochs, committed) = sealed?;
        self.epochs = Some(epochs);
        tracing::debug!(epoch = %committed.epoch, "epoch committed");
        self.answered = self.answered.max(committed.asked);
        if self.started.repeats.front().is_some_and(|cut| cut.epoch == committed.epoch) {
            self.repeated();
        }
        self.unfired = committed.unfired;
        self.portions.learn(&committed.queries);
        self.spilled.clone_from(&committed.spilled);
        self.last_committed = Some(committed);
        match self.phase {
            // Once more, for what is left.
            Phase::Sealing(state) if (self.unfired || self.held_back) && self.fires_all(state) => {
                self.phase = Phase::Ending(state);
            }
            Phase::Sealing(state) => {
                self.started.points.hit("runtime.end.sealed");
                self.phase = Phase::Delivering(state);
            }
            _ => {}
        }
        self.publish_progress();
        Ok(())
    }

    /// Shows committed positions to outsiders; failures are the source's to log.
    fn publish_progress(&self) {
        let Some(epochs) = &self.epochs else { return };
        let offsets = epochs.committed_offsets();
        for (index, source) in self.started.sources.iter().enumerate() {
            let table = &self.started.plan.sources[index].spec.table;
            let mine: Vec<SplitStart> =
                offsets.iter().filter(|(name, _)| name == table).map(|(_, start)| start.clone()).collect();
            let (source, host, points) = (source.clone(), self.started.host.clone(), self.started.points.clone());
            self.started.host.spawn(Box::pin(async move {
                points.hit("runtime.progress.before-publish");
                let published = with_source(host.as_ref(), &source, move |source| source.publish_progress(&mine)).await;
                if let Err(error) = published {
                    tracing::warn!(error = %error, "progress could not be published; the checkpoint is not affected");
                }
                points.hit("runtime.progress.after-publish");
            }));
        }
    }

    /// Looks for new splits now and then.
    fn look(&mut self, now: Duration) {
        let due =
            self.settings.discovery_interval.is_some_and(|every| now.saturating_sub(self.last_discovery) >= every);
        if due && self.phase == Phase::Running && self.started.repeats.is_empty() && self.looking.is_none() {
            self.last_discovery = now;
            self.looking = Some(looks::for_splits(&self.started));
        }
    }

    /// Gives new splits to their threads. A job that is ending leaves them to the next start.
    fn take_found(&mut self, found: Result<Vec<Found>>) -> Result<()> {
        self.looking = None;
        let found = found?;
        for Found { source, thread, start, reader } in found.into_iter().filter(|_| self.phase == Phase::Running) {
            tracing::info!(split = %start.split, "a new partition is read from its first record");
            self.started.known[source].insert(start.split.clone());
            let thread = &mut self.started.threads[thread];
            thread.reads.insert(source);
            thread.splits += 1;
            let _ = thread.commands.send(Command::Assign { source, reader, splits: vec![(start, i64::MIN)] });
            self.started.points.hit("runtime.discover.assigned");
        }
        Ok(())
    }

    fn refresh(&mut self, progress: &[WorkerProgress], now_please: bool) {
        let now = self.started.clock.steady();
        if !now_please && now.saturating_sub(self.last_refresh) < REFRESH {
            return;
        }
        self.last_refresh = now;
        let sources = view::source_totals(&self.started, progress);
        self.status.update(|snapshot| {
            view::fill(snapshot, &self.started, progress, &sources, self.last_committed.as_ref());
            let checkpoint = &mut snapshot.checkpoint;
            checkpoint.secured_at_ms = checkpoint.committed_at_ms.max(self.secured_at_ms);
            checkpoint.answered = self.answered;
            checkpoint.loading = self.loads.is_some();
            checkpoint.load_ms = self.loaded_after.map(|took| took.as_millis() as u64);
            checkpoint.repeats_left = self.started.repeats.len() as u64;
        });
    }
}

/// Waits for the task that is running, or for ever when there is none.
async fn join<T>(what: &'static str, answer: &mut Option<Answer<T>>) -> Result<T> {
    match answer {
        Some(answer) => received(what, answer.await)?,
        None => std::future::pending().await,
    }
}
