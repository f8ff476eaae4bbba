//! `aqueduct rewind`: begins a new lineage from an older checkpoint, after saying what each sink will see.
//!
//! Nothing is changed before the answer; then the newest lineage is claimed first, so that its owner can commit nothing more.

use crate::cli::RewindArgs;
use crate::human::{Align, table};
use crate::target::now_ms;
use crate::{connectors, exit, fail_points, job, owner, quarantine, run};
use aqueduct_checkpoint::{
    Blobs, CommitBody, Kept, Origin, Place, ShardLog, SystemIds, Taking, Why, begin, broken, kept,
};
use aqueduct_core::json::format_timestamp_ms;
use aqueduct_core::{Epoch, Error, JobName, Lineage, Result, Sink, Survey};
use aqueduct_plan::JobPlan;
use aqueduct_runtime::SHARD;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

/// The verb.
pub(crate) async fn run(args: RewindArgs) -> Result<()> {
    let planned = job::prepare(&args.job)?;
    let name = planned.name().clone();
    let url = planned.settings.checkpoint_dir.clone();
    let (store, root) = run::open_checkpoints(&url, planned.settings.checkpoint_endpoint.clone(), false)?;
    let points = fail_points::armed()?;
    let place = Place { points: points.clone(), ..Place::new(store, root) };
    let newest = kept(&place, &name, SHARD, None).await?;
    let newest = newest.ok_or_else(|| {
        Error::config(format!("job '{name}' has no checkpoint in {url}: check pipeline.name and --checkpoint-dir"))
    })?;
    let from = match args.lineage.map(Lineage).filter(|asked| *asked != newest.lineage) {
        None => newest.clone(),
        Some(asked) => kept(&place, &name, SHARD, Some(asked)).await?.ok_or_else(|| {
            Error::config(format!("job '{name}' has no lineage {asked} in {url} (aqueduct state list {name})"))
        })?,
    };
    let to = Epoch(args.to_epoch);
    let commits = shared(&from, to, &name)?;
    refuse_broken(&place, &name, &from, &commits).await?;
    if let Some(why) = owner::alive(&newest, now_ms()).await.filter(|_| !args.force) {
        let who = newest.owner.as_ref().map(owner::text).unwrap_or_default();
        return Err(Error::config(format!(
            "the owner of job '{name}' ({who}) seems to be alive: {why}. Stop it first (aqueduct stop, SIGTERM); with --force it is \
             fenced, and ends with exit code 5"
        )));
    }
    let mut sinks = connectors::sinks(&planned.plan, &planned.connectors, &points)?;
    if args.yes {
        for (sink, table) in sinks.iter_mut().zip(&planned.plan.sinks) {
            let named = |error: Error| error.context(format!("sink '{}'", table.spec.table));
            sink.settle(&name, SHARD).await.map_err(named)?;
        }
    }
    let (lines, least) = look_at_sinks(&planned.plan, &mut sinks, &name, &from, to).await?;
    exit::say(&announcement(&name, &newest, &from, to, &commits, &lines));
    confirm(args.yes)?;
    let origin = Origin {
        from_job: name.clone(),
        from_lineage: from.lineage,
        from_epoch: to,
        why: Why::Rewind,
        line: from.line().cut(&name, from.lineage, to),
        commits,
        repeats: Vec::new(),
    };
    // Whoever runs the job can commit nothing more from here on.
    let taking = Taking { owner: Some(owner::this(None)), past_damage: true, ..Taking::default() };
    ShardLog::take(&place, &name, SHARD, Arc::new(SystemIds), &taking).await?;
    let blobs = Blobs::Lineage { place: place.clone(), job: name.clone(), lineage: from.lineage };
    let lineage = begin(&place, &name, SHARD, least, origin, &blobs, &SystemIds).await?;
    exit::say(&format!("lineage {lineage} begins after epoch {to}; the next `aqueduct run` goes on there\n"));
    Ok(())
}

/// The kept epochs up to `to`, which must be one of them and have state.
fn shared(from: &Kept, to: Epoch, name: &JobName) -> Result<Vec<CommitBody>> {
    if to == Epoch::ZERO {
        return Ok(Vec::new());
    }
    let kept: Vec<String> =
        from.commits.iter().filter(|body| from.has_state(body.epoch)).map(|body| body.epoch.to_string()).collect();
    let missing = || {
        Error::config(format!(
            "lineage {} of job '{name}' cannot go back to epoch {to}: kept are {}, and 0 to begin with nothing; \
             'state.checkpoints.num-retained' says how many are kept",
            from.lineage,
            if kept.is_empty() { "none".to_owned() } else { kept.join(", ") }
        ))
    };
    let at = from.commits.iter().position(|body| body.epoch == to).ok_or_else(missing)?;
    if !from.has_state(to) {
        return Err(missing());
    }
    // Without a hole: a sink that needs an older one is told so by name.
    let first = from.commits[..=at].windows(2).rposition(|pair| pair[0].epoch.next() != pair[1].epoch);
    Ok(from.commits[first.map_or(0, |hole| hole + 1)..=at].to_vec())
}

