//! A reading thread: asks its readers for batches, folds them, answers barriers.
//!
//! It is an ordinary thread, not a task: no record waits for a scheduler. Threads exchange no rows, so each one cuts its
//! state at its own batch boundary without waiting for the others. How a batch is folded is in `ingest.rs`.

use crate::drain::Drain;
use crate::exits::{Counts, Exits};
use crate::progress::{Command, Cut, Event, JobShared, Panes, SourceCounts, Space, SplitProgress, WorkerShared};
use crate::window::{Firing, WindowOperator};
use aqueduct_core::{Clock, Error, Read, ReadBudget, Result, SourceReader, SplitStart, Turn, Turns};
use aqueduct_plan::{JobPlan, QueryInput};
use aqueduct_state::PanePuts;
use arrow::array::RecordBatch;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{Sender, UnboundedSender};

/// Records per read: large enough for vectorised work, small enough to stop soon at a barrier.
const BATCH_RECORDS: usize = 8192;
/// How long a read may wait for the first record.
const READ_WAIT: Duration = Duration::from_millis(20);
/// How often idleness and lag are looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(100);

/// A split with what only its thread needs.
#[derive(Debug)]
pub(crate) struct SplitState {
    pub(crate) progress: SplitProgress,
    /// Steady time of the last record, moved forward over time spent paused.
    pub(crate) last_data: Duration,
}

/// A source's reader on this thread.
pub(crate) struct ReaderSlot {
    pub(crate) source: usize,
    pub(crate) reader: Box<dyn SourceReader>,
    pub(crate) ended: bool,
}

/// The state of one reading thread.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) job: Arc<JobShared>,
    pub(crate) shared: Arc<WorkerShared>,
    pub(crate) max_kept_exits: usize,
    pub(crate) max_buffered_bytes: u64,
    pub(crate) readers: Vec<ReaderSlot>,
    pub(crate) splits: Vec<SplitState>,
    /// Per query; `None` for queries without a window.
    pub(crate) operators: Vec<Option<WindowOperator>>,
    /// Per query: result rows of queries without a window, until the next cut.
    pub(crate) rows: Vec<Vec<RecordBatch>>,
    pub(crate) rows_bytes: u64,
    pub(crate) exits: Exits,
    /// Per query, since the last cut.
    pub(crate) counts: Vec<Counts>,
    /// Per query, since the thread began.
    pub(crate) totals: Vec<Counts>,
    /// Per source, since the thread began.
    pub(crate) source_counts: Vec<SourceCounts>,
    /// Per source: writes late rows as JSON.
    pub(crate) encoders: Vec<aqueduct_core::json::JsonEncoder>,
    /// How changed panes are written down, and those of the last cut that are not yet.
    pub(crate) drain: Drain,
}

/// A worker with its inbox: what a reading thread does turn by turn, until it is told to stop.
pub(crate) struct Reading {
    worker: Worker,
    commands: Receiver<Command>,
    events: UnboundedSender<Event>,
    last_housekeeping: Duration,
    quiet: bool,
}

impl Reading {
    pub(crate) fn new(worker: Worker, commands: Receiver<Command>, events: UnboundedSender<Event>) -> Self {
        Self { worker, commands, events, last_housekeeping: Duration::ZERO, quiet: false }
    }

    fn step(&mut self, may_wait: bool) -> Result<Turn> {
        let worker = &mut self.worker;
        if worker.obey(&self.commands, &self.events, may_wait && self.quiet)? == Turn::Done {
            worker.readers.iter_mut().for_each(|slot| slot.reader.close());
            return Ok(Turn::Done);
        }
        let wrote = worker.write_panes()?;
        let turn = worker.turn(if may_wait && !wrote { READ_WAIT } else { Duration::ZERO })?;
        let turn = if wrote { Turn::Busy } else { turn };
        self.quiet = turn == Turn::Quiet;
        let now = worker.clock.steady();
        let passed = now.saturating_sub(self.last_housekeeping);
        if passed >= HOUSEKEEPING {
            let paused = worker.may_not_read();
            worker.housekeeping(now, passed, paused);
            self.last_housekeeping = now;
        }
        Ok(turn)
    }
}

impl Turns for Reading {
    /// A panic or an error is told to the coordinator; it never vanishes.
    fn turn(&mut self, may_wait: bool) -> Turn {
        let index = self.worker.index;
        let failure = match caught(format_args!("reading thread {index}"), || self.step(may_wait)) {
            Ok(turn) => return turn,
            Err(failure) => failure,
        };
        // The receiver is gone only when the job has ended already.
        let _ = self.events.send(Event::Failed(failure));
        self.worker.readers.iter_mut().for_each(|slot| slot.reader.close());
        Turn::Done
    }
}

