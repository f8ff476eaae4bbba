//! What is measured: floors, the engine and its peers, each as one command over one topic, and the rows that it answered.

use crate::answers::{self, Rows};
use crate::measure::{self, Usage};
use crate::peers::Peer;
use crate::topics::{Answers, PARTITIONS, Question, Shape};
use aqueduct_tests::services::{Kafka, Listener};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// One thing that is run in every round. The order is that of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum System {
    /// The bare client.
    Raw,
    /// The bare client that reads every byte.
    Touch,
    /// The hand-written C program for the main job's query.
    Query,
    /// The hand-written C program for the projection.
    Project,
    /// Aqueduct with a workload of `workloads/`.
    Aqueduct(&'static str),
    /// Another engine.
    Peer(Peer),
}

/// Floors and the engine.
pub(crate) const OWN: [System; 9] = [
    System::Raw,
    System::Touch,
    System::Query,
    System::Project,
    System::Aqueduct("w0"),
    System::Aqueduct("w1"),
    System::Aqueduct("w2"),
    System::Aqueduct("w3"),
    System::Aqueduct("w4"),
];

/// The main job with all sinks. It needs all services and topics of its own, so it runs only when it is named.
pub(crate) const WHOLE_JOB: System = System::Aqueduct("w5");

/// What a run needs to know.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The binary.
    pub(crate) aqueduct: PathBuf,
    pub(crate) kafka: &'a Kafka,
    /// The broker's door.
    pub(crate) listener: Listener,
    /// A folder for this run alone.
    pub(crate) folder: PathBuf,
    /// A topic for this run alone, for those who write rows to one.
    pub(crate) sink: String,
    /// Reading threads, of all systems but the floors.
    pub(crate) parallelism: u32,
    /// The most that a JVM's heap may grow to.
    pub(crate) heap_mib: u64,
    /// Where a peer's programs are.
    pub(crate) home: Option<PathBuf>,
    /// When a run is given up.
    pub(crate) limit: Duration,
    /// A program that the command is run by, with its arguments; mostly none.
    pub(crate) by: Vec<OsString>,
}

impl Place<'_> {
    /// The command, as it is run.
    fn by(&self, command: Command) -> Command {
        let Some((program, arguments)) = self.by.split_first() else { return command };
        let mut by = Command::new(program);
        by.args(arguments).arg(command.get_program()).args(command.get_args());
        by
    }

    /// `host:port` of the broker.
    pub(crate) fn brokers(&self) -> String {
        self.kafka.bootstrap(self.listener)
    }
}

impl System {
    /// The one with this name, among all.
    pub(crate) fn find(id: &str) -> Option<System> {
        OWN.into_iter().chain([WHOLE_JOB]).chain(Peer::ALL.map(System::Peer)).find(|system| system.id() == id)
    }

