//! One record into one slot: create, read back after any error, judge, and try the same slot again where nothing landed.
//!
//! It never moves on to another slot: that is the claimant's decision.

use crate::paths::{ShardPaths, slot_of};
use crate::points;
use crate::protocol::{Judgement, Mine, Slot, greatest_boundary, judge_create, must_check_boundary, stands_after};
use crate::record::{Boundary, Kind, Record, Unreadable, decode};
use crate::store::{Store, kind_of};
use aqueduct_core::{Error, ErrorKind, Result};
use bytes::Bytes;
use object_store::path::Path;

/// What an append came to and how often a slot had to be read back.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) judgement: Judgement,
    pub(crate) readbacks: u64,
}

/// Appends `record`, whose encoding is `bytes`. Errors mean that the outcome is unknown or that nothing can land; the same
/// call may be repeated with the same record, telling how often it was `called_before`.
pub(crate) async fn append(
    store: &Store,
    paths: &ShardPaths,
    record: &Record,
    bytes: &Bytes,
    called_before: u32,
) -> Result<Appended> {
    let path = paths.record(record.slot);
    let mine = Mine { slot: record.slot, put_id: &record.put_id, generation: record.generation };
    // A beginning is a claim too: of a lineage.
    let is_claim = !matches!(record.kind, Kind::Commit { .. });
    let (mut tries, mut attempts, mut readbacks) = (store.tries(), called_before, 0_u64);
    loop {
        attempts += 1;
        points::before_put(&store.points, &record.kind);
        let refused = store.create_once(&path, bytes.clone()).await.err();
        points::after_put(&store.points, &record.kind);
        let there = match &refused {
            None => None,
            Some(error) => {
                readbacks += 1;
                tracing::debug!(%path, %error, "a create was not confirmed; reading it back");
                read_record(store, paths, record.slot).await?
            }
        };
        let read_back = there.as_ref().map(|there| (there.put_id.as_str(), there.generation));
        let found = stands_after(mine, refused.is_none(), read_back);
        let boundary = if must_check_boundary(is_claim, attempts) { read_boundary(store, paths).await? } else { None };
        let judgement = judge_create(mine, found, boundary);
        if judgement != Judgement::RetrySameSlot {
            return Ok(Appended { judgement, readbacks });
        }
        let error = refused.ok_or_else(|| Error::bug(format!("'{path}' was created and judged as not landed")))?;
        if kind_of(&error) != ErrorKind::Retry || !tries.again().await {
            return Err(store.explain(error, "create", &path));
        }
    }
}

/// The record in a slot; `None` when it is free. Damage is an error that names the object.
pub(crate) async fn read_record(store: &Store, paths: &ShardPaths, slot: Slot) -> Result<Option<Record>> {
    let path = paths.record(slot);
    match store.read(&path).await? {
        None => Ok(None),
        Some(bytes) => parse_record(&bytes, slot, &path).map(Some),
    }
}

/// Bytes of a slot to the record that belongs there.
pub(crate) fn parse_record(bytes: &[u8], slot: Slot, path: &Path) -> Result<Record> {
    let record: Record = decode(bytes).map_err(|error| unreadable(&error, "checkpoint record", path))?;
    if record.slot != slot {
        let why = Unreadable::Damaged(format!("it was written for slot {}", record.slot));
        return Err(unreadable(&why, "checkpoint record", path));
    }
    Ok(record)
}

/// Names the object and the next step.
pub(crate) fn unreadable(error: &Unreadable, what: &str, path: &Path) -> Error {
    match error {
        Unreadable::Damaged(_) => Error::data(format!(
            "{what} '{path}' {error}; restore the object from a copy or an older version of it, or give the job a new \
             pipeline.name to begin afresh"
        )),
        Unreadable::TooNew { .. } => {
            Error::config(format!("{what} '{path}' {error}; start the version of the program that wrote it"))
        }
    }
}

/// The boundary that counts now.
pub(crate) async fn read_boundary(store: &Store, paths: &ShardPaths) -> Result<Option<Slot>> {
    let listed = store.list(&paths.boundaries(), None).await?;
    Ok(greatest_boundary(listed.iter().filter_map(|meta| slot_of(&meta.location))))
}

/// What a boundary says.
pub(crate) async fn read_boundary_object(store: &Store, paths: &ShardPaths, slot: Slot) -> Result<Boundary> {
    let path = paths.boundary(slot);
    let bytes = store.read(&path).await?.ok_or_else(|| {
        Error::retry(format!(
            "boundary '{path}' was listed and is not there; an older process still collects, start again"
        ))
    })?;
    decode(&bytes).map_err(|error| unreadable(&error, "boundary", &path))
}
