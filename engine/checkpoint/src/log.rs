//! [`ShardLog`]: the owner's hands on a shard: commit epochs, put blobs, collect garbage.
//!
//! It asks `protocol` what every answer of the store means, and appends nothing after it was fenced.

use crate::append::append;
use crate::begin::Place;
use crate::blobs;
use crate::collect::{Collected, Collector};
use crate::history::History;
use crate::host::TokioHost;
use crate::ids::IdSource;
use crate::own::{Owned, Taking, own};
use crate::paths::pinned_epoch;
use crate::protocol::{BlobBook, Judgement};
use crate::reader::{LogStats, ShardReader, Shared};
use crate::record::{BlobRef, CommitBody, Kind, Origin, Record};
use crate::store::{Patience, Store};
use aqueduct_core::{Claimed, CommitPermit, Epoch, Error, FailPoints, Host, JobName, Result, ShardId};
use bytes::Bytes;
use object_store::{ObjectStore, path::Path};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long a pin keeps the collector away.
const PIN_MS: i64 = 3_600_000;

/// An owned shard. One value per process and shard; sink tasks get a [`ShardReader`].
#[derive(Debug)]
pub struct ShardLog {
    reader: ShardReader,
    /// A commit whose outcome is unknown: the same bytes go to the same slot until it is known.
    pending: Option<Pending>,
    collector: Collector,
}

/// A shard just taken.
#[derive(Debug)]
pub struct Taken {
    /// The hands on it.
    pub log: ShardLog,
    /// The newest commit.
    pub head: Option<CommitBody>,
    /// What the lineage began with, when it was cut from another one.
    pub origin: Option<Origin>,
    /// What cannot be read after `head`, in words. Unless it is empty nothing may be committed in this lineage.
    pub damage: Vec<String>,
}

#[derive(Debug)]
struct Pending {
    record: Record,
    bytes: Bytes,
    /// Calls that began to append it; one that was dropped may have landed.
    calls: u32,
}

impl ShardLog {
    /// Takes the shard: finds the newest lineage (or begins the first), appends a claim, and reads the newest commit once the
    /// claim is known to be ours. An older owner is fenced from here on.
    pub async fn own(
        store: Arc<dyn ObjectStore>,
        root: &Path,
        job: &JobName,
        shard: ShardId,
        ids: Arc<dyn IdSource>,
    ) -> Result<(ShardLog, Option<CommitBody>)> {
        Self::own_with(store, root, job, shard, ids, Patience::default(), FailPoints::default()).await
    }

    /// As [`Self::own`], with other patience, and with fail points that are passed from the claim on.
    pub async fn own_with(
        store: Arc<dyn ObjectStore>,
        root: &Path,
        job: &JobName,
        shard: ShardId,
        ids: Arc<dyn IdSource>,
        patience: Patience,
        points: FailPoints,
    ) -> Result<(ShardLog, Option<CommitBody>)> {
        Self::own_on(Arc::new(TokioHost::default()), store, root, job, shard, ids, (patience, points)).await
    }

    /// As [`Self::own_with`], on another host.
    pub async fn own_on(
        host: Arc<dyn Host>,
        store: Arc<dyn ObjectStore>,
        root: &Path,
        job: &JobName,
        shard: ShardId,
        ids: Arc<dyn IdSource>,
        (patience, points): (Patience, FailPoints),
    ) -> Result<(ShardLog, Option<CommitBody>)> {
        let taking = Taking { patience, ..Taking::default() };
        let place = Place { store, root: root.clone(), host, points };
        let Taken { log, head, .. } = Self::take(&place, job, shard, ids, &taking).await?;
        Ok((log, head))
    }

