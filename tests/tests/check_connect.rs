//! `aqueduct check --connect` on the main job's real services: whole, and with each dependency broken in turn. The table must name
//! exactly what is broken, how far the connection came and what to do, and nothing may be left behind.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::main_job::{MainJob, Said, Start};
use aqueduct_tests::services::gcs::{Fault, FaultKind};
use aqueduct_tests::services::{Gcs, Kafka, Listener, Postgres};
use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};
use serde_json::Value;
use sqlx::Row;
use std::collections::BTreeMap;

const CONFIGURATION: i32 = 2;
const RETRY: i32 = 4;

/// Reached, authenticated, permitted.
type Passed = [Option<bool>; 3];
const NOT_REACHED: Passed = [Some(false), None, None];
const NOT_AUTHENTICATED: Passed = [Some(true), Some(false), None];
const NOT_PERMITTED: Passed = [Some(true), Some(true), Some(false)];
const NOT_FITTING: Passed = [Some(true), Some(true), Some(true)];

async fn small(name: &str) -> MainJob {
    MainJob::prepare(name, 300, 7).await
}

fn check(job: &MainJob, start: &Start, variables: &[(&str, &str)], format: &str) -> Said {
    let mut more: Vec<String> = start.more.clone();
    more.extend(variables.iter().flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]));
    more.extend(["--connect", "--format", format].map(str::to_owned));
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    job.verb(start, &["check"], &more)
}

/// Every connection by its name.
fn connections(said: &Said) -> BTreeMap<String, Value> {
    let found: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}{}", said.out, said.err));
    let list = found["connections"].as_array().unwrap().iter();
    list.map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone())).collect()
}

