//! Where a job's checkpoints end: the newest lineage that has begun, the newest record of its log, what is damaged there.
//!
//! It reads, and it closes the log of a lineage that was left; it takes nothing for use.

use crate::append::{append, read_boundary, read_record};
use crate::ids::IdSource;
use crate::paths::{self, ShardPaths, slot_of};
use crate::protocol::{
    ClaimJudgement, Last, Look, Slot, Tail, judge_claim, judge_look, newest_lineage, plan_claim, probe_from, tail_after,
};
use crate::record::{CommitBody, Kind, Origin, Record};
use crate::store::Store;
use aqueduct_core::{Error, ErrorKind, Generation, JobName, Lineage, Result, ShardId};
use bytes::Bytes;
use object_store::path::Path;

/// So many looks at a log whose listed tail is not there; a collecting owner needs one or two.
const LOOKS: usize = 5;

/// The end of a lineage's log.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) tail: Tail,
    /// Slots after the newest readable commit that cannot be read, and why.
    pub(crate) damaged: Vec<(Slot, String)>,
    /// What the lineage began with, when it was cut from another one.
    pub(crate) origin: Option<Box<Origin>>,
}

impl End {
    pub(crate) const EMPTY: End = End { tail: Tail::Empty, damaged: Vec::new(), origin: None };

    /// True while nobody has claimed a lineage that was cut from another one.
    pub(crate) fn begins(&self) -> bool {
        self.origin.is_some() && matches!(self.tail, Tail::At { slot: Slot(0), .. })
    }
}

/// The newest lineage that has begun.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) lineage: Lineage,
    pub(crate) end: End,
}

/// Finds the newest lineage that has begun, or the first one to begin with. A lineage begins with its first record: blobs
/// alone were copied by somebody who did not come to the end.
pub(crate) async fn newest(
    store: &Store,
    root: &Path,
    job: &JobName,
    shard: ShardId,
    past_damage: bool,
) -> Result<Newest> {
    if let Some(found) = begun(store, root, job, shard, past_damage).await? {
        return Ok(found);
    }
    for lineage in lineages(store, root, job).await? {
        let paths = ShardPaths::new(root, job, lineage, shard);
        if store.list(paths.folder(), None).await?.is_empty() {
            continue;
        }
        // An owner's claim stands before its first file: if somebody has begun since we looked, it is there now.
        return begun(store, root, job, shard, past_damage).await?.ok_or_else(|| {
            Error::data(format!(
                "'{}' holds files but no record: its log was deleted from outside, or a start from a savepoint or a rewind broke off. \
                 Restore the log from a copy, or repeat that command; to begin with nothing, delete the folder",
                paths.folder()
            ))
        });
    }
    Ok(Newest { lineage: newest_lineage([]), end: End::EMPTY })
}

/// The newest lineage with a record.
async fn begun(store: &Store, root: &Path, job: &JobName, shard: ShardId, past_damage: bool) -> Result<Option<Newest>> {
    for lineage in lineages(store, root, job).await?.into_iter().rev() {
        let end = find_end(store, &ShardPaths::new(root, job, lineage, shard), lineage, past_damage).await?;
        if end.tail != Tail::Empty {
            return Ok(Some(Newest { lineage, end }));
        }
    }
    Ok(None)
}

/// The end of a log: the greatest slot of a LIST, then probing forward, because a LIST may be old.
pub(crate) async fn find_end(store: &Store, paths: &ShardPaths, lineage: Lineage, past_damage: bool) -> Result<End> {
    let mut tries = store.tries();
    for look in 1.. {
        let boundary = read_boundary(store, paths).await?;
        let after = boundary.filter(|slot| slot.0 > 0).map(|slot| paths.record(Slot(slot.0 - 1)));
        let listed = store.list(&paths.log(), after.as_ref()).await?;
        let newest_listed = listed.iter().filter_map(|meta| slot_of(&meta.location)).max();
        let start = probe_from(newest_listed, boundary);
        let end = probe(store, paths, start, boundary, past_damage).await?;
        if end.tail != Tail::Empty {
            return with_origin(store, paths, lineage, end).await;
        }
        if judge_look(end.tail, newest_listed, boundary) == Look::Done {
            return Ok(end);
        }
        // The owner may have collected the record between LIST and GET: then a newer look finds a newer tail.
        if look >= LOOKS || !tries.again().await {
            return Err(Error::data(format!(
                "the log '{}' has no record at slot {start}, where it must go on; records were deleted from outside: restore \
                 the folder from a copy, or give the job a new pipeline.name to begin afresh",
                paths.log()
            )));
        }
    }
    Err(Error::bug("the look for the tail ended without an answer"))
}

