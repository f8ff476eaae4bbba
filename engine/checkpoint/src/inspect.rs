//! Looking without claiming: what jobs, lineages, shards and epochs a checkpoint folder holds, and whether it is whole.
//!
//! Damage is reported here, not raised: the one who looks wants to see everything else too.

use crate::append::{parse_record, read_boundary};
use crate::blobs;
use crate::end::lineages;
use crate::paths::{self, ShardPaths, slot_of};
use crate::protocol::Slot;
use crate::reader::CONCURRENT_READS;
use crate::record::{BlobRef, CommitBody, Kind, Origin, Owner, Record};
use crate::store::{Patience, Store};
use aqueduct_core::{Epoch, Error, ErrorKind, Generation, JobName, Lineage, Result, ShardId};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore, path::Path};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A line of epochs of one job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineageInfo {
    /// The job.
    pub job: JobName,
    /// The line of epochs.
    pub lineage: Lineage,
    /// Its shards, ascending.
    pub shards: Vec<ShardInfo>,
}

/// What a lineage was cut from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OriginInfo {
    /// The job.
    pub job: JobName,
    /// The line of epochs.
    pub lineage: Lineage,
    /// The last epoch that both share.
    pub epoch: Epoch,
    /// Why, in words.
    pub why: String,
}

/// A shard of a lineage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShardInfo {
    /// The shard.
    pub shard: ShardId,
    /// The newest owner; `None` when no record can be read.
    pub generation: Option<Generation>,
    /// Who that is, if it said so.
    pub owner: Option<Owner>,
    /// What the lineage was cut from.
    pub origin: Option<OriginInfo>,
    /// The kept commits, ascending.
    pub commits: Vec<CommitInfo>,
    /// The kept claims, ascending.
    pub claims: Vec<ClaimInfo>,
    /// Slots below it are closed.
    pub boundary: Option<u64>,
    /// Blobs in the folder, needed or not.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Records that cannot be read, in words.
    pub damaged: Vec<String>,
}

/// A kept commit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommitInfo {
    /// The epoch.
    pub epoch: Epoch,
    /// Its owner.
    pub generation: Generation,
    /// When it was sealed, in milliseconds since 1970.
    pub sealed_at_ms: i64,
    /// When its record was created by the store's clock, in milliseconds since 1970.
    pub written_at_ms: i64,
    /// Bytes of the record.
    pub record_bytes: u64,
    /// Files of its state.
    pub state_files: u64,
    /// Their bytes.
    pub state_bytes: u64,
    /// Result rows sealed with it.
    pub outbox_rows: u64,
    /// Their bytes.
    pub outbox_bytes: u64,
    /// True when the input has ended.
    pub finished: bool,
}

/// A kept claim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClaimInfo {
    /// The owner that it made.
    pub generation: Generation,
    /// When its record was created by the store's clock, in milliseconds since 1970.
    pub written_at_ms: i64,
    /// Who it is, if it said so.
    pub owner: Option<Owner>,
}

/// One commit, whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommitView {
    /// The job.
    pub job: JobName,
    /// The line of epochs.
    pub lineage: Lineage,
    /// The shard.
    pub shard: ShardId,
    /// Its owner.
    pub generation: Generation,
    /// The path of its record.
    pub object: String,
    /// What it is made of.
    pub body: CommitBody,
}

/// A blob that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlobProblem {
    /// The blob.
    pub blob: BlobRef,
    /// What is wrong with it, in words.
    pub problem: String,
}

/// Every lineage in a checkpoint folder, of one job or of all, ascending.
pub async fn inspect(store: Arc<dyn ObjectStore>, root: &Path, job: Option<&JobName>) -> Result<Vec<LineageInfo>> {
    let store = Store::new(store, Patience::default());
    let jobs = match job {
        Some(job) => vec![job.clone()],
        None => store.folders(root).await?.iter().filter_map(paths::job_of).collect(),
    };
    let mut found = Vec::new();
    for job in jobs {
        for lineage in lineages(&store, root, &job).await? {
            let folders = store.folders(&paths::lineage(root, &job, lineage)).await?;
            let mut shards = Vec::new();
            for shard in folders.iter().filter_map(paths::shard_of) {
                shards.push(look_at(&store, &ShardPaths::new(root, &job, lineage, shard), shard).await?);
            }
            shards.sort_by_key(|info| info.shard);
            if !shards.is_empty() {
                found.push(LineageInfo { job: job.clone(), lineage, shards });
            }
        }
    }
    Ok(found)
}

