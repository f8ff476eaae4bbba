//! When an epoch is cut, and up to where windows fire with it.

use super::{Coordinator, Phase, SEALING, WAITING_PANES};
use crate::barrier::Barrier;
use crate::host;
use crate::loading::Loads;
use crate::looks;
use crate::portions;
use crate::pressure;
use crate::progress::{Command, Cut, Space, WorkerProgress, records};
use crate::repeat;
use crate::status::JobState;
use crate::view;
use aqueduct_core::{Error, EventTime, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// While state is loaded, the next checkpoint may wait for so many intervals: a restore that reads everything first would have
/// taken none either.
const LOADING_PATIENCE: u32 = 3;

/// Why an epoch is cut now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// It is due, or wanted, or windows fire.
    Due,
    /// The threads take over what was loaded.
    Loaded,
    /// State is to leave memory.
    Space,
    /// The job ends.
    End(JobState),
}

impl Coordinator {
    pub(super) fn maybe_seal(
        &mut self,
        progress: &[WorkerProgress],
        watermarks: &[EventTime],
        now: Duration,
    ) -> Result<()> {
        if !self.started.repeats.is_empty() {
            return self.maybe_repeat(progress, now);
        }
        let watermarks = self.without_loading(watermarks);
        let Some(reason) = self.reason(progress, &watermarks, now) else { return Ok(()) };
        let drains = reason == Reason::End(JobState::Stopped) && self.fires_all(JobState::Stopped);
        let wanted: Vec<i64> = watermarks.iter().map(|at| if drains { i64::MAX } else { at.0 }).collect();
        let fire_up_to = self.portions.bound(&self.started.plan, progress, &wanted);
        self.held_back = fire_up_to != wanted;
        let finished = reason == Reason::End(JobState::Finished) && !self.held_back;
        if let Reason::End(state) = reason {
            self.phase = Phase::Sealing(state);
        }
        let asked = self.started.control.asked();
        let (make_space, loaded) = (reason == Reason::Space, reason == Reason::Loaded);
        self.cut(Barrier { make_space, loaded, ..Barrier::new(fire_up_to, finished, now, asked) });
        if loaded {
            self.take_loaded(now);
        }
        Ok(())
    }

    /// Watermarks up to where windows need no state that is still being loaded.
    fn without_loading(&self, watermarks: &[EventTime]) -> Vec<EventTime> {
        let bound = |source| self.loads.as_ref().map_or(i64::MAX, |loads| loads.bound(source));
        watermarks.iter().enumerate().map(|(source, at)| EventTime(at.0.min(bound(source)))).collect()
    }

    /// Whether an epoch is cut now.
    fn reason(&mut self, progress: &[WorkerProgress], watermarks: &[EventTime], now: Duration) -> Option<Reason> {
        if self.loads.as_ref().is_some_and(Loads::are_done) {
            return Some(Reason::Loaded);
        }
        let held_up = pressure::of_sinks(&self.started, &self.settings);
        if let Phase::Ending(state) = self.phase {
            let waits = self.loads.is_some() && self.fires_all(state);
            let stuck = (self.unfired || self.held_back) && held_up;
            return (!waits && !stuck).then_some(Reason::End(state));
        }
        let since = now.saturating_sub(self.last_seal);
        let asked = self.started.control.asked();
        let fireable = portions::fireable(&self.started.plan, progress, watermarks);
        let more = (self.unfired || (self.held_back && fireable)) && !held_up;
        let fireable = fireable && !(self.held_back && held_up);
        // What is being loaded has to be here before it can leave.
        let space = self.loads.is_none() && pressure::wants_space(&self.started, &self.settings);
        let wanted = asked > self.answered || more || space;
        if since < self.settings.checkpoint_min_pause.min(self.settings.checkpoint_interval) && !wanted {
            return None;
        }
        let buffered: u64 =
            self.started.threads.iter().map(|thread| thread.shared.buffered.load(Ordering::Relaxed)).sum();
        // A large checkpoint between a restart and the threads' taking over would hold up the windows that wait for that.
        let patience = if self.loads.is_some() { LOADING_PATIENCE } else { 1 };
        let due = since >= self.settings.checkpoint_interval * patience || wanted;
        if !(fireable || buffered > self.settings.max_buffered_bytes || due) {
            return None;
        }
        if due && !(fireable || more || space) && buffered == 0 && records(progress) == self.sealed_records {
            self.nothing_to_seal(asked, now);
            return None;
        }
        Some(if space { Reason::Space } else { Reason::Due })
    }

