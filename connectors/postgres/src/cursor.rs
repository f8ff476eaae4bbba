//! The cursor: how an owner claims a sink, and how a transaction passes the fence.
//!
//! Decisions are pure functions over the rows that were read; this file never commits on its own what an epoch brings.

use crate::config::Config;
use crate::error::statement as failed;
use crate::session::{Boundary, Change, Entry, Key, Names, Only, Outcome, Session};
use aqueduct_core::{
    Claimed, Cursor, Epoch, Error, FailPoints, Generation, JobName, Line, Lineage, Result, SinkSpec, Standing,
};

/// The generation of a lineage that a newer one has left behind: no owner has a higher one.
const LEFT_BEHIND: i64 = i64::MAX;

/// The claim's row in the cursor table.
pub(crate) fn key(claimed: &Claimed, spec: &SinkSpec) -> Result<Key> {
    // The highest number is taken: it marks lineages that were left behind.
    let generation = i64::try_from(claimed.generation.0).ok().filter(|&generation| generation < LEFT_BEHIND);
    Ok(Key {
        job: claimed.job.as_str().to_owned(),
        lineage: claimed.lineage.0.into(),
        shard: claimed.shard.0.into(),
        sink: spec.table.clone(),
        generation: generation
            .ok_or_else(|| Error::bug(format!("generation {} does not fit the cursor table", claimed.generation)))?,
    })
}

/// What a lineage that was never opened here goes on from.
#[derive(Debug)]
pub(crate) struct Heritage<'a> {
    pub(crate) line: &'a Line,
    /// What stands here of other jobs among its ancestors.
    pub(crate) others: Vec<Standing>,
}

impl Heritage<'_> {
    /// Puts the epoch at which a new lineage begins into what was decided for its claim.
    fn enter(&self, key: &Key, entries: &[Entry], decided: (Epoch, Vec<Change>)) -> Result<(Epoch, Vec<Change>)> {
        let (epoch, mut changes) = decided;
        // Its row has just been made: no owner has a generation below 1.
        let is_new = entries.iter().any(|entry| entry.lineage == key.lineage && entry.generation == 0);
        if !is_new {
            return Ok((epoch, changes));
        }
        let mut standings = self.others.clone();
        let job = JobName::new(key.job.as_str())?;
        standings
            .extend(entries.iter().filter(|entry| entry.lineage != key.lineage).map(|entry| standing(&job, entry)));
        let begin = self.line.begin(&key.sink, &standings);
        let stored =
            i64::try_from(begin.0).map_err(|_| Error::bug(format!("epoch {begin} does not fit the cursor table")))?;
        for change in changes.iter_mut().filter(|change| change.lineage == key.lineage) {
            change.epoch = Some(stored);
        }
        Ok((begin, changes))
    }
}

/// A row as the engine's words have it.
pub(crate) fn standing(job: &JobName, entry: &Entry) -> Standing {
    Standing {
        job: job.clone(),
        lineage: Lineage(u32::try_from(entry.lineage).unwrap_or(u32::MAX)),
        generation: Generation(entry.generation.unsigned_abs()),
        epoch: Epoch(u64::try_from(entry.epoch).unwrap_or(0)),
    }
}

/// Takes the fence for the claim and returns the cursor of its lineage. Waits for a transaction in flight.
pub(crate) async fn claim(
    session: &mut dyn Session,
    names: &Names,
    config: &Config,
    key: &Key,
    heritage: &Heritage<'_>,
    points: &FailPoints,
) -> Result<Cursor> {
    let doing = format!("table '{}': claiming {}", key.sink, names.cursor);
    let on_error = |failure| failed(&config.address, &doing, failure);
    session.transaction(Boundary::Begin).await.map_err(on_error)?;
    let entries = session.lock_entries(key).await.map_err(on_error)?;
    let (epoch, changes) = match decide_claim(key, &entries).and_then(|decided| heritage.enter(key, &entries, decided))
    {
        Ok(decided) => decided,
        Err(error) => {
            session.transaction(Boundary::Rollback).await.map_err(on_error)?;
            return Err(error);
        }
    };
    for change in &changes {
        session.update(key, change).await.map_err(on_error)?;
    }
    points.hit("sink.postgres.before-claim-commit");
    session.transaction(Boundary::Commit).await.map_err(on_error)?;
    Ok(Cursor(epoch))
}

