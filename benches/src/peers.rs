//! The peers: other engines with the main job's query, each as one command, set as its own guide says for throughput, with checkpoints
//! and guarantees like the engine's. Their programs are in `peers/`; `peers/fetch` brings them from the package registries.

use crate::answers::{self, Rows};
use crate::systems::Place;
use crate::topics::{Question, Shape};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Another engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Peer {
    /// Flink SQL, state on the heap.
    FlinkHeap,
    /// Flink SQL, state in RocksDB, incremental checkpoints.
    FlinkRocksDb,
    /// Flink SQL with the projection.
    FlinkProjection,
    /// Kafka Streams, at-least-once.
    StreamsAtLeastOnce,
    /// Kafka Streams, exactly_once_v2.
    StreamsExactlyOnce,
    /// Bytewax.
    Bytewax,
    /// A PyFlink DataStream with Python functions, as the old job was.
    PyFlink,
}

impl Peer {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Peer; 7] = [
        Peer::FlinkHeap,
        Peer::FlinkRocksDb,
        Peer::FlinkProjection,
        Peer::StreamsAtLeastOnce,
        Peer::StreamsExactlyOnce,
        Peer::Bytewax,
        Peer::PyFlink,
    ];

    /// Its name on the command line and in the stored results.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Peer::FlinkHeap => "flink-heap",
            Peer::FlinkRocksDb => "flink-rocksdb",
            Peer::FlinkProjection => "flink-w2",
            Peer::StreamsAtLeastOnce => "streams",
            Peer::StreamsExactlyOnce => "streams-eos",
            Peer::Bytewax => "bytewax",
            Peer::PyFlink => "pyflink",
        }
    }

    /// As it stands in the report; versions are those of `pom.xml` and `requirements.txt`.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Peer::FlinkHeap => "Flink 2.2.1 SQL, heap",
            Peer::FlinkRocksDb => "Flink 2.2.1 SQL, RocksDB",
            Peer::FlinkProjection => "Flink 2.2.1 SQL, a fifth of the records to Kafka",
            Peer::StreamsAtLeastOnce => "Kafka Streams 4.3.0, at-least-once",
            Peer::StreamsExactlyOnce => "Kafka Streams 4.3.0, exactly_once_v2",
            Peer::Bytewax => "Bytewax 0.21.1",
            Peer::PyFlink => "PyFlink 2.2.1 DataStream, Python functions",
        }
    }

    /// The slow ones get a part of the records, or a round would take hours.
    pub(crate) fn divisor(self) -> i64 {
        if self == Peer::PyFlink { 5 } else { 1 }
    }

    /// With more labels than this it is not run: a round would take hours.
    pub(crate) fn most_keys(self) -> u64 {
        match self {
            Peer::FlinkHeap | Peer::FlinkRocksDb | Peer::FlinkProjection => 10_000_000,
            Peer::StreamsAtLeastOnce | Peer::StreamsExactlyOnce => 100_000,
            Peer::Bytewax | Peer::PyFlink => 10_000,
        }
    }

    /// What it is asked.
    pub(crate) fn question(self) -> Question {
        if self == Peer::FlinkProjection { Question::Projection } else { Question::Minutes }
    }

    pub(crate) fn is_streams(self) -> bool {
        matches!(self, Peer::StreamsAtLeastOnce | Peer::StreamsExactlyOnce)
    }

    /// True for those whose smallest heap is looked for.
    pub(crate) fn is_flink(self) -> bool {
        matches!(self, Peer::FlinkHeap | Peer::FlinkRocksDb)
    }

    fn package(self) -> &'static str {
        match self {
            Peer::FlinkHeap | Peer::FlinkRocksDb | Peer::FlinkProjection => "flink-sql",
            Peer::StreamsAtLeastOnce | Peer::StreamsExactlyOnce => "kafka-streams",
            Peer::Bytewax => "bytewax",
            Peer::PyFlink => "pyflink",
        }
    }

    /// Brings its programs into the cache folder; the folder they are in.
    ///
    /// # Errors
    /// They cannot be had.
    pub(crate) fn fetch(self) -> Result<PathBuf, String> {
        let mut command = Command::new(sources("fetch"));
        let command = command.arg(self.package()).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("peers/fetch {} failed (see above)", self.package()));
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }

    /// Its command. What has to be there before it starts is made here, and is no part of the run.
    ///
    /// # Errors
    /// A file cannot be written, or a tool failed.
    pub(crate) fn command(self, home: &Path, place: &Place<'_>, shape: &Shape) -> Result<Command, String> {
        match self {
            Peer::FlinkHeap | Peer::FlinkRocksDb | Peer::FlinkProjection => self.flink(home, place, shape),
            Peer::StreamsAtLeastOnce | Peer::StreamsExactlyOnce => Ok(self.streams(home, place, shape)),
            Peer::Bytewax => bytewax(home, place, shape),
            Peer::PyFlink => Ok(pyflink(home, place, shape)),
        }
    }

    /// The rows that it left behind, after it has ended well.
    pub(crate) fn rows(self, place: &Place<'_>) -> Result<Rows, String> {
        match self {
            Peer::FlinkHeap | Peer::FlinkRocksDb => answers::json_folder(&place.folder.join("results")),
            Peer::FlinkProjection => answers::projected(place.kafka, &place.sink),
            Peer::PyFlink => answers::csv_folder(&place.folder.join("results")),
            Peer::Bytewax => answers::csv(&place.folder.join("rows.csv")),
            Peer::StreamsAtLeastOnce | Peer::StreamsExactlyOnce => answers::updates(place.kafka, &place.sink),
        }
    }

    /// Topics that it made itself; they hold all records once more.
    pub(crate) fn own_topics(self, place: &Place<'_>) -> Vec<String> {
        let names: &[&str] = if self.is_streams() { &["by-label-repartition", "minutes-changelog"] } else { &[] };
        names.iter().map(|name| format!("{}-{name}", place.sink)).collect()
    }

    fn flink(self, home: &Path, place: &Place<'_>, shape: &Shape) -> Result<Command, String> {
        let path = place.folder.join("query.sql");
        let workload = if self.question() == Question::Projection { "w2" } else { "w3" };
        let sql = std::fs::read_to_string(crate::systems::workload(workload)).map_err(|error| error.to_string())?;
        std::fs::write(&path, flink_sql(&sql, place, shape)).map_err(|error| error.to_string())?;
        let mut command = java(home, place.heap_mib);
        command.args(FLINK_OPENS.iter().map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")));
        command.args(["-XX:+ExitOnOutOfMemoryError", "FlinkSql"]).arg(path).arg(place.parallelism.to_string());
        command.args(flink_settings(place, "10 s"));
        command.args(["table.exec.mini-batch.enabled=true", "table.exec.mini-batch.allow-latency=2 s"]);
        command.args(["table.exec.mini-batch.size=50000", "table.local-time-zone=UTC"]);
        // Managed memory holds the windows' buffers; with RocksDB also its memtables and block cache.
        match self {
            Peer::FlinkRocksDb => command.args(["state.backend.type=rocksdb", "taskmanager.memory.managed.size=512m"]),
            _ => command.args(["state.backend.type=hashmap", "taskmanager.memory.managed.size=256m"]),
        };
        Ok(command)
    }

    fn streams(self, home: &Path, place: &Place<'_>, shape: &Shape) -> Command {
        let mut command = java(home, place.heap_mib);
        command.arg("Streams").arg(place.brokers()).arg(shape.topic()).arg(&place.sink);
        command.arg(format!("application.id={}", place.sink));
        command.arg(format!("state.dir={}", place.folder.join("state").display()));
        command.arg(format!("num.stream.threads={}", place.parallelism));
        command.args(["commit.interval.ms=10000", "statestore.cache.max.bytes=268435456", "topology.optimization=all"]);
        command.args(["auto.offset.reset=earliest", "consumer.max.poll.records=10000"]);
        command.args(["consumer.max.partition.fetch.bytes=4194304", "producer.linger.ms=100"]);
        command.args(["producer.batch.size=262144", "producer.buffer.memory=67108864"]);
        match self {
            // The limit of a transaction has to be above the interval of commits.
            Peer::StreamsExactlyOnce => {
                command.args(["processing.guarantee=exactly_once_v2", "producer.transaction.timeout.ms=120000"])
            }
            _ => command.arg("processing.guarantee=at_least_once"),
        };
        command
    }
}