    /// As [`Self::own`], with everything that can be said and asked.
    pub async fn take(
        place: &Place,
        job: &JobName,
        shard: ShardId,
        ids: Arc<dyn IdSource>,
        taking: &Taking,
    ) -> Result<Taken> {
        let store =
            Store::on(place.store.clone(), taking.patience, place.host.clone()).with_points(place.points.clone());
        let Owned { claimed, paths, slot, boundary, newest, origin, damage, readbacks } =
            own(&store, &place.root, job, shard, ids.as_ref(), taking).await?;
        tracing::info!(folder = %paths.folder(), generation = %claimed.generation, "shard taken");
        let history = History::new(slot, boundary, newest.as_ref().map(|(slot, commits)| (*slot, commits.as_slice())));
        let head = newest.and_then(|(_, commits)| commits.into_iter().next_back());
        let blobs = head.iter().flat_map(CommitBody::blobs);
        let book = BlobBook::new(blobs.map(|blob| (blob.sha256.as_str(), blob.bytes, blob.object.as_str())));
        let shared = Shared::new(store, paths, claimed, ids, history, book);
        shared.counters.put_readbacks.fetch_add(readbacks, Ordering::Relaxed);
        let reader = ShardReader { shared: Arc::new(shared) };
        let log = ShardLog { reader, pending: None, collector: Collector::default() };
        Ok(Taken { log, head, origin: origin.map(|origin| *origin), damage })
    }

    /// The half for sink tasks.
    pub fn reader(&self) -> ShardReader {
        self.reader.clone()
    }

    /// Who owns the shard.
    pub fn claimed(&self) -> &Claimed {
        self.reader.claimed()
    }

    /// The newest committed epoch; [`Epoch::ZERO`] before the first one.
    pub fn head(&self) -> Epoch {
        self.reader.head()
    }

    /// Puts contents under their hash and keeps them for the coming commit. Contents that are there already cost nothing.
    pub async fn put_blob(&self, name: &str, bytes: Bytes) -> Result<BlobRef> {
        self.shared().fail_if_fenced()?;
        blobs::put(self.shared(), name, bytes).await
    }

    /// As [`ShardReader::get_blob`].
    pub async fn get_blob(&self, blob: &BlobRef) -> Result<Bytes> {
        self.reader.get_blob(blob).await
    }

    /// Makes an epoch durable. `body.epoch` is the one after [`Self::head`], and its blobs were put by this value or stand in
    /// the newest commit.
    ///
    /// [`aqueduct_core::ErrorKind::Fenced`]: a newer owner holds the slot. [`aqueduct_core::ErrorKind::Retry`]: the store
    /// stayed unreachable and the outcome is unknown; call again with the same body, also after this call was dropped.
    pub async fn commit(&mut self, body: CommitBody) -> Result<()> {
        self.shared().fail_if_fenced()?;
        match self.pending.as_ref().map(|pending| &pending.record.kind) {
            None => self.pending = Some(self.prepare(body)?),
            Some(Kind::Commit { body: pending }) if **pending == body => {}
            Some(_) => {
                return Err(Error::bug(format!(
                    "epoch {} was to be committed with other contents while its first commit has an unknown outcome",
                    body.epoch
                )));
            }
        }
        let Some(pending) = &mut self.pending else { return Err(Error::bug("a commit vanished")) };
        let called_before = pending.calls;
        pending.calls += 1;
        let shared: &Shared = &self.reader.shared;
        let appended = append(&shared.store, &shared.paths, &pending.record, &pending.bytes, called_before).await?;
        shared.counters.put_readbacks.fetch_add(appended.readbacks, Ordering::Relaxed);
        match appended.judgement {
            Judgement::Won => {
                shared.store.points.hit("checkpoint.commit.verified");
                self.won()
            }
            Judgement::Fenced { by } => Err(shared.fenced(Some(by))),
            Judgement::BehindBoundary => Err(shared.fenced(None)),
            Judgement::Lost { holder } => Err(Error::data(format!(
                "checkpoint record '{}' was written by generation {holder}, though generation {} owns the shard; the folder was \
                 changed by hand, restore it from a copy",
                shared.paths.record(pending.record.slot),
                shared.claimed.generation
            ))),
            Judgement::RetrySameSlot => Err(Error::bug("an append ended without an outcome")),
        }
    }

