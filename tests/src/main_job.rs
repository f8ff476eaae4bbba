//! The main job on real services: a topic of generated records, the binary as a process of its own, the four sinks.
//!
//! Here it is set up and started; [`verify`](MainJob::verify) compares every sink with the [`Oracle`], row by row.

mod sinks;
mod verbs;

pub use verbs::Said;

use crate::oracle::Oracle;
use crate::services::daemon::{Daemon, Scratch};
use crate::services::{Postgres, Record, unique};
use crate::stage::Stage;
use aqueduct_generate::records::RecordMaker;
use aqueduct_generate::{DatagenConfig, Template};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Partitions of the topic; the last one stays empty.
pub const PARTITIONS: i32 = 4;

/// How many records the tests use: `AQUEDUCT_RECORDS`, or 200,000.
pub fn record_count() -> i64 {
    let given = std::env::var("AQUEDUCT_RECORDS").ok();
    given.map_or(200_000, |text| text.replace('_', "").parse().expect("AQUEDUCT_RECORDS is a number"))
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are a room of the workspace").to_owned()
}

/// The binary.
pub fn binary() -> PathBuf {
    program("aqueduct")
}

/// A program of the workspace, which `cargo build --workspace` puts beside the tests' folder.
pub fn program(name: &str) -> PathBuf {
    let us = std::env::current_exe().expect("a process knows its program");
    let folders = us.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.exists());
    found.unwrap_or_else(|| panic!("no {name} beside {}: cargo build --release --workspace comes first", us.display()))
}

/// The records of the tests: 5 s of disorder, 1 % late, 0.1 % malformed, numbers as text, missing fields, times in many shapes.
pub fn generator(records: i64, seed: u64) -> DatagenConfig {
    DatagenConfig {
        seed,
        number_of_rows: Some(records),
        rows_per_second: None,
        partitions: PARTITIONS,
        idle_partitions: 1,
        start_us: 1_767_225_600_000_000,
        time_step_us: 20_000,
        disorder_us: 5_000_000,
        late_fraction: 0.01,
        late_by_us: 65_000_000,
        malformed_fraction: 0.001,
        missing_fraction: 0.01,
        text_number_fraction: 0.05,
        key_cardinality: 10,
        mixed_times: true,
        template: Template::ProductImages,
    }
}

/// What a job is made from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The records of the topic.
    pub generator: DatagenConfig,
    /// At most so many records in a batch of the topic; the broker hands out whole batches.
    pub batch: u32,
    /// More options of the source table, each with a comma at its end.
    pub source_options: String,
}

impl Setup {
    /// The usual records, read as fast as they can be.
    pub fn quick(records: i64, seed: u64) -> Setup {
        Setup { generator: generator(records, seed), batch: 10_000, source_options: String::new() }
    }

    /// In small batches that the broker can hand out slowly, and without the silent partition, which would keep every
    /// window open to the end: windows fire and results are delivered all the time.
    pub fn steady(records: i64, seed: u64) -> Setup {
        let small_fetches =
            "'properties.fetch.message.max.bytes' = '16384',\n    'properties.fetch.min.bytes' = '1',\n";
        let generator = DatagenConfig { idle_partitions: 0, ..generator(records, seed) };
        Setup { generator, batch: 50, source_options: small_fetches.to_owned() }
    }
}

/// How a run of the job is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// Reading threads.
    pub parallelism: u32,
    /// `file://`, a path, `gs://` or `s3://`; `None` is a folder of the test's own.
    pub checkpoints: Option<String>,
    /// Milliseconds between checkpoints.
    pub interval_ms: u32,
    /// More arguments.
    pub more: Vec<String>,
    /// More of the environment.
    pub env: Vec<(String, String)>,
    /// A program and its arguments that run the binary, such as `ip netns exec NAME`; empty for none.
    pub wrapper: Vec<String>,
}

impl Default for Start {
    fn default() -> Self {
        let (more, env, wrapper) = (Vec::new(), Vec::new(), Vec::new());
        Start { parallelism: 2, checkpoints: None, interval_ms: 500, more, env, wrapper }
    }
}

/// What becomes of records that a test adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The oracle reads them as it reads all others.
    ByOracle,
    /// Each is a dead letter, by a rule that the oracle does not know.
    Dead,
}

/// The main job, its topic and its sinks, under names that no other test uses.
#[derive(Debug)]
pub struct MainJob {
    /// `pipeline.name`, the input topic, the collection; everything else is named after it.
    pub name: String,
    /// What is expected.
    pub oracle: Oracle,
    /// The services.
    pub stage: Arc<Stage>,
    dead_values: BTreeMap<(i32, i64), Vec<u8>>,
    config: DatagenConfig,
    bytes: u64,
    database: String,
    folder: Scratch,
    starts: std::sync::atomic::AtomicU32,
}

