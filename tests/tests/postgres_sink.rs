//! The Postgres sink against a real server: the laws of `Sink`, what stops a job early, what survives a crash.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_core::conformance::sink::{self as laws, Row as LawRow, SinkHarness, apply, batch, claim, claim_of, spec};
use aqueduct_core::{Connector, Cursor, Epoch, Error, ErrorKind, Sink, SinkSpec};
use aqueduct_postgres::PostgresConnector;
use aqueduct_tests::services::Postgres;
use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection, Row};

const CREATE: &str = "id text NOT NULL, n bigint";

/// Options that reach a database of a server, and more.
fn options<'a>(server: &'a Postgres, url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let base = [("url", url), ("username", server.user()), ("password", server.password())];
    // What comes later wins in the map.
    base.iter().chain(more).copied().collect()
}

fn sink(spec: &SinkSpec) -> Box<dyn Sink> {
    PostgresConnector.sink(spec).expect("the options are right")
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    let sql: String = sql.into();
    sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(connection).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

async fn opening_fails(spec: &SinkSpec, kind: ErrorKind, parts: &[&str]) -> Error {
    let error = sink(spec).open(&claim(1)).await.expect_err("open fails");
    assert_eq!(error.kind(), kind, "{error:?}");
    for part in parts {
        assert!(error.message().contains(part), "'{part}' is not in: {error}");
    }
    error
}

/// A table of a shared database.
struct Harness {
    spec: SinkSpec,
    database: String,
    keyed: bool,
}

impl Harness {
    async fn new(database: &str, table: &str, keyed: bool) -> Harness {
        let server = Postgres::shared();
        let mut connection = server.connect(database).await;
        let key = if keyed { ", PRIMARY KEY (id)" } else { "" };
        run(&mut connection, format!("CREATE TABLE {table} ({CREATE}{key})")).await;
        // Small statements, so that a large epoch is many of them.
        let url = server.url(database);
        let spec = spec(table, &options(server, &url, &[("sink.buffer-flush.max-rows", "999")]), keyed);
        Harness { spec, database: database.to_owned(), keyed }
    }
}

#[async_trait]
impl SinkHarness for Harness {
    fn sink(&self) -> Box<dyn Sink> {
        sink(&self.spec)
    }

    fn keyed(&self) -> bool {
        self.keyed
    }

    async fn visible_rows(&self) -> Vec<LawRow> {
        rows(Postgres::shared(), &self.database, &self.spec.table).await
    }
}

async fn rows(server: &Postgres, database: &str, table: &str) -> Vec<LawRow> {
    let mut connection = server.connect(database).await;
    let sql = format!("SELECT id, n FROM {table} ORDER BY id, n");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("the table can be read");
    rows.iter().map(|row| LawRow { id: row.get("id"), n: row.get("n") }).collect()
}

#[tokio::test]
async fn the_laws_hold_with_a_primary_key() {
    let database = Postgres::shared().create_database("keyed").await;
    laws::all(async |law| Harness::new(&database, law, true).await).await;
}

#[tokio::test]
async fn the_laws_hold_without_a_primary_key() {
    let database = Postgres::shared().create_database("append").await;
    laws::all(async |law| Harness::new(&database, law, false).await).await;
}

#[tokio::test]
async fn a_wrong_password_names_user_and_host_and_no_password() {
    let server = Postgres::shared();
    let url = server.url("postgres");
    let spec = spec("t", &options(server, &url, &[("password", "guess-me-not")]), true);
    let error =
        opening_fails(&spec, ErrorKind::FixConfig, &["table 't'", server.user(), "localhost", "'password'"]).await;
    assert!(!format!("{error:?}").contains("guess-me-not"), "{error:?}");
}

#[tokio::test]
async fn tls_is_verified() {
    let server = Postgres::shared();
    let database = server.create_database("tls").await;
    run(&mut server.connect(&database).await, format!("CREATE TABLE t ({CREATE}, PRIMARY KEY (id))")).await;
    let url = server.url(&database);
    let (ca, foreign) = (server.ca().display().to_string(), server.foreign_ca().display().to_string());
    for mode in ["verify-full", "verify-ca", "require"] {
        let right = spec("t", &options(server, &url, &[("sslmode", mode), ("ssl-root-cert", &ca)]), true);
        sink(&right).open(&claim(1)).await.unwrap_or_else(|e| panic!("{mode}: {e}"));
        let wrong = spec("t", &options(server, &url, &[("sslmode", mode), ("ssl-root-cert", &foreign)]), true);
        opening_fails(&wrong, ErrorKind::FixConfig, &["TLS failed", "'ssl-root-cert'"]).await;
    }
    let none = spec("t", &options(server, &url, &[("sslmode", "verify-full")]), true);
    opening_fails(&none, ErrorKind::FixConfig, &["TLS failed"]).await;
    let missing = [("sslmode", "verify-full"), ("ssl-root-cert", "/nowhere/ca.pem")];
    opening_fails(
        &spec("t", &options(server, &url, &missing), true),
        ErrorKind::FixConfig,
        &["'ssl-root-cert'", "/nowhere/ca.pem"],
    )
    .await;
    let mut connection = server.connect(&database).await;
    let row =
        sqlx::query("SELECT count(*) AS n FROM aqueduct_cursor").fetch_one(&mut connection).await.expect("it exists");
    assert_eq!(row.get::<i64, _>("n"), 1);
}

#[tokio::test]
async fn an_unreachable_server_is_worth_a_retry() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let url = format!("postgres://127.0.0.1:{}/db", address.port());
    let silent = spec("t", &[("url", &url), ("username", "u"), ("connect.timeout", "500 ms")], true);
    opening_fails(&silent, ErrorKind::Retry, &["u@127.0.0.1", "no answer"]).await;
    drop(listener);
    opening_fails(
        &spec("t", &[("url", &url), ("username", "u")], true),
        ErrorKind::Retry,
        &["u@127.0.0.1", "cannot be reached"],
    )
    .await;
}

