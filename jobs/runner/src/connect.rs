//! `aqueduct check --connect`: opens every connection that a job will need, all at once, and says of each how far it came.
//!
//! Nothing is claimed, created or joined. What a look is made of is the connectors'; how it is told is `connect_out`.

use crate::cli::CheckArgs;
use crate::connect_out::{self, Outcome};
use crate::job::PlannedJob;
use crate::{connectors, exit, fail_points, identity, job, quarantine, run};
use aqueduct_bucket::store::{self, Needs, StoreOptions};
use aqueduct_checkpoint::{Place, kept};
use aqueduct_core::{Error, Hurdle, JobName, Options, Read, ReadBudget, Result, Sink, Source, SplitId, SplitStart};
use aqueduct_runtime::SHARD;
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// A first record is waited for so long: a topic may be silent, and a refusal comes at once.
const FIRST_RECORD: Duration = Duration::from_secs(2);

/// What a look found, where everything is as it must be.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Until all questions were answered; `None`: until the end of the look.
    pub(crate) latency: Option<Duration>,
    /// What only writing would tell.
    pub(crate) unknown: Vec<String>,
}

/// One of the connections.
pub(crate) struct Dependency {
    /// `source`, `sink`, or what a folder is for.
    pub(crate) role: &'static str,
    /// The table, or the role again.
    pub(crate) name: String,
    /// Its connector.
    pub(crate) connector: String,
    /// Where it is.
    pub(crate) address: String,
    look: Pin<Box<dyn Future<Output = Result<Found>> + Send>>,
}

/// The verb.
pub(crate) async fn run(args: CheckArgs) -> Result<()> {
    let planned = job::prepare(&args.job)?;
    for warning in &planned.warnings {
        eprintln!("warning: {warning}");
    }
    let limit = Duration::from_secs(args.timeout.max(1));
    // The others need it.
    let mut outcomes: Vec<Outcome> = futures::stream::iter(identity()).then(|one| bounded(one, limit)).collect().await;
    let looking = dependencies(&planned)?.into_iter().map(|dependency| bounded(dependency, limit));
    outcomes.extend(futures::future::join_all(looking).await);
    exit::say(&connect_out::text(planned.name(), &outcomes, args.format)?);
    connect_out::verdict(planned.name(), &outcomes)
}

/// On a task of its own, so that one that hangs holds back no other.
async fn bounded(dependency: Dependency, limit: Duration) -> Outcome {
    let Dependency { role, name, connector, address, look } = dependency;
    let begun = Instant::now();
    let mut task = tokio::spawn(look);
    let result = match tokio::time::timeout(limit, &mut task).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(Error::bug(format!("the look at {name} broke: {error}"))),
        Err(_) => {
            task.abort();
            Err(Error::retry(format!(
                "{name}: {address} has not answered within {} s: check the address and that the network lets this machine \
                 through, or wait longer with --timeout",
                limit.as_secs()
            ))
            .at(Hurdle::Reach))
        }
    };
    let took = begun.elapsed();
    Outcome { role, name, connector, address, took, result }
}

/// What this machine is to AWS, where that is a role which its Google identity takes.
fn identity() -> Option<Dependency> {
    let address = identity::role()?;
    let look = Box::pin(async {
        let begun = tokio::task::spawn_blocking(identity::begin).await;
        begun.map_err(|error| Error::bug(format!("the identity broke: {error}")))??;
        Ok(Found::default())
    });
    let (name, connector) = ("aws-identity".to_owned(), "google".to_owned());
    Some(Dependency { role: "identity", name, connector, address, look })
}

/// Every connection, sources first. Tables that are nowhere outside of this process are left out.
fn dependencies(planned: &PlannedJob) -> Result<Vec<Dependency>> {
    let points = fail_points::armed()?;
    let mut all = Vec::new();
    for table in &planned.plan.sources {
        let Some((name, connector, address)) = place(planned, &table.connector, &table.spec.options)? else { continue };
        // Options are checked here: what is wrong with one table says nothing of the others.
        let source = connectors::source(table, &planned.connectors, &points);
        all.push(Dependency { role: "source", name, connector, address, look: Box::pin(look_at_source(source)) });
    }
    for table in planned.plan.sinks.iter().filter(|table| !quarantine::is_ours(&table.spec.table)) {
        let Some((name, connector, address)) = place(planned, &table.connector, &table.spec.options)? else { continue };
        let sink = connectors::sink(table, &planned.connectors, &points);
        let look = Box::pin(look_at_sink(sink, planned.name().clone()));
        all.push(Dependency { role: "sink", name, connector, address, look });
    }
    all.extend(folders(planned));
    Ok(all)
}

