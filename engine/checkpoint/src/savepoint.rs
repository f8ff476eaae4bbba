//! Savepoints: one folder that holds all that a job needs to go on elsewhere, and nothing but relative names.
//!
//! ```text
//! <folder>/_metadata          the manifest, created last: without it there is no savepoint
//! <folder>/blobs/<sha256>     every file that it names
//! ```
//!
//! A savepoint is copied from the log of a job, which may run meanwhile: nothing is claimed and nothing in the job's folder
//! is changed but a pin, which keeps the collector away for a while. Should the files vanish all the same, the copy begins
//! again from a newer commit.

use crate::append::{parse_record, read_boundary, unreadable};
use crate::begin::{Blobs, Place, copy, trim};
use crate::blobs;
use crate::end::{End, Newest, newest};
use crate::ids::IdSource;
use crate::paths::{SavepointPaths, ShardPaths};
use crate::protocol::{Slot, Tail};
use crate::reader::CONCURRENT_READS;
use crate::record::{BlobRef, CommitBody, Cut, FORMAT, Origin, Why, decode, encode_as};
use crate::store::Store;
use aqueduct_core::{Epoch, Error, ErrorKind, JobName, Line, Lineage, Result, ShardId};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So often the copy begins again from a newer commit.
const TRIES: usize = 5;

/// The manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Savepoint {
    /// Tells it from every other one.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The job that it was taken from.
    pub job: JobName,
    /// The line of epochs.
    pub lineage: Lineage,
    /// The shard.
    pub shard: ShardId,
    /// The newest epoch in it.
    pub epoch: Epoch,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at_ms: i64,
    /// The program that took it.
    pub program: String,
    /// The line's own ancestors.
    pub line: Line,
    /// Table name to what its sink had applied at least.
    pub delivered: BTreeMap<String, Epoch>,
    /// The kept epochs, ascending; only the last one has state files.
    pub commits: Vec<CommitBody>,
    /// As in an [`Origin`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeats: Vec<Cut>,
}

impl Savepoint {
    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        let blobs = self.commits.iter().flat_map(CommitBody::blobs);
        blobs.map(|blob| (&blob.sha256, blob.bytes)).collect::<BTreeMap<_, _>>().values().sum()
    }

    /// What a lineage that goes on from it begins with. `url` is where it lies.
    pub fn origin(self, url: &str) -> Origin {
        let shared = self.repeats.last().map_or(self.epoch, |cut| cut.epoch);
        let mut line = self.line.cut(&self.job, self.lineage, shared);
        line.delivered.extend(self.delivered);
        Origin {
            from_job: self.job,
            from_lineage: self.lineage,
            from_epoch: self.epoch,
            why: Why::Savepoint { id: self.id, url: url.to_owned() },
            line,
            commits: self.commits,
            repeats: self.repeats,
        }
    }
}

/// How a savepoint is to be taken.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its name.
    pub name: String,
    /// The epoch that it must hold at least.
    pub at_least: Epoch,
    /// Table name to what its sink has applied, where that is known: a job that is dead cannot be asked.
    pub delivered: BTreeMap<String, Epoch>,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// As [`Savepoint::program`].
    pub program: String,
}

