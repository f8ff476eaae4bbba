//! `aqueduct state verify`: reads every file of every kept checkpoint, or of a savepoint, and says what can be restored.

use crate::cli::StateArgs;
use crate::human::{Align, bytes, count, table};
use crate::state_cmd::{Place as Folder, text};
use crate::{exit, run};
use aqueduct_checkpoint::{CommitBody, Kept, Place, broken, kept, savepoint as savepoints};
use aqueduct_core::json::format_timestamp_ms;
use aqueduct_core::{Epoch, Error, Lineage, Result};
use aqueduct_runtime::SHARD;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What was found out about a lineage.
#[derive(Debug, Serialize)]
struct Report {
    job: String,
    lineage: u32,
    /// The newest epoch that a start could go on from, whatever the sinks already have.
    restorable: Option<u64>,
    epochs: Vec<EpochReport>,
    /// Records that cannot be read, in words.
    damaged_records: Vec<String>,
    /// Files that are missing or not what they were, in words; each once.
    damaged_files: Vec<String>,
}

/// A kept checkpoint.
#[derive(Debug, Serialize)]
struct EpochReport {
    epoch: u64,
    sealed_at_ms: i64,
    files: u64,
    bytes: u64,
    /// Of its files, those that cannot be used.
    damaged: u64,
    /// Of these, files of results: they are read only where a sink lacks the epoch.
    damaged_results: u64,
    /// False for an older epoch that a lineage began with: only its results are kept.
    has_state: bool,
}

/// Every kept checkpoint of the newest lineage, or of the one that is named. Fails when the newest cannot be restored.
pub(crate) async fn all(args: &StateArgs, folder: &Folder) -> Result<()> {
    let job = folder.job(args).await?;
    let place = Place::new(folder.store.clone(), folder.root.clone());
    let found = kept(&place, &job, SHARD, args.lineage.map(Lineage)).await?;
    let found = found.ok_or_else(|| Error::config(format!("job '{job}' has no checkpoint in {}", folder.url)))?;
    let broken = broken(&place, &job, SHARD, found.lineage, &found.commits).await?;
    let report = report(job.as_str(), &found, &broken);
    exit::say(&text(args, &report, || report_text(&report))?);
    judge(&report, found.commits.last().map(|body| body.epoch))
}

fn report(job: &str, found: &Kept, broken: &BTreeMap<String, String>) -> Report {
    let epochs: Vec<EpochReport> = found
        .commits
        .iter()
        .map(|body| EpochReport {
            epoch: body.epoch.0,
            sealed_at_ms: body.sealed_at_ms,
            files: body.blobs().count() as u64,
            bytes: body.blobs().map(|blob| blob.bytes).sum(),
            damaged: body.blobs().filter(|blob| broken.contains_key(&blob.object)).count() as u64,
            damaged_results: body.outbox.iter().filter(|part| broken.contains_key(&part.blob.object)).count() as u64,
            has_state: found.has_state(body.epoch),
        })
        .collect();
    let whole =
        |body: &&CommitBody| found.has_state(body.epoch) && body.blobs().all(|blob| !broken.contains_key(&blob.object));
    Report {
        job: job.to_owned(),
        lineage: found.lineage.0,
        restorable: found.commits.iter().rev().find(whole).map(|body| body.epoch.0),
        epochs,
        damaged_records: found.damaged.clone(),
        damaged_files: broken.values().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
    }
}

fn report_text(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report
        .epochs
        .iter()
        .rev()
        .map(|epoch| {
            let state = match (epoch.damaged, epoch.has_state) {
                (0, true) => "whole".to_owned(),
                (0, false) => "results only".to_owned(),
                (damaged, true) if damaged == epoch.damaged_results => format!("RESULTS DAMAGED: {damaged} files"),
                (damaged, _) => format!("DAMAGED: {damaged} files"),
            };
            vec![
                epoch.epoch.to_string(),
                format_timestamp_ms(epoch.sealed_at_ms, true),
                count(epoch.files),
                bytes(epoch.bytes),
                state,
            ]
        })
        .collect();
    let head = [
        ("epoch", Align::Right),
        ("sealed", Align::Left),
        ("files", Align::Right),
        ("size", Align::Right),
        ("", Align::Left),
    ];
    let mut out = format!("{}  lineage {}\n{}", report.job, report.lineage, table(&head, &rows));
    for words in report.damaged_records.iter().chain(&report.damaged_files) {
        out.push_str(&format!("  damaged: {words}\n"));
    }
    match report.restorable {
        Some(epoch) => out.push_str(&format!("  restorable: epoch {epoch}\n")),
        None => out.push_str("  restorable: none\n"),
    }
    out
}

fn judge(report: &Report, newest: Option<Epoch>) -> Result<()> {
    let Report { job, lineage, restorable, damaged_records, .. } = report;
    let readable = report.epochs.last().filter(|_| damaged_records.is_empty());
    let newest_is_whole = readable.is_some_and(|epoch| epoch.damaged == 0);
    let only_results = readable.is_some_and(|epoch| epoch.has_state && epoch.damaged == epoch.damaged_results);
    match (restorable, newest) {
        _ if newest_is_whole => Ok(()),
        (_, Some(epoch)) if only_results => Err(Error::data(format!(
            "the results of epoch {epoch} of job '{job}' are damaged (lineage {lineage}), its state is whole: a start goes on from it where \
             every sink has these results already, and is refused where one lacks them; restore the files named above from a copy, or \
             start with -D execution.checkpointing.on-damage=fall-back"
        ))),
        (None, None) => Ok(()),
        (None, _) => Err(Error::data(format!(
            "no kept checkpoint of job '{job}' can be restored (lineage {lineage}): restore the files named above from a copy, or begin \
             with a savepoint (run --from-savepoint)"
        ))),
        (Some(whole), _) => Err(Error::data(format!(
            "the newest checkpoint of job '{job}' is damaged (lineage {lineage}); epoch {whole} can be restored: restore the files named \
             above from a copy, or start with -D execution.checkpointing.on-damage=fall-back, or see what \
             `aqueduct rewind --to-epoch {whole}` would do"
        ))),
    }
}

/// Every file of a savepoint.
pub(crate) async fn savepoint(args: &StateArgs, url: &str) -> Result<()> {
    let url = url.trim_end_matches("/_metadata").trim_end_matches('/');
    let (store, root) = run::open_checkpoints(url, args.endpoint.clone(), false)?;
    let place = Place::new(store, root);
    let found = savepoints::read(&place).await?;
    let problems = savepoints::problems(&place, &found).await?;
    let words = || {
        let mut out = format!(
            "savepoint {} of job {}: lineage {}, epoch {}, taken {}, {}\n",
            found.name,
            found.job,
            found.lineage,
            found.epoch,
            format_timestamp_ms(found.taken_at_ms, true),
            bytes(found.bytes())
        );
        problems.iter().for_each(|problem| out.push_str(&format!("  damaged: {problem}\n")));
        if problems.is_empty() {
            out.push_str("  whole\n");
        }
        out
    };
    exit::say(&text(args, &problems, words)?);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::data(format!("the savepoint {url} has {} damaged files: copy it again", problems.len())))
}