impl MainJob {
    /// Makes topics, tables and the job's folder, and fills the topic; on the services of this test run.
    pub async fn prepare(name: &str, records: i64, seed: u64) -> MainJob {
        MainJob::prepare_on(Stage::shared(), name, records, seed).await
    }

    /// The same on other services.
    pub async fn prepare_on(stage: Arc<Stage>, name: &str, records: i64, seed: u64) -> MainJob {
        MainJob::prepare_as(stage, name, &Setup::quick(records, seed)).await
    }

    /// As [`MainJob::prepare`], with a broker that hands the records out so slowly that it takes about so many seconds: time to
    /// disturb the job.
    pub async fn prepare_slow(name: &str, records: i64, seed: u64, seconds: u64) -> MainJob {
        MainJob::prepare_slow_on(Stage::shared(), name, records, seed, seconds).await
    }

    /// The same on other services.
    pub async fn prepare_slow_on(stage: Arc<Stage>, name: &str, records: i64, seed: u64, seconds: u64) -> MainJob {
        let mut setup = Setup::steady(records, seed);
        // A window closes about every second, however slow the reading is.
        let step = i64::try_from(seconds).expect("a time") * 60_000_000 / records.max(1);
        setup.generator.time_step_us = setup.generator.time_step_us.max(step);
        let job = MainJob::prepare_as(stage, name, &setup).await;
        job.read_within(seconds);
        job
    }

    /// From now on the broker hands the topic out so slowly that reading all of it takes about so many seconds.
    pub fn read_within(&self, seconds: u64) {
        self.stage.kafka.limit_reading(&self.client_id(), self.bytes / seconds.max(1));
    }

    /// Ends the limit of [`MainJob::prepare_slow`] and [`MainJob::read_within`].
    pub fn read_freely(&self) {
        self.stage.kafka.limit_reading(&self.client_id(), 1 << 30);
    }

    fn client_id(&self) -> String {
        format!("aqueduct-{}-product_images", self.name)
    }

    /// Makes topics, tables and the job's folder, and fills the topic, as `setup` has it.
    pub async fn prepare_as(stage: Arc<Stage>, name: &str, setup: &Setup) -> MainJob {
        let name = unique(name);
        let (database, folder) = (stage.postgres.create_database("main_job").await, Scratch::new("main-job"));
        create_table(&stage.postgres, &database).await;
        write_job(folder.path(), &setup.source_options);
        stage.kafka.create_topic(&name, PARTITIONS);
        stage.kafka.create_topic(&format!("{name}-results"), 2);
        let mut job = MainJob {
            name,
            oracle: Oracle::new(1),
            stage,
            dead_values: BTreeMap::new(),
            config: setup.generator.clone(),
            bytes: 0,
            database,
            folder,
            starts: std::sync::atomic::AtomicU32::new(0),
        };
        job.fill(&setup.generator, setup.batch);
        job
    }

    fn fill(&mut self, config: &DatagenConfig, batch: u32) {
        let maker = RecordMaker::new(config);
        let (name, stage) = (self.name.clone(), Arc::clone(&self.stage));
        for partition in 0..PARTITIONS {
            let count = config.rows_of(partition).expect("a number of rows is given");
            let records = (0..count).map(|offset| {
                let mut value = Vec::new();
                let timestamp_ms = maker.write(partition, offset, &mut value);
                self.bytes += value.len() as u64;
                let dead = self.oracle.ledger.dead;
                self.oracle.record(partition, offset, Some(&value));
                if self.oracle.ledger.dead > dead {
                    self.dead_values.insert((partition, offset), value.clone());
                }
                Record { key: None, value: Some(value), timestamp_ms: Some(timestamp_ms) }
            });
            stage.kafka.produce_in_batches(&name, partition, batch, records);
        }
    }

    /// A record that the topic was filled with.
    pub fn value(&self, partition: i32, offset: i64) -> Vec<u8> {
        let mut value = Vec::new();
        RecordMaker::new(&self.config).write(partition, offset, &mut value);
        value
    }

