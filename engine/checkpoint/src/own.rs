//! Taking a shard: the newest lineage, its tail, our claim, and only then the newest commit.
//!
//! Nothing is read for use before the claim is known to be ours.

use crate::append::{append, read_boundary, read_boundary_object, read_record};
use crate::fence::alarm_or_fenced;
use crate::ids::IdSource;
use crate::paths::{self, ShardPaths, slot_of};
use crate::protocol::{
    ClaimJudgement, ClaimPlan, Last, LineageJudgement, Look, Slot, Tail, judge_claim, judge_lineage, judge_look,
    newest_lineage, plan_claim, probe_from, tail_after,
};
use crate::record::{Boundary, CommitBody, Kind, Record, encode};
use crate::store::Store;
use aqueduct_core::{Claimed, Error, JobName, Lineage, Result, ShardId};
use bytes::Bytes;
use object_store::path::Path;

/// So many lost races for a claim end the start: somebody starts processes in a loop.
const RACES: usize = 64;

/// So many looks at a log whose listed tail is not there; a collecting owner needs one or two.
const LOOKS: usize = 5;

/// A shard just taken.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) claimed: Claimed,
    pub(crate) paths: ShardPaths,
    /// The slot of our claim.
    pub(crate) slot: Slot,
    /// The boundary and the claims below it.
    pub(crate) boundary: Option<Boundary>,
    /// The newest commit and its slot.
    pub(crate) newest: Option<(Slot, CommitBody)>,
    pub(crate) readbacks: u64,
}

/// Takes the shard.
pub(crate) async fn own(
    store: &Store,
    root: &Path,
    job: &JobName,
    shard: ShardId,
    ids: &dyn IdSource,
) -> Result<Owned> {
    let mut readbacks = 0;
    for _ in 0..RACES {
        let lineage = newest_of(store, root, job, shard).await?;
        let paths = ShardPaths::new(root, job, lineage, shard);
        let plan = plan_claim(find_tail(store, &paths).await?);
        let record = Record {
            slot: plan.slot,
            put_id: ids.put_id(),
            generation: plan.generation,
            lineage,
            shard,
            kind: Kind::Claim { newest_commit: plan.newest_commit },
        };
        let bytes = encode(&record).map_err(|error| Error::bug(format!("a claim cannot be encoded: {error}")))?;
        let appended = append(store, &paths, &record, &Bytes::from(bytes), 0).await?;
        readbacks += appended.readbacks;
        if judge_claim(appended.judgement) == ClaimJudgement::LookAgain {
            tracing::info!(slot = %plan.slot, judgement = ?appended.judgement, "another process was faster; claiming again");
            continue;
        }
        store.points.hit("checkpoint.claim.verified");
        // A rewind may have begun a lineage since the first look: whoever claims the old one then has to leave it.
        match judge_lineage(lineage, newest_of(store, root, job, shard).await?) {
            LineageJudgement::Current => {
                let claimed = Claimed { job: job.clone(), lineage, shard, generation: plan.generation };
                return take_over(store, paths, claimed, plan, readbacks).await;
            }
            LineageJudgement::LeftBehind { by } => {
                tracing::info!(%lineage, newer = %by, "the job was set back meanwhile; claiming in the newer lineage");
            }
        }
    }
    Err(Error::retry(format!(
        "{RACES} other claims of '{}' came between ours; stop the processes that start this job again and again",
        paths::job(root, job)
    )))
}

/// The lineage to go on in. One exists when its slot 0 does: a folder alone is a rewind under way, or one given up.
async fn newest_of(store: &Store, root: &Path, job: &JobName, shard: ShardId) -> Result<Lineage> {
    let folders = store.folders(&paths::job(root, job)).await?;
    let mut lineages: Vec<Lineage> = folders.iter().filter_map(paths::lineage_of).collect();
    lineages.sort_unstable();
    while let Some(newest) = lineages.last() {
        let first = ShardPaths::new(root, job, *newest, shard).record(Slot(0));
        if store.size(&first).await?.is_some() {
            break;
        }
        lineages.pop();
    }
    Ok(newest_lineage(lineages))
}

/// Reads what the claim entitles us to.
pub(crate) async fn take_over(
    store: &Store,
    paths: ShardPaths,
    claimed: Claimed,
    plan: ClaimPlan,
    readbacks: u64,
) -> Result<Owned> {
    let newest = match plan.newest_commit {
        None => None,
        Some(slot) => match read_commit(store, &paths, slot).await {
            Ok(body) => Some((slot, body)),
            // Between our claim and this look a newer owner may have claimed, gone on and collected.
            Err(error) => return Err(alarm_or_fenced(store, &paths, &claimed, plan.slot, error).await),
        },
    };
    store.points.hit("checkpoint.head.read");
    let boundary = match read_boundary(store, &paths).await? {
        None => None,
        Some(slot) => Some(read_boundary_object(store, &paths, slot).await?),
    };
    Ok(Owned { claimed, paths, slot: plan.slot, boundary, newest, readbacks })
}

/// The commit that a claim or the tail names; that it is not there, or is something else, is damage.
pub(crate) async fn read_commit(store: &Store, paths: &ShardPaths, slot: Slot) -> Result<CommitBody> {
    let path = paths.record(slot);
    match read_record(store, paths, slot).await? {
        Some(Record { kind: Kind::Commit { body }, .. }) => Ok(*body),
        Some(_) => Err(Error::data(format!(
            "checkpoint record '{path}' should be a commit and is not; the folder was changed by hand, restore it from a copy"
        ))),
        None => Err(Error::data(format!(
            "checkpoint record '{path}' is missing though the log refers to it; restore it from a copy, and keep \
             life-cycle rules off the checkpoint folder"
        ))),
    }
}

/// The end of the log: the greatest slot of a LIST, then probing forward, because a LIST may be old.
pub(crate) async fn find_tail(store: &Store, paths: &ShardPaths) -> Result<Tail> {
    let mut tries = store.tries();
    for look in 1.. {
        let boundary = read_boundary(store, paths).await?;
        let after = boundary.filter(|slot| slot.0 > 0).map(|slot| paths.record(Slot(slot.0 - 1)));
        let listed = store.list(&paths.log(), after.as_ref()).await?;
        let newest_listed = listed.iter().filter_map(|meta| slot_of(&meta.location)).max();
        let start = probe_from(newest_listed, boundary);
        let (mut tail, mut slot) = (Tail::Empty, start);
        while let Some(record) = read_record(store, paths, slot).await? {
            tail = tail_at(&record);
            slot = slot.next();
        }
        if judge_look(tail, newest_listed, boundary) == Look::Done {
            return Ok(tail);
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

fn tail_at(record: &Record) -> Tail {
    let last = match &record.kind {
        Kind::Commit { .. } => Last::Commit,
        Kind::Claim { newest_commit } => Last::Claim { newest_commit: *newest_commit },
        Kind::Rewind { .. } => Last::Rewind,
    };
    tail_after(record.slot, record.generation, last)
}
