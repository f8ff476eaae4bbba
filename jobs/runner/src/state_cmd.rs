//! `aqueduct state`: looks into a checkpoint folder without claiming anything.
//!
//! What a record means is the checkpoint room's; this file prints it.

use crate::cli::{StateArgs, StateVerb, StatusFormat};
use crate::human::{Align, bytes, count, event_time, table};
use crate::{exit, owner, run, verify_cmd};
use aqueduct_checkpoint::{BlobProblem, CommitView, LineageInfo, inspect, show, verify};
use aqueduct_core::json::format_timestamp_ms;
use aqueduct_core::{Epoch, Error, EventTime, JobName, Lineage, Result, Watermark};
use aqueduct_runtime::SHARD;
use object_store::{ObjectStore, path::Path};
use serde::Serialize;
use std::sync::Arc;

/// The verb.
pub(crate) async fn run(verb: StateVerb) -> Result<()> {
    let (StateVerb::List(args) | StateVerb::Show(args) | StateVerb::Verify(args)) = &verb;
    if let (StateVerb::Verify(args), Some(url)) = (&verb, &args.savepoint) {
        return verify_cmd::savepoint(args, url).await;
    }
    let place = Place::open(args)?;
    match &verb {
        StateVerb::List(args) => {
            let found = place.list(args.job.as_deref()).await?;
            exit::say(&text(args, &found, || list_text(&found, &place.url))?);
        }
        StateVerb::Show(args) => {
            let view = place.view(args).await?;
            exit::say(&text(args, &view, || show_text(&view))?);
        }
        StateVerb::Verify(args) if args.epoch.is_some() => verify_one(args, &place).await?,
        StateVerb::Verify(args) => verify_cmd::all(args, &place).await?,
    }
    Ok(())
}

async fn verify_one(args: &StateArgs, place: &Place) -> Result<()> {
    let view = place.view(args).await?;
    let problems = verify(Arc::clone(&place.store), &place.root, &view, true).await?;
    exit::say(&text(args, &problems, || verify_text(&view, &problems))?);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::data(format!(
        "the checkpoint of epoch {} of job '{}' has {} damaged files: it cannot be restored; an older epoch may (aqueduct state \
         verify without --epoch)",
        view.body.epoch,
        view.job,
        problems.len()
    )))
}

/// A checkpoint folder that is looked at.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) root: Path,
}

impl Place {
    fn open(args: &StateArgs) -> Result<Self> {
        let url = args.checkpoint_dir.clone();
        let (store, root) = run::open_checkpoints(&url, args.endpoint.clone(), false)
            .map_err(|error| error.context("name the job's checkpoint folder with --checkpoint-dir"))?;
        Ok(Self { url, store, root })
    }

    async fn list(&self, job: Option<&str>) -> Result<Vec<LineageInfo>> {
        let job = job.map(JobName::new).transpose()?;
        inspect(Arc::clone(&self.store), &self.root, job.as_ref()).await
    }

    /// The job that is meant.
    pub(crate) async fn job(&self, args: &StateArgs) -> Result<JobName> {
        match &args.job {
            Some(name) => JobName::new(name),
            None => only_job(&self.list(None).await?, &self.url),
        }
    }

    async fn view(&self, args: &StateArgs) -> Result<CommitView> {
        let job = self.job(args).await?;
        let (lineage, epoch) = (args.lineage.map(Lineage), args.epoch.map(Epoch));
        show(Arc::clone(&self.store), &self.root, &job, SHARD, lineage, epoch).await
    }
}

fn only_job(found: &[LineageInfo], url: &str) -> Result<JobName> {
    let mut jobs: Vec<&JobName> = found.iter().map(|info| &info.job).collect();
    jobs.dedup();
    match jobs.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Error::config(format!("there is no checkpoint in {url}: check --checkpoint-dir"))),
        many => {
            let names: Vec<&str> = many.iter().map(|job| job.as_str()).collect();
            Err(Error::config(format!("{url} holds several jobs, name one: {}", names.join(", "))))
        }
    }
}

pub(crate) fn text(args: &StateArgs, value: &impl Serialize, table: impl FnOnce() -> String) -> Result<String> {
    match args.format {
        StatusFormat::Table => Ok(table()),
        StatusFormat::Json => serde_json::to_string_pretty(value)
            .map(|text| text + "\n")
            .map_err(|error| Error::bug(format!("a checkpoint cannot be written as JSON: {error}"))),
    }
}

