//! Sink tasks: each delivers the sealed epochs to one sink, in order, behind the sink's own fence.
//!
//! A sink that is down is waited for, with growing pauses; the others go on. What may be delivered is decided by the
//! claim log: the owner is checked again between epochs, and the permit comes from the checkpoint room.

use crate::epochs::Totals;
use crate::outbox;
use crate::status::SinkStatus;
use aqueduct_checkpoint::protocol::{Backlog, judge_cursor};
use aqueduct_checkpoint::{CommitBody, OutboxSegment, ShardReader};
use aqueduct_core::{Claimed, Clock, Cursor, Epoch, Error, ErrorKind, FailPoints, Host, Result, SealedEpoch, Sink};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Pauses between attempts at a sink that is down: from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Sealed bytes kept in memory per sink; beyond it segments are read back from the store.
const CACHED_BYTES: u64 = 4 << 20;

/// One epoch's rows for one sink.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) epoch: Epoch,
    pub(crate) sealed_at_ms: i64,
    pub(crate) segments: Vec<OutboxSegment>,
    /// The segments' bytes while they are still in memory.
    pub(crate) cached: Option<Vec<Bytes>>,
}

impl Work {
    fn rows(&self) -> u64 {
        self.segments.iter().map(|segment| segment.rows).sum()
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.blob.bytes).sum()
    }

    /// The rows of a committed epoch for `sink`, if it has any.
    pub(crate) fn of(commit: &CommitBody, sink: &str) -> Option<Work> {
        let mut segments: Vec<OutboxSegment> =
            commit.outbox.iter().filter(|segment| segment.sink == sink).cloned().collect();
        segments.sort_by_key(|segment| segment.sequence);
        (!segments.is_empty()).then(|| Work {
            epoch: commit.epoch,
            sealed_at_ms: commit.sealed_at_ms,
            segments,
            cached: None,
        })
    }
}

#[derive(Debug, Default)]
struct Queue {
    pending: VecDeque<Work>,
    status: SinkStatus,
}

/// What a sink task shares with the coordinator.
#[derive(Debug)]
pub(crate) struct Delivery {
    queue: Mutex<Queue>,
    wake: Notify,
    reach: Reach,
    /// As [`Sink::unstable_records`].
    unstable: Option<Arc<AtomicU64>>,
}

impl Delivery {
    /// A delivery whose sink stands at `cursor` with `pending` epochs to go.
    pub(crate) fn new(
        table: String,
        connector: String,
        cursor: Cursor,
        pending: Vec<Work>,
        reach: Reach,
        unstable: Option<Arc<AtomicU64>>,
    ) -> Self {
        let status = SinkStatus { table, connector, cursor: cursor.0.0, ..SinkStatus::default() };
        let queue = Mutex::new(Queue { pending: pending.into(), status });
        Self { queue, wake: Notify::new(), reach, unstable }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a sealed epoch.
    pub(crate) fn push(&self, mut work: Work) {
        let mut queue = self.lock();
        if queue.pending.iter().filter(|work| work.cached.is_some()).map(Work::bytes).sum::<u64>() > CACHED_BYTES {
            work.cached = None;
        }
        queue.pending.push_back(work);
        drop(queue);
        self.wake.notify_one();
    }

    /// Bytes that are sealed and not applied.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.lock().pending.iter().map(Work::bytes).sum()
    }

