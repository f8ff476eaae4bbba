//! What a create of a slot came to, and what the slot after our tail says about our ownership.

use super::Slot;
use aqueduct_core::Generation;

/// The record that we tried to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mine<'a> {
    /// Its slot.
    pub slot: Slot,
    /// Its unique id.
    pub put_id: &'a str,
    /// Our generation.
    pub generation: Generation,
}

/// What a slot holds when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing.
    Absent,
    /// A readable record.
    Record {
        /// Whose write it is.
        put_id: &'a str,
        /// Which owner's.
        generation: Generation,
    },
}

/// What stands in the slot after a create: ours when the store confirmed it at once, otherwise only what was read back.
/// A refusal proves nothing by itself, whatever it says.
pub fn stands_after<'a>(mine: Mine<'a>, confirmed: bool, read_back: Option<(&'a str, Generation)>) -> Found<'a> {
    match (confirmed, read_back) {
        (true, _) => Found::Record { put_id: mine.put_id, generation: mine.generation },
        (false, Some((put_id, generation))) => Found::Record { put_id, generation },
        (false, None) => Found::Absent,
    }
}

/// What to do after a create of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The record is ours and durable.
    Won,
    /// A newer owner holds the slot: stop.
    Fenced {
        /// The newer owner.
        by: Generation,
    },
    /// Someone of the same or a lower generation holds the slot. A claimant looks at the tail again; for an owner it cannot
    /// happen while everybody keeps the laws.
    Lost {
        /// Whose record it is.
        holder: Generation,
    },
    /// Nothing landed: create the same record in the same slot again.
    RetrySameSlot,
    /// The slot was collected meanwhile; what was created there does not count: others are far ahead.
    BehindBoundary,
}

/// Decides after a create whose outcome is known from reading (`found`) or from a clean first reply (`found` is ours).
/// `boundary` is the greatest one that was read *after* the create, or `None` where none had to be read.
pub fn judge_create(mine: Mine<'_>, found: Found<'_>, boundary: Option<Slot>) -> Judgement {
    match found {
        Found::Record { put_id, .. } if put_id == mine.put_id => match boundary {
            Some(boundary) if mine.slot < boundary => Judgement::BehindBoundary,
            _ => Judgement::Won,
        },
        Found::Record { generation, .. } if generation > mine.generation => Judgement::Fenced { by: generation },
        Found::Record { generation, .. } => Judgement::Lost { holder: generation },
        Found::Absent => match boundary {
            Some(boundary) if mine.slot < boundary => Judgement::BehindBoundary,
            _ => Judgement::RetrySameSlot,
        },
    }
}

/// Whether the boundary has to be read before a create counts. A commit created at the first attempt cannot lie in a
/// collected slot, because its slot would hold the next owner's claim, which is never collected. (A store client that repeats
/// a create by itself may hide an earlier attempt that landed and was collected: then the epoch did count, the next owner
/// went on from it, and this owner meets the next claim at its next look or commit.)
pub fn must_check_boundary(is_claim: bool, attempts: u32) -> bool {
    is_claim || attempts > 1
}

/// What the slot after our tail says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextSlot {
    /// Nobody came after us.
    StillOwner,
    /// Our own commit of this moment: look at the slot after it.
    LookFurther,
    /// A newer owner claimed: stop.
    Fenced {
        /// The newer owner.
        by: Generation,
    },
    /// A record of a lower generation after ours: the log is broken.
    Broken {
        /// Whose record it is.
        holder: Generation,
    },
}

/// Decides whether we still own the shard from the slot after our newest known record.
pub fn judge_next_slot(generation: Generation, found: Found<'_>) -> NextSlot {
    match found {
        Found::Absent => NextSlot::StillOwner,
        Found::Record { generation: other, .. } if other > generation => NextSlot::Fenced { by: other },
        Found::Record { generation: other, .. } if other == generation => NextSlot::LookFurther,
        Found::Record { generation: other, .. } => NextSlot::Broken { holder: other },
    }
}

/// What it means that something which the log refers to is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A newer owner has collected it (its generation, where it is known): nothing is wrong but our ownership.
    Fenced {
        /// The newer owner.
        by: Option<Generation>,
    },
    /// The folder is damaged.
    Damaged,
}

/// Decides whether a missing object is damage, from what stands in the slot after our tail (`next`, in `next_slot`) and the
/// boundary read after that. An own commit of unknown outcome may have landed and been collected already: then the slot is
/// free again, and only the boundary tells that others are far ahead.
pub fn judge_missing(next: NextSlot, next_slot: Slot, boundary: Option<Slot>) -> Missing {
    match next {
        NextSlot::Fenced { by } => Missing::Fenced { by: Some(by) },
        NextSlot::StillOwner if boundary.is_some_and(|boundary| next_slot < boundary) => Missing::Fenced { by: None },
        NextSlot::StillOwner | NextSlot::LookFurther | NextSlot::Broken { .. } => Missing::Damaged,
    }
}
