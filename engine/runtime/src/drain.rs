//! Writing down the panes of a cut while the thread reads on: some at the cut itself, the others turn by turn.
//!
//! Which panes those are, and what they held at the cut, is the operators' business; who takes them is not known here.

use crate::loading::Feed;
use crate::progress::Panes;
use crate::window::{WindowOperator, Written};
use aqueduct_core::Result;
use aqueduct_plan::JobPlan;
use aqueduct_state::{PanePuts, SliceKey, query_hash};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// What the record path stands still for at a time, about; and with millions of panes, or a checkpoint would take for ever.
const PORTION: Duration = Duration::from_millis(1);
const LONG_PORTION: Duration = Duration::from_millis(5);
const MANY: u64 = 1_000_000;
/// Panes between two looks at the clock.
const STEP: usize = 512;

/// How a thread writes down its panes.
pub(crate) struct Drain {
    worker: u16,
    /// Per query: the number under which its panes are kept.
    hashes: Vec<u64>,
    /// Panes at a time, if that takes no longer than `portion`.
    panes_per_turn: usize,
    /// [`PORTION`] or [`LONG_PORTION`].
    portion: Duration,
    /// Takes what is left of the last cut; `None` when nothing is.
    open: Option<Sender<Panes>>,
    /// Takes deltas of what is being loaded, when they are written down.
    feed: Option<Feed>,
}

impl Drain {
    /// Of a thread that has not cut yet.
    pub(crate) fn new(worker: usize, plan: &JobPlan, panes_per_turn: usize, feed: Option<Feed>) -> Self {
        let hashes = plan.queries.iter().map(|query| query_hash(&query.id)).collect();
        Self {
            worker: worker as u16,
            hashes,
            panes_per_turn: panes_per_turn.max(1),
            portion: PORTION,
            open: None,
            feed,
        }
    }

    /// Whether somebody waits for panes.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether panes of the last cut are still to be written down.
    pub(crate) fn is_pending(&self, operators: &[Option<WindowOperator>]) -> bool {
        operators.iter().flatten().any(WindowOperator::is_pending)
    }

    /// The first panes of a cut; the rest goes to `rest`, if there is any. There are so many `panes` in memory; `took` tells how long this has taken so far.
    pub(crate) fn begin(
        &mut self,
        operators: &mut [Option<WindowOperator>],
        rest: Sender<Panes>,
        panes: u64,
        took: impl Fn() -> Duration,
    ) -> Result<PanePuts> {
        let first = self.some(operators, &took)?;
        self.portion = if panes < MANY { PORTION } else { LONG_PORTION };
        self.open = self.is_pending(operators).then_some(rest);
        Ok(first)
    }

    /// Some more panes. `took` tells how long this turn has taken so far. False when there was no room for them.
    pub(crate) fn turn(
        &mut self,
        operators: &mut [Option<WindowOperator>],
        took: impl Fn() -> Duration,
    ) -> Result<bool> {
        let Some(rest) = self.open.clone() else { return Ok(false) };
        match rest.try_reserve() {
            Ok(room) => {
                let puts = self.some(operators, &took)?;
                room.send(Panes { puts, took: took() });
                if !self.is_pending(operators) {
                    self.open = None;
                }
                Ok(true)
            }
            Err(TrySendError::Full(())) => Ok(false),
            Err(TrySendError::Closed(())) => {
                // The seal was given up, and its error ends the job.
                self.open = None;
                Ok(false)
            }
        }
    }

    fn some(&self, operators: &mut [Option<WindowOperator>], took: &impl Fn() -> Duration) -> Result<PanePuts> {
        let mut puts = PanePuts::default();
        for (index, (operator, query)) in operators.iter_mut().zip(&self.hashes).enumerate() {
            let Some(operator) = operator else { continue };
            while puts.len() < self.panes_per_turn
                && operator.is_pending()
                && (puts.is_empty() || took() < self.portion)
            {
                let step = STEP.min(self.panes_per_turn - puts.len());
                let written = operator.drain(step, |(slice_start, min_end), key, value, how| {
                    let slice = SliceKey { query: *query, slice_start, min_end };
                    match how {
                        Written::Whole => puts.push(&slice, self.worker, key, value),
                        Written::Delta => puts.add(&slice, self.worker, key, value),
                    }
                })?;
                if written == 0 {
                    break;
                }
            }
            // Before anybody learns that all is written down: then nothing is on its way to the loader any more.
            if let Some(feed) = &self.feed {
                operator.take_written().into_iter().for_each(|(part, slice)| feed.give(index, part, slice));
            }
        }
        Ok(puts)
    }

    /// Takes over what was loaded, right behind a cut that nothing is written down of.
    pub(crate) fn take_loaded(&mut self, operators: &mut [Option<WindowOperator>]) -> Result<()> {
        let Some(feed) = self.feed.take() else { return Ok(()) };
        let loaded = operators.iter_mut().zip(feed.take()?);
        loaded
            .filter_map(|(operator, slices)| Some((operator.as_mut()?, slices)))
            .try_for_each(|(operator, slices)| operator.take_loaded(slices))
    }

    /// Panes of a query that are loaded and not yet here, and their bytes.
    pub(crate) fn loading(&self, query: usize) -> (u64, u64) {
        self.feed.as_ref().map_or((0, 0), |feed| feed.size(query))
    }
}
