//! Beginning a new lineage at a start: from a savepoint, or from the newest whole checkpoint when the newest one is damaged.
//!
//! What may be begun without a sink losing or doubling a row is decided in the checkpoint room's `protocol`; here the facts
//! are gathered. A rewind that an operator asks for is the runner's.

use crate::config::{FromSavepoint, Settings};
use crate::fits::{Found, check_fits, check_identity};
use crate::ground::{SHARD, Site};
use aqueduct_checkpoint::protocol::{EpochFacts, ForkPlan, SinkFacts, plan_fork};
use aqueduct_checkpoint::{Blobs, CommitBody, Cut, Kept, Origin, Why, begin, broken, kept, origins, savepoint};
use aqueduct_core::{Epoch, Error, JobName, Line, Lineage, Repeated, Result, Sink, Standing};
use aqueduct_plan::JobPlan;
use std::collections::BTreeMap;

/// Begins a lineage from a savepoint, unless the folder has begun with it before: then it holds something newer.
pub(crate) async fn from_savepoint(
    plan: &JobPlan,
    settings: &Settings,
    site: &Site,
    sinks: &mut [Box<dyn Sink>],
    found: &[Found],
) -> Result<()> {
    let Some(FromSavepoint { place: at, url, confirmed }) = site.savepoint.clone() else { return Ok(()) };
    let (to, job) = (&site.place, &settings.job);
    let taken = savepoint::read(&at).await.map_err(|error| error.context(format!("savepoint {url}")))?;
    let here = origins(to, job, SHARD).await?;
    if here.iter().any(|(_, origin)| origin.as_ref().and_then(Origin::savepoint) == Some(&taken.id)) {
        tracing::info!(
            savepoint = url,
            "the checkpoint folder has begun with this savepoint before: going on from what it holds"
        );
        return Ok(());
    }
    if let (Some((newest, _)), false) = (here.last(), confirmed) {
        return Err(Error::config(format!(
            "{} holds job '{job}' already, in lineage {newest}: the savepoint {url} would take its place. Give the job another \
             'execution.checkpointing.dir' or 'pipeline.name', leave --from-savepoint out to go on with what is there, or say --yes",
            site.url
        )));
    }
    let head = taken.commits.last();
    head.map_or(Ok(()), |head| check_fits(plan, head)).map_err(|error| error.context(format!("savepoint {url}")))?;
    check_identity(plan, found, head, settings.other_input)?;
    let mut least = Lineage(taken.lineage.0 + 1);
    for (table, standings, _) in survey(plan, sinks, job, &[]).await? {
        if let Some(newest) = standings.iter().map(|standing| standing.lineage).max() {
            tracing::debug!(table, lineage = %newest, "the sink knows this job");
            least = least.max(Lineage(newest.0 + 1));
        }
    }
    let (epoch, name) = (taken.epoch, taken.name.clone());
    let lineage = begin(to, job, SHARD, least, taken.origin(&url), &Blobs::Savepoint(at), site.ids.as_ref()).await?;
    tracing::info!(savepoint = name, %epoch, %lineage, "a lineage begins with the savepoint");
    Ok(())
}

/// What every sink's external system knows of the job and of `others`.
async fn survey(
    plan: &JobPlan,
    sinks: &mut [Box<dyn Sink>],
    job: &JobName,
    others: &[JobName],
) -> Result<Vec<(String, Vec<Standing>, Repeated)>> {
    let mut found = Vec::with_capacity(sinks.len());
    for (sink, table) in sinks.iter_mut().zip(&plan.sinks) {
        let table = &table.spec.table;
        let named = |error: Error| error.context(format!("sink '{table}'"));
        // Who asks here takes the shard over, or has taken it.
        sink.settle(job, SHARD).await.map_err(named)?;
        let mut own = sink.survey(job, SHARD).await.map_err(named)?;
        for other in others {
            own.standings.extend(sink.survey(other, SHARD).await.map_err(named)?.standings);
        }
        found.push((table.clone(), own.standings, own.repeated));
    }
    Ok(found)
}

/// Where every sink stands in the lineage.
async fn stand(
    plan: &JobPlan,
    sinks: &mut [Box<dyn Sink>],
    job: &JobName,
    lineage: Lineage,
    line: &Line,
) -> Result<Vec<SinkFacts>> {
    let forgetful: Vec<bool> = sinks.iter().map(|sink| !sink.remembers()).collect();
    let surveyed = survey(plan, sinks, job, &line.other_jobs(job)).await?;
    let facts = surveyed.into_iter().zip(forgetful).filter(|(_, forgetful)| !forgetful);
    let facts = facts.map(|((table, standings, repeated), _)| SinkFacts {
        cursor: line.cursor(job, lineage, &table, &standings),
        twice: repeated == Repeated::Twice,
        table,
    });
    Ok(facts.collect())
}

/// What of the newest epochs is damaged besides the state files: records that sinks have seen and that are gone, results that
/// a sink still lacks. In words; empty when nothing is.
pub(crate) async fn damage(
    plan: &JobPlan,
    settings: &Settings,
    site: &Site,
    sinks: &mut [Box<dyn Sink>],
    lineage: Lineage,
    remaining: &[Cut],
) -> Result<Vec<String>> {
    let (at, job) = (&site.place, &settings.job);
    let Some(kept) = kept(at, job, SHARD, Some(lineage)).await? else { return Ok(Vec::new()) };
    let facts = stand(plan, sinks, job, lineage, &kept.line()).await?;
    let run = kept.run();
    let newest = run.last().map(|body| body.epoch).max(remaining.last().map(|cut| cut.epoch)).unwrap_or(Epoch::ZERO);
    let mut words: Vec<String> = facts
        .iter()
        .filter(|sink| sink.cursor > newest)
        .map(|sink| {
            format!(
                "sink '{}' has applied epoch {}, but the newest record is epoch {newest}: newer ones were deleted",
                sink.table, sink.cursor
            )
        })
        .collect();
    let lacking = undelivered(run, &facts);
    words.extend(broken(at, job, SHARD, lineage, &lacking).await?.into_values());
    Ok(words)
}