/// Inside a transaction: moves the cursor from `after` to `epoch`. False: the fence is shut, roll back.
pub(crate) async fn pass(session: &mut dyn Session, key: &Key, after: i64, epoch: i64) -> Outcome<bool> {
    let only = vec![Only::At(after), Only::UpTo(key.generation)];
    let step = Change { lineage: key.lineage, epoch: Some(epoch), generation: key.generation, only };
    session.update(key, &step).await
}

/// Why the fence was shut: reads the row, outside any transaction.
pub(crate) async fn refusal(session: &mut dyn Session, names: &Names, config: &Config, key: &Key, after: i64) -> Error {
    match session.entry(key).await {
        Ok(entry) => decide_refusal(key, after, entry),
        Err(failure) => failed(&config.address, &format!("table '{}': reading {}", key.sink, names.cursor), failure),
    }
}

/// Whether the claim holds against the rows of the same job, shard and sink (its own row is among them): where it stands,
/// and what must be written for it. Every older lineage gets the highest generation there is.
pub(crate) fn decide_claim(key: &Key, entries: &[Entry]) -> Result<(Epoch, Vec<Change>)> {
    if let Some(newer) = entries.iter().find(|entry| entry.lineage > key.lineage) {
        return Err(left_behind(key, Some(newer.lineage)));
    }
    let own = entries.iter().find(|entry| entry.lineage == key.lineage);
    let own =
        own.ok_or_else(|| Error::bug(format!("table '{}': the cursor row just written is not there", key.sink)))?;
    if own.generation > key.generation {
        return Err(overtaken(key, own.generation));
    }
    let epoch = u64::try_from(own.epoch).map_err(|_| damaged(key, own.epoch))?;
    let wanted = |entry: &Entry| if entry.lineage == key.lineage { key.generation } else { LEFT_BEHIND };
    let change =
        |entry: &Entry| Change { lineage: entry.lineage, epoch: None, generation: wanted(entry), only: vec![] };
    let changes = entries.iter().filter(|entry| entry.generation != wanted(entry)).map(change).collect();
    Ok((Epoch(epoch), changes))
}

/// What a shut fence means: a newer owner, or a cursor that is not where the caller thought.
pub(crate) fn decide_refusal(key: &Key, after: i64, entry: Option<Entry>) -> Error {
    match entry {
        None => Error::data(format!(
            "table '{}': the cursor row of job '{}', lineage {}, shard {} has been removed while the job ran; \
             compare the table with the checkpoints before starting again",
            key.sink, key.job, key.lineage, key.shard
        )),
        Some(entry) if entry.generation > key.generation => overtaken(key, entry.generation),
        Some(entry) => Error::retry(format!(
            "table '{}': the cursor stands at epoch {} instead of {after}; open again to go on from there",
            key.sink, entry.epoch
        )),
    }
}

fn overtaken(key: &Key, generation: i64) -> Error {
    if generation == LEFT_BEHIND {
        return left_behind(key, None);
    }
    let (mine, newer) = (key.generation.unsigned_abs(), generation.unsigned_abs());
    Error::fenced(format!(
        "table '{}': generation {} of job '{}' writes shard {} now; this is generation {}",
        key.sink,
        Generation(newer),
        key.job,
        key.shard,
        Generation(mine)
    ))
}

fn left_behind(key: &Key, newer: Option<i64>) -> Error {
    let newer = newer.and_then(|lineage| u32::try_from(lineage).ok()).map(Lineage);
    let newer = newer.map_or("a newer lineage".to_owned(), |lineage| format!("lineage {lineage}"));
    Error::fenced(format!(
        "table '{}': {newer} of job '{}' writes shard {} now; this is lineage {}",
        key.sink, key.job, key.shard, key.lineage
    ))
}

fn damaged(key: &Key, epoch: i64) -> Error {
    Error::data(format!(
        "table '{}': the cursor table holds the epoch {epoch} for job '{}'; repair the row",
        key.sink, key.job
    ))
}

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;
