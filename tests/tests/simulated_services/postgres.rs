//! Postgres: transactions, conditions, locks, errors, seen by two sessions.

use super::{assert_told, calm};
use aqueduct_core::conformance::sink::{batch, spec};
use aqueduct_postgres::simulation::{Boundary, Change, Database, Failure, Key, Only, Outcome, Session, server};
use aqueduct_tests::services::{Postgres, unique};
use aqueduct_tests::sim::backends::drive::drive;
use aqueduct_tests::sim::backends::postgres::SimPostgres;
use arrow::array::ArrayRef;

fn key(lineage: i64, generation: i64) -> Key {
    Key { job: "job".into(), lineage, shard: 0, sink: "t".into(), generation }
}

fn step(key: &Key, epoch: Option<i64>, only: &[Only]) -> Change {
    Change { lineage: key.lineage, epoch, generation: key.generation, only: only.to_vec() }
}

fn columns(rows: &[(&str, i64)]) -> Vec<ArrayRef> {
    batch(rows).columns().to_vec()
}

/// What an answer comes to, without texts that differ.
fn told<T: std::fmt::Debug>(what: &str, outcome: Outcome<T>) -> String {
    match outcome {
        Ok(answer) => format!("{what} {answer:?}"),
        Err(Failure::Sql(sqlx::Error::Database(error))) => format!("{what} [{}]", error.code().unwrap_or_default()),
        Err(_) => format!("{what} gone"),
    }
}

async fn connected(database: &dyn Database) -> Box<dyn Session> {
    let mut session = database.connect("job").await.unwrap();
    session.prepare().await.unwrap();
    session
}

/// Claims lineage 1 and moves to epoch 1, as seen by another session; then what conditions refuse.
async fn fence(database: &dyn Database) -> Vec<String> {
    let (mut one, mut other) = (connected(database).await, connected(database).await);
    let (mine, mut log) = (key(1, 3), Vec::new());
    one.transaction(Boundary::Begin).await.unwrap();
    log.push(told("entries", one.lock_entries(&mine).await));
    log.push(told("claimed", one.update(&mine, &step(&mine, None, &[])).await));
    log.push(told("seen by another", other.entry(&mine).await));
    one.transaction(Boundary::Commit).await.unwrap();
    log.push(told("seen by another", other.entry(&mine).await));
    one.transaction(Boundary::Begin).await.unwrap();
    log.push(told("fence", one.update(&mine, &step(&mine, Some(1), &[Only::At(0), Only::UpTo(3)])).await));
    log.push(told("rows", one.insert(&columns(&[("a", 1), ("b", 2)])).await));
    log.push(told("own view", one.entry(&mine).await));
    log.push(told("other view", other.entry(&mine).await));
    log.push(told("commit", one.transaction(Boundary::Commit).await));
    log.push(told("other view", other.entry(&mine).await));
    other.transaction(Boundary::Begin).await.unwrap();
    log.push(told("stale epoch", other.update(&mine, &step(&mine, Some(2), &[Only::At(0), Only::UpTo(3)])).await));
    let older = key(1, 2);
    log.push(told("older owner", other.update(&older, &step(&older, Some(2), &[Only::At(1), Only::UpTo(2)])).await));
    log.push(told("rollback", other.transaction(Boundary::Rollback).await));
    one.close().await;
    other.close().await;
    log
}

const FENCE: &[&str] = &[
    "entries [Entry { lineage: 1, epoch: 0, generation: 0 }]",
    "claimed true",
    "seen by another None",
    "seen by another Some(Entry { lineage: 1, epoch: 0, generation: 3 })",
    "fence true",
    "rows ()",
    "own view Some(Entry { lineage: 1, epoch: 1, generation: 3 })",
    "other view Some(Entry { lineage: 1, epoch: 0, generation: 3 })",
    "commit ()",
    "other view Some(Entry { lineage: 1, epoch: 1, generation: 3 })",
    "stale epoch false",
    "older owner false",
    "rollback ()",
];

/// Two transactions meet at one row: the second waits, and looks at the conditions again.
async fn meeting(database: &dyn Database) -> Vec<String> {
    let (mut one, mut other) = (connected(database).await, connected(database).await);
    let (mine, mut log) = (key(1, 3), Vec::new());
    for session in [&mut one, &mut other] {
        session.transaction(Boundary::Begin).await.unwrap();
    }
    let forward = step(&mine, Some(2), &[Only::At(1), Only::UpTo(3)]);
    log.push(told("first", one.update(&mine, &forward).await));
    let (second, commit) = futures::join!(other.update(&mine, &forward), one.transaction(Boundary::Commit));
    log.push(told("second", second));
    log.push(told("commit", commit));
    log.push(told("end", other.transaction(Boundary::Commit).await));
    // A claim waits for a transaction in flight, and finds what it left.
    let newer = key(1, 4);
    one.transaction(Boundary::Begin).await.unwrap();
    let forward = step(&mine, Some(3), &[Only::At(2), Only::UpTo(3)]);
    log.push(told("in flight", one.update(&mine, &forward).await));
    other.transaction(Boundary::Begin).await.unwrap();
    let (claim, commit) = futures::join!(other.lock_entries(&newer), one.transaction(Boundary::Commit));
    log.push(told("claim", claim));
    log.push(told("commit", commit));
    log.push(told("rollback", other.transaction(Boundary::Rollback).await));
    // A client that vanishes inside a transaction leaves nothing, and its locks are freed.
    one.transaction(Boundary::Begin).await.unwrap();
    log.push(told("vanishing", one.update(&mine, &step(&mine, Some(9), &[Only::At(3)])).await));
    drop(one);
    other.transaction(Boundary::Begin).await.unwrap();
    log.push(told("claim", other.lock_entries(&newer).await));
    log.push(told("commit", other.transaction(Boundary::Commit).await));
    other.close().await;
    log
}

