//! Windows that fire from the state store, because they had no room in memory: which they are, and so many of their keys at a time
//! that results fit into an epoch.
//!
//! A window that has begun to fire takes no more rows, and what it has shown is gone from the store with the same checkpoint. So
//! after a restart whatever the store still holds of it is what is left to show.

use crate::seal::StoredRows;
use crate::window::{Layout, Panes, PartKey, Slice, sum};
use aqueduct_core::Result;
use aqueduct_plan::JobPlan;
use aqueduct_state::{Merge, SliceKey, StateStore, query_hash};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Parts in the store that no restart reads into memory, per query.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Of windows that take rows.
    pub(crate) open: Vec<BTreeSet<PartKey>>,
    /// Of windows that fire. They do not overlap: the order of their parts is that of their ends.
    firing: Vec<BTreeSet<PartKey>>,
    /// Keys that fire in one epoch, at most.
    limit: usize,
}

/// The same in a commit record, per query id.
pub(crate) type Recorded = BTreeMap<String, BTreeSet<PartKey>>;

impl Stored {
    /// What a commit says. At most `limit` keys fire in one epoch.
    pub(crate) fn of(plan: &JobPlan, recorded: &Recorded, fired_up_to: &[i64], limit: usize) -> Self {
        let queries = plan.queries.len();
        let mut stored =
            Self { open: vec![BTreeSet::new(); queries], firing: vec![BTreeSet::new(); queries], limit: limit.max(1) };
        for ((index, query), fired) in plan.queries.iter().enumerate().zip(fired_up_to) {
            let parts = recorded.get(&query.id).cloned().unwrap_or_default();
            // A part that leaves memory is read by one window, which ends where the part opens.
            let fires = |(_, end): &PartKey| end.saturating_sub(1) <= *fired;
            (stored.firing[index], stored.open[index]) = parts.into_iter().partition(fires);
        }
        stored
    }

    /// For a commit record.
    pub(crate) fn record(&self, plan: &JobPlan) -> Recorded {
        let mut recorded = Recorded::new();
        for ((query, open), firing) in plan.queries.iter().zip(&self.open).zip(&self.firing) {
            let parts: BTreeSet<PartKey> = open.union(firing).copied().collect();
            if !parts.is_empty() {
                recorded.insert(query.id.clone(), parts);
            }
        }
        recorded
    }

    /// All parts, as the store names them.
    pub(crate) fn slices(&self, plan: &JobPlan) -> BTreeSet<SliceKey> {
        let recorded = self.record(plan);
        let keys = recorded.iter().flat_map(|(id, parts)| parts.iter().map(|part| slice_key(query_hash(id), *part)));
        keys.collect()
    }

    /// More windows of a query fire; several threads may name the same.
    pub(crate) fn fire(&mut self, query: usize, windows: &[PartKey]) {
        for part in windows {
            self.open[query].remove(part);
            self.firing[query].insert(*part);
        }
    }

    /// Windows of a query that are in the store.
    pub(crate) fn windows(&self, query: usize) -> u64 {
        (self.open[query].len() + self.firing[query].len()) as u64
    }

    /// Whether windows of any query still have keys to show.
    pub(crate) fn is_firing(&self) -> bool {
        self.firing.iter().any(|windows| !windows.is_empty())
    }

    /// Takes keys of the windows that fire out of the store, per query, as many as an epoch may hold.
    pub(crate) fn take(&mut self, plan: &JobPlan, state: &mut StateStore) -> Result<Vec<Vec<StoredRows>>> {
        let mut left = self.limit;
        let mut all = Vec::with_capacity(plan.queries.len());
        for (query, windows) in plan.queries.iter().zip(&mut self.firing) {
            let mut rows = Vec::new();
            while left > 0
                && let Some(part) = windows.first().copied()
                && let Some(window) = &query.window
            {
                let mut keys = Slice::new(window)?;
                let slice = slice_key(query_hash(&query.id), part);
                let mut panes = Panes::default();
                let more = state.take(slice, left, &mut |key, value| {
                    panes.push(key, value);
                    if panes.is_full() {
                        keys.restore(&panes, false)?;
                        panes.clear();
                    }
                    Ok(())
                })?;
                keys.restore(&panes, false)?;
                left -= keys.len().min(left);
                if !more {
                    windows.pop_first();
                }
                rows.push(StoredRows { end: part.1, keys, last: !more });
                if more {
                    break;
                }
            }
            all.push(rows);
        }
        Ok(all)
    }
}

fn slice_key(query: u64, (slice_start, min_end): PartKey) -> SliceKey {
    SliceKey { query, slice_start, min_end }
}

/// How the store adds up panes of the plan's queries.
pub(crate) fn merge(plan: &JobPlan) -> Merge {
    let layout = |query: &aqueduct_plan::Query| {
        // What cannot be held is refused where the operators are made.
        let layout = Layout::of(&query.window.as_ref()?.aggregates).ok()?;
        Some((query_hash(&query.id), Arc::new(layout)))
    };
    let by_query: HashMap<u64, Arc<Layout>> = plan.queries.iter().filter_map(layout).collect();
    Arc::new(move |query, values| sum(by_query.get(&query)?, values).ok())
}