/// These, and no others, are broken: name, how far it came, and parts of what is said about it.
type Broken<'a> = &'a [(&'a str, Passed, &'a [&'a str])];

fn broken(job: &MainJob, start: &Start, variables: &[(&str, &str)], code: i32, expected: Broken<'_>) {
    let said = check(job, start, variables, "json");
    let found = connections(&said);
    let names: Vec<&str> = found.iter().filter(|(_, one)| one["ok"] == false).map(|(name, _)| name.as_str()).collect();
    let mut wanted: Vec<&str> = expected.iter().map(|(name, ..)| *name).collect();
    wanted.sort_unstable();
    assert_eq!(names, wanted, "{variables:?}: {}{}", said.out, said.err);
    assert_eq!(said.code, Some(code), "{variables:?}: {}{}", said.out, said.err);
    for (name, passed, parts) in expected {
        let one = &found[*name];
        let came = ["reached", "authenticated", "permitted"].map(|step| one[step].as_bool());
        assert_eq!(came, *passed, "{variables:?}: {one:#}");
        let message = one["error"]["message"].as_str().unwrap();
        for part in *parts {
            assert!(message.contains(part), "'{part}' is not in: {message}");
        }
        assert!(said.err.contains(name), "the last words name it too: {}", said.err);
    }
    for one in found.values().filter(|one| one["ok"] == true) {
        assert!(one["reached"] == true && one["authenticated"] == true && one["permitted"] == true, "{one:#}");
    }
    // ./dev test -- --nocapture shows them all, for those who judge their tone.
    found.values().filter_map(|one| one["error"]["message"].as_str()).for_each(|message| println!("{message}\n"));
}

/// Broken in one place, by variables.
fn one(job: &MainJob, variables: &[(&str, &str)], code: i32, name: &str, passed: Passed, parts: &[&str]) {
    broken(job, &Start::default(), variables, code, &[(name, passed, parts)]);
}

/// The sink of Firestore is there only where the emulator is.
fn expected_names(job: &MainJob) -> Vec<&'static str> {
    let mut names =
        vec!["analytics_metrics", "checkpoints", "product_images", "results_bucket", "results_folder", "results_topic"];
    names.extend(job.stage.firestore.as_ref().map(|_| "metrics_documents"));
    names.sort_unstable();
    names
}

#[tokio::test]
async fn all_whole_and_nothing_left_behind() {
    let job = small("connect-whole").await;
    let start = Start::default();
    let said = check(&job, &start, &[], "json");
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let found = connections(&said);
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), expected_names(&job));
    for (name, one) in &found {
        assert!(one["ok"] == true && one["permitted"] == true && one["latency_ms"].is_u64(), "{one:#}");
        let address = one["address"].as_str().unwrap();
        assert!(!address.contains(Postgres::shared().password()), "{name}: {address}");
    }
    let people = check(&job, &start, &[], "table")
        .expect(0, &["all can be used", "reached", "latency", "not known without writing"]);
    assert!(people.out.contains(&format!("transactional id '{}-0-results_topic'", job.name)), "{}", people.out);

    // Nothing was created: no cursors, no fences, no objects, no folders, no group, no transaction.
    let mut database = Postgres::shared().connect(job.database()).await;
    let row =
        sqlx::query("SELECT to_regclass('aqueduct_cursor') IS NULL AS none").fetch_one(&mut database).await.unwrap();
    assert!(row.get::<bool, _>("none"));
    if let Some(firestore) = &job.stage.firestore {
        let fences = firestore.list_documents("aqueduct_cursors");
        assert!(fences.iter().all(|(id, _)| !id.contains(&job.name) && id != "aqueduct-check"), "{fences:?}");
    }
    let objects: Vec<_> = job.stage.gcs.store().list(Some(&Path::from(job.name.as_str()))).try_collect().await.unwrap();
    assert!(objects.is_empty(), "{objects:?}");
    let mut entries: Vec<_> =
        std::fs::read_dir(job.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    entries.sort();
    assert_eq!(entries, ["job"], "neither checkpoints nor results");

    // A job that has run is looked at the same way, and its sinks do not notice.
    job.run_to_end(&start);
    let before = job.versions().await;
    check(&job, &start, &[], "table").expect(0, &["all can be used"]);
    assert_eq!(job.versions().await, before);
    job.verify(&start).await;
}

#[tokio::test]
async fn brokers_that_cannot_be_used() {
    let job = small("connect-kafka").await;
    let both = |code, passed, variables: &[(&str, &str)], parts: &[&str]| {
        broken(
            &job,
            &Start::default(),
            variables,
            code,
            &[("product_images", passed, parts), ("results_topic", passed, parts)],
        );
    };
    both(RETRY, NOT_REACHED, &[("KAFKA_BROKERS", "127.0.0.1:1")], &["127.0.0.1:1", "check the address, the port"]);
    let tls = Kafka::shared().tls();
    let path = |path: &std::path::Path| path.display().to_string();
    both(
        CONFIGURATION,
        NOT_AUTHENTICATED,
        &[("KAFKA_CA", &path(&tls.foreign_ca))],
        &["certificate", "check properties.ssl.ca.location"],
    );
    let stranger = [("KAFKA_CERT", &*path(&tls.foreign_cert)), ("KAFKA_KEY", &*path(&tls.foreign_key))];
    both(CONFIGURATION, NOT_AUTHENTICATED, &stranger, &["certificate", "check properties.ssl.certificate.location"]);
    one(
        &job,
        &[("KAFKA_TOPIC", "no-such-topic")],
        CONFIGURATION,
        "product_images",
        NOT_PERMITTED,
        &["no-such-topic", "create it, or correct the option 'topic'"],
    );
    one(
        &job,
        &[("RESULTS_TOPIC", "no-such-results")],
        CONFIGURATION,
        "results_topic",
        NOT_PERMITTED,
        &["no-such-results", "create it, or correct the option 'topic'"],
    );
    // A file that is not there is the trouble of the tables that name it, not of the others.
    broken(
        &job,
        &Start::default(),
        &[("KAFKA_CA", "/nowhere/ca.pem")],
        CONFIGURATION,
        &[
            ("product_images", [None; 3], &["/nowhere/ca.pem", "properties.ssl.ca.location"]),
            ("results_topic", [None; 3], &["/nowhere/ca.pem"]),
        ],
    );
}

#[tokio::test]
async fn a_wrong_scram_password() {
    let job = small("connect-scram").await;
    let door = Kafka::shared().bootstrap(Listener::SaslSsl);
    let sasl = "'properties.sasl.mechanism' = 'SCRAM-SHA-512',\n    'properties.sasl.username' = 'aqueduct',\n    \
                'properties.sasl.password' = '${SCRAM}',\n    ";
    for table in ["'scan.startup.mode'", "'sink.delivery-guarantee'"] {
        job.edit(table, &format!("{sasl}{table}"));
    }
    let base =
        [("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"), ("KAFKA_BROKERS", &*door), ("KAFKA_CERT", ""), ("KAFKA_KEY", "")];
    let with = |password| [&base[..], &[("SCRAM", password)]].concat();
    check(&job, &Start::default(), &with(Kafka::shared().password()), "table").expect(0, &["all can be used"]);
    let parts: &[&str] = &["check properties.sasl.mechanism, properties.sasl.username and properties.sasl.password"];
    let expected: Broken<'_> =
        &[("product_images", NOT_AUTHENTICATED, parts), ("results_topic", NOT_AUTHENTICATED, parts)];
    broken(&job, &Start::default(), &with("not-it"), CONFIGURATION, expected);
}

#[tokio::test]
async fn databases_that_cannot_be_used() {
    let job = small("connect-postgres").await;
    let postgres = Postgres::shared();
    let refused = |variables: &[(&str, &str)], code, passed, parts: &[&str]| {
        one(&job, variables, code, "analytics_metrics", passed, parts);
    };
    refused(
        &[("POSTGRES_URL", "postgres://localhost:1/x")],
        RETRY,
        NOT_REACHED,
        &["localhost:1", "check host and port in 'url'"],
    );
    refused(&[("POSTGRES_PASSWORD", "not-it")], CONFIGURATION, NOT_AUTHENTICATED, &["check 'username' and 'password'"]);
    let ca = postgres.foreign_ca().display().to_string();
    refused(&[("POSTGRES_CA", &ca)], CONFIGURATION, NOT_AUTHENTICATED, &["certificate", "ssl-root-cert"]);
    let missing = postgres.url("no_such_database");
    refused(
        &[("POSTGRES_URL", &missing)],
        CONFIGURATION,
        NOT_PERMITTED,
        &["no_such_database", "check the database in 'url'"],
    );

    // A user who may read and not write; then one who may write the table and not make the cursor's.
    let user = format!("reader_{}", std::process::id());
    let as_user = [("POSTGRES_USER", user.as_str()), ("POSTGRES_PASSWORD", "let-me-in")];
    change(
        &job,
        &format!("CREATE ROLE {user} LOGIN PASSWORD 'let-me-in'; GRANT SELECT ON analytics_metrics TO {user}"),
    )
    .await;
    refused(
        &as_user,
        CONFIGURATION,
        NOT_PERMITTED,
        &["may not write", "GRANT INSERT, UPDATE, SELECT ON \"public\".\"analytics_metrics\" TO"],
    );
    change(&job, &format!("GRANT INSERT, UPDATE ON analytics_metrics TO {user}")).await;
    refused(
        &as_user,
        CONFIGURATION,
        NOT_PERMITTED,
        &["may not create tables in the schema public", "GRANT CREATE ON SCHEMA \"public\" TO"],
    );
    change(&job, &format!("GRANT CREATE ON SCHEMA public TO {user}")).await;
    check(&job, &Start::default(), &as_user, "table").expect(0, &["all can be used"]);
    change(&job, "CREATE TABLE aqueduct_cursor (job text, lineage bigint, shard bigint, sink text, epoch bigint, generation bigint)").await;
    refused(&as_user, CONFIGURATION, NOT_PERMITTED, &["may not use aqueduct_cursor", "GRANT SELECT, INSERT, UPDATE"]);
    change(&job, &format!("DROP TABLE aqueduct_cursor; DROP OWNED BY {user}; DROP ROLE {user}")).await;

    change(&job, &format!("ALTER DATABASE {} SET default_transaction_read_only = on", job.database())).await;
    refused(&[], CONFIGURATION, NOT_PERMITTED, &["is read-only", "name the primary in 'url'"]);
    let undo = format!(
        "SET default_transaction_read_only = off; ALTER DATABASE {} RESET default_transaction_read_only",
        job.database()
    );
    change(&job, &undo).await;

    change(&job, "ALTER TABLE analytics_metrics ALTER event_count TYPE text").await;
    refused(&[], CONFIGURATION, NOT_FITTING, &["column 'event_count' is BIGINT in the job and text in postgres"]);
    change(&job, "DROP TABLE analytics_metrics").await;
    refused(&[], CONFIGURATION, NOT_PERMITTED, &["has no table \"analytics_metrics\"", "sink.create-table"]);
}

#[tokio::test]
async fn firestore_that_is_down() {
    let job = small("connect-firestore").await;
    if job.stage.firestore.is_none() {
        return;
    }
    one(
        &job,
        &[("FIRESTORE_EMULATOR", "127.0.0.1:1")],
        RETRY,
        "metrics_documents",
        NOT_REACHED,
        &["firestore at 127.0.0.1:1 cannot be reached", "check the network"],
    );
}

#[tokio::test]
async fn folders_that_cannot_be_used() {
    let job = small("connect-folders").await;
    let rights: &[&str] = &["permission denied", "give the job's identity the right to read, create, list and delete"];
    one(&job, &[("RESULTS_BUCKET", "gs://forbidden-bucket/x")], CONFIGURATION, "results_bucket", NOT_PERMITTED, rights);
    let missing: &[&str] = &["missing-bucket", "check that the bucket exists"];
    one(&job, &[("RESULTS_BUCKET", "gs://missing-bucket/x")], CONFIGURATION, "results_bucket", NOT_PERMITTED, missing);
    let file = job.folder().join("job/job.sql").display().to_string();
    let results = [("RESULTS_DIR", &*format!("{file}/results"))];
    one(
        &job,
        &results,
        CONFIGURATION,
        "results_folder",
        NOT_PERMITTED,
        &["job.sql", "check the path and its permissions"],
    );

    let checkpoints = |url: &str| Start { checkpoints: Some(url.into()), ..Start::default() };
    let forbidden: Broken<'_> = &[("checkpoints", NOT_PERMITTED, rights)];
    broken(&job, &checkpoints("gs://forbidden-bucket/checkpoints"), &[], CONFIGURATION, forbidden);
    let unusable: Broken<'_> = &[("checkpoints", NOT_PERMITTED, &["check the path and its permissions"])];
    broken(&job, &checkpoints(&format!("{file}/checkpoints")), &[], CONFIGURATION, unusable);
    let closed = Gcs::start();
    let endpoint = format!("aqueduct.checkpoints.endpoint={}", closed.endpoint());
    drop(closed);
    let away = Start { more: vec!["-D".into(), endpoint], ..checkpoints("gs://bucket/checkpoints") };
    broken(
        &job,
        &away,
        &[],
        RETRY,
        &[("checkpoints", NOT_REACHED, &["the store cannot be reached", "check the endpoint and the network"])],
    );
}

#[tokio::test]
async fn rights_that_only_a_write_needs() {
    let job = small("connect-rights").await;
    let own = Gcs::start();
    let start = || Start {
        checkpoints: Some("gs://bucket/checkpoints".into()),
        more: vec!["-D".into(), format!("aqueduct.checkpoints.endpoint={}", own.endpoint())],
        ..Start::default()
    };
    check(&job, &start(), &[], "table").expect(0, &["all can be used"]);
    for (method, right) in
        [("PUT", "the right to create objects in gs://bucket/checkpoints"), ("DELETE", "the right to delete objects")]
    {
        own.inject(Fault::new(FaultKind::FailBefore(403), method, "bucket/checkpoints", 1000));
        broken(&job, &start(), &[], CONFIGURATION, &[("checkpoints", NOT_PERMITTED, &[right, "permission denied"])]);
        own.heal();
    }
    let left: Vec<_> = own.store_of("bucket").list(None).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// One that takes connections and says nothing holds up neither the others nor the end.
#[tokio::test]
async fn a_dependency_that_never_answers() {
    let job = small("connect-silent").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://{}/x", listener.local_addr().unwrap());
    let start = Start { more: vec!["--timeout".into(), "5".into()], ..Start::default() };
    let parts: &[&str] = &["has not answered within 5 s", "--timeout"];
    broken(&job, &start, &[("POSTGRES_URL", &url)], RETRY, &[("analytics_metrics", NOT_REACHED, parts)]);
    // Several at once: each is named, and the exit code is the one that waiting does not heal.
    let variables = [("POSTGRES_URL", url.as_str()), ("RESULTS_TOPIC", "no-such-results")];
    let expected: Broken<'_> =
        &[("analytics_metrics", NOT_REACHED, parts), ("results_topic", NOT_PERMITTED, &["no-such-results"])];
    broken(&job, &start, &variables, CONFIGURATION, expected);
}

async fn change(job: &MainJob, sql: &str) {
    let mut database = Postgres::shared().connect(job.database()).await;
    // Also where a test has just made the database read-only.
    sqlx::raw_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE").execute(&mut database).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut database).await.unwrap();
}
