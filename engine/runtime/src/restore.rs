//! State back from a checkpoint: its files from blobs to a local folder, an opened store, and operators that hold its panes.
//!
//! How panes get from the store into operators is told elsewhere.

use crate::load::load;
use crate::stored::{Stored, merge};
use crate::window::WindowOperator;
use aqueduct_checkpoint::{BlobRef, CommitBody, ShardLog};
use aqueduct_core::{Error, FailPoints, Result};
use aqueduct_plan::JobPlan;
use aqueduct_state::{PaneBatch, StateStore};
use futures::{StreamExt, TryStreamExt};
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
}

/// Operators with the panes of `head`, or empty ones.
pub(crate) async fn panes(
    plan: &JobPlan,
    log: &ShardLog,
    head: Option<&CommitBody>,
    state_dir: &Path,
    threads: usize,
    (fired_up_to, stored): (&[i64], &Stored),
    points: &FailPoints,
) -> Result<Restored> {
    let mut operators = Vec::with_capacity(threads);
    for _ in 0..threads {
        let make = |(query, fired): (&aqueduct_plan::Query, &i64)| {
            query.window.clone().map(|window| WindowOperator::new(window, *fired)).transpose()
        };
        let mut mine = plan.queries.iter().zip(fired_up_to).map(make).collect::<Result<Vec<_>>>()?;
        for (operator, parts) in mine.iter_mut().zip(&stored.open) {
            operator.iter_mut().for_each(|operator| operator.learn_spilled(parts));
        }
        operators.push(mine);
    }
    if plan.queries.iter().all(|query| query.window.is_none()) {
        return Ok(Restored { operators, state: None, moved: PaneBatch::default() });
    }
    let folder = state_dir.join("db");
    let files = head.map(|head| head.state_files.as_slice()).unwrap_or_default();
    if files.is_empty() {
        let state = StateStore::create(&folder, merge(plan))?;
        return Ok(Restored { operators, state: Some(state), moved: PaneBatch::default() });
    }
    let began = Instant::now();
    download(log, head, &folder).await?;
    let fetched = began.elapsed();
    points.hit("runtime.restore.after-download");
    let mut state = StateStore::restore_dir(&folder, merge(plan))?;
    points.hit("runtime.restore.after-open");
    let deletes = load(plan, &state, &stored.slices(plan), &mut operators)?;
    points.hit("runtime.restore.after-panes");
    state.let_compact()?;
    tracing::info!(
        files = files.len(),
        bytes = files.iter().map(|file| file.bytes).sum::<u64>(),
        fetch_ms = fetched.as_millis() as u64,
        load_ms = (began.elapsed() - fetched).as_millis() as u64,
        moved = deletes.len(),
        "state restored"
    );
    Ok(Restored { operators, state: Some(state), moved: PaneBatch { deletes, ..PaneBatch::default() } })
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
