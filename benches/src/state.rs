//! What state costs, without a broker: pauses and price of checkpoints, memory of a key, time to restore, a second core.
//!
//! The job is `workloads/state.sql`; its rows are compared nowhere here, because the tests do that.

use crate::book::StateEntry;
use crate::machine::Origin;
use crate::systems::{end_of, running, workload};
use crate::{Arguments, measure};
use aqueduct_tests::main_job::{self, Start};
use aqueduct_tests::services::S3;
use aqueduct_tests::services::daemon::{Daemon, Scratch};
use aqueduct_tests::watch::{Watch, number, peak_mib};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// Cuts whose pauses are looked at, and the longest time for them: of much state, a checkpoint takes seconds.
const CUTS: u64 = 100;
const CUTTING: Duration = Duration::from_secs(300);
/// Records for each key before anything is looked at: all but one of a hundred and fifty keys have come then.
const RECORDS_PER_KEY: u64 = 5;
/// Restores of one checkpoint.
const RESTORES: usize = 3;
/// An input that does not end while somebody looks.
const ENDLESS: u64 = 1 << 40;

/// A job that reads made-up records.
struct Run<'a> {
    scratch: &'a Scratch,
    keys: u64,
    interval: &'a str,
    parallelism: u32,
    /// Processors that it may use; empty for all.
    cores: &'a str,
    /// Where its checkpoints lie; in a folder where there is none.
    store: Option<&'a S3>,
}

impl Run<'_> {
    fn command(&self, rows: u64) -> Command {
        let mut command = if self.cores.is_empty() {
            Command::new(main_job::binary())
        } else {
            let mut command = Command::new("taskset");
            command.args(["-c", self.cores]).arg(main_job::binary());
            command
        };
        command.arg("run").arg(workload("state")).args(["--set", &format!("ROWS={rows}")]);
        command.args(["--set", &format!("LAST_KEY={}", self.keys - 1)]);
        let checkpoints = self.store.map_or_else(|| "checkpoints".to_owned(), |store| store.url("bench-state"));
        command.envs(self.store.map(S3::env).unwrap_or_default());
        command.args(["--checkpoint-dir", &checkpoints]).args(running(self.interval, self.parallelism));
        command.current_dir(self.scratch.path()).env("TMPDIR", self.scratch.path());
        command
    }

    /// CPU and time of a run over so many records.
    fn cost(&self, rows: u64, limit: Duration) -> Result<measure::Usage, String> {
        let log = self.scratch.path().join("log");
        let _ = std::fs::remove_dir_all(self.scratch.path().join("checkpoints"));
        let usage = measure::run(&mut self.command(rows), &log, limit).map_err(|error| error.to_string())?;
        usage.success.then_some(usage).ok_or_else(|| format!("state: {}", end_of(&log)))
    }

    fn start(&self) -> Watched {
        let mut start = Start::default();
        let watch = Watch::on(&mut start);
        let mut command = self.command(ENDLESS);
        command.args(start.more);
        Watched { daemon: Daemon::spawn("aqueduct", command, &self.scratch.path().join("log")), watch }
    }
}

/// A run whose status is looked at.
struct Watched {
    daemon: Daemon,
    watch: Watch,
}

impl Watched {
    /// Polls until the status is as wanted, or time is over, and returns the last one.
    fn until(&mut self, within: Duration, mut ready: impl FnMut(&Value) -> bool) -> Result<Value, String> {
        let begun = Instant::now();
        let mut last = Value::Null;
        loop {
            if let Some(status) = self.watch.status() {
                last = status;
                if ready(&last) {
                    return Ok(last);
                }
            }
            if self.daemon.wait(Duration::from_millis(50)).is_some() {
                return Err(format!("state: the job ended:\n{}", self.daemon.log_tail()));
            }
            if begun.elapsed() > within {
                return Ok(last);
            }
        }
    }
}

/// Everything about so many keys.
///
/// # Errors
/// A run failed.
pub(crate) fn measure(keys: u64, arguments: &Arguments) -> Result<StateEntry, String> {
    let limit = Duration::from_secs(arguments.limit * 60);
    let small = Scratch::new("bench-state");
    let base = look(&Run { scratch: &small, keys: 10, interval: "1 s", parallelism: 1, cores: "", store: None }, 10)?;
    let scratch = Scratch::new("bench-state");
    let run = Run { scratch: &scratch, keys, interval: "1 s", parallelism: 1, cores: "", store: None };
    let looked = look(&run, CUTS)?;
    eprintln!("{keys} keys: {} cuts, peak {} MiB, {} panes", looked.cuts, looked.peak_mib, looked.panes);
    let restores = (0..RESTORES).map(|_| restore(&run)).collect::<Result<Vec<_>, _>>()?;
    let (restores, loads) = restores.into_iter().unzip();
    let from_s3 = restores_from_s3(&run)?;
    let rows = (arguments.millions * 8e6) as u64;
    let (mut prices, mut cores) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        prices.push(price(&run, rows, limit, round)?);
        cores.push(second_core(&run, rows, limit)?);
        eprintln!("{keys} keys, round {round}: checkpoints {:+.1} %, second core {:.2}", prices[round], cores[round]);
    }
    Ok(StateEntry {
        keys,
        origin: Origin::here(),
        millions: rows as f64 / 1e6,
        cuts: looked.cuts,
        pause_ms: looked.pause_ms,
        checkpoint_percent: prices,
        uploaded_to_changed: looked.uploaded_to_changed,
        base_mib: base.peak_mib as f64,
        peak_mib: looked.peak_mib as f64,
        bytes_per_key: (looked.peak_mib as f64 - base.peak_mib as f64) * 1_048_576.0 / looked.panes as f64,
        state_mib: looked.state_mib,
        restore_ms: restores,
        load_ms: loads,
        restore_from_s3_ms: from_s3,
        held_mib: looked.held_mib,
        second_core: cores,
    })
}

