//! `aqueduct savepoint`: copies the newest sealed epoch of a job to a folder that is whole by itself.
//!
//! What a savepoint holds is the checkpoint room's; this file finds the places and asks a running job to seal first.

use crate::cli::{SavepointArgs, SavepointPlace};
use crate::human::{bytes, count};
use crate::target::{Target, now_ms};
use crate::{exit, fail_points, run, status_cmd};
use aqueduct_checkpoint::savepoint::{Request, Savepoint, take};
use aqueduct_checkpoint::{IdSource, Place, SystemIds};
use aqueduct_core::json::format_timestamp_ms;
use aqueduct_core::{Epoch, Error, JobName, Result};
use aqueduct_runtime::{SHARD, StatusSnapshot};
use std::collections::BTreeMap;

/// What a running job told.
#[derive(Debug)]
pub(crate) struct Told {
    /// The epoch that the savepoint must hold at least.
    pub(crate) at_least: Epoch,
    /// Table name to what its sink has applied.
    pub(crate) delivered: BTreeMap<String, Epoch>,
}

impl Told {
    /// What a job's status says.
    pub(crate) fn by(status: &StatusSnapshot, at_least: Epoch) -> Self {
        let delivered = status.sinks.iter().map(|sink| (sink.table.clone(), settled(sink, status)));
        Self { at_least, delivered: delivered.collect() }
    }
}

/// A sink that has nothing to do stands at the newest epoch, whatever the number that it holds.
fn settled(sink: &aqueduct_runtime::SinkStatus, status: &StatusSnapshot) -> Epoch {
    Epoch(if sink.backlog_epochs == 0 { status.checkpoint.epoch.max(sink.cursor) } else { sink.cursor })
}

/// The verb.
pub(crate) async fn run(args: SavepointArgs) -> Result<()> {
    let target = Target::of(&args.target)?;
    let told = match &args.http {
        Some(given) => seal(given, &target).await?,
        None => Told { at_least: Epoch::ZERO, delivered: BTreeMap::new() },
    };
    take_and_say(&target, &args.place, told).await
}

/// Takes the savepoint and prints where it is.
pub(crate) async fn take_and_say(target: &Target, place: &SavepointPlace, told: Told) -> Result<()> {
    let folder = folder(target, place);
    // The name holds no epoch yet where none was given: what is sealed is known only while it is copied.
    let name = match &place.name {
        Some(name) => JobName::new(name.as_str()).map(|name| name.to_string()).map_err(|_| {
            Error::config(format!("--name '{name}' is not usable: take letters, digits, '-', '_' or '.'"))
        })?,
        None => {
            let newest = aqueduct_checkpoint::peek(&target.place, &target.name, SHARD).await?;
            let epoch = newest.ok_or_else(|| target.nothing())?.epoch;
            format!("savepoint-e{epoch}-{}", &SystemIds.put_id()[..8])
        }
    };
    let url = format!("{folder}/{name}");
    let (store, root) = run::open_checkpoints(&url, target.endpoint.clone(), true)
        .map_err(|error| error.context("the savepoint's folder"))?;
    let points = fail_points::armed()?;
    let request = Request {
        name,
        at_least: told.at_least,
        delivered: told.delivered,
        now_ms: now_ms(),
        program: format!("aqueduct {}", env!("CARGO_PKG_VERSION")),
    };
    let from = Place { points: points.clone(), ..target.place.clone() };
    let to = Place { points, ..Place::new(store, root) };
    let taken = take(&from, &target.name, SHARD, &to, &request, &SystemIds).await?;
    exit::say(&text(&taken, &url));
    Ok(())
}

fn text(taken: &Savepoint, url: &str) -> String {
    let sealed = taken.commits.last().map_or(0, |body| body.sealed_at_ms);
    let rows: u64 = taken.commits.iter().flat_map(|body| &body.outbox).map(|segment| segment.rows).sum();
    format!(
        "savepoint {} of job {}: lineage {}, epoch {}, sealed {}\n  {}, with {} result rows for sinks that lack them\n  {url}\n\
         start from it with: aqueduct run JOB --from-savepoint {url}\n",
        taken.name,
        taken.job,
        taken.lineage,
        taken.epoch,
        format_timestamp_ms(sealed, true),
        bytes(taken.bytes()),
        count(rows)
    )
}

fn folder(target: &Target, place: &SavepointPlace) -> String {
    let given = place.to.as_ref().or(target.savepoint_dir.as_ref());
    let own = || format!("{}/{}/savepoints", target.url.trim_end_matches('/'), target.name);
    given.map_or_else(own, |given| given.trim_end_matches('/').to_owned())
}

/// Asks the job to seal, and how far its sinks are.
async fn seal(given: &str, target: &Target) -> Result<Told> {
    let at = status_cmd::host_and_port(given)?;
    let status = status_cmd::status(&at).await?;
    if status.job != target.name.as_str() {
        return Err(Error::config(format!(
            "http://{at} runs job '{}', not '{}': check --http and the job's name",
            status.job, target.name
        )));
    }
    let (code, body) = status_cmd::post(&at, "/checkpoint").await?;
    if code != 200 {
        return Err(Error::retry(format!("http://{at}/checkpoint answered {code}: {}", body.trim())));
    }
    let epoch = body.trim().parse().map_err(|_| Error::retry(format!("http://{at}/checkpoint answered '{body}'")))?;
    Ok(Told::by(&status_cmd::status(&at).await?, Epoch(epoch)))
}
