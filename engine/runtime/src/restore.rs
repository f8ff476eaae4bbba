//! State back from a checkpoint: its files from blobs to a local folder, an opened store, and operators that hold its panes, or
//! what is to be loaded beside the records.
//!
//! How panes get from the store into operators is told elsewhere.

use crate::load::{Moved, Parts, all_at_once, parts};
use crate::loading::Load;
use crate::stored::{Stored, merge};
use crate::window::{Panes, Slice, WindowOperator};
use aqueduct_checkpoint::{BlobRef, CommitBody, ShardLog};
use aqueduct_core::{Error, FailPoints, Result};
use aqueduct_plan::JobPlan;
use aqueduct_state::{StateStore, twin};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeSet;
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
    pub(crate) moved: Moved,
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
    let nothing = |operators, state| Restored { operators, state, moved: Moved::default(), loads: Vec::new() };
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
    let mut parts = parts(plan, &state, &wish.stored.slices(plan), wish.threads)?;
    let beside = beside && parts.threads.iter().any(|parts| !parts.is_empty());
    let mut loads = Vec::new();
    if beside {
        to_load(plan, &state, &parts, &mut operators)?;
        parts.moved.load();
        let threads = std::mem::take(&mut parts.threads).into_iter().zip(twins);
        loads = threads.map(|(parts, folder)| Load { folder, parts }).collect();
    } else {
        all_at_once(&state, parts.threads, &mut operators)?;
    }
    points.hit("runtime.restore.after-panes");
    state.let_compact()?;
    tracing::info!(
        files = files.len(),
        bytes,
        fetch_ms = fetched.as_millis() as u64,
        load_ms = (began.elapsed() - fetched).as_millis() as u64,
        moved_parts = parts.moved.len(),
        beside_the_records = beside,
        "state restored"
    );
    Ok(Restored { operators, state: Some(state), moved: parts.moved, loads })
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

/// The operators learn what is loaded beside the records; what this program cannot read is refused before the first record.
fn to_load(
    plan: &JobPlan,
    state: &StateStore,
    parts: &Parts,
    operators: &mut [Vec<Option<WindowOperator>>],
) -> Result<()> {
    let mut learnt = vec![BTreeSet::new(); plan.queries.len()];
    for part in parts.threads.iter().flatten() {
        if let Some(window) = plan.queries[part.query].window.as_ref().filter(|_| learnt[part.query].insert(part.key()))
        {
            let mut slice = Slice::new(window)?;
            part.clone().read(state, 1, &mut Panes::default(), |one| slice.restore(one, false))?;
        }
    }
    for operators in operators {
        for (operator, parts) in operators.iter_mut().zip(&learnt) {
            operator.iter_mut().for_each(|operator| operator.load(parts.clone()));
        }
    }
    Ok(())
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
