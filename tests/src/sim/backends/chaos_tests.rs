//! Each real sink over its simulated service, with every fault: owners die, stand still, come back beside their
//! successors, and in the end each epoch counts exactly once. Bugs that are planted are found.

use super::StoredCursor;
use super::drive::{Process, drive};
use super::firestore::SimFirestore;
use super::kafka::SimKafka;
use super::postgres::SimPostgres;
use crate::sim::world::World;
use aqueduct_core::conformance::sink::{self as laws, Row, SinkHarness, apply, batch, claim};
use aqueduct_core::{Claimed, ErrorKind, Sink, SinkSpec};
use async_trait::async_trait;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

/// A service with one table.
#[derive(Clone)]
pub(super) enum Bench {
    Postgres(SimPostgres, SinkSpec),
    Firestore(SimFirestore, SinkSpec),
    Kafka(SimKafka, SinkSpec),
}

pub(super) const POSTGRES: &[(&str, &str)] =
    &[("url", "postgres://user@simulated/db"), ("sink.buffer-flush.max-rows", "2")];
pub(super) const FIRESTORE: &[(&str, &str)] = &[("project-id", "simulated"), ("sink.max-writes-per-commit", "2")];
pub(super) const KAFKA: &[(&str, &str)] = &[
    ("format", "json"),
    ("topic", "t"),
    ("properties.bootstrap.servers", "simulated:9092"),
    ("properties.transaction.timeout.ms", "60000"),
];

/// Longer than anything is under way without faults.
pub(super) const UNDER_WAY: Duration = Duration::from_secs(5);

type Make = fn(World) -> Bench;
const MAKERS: &[(&str, Make)] = &[
    ("postgres", |world| Bench::Postgres(SimPostgres::new(world), laws::spec("t", POSTGRES, true))),
    ("postgres without a key", |world| Bench::Postgres(SimPostgres::new(world), laws::spec("t", POSTGRES, false))),
    ("firestore", |world| Bench::Firestore(SimFirestore::new(world), laws::spec("t", FIRESTORE, true))),
    ("kafka", |world| Bench::Kafka(SimKafka::new(world), laws::spec("t", KAFKA, true))),
];

fn row(id: &serde_json::Value, n: &serde_json::Value) -> Row {
    Row { id: id.as_str().expect("id is text").into(), n: n.as_i64().expect("n is a number") }
}

impl Bench {
    pub(super) fn open(&self) -> Box<dyn Sink> {
        let made = match self {
            Bench::Postgres(postgres, spec) => postgres.sink(spec),
            Bench::Firestore(firestore, spec) => firestore.sink(spec),
            Bench::Kafka(kafka, spec) => kafka.sink(spec),
        };
        made.expect("the options are right")
    }

    /// What a reader sees; of a keyed topic every record, because none may come twice.
    fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = match self {
            Bench::Postgres(postgres, _) => {
                postgres.rows("t").iter().map(|found| row(&found["id"], &found["n"])).collect()
            }
            Bench::Firestore(firestore, _) => {
                firestore.rows("t").iter().map(|found| row(&found["id"], &found["n"])).collect()
            }
            Bench::Kafka(kafka, _) => {
                let value = |(_, value): &super::kafka::Pair| {
                    let value: serde_json::Value = serde_json::from_slice(value).expect("JSON");
                    row(&value["id"], &value["n"])
                };
                kafka.committed("t").iter().map(value).collect()
            }
        };
        rows.sort_unstable();
        rows
    }

    fn replaces(&self) -> bool {
        match self {
            Bench::Postgres(_, spec) => !spec.primary_key.is_empty(),
            Bench::Firestore(..) => true,
            Bench::Kafka(..) => false,
        }
    }

    fn cursors(&self) -> Vec<StoredCursor> {
        match self {
            Bench::Postgres(postgres, _) => postgres.cursors(),
            Bench::Firestore(firestore, _) => firestore.cursors(),
            Bench::Kafka(kafka, _) => kafka.cursors(),
        }
    }

    /// Whether readers see nothing of an epoch before all of it.
    fn atomic(&self) -> bool {
        !matches!(self, Bench::Firestore(..))
    }
}

/// A service that is asked for its rows when nothing is under way any more: brokers decide first and write markers after.
struct Settled {
    world: World,
    bench: Bench,
}

#[async_trait]
impl SinkHarness for Settled {
    fn sink(&self) -> Box<dyn Sink> {
        self.bench.open()
    }

