//! The decisions of the claim log: facts in, one named decision out.
//!
//! Nothing here waits, reads, writes or knows the time, so that every case can be tested and simulated. The laws that the
//! decisions keep together:
//!
//! - **One writer per slot.** A slot is created once and says one thing for ever. Whoever holds slot n decides what comes
//!   after n - 1.
//! - **Claim before reading.** A new owner appends a claim to the same log as the commits, and reads state and cursors only
//!   after that claim was seen to be its own. From then on no lower generation can append: its next slot is taken.
//! - **An error proves nothing.** A failed create may have landed, and one that "already exists" may not have: only reading
//!   the slot back and comparing put ids decides ([`judge_create`]).
//! - **Claims stay.** The slot after the last record of a generation holds the next claim, and claims are never collected. So a
//!   stalled owner that resumes finds its next slot taken however much was collected meanwhile. A stalled *claimant*, or an
//!   owner that repeats a create of unknown outcome, may find its slot collected and free: after those creates the
//!   boundary is read, and a slot below it does not count.
//! - **A deleted blob name never comes back.** Blobs lie under the generation that wrote them; an owner deletes names of lower
//!   generations, and of its own only those that no retained commit and no coming commit needs ([`plan_collect`]); contents
//!   that come back after that get another name ([`BlobBook`]).
//! - **A new line for an older state.** Going back begins a new lineage, which exists when its slot 0 does
//!   ([`newest_lineage`]); a claimant looks for one again after its claim ([`judge_lineage`]).
//!
//! `tests/model.rs` checks them by exploring every interleaving of small histories through these very functions.

mod append;
mod blobs;
mod claim;
mod collect;
mod deliver;
mod fork;
mod lineage;

pub use append::{
    Found, Judgement, Mine, Missing, NextSlot, judge_create, judge_missing, judge_next_slot, must_check_boundary,
    stands_after,
};
pub use blobs::BlobBook;
pub use claim::{
    ClaimJudgement, ClaimPlan, Last, Look, Tail, greatest_boundary, judge_claim, judge_look, plan_claim, probe_from,
    tail_after,
};
pub use collect::{CollectFacts, CollectPlan, LogEntry, Said, leftovers, orphans, plan_collect};
pub use deliver::{Backlog, judge_cursor};
pub use fork::{EpochFacts, ForkPlan, SinkFacts, plan_fork};
pub use lineage::{LineageJudgement, cursor_in_lineage, judge_lineage, newest_lineage, next_lineage};

use serde::{Deserialize, Serialize};
use std::fmt;

/// A place in the log of a shard; the first is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot after this one.
    #[must_use]
    pub fn next(self) -> Slot {
        Slot(self.0 + 1)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests;
