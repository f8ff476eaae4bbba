//! A running job as an operator and a murderer see it: its status door, its fail points, its end.
//!
//! It starts, waits and kills; what must hold afterwards is compared elsewhere.

use crate::main_job::{MainJob, Start, binary};
use crate::services::daemon::{Daemon, run};
use crate::watch::{self, Watch};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// Numbers that are the same in every run with the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    /// From `low` up to, and without, `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        low + (z ^ (z >> 31)) % (high - low)
    }
}

/// A number from the environment; `_` may part its digits.
pub fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok().filter(|text| !text.is_empty());
    given.map_or(default, |text| text.replace('_', "").parse().unwrap_or_else(|e| panic!("{variable}={text}: {e}")))
}

/// Every fail point that the binary knows.
pub fn fail_points() -> Vec<String> {
    let said = run(Command::new(binary()).arg("fail-points"));
    let names: Vec<String> = String::from_utf8_lossy(&said).lines().map(str::to_owned).collect();
    assert!(names.len() > 20, "aqueduct fail-points lists too few: {names:?}");
    names
}

/// What a process does at an armed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It dies by SIGKILL.
    Kill,
    /// It stops (SIGSTOP) and waits for SIGCONT.
    Stop,
}

/// The same start, with a point armed: the process acts when it passes the point for the `nth` time.
pub fn armed(start: &Start, point: &str, nth: u64, act: Act) -> Start {
    let act = if act == Act::Kill { "kill" } else { "stop" };
    let mut start = start.clone();
    start.env.push(("AQUEDUCT_FAIL_POINT".to_owned(), format!("{point}@{nth}={act}")));
    start
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> End {
        match (status.code(), status.signal()) {
            (Some(code), _) => End::Code(code),
            (None, signal) => End::Signal(signal.unwrap_or_default()),
        }
    }
}

/// A job that runs and is watched.
#[derive(Debug)]
pub struct Running {
    /// The process and its log.
    pub process: Daemon,
    watch: Watch,
    begun: Instant,
}

impl Running {
    /// Starts the job.
    pub fn start(job: &MainJob, start: &Start) -> Running {
        let mut start = start.clone();
        let watch = Watch::on(&mut start);
        Running { process: job.start(&start), watch, begun: Instant::now() }
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// `/status`; `None` while nobody answers there.
    pub fn status(&self) -> Option<Value> {
        self.watch.status()
    }

    /// Waits for its end; `None` when it lives on.
    pub fn end_within(&mut self, time: Duration) -> Option<End> {
        self.process.wait(time).map(End::from)
    }

    /// Polls the status until it says `what`; panics when the process ends before, or the time is over.
    pub fn wait_for(&mut self, what: &str, says: impl FnMut(&Value) -> bool) {
        self.watch.until(&mut self.process, Duration::from_secs(60), what, says);
    }

    /// Waits until the process has stopped itself; panics when it ends instead, or goes on for too long.
    pub fn wait_until_stopped(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        while !self.is_stopped() {
            let ended = self.end_within(Duration::from_millis(10));
            assert!(ended.is_none(), "the job ended ({ended:?}) and did not stop:\n{}", self.process.log_tail());
            assert!(Instant::now() < deadline, "the job did not stop within {within:?}:\n{}", self.process.log_tail());
        }
    }

    /// True while the kernel holds the process for a SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.pid())).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().next());
        state == Some("T")
    }
}

/// True when the job has sealed an epoch in this process.
pub fn has_sealed(status: &Value) -> bool {
    watch::number(&status["checkpoint"], "run_commits") > 0
}
