//! Lines of epochs: which one counts, and what a new one means to claimants and sinks.
//!
//! Going back to an older state begins a new lineage, so that no epoch number ever comes back with other contents. A lineage
//! exists from the moment that slot 0 of its log exists, and that record is created last: whoever stops half-way through a
//! rewind has left a folder, not a lineage.

use aqueduct_core::{Epoch, Lineage};

/// The lineage to go on in: the newest one that exists (its slot 0 does), or the first.
pub fn newest_lineage(found: impl IntoIterator<Item = Lineage>) -> Lineage {
    found.into_iter().max().unwrap_or(Lineage(1))
}

/// The number of a new lineage: above every *folder*, so that an abandoned rewind is passed over and never filled up.
pub fn next_lineage(folders: impl IntoIterator<Item = Lineage>) -> Lineage {
    Lineage(newest_lineage(folders).0 + 1)
}

/// What a look at the lineages after a verified claim says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineageJudgement {
    /// The claim is in the lineage that counts.
    Current,
    /// A newer lineage began between the first look and the claim: claim there.
    LeftBehind {
        /// The newer lineage.
        by: Lineage,
    },
}

/// Decides whether a claim that was just verified stands in the lineage that counts.
pub fn judge_lineage(claimed: Lineage, newest: Lineage) -> LineageJudgement {
    if newest > claimed { LineageJudgement::LeftBehind { by: newest } } else { LineageJudgement::Current }
}

/// Where a sink stands in a lineage that was cut from another one after epoch `base`: what came before the cut is shared, so
/// that a sink without a cursor in the new lineage stands at the cut.
pub fn cursor_in_lineage(cursor: Epoch, base: Epoch) -> Epoch {
    cursor.max(base)
}