    /// Its name on the command line and in the stored results.
    pub(crate) fn id(self) -> &'static str {
        match self {
            System::Raw => "raw",
            System::Touch => "touch",
            System::Query => "query",
            System::Project => "project",
            System::Aqueduct(workload) => workload,
            System::Peer(peer) => peer.id(),
        }
    }

    /// As it stands in the report.
    pub(crate) fn title(self) -> String {
        match self {
            System::Raw => "raw client (C)".into(),
            System::Touch => "raw client, every byte read (C)".into(),
            System::Query => "hand-written query (C)".into(),
            System::Aqueduct("w0") => "**aqueduct** W0, consume and drop".into(),
            System::Aqueduct("w1") => "**aqueduct** W1, four fields, count".into(),
            System::Project => "hand-written projection (C)".into(),
            System::Aqueduct("w2") => "**aqueduct** W2, a fifth of the records to Kafka".into(),
            System::Aqueduct("w3") => "**aqueduct** W3, tumbling minute".into(),
            System::Aqueduct("w4") => "**aqueduct** W4, ten minutes each second".into(),
            System::Aqueduct("w5") => "**aqueduct** W5, the main job, TLS, all sinks".into(),
            System::Aqueduct(workload) => format!("**aqueduct** {workload}"),
            System::Peer(peer) => peer.title().into(),
        }
    }

    /// What it is asked; `None` for those whose rows are not compared.
    pub(crate) fn question(self) -> Option<Question> {
        match self {
            System::Query | System::Aqueduct("w3") => Some(Question::Minutes),
            System::Project | System::Aqueduct("w2") => Some(Question::Projection),
            System::Peer(peer) => Some(peer.question()),
            _ => None,
        }
    }

    /// True when its rows go to [`Place::sink`].
    fn fills_topic(self) -> bool {
        self.question() == Some(Question::Projection) || matches!(self, System::Peer(peer) if peer.is_streams())
    }

    /// Into how many parts the records are divided for it; it gets one.
    pub(crate) fn divisor(self) -> i64 {
        match self {
            System::Peer(peer) => peer.divisor(),
            WHOLE_JOB => 5,
            _ => 1,
        }
    }

    /// With more labels than this it is not run.
    pub(crate) fn most_keys(self) -> u64 {
        match self {
            // Each window of ten minutes has nearly every label, and one ends each second.
            System::Aqueduct("w4") => 10_000,
            System::Peer(peer) => peer.most_keys(),
            // Its records are its own.
            WHOLE_JOB => 10,
            _ => u64::MAX,
        }
    }

    /// Runs it over a topic.
    ///
    /// # Errors
    /// A text: it failed, or its rows are wrong, so that the run is void.
    pub(crate) fn run(self, place: &Place<'_>, shape: &Shape, expected: &Answers) -> Result<Usage, String> {
        if self == WHOLE_JOB {
            return crate::whole_job::run(shape.records, place.parallelism, place.limit);
        }
        std::fs::create_dir_all(&place.folder).map_err(|error| format!("{}: {error}", place.folder.display()))?;
        if self.fills_topic() {
            place.kafka.create_topic(&place.sink, PARTITIONS);
        }
        let log = place.folder.join("log");
        let mut command = place.by(self.command(place, shape)?);
        command.current_dir(&place.folder).env("TMPDIR", &place.folder);
        let usage = measure::run(&mut command, &log, place.limit).map_err(|error| format!("{}: {error}", self.id()))?;
        if !usage.success {
            return Err(format!("{} failed after {:?}:\n{}", self.id(), usage.wall, end_of(&log)));
        }
        if let Some(question) = self.question() {
            let (mut found, wanted) = (self.rows(place, question)?, expected.to(question));
            // A broker says that a transaction is committed before every partition shows it. What is too much never goes away.
            let deadline = Instant::now() + Duration::from_secs(20);
            while found != wanted && self.fills_topic() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(200));
                found = self.rows(place, question)?;
            }
            if found != wanted {
                return Err(format!("{}: {} rows, {} expected, and they differ", self.id(), found.count, wanted.count));
            }
        }
        self.forget_topics(place);
        Ok(usage)
    }

    /// The rows that it left behind, after it has ended well.
    fn rows(self, place: &Place<'_>, question: Question) -> Result<Rows, String> {
        match self {
            System::Query => answers::csv(&place.folder.join("rows.csv")),
            System::Peer(peer) => peer.rows(place),
            _ if question == Question::Projection => answers::projected(place.kafka, &place.sink),
            _ => answers::json_folder(&place.folder.join("results")),
        }
    }

    /// Rows in topics would fill the disk, run by run.
    fn forget_topics(self, place: &Place<'_>) {
        if self.fills_topic() {
            place.kafka.delete_topic(&place.sink);
        }
        if let System::Peer(peer) = self {
            peer.own_topics(place).iter().for_each(|topic| place.kafka.delete_topic(topic));
        }
    }

    fn command(self, place: &Place<'_>, shape: &Shape) -> Result<Command, String> {
        match (self, &place.home) {
            (System::Aqueduct(name), _) => return Ok(aqueduct(place, shape, name)),
            (System::Peer(peer), Some(home)) => return peer.command(home, place, shape),
            (System::Peer(_), None) => return Err("was not fetched".into()),
            _ => {}
        }
        let mut command = Command::new(env!("FLOOR"));
        command.arg(self.id()).arg(place.brokers()).arg(shape.topic());
        match self {
            System::Project => command.arg(&place.sink),
            _ => command.arg(place.folder.join("rows.csv")),
        };
        Ok(command)
    }
}

fn aqueduct(place: &Place<'_>, shape: &Shape, name: &str) -> Command {
    let mut command = Command::new(&place.aqueduct);
    command.arg("run").arg(workload(name));
    command.args(["--set", &format!("TOPIC={}", shape.topic()), "--set", &format!("BROKERS={}", place.brokers())]);
    command.arg("--set").arg(format!("SINK={}", place.sink));
    command.arg("--set").arg(format!("RESULTS={}", place.folder.join("results").display()));
    command.args(["--checkpoint-dir", "checkpoints"]).args(running("10 s", place.parallelism));
    command
}

/// What every run of the engine is told.
pub(crate) fn running(interval: &str, parallelism: u32) -> [String; 6] {
    let interval = format!("execution.checkpointing.interval={interval}");
    ["-D", &interval, "--log-format", "text", "--parallelism", &parallelism.to_string()].map(str::to_owned)
}

/// The statements of a workload.
pub(crate) fn workload(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads").join(format!("{name}.sql"))
}

/// The last lines of a log.
pub(crate) fn end_of(log: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