async fn refuse_broken(place: &Place, name: &JobName, from: &Kept, commits: &[CommitBody]) -> Result<()> {
    let broken = broken(place, name, SHARD, from.lineage, commits).await?;
    match broken.values().next() {
        None => Ok(()),
        Some(first) => Err(Error::data(format!(
            "{} files that this epoch needs are damaged: {first}; `aqueduct state verify {name}` says which epochs are whole",
            broken.len()
        ))),
    }
}

/// One row per sink for the announcement, and the least number that the new lineage may have.
async fn look_at_sinks(
    plan: &JobPlan,
    sinks: &mut [Box<dyn Sink>],
    name: &JobName,
    from: &Kept,
    to: Epoch,
) -> Result<(Vec<Vec<String>>, Lineage)> {
    let line = from.line().cut(name, from.lineage, to);
    let (mut rows, mut least) = (Vec::new(), Lineage(from.lineage.0 + 1));
    for (sink, table) in sinks.iter_mut().zip(&plan.sinks) {
        let spec = &table.spec.table;
        let mut survey = sink.survey(name, SHARD).await.map_err(|error| error.context(format!("sink '{spec}'")))?;
        for other in line.other_jobs(name) {
            survey.standings.extend(sink.survey(&other, SHARD).await?.standings);
        }
        let newest =
            survey.standings.iter().filter(|standing| standing.job == *name).max_by_key(|standing| standing.lineage);
        least = least.max(newest.map_or(least, |standing| Lineage(standing.lineage.0 + 1)));
        let at = newest.map_or_else(
            || if sink.remembers() { "nothing yet".to_owned() } else { "not known".to_owned() },
            |standing| format!("lineage {} epoch {}", standing.lineage, standing.epoch),
        );
        let begins = line.begin(spec, &survey.standings);
        let furthest = newest.filter(|standing| standing.lineage >= from.lineage).map(|standing| standing.epoch);
        let sees = sees(&survey, begins, to, furthest, sink.remembers());
        if !quarantine::is_ours(spec) || survey.standings.iter().any(|standing| standing.epoch > to) {
            rows.push(vec![spec.clone(), table.connector.clone(), at, sees]);
        }
    }
    Ok((rows, least))
}

/// What a sink will see, for a person.
fn sees(survey: &Survey, begins: Epoch, to: Epoch, furthest: Option<Epoch>, remembers: bool) -> String {
    if !remembers {
        return "what is still kept, once more".to_owned();
    }
    let mut parts = Vec::new();
    if begins < to {
        parts.push(format!("epochs {}-{to} are delivered first", begins.next()));
    }
    match furthest.filter(|furthest| *furthest > to) {
        Some(furthest) => parts.push(format!("epochs {}-{furthest} again: {}", to.next(), survey.words)),
        None => parts.push("nothing again".to_owned()),
    }
    parts.join("; ")
}

fn announcement(
    name: &JobName,
    newest: &Kept,
    from: &Kept,
    to: Epoch,
    commits: &[CommitBody],
    lines: &[Vec<String>],
) -> String {
    let head = newest.commits.last().map_or(Epoch::ZERO, |body| body.epoch);
    let sealed = commits.last().map_or_else(
        || "before the first record".to_owned(),
        |body| format!("sealed {}", format_timestamp_ms(body.sealed_at_ms, true)),
    );
    let columns = [("sink", Align::Left), ("", Align::Left), ("stands at", Align::Left), ("will see", Align::Left)];
    format!(
        "job {name}: from lineage {} epoch {head} back to lineage {} epoch {to} ({sealed})\n\
         What was read since then is read again, and its results are computed again.\n\n{}\n",
        newest.lineage,
        from.lineage,
        table(&columns, lines)
    )
}

fn confirm(yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::config("nothing was changed: say --yes to go on without being asked"));
    }
    let mut out = std::io::stderr();
    drop(write!(out, "Go on? [y/N] ").and_then(|()| out.flush()));
    let mut answer = String::new();
    drop(std::io::stdin().lock().read_line(&mut answer));
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::config("nothing was changed")),
    }
}