/// Reads from `start` forward to the end, and below it only while what was read is damaged.
async fn probe(store: &Store, paths: &ShardPaths, start: Slot, floor: Option<Slot>, past_damage: bool) -> Result<End> {
    let (mut newest, mut damaged, mut slot) = (None, Vec::new(), start);
    loop {
        match read_record(store, paths, slot).await {
            Ok(Some(record)) => newest = Some(record),
            Ok(None) => break,
            Err(error) if past_damage && error.kind() == ErrorKind::FixData => {
                damaged.push((slot, error.message().to_owned()));
            }
            Err(error) => return Err(error),
        }
        slot = slot.next();
    }
    let (end, mut below) = (slot, start);
    while newest.is_none() && !damaged.is_empty() && below > floor.unwrap_or(Slot(0)) {
        below = Slot(below.0 - 1);
        match read_record(store, paths, below).await {
            Ok(record) => newest = record,
            Err(error) if error.kind() == ErrorKind::FixData => damaged.push((below, error.message().to_owned())),
            Err(error) => return Err(error),
        }
    }
    let Some(newest) = newest else {
        return match damaged.into_iter().next() {
            None => Ok(End::EMPTY),
            Some((_, words)) => Err(Error::data(format!("{words}; and no older record of this log can be read"))),
        };
    };
    judge_end(store, paths, &newest, end, damaged, past_damage).await
}

/// Puts the end together from the newest readable record and what could not be read around it.
async fn judge_end(
    store: &Store,
    paths: &ShardPaths,
    newest: &Record,
    end: Slot,
    mut damaged: Vec<(Slot, String)>,
    past_damage: bool,
) -> Result<End> {
    let mut newest_commit = newest.newest_commit();
    let mut passed_over = Vec::new();
    if let Kind::Claim { damaged: slots, .. } = &newest.kind {
        for slot in slots {
            match read_record(store, paths, *slot).await {
                // Somebody has restored it.
                Ok(Some(record)) => newest_commit = newest_commit.max(record.newest_commit()),
                Ok(None) => {
                    passed_over.push((*slot, format!("checkpoint record '{}' is missing", paths.record(*slot))))
                }
                Err(error) if error.kind() == ErrorKind::FixData => {
                    passed_over.push((*slot, error.message().to_owned()))
                }
                Err(error) => return Err(error),
            }
        }
    }
    if let (Some((_, words)), false) = (passed_over.first(), past_damage) {
        return Err(Error::data(words.clone()));
    }
    damaged.extend(passed_over);
    damaged.sort();
    damaged.dedup_by_key(|(slot, _)| *slot);
    // What cannot be read may hold a claim of its own: no generation that it could have is taken again.
    let generation = Generation(newest.generation.0 + damaged.len() as u64);
    let last = newest_commit.map_or(Last::Rewind, |slot| Last::Claim { newest_commit: Some(slot) });
    Ok(End { tail: tail_after(Slot(end.0 - 1), generation, last), damaged, origin: origin_of(newest) })
}

fn origin_of(record: &Record) -> Option<Box<Origin>> {
    match &record.kind {
        Kind::Rewind { origin } => Some(origin.clone()),
        Kind::Claim { .. } | Kind::Commit { .. } => None,
    }
}

/// Adds what the lineage began with. The first lineage of a folder began with nothing; every later one says where it comes from.
async fn with_origin(store: &Store, paths: &ShardPaths, lineage: Lineage, mut end: End) -> Result<End> {
    if lineage > Lineage(1) && end.origin.is_none() {
        let first = read_record(store, paths, Slot(0)).await?.ok_or_else(|| {
            Error::data(format!(
                "checkpoint record '{}' is missing: it says what lineage {lineage} was cut from; restore it from a copy",
                paths.record(Slot(0))
            ))
        })?;
        end.origin = origin_of(&first);
    }
    Ok(end)
}

