//! Rows of the fault matrix (`RELIABILITY.md`) that need a whole job as a process of its own: a store that lies, a machine that is
//! full, out of memory or out of time, networks that are slow or cut in half, records that poison.
//!
//! Rows that one connector answers for alone stand in the suites of the connectors: `kafka_connector/faults.rs`,
//! `postgres_faults.rs`, `firestore_faults.rs`.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

mod data;
mod document;
mod host;
mod network;
mod store;

use aqueduct_tests::main_job::{MainJob, Start};
use aqueduct_tests::services::daemon::Daemon;
use std::time::Duration;

/// Exit codes.
const ABORTED_BY_SIGNAL: Option<i32> = None;
const CONFIGURATION: Option<i32> = Some(2);
const DATA: Option<i32> = Some(3);
const FENCED: Option<i32> = Some(5);

/// Seconds that a slow job would take to its end: longer than any of these faults. [`finishes`] cuts it short.
const SLOW: u64 = 40;

/// How long a run of these small jobs may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for the end of a run and checks its exit code.
fn ends_with(run: &mut Daemon, code: Option<i32>) {
    let status = run.wait(PATIENCE).unwrap_or_else(|| panic!("it does not end:\n{}", run.log_tail()));
    assert_eq!(status.code(), code, "{}", run.log_tail());
}

/// Lets a slow job read on as fast as it can, to its end; everything must be there.
async fn finishes(job: &MainJob, run: &mut Daemon, start: &Start) {
    job.read_freely();
    ends_with(run, Some(0));
    job.verify(start).await;
}

/// Runs to the end of the input; everything must be there.
async fn completes(job: &MainJob, start: &Start) {
    job.run_to_end(start);
    job.verify(start).await;
}
