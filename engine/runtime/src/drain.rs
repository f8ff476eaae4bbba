//! Writing down the panes of a cut while the thread reads on: some at the cut itself, the others turn by turn.
//!
//! Which panes those are, and what they held at the cut, is the operators' business; who takes them is not known here.

use crate::progress::Panes;
use crate::window::{WindowOperator, Written};
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
}

impl Drain {
    /// Of a thread that has not cut yet.
    pub(crate) fn new(worker: usize, plan: &JobPlan, panes_per_turn: usize) -> Self {
        let hashes = plan.queries.iter().map(|query| query_hash(&query.id)).collect();
        Self { worker: worker as u16, hashes, panes_per_turn: panes_per_turn.max(1), portion: PORTION, open: None }
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
    ) -> PanePuts {
        let first = self.some(operators, &took);
        self.portion = if panes < MANY { PORTION } else { LONG_PORTION };
        self.open = self.is_pending(operators).then_some(rest);
        first
    }

    /// Some more panes. `took` tells how long this turn has taken so far. False when there was no room for them.
    pub(crate) fn turn(&mut self, operators: &mut [Option<WindowOperator>], took: impl Fn() -> Duration) -> bool {
        let Some(rest) = self.open.clone() else { return false };
        match rest.try_reserve() {
            Ok(room) => {
                let puts = self.some(operators, &took);
                room.send(Panes { puts, took: took() });
                if !self.is_pending(operators) {
                    self.open = None;
                }
                true
            }
            Err(TrySendError::Full(())) => false,
            Err(TrySendError::Closed(())) => {
                // The seal was given up, and its error ends the job.
                self.open = None;
                false
            }
        }
    }

    fn some(&self, operators: &mut [Option<WindowOperator>], took: &impl Fn() -> Duration) -> PanePuts {
        let mut puts = PanePuts::default();
        for (operator, query) in operators.iter_mut().zip(&self.hashes) {
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
                });
                if written == 0 {
                    break;
                }
            }
        }
        puts
    }
}
