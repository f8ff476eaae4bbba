//! Rows of the fault matrix (`RELIABILITY.md`) that the Postgres sink answers for: commits whose outcome is unknown, servers that
//! are full or read-only, conflicts, and calls that are dropped half way.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_core::conformance::sink::{apply, batch, claim, spec};
use aqueduct_core::{Connector, Cursor, ErrorKind, Sink, SinkSpec};
use aqueduct_postgres::PostgresConnector;
use aqueduct_tests::host::SmallDisk;
use aqueduct_tests::services::proxy::{Act, Rule, Weather};
use aqueduct_tests::services::{Postgres, Proxy};
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::{Duration, Instant};

/// Whole, as it is sent: BEGIN says READ COMMITTED.
const COMMIT: &[u8] = b"COMMIT\0";
const PATIENCE: Duration = Duration::from_secs(60);

async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    let sql: String = sql.into();
    sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(connection).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// The sink of table `t`, reached at a port of 127.0.0.1 without TLS.
fn sink_at(server: &Postgres, port: u16, database: &str) -> SinkSpec {
    let url = format!("postgres://127.0.0.1:{port}/{database}");
    let options =
        [("url", url.as_str()), ("username", server.user()), ("password", server.password()), ("sslmode", "disable")];
    spec("t", &options, true)
}

/// A database with the table `t`.
async fn database(server: &Postgres, more: &str) -> String {
    let name = server.create_database("faults").await;
    run(&mut server.connect(&name).await, format!("CREATE TABLE t (id text PRIMARY KEY, n bigint) {more}")).await;
    name
}

/// Twenty rows of an epoch; every epoch writes the same keys, so that an older one that came late would show.
fn rows(epoch: u64) -> Vec<(String, i64)> {
    (0..20).map(|n| (format!("{n}"), epoch as i64)).collect()
}

async fn once(sink: &mut dyn Sink, cursor: u64, epoch: u64) -> aqueduct_core::Result<Cursor> {
    let rows = rows(epoch);
    let rows: Vec<(&str, i64)> = rows.iter().map(|(id, n)| (id.as_str(), *n)).collect();
    apply(sink, &claim(1), cursor, epoch, vec![batch(&rows)]).await
}