impl Worker {
    fn may_not_read(&self) -> bool {
        self.job.paused.load(Ordering::Relaxed)
            || self.job.draining.load(Ordering::Relaxed)
            // Results wait for the next seal: never hold more than twice what makes the coordinator seal early.
            || self.shared.buffered.load(Ordering::Relaxed) > self.max_buffered_bytes.saturating_mul(2)
    }

    /// Obeys all commands that have come. With `quiet` it waits a little for the first one, instead of spinning.
    fn obey(&mut self, commands: &Receiver<Command>, events: &UnboundedSender<Event>, mut quiet: bool) -> Result<Turn> {
        let must_wait = quiet && (self.may_not_read() || self.readers.iter().all(|slot| slot.ended));
        quiet = must_wait;
        loop {
            let command = if quiet {
                quiet = false;
                match commands.recv_timeout(READ_WAIT) {
                    Ok(command) => command,
                    Err(RecvTimeoutError::Timeout) => return Ok(Turn::Quiet),
                    Err(RecvTimeoutError::Disconnected) => return Ok(Turn::Done),
                }
            } else {
                match commands.try_recv() {
                    Ok(command) => command,
                    Err(TryRecvError::Empty) => return Ok(Turn::Busy),
                    Err(TryRecvError::Disconnected) => return Ok(Turn::Done),
                }
            };
            match command {
                Command::Stop => return Ok(Turn::Done),
                Command::Barrier { fire_up_to, space, panes } => {
                    let cut = self.cut(&fire_up_to, &space, panes)?;
                    let _ = events.send(Event::Cut(Box::new(cut)));
                }
                Command::Assign { source, reader, splits } => self.assign(source, reader, splits)?,
            }
        }
    }

    /// One read of each reader, waiting so long in all for records.
    fn turn(&mut self, wait: Duration) -> Result<Turn> {
        if self.may_not_read() {
            return Ok(Turn::Quiet);
        }
        let mut busy = false;
        let live = self.readers.iter().filter(|slot| !slot.ended).count().max(1) as u32;
        for at in 0..self.readers.len() {
            if self.readers[at].ended {
                continue;
            }
            let budget = ReadBudget { max_records: BATCH_RECORDS, max_wait: wait / live };
            let source = self.readers[at].source;
            match self.readers[at].reader.read(budget)? {
                Read::Batch(batch) => {
                    busy = true;
                    self.take_batch(source, batch)?;
                }
                Read::Empty => {}
                Read::SplitEnd(split) => {
                    busy = true;
                    let ended =
                        self.splits.iter_mut().find(|s| s.progress.source == source && s.progress.split == split);
                    if let Some(state) = ended {
                        state.progress.ended = true;
                        state.progress.lag = Some(0);
                    }
                    self.publish();
                }
                Read::End => {
                    self.readers[at].ended = true;
                    self.publish();
                }
            }
        }
        Ok(if busy { Turn::Busy } else { Turn::Quiet })
    }

    /// Lag and idleness. A split is idle when it is caught up and silent for the timeout; time spent paused does not count.
    fn housekeeping(&mut self, now: Duration, passed: Duration, paused: bool) {
        for slot in &self.readers {
            for lag in slot.reader.lag() {
                let state =
                    self.splits.iter_mut().find(|s| s.progress.source == slot.source && s.progress.split == lag.split);
                if let Some(state) = state {
                    state.progress.lag = lag.records;
                }
            }
        }
        for state in &mut self.splits {
            if paused {
                state.last_data = state.last_data.saturating_add(passed).min(now);
                continue;
            }
            let timeout =
                self.plan.sources[state.progress.source].event_time.as_ref().and_then(|spec| spec.idle_timeout);
            let silent = now.saturating_sub(state.last_data);
            let caught_up = state.progress.lag == Some(0);
            state.progress.idle = timeout.is_some_and(|timeout| silent >= timeout && caught_up);
        }
        self.publish();
        self.publish_state();
    }

    fn assign(
        &mut self,
        source: usize,
        reader: Option<Box<dyn SourceReader>>,
        splits: Vec<(SplitStart, i64)>,
    ) -> Result<()> {
        let starts: Vec<SplitStart> = splits.iter().map(|(start, _)| start.clone()).collect();
        match reader {
            Some(reader) => self.readers.push(ReaderSlot { source, reader, ended: false }),
            None => {
                let slot = self.readers.iter_mut().find(|slot| slot.source == source);
                let slot = slot.ok_or_else(|| Error::bug(format!("thread {} got splits but no reader", self.index)))?;
                slot.reader.assign(starts)?;
                slot.ended = false;
            }
        }
        let now = self.clock.steady();
        for (start, reached) in splits {
            let progress = SplitProgress {
                source,
                split: start.split,
                next: start.offset,
                reached,
                idle: false,
                ended: false,
                lag: None,
            };
            self.splits.push(SplitState { progress, last_data: now });
        }
        self.publish();
        Ok(())
    }

