//! Whether a checkpoint fits the job and its input, and where the input begins: refused with the names of what changed.
//!
//! It reads nothing from the checkpoint store and takes nothing.

use crate::epochs::fingerprint;
use crate::start::{SharedSource, Starts, with_source};
use aqueduct_checkpoint::CommitBody;
use aqueduct_core::{Error, Host, Result, SourceIdentity, SplitId, SplitStart};
use aqueduct_plan::JobPlan;
use std::collections::BTreeMap;

/// Refuses a checkpoint of another query, by the names of what changed.
pub(crate) fn check_fits(plan: &JobPlan, head: &CommitBody) -> Result<()> {
    let mut changes = Vec::new();
    for (id, stored) in &head.queries {
        if plan.queries.iter().any(|query| &query.id == id) {
            continue;
        }
        match plan.queries.iter().find(|query| query.name == stored.name && query.window.is_some()) {
            None => changes.push(format!("query '{}' is gone", stored.name)),
            Some(query) => {
                let now = fingerprint(query);
                let gone = stored.fingerprint.iter().filter(|part| !now.contains(part)).map(|part| format!("-{part}"));
                let new = now.iter().filter(|part| !stored.fingerprint.contains(part)).map(|part| format!("+{part}"));
                let parts: Vec<String> = gone.chain(new).collect();
                let parts = if parts.is_empty() {
                    "its source, filters or expressions changed".to_owned()
                } else {
                    parts.join(", ")
                };
                changes.push(format!("query '{}' changed: {parts}", stored.name));
            }
        }
    }
    let windowed = plan.queries.iter().filter(|query| query.window.is_some());
    for query in windowed.filter(|query| !head.queries.contains_key(&query.id)) {
        if !head.queries.values().any(|stored| stored.name == query.name) {
            changes.push(format!("query '{}' is new and would miss everything read before", query.name));
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "the checkpoint of epoch {} belongs to another query: {}. Give the changed job another 'pipeline.name' or another \
         'execution.checkpointing.dir' to start anew, or run the old query",
        head.epoch,
        changes.join("; ")
    )))
}

/// What a source says of itself: its splits and what they belong to.
pub(crate) type Found = (Vec<SplitId>, SourceIdentity);

/// Refuses another input than the checkpoint's, unless it may be another one.
pub(crate) fn check_identity(
    plan: &JobPlan,
    found: &[Found],
    head: Option<&CommitBody>,
    other_input: bool,
) -> Result<BTreeMap<String, SourceIdentity>> {
    let mut all = BTreeMap::new();
    for (source, (_, identity)) in plan.sources.iter().zip(found) {
        let table = &source.spec.table;
        let stored = head.and_then(|head| head.source_identity.get(table)).filter(|_| !other_input);
        if let Some(stored) = stored {
            same_input(table, stored, identity)?;
        }
        all.insert(table.clone(), identity.clone());
    }
    Ok(all)
}

/// Refuses an input that is not the one of the checkpoint, though it has its name.
pub(crate) fn same_input(table: &str, stored: &SourceIdentity, found: &SourceIdentity) -> Result<()> {
    for (name, id) in &stored.0 {
        if let Some(now) = found.0.get(name).filter(|now| *now != id) {
            return Err(Error::data(format!(
                "source '{table}': {name} is '{now}', the checkpoint was made with '{id}': this is not the same input (was it \
                 deleted and created again?). Start with another 'pipeline.name' to read it from its beginning; for a copy that holds \
                 the same records at the same offsets, start with --allow-other-input"
            )));
        }
    }
    Ok(())
}

/// Where every split begins: where the checkpoint says, or where its source says.
pub(crate) async fn starts(
    host: &dyn Host,
    plan: &JobPlan,
    sources: &[SharedSource],
    found: &[Found],
    head: Option<&CommitBody>,
) -> Result<Starts> {
    let mut all = Vec::with_capacity(sources.len());
    for ((source, table), (splits, _)) in sources.iter().zip(&plan.sources).zip(found) {
        let table = table.spec.table.clone();
        let stored: BTreeMap<&SplitId, (SplitStart, i64)> = head
            .iter()
            .flat_map(|head| &head.splits)
            .filter(|state| state.source == table)
            .map(|state| {
                let start = SplitStart { split: state.split.clone(), offset: state.next };
                (&state.split, (start, state.watermark.reached().0))
            })
            .collect();
        if let Some(gone) = stored.keys().find(|split| !splits.contains(split)) {
            return Err(Error::data(format!(
                "source '{table}': the checkpoint holds a position in {gone}, which does not exist any more; restore the input, or \
                 start with another 'pipeline.name'"
            )));
        }
        let mut mine = Vec::with_capacity(splits.len());
        for split in splits {
            match stored.get(split) {
                Some(start) => mine.push(start.clone()),
                None => {
                    let (asked, late_arrival) = (split.clone(), head.is_some());
                    let offset = with_source(host, source, move |source| source.start_of(&asked, late_arrival)).await?;
                    mine.push((SplitStart { split: split.clone(), offset }, i64::MIN));
                }
            }
        }
        all.push(mine);
    }
    Ok(all)
}

/// Per query: windows that end up to there have fired.
pub(crate) fn fired(plan: &JobPlan, head: Option<&CommitBody>) -> Vec<i64> {
    let stored = |query: &aqueduct_plan::Query| {
        head.and_then(|head| head.queries.get(&query.id)).map(|state| state.fired_up_to.0)
    };
    plan.queries.iter().map(|query| stored(query).unwrap_or(i64::MIN)).collect()
}
