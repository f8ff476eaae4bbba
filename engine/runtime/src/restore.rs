//! State back from a checkpoint: its files from blobs to a local folder, an opened store, and operators that hold its panes, or
//! what is to be loaded beside the records.
//!
//! How panes get from the store into operators is told elsewhere.

use crate::load::load;
use crate::loading::Load;
use crate::stored::{Stored, merge};
use crate::window::{Panes, PartKey, Slice, WindowOperator};
use aqueduct_checkpoint::{BlobRef, CommitBody, ShardLog};
use aqueduct_core::{Error, FailPoints, Result};
use aqueduct_plan::JobPlan;
use aqueduct_state::{PaneBatch, Place, SliceKey, StateStore, query_hash, twin};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// Files that are fetched side by side; each is some megabytes.
const FETCHES: usize = 8;

/// State for the threads.
pub(crate) struct Restored {
    /// Per thread and query.
    pub(crate) operators: Vec<Vec<Option<WindowOperator>>>,
    /// `None` for a job without windows.
    pub(crate) state: Option<StateStore>,
    /// What to delete at the first checkpoint, because it moved.
    pub(crate) moved: PaneBatch,
    /// Per thread: what it loads beside the records; empty when nothing is.
    pub(crate) loads: Vec<Load>,
}

/// What a restore goes by.
pub(crate) struct Wish<'a> {
    pub(crate) state_dir: &'a Path,
    pub(crate) threads: usize,
    pub(crate) fired_up_to: &'a [i64],
    pub(crate) stored: &'a Stored,
    /// Files of more bytes than this are read beside the records.
    pub(crate) max_bytes: u64,
}

/// Operators with the panes of `head`, or empty ones.
pub(crate) async fn panes(
    plan: &JobPlan,
    log: &ShardLog,
    head: Option<&CommitBody>,
    wish: &Wish<'_>,
    points: &FailPoints,
) -> Result<Restored> {
    let mut operators = empty(plan, wish)?;
    let nothing = |operators, state| Restored { operators, state, moved: PaneBatch::default(), loads: Vec::new() };
    if plan.queries.iter().all(|query| query.window.is_none()) {
        return Ok(nothing(operators, None));
    }
    let folder = wish.state_dir.join("db");
    let files = head.map(|head| head.state_files.as_slice()).unwrap_or_default();
    if files.is_empty() {
        let state = StateStore::create(&folder, merge(plan))?;
        return Ok(nothing(operators, Some(state)));
    }
    let began = Instant::now();
    download(log, head, &folder).await?;
    let fetched = began.elapsed();
    points.hit("runtime.restore.after-download");
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let twins: Vec<_> = (0..wish.threads).map(|thread| wish.state_dir.join(format!("loading-{thread}"))).collect();
    let beside = bytes > wish.max_bytes;
    if beside {
        twins.iter().try_for_each(|folder_of_thread| renewed(folder_of_thread, &folder))?;
    }
    let mut state = StateStore::restore_dir(&folder, merge(plan))?;
    points.hit("runtime.restore.after-open");
    let mut without = wish.stored.slices(plan);
    let loads = if beside { to_load(plan, &state, wish, &without, &mut operators)? } else { Vec::new() };
    without.extend(loads.iter().flatten().map(|(_, slice)| *slice));
    let deletes = load(plan, &state, &without, &mut operators)?;
    points.hit("runtime.restore.after-panes");
    state.let_compact()?;
    tracing::info!(
        files = files.len(),
        bytes,
        fetch_ms = fetched.as_millis() as u64,
        load_ms = (began.elapsed() - fetched).as_millis() as u64,
        moved = deletes.len(),
        beside_the_records = loads.iter().flatten().count(),
        "state restored"
    );
    let loads = if loads.iter().all(Vec::is_empty) { Vec::new() } else { loads };
    let loads = loads.into_iter().zip(twins).map(|(slices, folder)| Load { folder, slices }).collect();
    Ok(Restored { operators, state: Some(state), moved: PaneBatch { deletes, ..PaneBatch::default() }, loads })
}