/// The newest readable commits below `slot`; what cannot be read on the way is added to `damage`.
pub(crate) async fn newest_readable(
    store: &Store,
    paths: &ShardPaths,
    slot: Slot,
    damage: &mut Vec<String>,
) -> Result<Option<(Slot, Vec<CommitBody>)>> {
    let floor = read_boundary(store, paths).await?.unwrap_or(Slot(0));
    let mut at = slot;
    while at > floor {
        at = Slot(at.0 - 1);
        match read_record(store, paths, at).await {
            Ok(Some(record)) => {
                let commits = record.into_commits();
                if !commits.is_empty() {
                    return Ok(Some((at, commits)));
                }
            }
            Ok(None) => damage.push(format!("checkpoint record '{}' is missing", paths.record(at))),
            Err(error) if error.kind() == ErrorKind::FixData => damage.push(error.message().to_owned()),
            Err(error) => return Err(error),
        }
    }
    Err(Error::data(format!("{}; and no older checkpoint in '{}' can be read", damage.join("; "), paths.folder())))
}

/// The newest lineage that exists. Its slot 0 says so; where that was deleted from outside, the rest of its log does.
pub(crate) async fn newest_begun(store: &Store, root: &Path, job: &JobName, shard: ShardId) -> Result<Lineage> {
    let mut found = lineages(store, root, job).await?;
    while let Some(newest) = found.last() {
        let paths = ShardPaths::new(root, job, *newest, shard);
        let begun = store.size(&paths.record(Slot(0))).await?.is_some();
        if begun || !store.list(&paths.log(), None).await?.is_empty() {
            break;
        }
        found.pop();
    }
    Ok(newest_lineage(found))
}

/// The lineages that have a folder, ascending; one of them may not have begun.
pub(crate) async fn lineages(store: &Store, root: &Path, job: &JobName) -> Result<Vec<Lineage>> {
    let folders = store.folders(&paths::job(root, job)).await?;
    let mut found: Vec<Lineage> = folders.iter().filter_map(paths::lineage_of).collect();
    found.sort_unstable();
    Ok(found)
}

/// Claims the log of the lineage before `lineage`, if there is one in this folder: nobody commits there any more.
pub(crate) async fn close_before(
    store: &Store,
    root: &Path,
    job: &JobName,
    shard: ShardId,
    lineage: Lineage,
    ids: &dyn IdSource,
) -> Result<()> {
    for older in lineages(store, root, job).await?.into_iter().rev().filter(|found| *found < lineage) {
        let paths = ShardPaths::new(root, job, older, shard);
        if close(store, &paths, older, shard, ids).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Claims a log for nobody; false when it has not begun.
async fn close(
    store: &Store,
    paths: &ShardPaths,
    lineage: Lineage,
    shard: ShardId,
    ids: &dyn IdSource,
) -> Result<bool> {
    for _ in 0..LOOKS {
        let end = find_end(store, paths, lineage, true).await?;
        if end.tail == Tail::Empty {
            return Ok(false);
        }
        let plan = plan_claim(end.tail);
        let damaged = end.damaged.iter().map(|(slot, _)| *slot).collect();
        let kind = Kind::Claim { newest_commit: plan.newest_commit, damaged, owner: None };
        let record =
            Record { slot: plan.slot, put_id: ids.put_id(), generation: plan.generation, lineage, shard, kind };
        let bytes = record.encode().map_err(|error| Error::bug(format!("a claim cannot be encoded: {error}")))?;
        let appended = append(store, paths, &record, &Bytes::from(bytes), 0).await?;
        if judge_claim(appended.judgement) == ClaimJudgement::Owned {
            tracing::info!(folder = %paths.folder(), "the log of the lineage before is closed");
            return Ok(true);
        }
    }
    Err(Error::retry(format!("somebody goes on claiming '{}'; stop that process and try again", paths.folder())))
}