#[tokio::test]
async fn a_missing_table_or_database_says_what_to_run() {
    let server = Postgres::shared();
    let database = server.create_database("missing").await;
    let url = server.url(&database);
    let create = "CREATE TABLE IF NOT EXISTS \"metrics\" (\"id\" text NOT NULL, \"n\" bigint, PRIMARY KEY (\"id\"))";
    let parts = ["table 'metrics'", "'sink.create-table' = 'true'", create];
    opening_fails(&spec("metrics", &options(server, &url, &[]), true), ErrorKind::FixConfig, &parts).await;
    let url = server.url("no_such_database");
    opening_fails(
        &spec("metrics", &options(server, &url, &[]), true),
        ErrorKind::FixConfig,
        &["no_such_database", "3D000"],
    )
    .await;
}

#[tokio::test]
async fn a_table_that_does_not_fit_is_refused_with_every_difference() {
    let server = Postgres::shared();
    let database = server.create_database("misfit").await;
    let table = "CREATE TABLE t (id integer NOT NULL, \"N\" bigint, tenant text NOT NULL, \
        stamp timestamptz NOT NULL DEFAULT now(), nr bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (id, tenant)); \
        CREATE UNIQUE INDEX ON t (id) WHERE tenant <> ''; CREATE VIEW v AS SELECT * FROM t";
    run(&mut server.connect(&database).await, table).await;
    let url = server.url(&database);
    let parts = [
        "table 't' does not fit \"public\".\"t\"",
        "column 'id' is STRING in the job and integer in postgres (expected text or",
        "column 'n' is missing (there is 'N': case counts)",
        "column 'tenant' is NOT NULL without a default",
        "PRIMARY KEY (id) needs a unique index on exactly these columns, found: (id, tenant)",
    ];
    let error = opening_fails(&spec("t", &options(server, &url, &[]), true), ErrorKind::FixConfig, &parts).await;
    assert!(!error.message().contains("'stamp'") && !error.message().contains("'nr'"), "{error}");
    opening_fails(&spec("v", &options(server, &url, &[]), true), ErrorKind::FixConfig, &["not a table"]).await;
}