    /// True when everything sealed so far is applied.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().pending.is_empty()
    }

    /// Everything up to this epoch is applied or has no rows for this sink, given that `head` is sealed.
    pub(crate) fn done_up_to(&self, head: Epoch) -> Epoch {
        self.lock().pending.front().map_or(head, |work| Epoch(work.epoch.0.saturating_sub(1)))
    }

    /// The status, with the backlog counted.
    pub(crate) fn status(&self) -> SinkStatus {
        let queue = self.lock();
        let mut status = queue.status.clone();
        status.backlog_epochs = queue.pending.len() as u64;
        status.backlog_rows = queue.pending.iter().map(Work::rows).sum();
        let unstable = self.unstable.as_ref().map(|records| records.load(Ordering::Relaxed));
        status.unstable_records = unstable.filter(|records| *records != u64::MAX);
        status
    }

    async fn next(&self) -> Work {
        loop {
            let waiting = self.wake.notified();
            if let Some(work) = self.lock().pending.front().cloned() {
                return work;
            }
            waiting.await;
        }
    }

    fn applied(&self, cursor: Cursor, rows: u64, now_ms: i64) {
        let mut queue = self.lock();
        while queue.pending.front().is_some_and(|work| work.epoch <= cursor.0) {
            queue.pending.pop_front();
        }
        queue.status.cursor = cursor.0.0;
        queue.status.run_rows += rows;
        queue.status.error = None;
        if rows > 0 {
            queue.status.applied_at_ms = Some(now_ms);
        }
    }

    fn failed(&self, error: &Error) {
        let mut queue = self.lock();
        queue.status.retries += 1;
        queue.status.error = Some(error.message().to_owned());
        // Down for long: do not hold memory for it.
        queue.pending.iter_mut().for_each(|work| work.cached = None);
    }

    /// Puts redelivered epochs in front, when a sink came back with an older cursor.
    fn rewound(&self, again: Vec<Work>, cursor: Cursor) {
        let mut queue = self.lock();
        let first = queue.pending.front().map_or(Epoch(u64::MAX), |work| work.epoch);
        for work in again.into_iter().rev().filter(|work| work.epoch < first) {
            queue.pending.push_front(work);
        }
        queue.status.cursor = cursor.0.0;
    }
}

/// What a sink's cursor may mean besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The last epoch that is to be cut again: until then a sink may stand beyond the newest commit.
    pub(crate) repeated: Option<Epoch>,
    /// As [`Sink::remembers`].
    pub(crate) remembers: bool,
}

/// The sealed epochs with rows for `sink` that it has not applied. A hole between its cursor and what is kept is an error,
/// not silence.
pub(crate) async fn backlog(log: &ShardReader, sink: &str, cursor: Cursor, reach: Reach) -> Result<Vec<Work>> {
    let head = log.head();
    if cursor.0 > head && reach.repeated.is_some_and(|last| cursor.0 <= last) {
        return Ok(Vec::new());
    }
    if judge_cursor(cursor.0, head, Epoch::ZERO) == Backlog::SinkAhead {
        let ahead = Error::data(format!(
            "sink '{sink}' has applied epoch {}, but the newest checkpoint is epoch {head}: the checkpoint folder is older than the \
             sink, or its newest records were deleted. Point 'execution.checkpointing.dir' at the newest checkpoints, restore the \
             records, or start with -D execution.checkpointing.on-damage=fall-back",
            cursor.0
        ));
        return Err(log.alarm_or_fenced(ahead).await);
    }
    let commits = log.retained_after(cursor.0).await?;
    let Some(newest) = commits.last() else { return Ok(Vec::new()) };
    // A sink that the newest commit does not know is new: it gets what is sealed from now on.
    let Some(mark) = Totals::of(newest)?.sinks.get(sink).copied() else { return Ok(Vec::new()) };
    let first = commits.iter().find(|commit| commit.outbox.iter().any(|segment| segment.sink == sink));
    let before = match first {
        Some(commit) => Totals::of(commit)?.sinks.get(sink).map_or(0, |mark| mark.before),
        None => mark.last,
    };
    // A sink that cannot be asked has no hole.
    let gone = if reach.remembers { Epoch(before) } else { Epoch::ZERO };
    if let Backlog::Hole { missing } = judge_cursor(cursor.0, head, gone) {
        let hole = Error::data(format!(
            "sink '{sink}' stands at epoch {}, but epoch {missing} with rows for it is no longer kept: the sink was set back to an \
             older state. Restore a newer backup of it, or run the job under another 'pipeline.name' from the beginning of its input",
            cursor.0
        ));
        return Err(log.alarm_or_fenced(hole).await);
    }
    Ok(commits.iter().filter_map(|commit| Work::of(commit, sink)).collect())
}

