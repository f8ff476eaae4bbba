//! What may be deleted: records below the oldest commit that someone needs, and blobs that nobody refers to.

use super::Slot;
use aqueduct_core::{Epoch, Generation};
use std::collections::BTreeSet;

/// A record as the collector sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its slot.
    pub slot: Slot,
    /// What it says.
    pub said: Said,
}

/// What a record says to the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// An epoch and the blobs (relative references) that it needs.
    Commit {
        /// The epoch.
        epoch: Epoch,
        /// Its blobs.
        blobs: BTreeSet<String>,
    },
    /// The beginning of a lineage that was cut from another one. It stays in place like a claim; its blobs are needed like a
    /// commit's.
    Begins {
        /// Its newest epoch.
        epoch: Epoch,
        /// The blobs of all its epochs.
        blobs: BTreeSet<String>,
    },
    /// A claim, or a beginning with nothing: it stays.
    Stays,
}

impl Said {
    /// The blobs that it needs.
    pub fn blobs(&self) -> Option<&BTreeSet<String>> {
        match self {
            Said::Commit { blobs, .. } | Said::Begins { blobs, .. } => Some(blobs),
            Said::Stays => None,
        }
    }

    fn stays(&self) -> bool {
        !matches!(self, Said::Commit { .. })
    }
}

/// What a collection is decided from. Every record from the boundary to the tail must be there: whoever could not read one
/// must not collect.
#[derive(Debug, Clone)]
pub struct CollectFacts<'a> {
    /// The records from the last boundary on, ascending.
    pub entries: &'a [LogEntry],
    /// Commits of later epochs are needed by a sink.
    pub keep_after: Epoch,
    /// So many of the newest commits are kept anyway; at least one is.
    pub retained: usize,
    /// Blobs that were put for the coming commit.
    pub pinned: &'a BTreeSet<String>,
}

/// What to do, in this order: create the boundary, delete the records, delete the blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectPlan {
    /// Slots below it close.
    pub boundary: Slot,
    /// Commits to delete.
    pub records: Vec<Slot>,
    /// Claims and beginnings below the boundary, which stay.
    pub claims: Vec<Slot>,
    /// Blobs that only the deleted commits needed.
    pub blobs: BTreeSet<String>,
}

/// Decides what can go; `None` when nothing can.
pub fn plan_collect(facts: &CollectFacts<'_>) -> Option<CollectPlan> {
    let commits: Vec<(Slot, Epoch, &BTreeSet<String>)> = facts
        .entries
        .iter()
        .filter_map(|entry| match &entry.said {
            Said::Commit { epoch, blobs } | Said::Begins { epoch, blobs } => Some((entry.slot, *epoch, blobs)),
            Said::Stays => None,
        })
        .collect();
    let newest_kept = commits.len().saturating_sub(facts.retained.max(1));
    let first_needed = commits.iter().position(|(_, epoch, _)| *epoch > facts.keep_after).unwrap_or(commits.len());
    let (gone, kept) = commits.split_at(newest_kept.min(first_needed));
    let boundary = kept.first()?.0;
    if gone.is_empty() {
        return None;
    }
    let needed: BTreeSet<&String> = kept.iter().flat_map(|(_, _, blobs)| blobs.iter()).collect();
    let unneeded = |blob: &&String| !needed.contains(blob) && !facts.pinned.contains(*blob);
    let staying: Vec<Slot> = facts
        .entries
        .iter()
        .filter(|entry| entry.slot < boundary && entry.said.stays())
        .map(|entry| entry.slot)
        .collect();
    Some(CollectPlan {
        boundary,
        records: gone.iter().map(|(slot, ..)| *slot).filter(|slot| !staying.contains(slot)).collect(),
        blobs: gone.iter().flat_map(|(_, _, blobs)| blobs.iter()).filter(unneeded).cloned().collect(),
        claims: staying,
    })
}

/// Blobs of lower generations that no retained commit needs. Their writers can commit nothing any more, so that nobody will
/// ever need them. Blobs of our own generation are left alone here: they may belong to the coming commit.
pub fn orphans(
    found: impl IntoIterator<Item = (String, Generation)>,
    needed: &BTreeSet<String>,
    own: Generation,
) -> BTreeSet<String> {
    found
        .into_iter()
        .filter(|(blob, generation)| *generation < own && !needed.contains(blob))
        .map(|(blob, _)| blob)
        .collect()
}

/// Records below the floor that are in place and should not be: leftovers of a collection that ended early, and late creates
/// in closed slots. The claims among them stay.
pub fn leftovers(found: impl IntoIterator<Item = Slot>, floor: Slot, claims: &BTreeSet<Slot>) -> BTreeSet<Slot> {
    found.into_iter().filter(|slot| *slot < floor && !claims.contains(slot)).collect()
}
