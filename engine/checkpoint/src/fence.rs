//! Whether a newer owner has come: the look after our tail, and what a missing object means.
//!
//! What the answers mean is decided in `protocol`; nothing is appended here.

use crate::append::{read_boundary, read_record};
use crate::paths::ShardPaths;
use crate::protocol::{Found, Missing, NextSlot, Slot, judge_missing, judge_next_slot};
use crate::store::Store;
use aqueduct_core::{Claimed, Error, ErrorKind, Generation, Result};

/// What stands after our newest known record, and in which slot; our own commit of this moment is passed over.
pub(crate) async fn look_after(
    store: &Store,
    paths: &ShardPaths,
    generation: Generation,
    tail: Slot,
) -> Result<(NextSlot, Slot)> {
    let mut slot = tail.next();
    loop {
        let next = read_record(store, paths, slot).await?;
        let found = next
            .as_ref()
            .map_or(Found::Absent, |record| Found::Record { put_id: &record.put_id, generation: record.generation });
        match judge_next_slot(generation, found) {
            NextSlot::LookFurther => slot = slot.next(),
            other => return Ok((other, slot)),
        }
    }
}

/// An owner that misses something looks whether it is still the owner before it raises an alarm: a newer one may have
/// collected what the older one was about to read. Every other error goes through unchanged.
pub(crate) async fn alarm_or_fenced(
    store: &Store,
    paths: &ShardPaths,
    claimed: &Claimed,
    tail: Slot,
    alarm: Error,
) -> Error {
    if alarm.kind() != ErrorKind::FixData {
        return alarm;
    }
    let looked = async {
        let (next, slot) = look_after(store, paths, claimed.generation, tail).await?;
        Ok::<_, Error>(judge_missing(next, slot, read_boundary(store, paths).await?))
    };
    match looked.await {
        Ok(Missing::Fenced { by }) => fenced(claimed, by),
        // Unknown as yet: the same call may tell it later.
        Err(error) if error.kind() == ErrorKind::Retry => error,
        Ok(Missing::Damaged) | Err(_) => alarm,
    }
}

/// The error of an owner that is none any more.
pub(crate) fn fenced(claimed: &Claimed, by: Option<Generation>) -> Error {
    let Claimed { job, shard, generation, .. } = claimed;
    let newer = by.map_or_else(|| "a newer owner".to_owned(), |by| format!("generation {by}"));
    Error::fenced(format!(
        "job '{job}' shard {shard}: {newer} has taken over from this process (generation {generation}); it stops, and must \
         not be started again beside the other one"
    ))
}
