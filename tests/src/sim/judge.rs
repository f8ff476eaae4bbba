//! The laws that hold at every moment of a run, looked up in the checkpoint store itself: one writer per slot and only under
//! the latest claim, epochs without gaps, offsets that never go back, every needed blob in place, no sink ahead of the log.

use super::job::NAME;
use super::services::Services;
use super::world::World;
use aqueduct_checkpoint::CommitBody;
use aqueduct_checkpoint::record::{Kind, Record, decode};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A judge of one run. It remembers records, because a record never changes.
#[derive(Debug)]
pub struct Judge {
    world: World,
    records: BTreeMap<u64, (Bytes, Arc<Record>)>,
    head: u64,
    cursors: BTreeMap<String, u64>,
}

impl Judge {
    /// Who has seen nothing yet.
    pub fn new(world: World) -> Judge {
        Judge { world, records: BTreeMap::new(), head: 0, cursors: BTreeMap::new() }
    }

    /// The newest durable epoch that was seen.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// A sink was set back from outside.
    pub fn forget_cursors(&mut self) {
        self.cursors.clear();
    }

    /// Looks at everything; what is wrong becomes a violation of the run.
    pub fn look(&mut self, services: &Services) {
        let contents = services.checkpoints.contents();
        let shard = format!("checkpoints/{NAME}/L1/s0/");
        let slots = |folder: &str| {
            let prefix = format!("{shard}{folder}/");
            let inside =
                contents.iter().filter_map(move |(path, bytes)| Some((path.strip_prefix(&prefix)?.to_owned(), bytes)));
            inside
                .filter_map(|(name, bytes)| Some((name.parse::<u64>().ok()?, bytes)))
                .collect::<BTreeMap<u64, &Bytes>>()
        };
        let boundary = slots("boundary").keys().max().copied().unwrap_or(0);
        let mut log = BTreeMap::new();
        for (slot, bytes) in slots("log") {
            match self.record(slot, bytes, slot >= boundary) {
                Ok(record) => drop(log.insert(slot, record)),
                Err(why) => self.world.violation(format!("record {slot}: {why}")),
            }
        }
        for broken in laws(&log, boundary, |blob| contents.contains_key(&format!("{shard}{blob}"))) {
            self.world.violation(broken);
        }
        let newest = log.values().filter_map(|record| commit(record)).map(|body| body.epoch.0).max().unwrap_or(0);
        if newest < self.head {
            self.world.violation(format!("the log's head went back from epoch {} to {newest}", self.head));
        }
        self.head = newest;
        for (name, cursor) in services.cursors() {
            let before = self.cursors.insert(name.clone(), cursor).unwrap_or(0);
            if cursor < before {
                self.world.violation(format!("sink {name} went back from epoch {before} to {cursor}"));
            }
            if cursor > newest {
                self.world.violation(format!("sink {name} holds epoch {cursor}, the log's head is {newest}"));
            }
        }
    }

    /// Behind the boundary a slot is closed: once it has been collected, a create that lands late can fill it again, and counts for nobody.
    fn record(&mut self, slot: u64, bytes: &Bytes, counts: bool) -> Result<Arc<Record>, String> {
        if let Some((known, record)) = self.records.get(&slot) {
            if known != bytes && counts {
                return Err("it has changed".to_owned());
            }
            return Ok(record.clone());
        }
        let record: Arc<Record> = Arc::new(decode(bytes).map_err(|error| error.to_string())?);
        self.records.insert(slot, (bytes.clone(), record.clone()));
        Ok(record)
    }
}

fn commit(record: &Record) -> Option<&CommitBody> {
    match &record.kind {
        Kind::Commit { body } => Some(body),
        _ => None,
    }
}

fn laws(log: &BTreeMap<u64, Arc<Record>>, boundary: u64, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    let mut owner = None;
    let mut before: Option<&CommitBody> = None;
    let mut last = None;
    for (slot, record) in log {
        if *slot >= boundary && last.is_some_and(|last| last >= boundary && last + 1 != *slot) {
            broken.push(format!("slot {slot} follows a hole"));
        }
        last = Some(*slot);
        if matches!(record.kind, Kind::Claim { .. }) {
            if owner >= Some(record.generation) {
                broken.push(format!("slot {slot}: generation {} claims after {owner:?}", record.generation));
            }
            owner = Some(record.generation);
        }
        let Some(body) = commit(record).filter(|_| *slot >= boundary) else { continue };
        if owner != Some(record.generation) {
            broken.push(format!("slot {slot}: generation {} commits, the owner is {owner:?}", record.generation));
        }
        if let Some(before) = before {
            broken.extend(continues(*slot, before, body));
        }
        before = Some(body);
        let gone = body.blobs().filter(|blob| !exists(&blob.object)).map(|blob| blob.name.clone());
        broken.extend(gone.map(|name| format!("slot {slot}, epoch {}: the blob of {name} is gone", body.epoch)));
    }
    broken
}

fn continues(slot: u64, before: &CommitBody, body: &CommitBody) -> Vec<String> {
    let mut broken = Vec::new();
    if body.epoch != before.epoch.next() {
        broken.push(format!("slot {slot}: epoch {} follows epoch {}", body.epoch, before.epoch));
    }
    for was in &before.splits {
        let now = body.splits.iter().find(|state| state.split == was.split && state.source == was.source);
        if now.is_none_or(|now| now.next < was.next || now.watermark.reached() < was.watermark.reached()) {
            broken.push(format!("slot {slot}: {} went back from {:?} to {now:?}", was.split, was.next));
        }
    }
    broken
}
