//! What is measured: the floors and the engine, each as one command over one topic, and the rows that it answered.

use crate::measure::{self, Usage};
use crate::topics::{Rows, Shape};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One thing that is run in every round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum System {
    /// The bare client.
    Raw,
    /// The bare client that reads every byte.
    Touch,
    /// The hand-written C program.
    Query,
    /// Aqueduct with a workload of `workloads/`.
    Aqueduct(&'static str),
}

/// What a run needs to know.
#[derive(Debug)]
pub(crate) struct Place {
    /// The binary.
    pub(crate) aqueduct: PathBuf,
    /// `host:port` of the broker.
    pub(crate) brokers: String,
    /// A folder for this run alone.
    pub(crate) folder: PathBuf,
    /// Reading threads of the engine.
    pub(crate) parallelism: u32,
}

impl System {
    /// As it stands in the report.
    pub(crate) fn name(self) -> String {
        match self {
            System::Raw => "raw client (C)".into(),
            System::Touch => "raw client, every byte read (C)".into(),
            System::Query => "hand-written query (C)".into(),
            System::Aqueduct(workload) => format!("aqueduct {workload}"),
        }
    }

    /// True when it answers the main job's query, so that its rows are compared.
    fn answers(self) -> bool {
        matches!(self, System::Query | System::Aqueduct("w3" | "w3-threads"))
    }

    /// Runs it over a topic.
    ///
    /// # Errors
    /// A text: it failed, or its rows are wrong, so that the run is void.
    pub(crate) fn run(self, place: &Place, shape: Shape, expected: &Rows) -> Result<Usage, String> {
        std::fs::create_dir_all(&place.folder).map_err(|error| format!("{}: {error}", place.folder.display()))?;
        let log = place.folder.join("log");
        let usage = measure::run(&mut self.command(place, shape), &log).map_err(|error| error.to_string())?;
        if !usage.success {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("{} failed:\n{text}", self.name()));
        }
        if self.answers() {
            let rows = self.rows(place)?;
            if &rows != expected {
                return Err(format!(
                    "{}: {} rows, {} expected, and they differ",
                    self.name(),
                    rows.len(),
                    expected.len()
                ));
            }
        }
        Ok(usage)
    }

    fn command(self, place: &Place, shape: Shape) -> Command {
        let mode = match self {
            System::Raw => "raw",
            System::Touch => "touch",
            System::Query => "query",
            System::Aqueduct(workload) => return aqueduct(place, shape, workload),
        };
        let mut command = Command::new(env!("FLOOR"));
        command.arg(mode).arg(&place.brokers).arg(shape.topic()).arg(place.folder.join("rows.csv"));
        command
    }

    fn rows(self, place: &Place) -> Result<Rows, String> {
        match self {
            System::Aqueduct(_) => crate::answers::results(&place.folder.join("results")),
            _ => crate::answers::csv(&place.folder.join("rows.csv")),
        }
    }
}

fn aqueduct(place: &Place, shape: Shape, workload: &str) -> Command {
    let sql = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads").join(format!("{workload}.sql"));
    let mut command = Command::new(&place.aqueduct);
    command.arg("run").arg(sql).current_dir(&place.folder).env("TMPDIR", &place.folder);
    command.args(["--set", &format!("TOPIC={}", shape.topic()), "--set", &format!("BROKERS={}", place.brokers)]);
    command.arg("--set").arg(format!("RESULTS={}", place.folder.join("results").display()));
    command.args(["-D", "execution.checkpointing.interval=10 s", "--checkpoint-dir", "checkpoints"]);
    command.args(["--log-format", "text", "--parallelism", &place.parallelism.to_string()]);
    command
}