#[tokio::test]
async fn tables_are_created_also_by_many_at_once() {
    let server = Postgres::shared();
    let database = server.create_database("create").await;
    let url = server.url(&database);
    let mut openings = tokio::task::JoinSet::new();
    for index in 0..12 {
        // Half of them race for one table, all of them for the cursor table.
        let table = if index % 2 == 0 { "shared".to_owned() } else { format!("own_{index}") };
        let spec = spec(&table, &options(server, &url, &[("sink.create-table", "true")]), true);
        openings.spawn(async move { sink(&spec).open(&claim_of(1, index, 1)).await });
    }
    while let Some(opened) = openings.join_next().await {
        assert_eq!(opened.expect("no panic").expect("open"), Cursor(Epoch::ZERO));
    }
    run(&mut server.connect(&database).await, "CREATE SCHEMA reports").await;
    let spec =
        spec("m", &options(server, &url, &[("sink.create-table", "true"), ("table-name", "reports.Metrics")]), true);
    let mut created = sink(&spec);
    created.open(&claim(1)).await.expect("open");
    apply(created.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.expect("apply");
    assert_eq!(rows(server, &database, "reports.\"Metrics\"").await.len(), 1);
    run(&mut server.connect(&database).await, "SELECT job FROM reports.aqueduct_cursor").await;
}

#[tokio::test]
async fn missing_rights_are_told_with_the_grant() {
    let server = Postgres::shared();
    let database = server.create_database("rights").await;
    let user = database.replace("rights", "reader");
    let mut connection = server.connect(&database).await;
    run(&mut connection, format!("CREATE TABLE t ({CREATE}, PRIMARY KEY (id)); CREATE ROLE {user} LOGIN PASSWORD 'x'"))
        .await;
    run(&mut connection, format!("GRANT SELECT ON t TO {user}")).await;
    let url = server.url(&database);
    let spec = spec("t", &options(server, &url, &[("username", &user), ("password", "x")]), true);
    let grant = format!("GRANT INSERT, UPDATE, SELECT ON \"public\".\"t\" TO \"{user}\"");
    opening_fails(&spec, ErrorKind::FixConfig, &["may not write", &grant]).await;
    run(&mut connection, grant).await;
    opening_fails(&spec, ErrorKind::FixConfig, &["aqueduct_cursor", "42501", &user]).await;
    run(&mut connection, format!("GRANT CREATE ON SCHEMA public TO {user}")).await;
    sink(&spec).open(&claim(1)).await.expect("with these rights it opens");
}

#[tokio::test]
async fn an_owner_of_an_older_lineage_is_fenced() {
    let database = Postgres::shared().create_database("lineage").await;
    let harness = Harness::new(&database, "t", true).await;
    let (older, newer) = (claim_of(1, 0, 9), claim_of(2, 0, 1));
    let (mut old, mut new) = (harness.sink(), harness.sink());
    old.open(&older).await.expect("open");
    apply(old.as_mut(), &older, 0, 1, vec![batch(&[("a", 1)])]).await.expect("apply");
    assert_eq!(new.open(&newer).await.expect("open"), Cursor(Epoch::ZERO));
    let zombie = apply(old.as_mut(), &older, 1, 2, vec![batch(&[("a", 99)])]).await.expect_err("fenced");
    assert_eq!(zombie.kind(), ErrorKind::Fenced, "{zombie}");
    let late = harness.sink().open(&claim_of(1, 0, 10)).await.expect_err("fenced");
    assert!(late.kind() == ErrorKind::Fenced && late.message().contains("lineage 2"), "{late}");
    assert_eq!(harness.visible_rows().await, [LawRow { id: "a".into(), n: 1 }]);
}

#[tokio::test]
async fn opening_waits_for_a_transaction_in_flight_and_sees_its_epoch() {
    let server = Postgres::shared();
    let database = server.create_database("flight").await;
    let harness = Harness::new(&database, "t", true).await;
    harness.sink().open(&claim(1)).await.expect("open");
    let mut flight = server.connect(&database).await;
    run(&mut flight, "BEGIN; UPDATE aqueduct_cursor SET epoch = 5 WHERE sink = 't'").await;
    let mut successor = harness.sink();
    let opening = tokio::spawn(async move { successor.open(&claim(2)).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!opening.is_finished(), "the cursor is not known before the transaction ends");
    run(&mut flight, "COMMIT").await;
    assert_eq!(opening.await.expect("no panic").expect("open"), Cursor(Epoch(5)));
}

#[tokio::test]
async fn sessions_carry_limits_and_a_name() {
    let server = Postgres::shared();
    let database = server.create_database("limits").await;
    let harness = Harness::new(&database, "t", true).await;
    let mut open = harness.sink();
    open.open(&claim(1)).await.expect("open");
    let mut connection = server.connect(&database).await;
    let name = sqlx::query(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'aqueduct/conformance' AND datname = $1",
    )
    .bind(&database)
    .fetch_one(&mut connection)
    .await
    .expect("it can be read");
    assert_eq!(name.get::<i64, _>("n"), 1);
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'aqueduct/%'";
    run(&mut connection, format!("{terminate} AND datname = '{database}'")).await;
    let error = apply(open.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.expect_err("the session is gone");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert_eq!(open.open(&claim(1)).await.expect("open"), Cursor(Epoch::ZERO));
    apply(open.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.expect("apply");
}

#[tokio::test]
async fn bad_values_name_table_and_epoch_and_are_not_cut() {
    let server = Postgres::shared();
    let database = server.create_database("values").await;
    let mut connection = server.connect(&database).await;
    run(&mut connection, "CREATE TABLE short (id varchar(3) PRIMARY KEY, n bigint)").await;
    run(&mut connection, "CREATE TABLE checked (id text PRIMARY KEY, n bigint CHECK (n < 10))").await;
    let url = server.url(&database);
    for (table, row, part) in
        [("short", ("four", 1), "too long"), ("checked", ("a", 10), "checked_n_check"), ("short", ("a\0", 1), "0x00")]
    {
        let mut sink = sink(&spec(table, &options(server, &url, &[]), true));
        sink.open(&claim(1)).await.expect("open");
        let error =
            apply(sink.as_mut(), &claim(1), 0, 7, vec![batch(&[("a", 1), row])]).await.expect_err("it does not fit");
        assert_eq!(error.kind(), ErrorKind::FixData, "{error}");
        for part in [&format!("table '{table}': epoch 7"), part] {
            assert!(error.message().contains(part), "'{part}' is not in: {error}");
        }
        assert_eq!(rows(server, &database, table).await, [], "nothing of the epoch is there");
        assert_eq!(sink.open(&claim(1)).await.expect("open"), Cursor(Epoch::ZERO));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_32_a_killed_server_costs_nothing() {
    let server = Postgres::start();
    run(&mut server.connect("postgres").await, format!("CREATE TABLE t ({CREATE})")).await;
    let url = server.url("postgres");
    let spec = spec("t", &options(&server, &url, &[("sink.buffer-flush.max-rows", "100")]), false);
    let mut sink = sink(&spec);
    sink.open(&claim(1)).await.expect("open");
    let ids: Vec<String> = (0..30_000).map(|n| format!("{n}")).collect();
    let large: Vec<(&str, i64)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
    let mut expected = 0;
    let mut epoch = 0;
    #[allow(clippy::explicit_counter_loop)] // The epoch is what the sink is told, not how often the loop ran.
    for wait in [0, 20, 60, 150, 400] {
        let (rows, owner) = (batch(&large), claim(1));
        let (result, ()) = tokio::join!(apply(sink.as_mut(), &owner, epoch, epoch + 1, vec![rows.clone()]), async {
            tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
            tokio::task::block_in_place(|| server.kill());
        });
        if let Err(error) = &result {
            assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        }
        let down = sink.open(&claim(1)).await.expect_err("it is down");
        assert_eq!(down.kind(), ErrorKind::Retry, "{down}");
        server.restart();
        let cursor = sink.open(&claim(1)).await.expect("open").0.0;
        if result.is_ok() {
            assert_eq!(cursor, epoch + 1, "what was confirmed stays");
        }
        if cursor == epoch {
            apply(sink.as_mut(), &claim(1), epoch, epoch + 1, vec![rows]).await.expect("apply again");
        }
        epoch += 1;
        expected += large.len();
        let row = sqlx::query("SELECT count(*) AS n FROM t")
            .fetch_one(&mut server.connect("postgres").await)
            .await
            .expect("a count");
        assert_eq!(row.get::<i64, _>("n"), expected as i64, "after {wait} ms");
    }
}