/// The engine's own statements, with what Flink says otherwise: its form of ISO times, and the tuning of its Kafka client.
fn flink_sql(sql: &str, place: &Place<'_>, shape: &Shape) -> String {
    let source = "'scan.startup.mode' = 'earliest-offset',\n    'properties.max.poll.records' = '10000',\n    \
                  'properties.max.partition.fetch.bytes' = '4194304'";
    sql.replace("${TOPIC}", &shape.topic())
        .replace("${BROKERS}", &place.brokers())
        .replace("${SINK}", &place.sink)
        .replace("${RESULTS}", &place.folder.join("results").display().to_string())
        .replace("'scan.startup.mode' = 'earliest-offset'", source)
        // Its own limit of a transaction is an hour, which is above the broker's.
        .replace("'exactly-once'", "'exactly-once', 'properties.transaction.timeout.ms' = '600000'")
        .replace("'format' = 'json'", "'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'")
}

/// What Flink's own scripts open to it.
const FLINK_OPENS: [&str; 12] = [
    "java.lang",
    "java.net",
    "java.io",
    "java.nio",
    "sun.nio.ch",
    "java.lang.reflect",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
];

fn flink_settings(place: &Place<'_>, interval: &str) -> Vec<String> {
    let folder = place.folder.display();
    vec![
        format!("execution.checkpointing.interval={interval}"),
        "execution.checkpointing.mode=EXACTLY_ONCE".into(),
        "execution.checkpointing.incremental=true".into(),
        format!("execution.checkpointing.dir=file://{folder}/checkpoints"),
        "pipeline.object-reuse=true".into(),
        format!("io.tmp.dirs={folder}"),
        format!("state.backend.rocksdb.localdir={folder}/rocksdb"),
    ]
}

