//! The command line: verbs, options and their help. It decides nothing.

use crate::{settings, variables::parse_set};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Stream analytics in one binary: Kafka topics through event-time windows to Postgres, Firestore, buckets and Kafka,
/// each result exactly once.
#[derive(Debug, Parser)]
#[command(name = "aqueduct", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done            1  bug             2  configuration: change it first
  3  data: look at it first             4  a dependency is unreachable: try again later
  5  fenced: a newer owner runs the job, do not restart         130  interrupted twice";

const RUN_EXAMPLES: &str = "\
Examples:
  aqueduct run jobs/image-metrics
  aqueduct run jobs/image-metrics --set KAFKA_BROKERS=broker:9094 -p 4 --http :8080
  aqueduct run counts.sql -D execution.checkpointing.interval='5 s' --checkpoint-dir gs://bucket/checkpoints
SIGTERM or Ctrl-C stops reading, seals, delivers and exits with 0; the next start goes on there.";

const CHECK_EXAMPLES: &str = "\
Examples:
  aqueduct check jobs/image-metrics
  aqueduct check jobs/image-metrics --set KAFKA_BROKERS=broker:9094
Nothing is connected to and nothing is written.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  aqueduct explain jobs/image-metrics";

const STATUS_EXAMPLES: &str = "\
Examples:
  aqueduct status
  aqueduct status http://10.0.0.7:8080 --format json | jq .sinks
The job must have been started with --http.";

const QUERY_EXAMPLES: &str = "\
Examples:
  aqueduct query \"SELECT * FROM results_folder ORDER BY window_start DESC LIMIT 10\"
  aqueduct query jobs/payments \"SELECT currency, count(*) AS n FROM payment_files GROUP BY currency\" --format csv
  aqueduct query \"SELECT reason, count(*) FROM aqueduct_quarantine_dead_letters GROUP BY reason\"
Tables are the job's filesystem sinks, by their names in job.sql; only committed files are read.";

const STATE_EXAMPLES: &str = "\
Examples:
  aqueduct state list
  aqueduct state list --checkpoint-dir gs://bucket/checkpoints
  aqueduct state show image-metrics --epoch 17 --format json
  aqueduct state verify image-metrics
Nothing is changed; a running job is not disturbed.";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a job until its input ends or it is told to stop.
    #[command(after_help = RUN_EXAMPLES, after_long_help = long_run_help())]
    Run(RunArgs),
    /// Plan a job and check every option, without side effects.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(JobArgs),
    /// Show how a job is computed, as a tree.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(JobArgs),
    /// Show what a running job is doing.
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Ask the results of a job in SQL.
    #[command(after_help = QUERY_EXAMPLES)]
    Query(QueryArgs),
    /// Look into checkpoints.
    #[command(subcommand, after_help = STATE_EXAMPLES)]
    State(StateVerb),
    /// List the fail points that tests can arm.
    #[command(hide = true)]
    FailPoints,
}

fn long_run_help() -> String {
    format!("{RUN_EXAMPLES}\n\n{}", settings::help())
}

/// How a job is made from its files.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// A folder with job.sql (and job.toml), or a .sql file.
    pub(crate) job: PathBuf,
    #[command(flatten)]
    pub(crate) values: ValueArgs,
}

/// What is put into a job.
#[derive(Debug, Args, Default)]
pub(crate) struct ValueArgs {
    /// A variable of the job: ${NAME} becomes VALUE. Wins over job.toml and the environment.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_set)]
    pub(crate) variables: Vec<(String, String)>,
    /// A setting, such as execution.checkpointing.interval='5 s'. Wins over job.toml and SET.
    #[arg(short = 'D', long = "config", value_name = "KEY=VALUE", value_parser = parse_config)]
    pub(crate) config: Vec<(String, String)>,
    /// Reading threads (parallelism.default).
    #[arg(short, long, value_name = "N")]
    pub(crate) parallelism: Option<u32>,
    /// Where checkpoints lie (execution.checkpointing.dir): a folder, file://, gs:// or s3://.
    #[arg(long, value_name = "URL")]
    pub(crate) checkpoint_dir: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// Serve /metrics, /healthz, /readyz and /status; ':8080' is on loopback, '0.0.0.0:8080' is open.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Where RocksDB's working files lie, in a folder of their own [default: the system's temporary folder].
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How logs are written to stderr [default: text in a terminal, json elsewhere].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Logs instead of the live panel, also in a terminal.
    #[arg(long)]
    pub(crate) no_panel: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Lines for people.
    Text,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The address that the job was given with --http.
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// The same, as an option.
    #[arg(long, value_name = "ADDR", conflicts_with = "url")]
    pub(crate) http: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
    pub(crate) format: StatusFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    /// For people.
    Table,
    /// For machines, with every field.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The job, if it is not the one in the current folder or jobs/image-metrics; then the SQL.
    #[arg(value_name = "[JOB] SQL", num_args = 1..=2, required = true)]
    pub(crate) words: Vec<String>,
    /// How rows are printed.
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    pub(crate) format: QueryFormat,
    #[command(flatten)]
    pub(crate) values: ValueArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// For people.
    Table,
    /// One JSON object per line.
    Json,
    /// With a head line.
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateVerb {
    /// The jobs and checkpoints in a checkpoint folder.
    List(StateArgs),
    /// One checkpoint in full: offsets, watermarks, files, outbox.
    Show(StateArgs),
    /// Read every file of one checkpoint and compare it with its hash.
    Verify(StateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// Only this job (its pipeline.name) [default: all for list, the only one for show and verify].
    pub(crate) job: Option<String>,
    /// This epoch, for show and verify [default: the newest].
    #[arg(long)]
    pub(crate) epoch: Option<u64>,
    /// This line of epochs, for show and verify [default: the newest].
    #[arg(long)]
    pub(crate) lineage: Option<u32>,
    /// Where checkpoints lie: a folder, file://, gs:// or s3://.
    #[arg(long, value_name = "URL", default_value = ".aqueduct/checkpoints")]
    pub(crate) checkpoint_dir: String,
    /// Address of a stand-in or private endpoint of the store (aqueduct.checkpoints.endpoint).
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
    pub(crate) format: StatusFormat,
}

fn parse_config(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    if key.trim().is_empty() {
        return Err("the key is empty: it must be KEY=VALUE".to_owned());
    }
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_are_given_as_in_flink() {
        let cli = Cli::try_parse_from(["aqueduct", "run", "j", "-Da.b=c d", "-D", "e=f", "-p", "3"]).unwrap();
        let Verb::Run(run) = cli.verb else { panic!("not run") };
        assert_eq!(run.job.values.config, [("a.b".into(), "c d".into()), ("e".into(), "f".into())]);
        assert_eq!(run.job.values.parallelism, Some(3));
    }
}