/// Copies the newest sealed epoch of a job, and every kept result before it, to `to`.
pub async fn take(
    from: &Place,
    job: &JobName,
    shard: ShardId,
    to: &Place,
    request: &Request,
    ids: &dyn IdSource,
) -> Result<Savepoint> {
    let paths = SavepointPaths::new(&to.root);
    let copying = Copying { source: from.open(), from, job, shard, target: to.open(), paths };
    let manifest = copying.paths.manifest();
    if copying.target.read(&manifest).await?.is_some() {
        return Err(Error::config(format!("'{manifest}' is a savepoint already; take another name")));
    }
    let mut last: Option<(Lineage, Epoch, Error)> = None;
    for _ in 0..TRIES {
        let cut = newest_cut(&copying.source, from, job, shard).await?;
        let epoch = cut.commits.last().map_or(Epoch::ZERO, |body| body.epoch);
        match last {
            // What is missing is missing for good.
            Some((lineage, before, error)) if (lineage, before) == (cut.lineage, epoch) => return Err(error),
            _ => {}
        }
        if epoch < request.at_least {
            return Err(Error::retry(format!(
                "the log of job '{job}' ends at epoch {epoch}, before epoch {} that was asked for; try again",
                request.at_least
            )));
        }
        match copy_cut(&copying, cut, request, ids).await {
            Err(error) if error.kind() == ErrorKind::FixData => {
                tracing::info!(%epoch, %error, "a file vanished while it was copied; beginning again from a newer epoch");
                last = Some((newest_cut(&copying.source, from, job, shard).await?.lineage, epoch, error));
            }
            outcome => return outcome,
        }
    }
    Err(last.map_or_else(|| Error::bug("a savepoint ended without an outcome"), |(_, _, error)| error))
}

/// The manifest of the savepoint at `place`.
pub async fn read(place: &Place) -> Result<Savepoint> {
    let (store, path) = (place.open(), SavepointPaths::new(&place.root).manifest());
    let bytes = store.read(&path).await?.ok_or_else(|| {
        Error::config(format!(
            "there is no savepoint: '{path}' does not exist; name the folder that holds _metadata (a copy must be whole)"
        ))
    })?;
    decode(&bytes).map_err(|error| unreadable(&error, "savepoint", &path))
}