fn list_text(found: &[LineageInfo], url: &str) -> String {
    if found.is_empty() {
        return format!("no checkpoints in {url}\n");
    }
    let mut out = String::new();
    for info in found {
        for shard in &info.shards {
            let owner = shard.generation.map_or_else(|| "-".to_owned(), |generation| generation.to_string());
            out.push_str(&format!(
                "{}  lineage {}  shard {}  generation {owner}  {} files, {}\n",
                info.job,
                info.lineage,
                shard.shard,
                count(shard.blobs),
                bytes(shard.blob_bytes)
            ));
            if let Some(origin) = &shard.origin {
                out.push_str(&format!(
                    "  begun after lineage {} epoch {} of {}: {}\n",
                    origin.lineage, origin.epoch, origin.job, origin.why
                ));
            }
            if let Some(owner) = &shard.owner {
                out.push_str(&format!("  newest owner {}\n", owner::text(owner)));
            }
            let rows: Vec<Vec<String>> = shard
                .commits
                .iter()
                .rev()
                .map(|commit| {
                    vec![
                        commit.epoch.to_string(),
                        format_timestamp_ms(commit.sealed_at_ms, true),
                        commit.generation.to_string(),
                        format!("{} in {} files", bytes(commit.state_bytes), commit.state_files),
                        count(commit.outbox_rows),
                        if commit.finished { "finished".to_owned() } else { String::new() },
                    ]
                })
                .collect();
            let head = [
                ("epoch", Align::Right),
                ("sealed", Align::Left),
                ("generation", Align::Right),
                ("state", Align::Right),
                ("result rows", Align::Right),
                ("", Align::Left),
            ];
            out.push_str(&table(&head, &rows));
            for damage in &shard.damaged {
                out.push_str(&format!("  damaged: {damage}\n"));
            }
        }
    }
    out
}

fn show_text(view: &CommitView) -> String {
    let body = &view.body;
    let mut out = format!(
        "{}  lineage {}  shard {}  epoch {}  generation {}{}\n  sealed {}\n  record {}\n",
        view.job,
        view.lineage,
        view.shard,
        body.epoch,
        view.generation,
        if body.finished { "  finished" } else { "" },
        format_timestamp_ms(body.sealed_at_ms, true),
        view.object
    );
    let mut states: Vec<_> = body.splits.iter().collect();
    states.sort_by(|a, b| (&a.source, &a.split).cmp(&(&b.source, &b.split)));
    let splits: Vec<Vec<String>> = states
        .into_iter()
        .map(|state| {
            let (kind, at) = watermark(state.watermark);
            vec![state.source.clone(), state.split.to_string(), state.next.to_string(), at, kind.to_owned()]
        })
        .collect();
    let head = [
        ("source", Align::Left),
        ("split", Align::Left),
        ("next offset", Align::Right),
        ("watermark", Align::Left),
        ("", Align::Left),
    ];
    out.push_str(&format!("\n{}", table(&head, &splits)));
    for (id, query) in &body.queries {
        out.push_str(&format!("\n  query {}  {id}  fired up to {}\n", query.name, at(query.fired_up_to)));
        for part in &query.fingerprint {
            out.push_str(&format!("    {part}\n"));
        }
    }
    let outbox: Vec<Vec<String>> = body
        .outbox
        .iter()
        .map(|segment| {
            vec![segment.sink.clone(), count(segment.rows), bytes(segment.blob.bytes), segment.blob.object.clone()]
        })
        .collect();
    if !outbox.is_empty() {
        let head = [("outbox", Align::Left), ("rows", Align::Right), ("size", Align::Right), ("object", Align::Left)];
        out.push_str(&format!("\n{}", table(&head, &outbox)));
    }
    let files: Vec<Vec<String>> =
        body.state_files.iter().map(|file| vec![file.name.clone(), bytes(file.bytes), file.object.clone()]).collect();
    if !files.is_empty() {
        let head = [("state file", Align::Left), ("size", Align::Right), ("object", Align::Left)];
        out.push_str(&format!("\n{}", table(&head, &files)));
    }
    out
}

fn verify_text(view: &CommitView, problems: &[BlobProblem]) -> String {
    let files = view.body.blobs().count();
    if problems.is_empty() {
        return format!("ok: epoch {} of job {}: {files} files are whole\n", view.body.epoch, view.job);
    }
    problems.iter().map(|found| format!("{}: {}\n", found.blob.name, found.problem)).collect()
}

fn watermark(watermark: Watermark) -> (&'static str, String) {
    match watermark {
        Watermark::Active(time) => ("", at(time)),
        Watermark::Idle(time) => ("idle", at(time)),
        Watermark::Ended => ("ended", "end of input".to_owned()),
    }
}

fn at(time: EventTime) -> String {
    event_time(Some(time.0))
}

#[cfg(test)]
#[path = "state_cmd_tests.rs"]
mod tests;
