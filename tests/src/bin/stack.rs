//! `./dev stack`: fills a topic on the running services, goes on filling it, and runs the main job on them until Ctrl-C.
//!
//! The first argument is the binary. The services are those that `AQUEDUCT_SERVICES` names.

use aqueduct_generate::records::RecordMaker;
use aqueduct_tests::main_job::{self, PARTITIONS};
use aqueduct_tests::services::daemon::{Scratch, free_port};
use aqueduct_tests::services::kafka::Writer;
use aqueduct_tests::services::{Firestore, Gcs, Kafka, Listener, Postgres, Record, S3};
use aqueduct_tests::stage::Stage;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TOPIC: &str = "product-images.processed";
const RESULTS: &str = "results";
const COLLECTION: &str = "analytics_metrics";
const FIRST_RECORDS: i64 = 1_000_000;
const RECORDS_PER_SECOND: i64 = 2_000;

fn main() {
    let program = std::env::args_os().nth(1).map(PathBuf::from).unwrap_or_else(main_job::binary);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let database = runtime.block_on(async {
        let database = Postgres::shared().create_database("stack").await;
        main_job::create_table(Postgres::shared(), &database).await;
        database
    });
    Kafka::shared().create_topic(TOPIC, PARTITIONS);
    Kafka::shared().create_topic(RESULTS, 2);
    println!("  writing {FIRST_RECORDS} records to {TOPIC}, then {RECORDS_PER_SECOND} each second");
    let maker = RecordMaker::new(&main_job::generator(FIRST_RECORDS, 1));
    let each = FIRST_RECORDS / i64::from(PARTITIONS - 1);
    let writer = Kafka::shared().writer(10_000);
    fill(&writer, &maker, 0..each);
    std::thread::spawn(move || {
        let step = RECORDS_PER_SECOND / i64::from(PARTITIONS - 1);
        for second in 0.. {
            fill(&writer, &maker, each + second * step..each + (second + 1) * step);
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let folder = Scratch::new("stack");
    let http = format!("127.0.0.1:{}", free_port());
    let variables = Stage::shared().variables(TOPIC, RESULTS, COLLECTION, &database);
    describe(&program, &database, &http, &variables);
    let code = run(&program, folder.path(), &http, &variables);
    drop(folder);
    std::process::exit(code);
}

/// The same offsets of each partition but the last, which stays idle.
fn fill(writer: &Writer, maker: &RecordMaker, offsets: std::ops::Range<i64>) {
    for partition in 0..PARTITIONS - 1 {
        for offset in offsets.clone() {
            let mut value = Vec::new();
            let timestamp_ms = maker.write(partition, offset, &mut value);
            let record = Record { key: None, value: Some(value), timestamp_ms: Some(timestamp_ms) };
            writer.write(TOPIC, partition, record);
        }
    }
    writer.flush();
}

fn run(program: &Path, folder: &Path, http: &str, variables: &[(&str, String)]) -> i32 {
    let mut command = Command::new(program);
    command.arg("run").arg(main_job::workspace().join("jobs/image-metrics"));
    for (name, value) in variables {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    // The last partition is idle from the start: a short timeout lets the first windows close soon.
    command.args(["--http", http, "-D", "table.exec.source.idle-timeout=10 s"]);
    command.arg("--checkpoint-dir").arg(Gcs::shared().url("checkpoints")).current_dir(folder);
    command.envs(Gcs::shared().env()).envs(S3::try_shared().map(S3::env).unwrap_or_default());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    // Ctrl-C reaches the job too: it drains, and we wait for it. Only now, or the job would inherit the deafness.
    // SAFETY: sets a disposition; no handler runs.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    child.wait().ok().and_then(|status| status.code()).unwrap_or(1)
}

fn describe(program: &Path, database: &str, http: &str, variables: &[(&str, String)]) {
    let (kafka, postgres, gcs) = (Kafka::shared(), Postgres::shared(), Gcs::shared());
    let (program, ca) = (program.display(), postgres.ca().display());
    println!("\n  look at");
    println!("    the job        http://{http}/status   http://{http}/metrics");
    println!("                   {program} status http://{http}");
    println!("    kafka          {} (plain), topics {TOPIC}, {RESULTS}", kafka.bootstrap(Listener::Plain));
    println!(
        "    postgres       PGPASSWORD=\"$(echo {} | base64 -d)\" psql \\\n                     \"host=localhost port={} user={} dbname={database} sslmode=verify-full sslrootcert={ca}\" \\\n                     -c 'SELECT * FROM analytics_metrics ORDER BY 1 DESC LIMIT 10'",
        base64(postgres.password()),
        postgres.port(),
        postgres.user()
    );
    if let Some(firestore) = Firestore::try_shared() {
        let (host, project) = (firestore.host(), firestore.project());
        println!(
            "    firestore      curl -s -H 'Authorization: Bearer owner' \\\n                     'http://{host}/v1/projects/{project}/databases/(default)/documents/{COLLECTION}?pageSize=3'"
        );
    }
    let bucket = variables.iter().find(|(name, _)| *name == "RESULTS_BUCKET").map_or("", |(_, value)| value);
    println!(
        "    the bucket     STORAGE_EMULATOR_HOST={} {program} query jobs/image-metrics --set RESULTS_BUCKET={bucket} \\\n                     'SELECT * FROM results_bucket ORDER BY window_start DESC LIMIT 10'",
        gcs.endpoint()
    );
    println!();
}

/// The password holds characters that no shell likes.
fn base64(text: &str) -> String {
    let mut out = Vec::new();
    aqueduct_core::json::encode_base64(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
