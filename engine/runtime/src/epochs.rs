//! Making an epoch durable: panes to RocksDB, files and segments to blobs, the commit record, then the sinks' queues.
//!
//! One epoch at a time. While the store is down the same epoch is tried again: nothing is skipped and nothing is decided
//! twice. When to seal is the coordinator's business.

use crate::barrier::{self, Barrier, Committed};
use crate::delivery::{Delivery, Work};
use crate::exits::Counts;
use crate::host::blocking;
use crate::load::Moved;
use crate::outbox::Segment;
use crate::progress::SourceCounts;
use crate::repeat;
use crate::seal::{Contents, Sealing, StoredRows};
use crate::status::{CheckpointStatus, QueryStatus};
use crate::stored::{Recorded, Stored};
use aqueduct_checkpoint::{BlobRef, CommitBody, Cut as RecordedCut, OutboxSegment, QueryState, ShardLog, SplitState};
use aqueduct_core::{
    Clock, Epoch, Error, ErrorKind, EventTime, FailPoints, Host, Result, SourceIdentity, SplitStart, Watermark,
};
use aqueduct_state::{PaneBatch, PanePuts, StateStore};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The runtime's own part of a commit record: totals since the lineage began, and which epochs each sink has rows in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    /// Per query id.
    pub(crate) counts: BTreeMap<String, Counts>,
    /// Per source table.
    pub(crate) sources: BTreeMap<String, SourceCounts>,
    /// Per query id: windows fired and result rows.
    pub(crate) fired: BTreeMap<String, (u64, u64)>,
    /// Per sink table.
    pub(crate) sinks: BTreeMap<String, SinkMark>,
    /// Parts that are in the state store for want of memory.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) spilled: Recorded,
}

impl Totals {
    /// Read back from a commit.
    pub(crate) fn of(commit: &CommitBody) -> Result<Totals> {
        serde_json::from_value(commit.ledger.clone()).map_err(|error| {
            Error::data(format!("the totals in the commit of epoch {} cannot be read: {error}", commit.epoch))
                .with_source(error)
        })
    }
}

/// In which epochs a sink has rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SinkMark {
    /// The newest epoch with rows for it, this one included; 0 before the first.
    pub(crate) last: u64,
    /// The newest epoch with rows for it before this one.
    pub(crate) before: u64,
}

/// The owner of the log and of the state store.
pub(crate) struct Epochs {
    pub(crate) log: ShardLog,
    /// `None` for a job without windows.
    pub(crate) state: Option<StateStore>,
    pub(crate) sealing: Sealing,
    pub(crate) state_dir: PathBuf,
    pub(crate) deliveries: Vec<Arc<Delivery>>,
    pub(crate) identity: BTreeMap<String, SourceIdentity>,
    pub(crate) totals: Totals,
    /// Per query: windows that end up to here have fired.
    pub(crate) fired_up_to: Vec<i64>,
    /// What is in the state store for want of memory.
    pub(crate) stored: Stored,
    pub(crate) moved: Moved,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) retained: usize,
    pub(crate) collect_every: u64,
    /// Compactions are waited for before each snapshot.
    pub(crate) settled: bool,
    pub(crate) status: CheckpointStatus,
    /// Uploaded files that never change, by name.
    pub(crate) uploaded: HashMap<String, BlobRef>,
    /// Positions of the newest committed epoch.
    pub(crate) offsets: Vec<(String, SplitStart)>,
    pub(crate) points: FailPoints,
}

struct Prepared {
    body: CommitBody,
    segments: Vec<Vec<Segment>>,
    files: Vec<aqueduct_state::StateFile>,
    snapshot: PathBuf,
    totals: Totals,
    queries: Vec<QueryStatus>,
}

