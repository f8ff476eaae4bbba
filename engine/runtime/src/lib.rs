//! The runtime: source threads, operators, the coordinator, sink tasks.
//!
//! It executes a [`aqueduct_plan::JobPlan`] as one shard: reads splits on threads of their own, folds rows into slices,
//! seals epochs, commits them to the claim log and delivers them to the sinks. It knows sources and sinks only by their
//! traits and never parses SQL.

mod barrier;
mod config;
mod control;
mod coordinator;
mod delivery;
mod drain;
mod epochs;
mod exits;
mod fits;
mod fork;
mod ground;
mod histogram;
mod host;
mod ingest;
mod load;
mod loading;
mod looks;
mod outbox;
mod points;
mod portions;
mod pressure;
mod progress;
mod repeat;
mod restore;
mod seal;
mod stage;
mod start;
mod status;
mod stored;
mod view;
mod window;
mod worker;

#[cfg(test)]
mod tests;

pub use aqueduct_checkpoint::TokioHost;
pub use config::{Environment, FromSavepoint, Job, OnDamage, Settings};
pub use control::Control;
pub use ground::SHARD;
pub use histogram::{Histogram, STEPS_US};
pub use points::FAIL_POINTS;
pub use status::{
    CheckpointStatus, JobState, LedgerTotals, QueryStatus, SinkStatus, SourceStatus, SplitStatus, StatusBoard,
    StatusSnapshot,
};

use aqueduct_core::Result;
use std::sync::Arc;
use tokio::sync::watch;

/// Runs a job as one shard until its bounded input ends (`Ok`, state `Finished`), `stop` turns true (`Ok`, state `Stopped`:
/// everything read is sealed, and delivered if the sinks answer), or something cannot be cured by waiting (`Err`).
///
/// Everything is started by the host of the environment; [`TokioHost`] needs a multi-threaded tokio runtime. Errors carry in their kind what the operator does next.
pub async fn run(job: Job, status: Arc<StatusBoard>, stop: watch::Receiver<bool>) -> Result<StatusSnapshot> {
    let Job { plan, settings, environment } = job;
    let clock = environment.clock.clone();
    status.update(|snapshot| {
        snapshot.job = settings.job.to_string();
        snapshot.parallelism = settings.parallelism;
        snapshot.started_at_ms = clock.wall_ms();
        snapshot.expected_records = expected(&environment.sources);
    });
    let outcome = match start::start(plan, &settings, environment, &status).await {
        Ok(started) => {
            status.update(|snapshot| snapshot.state = JobState::Running);
            coordinator::Coordinator::new(started, settings, status.clone()).run(stop).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = &outcome {
        status.update(|snapshot| {
            snapshot.state = JobState::Failed;
            snapshot.fences_lost += u64::from(error.kind() == aqueduct_core::ErrorKind::Fenced);
            snapshot.error = Some(error.message().to_owned());
        });
    }
    outcome
}

fn expected(sources: &[Box<dyn aqueduct_core::Source>]) -> Option<u64> {
    sources.iter().map(|source| source.expected_records()).sum()
}