/// Delivers an epoch as the engine does, and returns how often it had to be tried again.
async fn deliver(sink: &mut dyn Sink, cursor: &mut u64, epoch: u64) -> u32 {
    let (begin, mut again) = (Instant::now(), 0);
    while *cursor < epoch {
        assert!(begin.elapsed() < PATIENCE, "epoch {epoch} never gets through");
        let Err(error) = once(sink, *cursor, epoch).await else {
            *cursor = epoch;
            return again;
        };
        assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
        again += 1;
        while let Err(error) = sink.open(&claim(1)).await.map(|Cursor(reached)| *cursor = reached.0) {
            assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
            assert!(begin.elapsed() < PATIENCE, "the sink never opens: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    again
}

/// Every key with the number of the last epoch, and the cursor that says so.
async fn assert_whole(server: &Postgres, database: &str, epoch: u64) {
    let mut connection = server.connect(database).await;
    let found: Vec<(String, i64)> =
        sqlx::query_as("SELECT id, n FROM t ORDER BY id::int").fetch_all(&mut connection).await.unwrap();
    assert_eq!(found, rows(epoch));
    let cursors: Vec<(i64,)> =
        sqlx::query_as("SELECT epoch FROM aqueduct_cursor").fetch_all(&mut connection).await.unwrap();
    assert_eq!(cursors, [(epoch as i64,)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_32_the_cursor_tells_what_became_of_a_commit() {
    let server = Postgres::shared();
    let database = database(server, "").await;
    let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
    let mut sink = PostgresConnector.sink(&sink_at(server, proxy.port(), &database)).unwrap();
    let statements: [&[u8]; 4] = [b"BEGIN", b", epoch = $6", b"INSERT INTO", COMMIT];
    let mut epoch = 0;
    for act in [Act::CutReply, Act::DropRequest] {
        for statement in statements {
            epoch += 1;
            // A new session: a statement that one has prepared is not spelled out again.
            let mut cursor = sink.open(&claim(1)).await.unwrap().0.0;
            proxy.add(Rule::on(act.clone(), statement));
            let again = deliver(sink.as_mut(), &mut cursor, epoch).await;
            assert!(again > 0, "{act:?} at {}: nothing was cut", String::from_utf8_lossy(statement));
            assert_whole(server, &database, epoch).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_32_a_server_that_is_shut_down_during_a_commit_costs_nothing() {
    let server = Postgres::start();
    let database = database(&server, "").await;
    let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
    let mut sink = PostgresConnector.sink(&sink_at(&server, proxy.port(), &database)).unwrap();
    let mut cursor = sink.open(&claim(1)).await.unwrap().0.0;
    for epoch in 1..=4 {
        let struck = proxy.struck();
        proxy.add(Rule::on(Act::CutReplyAndRefuse, COMMIT));
        let shut = async {
            while proxy.struck() == struck {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::task::block_in_place(|| if epoch % 2 == 0 { server.kill() } else { server.stop_immediately() });
            tokio::task::block_in_place(|| server.restart());
            proxy.heal();
        };
        tokio::join!(deliver(sink.as_mut(), &mut cursor, epoch), shut);
        assert_whole(&server, &database, epoch).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_33_a_successor_waits_until_the_server_ends_a_stopped_owners_transaction() {
    let server = Postgres::shared();
    let database = database(server, "").await;
    let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
    let mut stopped = PostgresConnector.sink(&sink_at(server, proxy.port(), &database)).unwrap();
    let mut cursor = stopped.open(&claim(1)).await.unwrap().0.0;
    deliver(stopped.as_mut(), &mut cursor, 1).await;
    // Its transaction holds the cursor's row and all rows of the table, and nothing more is heard of it.
    proxy.add(Rule::on(Act::Swallow, COMMIT));
    let stopped = tokio::spawn(async move {
        let outcome = once(stopped.as_mut(), 1, 2).await;
        (stopped, outcome)
    });
    let begin = Instant::now();
    while proxy.struck() == 0 {
        assert!(begin.elapsed() < PATIENCE, "no COMMIT comes");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The successor opens at the first try: its patience is longer than the server's.
    let mut next = PostgresConnector.sink(&sink_at(server, server.port(), &database)).unwrap();
    let reached = next.open(&claim(2)).await.unwrap();
    assert_eq!(reached.0.0, 1, "what was not committed does not count");
    proxy.heal();
    let (mut stopped, outcome) = stopped.await.unwrap();
    assert_eq!(outcome.expect_err("its session is gone").kind(), ErrorKind::Retry);
    assert_eq!(stopped.open(&claim(1)).await.expect_err("there is a newer owner").kind(), ErrorKind::Fenced);
    assert_whole(server, &database, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_35_a_read_only_server_is_waited_for() {
    let server = Postgres::shared();
    let database = database(server, "").await;
    let mut sink = PostgresConnector.sink(&sink_at(server, server.port(), &database)).unwrap();
    let mut cursor = sink.open(&claim(1)).await.unwrap().0.0;
    deliver(sink.as_mut(), &mut cursor, 1).await;
    let mut admin = server.connect("postgres").await;
    run(&mut admin, format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    run(&mut admin, end).await;
    assert_eq!(once(sink.as_mut(), 1, 2).await.expect_err("the session is gone").kind(), ErrorKind::Retry);
    let error = sink.open(&claim(1)).await.expect_err("nothing can be written");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
    assert!(error.message().contains("read-only"), "{error}");
    run(&mut admin, format!("ALTER DATABASE {database} RESET default_transaction_read_only")).await;
    deliver(sink.as_mut(), &mut cursor, 2).await;
    assert_whole(server, &database, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_35_conflicts_are_tried_again() {
    let server = Postgres::shared();
    let database = database(server, "").await;
    let mut connection = server.connect(&database).await;
    // Sequences are not rolled back: each of these comes once.
    let trouble = "CREATE SEQUENCE turn; CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ \
                   DECLARE states text[] := ARRAY['40001', '40P01', '55P03', '53200', '53300', '57014', '58030']; \
                   n bigint := nextval('turn'); BEGIN \
                   IF n <= 7 THEN RAISE EXCEPTION 'trouble %', n USING ERRCODE = states[n]; END IF; RETURN NULL; END $$; \
                   CREATE TRIGGER trouble BEFORE INSERT ON t EXECUTE FUNCTION trouble()";
    run(&mut connection, trouble).await;
    let mut sink = PostgresConnector.sink(&sink_at(server, server.port(), &database)).unwrap();
    let mut cursor = sink.open(&claim(1)).await.unwrap().0.0;
    assert_eq!(deliver(sink.as_mut(), &mut cursor, 1).await, 7);
    assert_whole(server, &database, 1).await;
    deadlock(server, &database, sink.as_mut(), &mut cursor).await;
    assert_whole(server, &database, 2).await;
}

/// A session that holds a row of the table and wants the cursor, while the sink holds the cursor and wants the row.
async fn deadlock(server: &Postgres, database: &str, sink: &mut dyn Sink, cursor: &mut u64) {
    let (mut other, mut watcher) = (server.connect(database).await, server.connect(database).await);
    // The sink is to be the one that notices.
    run(&mut other, "SET deadlock_timeout = '30s'; BEGIN; UPDATE t SET n = 99 WHERE id = '7'").await;
    let crossing = async {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        let begin = Instant::now();
        while sqlx::query_as::<_, (i64,)>(waits).fetch_one(&mut watcher).await.unwrap().0 == 0 {
            assert!(begin.elapsed() < PATIENCE, "the sink never waits");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        run(&mut other, "SELECT * FROM aqueduct_cursor FOR UPDATE").await;
        run(&mut other, "ROLLBACK").await;
    };
    let (again, ()) = tokio::join!(deliver(sink, cursor, 2), crossing);
    assert_eq!(again, 1, "the server ended the sink's transaction once");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_35_a_full_disk_is_waited_for() {
    let Some(disk) = SmallDisk::try_new(16) else { return };
    let server = Postgres::shared();
    let place = disk.path().join("space");
    std::fs::create_dir(&place).unwrap();
    server.give(&place);
    let mut admin = server.connect("postgres").await;
    let space = aqueduct_tests::services::unique("space").replace('-', "_");
    run(&mut admin, format!("CREATE TABLESPACE {space} LOCATION '{}'", place.display())).await;
    let database = database(server, &format!("TABLESPACE {space}")).await;
    run(&mut server.connect(&database).await, format!("ALTER INDEX t_pkey SET TABLESPACE {space}")).await;
    let mut sink = PostgresConnector.sink(&sink_at(server, server.port(), &database)).unwrap();
    let cursor = sink.open(&claim(1)).await.unwrap().0.0;
    disk.fill();
    let (names, text) = ((0..20_000).map(|n| format!("{n:0200}")).collect::<Vec<_>>(), claim(1));
    let large: Vec<(&str, i64)> = names.iter().map(|id| (id.as_str(), 1)).collect();
    let mut full = 0;
    for _ in 0..3 {
        let error = apply(sink.as_mut(), &text, cursor, 1, vec![batch(&large)]).await.expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
        full += u32::from(error.message().contains("53100"));
        assert_eq!(sink.open(&claim(1)).await.unwrap().0.0, cursor, "nothing of it has landed");
    }
    assert_eq!(full, 3, "each time the server said that its disk is full");
    disk.free();
    apply(sink.as_mut(), &claim(1), cursor, 1, vec![batch(&large)]).await.unwrap();
    let mut connection = server.connect(&database).await;
    let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM t").fetch_one(&mut connection).await.unwrap();
    assert_eq!(count, 20_000);
    sink.close().await.unwrap();
    drop(connection);
    run(&mut admin, format!("DROP DATABASE {database} WITH (FORCE)")).await;
    run(&mut admin, format!("DROP TABLESPACE {space}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_36_a_call_that_is_dropped_half_way_leaves_no_transaction_open() {
    let server = Postgres::shared();
    let database = database(server, "").await;
    let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
    let mut sink = PostgresConnector.sink(&sink_at(server, proxy.port(), &database)).unwrap();
    let (mut cursor, mut dropped) = (sink.open(&claim(1)).await.unwrap().0.0, 0);
    let mut watcher = server.connect(&database).await;
    let slow = Weather { latency: Duration::from_millis(40), ..Weather::default() };
    // Every answer takes 80 ms: BEGIN, the cursor, the rows and COMMIT are each dropped on their way and on their way back.
    for (epoch, moment) in (1..).zip([10, 50, 90, 130, 170, 210, 250, 290, 330, 370]) {
        proxy.weather(slow);
        let cut = tokio::time::timeout(Duration::from_millis(moment), once(sink.as_mut(), cursor, epoch)).await;
        proxy.weather(Weather::default());
        dropped += u32::from(cut.is_err());
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                    AND xact_start IS NOT NULL";
        let begin = Instant::now();
        while sqlx::query_as::<_, (i64,)>(open).fetch_one(&mut watcher).await.unwrap().0 > 0 {
            assert!(begin.elapsed() < Duration::from_secs(10), "a transaction of the dropped call stays open");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cursor = sink.open(&claim(1)).await.unwrap().0.0;
        deliver(sink.as_mut(), &mut cursor, epoch).await;
        assert_whole(server, &database, epoch).await;
    }
    assert!(dropped >= 5, "{dropped} calls were dropped");
}
