//! What coordinator and sink tasks share about an owned shard, and [`ShardReader`], the half that only reads.
//!
//! It mints commit permits, and only for epochs whose record is durable. It appends nothing.

use crate::append::read_record;
use crate::blobs;
use crate::fence;
use crate::history::History;
use crate::ids::IdSource;
use crate::paths::ShardPaths;
use crate::protocol::{Backlog, BlobBook, NextSlot, Slot, judge_cursor};
use crate::record::{BlobRef, CommitBody};
use crate::store::Store;
use aqueduct_core::{Claimed, CommitPermit, Epoch, Error, Generation, Result};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Records that are read at once.
pub(crate) const CONCURRENT_READS: usize = 8;

/// Counters since the shard was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Bytes of blobs that were uploaded.
    pub uploaded_bytes: u64,
    /// Blobs that were uploaded.
    pub uploaded_blobs: u64,
    /// Blobs that were there already.
    pub reused_blobs: u64,
    /// Creates whose outcome had to be read back.
    pub put_readbacks: u64,
    /// Blobs of earlier owners that no commit needs: found, and deleted with the next collection.
    pub orphaned_blobs: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) uploaded_bytes: AtomicU64,
    pub(crate) uploaded_blobs: AtomicU64,
    pub(crate) reused_blobs: AtomicU64,
    pub(crate) put_readbacks: AtomicU64,
    pub(crate) orphaned_blobs: AtomicU64,
}

/// Everything about an owned shard.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) paths: ShardPaths,
    pub(crate) claimed: Claimed,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) counters: Counters,
    history: Mutex<History>,
    book: Mutex<BlobBook>,
}

impl Shared {
    pub(crate) fn new(
        store: Store,
        paths: ShardPaths,
        claimed: Claimed,
        ids: Arc<dyn IdSource>,
        history: History,
        book: BlobBook,
    ) -> Self {
        let counters = Counters::default();
        Self { store, paths, claimed, ids, counters, history: Mutex::new(history), book: Mutex::new(book) }
    }

    /// Never held across an await.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never held across an await.
    pub(crate) fn book(&self) -> MutexGuard<'_, BlobBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> LogStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogStats {
            uploaded_bytes: read(&self.counters.uploaded_bytes),
            uploaded_blobs: read(&self.counters.uploaded_blobs),
            reused_blobs: read(&self.counters.reused_blobs),
            put_readbacks: read(&self.counters.put_readbacks),
            orphaned_blobs: read(&self.counters.orphaned_blobs),
        }
    }

    /// Remembers the newer owner and says so.
    pub(crate) fn fenced(&self, by: Option<Generation>) -> Error {
        let mut history = self.history();
        history.fenced = history.fenced.or(Some(by));
        drop(history);
        fence::fenced(&self.claimed, by)
    }

    /// Fails when a newer owner is known already.
    pub(crate) fn fail_if_fenced(&self) -> Result<()> {
        let fenced = self.history().fenced;
        fenced.map_or(Ok(()), |by| Err(self.fenced(by)))
    }
}

/// The reading half of an owned shard, for sink tasks: cheap to clone, usable while the coordinator commits.
#[derive(Debug, Clone)]
pub struct ShardReader {
    pub(crate) shared: Arc<Shared>,
}

impl ShardReader {
    /// Who owns the shard.
    pub fn claimed(&self) -> &Claimed {
        &self.shared.claimed
    }

    /// The newest committed epoch; [`Epoch::ZERO`] before the first one.
    pub fn head(&self) -> Epoch {
        self.shared.history().head()
    }

    /// The contents of a blob, checked against size and hash. Where it is not there because a newer owner has collected it,
    /// this process is fenced.
    pub async fn get_blob(&self, blob: &BlobRef) -> Result<Bytes> {
        match blobs::get(&self.shared.store, &self.shared.paths, blob).await {
            Ok(contents) => Ok(contents),
            Err(error) => Err(self.alarm_or_fenced(error).await),
        }
    }

    /// The right to make an epoch visible.
    ///
    /// # Panics
    /// When the epoch is not committed: that would be a permit to show what a crash can still undo.
    pub fn permit(&self, epoch: Epoch) -> CommitPermit {
        let head = self.head();
        assert!(epoch <= head && epoch > Epoch::ZERO, "no permit for epoch {epoch}: the log's head is epoch {head}");
        CommitPermit::mint(self.shared.claimed.clone(), epoch)
    }