/// The bytes of a segment that is no longer in memory.
async fn read_back(log: &ShardReader, points: &FailPoints, segment: &OutboxSegment) -> Result<Bytes> {
    points.hit("runtime.deliver.before-read-back");
    let bytes = log.get_blob(&segment.blob).await?;
    points.hit("runtime.deliver.after-read-back");
    Ok(bytes)
}

/// Everything a sink task needs.
pub(crate) struct SinkTask {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) cursor: Cursor,
    pub(crate) claimed: Claimed,
    pub(crate) log: ShardReader,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) points: FailPoints,
}

impl SinkTask {
    /// Delivers until the process ends or an error comes that waiting cannot cure; that one goes to `failures`.
    pub(crate) async fn run(mut self, failures: mpsc::UnboundedSender<Error>) {
        let table = self.delivery.status().table;
        let mut pause = FIRST_PAUSE;
        loop {
            let work = self.delivery.next().await;
            match self.deliver(&work).await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) if error.kind() == ErrorKind::Retry => {
                    tracing::warn!(sink = %table, epoch = %work.epoch, error = %error, "delivery failed; trying again");
                    self.delivery.failed(&error);
                    self.reopen(&mut pause, &failures).await;
                }
                Err(error) => {
                    self.delivery.failed(&error);
                    let _ = failures.send(error.context(format!("sink '{table}', epoch {}", work.epoch)));
                    return;
                }
            }
        }
    }

    async fn deliver(&mut self, work: &Work) -> Result<()> {
        if work.epoch <= self.cursor.0 {
            // A reopened sink told that the epoch had landed after all.
            self.delivery.applied(self.cursor, 0, self.clock.wall_ms());
            return Ok(());
        }
        self.points.hit("runtime.deliver.before-check");
        self.log.check_owner().await?;
        self.points.hit("runtime.deliver.after-check");
        let mut batches = Vec::new();
        for (index, segment) in work.segments.iter().enumerate() {
            let cached = work.cached.as_ref().and_then(|cached| cached.get(index)).cloned();
            let bytes = match cached {
                Some(bytes) => bytes,
                None => read_back(&self.log, &self.points, segment).await?,
            };
            batches.extend(outbox::decode(bytes)?);
        }
        let epoch = SealedEpoch { after: self.cursor, sealed_at_ms: work.sealed_at_ms, batches };
        let rows = epoch.rows() as u64;
        self.points.hit("runtime.deliver.before-apply");
        self.cursor = self.sink.apply(self.log.permit(work.epoch), &epoch).await?;
        self.points.hit("runtime.deliver.after-apply");
        self.delivery.applied(self.cursor, rows, self.clock.wall_ms());
        Ok(())
    }

    /// Waits and opens the sink again until it answers; its cursor decides where to go on.
    async fn reopen(&mut self, pause: &mut Duration, failures: &mpsc::UnboundedSender<Error>) {
        loop {
            self.host.sleep(*pause).await;
            *pause = (*pause * 2).min(LONGEST_PAUSE);
            self.points.hit("runtime.deliver.before-reopen");
            let outcome = match self.sink.open(&self.claimed).await {
                Ok(cursor) => {
                    self.points.hit("runtime.deliver.after-reopen");
                    self.resume(cursor).await
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => return,
                Err(error) if error.kind() == ErrorKind::Retry => {
                    let status = self.delivery.status();
                    // A trouble that lasts is told once; `status` shows it all the time.
                    if status.error.as_deref() != Some(error.message()) {
                        tracing::warn!(sink = %status.table, error = %error, "the sink does not open; trying again");
                    }
                    self.delivery.failed(&error);
                }
                Err(error) => {
                    self.delivery.failed(&error);
                    let _ = failures.send(error);
                    // The coordinator ends the job; this task must not deliver meanwhile.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    async fn resume(&mut self, cursor: Cursor) -> Result<()> {
        if cursor < self.cursor {
            let table = self.delivery.status().table;
            tracing::warn!(sink = %table, was = %self.cursor.0, now = %cursor.0, "the sink went back; delivering again from there");
            let again = backlog(&self.log, &table, cursor, self.delivery.reach).await?;
            self.delivery.rewound(again, cursor);
            self.points.hit("runtime.deliver.went-back");
        }
        self.cursor = cursor;
        Ok(())
    }
}