    fn keyed(&self) -> bool {
        match &self.bench {
            Bench::Postgres(_, spec) | Bench::Firestore(_, spec) | Bench::Kafka(_, spec) => {
                !spec.primary_key.is_empty()
            }
        }
    }

    async fn visible_rows(&self) -> Vec<Row> {
        self.world.sleep(UNDER_WAY).await;
        let Bench::Kafka(kafka, spec) = &self.bench else { return self.bench.rows() };
        if spec.primary_key.is_empty() {
            return self.bench.rows();
        }
        // What compaction would leave.
        let latest: BTreeMap<Vec<u8>, Vec<u8>> =
            kafka.committed("t").into_iter().map(|(key, value)| (key.expect("a key"), value)).collect();
        let value = |value: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(value).expect("JSON");
        latest.values().map(value).map(|value| row(&value["id"], &value["n"])).collect()
    }
}

#[test]
fn the_real_sinks_keep_the_laws_over_the_simulated_services() {
    let wide = |world: World| {
        let mut kafka = laws::spec("t", KAFKA, false);
        kafka.primary_key = vec![];
        Bench::Kafka(SimKafka::new(world), kafka)
    };
    let makers = MAKERS.iter().copied().chain([("kafka without a key", wide as Make)]);
    for (name, make) in makers {
        let world = World::new(1, None);
        world.calm_down();
        eprintln!("laws of {name}");
        drive(&world, laws::all(async |_| Settled { world: world.clone(), bench: make(world.clone()) }));
        assert_eq!(world.broken(), None, "{name}");
    }
}

/// Numbers are skipped, as by epochs without rows.
const EPOCHS: &[u64] = &[1, 2, 4, 5, 6, 9, 10, 11, 12, 15, 16, 17];

/// The same at each delivery. Five documents, so that a small commit takes only a part of them.
fn rows_of(epoch: u64) -> Vec<(String, i64)> {
    (0..5).map(|at| (format!("k{}", (epoch + at) % 7), (epoch * 10 + at) as i64)).collect()
}

/// What a sink that stands at `epoch` holds.
fn fold(epoch: u64, replaces: bool) -> Vec<Row> {
    let all = EPOCHS.iter().filter(|number| **number <= epoch).flat_map(|number| rows_of(*number));
    let all = all.map(|(id, n)| Row { id, n });
    let mut rows: Vec<Row> = match replaces {
        true => all.map(|row| (row.id.clone(), row)).collect::<BTreeMap<_, _>>().into_values().collect(),
        false => all.collect(),
    };
    rows.sort_unstable();
    rows
}

/// The faults end after ten minutes: whoever tries for so long gets nowhere.
const FOR_EVER_MS: u64 = 3_600_000;

/// An owner as the engine is one: opens, delivers, opens again after every error that may pass.
async fn own(world: &World, bench: &Bench, claimed: Claimed, after_ms: u64) -> Result<(), ErrorKind> {
    world.sleep(Duration::from_millis(after_ms)).await;
    let mut sink = bench.open();
    'open: while world.now_ms() < FOR_EVER_MS {
        let mut at = match sink.open(&claimed).await {
            Ok(cursor) => cursor.0.0,
            Err(error) if error.kind() == ErrorKind::Retry => {
                world.sleep(Duration::from_millis(200 + world.draw(2_000))).await;
                continue;
            }
            Err(error) => {
                world.trace(format!("g{} ends: {error}", claimed.generation));
                return Err(error.kind());
            }
        };
        while let Some(next) = EPOCHS.iter().copied().find(|next| *next > at) {
            let rows = rows_of(next);
            let rows: Vec<(&str, i64)> = rows.iter().map(|(id, n)| (id.as_str(), *n)).collect();
            match apply(sink.as_mut(), &claimed, at, next, vec![batch(&rows)]).await {
                Ok(cursor) => at = cursor.0.0,
                Err(error) if error.kind() == ErrorKind::Retry => {
                    world.trace(format!("g{} tries again: {error}", claimed.generation));
                    world.sleep(Duration::from_millis(200 + world.draw(2_000))).await;
                    continue 'open;
                }
                Err(error) => {
                    world.trace(format!("g{} ends: {error}", claimed.generation));
                    return Err(error.kind());
                }
            }
            // The engine looks at other things between two epochs.
            world.sleep(Duration::from_millis(world.draw(3_000))).await;
        }
        return Ok(());
    }
    Err(ErrorKind::Retry)
}

