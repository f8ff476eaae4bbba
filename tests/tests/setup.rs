//! `jobs/image-metrics/setup`: on the tables and rights that it gives, and no others, the main job runs, dies, goes on and is exact;
//! and each right that is missing is named by the program.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::main_job::{MainJob, Start, workspace};
use aqueduct_tests::services::daemon::run;
use aqueduct_tests::services::{Kafka, Listener};
use aqueduct_tests::stage::Stage;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

const RECORDS: i64 = 20_000;
const CONFIGURATION: i32 = 2;
const PASSWORD: &str = "only-this-much";

fn setup(file: &str) -> PathBuf {
    workspace().join("jobs/image-metrics/setup").join(file)
}

/// A broker of this test alone, because it forbids everybody everything.
async fn closed() -> MainJob {
    let stage = Stage::around(Kafka::start());
    let job = MainJob::prepare_slow_on(Arc::new(stage), "setup", RECORDS, 52, 20).await;
    job.stage.kafka.close();
    job
}

fn set_up_kafka(job: &MainJob) {
    let kafka = &job.stage.kafka;
    let tools = job.folder().join("tools");
    std::fs::create_dir_all(&tools).unwrap();
    kafka.write_tools(&tools);
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let mut script = Command::new(setup("kafka.sh"));
    script.args([&Kafka::principal(), "--bootstrap-server", &kafka.bootstrap(Listener::Plain)]);
    script.env("PATH", path).env("JOB", &job.name).env("REPLICATION", "1");
    let names = ["KAFKA_TOPIC", "KAFKA_GROUP", "RESULTS_TOPIC"];
    script.envs(job.variables().into_iter().filter(|(name, _)| names.contains(name)));
    run(&mut script);
}

/// The user's name. It owns nothing and may create nothing.
async fn set_up_postgres(job: &MainJob) -> String {
    let postgres = &job.stage.postgres;
    let (user, mut owner) = (format!("{}_user", job.database()), postgres.connect(job.database()).await);
    let sql = format!(
        "DROP TABLE analytics_metrics; CREATE ROLE \"{user}\" LOGIN PASSWORD '{PASSWORD}'; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
    for _ in 0..2 {
        let mut psql = Command::new("psql");
        psql.args([&postgres.url(job.database()), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
        psql.arg(format!("--set=job={user}")).arg("--file").arg(setup("postgres.sql"));
        psql.env("PGUSER", postgres.user()).env("PGPASSWORD", postgres.password());
        run(psql.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", postgres.ca()));
    }
    user
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_main_job_runs_on_the_rights_of_its_setup_alone() {
    let job = closed().await;
    let user = set_up_postgres(&job).await;
    let set = |name: &str, value: &str| ["--set".to_owned(), format!("{name}={value}")];
    let start = Start {
        more: [set("POSTGRES_USER", &user), set("POSTGRES_PASSWORD", PASSWORD)].concat(),
        interval_ms: 200,
        ..Start::default()
    };
    job.refused(&start, CONFIGURATION, &[&job.name]);
    set_up_kafka(&job);
    // A second time it changes nothing.
    set_up_kafka(&job);
    let words: Vec<&str> = start.more.iter().map(String::as_str).chain(["--connect"]).collect();
    job.verb(&start, &["check"], &words).expect(0, &["all can be used"]);
    let mut first = job.start(&start);
    job.until_epoch(&start, &mut first, 5);
    first.kill();
    let results = format!("{}-results", job.name);
    let (transactions, cursor) =
        (format!("{}-0-results_topic", job.name), format!("aqueduct.{}.0.results_topic", job.name));
    for (operation, resource) in [
        ("Read", ["--topic", &job.name]),
        ("Write", ["--topic", &results]),
        ("Write", ["--transactional-id", &transactions]),
        ("Read", ["--group", &cursor]),
    ] {
        job.stage.kafka.forbid(operation, &resource);
        job.refused(&start, CONFIGURATION, &[resource[1]]);
        set_up_kafka(&job);
    }
    job.read_freely();
    job.run_to_end(&start);
    job.verify(&start).await;
}
