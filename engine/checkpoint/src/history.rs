//! What this owner knows of its shard's log: the tail, the head, and the records from a known slot on.
//!
//! Knowledge grows upward with every commit and downward when someone asks for older epochs; it is never guessed.

use crate::append::{read_boundary, read_boundary_object, read_record};
use crate::protocol::{LogEntry, Said, Slot};
use crate::reader::{CONCURRENT_READS, Shared};
use crate::record::{Boundary, CommitBody, Record};
use aqueduct_core::{Epoch, Error, Generation, Result};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bodies of so many newest epochs stay in memory: every sink asks for them right after the commit.
const RECENT: usize = 16;

/// Known records; every slot from `known_from` to `tail` is in `entries`.
#[derive(Debug)]
pub(crate) struct History {
    tail: Slot,
    known_from: Slot,
    /// Nothing below counts.
    floor: Slot,
    /// Claims below the floor; they stay in place.
    claims: BTreeSet<Slot>,
    entries: BTreeMap<Slot, Said>,
    commits: BTreeMap<Epoch, Slot>,
    recent: BTreeMap<Epoch, Arc<CommitBody>>,
    /// Who took over, once that is known; the inner `None` is a newer owner that collected the slot.
    pub(crate) fenced: Option<Option<Generation>>,
}

impl History {
    /// What a claimant knows: its own claim, and the newest commit somewhere below it.
    pub(crate) fn new(claim: Slot, boundary: Option<Boundary>, newest: Option<(Slot, &[CommitBody])>) -> Self {
        let (floor, claims) = boundary.map_or((Slot(0), Vec::new()), |boundary| (boundary.slot, boundary.claims));
        let mut history = Self {
            tail: claim,
            known_from: claim,
            floor,
            claims: claims.into_iter().collect(),
            entries: BTreeMap::from([(claim, Said::Stays)]),
            commits: BTreeMap::new(),
            recent: BTreeMap::new(),
            fenced: None,
        };
        if let Some((slot, commits)) = newest {
            // Between the newest commit and our claim there are claims only.
            for between in slot.0 + 1..claim.0 {
                history.entries.insert(Slot(between), Said::Stays);
            }
            history.known_from = slot;
            history.learn_commits(slot, commits);
        }
        history
    }

    pub(crate) fn tail(&self) -> Slot {
        self.tail
    }

    pub(crate) fn floor(&self) -> Slot {
        self.floor
    }

    pub(crate) fn claims(&self) -> &BTreeSet<Slot> {
        &self.claims
    }

    pub(crate) fn head(&self) -> Epoch {
        self.commits.last_key_value().map_or(Epoch::ZERO, |(epoch, _)| *epoch)
    }

    pub(crate) fn oldest(&self) -> Option<Epoch> {
        self.commits.first_key_value().map(|(epoch, _)| *epoch)
    }

    pub(crate) fn recent(&self, epoch: Epoch) -> Option<Arc<CommitBody>> {
        self.recent.get(&epoch).cloned()
    }