    /// Publishes what the coordinator decides from.
    pub(crate) fn publish(&self) {
        let mut progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.splits.clear();
        progress.splits.extend(self.splits.iter().map(|state| state.progress.clone()));
        progress.sources.clone_from(&self.source_counts);
        progress.counts.clone_from(&self.totals);
        progress.next_ends.clear();
        progress
            .next_ends
            .extend(self.operators.iter().map(|operator| operator.as_ref().and_then(WindowOperator::next_end)));
        progress.live.clear();
        let live = |operator: &Option<WindowOperator>| operator.as_ref().map_or((0, 0), WindowOperator::live);
        progress.live.extend(self.operators.iter().map(live));
        progress.ended = self.readers.iter().all(|slot| slot.ended);
        self.shared.buffered.store(self.rows_bytes + self.exits.bytes, Ordering::Relaxed);
    }

    /// Everything that came before the barrier. The thread goes on reading as soon as this returns; panes that are left are
    /// written down turn by turn and go to `panes`.
    fn cut(&mut self, fire_up_to: &[i64], space: &Space, panes: Sender<Panes>) -> Result<Cut> {
        let begun = self.clock.steady();
        let queries = self.plan.queries.len();
        if self.drain.is_pending(&self.operators) {
            return Err(Error::bug(format!("thread {} was to cut before the last cut was written down", self.index)));
        }
        let mut cut = Cut {
            worker: self.index,
            splits: self.splits.iter().map(|state| state.progress.clone()).collect(),
            counts: std::mem::replace(&mut self.counts, vec![Counts::default(); queries]),
            fired: Vec::with_capacity(queries),
            stored: Vec::with_capacity(queries),
            retired: Vec::with_capacity(queries),
            spilled: Vec::with_capacity(queries),
            changes: PanePuts::default(),
            rows: std::mem::replace(&mut self.rows, vec![Vec::new(); queries]),
            exits: std::mem::take(&mut self.exits),
            sizes: Vec::with_capacity(queries),
            pause: Duration::ZERO,
        };
        self.rows_bytes = 0;
        for (index, query) in self.plan.queries.iter().enumerate() {
            let (mut firing, mut spilled, mut size) = (Firing::default(), BTreeSet::new(), (0, 0));
            if let (Some(operator), QueryInput::Source(source)) = (&mut self.operators[index], query.input) {
                space.spilled.get(index).into_iter().for_each(|parts| operator.learn_spilled(parts));
                firing = operator.take_fired(fire_up_to[source])?;
                operator.cut(space.make);
                spilled.clone_from(operator.spilled());
                let (held, loading) = (operator.size(), self.drain.loading(index));
                size = (held.0 + loading.0, held.1 + loading.1);
            }
            cut.fired.push(firing.fired);
            cut.stored.push(firing.stored);
            cut.retired.push(firing.retired);
            cut.spilled.push(spilled);
            cut.sizes.push(size);
        }
        if space.loaded {
            self.drain.take_loaded(&mut self.operators)?;
        }
        let clock = &self.clock;
        let live = cut.sizes.iter().map(|(panes, _)| panes).sum();
        cut.changes = self.drain.begin(&mut self.operators, panes, live, || clock.steady().saturating_sub(begun))?;
        self.publish();
        self.publish_state();
        cut.pause = self.clock.steady().saturating_sub(begun);
        Ok(cut)
    }

    /// Writes down some of the last cut's panes. True when there were any and somebody takes them.
    fn write_panes(&mut self) -> Result<bool> {
        if !self.drain.is_open() {
            return Ok(false);
        }
        let begun = self.clock.steady();
        let clock = &self.clock;
        let wrote = self.drain.turn(&mut self.operators, || clock.steady().saturating_sub(begun))?;
        if !self.drain.is_open() {
            self.publish_state();
        }
        Ok(wrote)
    }

    /// What could leave memory.
    fn publish_state(&self) {
        let bytes = self.operators.iter().flatten().map(WindowOperator::movable_bytes).sum();
        self.shared.state.store(bytes, Ordering::Relaxed);
    }
}

/// What `work` gives; a panic comes back as an error.
pub(crate) fn caught<T>(who: std::fmt::Arguments<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    outcome.unwrap_or_else(|panic| Err(Error::bug(format!("{who} panicked: {}", panic_text(panic.as_ref())))))
}

/// What a panic said, if it said text.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
