//! Firestore: preconditions, atomic commits, update times.

use super::{assert_told, calm};
use aqueduct_core::conformance::sink::spec;
use aqueduct_firestore::simulation::{Database, Failure, Outcome, Service, service};
use aqueduct_tests::services::{Firestore, unique};
use aqueduct_tests::sim::backends::drive::drive;
use aqueduct_tests::sim::backends::firestore::SimFirestore;
use gcloud_sdk::google::firestore::v1::precondition::ConditionType;
use gcloud_sdk::google::firestore::v1::value::ValueType;
use gcloud_sdk::google::firestore::v1::write::Operation;
use gcloud_sdk::google::firestore::v1::{CommitResponse, Document, Precondition, Value, Write};
use gcloud_sdk::prost_types::Timestamp;

fn write(name: &str, number: i64, condition: Option<ConditionType>) -> Write {
    let value = Value { value_type: Some(ValueType::IntegerValue(number)) };
    let fields = [("n".to_owned(), value)].into_iter().collect();
    Write {
        operation: Some(Operation::Update(Document { name: name.to_owned(), fields, ..Document::default() })),
        current_document: condition.map(|condition| Precondition { condition_type: Some(condition) }),
        ..Write::default()
    }
}

async fn number(database: &dyn Database, name: &str) -> String {
    let found = database.get(name.to_owned()).await.unwrap();
    match found.and_then(|found| found.fields.get("n").and_then(|value| value.value_type.clone())) {
        Some(ValueType::IntegerValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn told(what: &str, outcome: &Outcome<CommitResponse>) -> String {
    match outcome {
        Ok(response) => format!("{what}: {} written", response.write_results.len()),
        Err(Failure::Status(status)) => format!("{what}: {:?}", status.code()),
        Err(Failure::Silent(_)) => format!("{what}: silent"),
    }
}

/// When the first write took effect.
fn time(outcome: Outcome<CommitResponse>) -> Timestamp {
    outcome.unwrap().write_results.first().and_then(|result| result.update_time).unwrap()
}

async fn script(service: &dyn Service, root: &str) -> Vec<String> {
    let database = service.connect().await.unwrap();
    let database = database.as_ref();
    let (fence, row) = (format!("{root}/fence"), format!("{root}/row"));
    let mut log = vec![number(database, &fence).await];
    let first = database.commit(vec![write(&fence, 1, Some(ConditionType::Exists(false)))]).await;
    log.push(told("created", &first));
    let first = time(first);
    let again = database.commit(vec![write(&fence, 2, Some(ConditionType::Exists(false)))]).await;
    log.push(told("created again", &again));
    // Whole, or not at all: the row goes with its fence.
    let pair =
        |number, seen| vec![write(&fence, number, Some(ConditionType::UpdateTime(seen))), write(&row, number, None)];
    let second = database.commit(pair(2, first)).await;
    log.push(told("moved", &second));
    let second = time(second);
    log.push(format!("later: {}", (second.seconds, second.nanos) > (first.seconds, first.nanos)));
    let stale = database.commit(pair(3, first)).await;
    log.push(told("stale", &stale));
    log.push(format!("fence {}, row {}", number(database, &fence).await, number(database, &row).await));
    let missing = format!("{root}/missing");
    let gone = database.commit(vec![write(&missing, 1, Some(ConditionType::UpdateTime(second)))]).await;
    log.push(format!("missing refused: {}", gone.is_err()));
    // A write that changes nothing, and one that does.
    let same = database.commit(pair(2, second)).await;
    log.push(told("the same again", &same));
    let same = time(same);
    log.push(format!("its time stays: {}", same == second));
    let third = database.commit(pair(3, same)).await;
    log.push(told("moved", &third));
    log.push(format!("fence {}, row {}", number(database, &fence).await, number(database, &row).await));
    log
}

const SCRIPT: &[&str] = &[
    "None",
    "created: 1 written",
    "created again: AlreadyExists",
    "moved: 2 written",
    "later: true",
    "stale: FailedPrecondition",
    "fence 2, row 2",
    "missing refused: true",
    "the same again: 2 written",
    "its time stays: true",
    "moved: 2 written",
    "fence 3, row 3",
];

#[test]
fn the_simulated_database_answers_as_written() {
    let world = calm(1);
    let firestore = SimFirestore::new(world.clone());
    let told = drive(&world, script(&firestore, "projects/p/databases/(default)/documents/model"));
    assert_told("simulated", &told, SCRIPT);
}

#[tokio::test]
async fn the_emulator_answers_as_written() {
    let Some(emulator) = Firestore::try_shared() else { return };
    let options = [("project-id", emulator.project()), ("emulator-host", emulator.host())];
    let real = service(&spec("t", &options, true)).unwrap();
    let root = format!("projects/{}/databases/(default)/documents/{}", emulator.project(), unique("model"));
    assert_told("emulator", &script(real.as_ref(), &root).await, SCRIPT);
}

#[test]
fn a_commit_under_way_is_judged_when_it_arrives() {
    // The fault itself: a seed in which the first commit comes late.
    let mut seen = 0;
    for seed in 0..400 {
        let world = aqueduct_tests::sim::world::World::new(seed, None);
        let firestore = SimFirestore::new(world.clone());
        let name = "projects/p/databases/(default)/documents/model/fence";
        let outcome = drive(&world, async {
            let database = firestore.connect().await.ok()?;
            Some(database.commit(vec![write(name, 1, Some(ConditionType::Exists(false)))]).await)
        });
        if outcome.is_none_or(|outcome| outcome.is_ok()) || !world.faults().contains_key("firestore.applied-late") {
            continue;
        }
        world.calm_down();
        drive(&world, async {
            let database = firestore.connect().await.unwrap();
            let mine = database.commit(vec![write(name, 2, Some(ConditionType::Exists(false)))]).await;
            world.sleep(std::time::Duration::from_secs(200)).await;
            // Whichever came first counts, and the other one never overwrites it.
            let expected = if mine.is_ok() { "2" } else { "1" };
            assert_eq!(number(database.as_ref(), name).await, expected, "seed {seed}");
        });
        seen += 1;
    }
    assert!(seen > 3, "{seen} seeds showed it");
}