    /// Nothing to seal: only sees that the shard is still ours.
    fn nothing_to_seal(&mut self, asked: u64, now: Duration) {
        self.last_seal = now;
        self.answered = asked;
        self.secured_at_ms = Some(self.started.clock.wall_ms());
        if let Some(epochs) = self.epochs.as_ref().filter(|_| self.checking.is_none()) {
            self.checking = Some(looks::at_claim(&self.started.host, epochs.log.reader()));
        }
    }

    /// The threads take over what was loaded with the cut that they have just been asked for.
    fn take_loaded(&mut self, now: Duration) {
        let Some(loads) = self.loads.take() else { return };
        let (panes, bytes) = loads.size();
        let took = loads.age(now);
        tracing::info!(panes, bytes, took_ms = took.as_millis() as u64, "state is in memory");
        self.loaded_after = Some(took);
        self.started.points.hit("runtime.loading.taken");
    }

    /// Whether every window fires before such an end.
    pub(super) fn fires_all(&self, end: JobState) -> bool {
        end == JobState::Finished || self.started.control.drains()
    }

    /// Asks the threads to cut.
    fn cut(&mut self, mut barrier: Barrier) {
        self.last_seal = barrier.begun;
        // Closed when every thread has let go of its end.
        let (panes, rest) = mpsc::channel(WAITING_PANES);
        barrier.rest = Some(rest);
        let space = Arc::new(Space { make: barrier.make_space, loaded: barrier.loaded, spilled: self.spilled.clone() });
        for thread in &self.started.threads {
            let (fire_up_to, space, panes) = (barrier.fire_up_to.clone(), space.clone(), panes.clone());
            let command = Command::Barrier { fire_up_to, space, panes };
            if thread.commands.send(command).is_err() {
                // Its own error is on the way.
                return;
            }
        }
        self.barrier = Some(barrier);
    }

    /// Cuts an epoch once more where it was cut before, as soon as every split has come that far.
    fn maybe_repeat(&mut self, progress: &[WorkerProgress], now: Duration) -> Result<()> {
        let Some(again) = self.started.repeats.front().filter(|_| self.phase == Phase::Running) else { return Ok(()) };
        let splits: Vec<_> = progress.iter().flat_map(|worker| &worker.splits).collect();
        for state in &again.splits {
            let table = |source: usize| &self.started.plan.sources[source].spec.table;
            let split = splits.iter().find(|split| split.split == state.split && *table(split.source) == state.source);
            match split {
                Some(split) if split.next >= state.next => {}
                Some(split) if !split.ended => return Ok(()),
                // Its thread has not begun with it.
                None if self.started.is_known(state) => return Ok(()),
                _ => {
                    return Err(Error::data(format!(
                        "epoch {} cannot be cut again after damage: {} of '{}' ends before offset {}, up to which it was read then. \
                         Restore the input, or the damaged checkpoint from a copy",
                        again.epoch, state.split, state.source, state.next
                    )));
                }
            }
        }
        let fire_up_to = repeat::fire_up_to(&self.started.plan, again);
        let barrier = Barrier { repeat: Some(again.clone()), ..Barrier::new(fire_up_to, again.finished, now, 0) };
        self.cut(barrier);
        Ok(())
    }

    /// An epoch was cut again: on to the next one, or on with reading.
    pub(super) fn repeated(&mut self) {
        let Some(done) = self.started.repeats.pop_front() else { return };
        tracing::info!(epoch = %done.epoch, left = self.started.repeats.len(), "an epoch was cut again as it was");
        match (&self.started.limits, self.started.repeats.front()) {
            (Some(limits), Some(next)) => limits.set(next),
            (Some(limits), None) => limits.lift(),
            (None, _) => {}
        }
    }

    pub(super) fn take_cut(&mut self, cut: Cut) -> Result<()> {
        let threads = self.started.threads.len();
        let barrier = self.barrier.as_mut().ok_or_else(|| Error::bug("a cut came without a barrier"))?;
        barrier.cuts.push(cut);
        if barrier.cuts.len() < threads {
            return Ok(());
        }
        let progress = self.progress();
        let mut barrier = self.barrier.take().ok_or_else(|| Error::bug("the barrier is gone"))?;
        barrier.sources = view::source_totals(&self.started, &progress);
        self.sealed_records = records(&progress);
        let epochs = self.epochs.take().ok_or_else(|| Error::bug("two epochs are being sealed at once"))?;
        self.sealing = Some(host::start(self.started.host.as_ref(), SEALING, epochs.seal(barrier)));
        Ok(())
    }
}