/// The commits with only those results that a sink lacks, and without state.
fn undelivered(run: &[CommitBody], facts: &[SinkFacts]) -> Vec<CommitBody> {
    let mut lacking: Vec<CommitBody> = run.to_vec();
    for body in &mut lacking {
        body.state_files.clear();
        let epoch = body.epoch;
        body.outbox.retain(|segment| lacks(facts, &segment.sink, epoch));
    }
    lacking
}

/// Whether the sink of a table has not applied an epoch.
fn lacks(facts: &[SinkFacts], table: &str, epoch: Epoch) -> bool {
    facts.iter().any(|sink| sink.table == table && sink.cursor < epoch)
}

/// Goes back to the newest epoch that is whole. `what` is damaged, in words.
pub(crate) async fn go_back(
    plan: &JobPlan,
    settings: &Settings,
    site: &Site,
    sinks: &mut [Box<dyn Sink>],
    lineage: Lineage,
    what: &str,
) -> Result<Lineage> {
    let (at, job) = (&site.place, &settings.job);
    let kept = kept(at, job, SHARD, Some(lineage)).await?;
    let kept = kept.ok_or_else(|| Error::data(format!("lineage {lineage} of job '{job}' is gone; {what}")))?;
    let facts = stand(plan, sinks, job, lineage, &kept.line()).await?;
    let broken = broken(at, job, SHARD, lineage, kept.run()).await?;
    let cuts = cuts(&kept);
    let mut epochs: Vec<EpochFacts> = kept.run().iter().map(|body| epoch_facts(&kept, body, &broken)).collect();
    // Epochs that this lineage had still to cut again: nobody can begin there, but what they hold is known.
    let waiting = cuts.iter().filter(|cut| kept.run().iter().all(|body| body.epoch != cut.epoch));
    epochs.extend(waiting.map(|cut| EpochFacts { epoch: cut.epoch, state: false, results: BTreeMap::new() }));
    let refused = |why: String| {
        Error::data(format!(
            "{what}. Going back is not possible without harm: {why}. Restore what is damaged from a copy, or look at \
             `aqueduct state verify {job}` and `aqueduct rewind`"
        ))
    };
    match plan_fork(&epochs, &facts) {
        ForkPlan::GoBack { to, repeats } => {
            let mut cuts = cuts;
            cuts.retain(|cut| repeats.contains(&cut.epoch));
            let origin = origin(job, &kept, to, cuts, &facts, &broken, what);
            let from = Blobs::Lineage { place: at.clone(), job: job.clone(), lineage };
            let begun = begin(at, job, SHARD, Lineage(lineage.0 + 1), origin, &from, site.ids.as_ref()).await?;
            tracing::error!(
                job = %job, damage = what, from_lineage = %lineage, lineage = %begun, epoch = %to, repeats = repeats.len(),
                "THE NEWEST CHECKPOINT IS DAMAGED: going back to epoch {to} under lineage {begun}; {} later epochs are computed \
                 again as they were",
                repeats.len()
            );
            Ok(begun)
        }
        ForkPlan::WouldDouble { table, cursor, newest } => Err(refused(format!(
            "sink '{table}' holds the rows of epoch {cursor}, whose record cannot be read (the newest readable one is epoch \
             {newest}), and would get them twice"
        ))),
        ForkPlan::NothingReadable => Err(refused("no kept checkpoint is whole".to_owned())),
    }
}

/// Every cut after which a sink may stand: of the kept records, and of what the lineage had still to repeat.
fn cuts(kept: &Kept) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = kept.run().iter().map(Cut::of).collect();
    let newest = cuts.last().map(|cut| cut.epoch);
    let waiting = kept.origin.iter().flat_map(|origin| &origin.repeats);
    cuts.extend(waiting.filter(|cut| newest.is_none_or(|newest| cut.epoch > newest)).cloned());
    cuts
}

fn epoch_facts(kept: &Kept, body: &CommitBody, broken: &BTreeMap<String, String>) -> EpochFacts {
    let mut results = BTreeMap::new();
    for segment in &body.outbox {
        *results.entry(segment.sink.clone()).or_insert(true) &= !broken.contains_key(&segment.blob.object);
    }
    let state = body.state_files.iter().all(|blob| !broken.contains_key(&blob.object));
    EpochFacts { epoch: body.epoch, state: state && kept.has_state(body.epoch), results }
}

fn origin(
    job: &JobName,
    kept: &Kept,
    to: Epoch,
    repeats: Vec<Cut>,
    facts: &[SinkFacts],
    broken: &BTreeMap<String, String>,
    what: &str,
) -> Origin {
    let mut commits: Vec<CommitBody> = kept.run().iter().filter(|body| body.epoch <= to).cloned().collect();
    for body in &mut commits {
        let epoch = body.epoch;
        // A broken result that every sink has already is not needed.
        body.outbox.retain(|segment| lacks(facts, &segment.sink, epoch) || !broken.contains_key(&segment.blob.object));
    }
    let shared = repeats.last().map_or(to, |cut| cut.epoch);
    Origin {
        from_job: job.clone(),
        from_lineage: kept.lineage,
        from_epoch: to,
        why: Why::Damage { what: what.to_owned() },
        line: kept.line().cut(job, kept.lineage, shared),
        commits,
        repeats,
    }
}
