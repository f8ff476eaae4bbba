//! Where too much is waiting: rows before a sink, state in memory. What is done about it is the coordinator's business.

use crate::config::Settings;
use crate::loading::Loads;
use crate::start::Started;
use std::sync::atomic::Ordering;

/// A sink has so many sealed rows before it that no more are wanted.
pub(crate) fn of_sinks(started: &Started, settings: &Settings) -> bool {
    started.deliveries.iter().any(|delivery| delivery.backlog_bytes() > settings.max_backlog_bytes)
}

/// There is more state in memory than there may be.
pub(crate) fn of_state(started: &Started, loads: Option<&Loads>, settings: &Settings) -> bool {
    state_bytes(started) + loads.map_or(0, |loads| loads.size().1) > settings.max_state_bytes
}

/// State is to leave memory. What leaves takes its time to be written down, and as much may come meanwhile.
pub(crate) fn wants_space(started: &Started, settings: &Settings) -> bool {
    state_bytes(started) > settings.max_state_bytes / 2
}

/// Bytes that can leave memory, over all threads.
fn state_bytes(started: &Started) -> u64 {
    started.threads.iter().map(|thread| thread.shared.state.load(Ordering::Relaxed)).sum()
}
