//! Each sink over its simulated service dies once at each of its fail points, the first three times that it comes by, and its
//! successor goes on: every epoch counts once, and no registered point is never passed.

use super::drive::{Death, Process, drive};
use super::firestore::SimFirestore;
use super::kafka::SimKafka;
use super::postgres::SimPostgres;
use crate::sim::world::World;
use aqueduct_core::conformance::sink::{Row, apply, batch, claim, spec};
use aqueduct_core::{Connector, FailPoints, Sink, SinkSpec};
use futures::StreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A service with one table.
enum Service {
    Postgres(SimPostgres),
    Firestore(SimFirestore),
    Kafka(SimKafka),
    Bucket(Arc<InMemory>),
}

const EPOCHS: u64 = 3;

fn rows_of(epoch: u64) -> Vec<(String, i64)> {
    (0..5).map(|at| (format!("e{epoch}-{at}"), at as i64)).collect()
}

fn expected() -> Vec<Row> {
    (1..=EPOCHS).flat_map(rows_of).map(|(id, n)| Row { id, n }).collect()
}

impl Service {
    fn all(world: &World) -> Vec<(Service, &'static dyn Connector, SinkSpec)> {
        use super::chaos_tests::{FIRESTORE, KAFKA, POSTGRES};
        let folder = [("path", "gs://simulated/t"), ("format", "json"), ("sink.partition-time-column", "none")];
        vec![
            (
                Service::Postgres(SimPostgres::new(world.clone())),
                &aqueduct_postgres::PostgresConnector,
                spec("t", POSTGRES, true),
            ),
            (
                Service::Firestore(SimFirestore::new(world.clone())),
                &aqueduct_firestore::FirestoreConnector,
                spec("t", FIRESTORE, true),
            ),
            (Service::Kafka(SimKafka::new(world.clone())), &aqueduct_kafka::KafkaConnector, spec("t", KAFKA, true)),
            (Service::Bucket(Arc::default()), &aqueduct_bucket::FilesystemConnector, spec("t", &folder, true)),
        ]
    }

    fn open(&self, spec: &SinkSpec) -> Box<dyn Sink> {
        let made = match self {
            Service::Postgres(postgres) => postgres.sink(spec),
            Service::Firestore(firestore) => firestore.sink(spec),
            Service::Kafka(kafka) => kafka.sink(spec),
            Service::Bucket(store) => aqueduct_bucket::simulation::sink(spec, store.clone(), Path::from("t")),
        };
        made.expect("the options are right")
    }

    fn rows(&self) -> Vec<Row> {
        let line = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).expect("JSON");
        let values: Vec<serde_json::Value> = match self {
            Service::Postgres(postgres) => postgres.rows("t").into_iter().map(|row| serde_json::json!(row)).collect(),
            Service::Firestore(firestore) => {
                firestore.rows("t").into_iter().map(|row| serde_json::json!(row)).collect()
            }
            Service::Kafka(kafka) => kafka.committed("t").iter().map(|(_, value)| line(value)).collect(),
            Service::Bucket(store) => {
                futures::executor::block_on(committed_lines(store)).iter().map(|l| line(l)).collect()
            }
        };
        let row = |value: &serde_json::Value| Row {
            id: value["id"].as_str().expect("id is text").into(),
            n: value["n"].as_i64().expect("n is a number"),
        };
        let mut rows: Vec<Row> = values.iter().map(row).collect();
        rows.sort_unstable();
        rows
    }
}

/// The lines of the files that stand in the ledger.
async fn committed_lines(store: &InMemory) -> Vec<Vec<u8>> {
    let ledger: Vec<_> = store.list(Some(&Path::from("t/_committed"))).collect().await;
    let mut lines = Vec::new();
    for entry in ledger {
        let found = store.get(&entry.expect("memory").location).await.expect("listed").bytes().await.expect("memory");
        let entry: serde_json::Value = serde_json::from_slice(&found).expect("JSON");
        for file in entry["files"].as_array().into_iter().flatten() {
            let path = Path::from(format!("t/{}", file["path"].as_str().expect("a path")));
            let bytes = store.get(&path).await.expect("a listed file").bytes().await.expect("memory");
            lines.extend(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
        }
    }
    lines
}

/// Opens and delivers what is missing. There are no faults but the death that was ordered.
async fn own(service: &Service, spec: &SinkSpec, generation: u64) {
    let mut sink = service.open(spec);
    let mut opened = sink.open(&claim(generation)).await;
    while opened.as_ref().is_err_and(|error| error.kind() == aqueduct_core::ErrorKind::Retry) {
        // The dead owner's lock is still held, or its transaction is being ended.
        opened = sink.open(&claim(generation)).await;
    }
    let mut at = opened.expect("only a predecessor can be in the way").0.0;
    while at < EPOCHS {
        let rows = rows_of(at + 1);
        let rows: Vec<(&str, i64)> = rows.iter().map(|(id, n)| (id.as_str(), *n)).collect();
        let cursor = apply(sink.as_mut(), &claim(generation), at, at + 1, vec![batch(&rows)]).await;
        at = cursor.expect("no faults").0.0;
    }
}

/// True when the first owner died at its `nth` pass of `point`.
fn dies_at(world: &World, service: &Service, spec: &SinkSpec, point: &'static str, nth: usize) -> bool {
    let passed = AtomicUsize::new(0);
    let points = FailPoints::new(move |name| {
        if name == point && passed.fetch_add(1, Ordering::Relaxed) + 1 == nth {
            Death::now();
        }
    });
    let armed = SinkSpec { fail_points: points, ..spec.clone() };
    let died = drive(world, Process::new(world, own(service, &armed, 1))).is_none();
    drive(world, async {
        own(service, spec, 2).await;
        world.sleep(super::chaos_tests::UNDER_WAY).await;
    });
    died
}

#[test]
fn a_death_at_any_fail_point_loses_and_doubles_nothing() {
    let (mut points, mut deaths) = (0, 0);
    for kind in 0..4 {
        let quiet = World::new(7, None);
        let (_, connector, _) = Service::all(&quiet).swap_remove(kind);
        for point in connector.fail_points().iter().filter(|point| point.starts_with("sink.")) {
            points += 1;
            for nth in 1..=3 {
                let world = World::new(nth as u64, None);
                world.calm_down();
                let (service, _, spec) = Service::all(&world).swap_remove(kind);
                let died = dies_at(&world, &service, &spec, point, nth);
                // Points of the opening are passed once.
                assert!(died || nth > 1, "{point} is never passed");
                deaths += usize::from(died);
                assert_eq!(service.rows(), expected(), "{point}, pass {nth}");
                assert_eq!(world.broken(), None, "{point}, pass {nth}");
            }
        }
    }
    eprintln!("{deaths} deaths at {points} fail points");
    assert!(points > 20 && deaths > 40, "{deaths} deaths at {points} points");
}
