//! What a lineage holds that a job could go on from: read without claiming, damage told and not raised.

use crate::append::{parse_record, read_boundary, read_record};
use crate::begin::Place;
use crate::blobs;
use crate::end::{Newest, lineages, newest};
use crate::own::read_commits;
use crate::paths::{ShardPaths, slot_of};
use crate::protocol::{Slot, Tail};
use crate::reader::CONCURRENT_READS;
use crate::record::{BlobRef, CommitBody, Kind, Origin, Owner, Record};
use crate::store::Store;
use aqueduct_core::{Epoch, Error, ErrorKind, Generation, JobName, Line, Lineage, Result, ShardId};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use std::collections::BTreeMap;

/// The readable records of a lineage.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Which.
    pub lineage: Lineage,
    /// What it began with, when it was cut from another one.
    pub origin: Option<Origin>,
    /// The kept commits, ascending.
    pub commits: Vec<CommitBody>,
    /// Records that cannot be read, in words, with their slots' order.
    pub damaged: Vec<String>,
    /// The newest owner.
    pub generation: Generation,
    /// Who that is, if it said so.
    pub owner: Option<Owner>,
    /// When the newest record was created by the store's clock, in milliseconds since 1970.
    pub written_at_ms: i64,
}

/// The newest lineage of a job that has begun, or the one that is asked for; `None` when there is none.
pub async fn kept(place: &Place, job: &JobName, shard: ShardId, lineage: Option<Lineage>) -> Result<Option<Kept>> {
    let (store, root) = (place.open(), &place.root);
    for found in lineages(&store, root, job).await?.into_iter().rev() {
        if lineage.is_some_and(|asked| asked != found) {
            continue;
        }
        if let Some(kept) = read(&store, &ShardPaths::new(root, job, found, shard), found).await? {
            return Ok(Some(kept));
        }
    }
    Ok(None)
}

async fn read(store: &Store, paths: &ShardPaths, lineage: Lineage) -> Result<Option<Kept>> {
    let boundary = read_boundary(store, paths).await?.unwrap_or(Slot(0));
    let listed = store.list(&paths.log(), None).await?;
    let mut slots: Vec<(Slot, ObjectMeta)> =
        listed.into_iter().filter_map(|meta| slot_of(&meta.location).map(|slot| (slot, meta))).collect();
    slots.sort_by_key(|(slot, _)| *slot);
    let Some((_, newest)) = slots.last() else { return Ok(None) };
    let written_at_ms = newest.last_modified.timestamp_millis();
    let mut kept = Kept {
        lineage,
        origin: None,
        commits: Vec::new(),
        damaged: Vec::new(),
        generation: Generation(0),
        owner: None,
        written_at_ms,
    };
    let reads = futures::stream::iter(slots)
        .map(|(slot, meta)| async move { Ok::<_, Error>((slot, store.read(&meta.location).await?, meta)) });
    for (slot, bytes, meta) in reads.buffered(CONCURRENT_READS).try_collect::<Vec<_>>().await? {
        // Gone between LIST and GET: the owner collects while we look.
        let Some(bytes) = bytes else { continue };
        match parse_record(&bytes, slot, &meta.location) {
            Ok(record) => kept.note(record, slot >= boundary),
            Err(error) if slot >= boundary => kept.damaged.push(error.message().to_owned()),
            Err(_) => {}
        }
    }
    Ok(Some(kept))
}

/// The newest commit, and its lineage with what that began with; `None` before the first one. What cannot be read is an error
/// that names it. Nothing is claimed, so that a newer one may be there a moment later.
pub async fn peek(place: &Place, job: &JobName, shard: ShardId) -> Result<Option<CommitBody>> {
    let (store, root) = (place.open(), &place.root);
    let Newest { lineage, end } = newest(&store, root, job, shard, false).await?;
    let Tail::At { newest_commit: Some(slot), .. } = end.tail else { return Ok(None) };
    let commits = read_commits(&store, &ShardPaths::new(root, job, lineage, shard), slot).await?;
    Ok(commits.into_iter().next_back())
}

/// The lineages of a job that have begun, ascending, with what each began with.
pub async fn origins(place: &Place, job: &JobName, shard: ShardId) -> Result<Vec<(Lineage, Option<Origin>)>> {
    let (store, root) = (place.open(), &place.root);
    let mut found = Vec::new();
    for lineage in lineages(&store, root, job).await? {
        let paths = ShardPaths::new(root, job, lineage, shard);
        match read_record(&store, &paths, Slot(0)).await? {
            Some(Record { kind: Kind::Rewind { origin }, .. }) => found.push((lineage, Some(*origin))),
            Some(_) => found.push((lineage, None)),
            None => {}
        }
    }
    Ok(found)
}

/// Reference to what is wrong with it, for every blob of `commits` that is missing or not what it was. Each is read once.
pub async fn broken(
    place: &Place,
    job: &JobName,
    shard: ShardId,
    lineage: Lineage,
    commits: &[CommitBody],
) -> Result<BTreeMap<String, String>> {
    let (store, paths) = (&place.open(), &ShardPaths::new(&place.root, job, lineage, shard));
    // Owned: a stream over references would make the future's lifetime too narrow for a task.
    let wanted: BTreeMap<String, BlobRef> =
        commits.iter().flat_map(CommitBody::blobs).map(|blob| (blob.object.clone(), blob.clone())).collect();
    let checks = futures::stream::iter(wanted.into_values()).map(|blob: BlobRef| async move {
        match blobs::get(store, paths, &blob).await {
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::FixData => {
                Ok(Some((blob.object.clone(), error.message().to_owned())))
            }
            Err(error) => Err(error),
        }
    });
    let found: Vec<Option<(String, String)>> = checks.buffer_unordered(CONCURRENT_READS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

impl Kept {
    /// The readable commits up to the newest one, without a hole, ascending.
    pub fn run(&self) -> &[CommitBody] {
        let gaps = self.commits.windows(2).rposition(|pair| pair[0].epoch.next() != pair[1].epoch);
        &self.commits[gaps.map_or(0, |at| at + 1)..]
    }

    /// True for an epoch whose record tells its state files: of the epochs that a lineage began with, only the newest does.
    pub fn has_state(&self, epoch: Epoch) -> bool {
        self.origin.as_ref().is_none_or(|origin| epoch >= origin.from_epoch)
    }

    /// The ancestors of the lineage.
    pub fn line(&self) -> Line {
        self.origin.as_ref().map(|origin| origin.line.clone()).unwrap_or_default()
    }

    fn note(&mut self, record: Record, open: bool) {
        self.generation = self.generation.max(record.generation);
        match record.kind {
            Kind::Claim { owner, .. } => self.owner = owner.or_else(|| self.owner.take()),
            Kind::Commit { body } if open => self.commits.push(*body),
            Kind::Commit { .. } => {}
            Kind::Rewind { origin } => {
                if open {
                    self.commits.extend(origin.commits.iter().cloned());
                }
                self.origin = Some(*origin);
            }
        }
    }
}