impl Epochs {
    /// Seals the cuts as the next epoch and queues its rows for the sinks.
    pub(crate) async fn seal(self: Box<Self>, mut barrier: Barrier) -> Result<(Box<Self>, Committed)> {
        let (begun, asked) = (barrier.begun, barrier.asked);
        let mut pause = barrier.cuts.iter().map(|cut| cut.pause).max().unwrap_or_default();
        let mut rest = barrier.rest.take();
        self.points.hit("runtime.seal.after-cuts");
        // Merging, writing and snapshotting are CPU and disk work: they go to a thread that may block.
        let first = self.at_work("writing panes", move |this| this.write_first(&mut barrier).map(|()| barrier));
        let (mut this, barrier) = first.await?;
        while let Some(panes) = barrier::next(&mut rest).await {
            pause = pause.max(panes.took);
            this = this.at_work("writing panes", move |this| this.write_more(panes.puts)).await?.0;
        }
        let (mut this, prepared) = this.at_work("preparing an epoch", move |this| this.prepare(barrier)).await?;
        let committed = this.store(prepared, begun, pause).await?;
        Ok((this, Committed { asked, ..committed }))
    }

    /// Does work with everything that is here on a thread that may block.
    async fn at_work<T: Send + 'static>(
        self: Box<Self>,
        what: &'static str,
        work: impl FnOnce(&mut Self) -> Result<T> + Send + 'static,
    ) -> Result<(Box<Self>, T)> {
        let host = self.host.clone();
        let mut this = self;
        let worked = blocking(host.as_ref(), what, move || {
            let outcome = work(&mut this);
            (this, outcome)
        });
        let (this, outcome) = worked.await?;
        Ok((this, outcome?))
    }

    /// Uploads and commits what was prepared.
    async fn store(&mut self, mut prepared: Prepared, begun: Duration, pause: Duration) -> Result<Committed> {
        let before = self.log.stats();
        self.upload(&mut prepared).await?;
        let body = prepared.body;
        let epoch = body.epoch;
        let (outbox, sealed_at_ms) = (body.outbox.clone(), body.sealed_at_ms);
        self.status.last_total_bytes = body.blobs().map(|blob| blob.bytes).sum();
        self.points.hit("runtime.seal.before-commit");
        loop {
            match self.log.commit(body.clone()).await {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::Retry => {
                    wait_for_store(self.host.as_ref(), &error, epoch).await
                }
                Err(error) => return Err(error),
            }
        }
        self.points.hit("runtime.seal.after-commit");
        self.totals = prepared.totals;
        for (fired_up_to, query) in self.fired_up_to.iter_mut().zip(&self.sealing.plan.queries) {
            if let Some(state) = body.queries.get(&query.id) {
                *fired_up_to = state.fired_up_to.0;
            }
        }
        let position =
            |state: &SplitState| (state.source.clone(), SplitStart { split: state.split.clone(), offset: state.next });
        self.offsets = body.splits.iter().map(position).collect();
        self.queue(epoch, sealed_at_ms, &outbox, prepared.segments);
        self.points.hit("runtime.seal.after-queue");
        let after = self.log.stats();
        self.status.epoch = epoch.0;
        self.status.committed_at_ms = Some(self.clock.wall_ms());
        self.status.last_duration_ms = Some(self.clock.steady().saturating_sub(begun).as_millis() as u64);
        self.status.last_pause_us = Some(pause.as_micros() as u64);
        self.status.pauses.add(pause);
        self.status.last_uploaded_bytes = after.uploaded_bytes - before.uploaded_bytes;
        self.status.run_commits += 1;
        self.status.put_readbacks = after.put_readbacks;
        self.status.orphaned_blobs = after.orphaned_blobs;
        if epoch.0.is_multiple_of(self.collect_every) {
            self.collect().await?;
        }
        Ok(Committed {
            epoch,
            asked: 0,
            checkpoint: self.status.clone(),
            queries: prepared.queries,
            spilled: self.stored.open.clone(),
            unfired: self.stored.is_firing(),
        })
    }

    /// Table and position of every split in the newest committed epoch; empty before the first.
    pub(crate) fn committed_offsets(&self) -> &[(String, SplitStart)] {
        &self.offsets
    }

    /// Everything that needs no store: contents, state files, segments, the record without blob references.
    fn prepare(&mut self, barrier: Barrier) -> Result<Prepared> {
        let epoch = self.log.head().next();
        let sealed_at_ms = barrier.repeat.as_ref().map_or_else(|| self.clock.wall_ms(), |cut| cut.sealed_at_ms);
        let plan = self.sealing.plan.clone();
        let splits = barrier.cuts.iter().flat_map(|cut| &cut.splits).map(|split| split_state(&plan, split)).collect();
        let sizes: Vec<(u64, u64)> = (0..plan.queries.len())
            .map(|query| barrier.cuts.iter().map(|cut| cut.sizes[query]).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)))
            .collect();
        let shard = self.log.claimed().shard.0;
        let stored = self.fire_stored(&barrier)?;
        let mut last_ends: Vec<Option<i64>> = vec![None; plan.queries.len()];
        for (query, end) in barrier.stored_ends() {
            last_ends[query] = last_ends[query].max(Some(end));
        }
        let mut contents = self.sealing.contents(barrier.cuts, stored, (shard, epoch.0, sealed_at_ms))?;
        let snapshot = self.state_dir.join(format!("snapshot-{epoch}"));
        let files = self.snapshot(&snapshot)?;
        let segments = std::mem::take(&mut contents.segments);
        if let Some(cut) = &barrier.repeat {
            self.check_repeat(cut, epoch, &segments)?;
        }
        let totals = self.next_totals(&contents, &segments, epoch, barrier.sources);
        let mut queries = BTreeMap::new();
        let mut status = Vec::new();
        for (index, query) in plan.queries.iter().enumerate() {
            let (windows, rows) = totals.fired.get(&query.id).copied().unwrap_or_default();
            let (panes, state_bytes) = sizes[index];
            status.push(QueryStatus {
                name: query.name.clone(),
                stored_windows: self.stored.windows(index),
                panes,
                fired_windows: windows,
                result_rows: rows,
                state_bytes,
            });
            if query.window.is_some() {
                let last_end = contents.fired[index].last_end.max(last_ends[index]);
                let fired_up_to = self.next_fired(index, &barrier.fire_up_to, last_end);
                let state = QueryState {
                    name: query.name.clone(),
                    fingerprint: fingerprint(query),
                    fired_up_to: EventTime(fired_up_to),
                };
                queries.insert(query.id.clone(), state);
            }
        }
        let body = CommitBody {
            epoch,
            sealed_at_ms,
            splits,
            source_identity: self.identity.clone(),
            queries,
            ledger: serde_json::to_value(&totals)
                .map_err(|error| Error::bug(format!("totals cannot be written: {error}")))?,
            state_files: Vec::new(),
            outbox: Vec::new(),
            finished: barrier.finished && !self.stored.is_firing(),
        };
        Ok(Prepared { body, segments, files, snapshot, totals, queries: status })
    }

    /// At the end of bounded input everything fires; what is remembered is what did fire, so that a later run over a
    /// longer input does not take its new rows for late.
    fn next_fired(&self, query: usize, fire_up_to: &[i64], last_end: Option<i64>) -> i64 {
        let aqueduct_plan::QueryInput::Source(source) = self.sealing.plan.queries[query].input else { return i64::MIN };
        let asked = fire_up_to[source];
        let fired = if asked == i64::MAX { last_end.map_or(i64::MIN, |end| end - 1) } else { asked };
        self.fired_up_to[query].max(fired)
    }

    fn check_repeat(&self, cut: &RecordedCut, epoch: Epoch, segments: &[Vec<Segment>]) -> Result<()> {
        if cut.epoch != epoch {
            return Err(Error::bug(format!("epoch {} was to be cut again and epoch {epoch} is next", cut.epoch)));
        }
        let tables = self.sealing.plan.sinks.iter().map(|sink| sink.spec.table.clone());
        let rows = segments.iter().map(|segments| segments.iter().map(|segment| segment.rows).sum());
        repeat::compare(&self.sealing.plan, cut, &tables.zip(rows).collect())
    }

    /// What the cuts themselves hold: what is gone, and the first of the changed panes.
    fn write_first(&mut self, barrier: &mut Barrier) -> Result<()> {
        let mut panes = self.sealing.panes(&mut barrier.cuts);
        let Some(state) = &mut self.state else { return Ok(()) };
        panes.delete_parts = self.moved.due(barrier.loaded);
        self.status.run_changed_bytes += panes.puts.bytes();
        self.points.hit("runtime.seal.before-write");
        state.write(panes)
    }

    /// The panes that the threads wrote down afterwards.
    fn write_more(&mut self, puts: PanePuts) -> Result<()> {
        let state = self.state.as_mut().ok_or_else(|| Error::bug("a job without windows has panes"))?;
        self.status.run_changed_bytes += puts.bytes();
        state.write(PaneBatch { puts, ..PaneBatch::default() })
    }

    /// Notes what the threads have in the store now, and takes what fires out of it, as much as an epoch may hold.
    fn fire_stored(&mut self, barrier: &Barrier) -> Result<Vec<Vec<StoredRows>>> {
        for cut in &barrier.cuts {
            for (open, spilled) in self.stored.open.iter_mut().zip(&cut.spilled) {
                open.extend(spilled);
            }
        }
        for cut in &barrier.cuts {
            for (query, windows) in cut.stored.iter().enumerate() {
                self.stored.fire(query, windows);
            }
        }
        let Some(state) = &mut self.state else { return Ok(Vec::new()) };
        self.stored.take(&self.sealing.plan, state)
    }

    /// Links the state files that the epoch consists of.
    fn snapshot(&mut self, folder: &Path) -> Result<Vec<aqueduct_state::StateFile>> {
        let Some(state) = &mut self.state else { return Ok(Vec::new()) };
        self.points.hit("runtime.seal.after-write");
        if self.settled {
            state.settle()?;
        }
        let files = state.snapshot(folder)?;
        self.points.hit("runtime.seal.after-snapshot");
        Ok(files)
    }

    fn next_totals(
        &self,
        contents: &Contents,
        segments: &[Vec<Segment>],
        epoch: Epoch,
        sources: BTreeMap<String, SourceCounts>,
    ) -> Totals {
        let mut totals = self.totals.clone();
        totals.sources = sources;
        totals.spilled = self.stored.record(&self.sealing.plan);
        for (index, query) in self.sealing.plan.queries.iter().enumerate() {
            totals.counts.entry(query.id.clone()).or_default().add(&contents.counts[index]);
            let fired = totals.fired.entry(query.id.clone()).or_default();
            fired.0 += contents.fired[index].windows;
            fired.1 += contents.fired[index].rows;
        }
        for (index, sink) in self.sealing.plan.sinks.iter().enumerate() {
            let mark = totals.sinks.entry(sink.spec.table.clone()).or_default();
            mark.before = mark.last;
            if !segments[index].is_empty() {
                mark.last = epoch.0;
            }
        }
        totals
    }

    async fn upload(&mut self, prepared: &mut Prepared) -> Result<()> {
        let epoch = prepared.body.epoch;
        for file in &prepared.files {
            if let Some(known) = self.uploaded.get(&file.name).filter(|_| file.immutable) {
                prepared.body.state_files.push(known.clone());
                continue;
            }
            let bytes = std::fs::read(&file.path).map_err(|error| {
                Error::retry(format!("the state file {} cannot be read: {error}", file.path.display()))
                    .with_source(error)
            })?;
            self.status.run_state_bytes += bytes.len() as u64;
            let blob = self.put(&file.name, Bytes::from(bytes), epoch).await?;
            if file.immutable {
                self.uploaded.insert(file.name.clone(), blob.clone());
            }
            prepared.body.state_files.push(blob);
        }
        let live: std::collections::HashSet<&String> = prepared.files.iter().map(|file| &file.name).collect();
        self.uploaded.retain(|name, _| live.contains(name));
        for (sink, segments) in self.sealing.plan.clone().sinks.iter().zip(&prepared.segments) {
            for (sequence, segment) in segments.iter().enumerate() {
                let name = format!("{}-{epoch}-{sequence}.arrows", sink.spec.table);
                let blob = self.put(&name, segment.bytes.clone(), epoch).await?;
                let sequence = sequence as u32;
                prepared.body.outbox.push(OutboxSegment {
                    sink: sink.spec.table.clone(),
                    rows: segment.rows,
                    blob,
                    sequence,
                });
            }
        }
        if prepared.snapshot.exists() {
            // Only hard links: the store keeps its own.
            let _ = std::fs::remove_dir_all(&prepared.snapshot);
        }
        Ok(())
    }

    async fn put(&self, name: &str, bytes: Bytes, epoch: Epoch) -> Result<BlobRef> {
        loop {
            match self.log.put_blob(name, bytes.clone()).await {
                Err(error) if error.kind() == ErrorKind::Retry => {
                    wait_for_store(self.host.as_ref(), &error, epoch).await
                }
                other => return other,
            }
        }
    }

    fn queue(&self, epoch: Epoch, sealed_at_ms: i64, outbox: &[OutboxSegment], segments: Vec<Vec<Segment>>) {
        for ((sink, delivery), cached) in self.sealing.plan.sinks.iter().zip(&self.deliveries).zip(segments) {
            let refs: Vec<OutboxSegment> =
                outbox.iter().filter(|segment| segment.sink == sink.spec.table).cloned().collect();
            if !refs.is_empty() {
                let cached = Some(cached.into_iter().map(|segment| segment.bytes).collect());
                delivery.push(Work { epoch, sealed_at_ms, segments: refs, cached });
            }
        }
    }

    async fn collect(&mut self) -> Result<()> {
        let head = self.log.head();
        let needed = self.deliveries.iter().map(|delivery| delivery.done_up_to(head)).min().unwrap_or(head);
        let pinned = match self.log.pinned(self.clock.wall_ms()).await {
            Ok(pinned) => pinned,
            Err(error) => {
                tracing::warn!(error = %error, "whether a savepoint is being copied is not known; deleting nothing now");
                return Ok(());
            }
        };
        let needed = pinned.map_or(needed, |pinned| needed.min(Epoch(pinned.0.saturating_sub(1))));
        self.points.hit("runtime.collect.before");
        match self.log.collect(needed, self.retained).await {
            Ok(collected) => {
                self.points.hit("runtime.collect.after");
                tracing::debug!(?collected, "old checkpoints deleted");
                Ok(())
            }
            // Garbage that stays is not worth a stop; a newer owner is.
            Err(error) if error.kind() == ErrorKind::Fenced => Err(error),
            Err(error) => {
                tracing::warn!(error = %error, "old checkpoints could not be deleted; trying again later");
                Ok(())
            }
        }
    }
}

async fn wait_for_store(host: &dyn Host, error: &Error, epoch: Epoch) {
    tracing::warn!(%epoch, error = %error, "the checkpoint cannot be stored; trying again");
    host.sleep(Duration::from_secs(1)).await;
}

fn split_state(plan: &aqueduct_plan::JobPlan, split: &crate::progress::SplitProgress) -> SplitState {
    SplitState {
        source: plan.sources[split.source].spec.table.clone(),
        split: split.split.clone(),
        next: split.next,
        // What was reached, also by a split that has ended: a later run may find it longer.
        watermark: Watermark::Active(EventTime(split.reached)),
    }
}

/// What the state of a query means, for people: compared at a restore.
pub(crate) fn fingerprint(query: &aqueduct_plan::Query) -> Vec<String> {
    let Some(window) = &query.window else { return Vec::new() };
    let mut parts = vec![format!("window {:?}", window.kind)];
    parts.extend(window.key_text.iter().map(|key| format!("key {key}")));
    parts.extend(
        window.aggregates.iter().map(|aggregate| format!("aggregate {} over {}", aggregate.text, aggregate.input_type)),
    );
    parts
}