/// What a run told of itself.
struct Looked {
    cuts: u64,
    panes: u64,
    peak_mib: u64,
    pause_ms: f64,
    uploaded_to_changed: f64,
    state_mib: f64,
    held_mib: f64,
}

/// Lets a job run until it has cut often enough with all its keys, and stops it, so that its checkpoint is whole.
fn look(run: &Run<'_>, cuts: u64) -> Result<Looked, String> {
    let mut watched = run.start();
    let full = |status: &Value| number(status, "run_records") > run.keys * RECORDS_PER_KEY;
    watched.until(CUTTING, full)?;
    let status = watched.until(CUTTING, |status| number(&status["checkpoint"], "run_commits") >= cuts)?;
    let peak_mib = peak_mib(watched.daemon.pid());
    watched.daemon.signal(libc::SIGTERM);
    let ended = watched.daemon.wait(Duration::from_secs(120));
    if !ended.is_some_and(|status| status.success()) {
        return Err(format!("state: a stop ended with {ended:?}:\n{}", watched.daemon.log_tail()));
    }
    let checkpoint = &status["checkpoint"];
    let queries = status["queries"].as_array().cloned().unwrap_or_default();
    Ok(Looked {
        cuts: number(checkpoint, "run_commits"),
        panes: queries.iter().map(|query| number(query, "panes")).sum::<u64>().max(1),
        peak_mib,
        pause_ms: quantile_ms(&checkpoint["pauses"], 0.99),
        uploaded_to_changed: number(checkpoint, "run_state_bytes") as f64
            / number(checkpoint, "run_changed_bytes").max(1) as f64,
        state_mib: number(checkpoint, "last_total_bytes") as f64 / 1_048_576.0,
        held_mib: queries.iter().map(|query| number(query, "state_bytes")).sum::<u64>() as f64 / 1_048_576.0,
    })
}

/// The upper end of the step of a histogram in which a quantile lies, milliseconds.
fn quantile_ms(histogram: &Value, quantile: f64) -> f64 {
    let counts: Vec<u64> = histogram["counts"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let all = counts.iter().sum::<u64>() + number(histogram, "above");
    let mut left = (all as f64 * quantile).ceil() as u64;
    for (count, step_us) in counts.iter().zip(aqueduct_runtime::STEPS_US) {
        if left <= *count {
            return step_us as f64 / 1e3;
        }
        left -= count;
    }
    f64::INFINITY
}

/// Milliseconds that a start from the checkpoint took until records could be read, and then until all state was in memory.
fn restore(run: &Run<'_>) -> Result<(f64, f64), String> {
    let mut watched = Run { interval: "10 s", ..*run }.start();
    let of = |status: &Value, name: &str| status["checkpoint"][name].as_f64();
    let whole = |status: &Value| of(status, "restore_ms").is_some() && status["checkpoint"]["loading"] == false;
    let status = watched.until(Duration::from_secs(120), whole)?;
    watched.daemon.kill();
    let restored = of(&status, "restore_ms").filter(|_| whole(&status));
    let restored = restored.ok_or_else(|| format!("state: nothing was restored: {}", status["checkpoint"]))?;
    // What is little is read before the first record.
    Ok((restored, of(&status, "load_ms").unwrap_or(0.0)))
}

/// The same from an S3 server on this machine, where there is one.
fn restores_from_s3(run: &Run<'_>) -> Result<Vec<f64>, String> {
    let Some(store) = S3::try_start() else { return Ok(Vec::new()) };
    let scratch = Scratch::new("bench-state");
    let run = Run { scratch: &scratch, store: Some(&store), ..*run };
    look(&run, 1)?;
    (0..RESTORES).map(|_| restore(&run).map(|(restored, _)| restored)).collect()
}

/// What a checkpoint each 10 s adds to the CPU time of a run without any, per cent.
fn price(run: &Run<'_>, rows: u64, limit: Duration, round: usize) -> Result<f64, String> {
    let scratch = Scratch::new("bench-price");
    let cost = |interval| Run { scratch: &scratch, interval, ..*run }.cost(rows, limit).map(|usage| usage.cpu);
    // The one that comes first changes from round to round.
    let (with, without) = if round.is_multiple_of(2) {
        let with = cost("10 s")?;
        (with, cost("1 h")?)
    } else {
        let without = cost("1 h")?;
        (cost("10 s")?, without)
    };
    Ok((with.as_secs_f64() / without.as_secs_f64() - 1.0) * 100.0)
}

/// How many times as fast two reading threads on two processors are as one on one.
fn second_core(run: &Run<'_>, rows: u64, limit: Duration) -> Result<f64, String> {
    let scratch = Scratch::new("bench-cores");
    let rate = |parallelism, cores| {
        let run = Run { scratch: &scratch, interval: "10 s", parallelism, cores, ..*run };
        let brief = run.cost(rows / 5, limit)?;
        let whole = run.cost(rows, limit)?;
        Ok::<f64, String>(1.0 / (whole.wall - brief.wall).as_secs_f64())
    };
    Ok(rate(2, "0,1")? / rate(1, "0")?)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
