//! The launchers themselves: every door of every service opens to the right key and to no other, and nothing outlives us.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::services::{Firestore, Kafka, Listener, Postgres, Record, S3, unique};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sqlx::Connection;
use std::time::Duration;

fn metadata(config: &ClientConfig) -> Result<usize, String> {
    let mut config = config.clone();
    let consumer: BaseConsumer = config.set("log_level", "0").create().map_err(|e| e.to_string())?;
    consumer.fetch_metadata(None, Duration::from_secs(6)).map(|m| m.brokers().len()).map_err(|e| e.to_string())
}

#[test]
fn kafka_opens_each_door_to_its_key_only() {
    let kafka = Kafka::shared();
    for listener in [Listener::Plain, Listener::Ssl, Listener::SaslSsl] {
        assert_eq!(metadata(&kafka.client(listener)), Ok(1), "{listener:?}");
    }
    let tls = kafka.tls();
    let mut wrong_ca = kafka.client(Listener::Ssl);
    wrong_ca.set("ssl.ca.location", tls.foreign_ca.display().to_string());
    let mut stranger = kafka.client(Listener::Ssl);
    stranger.set("ssl.certificate.location", tls.foreign_cert.display().to_string());
    stranger.set("ssl.key.location", tls.foreign_key.display().to_string());
    let mut wrong_password = kafka.client(Listener::SaslSsl);
    wrong_password.set("sasl.password", "wrong");
    for refused in [wrong_ca, stranger, wrong_password] {
        metadata(&refused).unwrap_err();
    }
}

#[test]
fn kafka_keeps_order_keys_times_and_tombstones() {
    let kafka = Kafka::shared();
    let topic = unique("smoke");
    kafka.create_topic(&topic, 2);
    let old = Record { key: Some(b"k".to_vec()), value: Some(b"v".to_vec()), timestamp_ms: Some(1) };
    let tombstone = Record { value: None, ..old.clone() };
    kafka.produce(&topic, 1, [old, tombstone, Record::value("third")]);
    let records = kafka.read_committed(&topic);
    let seen: Vec<_> = records.iter().map(|r| (r.partition, r.offset, r.value.as_deref())).collect();
    assert_eq!(seen, [(1, 0, Some(&b"v"[..])), (1, 1, None), (1, 2, Some(b"third"))]);
    assert_eq!((records[0].key.as_deref(), records[0].timestamp_ms), (Some(&b"k"[..]), Some(1)));
    assert_eq!(kafka.watermarks(&topic, 1), (0, 3));
    kafka.delete_records(&topic, 1, 2);
    assert_eq!(kafka.watermarks(&topic, 1), (2, 3));
    kafka.add_partitions(&topic, 4);
    kafka.produce(&topic, 3, [Record::value("new")]);
    assert_eq!(kafka.read_committed(&topic).len(), 2);
    kafka.delete_topic(&topic);
}

#[test]
fn kafka_comes_back_after_sigkill_with_its_data() {
    let kafka = Kafka::start();
    kafka.create_topic("kept", 1);
    kafka.produce("kept", 0, [Record::value("x")]);
    kafka.kill();
    metadata(&kafka.client(Listener::Plain)).unwrap_err();
    kafka.restart();
    assert_eq!(kafka.read_committed("kept").len(), 1);
}

#[tokio::test]
async fn postgres_speaks_tls_and_wants_the_password() {
    let postgres = Postgres::shared();
    let database = postgres.create_database("smoke").await;
    let mut connection = postgres.connect(&database).await;
    let encrypted: (bool,) = sqlx::query_as("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(encrypted.0);
    let wrong_password = postgres.options(&database).password("wrong");
    assert!(sqlx::PgConnection::connect_with(&wrong_password).await.is_err());
    let wrong_ca = postgres.options(&database).ssl_root_cert(postgres.foreign_ca());
    assert!(sqlx::PgConnection::connect_with(&wrong_ca).await.is_err());
}

#[tokio::test]
async fn postgres_comes_back_after_sigkill_with_its_data() {
    let postgres = Postgres::start();
    let mut connection = postgres.connect("postgres").await;
    sqlx::raw_sql("CREATE TABLE kept (x int); INSERT INTO kept VALUES (7)").execute(&mut connection).await.unwrap();
    postgres.kill();
    assert!(sqlx::PgConnection::connect_with(&postgres.options("postgres")).await.is_err());
    postgres.restart();
    let row: (i32,) =
        sqlx::query_as("SELECT x FROM kept").fetch_one(&mut postgres.connect("postgres").await).await.unwrap();
    assert_eq!(row.0, 7);
}

#[test]
fn firestore_lists_what_was_written() {
    let Some(firestore) = Firestore::try_shared() else { return };
    let collection = unique("smoke");
    assert!(firestore.list_documents(&collection).is_empty());
    let base = format!("http://{}/v1/projects/{}/databases/(default)/documents", firestore.host(), firestore.project());
    let document =
        r#"{"fields": {"n": {"integerValue": "7"}, "m": {"mapValue": {"fields": {"t": {"stringValue": "x"}}}}}}"#;
    let headers = [("Authorization", "Bearer owner"), ("Content-Type", "application/json")];
    for id in ["b", "a"] {
        let url = format!("{base}/{collection}?documentId={id}");
        let reply = aqueduct_tests::services::http::request("POST", &url, &headers, document.as_bytes()).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let documents = firestore.list_documents(&collection);
    assert_eq!(documents.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(documents[0].1, serde_json::json!({"n": 7, "m": {"t": "x"}}));
}

#[tokio::test]
async fn s3_lets_one_of_many_writers_win() {
    let Some(s3) = S3::try_shared() else { return };
    let store = std::sync::Arc::new(s3.store());
    for round in 0..10 {
        let path = Path::from(format!("{}/slot", unique("race")));
        let attempts = (0..8).map(|writer| {
            let (store, path) = (store.clone(), path.clone());
            tokio::spawn(async move {
                let payload = PutPayload::from(format!("writer {writer}"));
                store.put_opts(&path, payload, PutMode::Create.into()).await.is_ok().then_some(writer)
            })
        });
        let winners: Vec<i32> =
            futures::future::join_all(attempts).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        let stored = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(stored.as_ref(), format!("writer {}", winners[0]).as_bytes());
    }
}

/// A process that started a service and is killed takes the service with it.
#[test]
fn no_service_survives_its_test_process() {
    if std::env::var_os("AQUEDUCT_TEST_ORPHAN").is_some() {
        let postgres = Postgres::start();
        println!("port {}", postgres.port());
        loop {
            std::thread::park();
        }
    }
    let us = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(us)
        .args(["--exact", "no_service_survives_its_test_process", "--nocapture"])
        .env("AQUEDUCT_TEST_ORPHAN", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let port = lines.find_map(|line| line.unwrap().split("port ").nth(1)?.trim().parse::<u16>().ok()).unwrap();
    assert!(aqueduct_tests::services::daemon::listens(port));
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while aqueduct_tests::services::daemon::listens(port) {
        assert!(std::time::Instant::now() < deadline, "postgres on port {port} outlives its test");
        std::thread::sleep(Duration::from_millis(50));
    }
}
