//! Writing down the panes of a cut while the thread reads on: some at the cut itself, the others turn by turn.
//!
//! Which panes those are, and what they held at the cut, is the operators' business; who takes them is not known here.

use crate::progress::Panes;
use crate::window::WindowOperator;
use aqueduct_plan::JobPlan;
use aqueduct_state::{PanePuts, SliceKey, query_hash};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// How a thread writes down its panes.
pub(crate) struct Drain {
    worker: u16,
    /// Per query: the number under which its panes are kept.
    hashes: Vec<u64>,
    /// Panes at a time: what the record path stands still for.
    panes_per_turn: usize,
    /// Takes what is left of the last cut; `None` when nothing is.
    open: Option<Sender<Panes>>,
}

impl Drain {
    /// Of a thread that has not cut yet.
    pub(crate) fn new(worker: usize, plan: &JobPlan, panes_per_turn: usize) -> Self {
        let hashes = plan.queries.iter().map(|query| query_hash(&query.id)).collect();
        Self { worker: worker as u16, hashes, panes_per_turn: panes_per_turn.max(1), open: None }
    }

    /// Whether somebody waits for panes.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether panes of the last cut are still to be written down.
    pub(crate) fn is_pending(&self, operators: &[Option<WindowOperator>]) -> bool {
        operators.iter().flatten().any(WindowOperator::is_pending)
    }

    /// The first panes of a cut; the rest goes to `rest`, if there is any.
    pub(crate) fn begin(&mut self, operators: &mut [Option<WindowOperator>], rest: Sender<Panes>) -> PanePuts {
        let first = self.some(operators);
        self.open = self.is_pending(operators).then_some(rest);
        first
    }

    /// Some more panes. `took` tells how long this turn has taken so far. False when there was no room for them.
    pub(crate) fn turn(&mut self, operators: &mut [Option<WindowOperator>], took: impl FnOnce() -> Duration) -> bool {
        let Some(rest) = self.open.clone() else { return false };
        match rest.try_reserve() {
            Ok(room) => {
                let puts = self.some(operators);
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

    fn some(&self, operators: &mut [Option<WindowOperator>]) -> PanePuts {
        let mut puts = PanePuts::default();
        for (operator, query) in operators.iter_mut().zip(&self.hashes) {
            let Some(operator) = operator else { continue };
            let left = self.panes_per_turn - puts.len();
            operator.drain(left, |(slice_start, min_end), key, value| {
                puts.push(&SliceKey { query: *query, slice_start, min_end }, self.worker, key, value);
            });
        }
        puts
    }
}
