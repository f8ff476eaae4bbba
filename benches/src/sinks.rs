//! W6: single sinks, each beside a program that writes the same rows by hand with the same library.
//!
//! What rows cost until they are at the sink is taken out: the same job with nowhere to write to. The services' CPU is not counted.

use crate::book::SinkEntry;
use crate::machine::Origin;
use crate::systems::{end_of, running, workload};
use crate::{Arguments, answers, measure};
use aqueduct_tests::main_job;
use aqueduct_tests::services::Postgres;
use aqueduct_tests::services::daemon::Scratch;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Sinks, and into how many parts the records are divided for them; they get one.
const SINKS: [(&str, u64); 2] = [("parquet", 1), ("postgres", 5)];

/// Where a sink's rows go.
struct Place<'a> {
    sink: &'a str,
    scratch: Scratch,
    postgres: Option<&'static Postgres>,
    database: String,
    limit: Duration,
}

/// Every sink, in rounds.
///
/// # Errors
/// A run failed, or rows are wrong.
pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<SinkEntry>, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    for (sink, divisor) in SINKS {
        let rows = (arguments.millions * 1e6) as u64 / divisor;
        let mut entry = SinkEntry {
            sink: sink.into(),
            origin: Origin::here(),
            millions: rows as f64 / 1e6,
            engine: Vec::new(),
            nowhere: Vec::new(),
            floor: Vec::new(),
        };
        for round in 0..arguments.rounds {
            let limit = Duration::from_secs(arguments.limit * 60);
            let slope = |run: &dyn Fn(u64) -> Result<f64, String>| {
                let (brief, whole) = (run(rows / 5)?, run(rows)?);
                Ok::<f64, String>((whole - brief) / (rows - rows / 5) as f64 * 1e6)
            };
            entry.nowhere.push(slope(&|rows| engine("blackhole", rows, &runtime, limit))?);
            entry.engine.push(slope(&|rows| engine(sink, rows, &runtime, limit))?);
            entry.floor.push(slope(&|rows| floor(sink, rows, &runtime, limit))?);
            let [engine, nowhere, floor] = [&entry.engine, &entry.nowhere, &entry.floor].map(|all| all[round]);
            eprintln!("round {round}  {sink:<9} {engine:.3} CPU-s/M, to nowhere {nowhere:.3}, by hand {floor:.3}");
        }
        entries.push(entry);
    }
    Ok(entries)
}

impl<'a> Place<'a> {
    fn new(sink: &'a str, runtime: &tokio::runtime::Runtime, limit: Duration) -> Place<'a> {
        let postgres = (sink == "postgres").then(Postgres::shared);
        let database = postgres.map(|server| runtime.block_on(server.create_database("sink"))).unwrap_or_default();
        Place { sink, scratch: Scratch::new("bench-sink"), postgres, database, limit }
    }

    fn folder(&self) -> PathBuf {
        self.scratch.path().join("results")
    }

    async fn table(&self, name: &str) {
        let Some(server) = self.postgres else { return };
        let mut connection = server.connect(&self.database).await;
        let create = format!("CREATE TABLE {name} (k BIGINT PRIMARY KEY, v BIGINT, label TEXT, at TIMESTAMPTZ)");
        let created = sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await;
        created.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// CPU-seconds of a run that must end well.
    fn cost(&self, mut command: Command) -> Result<f64, String> {
        let log = self.scratch.path().join("log");
        command.current_dir(self.scratch.path()).env("TMPDIR", self.scratch.path());
        let usage = measure::run(&mut command, &log, self.limit).map_err(|error| error.to_string())?;
        usage.success.then_some(usage.cpu.as_secs_f64()).ok_or_else(|| format!("{}: {}", self.sink, end_of(&log)))
    }

    /// The sink's, as they stand in `WITH`.
    fn options(&self) -> String {
        match (self.sink, self.postgres) {
            (_, Some(server)) => format!(
                "'connector' = 'postgres', 'url' = '{}', 'username' = '{}', 'password' = '{}', 'ssl-root-cert' = '{}', \
                 'table-name' = 'results'",
                server.url(&self.database),
                server.user(),
                server.password().replace('\'', "''"),
                server.ca().display()
            ),
            ("parquet", None) => "'connector' = 'filesystem', 'path' = 'results', 'format' = 'parquet'".into(),
            (sink, None) => format!("'connector' = '{sink}'"),
        }
    }

    fn job(&self, verb: &str, rows: u64) -> Command {
        let mut command = Command::new(main_job::binary());
        command.arg(verb).arg(workload("sink")).args(["--checkpoint-dir", "checkpoints"]);
        command.args(["--set", &format!("ROWS={rows}"), "--set", &format!("OPTIONS={}", self.options())]);
        command
    }
}

/// The engine over so many rows, which are looked at.
fn engine(sink: &str, rows: u64, runtime: &tokio::runtime::Runtime, limit: Duration) -> Result<f64, String> {
    let place = Place::new(sink, runtime, limit);
    runtime.block_on(place.table("results"));
    let mut command = place.job("run", rows);
    command.args(running("10 s", 1));
    let cost = place.cost(command)?;
    check(&place, "results", rows, runtime)?;
    Ok(cost)
}

/// The same by hand.
fn floor(sink: &str, rows: u64, runtime: &tokio::runtime::Runtime, limit: Duration) -> Result<f64, String> {
    let place = Place::new(sink, runtime, limit);
    runtime.block_on(place.table("loaded"));
    let mut command = Command::new(main_job::program("sink-floor"));
    command.arg(sink);
    match place.postgres {
        Some(server) => {
            command.args(["localhost", &server.port().to_string(), &place.database, server.user(), server.password()]);
            command.arg(server.ca());
        }
        None => {
            std::fs::create_dir_all(place.folder()).map_err(|error| error.to_string())?;
            command.arg(place.folder());
        }
    }
    command.arg(rows.to_string());
    let cost = place.cost(command)?;
    if place.postgres.is_some() {
        check(&place, "loaded", rows, runtime)?;
    }
    Ok(cost)
}

/// Number and sums of the rows.
fn check(place: &Place<'_>, table: &str, rows: u64, runtime: &tokio::runtime::Runtime) -> Result<(), String> {
    const QUESTION: &str = "SELECT COUNT(*) AS n, SUM(k) AS k, SUM(v) AS v, COUNT(DISTINCT label) AS labels FROM ";
    let values: u64 = (0..rows).map(|k| k * 7919 % 1_000_003).sum();
    let expected = format!("{rows},{},{values},{}", rows * (rows - 1) / 2, rows.min(1000));
    let found = match (place.sink, place.postgres) {
        ("blackhole", _) => return Ok(()),
        (_, Some(server)) => runtime.block_on(async {
            let sql = format!("SELECT CONCAT_WS(',', n, k, v, labels) FROM ({QUESTION}{table}) AS sums");
            let mut connection = server.connect(&place.database).await;
            let row: Result<String, _> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await;
            row.map_err(|error| error.to_string())
        })?,
        _ => {
            let mut query = place.job("query", rows);
            query.current_dir(place.scratch.path());
            answers::queried(query, &format!("{QUESTION}{table}"))?
        }
    };
    if found == expected { Ok(()) } else { Err(format!("{}: expected {expected}, the rows say {found}", place.sink)) }
}
