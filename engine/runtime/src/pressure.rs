//! Where too much is waiting: rows before a sink, state in memory. What is done about it is the coordinator's business.

use crate::config::Settings;
use crate::loading::Loads;
use crate::start::Started;
use crate::window::overlaps;
use aqueduct_plan::Query;
use std::sync::atomic::Ordering;

/// A sink has so many sealed rows before it that no more are wanted.
pub(crate) fn of_sinks(started: &Started, settings: &Settings) -> bool {
    started.deliveries.iter().any(|delivery| delivery.backlog_bytes() > settings.max_backlog_bytes)
}

/// There is more state in memory than there may be.
pub(crate) fn of_state(started: &Started, loads: Option<&Loads>, settings: &Settings) -> bool {
    state_bytes(started) + loads.map_or(0, |loads| loaded_bytes(started, loads)) > settings.max_state_bytes
}

/// State is to leave memory. What leaves takes its time to be written down, and as much may come meanwhile.
pub(crate) fn wants_space(started: &Started, settings: &Settings) -> bool {
    state_bytes(started) > settings.max_state_bytes / 2
}

/// Bytes that are being loaded and can leave memory once they are here.
fn loaded_bytes(started: &Started, loads: &Loads) -> u64 {
    let leaves = |query: &Query| query.window.as_ref().is_some_and(|window| !overlaps(window.kind));
    let queries = started.plan.queries.iter().enumerate().filter(|(_, query)| leaves(query));
    queries.map(|(index, _)| loads.size_of(index).1).sum()
}

/// Bytes that can leave memory, over all threads.
fn state_bytes(started: &Started) -> u64 {
    started.threads.iter().map(|thread| thread.shared.state.load(Ordering::Relaxed)).sum()
}
