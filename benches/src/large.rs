//! More keys than memory holds: the job ends within a limit of memory, and every row is right.
//!
//! The job is `workloads/large.sql`. Its rows are asked for in SQL, by the engine's own `query`.

use crate::book::LargeEntry;
use crate::machine::Origin;
use crate::systems::{end_of, running, workload};
use crate::{Arguments, answers, measure};
use aqueduct_tests::main_job;
use aqueduct_tests::services::daemon::Scratch;
use aqueduct_tests::services::skipped;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What the process may take, MiB, and what of it the windows may.
const LIMIT: u64 = 4096;
const MANAGED: &str = "1600mb";

/// A control group with a limit of memory; it is removed at the end.
struct Group(PathBuf);

impl Group {
    /// `None` where this user cannot make one.
    fn new(limit_mib: u64) -> Option<Group> {
        let name = format!("aqueduct-bench-{}", std::process::id());
        let places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        places.iter().find_map(|(root, file)| {
            let folder = Path::new(root).join(&name);
            let root = Path::new(root).join("cgroup.procs");
            (root.exists() && std::fs::create_dir(&folder).is_ok()).then_some(())?;
            let group = Group(folder);
            std::fs::write(group.0.join(file), (limit_mib << 20).to_string()).is_ok().then_some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Runs the job over so many keys.
///
/// # Errors
/// It fails, or a row is wrong.
pub(crate) fn measure(keys: u64, arguments: &Arguments) -> Result<LargeEntry, String> {
    let rounds = ((arguments.millions * 1e6) as u64).div_ceil(keys).max(1);
    let scratch = Scratch::new("bench-large");
    let log = scratch.path().join("log");
    let group = Group::new(LIMIT);
    if group.is_none() {
        skipped("a limit of memory", "no control group can be made here: memory is only looked at");
    }
    let mut command = match &group {
        // The shell enters the group and becomes the job.
        Some(group) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]).arg(&group.0).arg(main_job::binary());
            shell
        }
        None => Command::new(main_job::binary()),
    };
    job(&mut command, "run", keys, rounds, &scratch);
    command.args(running("10 s", arguments.parallelism));
    command.args(["-D", &format!("taskmanager.memory.managed.size={MANAGED}")]);
    let limit = Duration::from_secs(arguments.limit * 60);
    let usage = measure::run(&mut command, &log, limit).map_err(|error| error.to_string())?;
    let peak_mib = usage.peak_mib() as u64;
    if !usage.success || peak_mib > LIMIT {
        return Err(format!("large: peak {peak_mib} MiB\n{}", end_of(&log)));
    }
    eprintln!(
        "{keys} keys: peak {peak_mib} MiB, {:.0} s, {:.0} CPU-s",
        usage.wall.as_secs_f64(),
        usage.cpu.as_secs_f64()
    );
    check(keys, rounds, &scratch)?;
    Ok(LargeEntry {
        keys,
        origin: Origin::here(),
        records: keys * rounds,
        limit_mib: group.map(|_| LIMIT),
        peak_mib,
        cpu_seconds: usage.cpu.as_secs_f64(),
        seconds: usage.wall.as_secs_f64(),
    })
}

fn job(command: &mut Command, verb: &str, keys: u64, rounds: u64, scratch: &Scratch) {
    command.arg(verb).arg(workload("large")).args(["--checkpoint-dir", "checkpoints"]);
    command.args(["--set", &format!("ROWS={}", keys * rounds), "--set", &format!("KEYS={keys}")]);
    command.current_dir(scratch.path()).env("TMPDIR", scratch.path());
}

/// Key `k` has the values `k`, `k + keys` and so on, one of each round.
fn check(keys: u64, rounds: u64, scratch: &Scratch) -> Result<(), String> {
    let (last, between) = (rounds - 1, keys * rounds * (rounds - 1) / 2);
    let most = format!("k + {}", last * keys);
    let right = format!(
        "n = {rounds} AND total = {rounds} * k + {between} AND least = k AND most = {most} AND mean = total / {rounds}"
    );
    let sql = format!(
        "SELECT COUNT(*) AS c, MIN(k) AS a, MAX(k) AS z, SUM(k) AS s, SUM(CASE WHEN {right} THEN 1 ELSE 0 END) AS r FROM results"
    );
    let mut query = Command::new(main_job::binary());
    job(&mut query, "query", keys, rounds, scratch);
    let found = answers::queried(query, &sql)?;
    let expected = format!("{keys},0,{},{},{keys}", keys - 1, keys * (keys - 1) / 2);
    if found == expected { Ok(()) } else { Err(format!("large: expected {expected}, the rows say {found}")) }
}