    fn prepare(&self, body: CommitBody) -> Result<Pending> {
        let shared = self.shared();
        let (tail, head) = {
            let history = shared.history();
            (history.tail(), history.head())
        };
        if body.epoch != head.next() {
            return Err(Error::bug(format!("epoch {} cannot follow epoch {head} in the log", body.epoch)));
        }
        let unknown = {
            let (history, book) = (shared.history(), shared.book());
            let there = |blob: &&BlobRef| !book.pinned().contains(&blob.object) && !history.refers_to(&blob.object);
            body.blobs().find(there).map(|blob| (blob.name.clone(), blob.object.clone()))
        };
        if let Some((name, object)) = unknown {
            return Err(Error::bug(format!(
                "epoch {} refers to '{name}' ({object}), which was neither put for it nor stands in a kept commit",
                body.epoch
            )));
        }
        let record = Record {
            slot: tail.next(),
            put_id: shared.ids.put_id(),
            generation: shared.claimed.generation,
            lineage: shared.claimed.lineage,
            shard: shared.claimed.shard,
            kind: Kind::Commit { body: Box::new(body) },
        };
        let bytes = record.encode().map_err(|error| Error::bug(format!("a commit cannot be encoded: {error}")))?;
        Ok(Pending { record, bytes: Bytes::from(bytes), calls: 0 })
    }

    fn won(&mut self) -> Result<()> {
        match self.pending.take().map(|pending| pending.record) {
            Some(Record { slot, kind: Kind::Commit { body }, .. }) => {
                self.shared().book().committed(body.blobs().map(|blob| blob.object.as_str()));
                self.shared().history().committed(slot, *body);
                Ok(())
            }
            _ => Err(Error::bug("a commit vanished")),
        }
    }

    /// As [`ShardReader::check_owner`].
    pub async fn check_owner(&self) -> Result<()> {
        self.reader.check_owner().await
    }

    /// As [`ShardReader::commits_after`].
    pub async fn commits_after(&self, cursor: Epoch) -> Result<Vec<CommitBody>> {
        self.reader.commits_after(cursor).await
    }

    /// As [`ShardReader::permit`].
    ///
    /// # Panics
    /// When the epoch is not committed.
    pub fn permit(&self, epoch: Epoch) -> CommitPermit {
        self.reader.permit(epoch)
    }

    /// Deletes what nobody needs: commits up to `keep_after` (the least cursor of all sinks), but never one of the newest
    /// `retained`, and the blobs that only they needed. Moves the boundary first. An error leaves garbage, never a hole: the
    /// next call goes on.
    pub async fn collect(&mut self, keep_after: Epoch, retained: usize) -> Result<Collected> {
        if self.pending.is_some() {
            // The unknown commit may be durable; what it needs is not known to be kept.
            return Ok(Collected::default());
        }
        self.collector.collect(&self.reader, keep_after, retained).await
    }

    /// The oldest epoch of which a savepoint is being copied. A pin that is older than an hour counts no more: whoever made it
    /// has died, or begins again when its files vanish.
    pub async fn pinned(&self, now_ms: i64) -> Result<Option<Epoch>> {
        let shared = self.shared();
        let listed = shared.store.list(&shared.paths.pins(), None).await?;
        let (live, dead): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|meta| now_ms - meta.last_modified.timestamp_millis() < PIN_MS);
        shared.store.delete(&mut dead.into_iter().map(|meta| meta.location).collect()).await?;
        Ok(live.iter().filter_map(|meta| pinned_epoch(&meta.location)).min())
    }

    /// Creates whose outcome had to be read back.
    pub fn put_readbacks(&self) -> u64 {
        self.stats().put_readbacks
    }

    /// Counters since the shard was taken.
    pub fn stats(&self) -> LogStats {
        self.reader.stats()
    }

    fn shared(&self) -> &Shared {
        &self.reader.shared
    }
}

#[cfg(test)]
mod tests;
