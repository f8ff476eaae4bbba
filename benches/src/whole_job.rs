//! W5: the main job as it is deployed, over TLS, with all its sinks, exactly-once, on records as they come in life: late, broken, incomplete.
//! Its sinks are compared by the tests' own oracle, row by row. Topic, tables and folders are made anew for each run.

use crate::measure::{self, Usage};
use aqueduct_generate::DatagenConfig;
use aqueduct_tests::main_job::{self, MainJob, Setup, Start};
use aqueduct_tests::stage::Stage;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

const SEED: u64 = 20_261;

/// One run over so many records.
///
/// # Errors
/// It failed, or a sink does not hold what it should.
pub(crate) fn run(records: i64, parallelism: u32, limit: Duration) -> Result<Usage, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    // The tests' tools say by a panic what is wrong.
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(verified(records, parallelism, limit))));
    ended.unwrap_or_else(|_| Err("w5: wrong, or a service is missing (see above)".into()))
}

async fn verified(records: i64, parallelism: u32, limit: Duration) -> Result<Usage, String> {
    // No partition is silent, so that windows close and sinks work all the time.
    let generator = DatagenConfig { idle_partitions: 0, ..main_job::generator(records, SEED) };
    let setup = Setup { generator, ..Setup::quick(records, SEED) };
    let job = MainJob::prepare_as(Stage::shared(), "bench-w5", &setup).await;
    let start = Start { parallelism, interval_ms: 10_000, ..Start::default() };
    let log = job.folder().join("log");
    let usage = measure::run(&mut job.command(&start), &log, limit).map_err(|error| error.to_string())?;
    if !usage.success {
        return Err(format!("w5 failed:\n{}", std::fs::read_to_string(&log).unwrap_or_default()));
    }
    job.verify(&start).await;
    Ok(usage)
}