/// The files of a savepoint that are missing or not what they were, in words.
pub async fn problems(place: &Place, savepoint: &Savepoint) -> Result<Vec<String>> {
    let (store, paths) = (&place.open(), &SavepointPaths::new(&place.root));
    let blobs: BTreeMap<&str, &BlobRef> =
        savepoint.commits.iter().flat_map(CommitBody::blobs).map(|blob| (blob.sha256.as_str(), blob)).collect();
    let checks = futures::stream::iter(blobs.into_values()).map(|blob| async move {
        match blobs::get_at(store, &paths.blob(&blob.sha256)?, blob).await {
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::FixData => Ok(Some(error.message().to_owned())),
            Err(error) => Err(error),
        }
    });
    let found: Vec<Option<String>> = checks.buffered(CONCURRENT_READS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// The newest commit and what is kept before it.
struct NewestCut {
    lineage: Lineage,
    line: Line,
    commits: Vec<CommitBody>,
    repeats: Vec<Cut>,
}

async fn newest_cut(store: &Store, from: &Place, job: &JobName, shard: ShardId) -> Result<NewestCut> {
    let Newest { lineage, end } = newest(store, &from.root, job, shard, false).await?;
    let paths = ShardPaths::new(&from.root, job, lineage, shard);
    let End { tail, origin, .. } = end;
    let Tail::At { newest_commit: Some(slot), .. } = tail else {
        return Err(Error::config(format!(
            "job '{job}' has sealed no epoch in '{}': check its name and the checkpoint folder",
            from.root
        )));
    };
    let floor = read_boundary(store, &paths).await?.unwrap_or(Slot(0));
    // A beginning stays when the boundary has moved past it; what it holds is not needed then.
    let reads = futures::stream::iter((floor.0..=slot.0).map(Slot).collect::<Vec<_>>())
        .map(|slot| (slot, paths.record(slot)))
        .map(|(slot, path)| async move { Ok::<_, Error>((slot, store.read(&path).await?, path)) });
    let mut commits: Vec<CommitBody> = Vec::new();
    for (slot, bytes, path) in reads.buffered(CONCURRENT_READS).try_collect::<Vec<_>>().await? {
        let Some(bytes) = bytes else {
            // Collected meanwhile, with everything before it.
            commits.clear();
            continue;
        };
        commits.extend(parse_record(&bytes, slot, &path)?.into_commits());
    }
    let head = commits.last().map(|body| body.epoch);
    let head =
        head.ok_or_else(|| Error::data(format!("the newest commit of '{}' vanished; try again", paths.folder())))?;
    let (line, mut repeats) = origin.map_or_else(Default::default, |origin| (origin.line, origin.repeats));
    repeats.retain(|cut| cut.epoch > head);
    Ok(NewestCut { lineage, line, commits, repeats })
}

/// From where to where.
struct Copying<'a> {
    source: Store,
    from: &'a Place,
    job: &'a JobName,
    shard: ShardId,
    target: Store,
    paths: SavepointPaths,
}

/// What every sink has applied at least: what is known of it; of the others, that results are kept until every sink has them.
/// A sink at another address then gets what the old one may still lack, rather than a gap.
fn delivered(commits: &[CommitBody], known: &BTreeMap<String, Epoch>) -> BTreeMap<String, Epoch> {
    let before = commits.first().map_or(Epoch::ZERO, |body| Epoch(body.epoch.0.saturating_sub(1)));
    let sinks = commits.iter().flat_map(|body| &body.outbox).map(|segment| (segment.sink.clone(), before));
    let mut delivered: BTreeMap<String, Epoch> = sinks.collect();
    delivered.extend(known.iter().map(|(table, epoch)| (table.clone(), *epoch)));
    delivered
}

async fn copy_cut(copying: &Copying<'_>, cut: NewestCut, request: &Request, ids: &dyn IdSource) -> Result<Savepoint> {
    let Copying { source, from, job, shard, target, paths } = copying;
    let NewestCut { lineage, line, mut commits, repeats } = cut;
    let epoch = commits.last().map_or(Epoch::ZERO, |body| body.epoch);
    let pin = ShardPaths::new(&from.root, job, lineage, *shard).pin(epoch, &ids.put_id());
    // A pin is a courtesy of the collector: without the right to write it the copy may have to begin again.
    let pinned = source.create_once(&pin, Bytes::from_static(b"a savepoint is being copied\n")).await;
    if let Err(error) = &pinned {
        tracing::info!(%pin, %error, "the epoch could not be pinned; copying all the same");
    }
    from.points.hit("checkpoint.savepoint.after-pin");
    trim(&mut commits);
    let blobs = Blobs::Lineage { place: (*from).clone(), job: (*job).clone(), lineage };
    let to = |blob: &BlobRef| Ok((SavepointPaths::object(&blob.sha256), paths.blob(&blob.sha256)?));
    let copied = copy(&blobs, *shard, target, to, &mut commits).await;
    if pinned.is_ok() {
        source.delete(&mut vec![pin]).await?;
    }
    copied?;
    from.points.hit("checkpoint.savepoint.before-manifest");
    let savepoint = Savepoint {
        id: ids.put_id(),
        name: request.name.clone(),
        job: (*job).clone(),
        lineage,
        shard: *shard,
        epoch,
        taken_at_ms: request.now_ms,
        program: request.program.clone(),
        line,
        delivered: delivered(&commits, &request.delivered),
        commits,
        repeats,
    };
    let bytes =
        encode_as(FORMAT, &savepoint).map_err(|error| Error::bug(format!("a savepoint cannot be written: {error}")))?;
    let manifest = paths.manifest();
    if let Err(error) = target.create_once(&manifest, Bytes::from(bytes)).await {
        // The reply may be lost, or somebody may have taken the name: what stands there says which.
        let there: Option<Savepoint> = target.read(&manifest).await?.and_then(|bytes| decode(&bytes).ok());
        if there.is_none_or(|there| there.id != savepoint.id) {
            return Err(target.explain(error, "create", &manifest));
        }
    }
    from.points.hit("checkpoint.savepoint.after-manifest");
    Ok(savepoint)
}
