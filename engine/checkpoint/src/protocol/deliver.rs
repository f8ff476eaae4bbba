//! What a sink's cursor means against the log: deliver, or refuse because results would be missing or repeated.

use aqueduct_core::Epoch;

/// What a sink is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// Every kept epoch after the cursor, ascending; none when the sink stands at the head.
    Deliver,
    /// The sink has applied what the log does not know: the log is older than the sink.
    SinkAhead,
    /// An epoch that the sink needs is no longer kept: the sink was set back.
    Hole {
        /// The newest such epoch.
        missing: Epoch,
    },
}

/// Decides what follows from a cursor. `gone` is the newest epoch with rows for the sink that is no longer kept, or
/// [`Epoch::ZERO`].
pub fn judge_cursor(cursor: Epoch, head: Epoch, gone: Epoch) -> Backlog {
    if cursor > head {
        Backlog::SinkAhead
    } else if gone > cursor {
        Backlog::Hole { missing: gone }
    } else {
        Backlog::Deliver
    }
}
