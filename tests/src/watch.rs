//! A running job seen from outside: its `/status`, its memory, and whether it has caught up.
//!
//! It waits for conditions with a deadline and panics with the job's log; it changes nothing.

use crate::main_job::Start;
use crate::services::daemon::{Daemon, free_port};
use crate::services::http;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A job that was started with `--http`.
#[derive(Debug)]
pub struct Watch {
    address: String,
}

impl Watch {
    /// Adds `--http` to a start; the watch is for the run that comes of it.
    pub fn on(start: &mut Start) -> Watch {
        let address = format!("127.0.0.1:{}", free_port());
        start.more.extend(["--http".to_owned(), address.clone()]);
        Watch { address }
    }

    /// The whole status; `None` while nobody answers.
    pub fn status(&self) -> Option<Value> {
        let reply = http::get(&format!("http://{}/status", self.address)).ok()?;
        (reply.status == 200).then(|| reply.json())
    }

    /// Polls until `ready`, and returns how long that took. Panics when the job ends first or time is over.
    pub fn until(
        &self,
        run: &mut Daemon,
        within: Duration,
        what: &str,
        mut ready: impl FnMut(&Value) -> bool,
    ) -> Duration {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if status.as_ref().is_some_and(&mut ready) {
                return begin.elapsed();
            }
            let ended = run.wait(Duration::from_millis(50));
            assert!(ended.is_none(), "{what}: the job ended ({ended:?}):\n{}", run.log_tail());
            let waited = begin.elapsed();
            assert!(waited < within, "{what}: not within {waited:?}; it says {}", status.unwrap_or_default());
        }
    }

    /// Waits until the job reads and has sealed an epoch.
    pub fn until_sealing(&self, run: &mut Daemon) {
        self.until(run, Duration::from_secs(60), "the first epoch", |status| {
            number(&status["checkpoint"], "epoch") > 0
        });
    }

    /// Waits until an epoch that was sealed from now on has come to every sink, and nothing is left from before.
    pub fn until_recovered(&self, run: &mut Daemon, within: Duration, what: &str) -> Duration {
        let mut sealed_before = None;
        self.until(run, within, &format!("recovery from: {what}"), |status| {
            let epoch = number(&status["checkpoint"], "epoch");
            // The epoch under way at this moment may have been cut before; the next one was not.
            let before = *sealed_before.get_or_insert(epoch + 1);
            let caught_up = |sink: &Value| number(sink, "backlog_epochs") == 0 || number(sink, "cursor") > before;
            epoch > before && sinks(status).iter().all(caught_up)
        })
    }
}

/// The sinks of a status.
pub fn sinks(status: &Value) -> &[Value] {
    status["sinks"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The sink of a table in a status.
pub fn sink<'a>(status: &'a Value, table: &str) -> &'a Value {
    sinks(status).iter().find(|sink| sink["table"] == table).unwrap_or_else(|| panic!("no sink {table} in {status}"))
}

/// A number in a part of a status; 0 where it is absent.
pub fn number(part: &Value, name: &str) -> u64 {
    part[name].as_u64().unwrap_or_default()
}

/// The greatest resident memory of a process since [`forget_peak`], MiB.
pub fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = peak.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.unwrap_or_default() / 1024
}

/// Begins to measure the peak anew.
pub fn forget_peak(pid: u32) {
    // A kernel that refuses leaves the peak of the whole run: larger, not wrong.
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}