/// Name, connector and address of a table; `None` for one that is nowhere.
fn place(planned: &PlannedJob, connector: &str, options: &Options) -> Result<Option<(String, String, String)>> {
    let address = connectors::named(&planned.connectors, connector)?.address(options);
    Ok(address.map(|address| (options.table().to_owned(), connector.to_owned(), address)))
}

fn folders(planned: &PlannedJob) -> Vec<Dependency> {
    let settings = &planned.settings;
    let folder = |role: &'static str, url: &str, needs: Needs| {
        let (endpoint, url) = (settings.checkpoint_endpoint.clone(), url.to_owned());
        let job = (role == "checkpoints").then(|| planned.name().clone());
        let look = Box::pin(look_at_folder(role, url.clone(), endpoint, needs, job));
        Dependency { role, name: role.to_owned(), connector: "folder".to_owned(), address: url, look }
    };
    let mut found = vec![folder("checkpoints", &settings.checkpoint_dir, Needs::CreateAndDelete)];
    let elsewhere = |url: &&String| **url != settings.checkpoint_dir;
    if let Some(url) = settings.quarantine_dir.as_ref().filter(elsewhere).filter(|_| !planned.quarantined.is_empty()) {
        found.push(folder("quarantine", url, Needs::Create));
    }
    if let Some(url) = settings.savepoint_dir.as_ref().filter(elsewhere) {
        found.push(folder("savepoints", url, Needs::Create));
    }
    found
}

async fn look_at_folder(
    role: &str,
    url: String,
    endpoint: Option<String>,
    needs: Needs,
    job: Option<JobName>,
) -> Result<Found> {
    let options = StoreOptions { endpoint: endpoint.clone(), ..StoreOptions::default() };
    let named = |error: Error| error.context(role);
    let unknown = store::look(&url, &options, needs).await.map_err(named)?;
    if let Some(job) = job.filter(|_| !store::is_missing_folder(&url).unwrap_or(true)) {
        // What a start reads first.
        let (store, root) = run::open_checkpoints(&url, endpoint, false)?;
        kept(&Place::new(store, root), &job, SHARD, None).await.map_err(named)?;
    }
    Ok(Found { latency: None, unknown })
}

async fn look_at_sink(sink: Result<Box<dyn Sink>>, job: JobName) -> Result<Found> {
    let unknown = sink?.look(&job, SHARD).await?;
    Ok(Found { latency: None, unknown })
}

async fn look_at_source(source: Result<Box<dyn Source>>) -> Result<Found> {
    let mut source = source?;
    // Sources block. A thread that hangs does not hold the process: it ends without waiting for it.
    let looked = tokio::task::spawn_blocking(move || read_first(source.as_mut())).await;
    looked.map_err(|error| Error::bug(format!("a source broke: {error}")))?
}

/// Discovers, and reads one record of every topic: the right to read is not the one to look.
fn read_first(source: &mut dyn Source) -> Result<Found> {
    let begun = Instant::now();
    let (splits, _) = source.discover()?;
    let latency = Some(begun.elapsed());
    let firsts: BTreeMap<String, SplitId> =
        splits.into_iter().rev().map(|split| (split.topic.clone(), split)).collect();
    let starts = firsts
        .into_values()
        .map(|split| source.start_of(&split, false).map(|offset| SplitStart { split, offset }))
        .collect::<Result<Vec<_>>>()?;
    let mut silent: BTreeSet<SplitId> = starts.iter().map(|start| start.split.clone()).collect();
    if silent.is_empty() {
        return Ok(Found { latency, unknown: Vec::new() });
    }
    let mut reader = source.reader(starts)?;
    let budget = ReadBudget { max_records: 1, max_wait: Duration::from_millis(100) };
    let until = Instant::now() + FIRST_RECORD;
    while !silent.is_empty() && Instant::now() < until {
        match reader.read(budget)? {
            Read::Batch(batch) => _ = silent.remove(&batch.split),
            Read::SplitEnd(split) => _ = silent.remove(&split),
            Read::Empty => {}
            Read::End => break,
        }
    }
    reader.close();
    Ok(Found { latency, unknown: Vec::new() })
}
