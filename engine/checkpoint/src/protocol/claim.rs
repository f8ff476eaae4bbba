//! How a claimant takes a shard: which lineage, which slot, which generation.

use super::{Judgement, Slot};
use aqueduct_core::{Generation, Lineage};

/// The end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// No record was ever written.
    Empty,
    /// The newest record.
    At {
        /// Its slot.
        slot: Slot,
        /// Whose it is.
        generation: Generation,
        /// The newest commit up to here: the record itself, or the one that a claim names.
        newest_commit: Option<Slot>,
    },
}

/// The claim to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimPlan {
    /// Where.
    pub slot: Slot,
    /// As whom.
    pub generation: Generation,
    /// The newest commit before it.
    pub newest_commit: Option<Slot>,
}

/// What a claimant does after its create was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimJudgement {
    /// The shard is ours.
    Owned,
    /// Somebody was faster, or our look was stale: look at the tail again and claim above it. The last claimant wins; the
    /// others learn it at their next append. Nobody claims twice after winning, so this ends.
    LookAgain,
    /// Nothing landed.
    RetrySameSlot,
}

/// The claim that follows a tail.
pub fn plan_claim(tail: Tail) -> ClaimPlan {
    match tail {
        Tail::Empty => ClaimPlan { slot: Slot(0), generation: Generation(1), newest_commit: None },
        Tail::At { slot, generation, newest_commit } => {
            ClaimPlan { slot: slot.next(), generation: Generation(generation.0 + 1), newest_commit }
        }
    }
}

/// What the judgement of the create means to a claimant.
pub fn judge_claim(judgement: Judgement) -> ClaimJudgement {
    match judgement {
        Judgement::Won => ClaimJudgement::Owned,
        Judgement::Fenced { .. } | Judgement::Lost { .. } | Judgement::BehindBoundary => ClaimJudgement::LookAgain,
        Judgement::RetrySameSlot => ClaimJudgement::RetrySameSlot,
    }
}

/// The lineage to go on in: the newest one, or the first.
pub fn newest_lineage(found: impl IntoIterator<Item = Lineage>) -> Lineage {
    found.into_iter().max().unwrap_or(Lineage(1))
}

/// The boundary that counts. Lower ones are leftovers, or late writes of stalled owners.
pub fn greatest_boundary(found: impl IntoIterator<Item = Slot>) -> Option<Slot> {
    found.into_iter().max()
}
