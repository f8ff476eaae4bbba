//! What goes wrong on real services must say what, where and what next, and end with the exit code that tells an
//! orchestrator what to do: 2 configuration, 3 data, 4 try again, 5 fenced.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::main_job::{MainJob, Start};
use aqueduct_tests::services::{Gcs, Kafka, Postgres, Record};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CONFIGURATION: i32 = 2;
const DATA: i32 = 3;
const RETRY: i32 = 4;

/// Starts the job with other variables; it must end by itself with this code, and its last words must hold all `parts`.
fn refused(job: &MainJob, variables: &[(&str, &str)], code: i32, parts: &[&str]) {
    let set = variables.iter().flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]).collect();
    job.refused(&Start { more: set, ..Start::default() }, code, parts);
}

async fn small(name: &str) -> MainJob {
    MainJob::prepare(name, 300, 7).await
}

#[tokio::test]
async fn brokers_that_cannot_be_used() {
    let job = small("bad-broker").await;
    let tls = Kafka::shared().tls();
    let path = |path: &Path| path.display().to_string();
    refused(&job, &[("KAFKA_BROKERS", "127.0.0.1:1")], RETRY, &["127.0.0.1:1"]);
    refused(&job, &[("KAFKA_CA", &path(&tls.foreign_ca))], CONFIGURATION, &["certificate", "ssl.ca.location"]);
    let stranger = [("KAFKA_CERT", &*path(&tls.foreign_cert)), ("KAFKA_KEY", &*path(&tls.foreign_key))];
    refused(&job, &stranger, CONFIGURATION, &["certificate"]);
    refused(&job, &[("KAFKA_TOPIC", "no-such-topic")], CONFIGURATION, &["no-such-topic"]);
    refused(&job, &[("RESULTS_TOPIC", "no-such-results")], CONFIGURATION, &["no-such-results"]);
}

#[tokio::test]
async fn a_wrong_scram_password() {
    let job = small("bad-scram").await;
    let kafka = Kafka::shared();
    let sasl = "'properties.sasl.mechanism' = 'SCRAM-SHA-512',\n    'properties.sasl.username' = 'aqueduct',\n    \
                'properties.sasl.password' = 'not-it',\n    ";
    for table in ["'scan.startup.mode'", "'sink.delivery-guarantee'"] {
        job.edit(table, &format!("{sasl}{table}"));
    }
    let door = kafka.bootstrap(aqueduct_tests::services::Listener::SaslSsl);
    let variables =
        [("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"), ("KAFKA_BROKERS", &*door), ("KAFKA_CERT", ""), ("KAFKA_KEY", "")];
    refused(&job, &variables, CONFIGURATION, &["password"]);
}

#[tokio::test]
async fn databases_that_cannot_be_used() {
    let job = small("bad-database").await;
    let postgres = Postgres::shared();
    refused(&job, &[("POSTGRES_PASSWORD", "not-it")], CONFIGURATION, &["password", "aqueduct"]);
    refused(
        &job,
        &[("POSTGRES_CA", &postgres.foreign_ca().display().to_string())],
        CONFIGURATION,
        &["certificate", "ssl-root-cert"],
    );
    refused(&job, &[("POSTGRES_URL", "postgres://localhost:1/x")], RETRY, &["localhost"]);
    refused(&job, &[("POSTGRES_URL", &postgres.url("no_such_database"))], CONFIGURATION, &["no_such_database"]);
    change(&job, "ALTER TABLE analytics_metrics ALTER event_count TYPE text").await;
    refused(&job, &[], CONFIGURATION, &["analytics_metrics", "event_count", "text"]);
    change(&job, "DROP TABLE analytics_metrics").await;
    refused(&job, &[], CONFIGURATION, &["analytics_metrics", "sink.create-table"]);
}

#[tokio::test]
async fn buckets_that_cannot_be_used() {
    let job = small("bad-bucket").await;
    refused(&job, &[("RESULTS_BUCKET", "gs://forbidden-bucket/x")], CONFIGURATION, &["forbidden-bucket"]);
    refused(&job, &[("RESULTS_BUCKET", "gs://missing-bucket/x")], CONFIGURATION, &["missing-bucket"]);
    let start = Start { checkpoints: Some("gs://forbidden-bucket/checkpoints".into()), ..Start::default() };
    job.refused(&start, CONFIGURATION, &["forbidden-bucket"]);
    let closed = Gcs::start();
    let endpoint = closed.endpoint().to_owned();
    drop(closed);
    let start = Start { checkpoints: Some("gs://bucket/checkpoints".into()), ..Start::default() };
    let start = Start { more: vec!["-D".into(), format!("aqueduct.checkpoints.endpoint={endpoint}")], ..start };
    job.refused(&start, RETRY, &["gs://bucket/checkpoints"]);
}

#[tokio::test]
async fn row_23_records_that_were_deleted_before_they_were_read() {
    let job = small("gone-records").await;
    job.run_to_end(&Start::default());
    let kafka = Kafka::shared();
    let next = kafka.watermarks(&job.name, 0).1;
    kafka.produce(&job.name, 0, (0..10).map(|_| Record::value("{}")));
    kafka.delete_records(&job.name, 0, next + 5);
    refused(&job, &[], DATA, &[&job.name, "offset", &next.to_string()]);
}

#[tokio::test]
async fn row_24_a_topic_that_was_made_anew() {
    let job = small("new-topic").await;
    job.run_to_end(&Start::default());
    let kafka = Kafka::shared();
    kafka.delete_topic(&job.name);
    // Deletion is not immediate.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while std::panic::catch_unwind(|| kafka.create_topic(&job.name, 4)).is_err() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(100));
    }
    refused(&job, &[], DATA, &[&job.name]);
}

#[tokio::test]
async fn a_checkpoint_of_another_query() {
    let job = small("other-query").await;
    job.run_to_end(&Start::default());
    job.edit("SUM(size_bytes)", "MAX(size_bytes)");
    refused(&job, &[], CONFIGURATION, &["image_metrics"]);
}

#[tokio::test]
async fn damaged_checkpoints() {
    let job = small("damaged").await;
    job.run_to_end(&Start::default());
    let files = files(&job.folder().join("checkpoints"));
    let records: Vec<&PathBuf> = files.iter().filter(|file| file.to_string_lossy().contains("/log/")).collect();
    assert!(records.len() > 1, "{files:?}");
    for file in &records {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).unwrap();
    }
    refused(&job, &[], DATA, &["/log/"]);
}

async fn change(job: &MainJob, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut Postgres::shared().connect(job.database()).await).await.unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found
}