    /// Fails with [`aqueduct_core::ErrorKind::Fenced`] when a newer owner has claimed. One small read.
    pub async fn check_owner(&self) -> Result<()> {
        self.shared.fail_if_fenced()?;
        let Shared { store, paths, claimed, .. } = self.shared.as_ref();
        let tail = self.shared.history().tail();
        match fence::look_after(store, paths, claimed.generation, tail).await? {
            (NextSlot::Fenced { by }, _) => Err(self.shared.fenced(Some(by))),
            (NextSlot::Broken { holder }, slot) => Err(Error::data(format!(
                "checkpoint record '{}' of generation {holder} follows one of generation {}; the folder was changed by hand, \
                 restore it from a copy",
                paths.record(slot),
                claimed.generation
            ))),
            (NextSlot::StillOwner | NextSlot::LookFurther, _) => Ok(()),
        }
    }

    /// What to tell about data that is missing or does not fit: the alarm, or, where a newer owner has gone on and collected,
    /// that this process is fenced. Errors of other kinds are told as they are.
    pub async fn alarm_or_fenced(&self, alarm: Error) -> Error {
        let Shared { store, paths, claimed, .. } = self.shared.as_ref();
        let tail = self.shared.history().tail();
        fence::alarm_or_fenced(store, paths, claimed, tail, alarm).await
    }

    /// Every committed epoch after `cursor`, ascending. A sink that needs what is no longer kept, or that is ahead of the
    /// log, is an error: going on would lose or repeat results.
    pub async fn commits_after(&self, cursor: Epoch) -> Result<Vec<CommitBody>> {
        self.commits_after_limited(cursor, usize::MAX).await
    }

    /// The first `limit` epochs of [`Self::commits_after`], for a sink that is far behind.
    pub async fn commits_after_limited(&self, cursor: Epoch, limit: usize) -> Result<Vec<CommitBody>> {
        match self.kept_after(cursor, limit).await {
            Ok(commits) => Ok(commits),
            Err(error) => Err(self.alarm_or_fenced(error).await),
        }
    }

    async fn kept_after(&self, cursor: Epoch, limit: usize) -> Result<Vec<CommitBody>> {
        let head = self.head();
        // Whether an epoch is gone is seen below, when its record is looked for.
        if judge_cursor(cursor, head, Epoch::ZERO) == Backlog::SinkAhead {
            return Err(Error::data(format!(
                "the sink has applied epoch {cursor}, but the newest checkpoint in '{}' is epoch {head}: the folder is older than \
                 the sink; restore the newer folder, or give the job a new pipeline.name and empty the sink's table",
                self.shared.paths.folder()
            )));
        }
        if cursor == head {
            return Ok(Vec::new());
        }
        self.shared.know_back_to(cursor.next()).await?;
        let last = Epoch(head.0.min(cursor.0.saturating_add(u64::try_from(limit).unwrap_or(u64::MAX))));
        let wanted = self.shared.history().slots(cursor.next(), last);
        let wanted = wanted.ok_or_else(|| self.gap(cursor))?;
        let reads = futures::stream::iter(wanted).map(|(epoch, slot)| self.body(epoch, slot, cursor));
        reads.buffered(CONCURRENT_READS).try_collect().await
    }

    /// Every committed epoch after `cursor` that is still kept, ascending. For a caller that knows by other means whether
    /// what is no longer kept matters to it. A cursor ahead of the log is an error here too.
    pub async fn retained_after(&self, cursor: Epoch) -> Result<Vec<CommitBody>> {
        let head = self.head();
        if cursor >= head {
            return self.commits_after(cursor).await;
        }
        self.shared.know_back_to(cursor.next()).await?;
        let oldest = self.shared.history().oldest().unwrap_or(head.next());
        let first = oldest.max(cursor.next());
        if first > head { Ok(Vec::new()) } else { self.commits_after(Epoch(first.0 - 1)).await }
    }

    async fn body(&self, epoch: Epoch, slot: Slot, cursor: Epoch) -> Result<CommitBody> {
        if let Some(body) = self.shared.history().recent(epoch) {
            return Ok(CommitBody::clone(&body));
        }
        let Some(record) = read_record(&self.shared.store, &self.shared.paths, slot).await? else {
            return Err(self.gap(cursor));
        };
        let found = record.into_commits().into_iter().find(|body| body.epoch == epoch);
        found.ok_or_else(|| {
            let path = self.shared.paths.record(slot);
            Error::data(format!(
                "checkpoint record '{path}' no longer holds epoch {epoch}; the folder was changed by hand"
            ))
        })
    }

    fn gap(&self, cursor: Epoch) -> Error {
        let oldest = self.shared.history().oldest().map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
        Error::data(format!(
            "the sink has applied epoch {cursor} and needs epoch {} next, but the oldest one kept in '{}' is {oldest}: results \
             would be missing; restore the sink to a later state, or give the job a new pipeline.name and begin afresh",
            cursor.next(),
            self.shared.paths.folder()
        ))
    }

    /// Counters since the shard was taken.
    pub fn stats(&self) -> LogStats {
        self.shared.stats()
    }
}
