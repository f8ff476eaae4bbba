//! How a claimant takes a shard: where the log ends, which slot, which generation.

use super::{Judgement, Slot};
use aqueduct_core::Generation;

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

/// What the last record of a log says about the newest commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// It is one.
    Commit,
    /// It names one, or there was none.
    Claim {
        /// The slot of the commit that it names.
        newest_commit: Option<Slot>,
    },
    /// It begins a lineage; nothing is committed in it.
    Rewind,
}

/// The tail that a last record makes.
pub fn tail_after(slot: Slot, generation: Generation, last: Last) -> Tail {
    let newest_commit = match last {
        Last::Commit => Some(slot),
        Last::Claim { newest_commit } => newest_commit,
        Last::Rewind => None,
    };
    Tail::At { slot, generation, newest_commit }
}

/// Where to begin to probe for the tail: the greatest slot that a LIST told, or the boundary, whose record is always kept. A
/// LIST may be old, so that more records may follow.
pub fn probe_from(newest_listed: Option<Slot>, boundary: Option<Slot>) -> Slot {
    newest_listed.max(boundary).unwrap_or(Slot(0))
}

/// What a look for the tail came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// This is the tail.
    Done,
    /// The record where the probe began is gone: the owner collected it between LIST and GET. A newer look finds more.
    Again,
}

/// Decides whether a probe that ended at `tail` has found the end of the log. Nothing at all is an end only where nothing was
/// ever said.
pub fn judge_look(tail: Tail, newest_listed: Option<Slot>, boundary: Option<Slot>) -> Look {
    if tail != Tail::Empty || (newest_listed.is_none() && boundary.is_none()) { Look::Done } else { Look::Again }
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

/// The boundary that counts. Lower ones are leftovers, or late writes of stalled owners.
pub fn greatest_boundary(found: impl IntoIterator<Item = Slot>) -> Option<Slot> {
    found.into_iter().max()
}
