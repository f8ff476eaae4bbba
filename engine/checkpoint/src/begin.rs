//! Beginning a lineage that is cut from another one: its blobs are copied first, then one record makes it count.
//!
//! What it begins with is decided by the caller. A copy that breaks off leaves a folder and no lineage.

use crate::append::append;
use crate::blobs;
use crate::end::lineages;
use crate::host::TokioHost;
use crate::ids::IdSource;
use crate::paths::{SavepointPaths, ShardPaths};
use crate::protocol::{Judgement, Slot, next_lineage};
use crate::record::{BlobRef, CommitBody, Kind, Origin, Record};
use crate::store::{Patience, Store, kind_of};
use aqueduct_core::{Error, ErrorKind, FailPoints, Generation, Host, JobName, Lineage, Result, ShardId};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, path::Path};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Blobs that are copied at once; each is held in memory.
const CONCURRENT_COPIES: usize = 4;

/// A folder in a store.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The folder.
    pub root: Path,
    /// Where waits go.
    pub host: Arc<dyn Host>,
    /// Passed while savepoints are taken and lineages begun.
    pub points: FailPoints,
}

impl Place {
    /// A folder that is reached over tokio.
    pub fn new(store: Arc<dyn ObjectStore>, root: Path) -> Self {
        Self { store, root, host: Arc::new(TokioHost::default()), points: FailPoints::default() }
    }

    pub(crate) fn open(&self) -> Store {
        Store::on(self.store.clone(), Patience::default(), self.host.clone())
    }
}

/// Where the blobs of an [`Origin`] lie now.
#[derive(Debug, Clone)]
pub enum Blobs {
    /// In a lineage of a checkpoint folder.
    Lineage {
        /// The checkpoint folder.
        place: Place,
        /// Whose.
        job: JobName,
        /// Which.
        lineage: Lineage,
    },
    /// In a savepoint's folder.
    Savepoint(Place),
}

/// Begins a lineage of `job` in the checkpoint folder `to`, above every lineage there and at least at `least`. Returns its number.
pub async fn begin(
    to: &Place,
    job: &JobName,
    shard: ShardId,
    least: Lineage,
    mut origin: Origin,
    from: &Blobs,
    ids: &dyn IdSource,
) -> Result<Lineage> {
    to.points.hit("checkpoint.begin.claimed");
    let store = to.open();
    // Above every folder: what an earlier try left is passed over.
    let lineage = next_lineage(lineages(&store, &to.root, job).await?).max(least);
    let paths = ShardPaths::new(&to.root, job, lineage, shard);
    trim(&mut origin.commits);
    let target = |blob: &BlobRef| {
        let object = ShardPaths::blob_object(Generation(1), &blob.sha256, 0);
        let path = blobs::place(&paths, &object)?;
        Ok((object, path))
    };
    to.points.hit("checkpoint.begin.before-copy");
    copy(from, shard, &store, target, &mut origin.commits).await?;
    to.points.hit("checkpoint.begin.after-copy");
    let record = Record {
        slot: Slot(0),
        put_id: ids.put_id(),
        generation: Generation(1),
        lineage,
        shard,
        kind: Kind::Rewind { origin: Box::new(origin) },
    };
    let bytes = record.encode().map_err(|error| Error::bug(format!("a beginning cannot be encoded: {error}")))?;
    let appended = append(&store, &paths, &record, &Bytes::from(bytes), 0).await?;
    to.points.hit("checkpoint.begin.after-record");
    match appended.judgement {
        Judgement::Won => Ok(lineage),
        _ => Err(Error::retry(format!(
            "somebody else has begun lineage {lineage} of job '{job}' at the same moment; look at it with `aqueduct state list` first"
        ))),
    }
}

/// Only the newest of the commits has state; the others are there for their results.
pub(crate) fn trim(commits: &mut [CommitBody]) {
    if let Some((_, older)) = commits.split_last_mut() {
        older.iter_mut().for_each(|body| body.state_files.clear());
    }
}

/// Copies every blob of `commits`, checked against its hash, and puts the new references in. Returns the bytes.
pub(crate) async fn copy(
    from: &Blobs,
    shard: ShardId,
    to: &Store,
    target: impl Fn(&BlobRef) -> Result<(String, Path)>,
    commits: &mut [CommitBody],
) -> Result<u64> {
    let mut wanted: BTreeMap<String, (BlobRef, Path, String, Path)> = BTreeMap::new();
    let store = match from {
        Blobs::Lineage { place, .. } | Blobs::Savepoint(place) => place.open(),
    };
    for blob in commits.iter().flat_map(CommitBody::blobs) {
        let source = match from {
            Blobs::Lineage { place, job, lineage } => {
                blobs::place(&ShardPaths::new(&place.root, job, *lineage, shard), &blob.object)?
            }
            Blobs::Savepoint(place) => SavepointPaths::new(&place.root).blob(&blob.sha256)?,
        };
        let (object, path) = target(blob)?;
        wanted.insert(blob.object.clone(), (blob.clone(), source, object, path));
    }
    let copies = wanted.values().map(|(blob, source, _, path)| copy_one(&store, source, blob, to, path));
    let copied = futures::stream::iter(copies.collect::<Vec<_>>()).buffer_unordered(CONCURRENT_COPIES);
    let bytes: Vec<u64> = copied.try_collect().await?;
    for body in commits {
        let segments = body.outbox.iter_mut().map(|segment| &mut segment.blob);
        for blob in body.state_files.iter_mut().chain(segments) {
            if let Some((_, _, object, _)) = wanted.get(&blob.object) {
                blob.object.clone_from(object);
            }
        }
    }
    Ok(bytes.iter().sum())
}

async fn copy_one(from: &Store, source: &Path, blob: &BlobRef, to: &Store, path: &Path) -> Result<u64> {
    let contents = blobs::get_at(from, source, blob).await?;
    let mut tries = to.tries();
    loop {
        let Err(error) = to.create_once(path, contents.clone()).await else { return Ok(blob.bytes) };
        // Named by its contents: whoever put it put the same.
        match to.size(path).await? {
            Some(size) if size == blob.bytes => return Ok(0),
            Some(size) => {
                return Err(Error::data(format!(
                    "'{path}' has {size} bytes instead of {}; it was changed from outside, delete it and try again",
                    blob.bytes
                )));
            }
            None if kind_of(&error) != ErrorKind::Retry || !tries.again().await => {
                return Err(to.explain(error, "create", path));
            }
            None => {}
        }
    }
}
