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
  aqueduct run jobs/image-metrics --from-savepoint s3://other-bucket/savepoints/before-the-move
SIGTERM or Ctrl-C stops reading, seals, delivers and exits with 0; the next start goes on there.";

const SAVEPOINT_EXAMPLES: &str = "\
Examples:
  aqueduct savepoint jobs/image-metrics --to gs://bucket/savepoints --name before-the-move
  aqueduct savepoint image-metrics --checkpoint-dir gs://bucket/checkpoints
  aqueduct savepoint jobs/image-metrics --http :8080
It copies the newest sealed epoch: what was read after it is not in the savepoint. With --http the running job seals first, so
that everything read before the request is. The job goes on meanwhile, and need not run. The folder <to>/<name> is whole by
itself: copy it anywhere, and start a job from there with run --from-savepoint.";

const STOP_EXAMPLES: &str = "\
Examples:
  aqueduct stop image-metrics
  aqueduct stop --http :8080 --drain
  aqueduct stop jobs/image-metrics --savepoint --to gs://bucket/savepoints
The job stops reading, seals, delivers and exits with 0, as after SIGTERM; this command ends when it has. With --drain the
watermark goes to the end first: every window fires as it is, and its later rows will be late. Only this machine may ask it.";

const REWIND_EXAMPLES: &str = "\
Examples:
  aqueduct state list image-metrics
  aqueduct rewind jobs/image-metrics --to-epoch 41
  aqueduct rewind jobs/image-metrics --to-epoch 41 --yes
It begins a new line of epochs from an older checkpoint; the next start goes on there. Before it asks, it says what each sink
will see. A process that still runs the job is fenced, and can write nothing more to any sink.";

const TXN_EXAMPLES: &str = "\
Examples:
  aqueduct txn list jobs/image-metrics
  aqueduct txn abort jobs/image-metrics --table results_topic
list shows what can be known from outside: how many records of each results topic readers of committed records cannot see yet,
and whether one of our transactions holds the cursor. It cannot name transactions of other programs: the client library has no
such call. abort takes our own transactional id, which ends what a dead process of ours left open; a living one is refused
unless forced, and then opens its sink again. Transactions of others are not touched.";

const CHECK_EXAMPLES: &str = "\
Examples:
  aqueduct check jobs/image-metrics
  aqueduct check jobs/image-metrics --set KAFKA_BROKERS=broker:9094
  aqueduct check jobs/image-metrics --set KAFKA_BROKERS=broker:9094 --connect
Nothing is connected to and nothing is written. With --connect every connection that the job will need is opened and named in a
table: reached, authenticated, permitted, latency (until all questions were answered); below it what is broken and what to do.
Still nothing is written, claimed or joined. The exit code is the worst one.";

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
    /// Plan a job and check every option, without side effects; with --connect also every connection.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
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
    /// Keep the state of a job under a name, whole and movable.
    #[command(after_help = SAVEPOINT_EXAMPLES)]
    Savepoint(SavepointArgs),
    /// Ask a running job to stop well.
    #[command(after_help = STOP_EXAMPLES)]
    Stop(StopArgs),
    /// Go back to an older checkpoint, under a new lineage.
    #[command(after_help = REWIND_EXAMPLES)]
    Rewind(RewindArgs),
    /// Transactions on results topics.
    #[command(subcommand, after_help = TXN_EXAMPLES)]
    Txn(TxnVerb),
    /// List the fail points that tests can arm.
    #[cfg(feature = "fail-points")]
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
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// Open every connection that the job will need, and say of each how far it came.
    #[arg(long)]
    pub(crate) connect: bool,
    /// With --connect: what has not answered within so many seconds is broken.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "connect")]
    pub(crate) timeout: u64,
    /// With --connect: how it is printed.
    #[arg(long, value_enum, default_value_t = StatusFormat::Table, requires = "connect")]
    pub(crate) format: StatusFormat,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// Serve /metrics, /healthz, /readyz and /status; ':8080' is on loopback, '0.0.0.0:8080' is open.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Begin with this savepoint: the folder that holds its _metadata. When the checkpoint folder has begun with it before, the job
    /// goes on from what the folder holds.
    #[arg(short = 's', long, value_name = "URL")]
    pub(crate) from_savepoint: Option<String>,
    /// With --from-savepoint: take the place of the state that the checkpoint folder holds.
    #[arg(long)]
    pub(crate) yes: bool,
    /// The input is another one than the checkpoint's (such as a copied topic), with the same records at the same offsets.
    #[arg(long)]
    pub(crate) allow_other_input: bool,
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

/// A job by its files or by its name.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// A folder with job.sql or a .sql file; or the job's name (pipeline.name), with --checkpoint-dir.
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) values: ValueArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SavepointArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) place: SavepointPlace,
    /// The address that the job was given with --http: it seals first.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
}

/// Where a savepoint goes.
#[derive(Debug, Args)]
pub(crate) struct SavepointPlace {
    /// The folder of savepoints: a folder, file://, gs:// or s3:// [default: execution.checkpointing.savepoint-dir, else
    /// savepoints in the job's checkpoint folder].
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Its name [default: savepoint-e<epoch>-<id>].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// As for savepoint; where it answers is read from its claim. Not needed with --http unless a savepoint is taken.
    #[arg(required_unless_present = "http")]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) values: ValueArgs,
    /// The address that the job was given with --http.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Fire every window first, by advancing the watermark to the end.
    #[arg(long)]
    pub(crate) drain: bool,
    /// Take a savepoint of what it has sealed when it has ended.
    #[arg(long, requires = "job")]
    pub(crate) savepoint: bool,
    #[command(flatten)]
    pub(crate) place: SavepointPlace,
    /// Wait so many seconds for its end.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct RewindArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// The last epoch that stays; 0 begins with nothing.
    #[arg(long, value_name = "N")]
    pub(crate) to_epoch: u64,
    /// Of this line of epochs [default: the newest].
    #[arg(long)]
    pub(crate) lineage: Option<u32>,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Also while the job's owner seems to be alive: it is fenced.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TxnVerb {
    /// What readers of the job's results topics cannot see yet.
    List(TxnArgs),
    /// End what a dead process of this job left open.
    Abort(TxnArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TxnArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// Only this table.
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Also while the job's owner seems to be alive: it opens its sink again.
    #[arg(long)]
    pub(crate) force: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
    pub(crate) format: StatusFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateVerb {
    /// The jobs and checkpoints in a checkpoint folder.
    List(StateArgs),
    /// One checkpoint in full: offsets, watermarks, files, outbox.
    Show(StateArgs),
    /// Read every file of every kept checkpoint, compare it with its hash, and say which one can be restored.
    Verify(StateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// Only this job (its pipeline.name) [default: all for list, the only one for show and verify].
    pub(crate) job: Option<String>,
    /// This epoch, for show and verify [default: the newest for show, every kept one for verify].
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
    /// A savepoint, for verify: the folder that holds its _metadata.
    #[arg(long, value_name = "URL", conflicts_with_all = ["job", "epoch", "lineage"])]
    pub(crate) savepoint: Option<String>,
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