    /// Writes more records behind those of the topic. What is `expected` of them the oracle says, or nobody: then each is a dead
    /// letter.
    pub fn add(&mut self, partition: i32, records: Vec<Record>, expected: Expected) {
        let next = self.stage.kafka.watermarks(&self.name, partition).1;
        for (offset, record) in (next..).zip(&records) {
            let dead = self.oracle.ledger.dead;
            match expected {
                Expected::ByOracle => self.oracle.record(partition, offset, record.value.as_deref()),
                Expected::Dead => self.oracle.dead_record(partition, offset),
            }
            if self.oracle.ledger.dead > dead {
                self.dead_values.insert((partition, offset), record.value.clone().unwrap_or_default());
            }
        }
        self.stage.kafka.produce(&self.name, partition, records);
    }

    /// Starts the binary. Its log is [`Daemon::log`].
    pub fn start(&self, start: &Start) -> Daemon {
        let number = self.starts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Daemon::spawn("aqueduct", self.command(start), &self.folder.path().join(format!("run-{number}.log")))
    }

    /// The command that [`MainJob::start`] starts.
    pub fn command(&self, start: &Start) -> Command {
        let binary = binary();
        let mut command = match start.wrapper.split_first() {
            None => Command::new(binary),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
        };
        command.arg("run").arg(self.folder.path().join("job"));
        for (name, value) in self.variables() {
            command.arg("--set").arg(format!("{name}={value}"));
        }
        command.args(self.arguments(start));
        command.current_dir(self.folder.path()).env("TMPDIR", self.folder.path());
        command.envs(self.stage.env()).envs(start.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What stands behind `run JOB`, but for the job's variables.
    pub fn arguments(&self, start: &Start) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("-D", format!("pipeline.name={}", self.name));
        option("-D", "aqueduct.exits.max-rows=1000000".to_owned());
        option("-D", format!("execution.checkpointing.interval={} ms", start.interval_ms));
        option("-D", "execution.checkpointing.min-pause=50 ms".to_owned());
        option("--parallelism", start.parallelism.to_string());
        option("--log-format", "text".to_owned());
        option("--checkpoint-dir", self.checkpoints(start));
        arguments.extend(start.more.iter().cloned());
        arguments
    }

    /// Runs it to the end of its input and checks the exit code.
    pub fn run_to_end(&self, start: &Start) {
        let mut run = self.start(start);
        let status = run.wait(std::time::Duration::from_secs(600));
        assert_eq!(status.and_then(|status| status.code()), Some(0), "the job fails:\n{}", run.log_tail());
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn checkpoints(&self, start: &Start) -> String {
        let own = || self.folder.path().join("checkpoints").display().to_string();
        start.checkpoints.clone().unwrap_or_else(own)
    }

    /// The values of the job's variables.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        self.stage.variables(&self.name, &format!("{}-results", self.name), &self.name, &self.database)
    }

    /// Changes the text of the job; panics when `from` is not in it exactly once.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.folder.path().join("job/job.sql");
        let sql = std::fs::read_to_string(&path).expect("the job was written");
        assert_eq!(sql.matches(from).count(), 1, "jobs/image-metrics/job.sql no longer says once: {from}");
        std::fs::write(&path, sql.replace(from, to)).expect("the scratch folder can be written");
    }

    /// The database with the table `analytics_metrics`.
    pub fn database(&self) -> &str {
        &self.database
    }
}

/// The contract's table, as the old job's users have it.
pub async fn create_table(postgres: &Postgres, database: &str) {
    let mut connection = postgres.connect(database).await;
    let table = "CREATE TABLE analytics_metrics (window_start timestamptz, size_label text, event_count bigint, total_bytes bigint, \
                 latest_event timestamptz, summary_json jsonb, PRIMARY KEY (window_start, size_label))";
    sqlx::raw_sql(table).execute(&mut connection).await.unwrap_or_else(|e| panic!("{table}: {e}"));
}

/// The job as it is deployed, but for one thing: it ends where the topic ends now, so that every window closes.
fn write_job(folder: &Path, options: &str) {
    let job = workspace().join("jobs/image-metrics");
    let read = |name: &str| {
        std::fs::read_to_string(job.join(name)).unwrap_or_else(|e| panic!("jobs/image-metrics/{name}: {e}"))
    };
    let startup = "'scan.startup.mode' = 'earliest-offset',\n";
    let bounded = format!("{startup}    'scan.bounded.mode' = 'latest-offset',\n    {options}");
    let sql = read("job.sql");
    assert_eq!(sql.matches(startup).count(), 1, "jobs/image-metrics/job.sql no longer says {startup}");
    let target = folder.join("job");
    std::fs::create_dir(&target).expect("the scratch folder can be written");
    std::fs::write(target.join("job.sql"), sql.replace(startup, &bounded)).expect("the scratch folder can be written");
    std::fs::write(target.join("job.toml"), read("job.toml")).expect("the scratch folder can be written");
}