fn java(home: &Path, heap_mib: u64) -> Command {
    let mut command = Command::new("java");
    command.arg(format!("-Xmx{heap_mib}m")).arg("-cp");
    command.arg(format!("{0}/classes:{0}/jars/*", home.display()));
    command
}

fn bytewax(home: &Path, place: &Place<'_>, shape: &Shape) -> Result<Command, String> {
    let (python, state) = (home.join("venv/bin/python"), place.folder.join("state"));
    std::fs::create_dir_all(&state).map_err(|error| error.to_string())?;
    let workers = place.parallelism.to_string();
    let made = Command::new(&python).args(["-m", "bytewax.recovery"]).arg(&state).arg(&workers).status();
    if !made.is_ok_and(|status| status.success()) {
        return Err("bytewax.recovery failed".into());
    }
    let rows = place.folder.join("rows.csv");
    let mut command = Command::new(python);
    command.args(["-m", "bytewax.run", "flow", "-s", "10", "-b", "0", "-w", &workers, "-r"]).arg(state);
    command.env("PYTHONPATH", sources("bytewax")).env("PYTHONDONTWRITEBYTECODE", "1").env("ROWS", rows);
    command.env("BROKERS", place.brokers()).env("TOPIC", shape.topic());
    command.env("WAIT_SECONDS", wait_seconds(shape, 400_000).to_string());
    Ok(command)
}

fn pyflink(home: &Path, place: &Place<'_>, shape: &Shape) -> Command {
    let python = home.join("venv/bin/python");
    let connector = std::fs::read_dir(home.join("jars")).into_iter().flatten().flatten();
    let connector = connector.map(|entry| entry.path()).find(|jar| jar.to_string_lossy().contains("connector-kafka"));
    let mut command = Command::new(&python);
    command.arg(sources("pyflink/job.py")).arg(place.brokers()).arg(shape.topic());
    command.arg(place.folder.join("results")).arg(connector.unwrap_or_default());
    command.arg(wait_seconds(shape, 100_000).to_string()).arg(place.parallelism.to_string());
    command.args(flink_settings(place, "10 s"));
    command.args(["state.backend.type=rocksdb", "taskmanager.memory.managed.size=512m"]);
    command.args(["python.execution-mode=process", "python.fn-execution.bundle.size=100000"]);
    command.arg(format!("python.executable={}", python.display()));
    command.arg(format!("python.client.executable={}", python.display()));
    command.env("JVM_ARGS", format!("-Xmx{}m", place.heap_mib)).env("FLINK_LOG_DIR", &place.folder);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", home.join("venv/bin").display())).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// How far one partition may run ahead of another, as event time.
fn wait_seconds(shape: &Shape, records: i64) -> i64 {
    (records * shape.step_us() / 1_000_000).clamp(60, 7200)
}

fn sources(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}