/// One commit: of the newest lineage and the newest epoch, unless they are given.
pub async fn show(
    store: Arc<dyn ObjectStore>,
    root: &Path,
    job: &JobName,
    shard: ShardId,
    lineage: Option<Lineage>,
    epoch: Option<Epoch>,
) -> Result<CommitView> {
    let store = Store::new(store, Patience::default());
    let mut newest = None;
    for found in lineages(&store, root, job).await?.into_iter().rev() {
        // One that was not begun has files and no log.
        let paths = ShardPaths::new(root, job, found, shard);
        if newest.is_none() && !store.list(&paths.log(), None).await?.is_empty() {
            newest = Some(found);
        }
    }
    let Some(lineage) = lineage.or(newest) else {
        let place = paths::job(root, job);
        return Err(Error::config(format!("there is no checkpoint of job '{job}' in '{place}'; check pipeline.name")));
    };
    let paths = ShardPaths::new(root, job, lineage, shard);
    let mut slots: Vec<Slot> = kept(&store, &paths).await?.into_keys().collect();
    // From the newest down: it is the one that is asked for most.
    while let Some(slot) = slots.pop() {
        let Some(bytes) = store.read(&paths.record(slot)).await? else { continue };
        let object = paths.record(slot);
        let record = parse_record(&bytes, slot, &object)?;
        let generation = record.generation;
        let mut commits = record.into_commits().into_iter().rev();
        if let Some(body) = commits.find(|body| epoch.is_none_or(|epoch| epoch == body.epoch)) {
            let (job, object) = (job.clone(), object.to_string());
            return Ok(CommitView { job, lineage, shard, generation, object, body });
        }
    }
    let wanted = epoch.map_or_else(|| "no epoch".to_owned(), |epoch| format!("no epoch {epoch}"));
    Err(Error::config(format!("'{}' holds {wanted}; `aqueduct state list` names the kept ones", paths.folder())))
}

