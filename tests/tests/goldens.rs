//! Every job is golden three ways: straight; killed and started again; killed and started again at another parallelism.
//!
//! Inputs and expected rows lie beside each job; `tests/golden.py` computes them without the engine. No service is needed.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Golden {
    job: &'static str,
    /// The tables that are read, each with a recording of its name.
    tables: &'static [&'static str],
    skip: &'static [&'static str],
    /// What is compared; rows come as JSON lines.
    question: &'static str,
}

const GOLDENS: [Golden; 2] = [
    Golden {
        job: "image-metrics",
        tables: &["product_images"],
        skip: &["results_topic", "analytics_metrics", "metrics_documents", "results_bucket"],
        question: "SELECT window_start, size_label, event_count, total_bytes, latest_event FROM results_folder ORDER BY 1, 2",
    },
    Golden {
        job: "payments",
        tables: &["payment_requested", "payment_succeeded"],
        skip: &["payment_metrics"],
        question: "SELECT window_start, currency, \"stream\", payments, CAST(total_amount AS VARCHAR) AS total_amount, \
                   CAST(mean_amount AS VARCHAR) AS mean_amount FROM payment_files ORDER BY 1, 2, 3",
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn binary() -> PathBuf {
    let beside = std::env::current_exe().unwrap();
    let path = beside.parent().and_then(Path::parent).unwrap().join("aqueduct");
    assert!(path.exists(), "{} is missing: build the workspace first (./dev build)", path.display());
    path
}

/// A copy of the job that replays its golden input at some speed.
fn prepare(golden: &Golden, folder: &Path, rows_per_second: Option<u32>) {
    let source = root().join("jobs").join(golden.job);
    std::fs::create_dir_all(folder.join("job")).unwrap();
    std::fs::copy(source.join("job.sql"), folder.join("job/job.sql")).unwrap();
    let mut toml = format!("[when-unset.GOLDEN_NEVER_SET]\nskip = {:?}\n", golden.skip);
    for table in golden.tables {
        let path = source.join(format!("golden/input/{table}.jsonl"));
        toml += &format!("[when-unset.GOLDEN_NEVER_SET.tables.{table}]\nconnector = \"replay\"\nformat = \"json\"\n");
        toml += &format!("path = {:?}\n", path.display().to_string());
        if let Some(speed) = rows_per_second {
            toml += &format!("rows-per-second = {speed}\n");
        }
    }
    std::fs::write(folder.join("job/job.toml"), toml).unwrap();
}

fn start(folder: &Path, parallelism: u32) -> Child {
    let mut command = Command::new(binary());
    command.args(["run", "job", "--no-panel", "--parallelism", &parallelism.to_string()]);
    command.args(["-D", "execution.checkpointing.interval=50 ms", "-D", "execution.checkpointing.min-pause=20 ms"]);
    command.current_dir(folder).env("TMPDIR", folder).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(folder.join("run.log")).unwrap()).spawn().unwrap()
}

fn finish(folder: &Path, parallelism: u32) {
    let status = start(folder, parallelism).wait().unwrap();
    assert!(status.success(), "{status}:\n{}", std::fs::read_to_string(folder.join("run.log")).unwrap());
}

/// Records in the job's claim log: claims and commits.
fn log_records(folder: &Path, job: &str) -> usize {
    let log = folder.join(".aqueduct/checkpoints").join(job).join("L1/s0/log");
    std::fs::read_dir(log).map_or(0, |entries| entries.count())
}

/// Kills a slow run once some epochs are committed.
fn kill_midway(golden: &Golden, folder: &Path, parallelism: u32) {
    let before = log_records(folder, golden.job);
    let mut child = start(folder, parallelism);
    let begun = Instant::now();
    while log_records(folder, golden.job) < before + 4 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no epoch was committed");
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn verify(golden: &Golden, folder: &Path) {
    let answer = Command::new(binary())
        .args(["query", "job", golden.question, "--format", "json"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let expected = root().join("jobs").join(golden.job).join("golden/expected.jsonl");
    let lines = |text: &str| -> Vec<serde_json::Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let made = lines(&String::from_utf8(answer.stdout).unwrap());
    let expected = lines(&std::fs::read_to_string(expected).unwrap());
    assert!(!expected.is_empty());
    for (made, expected) in made.iter().zip(&expected) {
        assert_eq!(made, expected, "job {}", golden.job);
    }
    assert_eq!(made.len(), expected.len(), "job {}", golden.job);
}

#[test]
fn straight() {
    for golden in &GOLDENS {
        let folder = tempfile::tempdir().unwrap();
        prepare(golden, folder.path(), None);
        finish(folder.path(), 2);
        verify(golden, folder.path());
    }
}

#[test]
fn killed_and_started_again() {
    for golden in &GOLDENS {
        let folder = tempfile::tempdir().unwrap();
        prepare(golden, folder.path(), Some(200));
        kill_midway(golden, folder.path(), 2);
        kill_midway(golden, folder.path(), 2);
        prepare(golden, folder.path(), None);
        finish(folder.path(), 2);
        verify(golden, folder.path());
    }
}

#[test]
fn killed_and_started_again_at_another_parallelism() {
    for golden in &GOLDENS {
        let folder = tempfile::tempdir().unwrap();
        prepare(golden, folder.path(), Some(200));
        kill_midway(golden, folder.path(), 3);
        kill_midway(golden, folder.path(), 1);
        prepare(golden, folder.path(), None);
        finish(folder.path(), 4);
        verify(golden, folder.path());
    }
}
