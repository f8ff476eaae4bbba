//! What a figure depends on beside the programs: the machine, the day, the state of this repository.

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// Where a figure comes from.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct Origin {
    pub(crate) date: String,
    pub(crate) machine: String,
    /// The commit of this repository.
    pub(crate) commit: String,
    pub(crate) command: String,
}

impl Origin {
    /// Of a figure that is measured now.
    pub(crate) fn here() -> Origin {
        Origin { date: today(), machine: description(), commit: commit(), command: command() }
    }
}

/// `Intel(R) ... , 2 cores, 24 GB, Linux 6.1.0`
fn description() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let kib: f64 = field(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {cores} cores, {:.0} GB, Linux {}",
        field(&cpu, "model name").unwrap_or_else(|| "unknown processor".into()),
        kib * 1024.0 / 1e9,
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// The commit of this repository, with a mark if files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".into() };
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    if dirty { format!("{hash} with changes") } else { hash }
}

/// `2026-01-31`
pub(crate) fn today() -> String {
    chrono::Utc::now().format("%Y-%m-%d").to_string()
}

/// The line that started this.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("./dev bench {}", arguments.join(" ")).trim_end().to_owned()
}
