//! How many windows fire in one epoch: as many as give a bounded number of rows, which have to be in memory all at once.
//!
//! What a window will give is not known before; it is guessed from the ones before it and from the panes that are there. When an
//! epoch is cut is the coordinator's business.

use crate::progress::WorkerProgress;
use crate::status::QueryStatus;
use aqueduct_core::EventTime;
use aqueduct_plan::{JobPlan, QueryInput, WindowAggregate};

/// Guesses, by query.
#[derive(Debug)]
pub(crate) struct Portions {
    /// Rows that an epoch may have; one window fires in any case.
    limit: u64,
    /// Rows of a window that fired of late; 0 while none has.
    rows: Vec<u64>,
    /// Windows and rows up to the last commit.
    before: Vec<(u64, u64)>,
}

impl Portions {
    /// For epochs of about `limit` rows.
    pub(crate) fn new(limit: usize, queries: usize) -> Self {
        Self { limit: limit as u64, rows: vec![0; queries], before: vec![(0, 0); queries] }
    }

    /// Learns from a commit what a window gives.
    pub(crate) fn learn(&mut self, queries: &[QueryStatus]) {
        for ((query, rows), before) in queries.iter().zip(&mut self.rows).zip(&mut self.before) {
            let now = (query.fired_windows, query.result_rows);
            let windows = now.0.saturating_sub(before.0);
            if windows > 0 {
                *rows = now.1.saturating_sub(before.1).div_ceil(windows).max(1);
                *before = now;
            }
        }
    }

    /// Per source: windows up to here fire now, of those that may fire, which are the ones up to `wanted`.
    pub(crate) fn bound(&self, plan: &JobPlan, progress: &[WorkerProgress], wanted: &[i64]) -> Vec<i64> {
        let mut bounds = wanted.to_vec();
        for (index, query) in plan.queries.iter().enumerate() {
            if let (QueryInput::Source(source), Some(window)) = (query.input, &query.window)
                && let Some(bound) = self.bound_of(index, window, progress)
            {
                bounds[source] = bounds[source].min(bound);
            }
        }
        bounds
    }

    fn bound_of(&self, query: usize, window: &WindowAggregate, progress: &[WorkerProgress]) -> Option<i64> {
        let next_end = next_ends(progress, query).min()?;
        let live = progress.iter().filter_map(|worker| worker.live.get(query));
        let (panes, parts) = live.fold((0, 0), |(panes, parts), more| (panes + more.0, parts + more.1));
        let step = window.kind.slice();
        let windows_of_a_pane = (window.kind.size() / step).max(1) as u64;
        if panes.saturating_mul(windows_of_a_pane) <= self.limit {
            return None;
        }
        let rows = match self.rows[query] {
            // Not more than all panes.
            0 => panes,
            known => known.max(panes / parts.max(1)),
        };
        let windows = (self.limit / rows.max(1)).max(1);
        let more = i64::try_from(windows - 1).unwrap_or(i64::MAX).saturating_mul(step);
        Some((next_end - 1).saturating_add(more))
    }
}

/// Whether a window can fire.
pub(crate) fn fireable(plan: &JobPlan, progress: &[WorkerProgress], watermarks: &[EventTime]) -> bool {
    plan.queries.iter().enumerate().any(|(index, query)| match query.input {
        QueryInput::Source(source) => {
            next_ends(progress, index).any(|end| end.saturating_sub(1) <= watermarks[source].0)
        }
        QueryInput::System(_) => false,
    })
}

/// Each thread's earliest end of a window that has not fired.
fn next_ends(progress: &[WorkerProgress], query: usize) -> impl Iterator<Item = i64> {
    progress.iter().filter_map(move |worker| worker.next_ends.get(query).copied().flatten())
}

#[cfg(test)]
#[path = "portions_tests.rs"]
mod tests;