/// Operators without panes.
fn empty(plan: &JobPlan, wish: &Wish<'_>) -> Result<Vec<Vec<Option<WindowOperator>>>> {
    let mut operators = Vec::with_capacity(wish.threads);
    for _ in 0..wish.threads {
        let make = |(query, fired): (&aqueduct_plan::Query, &i64)| {
            query.window.clone().map(|window| WindowOperator::new(window, *fired)).transpose()
        };
        let mut mine = plan.queries.iter().zip(wish.fired_up_to).map(make).collect::<Result<Vec<_>>>()?;
        for (operator, parts) in mine.iter_mut().zip(&wish.stored.open) {
            operator.iter_mut().for_each(|operator| operator.learn_spilled(parts));
        }
        operators.push(mine);
    }
    Ok(operators)
}

/// Per thread, what of the store can be loaded beside the records: whole slices in which every pane belongs to a thread that there
/// still is. The operators learn which these are.
fn to_load(
    plan: &JobPlan,
    state: &StateStore,
    wish: &Wish<'_>,
    without: &BTreeSet<SliceKey>,
    operators: &mut [Vec<Option<WindowOperator>>],
) -> Result<Vec<Vec<(usize, SliceKey)>>> {
    let mut slices: BTreeMap<SliceKey, Vec<u16>> = BTreeMap::new();
    for (slice, worker) in state.parts()? {
        slices.entry(slice).or_default().push(worker);
    }
    slices.retain(|slice, workers| {
        !without.contains(slice) && workers.iter().all(|worker| usize::from(*worker) < wish.threads)
    });
    let mut loads = vec![Vec::new(); wish.threads];
    for (index, query) in plan.queries.iter().enumerate() {
        let Some(window) = &query.window else { continue };
        let hash = query_hash(&query.id);
        let mut parts: BTreeSet<PartKey> = BTreeSet::new();
        for (slice, workers) in slices.iter().filter(|(slice, _)| slice.query == hash) {
            can_be_read(state, *slice, workers[0], &mut Slice::new(window)?)?;
            parts.insert((slice.slice_start, slice.min_end));
            workers.iter().for_each(|worker| loads[usize::from(*worker)].push((index, *slice)));
        }
        for operator in operators.iter_mut().filter_map(|operators| operators[index].as_mut()) {
            operator.load(parts.clone());
        }
    }
    Ok(loads)
}

/// Reads one pane: what this program cannot read is refused before the first record.
fn can_be_read(state: &StateStore, slice: SliceKey, worker: u16, into: &mut Slice) -> Result<()> {
    let mut one = Panes::default();
    state.page(&mut Place::first(slice, worker), 1, &mut |key, value| {
        one.push(key, value);
        Ok(())
    })?;
    into.restore(&one, false)
}

/// A twin of `folder` in the place of what was there.
fn renewed(place: &Path, folder: &Path) -> Result<()> {
    if place.exists() {
        std::fs::remove_dir_all(place).map_err(|error| unwritable(place, error))?;
    }
    twin(folder, place)
}

async fn download(log: &ShardLog, head: Option<&CommitBody>, folder: &Path) -> Result<()> {
    let local = |error| unwritable(folder, error);
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(local)?;
    }
    std::fs::create_dir_all(folder).map_err(local)?;
    let epoch = head.map_or(0, |head| head.epoch.0);
    let blobs: Vec<BlobRef> = head.iter().flat_map(|head| &head.state_files).cloned().collect();
    let fetches = blobs.into_iter().map(|blob| fetch(log, blob, folder, epoch));
    futures::stream::iter(fetches).buffered(FETCHES).try_collect::<Vec<()>>().await.map(|_| ())
}

async fn fetch(log: &ShardLog, blob: BlobRef, folder: &Path, epoch: u64) -> Result<()> {
    let bytes = log.get_blob(&blob).await;
    let bytes = bytes.map_err(|error| error.context(format!("restoring epoch {epoch}, state file {}", blob.name)))?;
    std::fs::write(folder.join(&blob.name), &bytes).map_err(|error| unwritable(folder, error))
}

fn unwritable(folder: &Path, error: std::io::Error) -> Error {
    Error::retry(format!("the state folder {} cannot be written: {error}", folder.display())).with_source(error)
}