    /// The slots of the epochs `first..=last`; `None` when one of them is not known.
    pub(crate) fn slots(&self, first: Epoch, last: Epoch) -> Option<Vec<(Epoch, Slot)>> {
        let found: Vec<_> = self.commits.range(first..=last).map(|(epoch, slot)| (*epoch, *slot)).collect();
        (found.len() as u64 == last.0 - first.0 + 1).then_some(found)
    }

    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.entries.iter().map(|(slot, said)| LogEntry { slot: *slot, said: said.clone() }).collect()
    }

    /// Whether a known commit refers to the blob.
    pub(crate) fn refers_to(&self, object: &str) -> bool {
        self.entries.values().rev().any(|said| said.blobs().is_some_and(|blobs| blobs.contains(object)))
    }

    /// Our own commit is durable.
    pub(crate) fn committed(&mut self, slot: Slot, body: CommitBody) {
        self.tail = slot;
        self.learn_commits(slot, std::slice::from_ref(&body));
        self.recent.insert(body.epoch, Arc::new(body));
        while self.recent.len() > RECENT {
            self.recent.pop_first();
        }
    }

    /// The boundary is durable: slots below it are closed.
    pub(crate) fn close_below(&mut self, boundary: &Boundary) {
        self.floor = self.floor.max(boundary.slot);
        self.claims.extend(&boundary.claims);
        self.known_from = self.known_from.max(self.floor);
        self.entries = self.entries.split_off(&self.floor);
        let floor = self.floor;
        self.commits.retain(|_, slot| *slot >= floor);
        let commits = &self.commits;
        self.recent.retain(|epoch, _| commits.contains_key(epoch));
    }

    /// The commits of one record. Only the beginning of a lineage, in slot 0, holds more than one; it stays in place.
    fn learn_commits(&mut self, slot: Slot, commits: &[CommitBody]) {
        let Some(newest) = commits.last() else { return };
        let blobs = commits.iter().flat_map(CommitBody::blobs).map(|blob| blob.object.clone()).collect();
        let epoch = newest.epoch;
        let said = if slot == Slot(0) { Said::Begins { epoch, blobs } } else { Said::Commit { epoch, blobs } };
        self.entries.insert(slot, said);
        self.commits.extend(commits.iter().map(|body| (body.epoch, slot)));
    }

    /// Learns the record directly below what is known.
    fn learn_below(&mut self, record: &Record, path: &dyn std::fmt::Display) -> Result<()> {
        if record.slot.next() != self.known_from {
            // Another task was here first.
            return Ok(());
        }
        match record.commits().last() {
            Some(body) => {
                if self.oldest().is_some_and(|oldest| body.epoch.next() != oldest) {
                    return Err(Error::data(format!(
                        "checkpoint record '{path}' is epoch {}, and the next commit is not the epoch after it; the folder was \
                         changed by hand, restore it from a copy",
                        body.epoch
                    )));
                }
                self.learn_commits(record.slot, record.commits());
            }
            None => {
                self.entries.insert(record.slot, Said::Stays);
            }
        }
        self.known_from = record.slot;
        Ok(())
    }
}

impl Shared {
    /// Reads downward until `epoch` is known or nothing older is kept.
    pub(crate) async fn know_back_to(&self, epoch: Epoch) -> Result<()> {
        self.know_until(|history| history.oldest().is_some_and(|oldest| oldest <= epoch)).await
    }

    /// Reads downward to the boundary.
    pub(crate) async fn know_everything(&self) -> Result<()> {
        self.know_until(|_| false).await
    }

    async fn know_until(&self, enough: impl Fn(&History) -> bool) -> Result<()> {
        loop {
            let (known_from, floor) = {
                let history = self.history();
                if enough(&history) || history.known_from <= history.floor {
                    return Ok(());
                }
                (history.known_from, history.floor)
            };
            let lowest = floor.0.max(known_from.0.saturating_sub(CONCURRENT_READS as u64));
            let reads = futures::stream::iter((lowest..known_from.0).rev().map(Slot))
                .map(|slot| async move { (slot, read_record(&self.store, &self.paths, slot).await) });
            let found: Vec<(Slot, Result<Option<Record>>)> = reads.buffered(CONCURRENT_READS).collect().await;
            for (slot, record) in found {
                // Damage below what is asked for is not the asker's trouble.
                if enough(&self.history()) {
                    return Ok(());
                }
                match record? {
                    Some(record) => self.history().learn_below(&record, &self.paths.record(slot))?,
                    None => {
                        self.accept_missing(slot).await?;
                        break;
                    }
                }
            }
        }
    }

    /// A record is not there: right when the boundary has moved past it meanwhile (an older owner's last collection).
    async fn accept_missing(&self, slot: Slot) -> Result<()> {
        match read_boundary(&self.store, &self.paths).await? {
            Some(boundary) if boundary > slot => {
                let boundary = read_boundary_object(&self.store, &self.paths, boundary).await?;
                self.history().close_below(&boundary);
                Ok(())
            }
            _ => Err(Error::data(format!(
                "checkpoint record '{}' is missing; restore it from a copy, and keep life-cycle rules off the checkpoint folder",
                self.paths.record(slot)
            ))),
        }
    }
}
