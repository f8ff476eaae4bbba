//! The main job as Dataproc's Hadoop job: the same wrapper, the same files and the same options of YARN's distributed shell, all read from
//! `terraform/gcp/dataproc`.
//!
//! The client's process is what Dataproc calls the job's driver: its exit code decides whether Dataproc submits again.

use super::containers::{self, Program};
use super::{Yarn, java};
use crate::main_job::{MainJob, Start, binary, workspace};
use crate::services::daemon::Daemon;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How a job is submitted: the settings of a job in the Terraform module.
#[derive(Debug, Clone)]
pub struct Submission {
    /// How often a dead program is started again in its container.
    pub retries: u32,
    /// Containers live on when the application master dies (`survive_master_restart`).
    pub keep: bool,
    /// Only machines with this label will do.
    pub label: Option<&'static str>,
    /// More arguments of `aqueduct run`.
    pub more: Vec<String>,
}

impl Default for Submission {
    fn default() -> Self {
        Submission { retries: 30, keep: true, label: None, more: Vec::new() }
    }
}

/// How a copy of the program ended, as the wrapper told the log's copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The container.
    pub container: String,
    /// The program's own exit code.
    pub program: i32,
    /// The wrapper was told to stop.
    pub told: bool,
    /// The code that YARN saw.
    pub container_code: i32,
    /// All that the container wrote to stderr.
    pub log: String,
}

/// A submitted job.
#[derive(Debug)]
pub struct Application<'a> {
    yarn: &'a Yarn,
    client: Daemon,
    id: String,
    folder: PathBuf,
}

impl Yarn {
    /// Submits the job; returns when YARN has given the application its number.
    pub fn submit(&self, job: &MainJob, start: &Start, submission: &Submission) -> Application<'_> {
        let folder = (0..).map(|number| job.folder().join(format!("submission-{number}"))).find(|path| !path.exists());
        let folder = folder.expect("numbers do not end");
        let files = hand_in(job, start, submission, &folder);
        let words = self.words(&job.name, &files, submission);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = java(&self.jars, &self.conf(), self.folder.path(), &words);
        command.current_dir(&folder);
        let mut client = Daemon::spawn("the submission", command, &folder.join("client.log"));
        let number = |client: &Daemon| application_id(&client.log());
        let deadline = Instant::now() + Duration::from_secs(120);
        let id = loop {
            if let Some(id) = number(&client) {
                break id;
            }
            let ended = client.wait(Duration::from_millis(50));
            assert!(ended.is_none() && Instant::now() < deadline, "not submitted ({ended:?}):\n{}", client.log_tail());
        };
        Application { yarn: self, client, id, folder }
    }

    /// The class and its arguments, from the file that Terraform fills in.
    fn words(&self, name: &str, files: &[String], submission: &Submission) -> Vec<String> {
        let path = workspace().join("terraform/gcp/dataproc/submission.args");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let values = [
            ("jar", self.shell_jar()),
            ("name", name.to_owned()),
            ("files", files.join(",")),
            ("memory_mib", "1024".to_owned()),
            ("cores", "2".to_owned()),
            ("retries", submission.retries.to_string()),
            ("retry_interval_ms", "1000".to_owned()),
            ("retry_window_ms", "3600000".to_owned()),
        ];
        let filled = values.iter().fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
        assert!(!filled.contains("${"), "{} holds a name that nobody fills in:\n{filled}", path.display());
        let arguments = filled.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned);
        let mut words = vec!["org.apache.hadoop.yarn.applications.distributedshell.Client".to_owned()];
        words.extend(arguments);
        if submission.keep {
            words.push("-keep_containers_across_application_attempts".to_owned());
        }
        if let Some(label) = submission.label {
            words.extend(["-node_label_expression".to_owned(), label.to_owned()]);
        }
        words
    }

    fn shell_jar(&self) -> String {
        let files = std::fs::read_dir(&self.jars).unwrap_or_else(|e| panic!("{}: {e}", self.jars.display()));
        let mut names = files.flatten().map(|file| file.path().display().to_string());
        names.find(|name| name.contains("distributedshell")).expect("./dev yarn fetches the distributed shell")
    }
}

