//! The other verbs of the binary on the main job, and what they said.

use super::{MainJob, Start, binary};
use crate::services::daemon::Daemon;
use serde_json::Value;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What a verb came to.
#[derive(Debug, Clone)]
pub struct Said {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Panics unless it ended with `code` and said all `parts`. Prints what it said, for those who judge its tone.
    pub fn expect(self, code: i32, parts: &[&str]) -> Said {
        println!("{}{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for part in parts {
            assert!(self.out.contains(part) || self.err.contains(part), "'{part}' is not in\n{}{}", self.out, self.err);
        }
        self
    }
}

impl MainJob {
    /// Starts the job, which must end by itself with `code`, and its last words must hold all `parts`. Prints them, for those who
    /// judge their tone.
    pub fn refused(&self, start: &Start, code: i32, parts: &[&str]) {
        let mut run = self.start(start);
        let status = run.wait(Duration::from_secs(90));
        assert_eq!(status.and_then(|status| status.code()), Some(code), "{:?}: {}", start.more, run.log_tail());
        let said = run.last_words();
        println!("{said}\n");
        for part in parts {
            assert!(said.contains(part), "'{part}' is not in the message:\n{said}");
        }
    }

    /// A verb that takes the job with its variables, such as `rewind`.
    pub fn verb(&self, start: &Start, verb: &[&str], more: &[&str]) -> Said {
        let mut command = Command::new(binary());
        command.args(verb).arg(self.folder().join("job"));
        for (name, value) in self.variables() {
            command.arg("--set").arg(format!("{name}={value}"));
        }
        command.args(["-D", &format!("pipeline.name={}", self.name)]);
        command.arg("--checkpoint-dir").arg(self.checkpoints(start)).args(more);
        self.said(start, command)
    }

    /// `aqueduct state VERB`.
    pub fn state(&self, start: &Start, verb: &str, more: &[&str]) -> Said {
        let mut command = Command::new(binary());
        command.args(["state", verb, &self.name, "--checkpoint-dir", &self.checkpoints(start)]).args(more);
        self.said(start, command)
    }

    /// A verb that is given nothing but these words.
    pub fn bare(&self, start: &Start, words: &[&str]) -> Said {
        let mut command = Command::new(binary());
        command.args(words);
        self.said(start, command)
    }

    fn said(&self, start: &Start, mut command: Command) -> Said {
        command.current_dir(self.folder()).envs(self.stage.env());
        command.envs(start.env.iter().map(|(name, value)| (name, value)));
        Said::of(&command.output().unwrap_or_else(|e| panic!("{command:?}: {e}")))
    }

    /// `aqueduct state show` as JSON: the newest epoch, or the one that is named.
    pub fn shown(&self, start: &Start, epoch: Option<u64>) -> Value {
        let epoch = epoch.map(|epoch| epoch.to_string());
        let mut more = vec!["--format", "json"];
        more.extend(epoch.iter().flat_map(|epoch| ["--epoch", epoch]));
        let said = self.state(start, "show", &more);
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.out))
    }

    /// Waits until a running job has sealed epoch `least`; panics when it ends before, or after a minute.
    pub fn until_epoch(&self, start: &Start, run: &mut Daemon, least: u64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.sealed(start) < least {
            assert!(run.wait(Duration::from_millis(100)).is_none(), "it should still read:\n{}", run.log_tail());
            assert!(Instant::now() < deadline, "no epoch {least}:\n{}", run.log_tail());
        }
    }

    /// The newest sealed epoch; 0 before the first.
    pub fn sealed(&self, start: &Start) -> u64 {
        let said = self.state(start, "show", &["--format", "json"]);
        let shown: Value = serde_json::from_str(&said.out).unwrap_or_default();
        shown["body"]["epoch"].as_u64().unwrap_or(0)
    }

    /// The newest sealed epoch, which there must be.
    pub fn epoch(&self, start: &Start) -> u64 {
        self.shown(start, None)["body"]["epoch"].as_u64().expect("an epoch is a number")
    }

    /// Where the checkpoints of `start` lie.
    pub fn checkpoint_url(&self, start: &Start) -> String {
        self.checkpoints(start)
    }
}
