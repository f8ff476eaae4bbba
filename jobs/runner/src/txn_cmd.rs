//! `aqueduct txn`: what stands open on a job's results topics, and the end of what a dead process of ours left there.

use crate::cli::{StatusFormat, TxnArgs, TxnVerb};
use crate::human::{Align, count, table};
use crate::target::now_ms;
use crate::{exit, job, owner, run};
use aqueduct_checkpoint::{Place, kept};
use aqueduct_core::{Error, JobName, Result, SinkSpec};
use aqueduct_kafka::transactions::{self, Transactions};
use aqueduct_runtime::SHARD;
use serde_json::json;

/// The verb.
pub(crate) async fn run(verb: TxnVerb) -> Result<()> {
    let (TxnVerb::List(args) | TxnVerb::Abort(args)) = &verb;
    let planned = job::prepare(&args.job)?;
    let name = planned.name().clone();
    let specs: Vec<SinkSpec> = planned
        .plan
        .sinks
        .iter()
        .filter(|sink| sink.connector == "kafka")
        .filter(|sink| args.table.as_ref().is_none_or(|table| *table == sink.spec.table))
        .map(|sink| Ok(SinkSpec { options: sink.spec.options.resolved()?, ..sink.spec.clone() }))
        .collect::<Result<_>>()?;
    if specs.is_empty() {
        let which = args.table.as_ref().map_or_else(String::new, |table| format!(" named '{table}'"));
        return Err(Error::config(format!("job '{name}' writes to no Kafka table{which}")));
    }
    if let TxnVerb::Abort(args) = &verb {
        refuse_living(args, &planned, &name).await?;
        for spec in specs.clone() {
            let job = name.clone();
            let id = blocking(move || transactions::abort(&spec, &job, SHARD)).await?;
            exit::say(&format!("transactional id {id} is ours: what was open under it is aborted\n"));
        }
    }
    let mut found = Vec::new();
    for spec in specs {
        let job = name.clone();
        found.push(blocking(move || transactions::look(&spec, &job, SHARD)).await?);
    }
    exit::say(&text(args, &found)?);
    Ok(())
}

async fn refuse_living(args: &TxnArgs, planned: &job::PlannedJob, name: &JobName) -> Result<()> {
    let settings = &planned.settings;
    let (store, root) = run::open_checkpoints(&settings.checkpoint_dir, settings.checkpoint_endpoint.clone(), false)?;
    let Some(kept) = kept(&Place::new(store, root), name, SHARD, None).await? else { return Ok(()) };
    match owner::alive(&kept, now_ms()).await.filter(|_| !args.force) {
        None => Ok(()),
        Some(why) => Err(Error::config(format!(
            "the owner of job '{name}' seems to be alive: {why}. It ends its own transactions; with --force its producer is fenced, and it \
             opens its sink again"
        ))),
    }
}

/// The client's calls block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::bug(format!("asking Kafka broke: {error}")))?
}

fn text(args: &TxnArgs, found: &[Transactions]) -> Result<String> {
    if args.format == StatusFormat::Json {
        let values: Vec<_> = found.iter().map(value).collect();
        return serde_json::to_string_pretty(&values)
            .map(|text| text + "\n")
            .map_err(|error| Error::bug(format!("transactions cannot be written as JSON: {error}")));
    }
    let mut out = String::new();
    for one in found {
        let id = one.transactional_id.as_deref().unwrap_or("none (not exactly-once)");
        let cursor = match (&one.cursor, one.cursor_is_held) {
            (_, true) => "held by an open transaction of ours".to_owned(),
            (None, false) => "none".to_owned(),
            (Some(at), false) => format!("lineage {} generation {} epoch {}", at.lineage, at.generation, at.epoch),
        };
        out.push_str(&format!("{}  topic {}  transactional id {id}  cursor {cursor}\n", one.table, one.topic));
        let rows: Vec<Vec<String>> = one
            .partitions
            .iter()
            .map(|ends| {
                vec![
                    ends.partition.to_string(),
                    ends.last_stable.to_string(),
                    ends.high.to_string(),
                    count(ends.unstable()),
                ]
            })
            .collect();
        let head = [
            ("partition", Align::Right),
            ("last stable", Align::Right),
            ("end", Align::Right),
            ("not visible", Align::Right),
        ];
        out.push_str(&table(&head, &rows));
        out.push_str(&format!("  {}\n", advice(one)));
    }
    Ok(out)
}

fn advice(one: &Transactions) -> &'static str {
    match (one.unstable() > 0, one.cursor_is_held) {
        (false, false) => "nothing stands open",
        (_, true) => {
            "one of our transactions is open: a living job ends it; if the job is dead, `aqueduct txn abort` or its next start does"
        }
        (true, false) => {
            "a transaction is open that does not hold our cursor: ours before it commits, or another program's, which only that program or \
             the broker's transaction.timeout ends"
        }
    }
}

fn value(one: &Transactions) -> serde_json::Value {
    let partitions: Vec<_> = one
        .partitions
        .iter()
        .map(|ends| json!({"partition": ends.partition, "last_stable": ends.last_stable, "end": ends.high}))
        .collect();
    json!({
        "table": one.table,
        "topic": one.topic,
        "transactional_id": one.transactional_id,
        "cursor": one.cursor.as_ref().map(|at| json!({
            "lineage": at.lineage, "generation": at.generation, "epoch": at.epoch,
        })),
        "cursor_is_held": one.cursor_is_held,
        "not_visible": one.unstable(),
        "partitions": partitions,
    })
}