/// What is wrong with the blobs of a commit; nothing, when it can be restored. `contents` reads and hashes each of them.
pub async fn verify(
    store: Arc<dyn ObjectStore>,
    root: &Path,
    commit: &CommitView,
    contents: bool,
) -> Result<Vec<BlobProblem>> {
    let store = Store::new(store, Patience::default());
    let paths = ShardPaths::new(root, &commit.job, commit.lineage, commit.shard);
    let (store, paths) = (&store, &paths);
    let checks = futures::stream::iter(commit.body.blobs()).map(|blob| async move {
        let problem =
            if contents { bad_contents(store, paths, blob).await? } else { bad_size(store, paths, blob).await? };
        Ok::<_, Error>(problem.map(|problem| BlobProblem { blob: blob.clone(), problem }))
    });
    let found: Vec<Option<BlobProblem>> = checks.buffered(CONCURRENT_READS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn bad_contents(store: &Store, paths: &ShardPaths, blob: &BlobRef) -> Result<Option<String>> {
    match blobs::get(store, paths, blob).await {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::FixData => Ok(Some(error.message().to_owned())),
        Err(error) => Err(error),
    }
}

async fn bad_size(store: &Store, paths: &ShardPaths, blob: &BlobRef) -> Result<Option<String>> {
    let path = blobs::place(paths, &blob.object)?;
    Ok(match store.size(&path).await? {
        None => Some(format!("object '{path}' is missing")),
        Some(size) if size != blob.bytes => Some(format!("object '{path}' has {size} bytes instead of {}", blob.bytes)),
        Some(_) => None,
    })
}

/// The records from the boundary on.
async fn kept(store: &Store, paths: &ShardPaths) -> Result<BTreeMap<Slot, ObjectMeta>> {
    let boundary = read_boundary(store, paths).await?.unwrap_or(Slot(0));
    let listed = store.list(&paths.log(), None).await?;
    let slots = listed.into_iter().filter_map(|meta| slot_of(&meta.location).map(|slot| (slot, meta)));
    Ok(slots.filter(|(slot, _)| *slot >= boundary).collect())
}

async fn look_at(store: &Store, paths: &ShardPaths, shard: ShardId) -> Result<ShardInfo> {
    let boundary = read_boundary(store, paths).await?.map(|slot| slot.0);
    let stored = store.list(&paths.blobs(), None).await?;
    let (blobs, blob_bytes) = (stored.len() as u64, stored.iter().map(|meta| meta.size).sum());
    let (commits, claims, damaged) = (Vec::new(), Vec::new(), Vec::new());
    let (owner, origin) = (None, None);
    let mut info =
        ShardInfo { shard, generation: None, owner, origin, commits, claims, boundary, blobs, blob_bytes, damaged };
    let reads = futures::stream::iter(kept(store, paths).await?)
        .map(|(slot, meta)| async move { store.read(&meta.location).await.map(|bytes| (slot, meta, bytes)) });
    let found: Vec<_> = reads.buffered(CONCURRENT_READS).try_collect().await?;
    for (slot, meta, bytes) in found {
        // Gone between LIST and GET: the owner collects while we look.
        let Some(bytes) = bytes else { continue };
        match parse_record(&bytes, slot, &meta.location) {
            Ok(record) => note(&mut info, record, &meta),
            Err(error) => info.damaged.push(error.message().to_owned()),
        }
    }
    // A beginning stays when the boundary moves past it: what the lineage was cut from is told as long as it lives.
    if boundary.is_some_and(|slot| slot > 0) {
        let first = paths.record(Slot(0));
        if let Some(bytes) = store.read(&first).await? {
            match parse_record(&bytes, Slot(0), &first) {
                Ok(Record { kind: Kind::Rewind { origin }, .. }) => info.origin = Some(origin_info(&origin)),
                Ok(_) => {}
                Err(error) => info.damaged.push(error.message().to_owned()),
            }
        }
    }
    Ok(info)
}

fn origin_info(origin: &Origin) -> OriginInfo {
    OriginInfo {
        job: origin.from_job.clone(),
        lineage: origin.from_lineage,
        epoch: origin.from_epoch,
        why: origin.why.to_string(),
    }
}

fn note(info: &mut ShardInfo, record: Record, meta: &ObjectMeta) {
    let written_at_ms = meta.last_modified.timestamp_millis();
    info.generation = info.generation.max(Some(record.generation));
    let generation = record.generation;
    match record.kind {
        Kind::Claim { owner, .. } => {
            info.owner.clone_from(&owner);
            info.claims.push(ClaimInfo { generation, written_at_ms, owner });
        }
        Kind::Commit { body } => info.commits.push(commit_info(&body, generation, meta)),
        Kind::Rewind { origin } => {
            info.commits.extend(origin.commits.iter().map(|body| commit_info(body, generation, meta)));
            info.origin = Some(origin_info(&origin));
        }
    }
}

fn commit_info(body: &CommitBody, generation: Generation, meta: &ObjectMeta) -> CommitInfo {
    CommitInfo {
        epoch: body.epoch,
        generation,
        sealed_at_ms: body.sealed_at_ms,
        written_at_ms: meta.last_modified.timestamp_millis(),
        record_bytes: meta.size,
        state_files: body.state_files.len() as u64,
        state_bytes: body.state_files.iter().map(|blob| blob.bytes).sum(),
        outbox_rows: body.outbox.iter().map(|segment| segment.rows).sum(),
        outbox_bytes: body.outbox.iter().map(|segment| segment.blob.bytes).sum(),
        finished: body.finished,
    }
}