/// Lays out what Terraform puts into the artifacts' folder; returns the files' names.
fn hand_in(job: &MainJob, start: &Start, submission: &Submission, folder: &Path) -> Vec<String> {
    std::fs::create_dir(folder).expect("the job's folder can be written");
    let put =
        |name: &str, text: String| std::fs::write(folder.join(name), text).expect("the job's folder can be written");
    let copy = |from: &Path, name: &str| {
        std::fs::copy(from, folder.join(name)).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    };
    let variables = job.variables().into_iter().chain(job.stage.env());
    let kept = folder.join("kept").display().to_string();
    // As Terraform sets it: a folder of the container would be gone with it, and its successor would miss what it held.
    let results = job.stage.gcs.url(&format!("{}/files", job.name));
    let lines = variables
        .chain([("AQUEDUCT_LOG_COPY", kept), ("RESULTS_DIR", results)])
        .map(|(name, value)| format!("{name}={value}\n"));
    put("deployment.env", lines.collect());
    let arguments = job.arguments(start).into_iter().chain(submission.more.iter().cloned());
    put("deployment.args", arguments.map(|argument| format!("{argument}\n")).collect());
    for name in ["job.sql", "job.toml"] {
        copy(&job.folder().join("job").join(name), name);
    }
    copy(&workspace().join("terraform/gcp/dataproc/scripts/aqueduct-yarn"), "aqueduct-yarn");
    std::os::unix::fs::symlink(binary(), folder.join("aqueduct")).expect("the job's folder can be written");
    ["aqueduct-yarn", "deployment.args", "deployment.env", "job.sql", "job.toml", "aqueduct"]
        .map(str::to_owned)
        .to_vec()
}

fn application_id(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("Submitted application application_"))?;
    line.split_whitespace().find(|word| word.starts_with("application_")).map(str::to_owned)
}

impl Application<'_> {
    /// YARN's name for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The copies of the program that run for it now.
    pub fn programs(&self) -> Vec<Program> {
        containers::programs(&self.id)
    }

    /// SIGKILL to its application master, once there is one.
    pub fn kill_master(&mut self) {
        let masters = self.until(Duration::from_secs(180), "an application master", |this| {
            Some(containers::masters(&this.id)).filter(|masters| !masters.is_empty())
        });
        masters.into_iter().for_each(containers::kill);
    }

    /// True while an application master runs.
    pub fn has_master(&self) -> bool {
        !containers::masters(&self.id).is_empty()
    }

    /// What the resource manager says of it.
    pub fn said(&self, field: &str) -> String {
        let said = self.yarn.application(&self.id);
        said[field].as_str().map_or_else(|| said[field].to_string(), str::to_owned)
    }

    /// The one copy that runs, once there is one.
    pub fn program(&mut self) -> Program {
        self.program_beside(&[])
    }

    /// A copy that is none of these, once there is one.
    pub fn program_beside(&mut self, others: &[Program]) -> Program {
        self.until(Duration::from_secs(240), "a copy of the program", |this| {
            this.programs().into_iter().find(|program| !others.contains(program))
        })
    }

    /// Waits; panics with what is known when the time is over.
    pub fn until<T>(&mut self, within: Duration, what: &str, mut ready: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = ready(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what}: not within {within:?}\n{}", self.known());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the client has ended with this exit code; panics with what is known when it does not.
    pub fn client_ends(&mut self, within: Duration, code: i32) {
        let status = self.client.wait(within);
        let found = status.and_then(|status| status.code());
        assert_eq!(found, Some(code), "the submission's exit code, within {within:?}\n{}", self.known());
    }

    /// How copies ended so far, the earliest first; copies whose wrapper was killed left no word.
    pub fn ends(&self) -> Vec<End> {
        let list = |folder: &Path| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<PathBuf>>()
        };
        let mut runs: Vec<PathBuf> = list(&self.folder.join("kept")).iter().flat_map(|folder| list(folder)).collect();
        runs.sort_by_key(|run| run.file_name().map(std::ffi::OsStr::to_owned));
        runs.iter().filter_map(|run| end_of(run)).collect()
    }

    /// The end of the copy in a container, once it has ended.
    pub fn end_of(&mut self, program: &Program) -> End {
        let container = program.container();
        self.until(Duration::from_secs(240), &format!("the end of {container}"), |this| {
            this.ends().into_iter().find(|end| end.container == container)
        })
    }

    /// For the one who reads why a test failed.
    fn known(&self) -> String {
        let mut text = format!("{}\n{}", self.yarn.application(&self.id), self.client.log_tail());
        for end in self.ends() {
            let log =
                end.log.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
            text.push_str(&format!("\n{}: {} -> {}\n{log}", end.container, end.program, end.container_code));
        }
        text
    }
}

impl Drop for Application<'_> {
    /// A test that failed leaves nothing running; elsewhere there is nothing left.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.yarn.forget(&self.id);
        }
        containers::kill_all_of(&self.id);
    }
}

/// From the last line that the wrapper writes before it copies the log.
fn end_of(run: &Path) -> Option<End> {
    let log = std::fs::read_to_string(run.join("stderr")).ok()?;
    let line = log.lines().rev().find(|line| line.starts_with("aqueduct-yarn: exit code of the program: "))?;
    let value = |name: &str| line.split_once(name)?.1.split(';').next().map(str::trim);
    let container = run.parent()?.file_name()?.to_string_lossy().into_owned();
    Some(End {
        container,
        program: value("exit code of the program:")?.parse().ok()?,
        told: value("told to stop:")? == "yes",
        container_code: value("; exit code:")?.parse().ok()?,
        log,
    })
}