const MEETING: &[&str] = &[
    "first true",
    "second false",
    "commit ()",
    "end ()",
    "in flight true",
    "claim [Entry { lineage: 1, epoch: 3, generation: 3 }]",
    "commit ()",
    "rollback ()",
    "vanishing true",
    "claim [Entry { lineage: 1, epoch: 3, generation: 3 }]",
    "commit ()",
];

/// Errors inside a transaction, and another lineage.
async fn failing(database: &dyn Database) -> Vec<String> {
    let mut one = connected(database).await;
    let (mine, mut log) = (key(1, 3), Vec::new());
    one.transaction(Boundary::Begin).await.unwrap();
    log.push(told("fence", one.update(&mine, &step(&mine, Some(4), &[Only::At(3), Only::UpTo(3)])).await));
    log.push(told("twice", one.insert(&columns(&[("a", 5), ("a", 6)])).await));
    log.push(told("after", one.update(&mine, &step(&mine, Some(5), &[])).await));
    // No error, and nothing counts.
    log.push(told("commit", one.transaction(Boundary::Commit).await));
    log.push(told("entry", one.entry(&mine).await));
    let next = key(2, 1);
    one.transaction(Boundary::Begin).await.unwrap();
    log.push(told("entries", one.lock_entries(&next).await));
    let closed = Change { lineage: 1, epoch: None, generation: i64::MAX, only: vec![] };
    log.push(told("closed", one.update(&next, &closed).await));
    log.push(told("taken", one.update(&next, &step(&next, None, &[])).await));
    log.push(told("commit", one.transaction(Boundary::Commit).await));
    log.push(told("old", one.entry(&mine).await));
    one.close().await;
    log
}

const FAILING: &[&str] = &[
    "fence true",
    "twice [21000]",
    "after [25P02]",
    "commit ()",
    "entry Some(Entry { lineage: 1, epoch: 3, generation: 3 })",
    "entries [Entry { lineage: 1, epoch: 3, generation: 3 }, Entry { lineage: 2, epoch: 0, generation: 0 }]",
    "closed true",
    "taken true",
    "commit ()",
    "old Some(Entry { lineage: 1, epoch: 3, generation: 9223372036854775807 })",
];

#[test]
fn the_simulated_server_answers_as_written() {
    let world = calm(1);
    let postgres = SimPostgres::new(world.clone());
    let database = postgres.database(&spec("t", &[], true));
    drive(&world, async {
        assert_told("simulated", &fence(database.as_ref()).await, FENCE);
        assert_told("simulated", &meeting(database.as_ref()).await, MEETING);
        assert_told("simulated", &failing(database.as_ref()).await, FAILING);
    });
    assert_eq!(postgres.rows("t").len(), 2);
    assert_eq!(world.broken(), None);
}

#[tokio::test]
async fn the_real_server_answers_as_written() {
    let postgres = Postgres::shared();
    let name = unique("model").replace('-', "_");
    let mut connection = postgres.connect("postgres").await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    let url = postgres.url(&name);
    let options = [
        ("url", url.as_str()),
        ("username", postgres.user()),
        ("password", postgres.password()),
        ("sink.create-table", "true"),
    ];
    let database = server(&spec("t", &options, true)).unwrap();
    assert_told("real", &fence(database.as_ref()).await, FENCE);
    assert_told("real", &meeting(database.as_ref()).await, MEETING);
    assert_told("real", &failing(database.as_ref()).await, FAILING);
}

#[test]
fn a_silent_owner_holds_the_row_until_the_server_ends_it() {
    let world = calm(2);
    let database = SimPostgres::new(world.clone()).database(&spec("t", &[], true));
    drive(&world, async {
        let (mut silent, mut next) = (connected(database.as_ref()).await, connected(database.as_ref()).await);
        let (mine, newer) = (key(1, 1), key(1, 2));
        silent.transaction(Boundary::Begin).await.unwrap();
        silent.lock_entries(&mine).await.unwrap();
        let since = world.now_ms();
        next.transaction(Boundary::Begin).await.unwrap();
        assert!(next.lock_entries(&newer).await.is_ok(), "freed by idle_in_transaction_session_timeout");
        let waited = world.now_ms() - since;
        assert!((18_000..23_000).contains(&waited), "{waited} ms");
        assert_eq!(told("silent", silent.transaction(Boundary::Commit).await), "silent gone");
    });
}
