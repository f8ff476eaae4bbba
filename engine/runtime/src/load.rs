//! Panes from an opened state store into memory: which they are, for whom, and reading them all at once.
//!
//! The number of threads may differ from the one that wrote the panes: each stored pane goes to thread `worker mod threads`,
//! where partials of one key merge. The panes of a thread come in the order in which they are stored, so that a restore always
//! gives the same state. Where the store comes from, and reading beside the records, is not known here.

use crate::window::{Panes, PartKey, WindowOperator};
use aqueduct_core::{Error, Result};
use aqueduct_plan::JobPlan;
use aqueduct_state::{Place, SliceKey, StateStore, query_hash};
use std::collections::{BTreeSet, HashMap};
use std::thread;

/// What one thread wrote of a slice, on its way into memory.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Index in the plan; a query with windows.
    pub(crate) query: usize,
    /// Where reading goes on.
    place: Place,
    /// Another thread takes it over, and writes it under its own number.
    pub(crate) moved: bool,
}

impl Part {
    pub(crate) fn slice(&self) -> SliceKey {
        self.place.slice()
    }

    /// Its place in an operator.
    pub(crate) fn key(&self) -> PartKey {
        (self.slice().slice_start, self.slice().min_end)
    }

    /// Reads up to `limit` panes, and hands them to `take`, some at a time. `panes` is a buffer of the caller. False when there are
    /// no more.
    pub(crate) fn read(
        &mut self,
        state: &StateStore,
        limit: usize,
        panes: &mut Panes,
        mut take: impl FnMut(&Panes) -> Result<()>,
    ) -> Result<bool> {
        panes.clear();
        let more = state.page(&mut self.place, limit, &mut |key, value| {
            panes.push(key, value);
            if panes.is_full() {
                take(panes)?;
                panes.clear();
            }
            Ok(())
        })?;
        take(panes)?;
        Ok(more)
    }
}

/// What goes into memory: all that the store holds but for some slices.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Per thread.
    pub(crate) threads: Vec<Vec<Part>>,
    pub(crate) moved: Moved,
}

/// What threads wrote that there are no more. It is deleted when it is written by those that took it over.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    parts: Vec<(SliceKey, u16)>,
    /// It is being loaded beside the records.
    loading: bool,
}

impl Moved {
    /// What is to be deleted with the next checkpoint. `loaded` tells whether the threads take over what was loaded with it: then
    /// they write it with the one behind it.
    pub(crate) fn due(&mut self, loaded: bool) -> Vec<(SliceKey, u16)> {
        let due = if self.loading { Vec::new() } else { std::mem::take(&mut self.parts) };
        self.loading &= !loaded;
        due
    }

    /// It is loaded beside the records.
    pub(crate) fn load(&mut self) {
        self.loading = true;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }
}

/// Looks into the store.
///
/// # Errors
/// The store is damaged, or holds panes that the plan does not know.
pub(crate) fn parts(plan: &JobPlan, state: &StateStore, without: &BTreeSet<SliceKey>, threads: usize) -> Result<Parts> {
    let queries: HashMap<u64, usize> =
        plan.queries.iter().enumerate().map(|(index, query)| (query_hash(&query.id), index)).collect();
    let mut parts = Parts { threads: vec![Vec::new(); threads], moved: Moved::default() };
    for (slice, worker) in state.parts()?.into_iter().filter(|(slice, _)| !without.contains(slice)) {
        let query = *queries.get(&slice.query).ok_or_else(|| {
            Error::data("the state files hold panes of a query that the commit record does not name; restore an older checkpoint")
        })?;
        if plan.queries[query].window.is_none() {
            return Err(Error::data("the state files hold panes of a query without windows"));
        }
        let (thread, moved) = (usize::from(worker) % threads, usize::from(worker) >= threads);
        parts.threads[thread].push(Part { query, place: Place::first(slice, worker), moved });
        if moved {
            parts.moved.parts.push((slice, worker));
        }
    }
    Ok(parts)
}

/// Reads everything into the threads' operators.
///
/// # Errors
/// The store is damaged.
pub(crate) fn all_at_once(
    state: &StateStore,
    parts: Vec<Vec<Part>>,
    operators: &mut [Vec<Option<WindowOperator>>],
) -> Result<()> {
    thread::scope(|scope| {
        let fills = parts.into_iter().zip(operators).map(|(parts, operators)| {
            let thread = thread::Builder::new().name("restore".to_owned());
            let spawned = thread.spawn_scoped(scope, move || fill(state, parts, operators));
            spawned.map_err(|error| Error::retry(format!("no thread to restore with: {error}")).with_source(error))
        });
        let running = fills.collect::<Result<Vec<_>>>()?;
        running.into_iter().try_for_each(|fill| fill.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn fill(state: &StateStore, parts: Vec<Part>, operators: &mut [Option<WindowOperator>]) -> Result<()> {
    let mut panes = Panes::default();
    for mut part in parts {
        let (key, moved) = (part.key(), part.moved);
        let Some(operator) = operators[part.query].as_mut() else { continue };
        part.read(state, usize::MAX, &mut panes, |panes| operator.restore(key, panes, moved))?;
    }
    Ok(())
}
