//! Panes back from a checkpoint: state files from blobs to a local folder, their panes into the threads' operators.
//!
//! The number of threads may differ from the one that wrote the panes: each stored pane goes to thread `worker mod
//! threads`, where partials of one key merge. Panes that moved are written again under their new place.

use crate::window::WindowOperator;
use aqueduct_checkpoint::{CommitBody, ShardLog};
use aqueduct_core::{Error, FailPoints, Result};
use aqueduct_plan::JobPlan;
use aqueduct_state::{PaneBatch, StateStore, query_hash};
use std::collections::HashMap;
use std::path::Path;

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
    fired_up_to: &[i64],
    points: &FailPoints,
) -> Result<Restored> {
    let mut operators = Vec::with_capacity(threads);
    for _ in 0..threads {
        let make = |(query, fired): (&aqueduct_plan::Query, &i64)| {
            query.window.clone().map(|window| WindowOperator::new(window, *fired)).transpose()
        };
        operators.push(plan.queries.iter().zip(fired_up_to).map(make).collect::<Result<Vec<_>>>()?);
    }
    if plan.queries.iter().all(|query| query.window.is_none()) {
        return Ok(Restored { operators, state: None, moved: PaneBatch::default() });
    }
    let folder = state_dir.join("db");
    let files = head.map(|head| head.state_files.as_slice()).unwrap_or_default();
    if files.is_empty() {
        let state = StateStore::create(&folder)?;
        return Ok(Restored { operators, state: Some(state), moved: PaneBatch::default() });
    }
    download(log, head, &folder).await?;
    points.hit("runtime.restore.after-download");
    let state = StateStore::restore_dir(&folder)?;
    points.hit("runtime.restore.after-open");
    let mut moved = PaneBatch::default();
    let queries: HashMap<u64, usize> =
        plan.queries.iter().enumerate().map(|(index, query)| (query_hash(&query.id), index)).collect();
    state.scan(&mut |pane, value| {
        let query = queries.get(&pane.query).ok_or_else(|| {
            Error::data("the state files hold panes of a query that the commit record does not name; restore an older checkpoint")
        })?;
        let worker = usize::from(pane.worker);
        let thread = worker % threads;
        let operator = operators[thread][*query].as_mut();
        let operator = operator.ok_or_else(|| Error::data("the state files hold panes of a query without windows"))?;
        operator.restore((pane.slice_start, pane.min_end), &pane.key, value, worker != thread)?;
        if worker != thread {
            moved.deletes.push(pane.clone());
        }
        Ok(())
    })?;
    points.hit("runtime.restore.after-panes");
    Ok(Restored { operators, state: Some(state), moved })
}

async fn download(log: &ShardLog, head: Option<&CommitBody>, folder: &Path) -> Result<()> {
    let local = |error: std::io::Error| {
        Error::retry(format!("the state folder {} cannot be written: {error}", folder.display())).with_source(error)
    };
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(local)?;
    }
    std::fs::create_dir_all(folder).map_err(local)?;
    for blob in head.iter().flat_map(|head| &head.state_files) {
        let bytes = log.get_blob(blob).await.map_err(|error| {
            let epoch = head.map_or(0, |head| head.epoch.0);
            error.context(format!("restoring epoch {epoch}, state file {}", blob.name))
        })?;
        std::fs::write(folder.join(&blob.name), &bytes).map_err(local)?;
    }
    Ok(())
}