/// Holds a sink to its promise in every moment, until `over`: the fold of the epochs up to its cursor.
async fn watch(world: &World, bench: &Bench, over: &Cell<bool>) {
    let mut was = 0;
    while world.broken().is_none() && !over.get() {
        world.sleep(Duration::from_millis(10 + world.draw(400))).await;
        let at = bench.cursors().first().map_or(0, |cursor| cursor.epoch.unsigned_abs());
        if at < was {
            world.violation(format!("the cursor went back from {was} to {at}"));
        }
        was = at;
        if bench.atomic() && bench.rows() != fold(at, bench.replaces()) {
            world.violation(format!("the rows are not the fold up to epoch {at}: {:?}", bench.rows()));
        }
    }
}

/// One run: three owners, one after the other, beside each other. The error says what went wrong.
fn run(seed: u64, make: Make, planted: Option<&'static str>) -> (World, Result<(), String>) {
    let world = World::new(seed, planted);
    let bench = make(world.clone());
    let quiet = world.clone();
    world.later(Duration::from_secs(600), move || quiet.calm_down());
    let outcome = drive(&world, async {
        let owner = |generation, after| Process::new(&world, own(&world, &bench, claim(generation), after));
        let (second, third) = (world.draw(30_000), world.draw(90_000));
        let stop = world.draw(30_000);
        let first = owner(1, 0).frozen(stop, stop + 1_000 + world.draw(120_000));
        let stop = second + world.draw(20_000);
        let middle = owner(2, second);
        let middle = match world.chance(500) {
            true => middle.dies(stop),
            false => middle.frozen(stop, stop + world.draw(60_000)),
        };
        let last = owner(3, second + third);
        let over = Cell::new(false);
        let ends = async {
            let ends = futures::join!(first, middle, last);
            over.set(true);
            ends
        };
        let ((one, two, three), ()) = futures::join!(ends, watch(&world, &bench, &over));
        // What is still under way lands now.
        world.sleep(Duration::from_secs(600)).await;
        for (name, end) in [("first", one), ("second", two)] {
            if !matches!(end, None | Some(Ok(()) | Err(ErrorKind::Fenced))) {
                return Err(format!("the {name} owner ended with {end:?}"));
            }
        }
        if three != Some(Ok(())) {
            return Err(format!("the last owner ended with {three:?}"));
        }
        let (found, expected) = (bench.rows(), fold(u64::MAX, bench.replaces()));
        if found == expected { Ok(()) } else { Err(format!("found {found:?}, expected {expected:?}")) }
    });
    let outcome = outcome.and_then(|()| world.broken().map_or(Ok(()), Err));
    (world, outcome)
}

#[test]
fn every_epoch_counts_once_whatever_happens() {
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, make) in MAKERS {
        for seed in 0..150 {
            let (world, outcome) = run(seed, *make, None);
            if let Err(why) = outcome {
                panic!("{name}, seed {seed}: {why}\n{}", world.tail(60).join("\n"));
            }
            for (kind, count) in world.faults() {
                *faults.entry(kind).or_insert(0) += count;
            }
        }
    }
    eprintln!("faults injected: {faults:?}");
    for service in ["postgres.", "firestore.", "kafka."] {
        assert!(faults.keys().filter(|kind| kind.starts_with(service)).count() > 6, "{faults:?}");
    }
}

#[test]
fn a_seed_repeats_itself() {
    for (name, make) in MAKERS {
        for seed in 0..10 {
            let (one, other) = (run(seed, *make, None).0, run(seed, *make, None).0);
            assert_eq!(one.fingerprint(), other.fingerprint(), "{name}, seed {seed}");
            assert_ne!(one.fingerprint(), run(seed + 1_000, *make, None).0.fingerprint());
        }
    }
}

#[test]
fn planted_bugs_are_found() {
    let makers: BTreeMap<&str, Make> = MAKERS.iter().copied().collect();
    let bugs =
        [("postgres", super::postgres::BUGS), ("firestore", super::firestore::BUGS), ("kafka", super::kafka::BUGS)];
    for (service, bugs) in bugs {
        for bug in bugs {
            let failing = (0..300).find_map(|seed| Some((seed, run(seed, makers[service], Some(bug)).1.err()?)));
            let (seed, why) = failing.unwrap_or_else(|| panic!("{bug} is found by no seed"));
            eprintln!("{bug}: seed {seed}: {why}");
            assert_eq!(run(seed, makers[service], Some(bug)).1, Err(why), "the seed replays it");
        }
    }
}
