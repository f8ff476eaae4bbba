//! Taking a shard: the newest lineage, the end of its log, our claim, and only then the newest commit.
//!
//! Nothing is read for use before the claim is known to be ours.

use crate::append::{append, read_boundary, read_boundary_object, read_record};
use crate::end::{End, Newest, close_before, newest, newest_begun, newest_readable};
use crate::fence::alarm_or_fenced;
use crate::ids::IdSource;
use crate::paths::ShardPaths;
use crate::protocol::{ClaimJudgement, ClaimPlan, LineageJudgement, Slot, judge_claim, judge_lineage, plan_claim};
use crate::record::{Boundary, CommitBody, Kind, Origin, Owner, Record};
use crate::store::{Patience, Store};
use aqueduct_core::{Claimed, Error, ErrorKind, JobName, Lineage, Result, ShardId};
use bytes::Bytes;
use object_store::path::Path;

/// So many lost races for a claim end the start: somebody starts processes in a loop.
const RACES: usize = 64;

/// How a shard is taken.
#[derive(Debug, Clone, Default)]
pub struct Taking {
    /// Written into the claim, for people.
    pub owner: Option<Owner>,
    /// Takes the shard although its newest records cannot be read. The newest readable commit is told with what is
    /// damaged after it, and nothing may be committed in this lineage any more: begin a new one.
    pub past_damage: bool,
    /// How long a busy store is waited for.
    pub patience: Patience,
}

/// A shard just taken.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) claimed: Claimed,
    pub(crate) paths: ShardPaths,
    /// The slot of our claim.
    pub(crate) slot: Slot,
    /// The boundary and the claims below it.
    pub(crate) boundary: Option<Boundary>,
    /// The newest commit's slot and the commits in it, ascending.
    pub(crate) newest: Option<(Slot, Vec<CommitBody>)>,
    /// What the lineage began with, when it was cut from another one.
    pub(crate) origin: Option<Box<Origin>>,
    /// What could not be read after the newest commit, in words.
    pub(crate) damage: Vec<String>,
    pub(crate) readbacks: u64,
}

/// Takes the shard.
pub(crate) async fn own(
    store: &Store,
    root: &Path,
    job: &JobName,
    shard: ShardId,
    ids: &dyn IdSource,
    taking: &Taking,
) -> Result<Owned> {
    let mut readbacks = 0;
    for _ in 0..RACES {
        let Newest { lineage, end } = newest(store, root, job, shard, taking.past_damage).await?;
        let paths = ShardPaths::new(root, job, lineage, shard);
        if end.begins() {
            // An owner of the lineage before may have slipped in while this one was begun.
            close_before(store, root, job, shard, lineage, ids).await?;
        }
        let plan = plan_claim(end.tail);
        let record = claim(&plan, &end, lineage, shard, ids, taking);
        let bytes = record.encode().map_err(|error| Error::bug(format!("a claim cannot be encoded: {error}")))?;
        let appended = append(store, &paths, &record, &Bytes::from(bytes), 0).await?;
        readbacks += appended.readbacks;
        if judge_claim(appended.judgement) == ClaimJudgement::LookAgain {
            tracing::info!(slot = %plan.slot, judgement = ?appended.judgement, "another process was faster; claiming again");
            continue;
        }
        store.points.hit("checkpoint.claim.verified");
        // A rewind may have begun a lineage since the first look: whoever claims the old one then has to leave it.
        match judge_lineage(lineage, newest_begun(store, root, job, shard).await?) {
            LineageJudgement::Current => {
                let claimed = Claimed { job: job.clone(), lineage, shard, generation: plan.generation };
                return take_over(store, paths, claimed, plan, (end, readbacks), taking).await;
            }
            LineageJudgement::LeftBehind { by } => {
                tracing::info!(%lineage, newer = %by, "the job was set back meanwhile; claiming in the newer lineage");
            }
        }
    }
    Err(Error::retry(format!(
        "{RACES} other claims of job '{job}' in '{root}' came between ours; stop the processes that start this job again and again"
    )))
}

fn claim(plan: &ClaimPlan, end: &End, lineage: Lineage, shard: ShardId, ids: &dyn IdSource, taking: &Taking) -> Record {
    Record {
        slot: plan.slot,
        put_id: ids.put_id(),
        generation: plan.generation,
        lineage,
        shard,
        kind: Kind::Claim {
            newest_commit: plan.newest_commit,
            damaged: end.damaged.iter().map(|(slot, _)| *slot).collect(),
            owner: taking.owner.clone(),
        },
    }
}

/// Reads what the claim entitles us to.
pub(crate) async fn take_over(
    store: &Store,
    paths: ShardPaths,
    claimed: Claimed,
    plan: ClaimPlan,
    (end, readbacks): (End, u64),
    taking: &Taking,
) -> Result<Owned> {
    let mut damage: Vec<String> = end.damaged.into_iter().map(|(_, words)| words).collect();
    let newest = match plan.newest_commit {
        None => None,
        Some(slot) => match read_commits(store, &paths, slot).await {
            Err(error) if taking.past_damage && error.kind() == ErrorKind::FixData => {
                damage.push(error.message().to_owned());
                newest_readable(store, &paths, slot, &mut damage).await?
            }
            Ok(commits) => Some((slot, commits)),
            // Between our claim and this look a newer owner may have claimed, gone on and collected.
            Err(error) => return Err(alarm_or_fenced(store, &paths, &claimed, plan.slot, error).await),
        },
    };
    store.points.hit("checkpoint.head.read");
    let boundary = match read_boundary(store, &paths).await? {
        None => None,
        Some(slot) => Some(read_boundary_object(store, &paths, slot).await?),
    };
    Ok(Owned { claimed, paths, slot: plan.slot, boundary, newest, origin: end.origin, damage, readbacks })
}

/// The commits of the slot that a claim or the end names; that they are not there, or are something else, is damage.
pub(crate) async fn read_commits(store: &Store, paths: &ShardPaths, slot: Slot) -> Result<Vec<CommitBody>> {
    let path = paths.record(slot);
    let Some(record) = read_record(store, paths, slot).await? else {
        return Err(Error::data(format!(
            "checkpoint record '{path}' is missing though the log refers to it; restore it from a copy, and keep \
             life-cycle rules off the checkpoint folder"
        )));
    };
    let commits = record.into_commits();
    if commits.is_empty() {
        return Err(Error::data(format!(
            "checkpoint record '{path}' should be a commit and is not; the folder was changed by hand, restore it from a copy"
        )));
    }
    Ok(commits)
}
