//! The crash matrix: the main job on real services dies by SIGKILL at every fail point that the binary registers, is started
//! again, and all sinks hold exactly what plain code computes.
//!
//! The names come from `aqueduct fail-points`; a point that no run passes fails the test with its name. Many deaths share one
//! job, one after the other; some points need a disturbance of their own ([`Scene`]).
//!
//! `AQUEDUCT_MATRIX` (parts of names, with commas) picks points, `AQUEDUCT_MATRIX_ROUNDS` repeats them, `AQUEDUCT_SEED` chooses at
//! which passing of a point the process dies.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::crash::{Act, End, Running, Seeded, armed, fail_points, has_sealed, number};
use aqueduct_tests::main_job::{MainJob, Setup, Start};
use aqueduct_tests::services::{Firestore, Gcs};
use aqueduct_tests::stage::Stage;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// So long a run may take to come to its point, from its start.
const WITHIN: Duration = Duration::from_secs(60);
/// Records per second that the broker hands out, and records of one window.
const PER_SECOND: u64 = 400;
const PER_WINDOW: i64 = 300;

const BOUNDED: &str = "'scan.bounded.mode' = 'latest-offset'";
const UNBOUNDED: &str = "'scan.bounded.mode' = 'unbounded'";

/// What has to happen for a point to be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scene {
    /// Nothing but records.
    Steady,
    /// The connections to Postgres are cut, again and again.
    Cut,
    /// The process is asked to stop.
    Stop,
    /// The cursor in Postgres is set back to the beginning, as by a restored backup.
    WentBack,
    /// Not the job dies but an operator's `rewind` to the newest epoch, which repeats nothing.
    Rewind,
    /// Not the job dies but an operator's `savepoint`.
    Savepoint,
    /// The topic grows. Nobody looks for that in a bounded input, so the job has none meanwhile.
    NewPartition,
}

/// Points that need more than records, by the beginning of their names.
const SCENES: &[(&str, Scene)] = &[
    ("checkpoint.begin.", Scene::Rewind),
    ("checkpoint.savepoint.", Scene::Savepoint),
    // Results are read back from the store where a sink has fallen behind.
    ("runtime.deliver.before-read-back", Scene::Cut),
    ("runtime.deliver.after-read-back", Scene::Cut),
    ("runtime.deliver.before-reopen", Scene::Cut),
    ("runtime.deliver.after-reopen", Scene::Cut),
    ("runtime.deliver.went-back", Scene::WentBack),
    ("runtime.discover.", Scene::NewPartition),
    ("runtime.stop.", Scene::Stop),
    ("runtime.end.", Scene::Stop),
];

/// Parts of the names of points that a process passes once, once per sink, or seldom.
const ONCE: &[&str] = &[
    ".begin.",
    ".savepoint.",
    ".claim.",
    ".collect.",
    ".head.",
    ".start.",
    ".restore.",
    ".loading.",
    ".stop.",
    ".end.",
    ".discover.",
    ".open",
    "-open",
    "-claim",
    "-init",
    "reopen",
    "-assign",
    "went-back",
    "read-back",
    "fence-read",
];

/// A point and what became of it.
#[derive(Debug, Clone)]
struct Visit {
    point: String,
    scene: Scene,
    /// The process dies when it passes the point for this time.
    nth: u64,
    killed: bool,
    exact: bool,
    took: Duration,
}

impl Visit {
    fn new(point: &str, random: &mut Seeded) -> Visit {
        let scene =
            SCENES.iter().find(|(begin, _)| point.starts_with(begin)).map_or(Scene::Steady, |(_, scene)| *scene);
        let most = if ONCE.iter().any(|part| point.contains(part)) { 1 } else { 4 };
        let nth = random.between(1, most + 1);
        Visit { point: point.to_owned(), scene, nth, killed: false, exact: false, took: Duration::ZERO }
    }
}

/// The visits that share one job.
#[derive(Debug)]
struct Chain {
    name: &'static str,
    checkpoints: Option<String>,
    more: Vec<String>,
    visits: Vec<Visit>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fail_point_is_survived() {
    let begun = Instant::now();
    let seed = number("AQUEDUCT_SEED", 42);
    let chains: Vec<_> = chains(seed).into_iter().filter(|chain| !chain.visits.is_empty()).collect();
    let running: Vec<_> = chains.into_iter().map(|chain| tokio::spawn(chain.run(seed))).collect();
    let (mut visits, mut faults) = (Vec::new(), Vec::new());
    for chain in running {
        let (chain, fault) = chain.await.unwrap();
        visits.extend(chain.visits);
        faults.extend(fault);
    }
    visits.sort_by(|a, b| a.point.cmp(&b.point));
    print_table(&visits, seed, begun.elapsed());
    let unvisited: Vec<&str> = visits.iter().filter(|visit| !visit.killed).map(|visit| visit.point.as_str()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(unvisited.is_empty(), "no run passes these fail points: {unvisited:?}");
    assert!(visits.iter().all(|visit| visit.exact));
}

/// Two chains of plain points, one with its checkpoints in a folder and one in the bucket, and one for what would stand in
/// the way of others.
fn chains(seed: u64) -> Vec<Chain> {
    let mut random = Seeded(seed);
    let rounds = number("AQUEDUCT_MATRIX_ROUNDS", 1);
    let picked = std::env::var("AQUEDUCT_MATRIX").unwrap_or_default();
    let picked: Vec<&str> = picked.split(',').filter(|part| !part.is_empty()).collect();
    let wanted = |point: &&String| picked.is_empty() || picked.iter().any(|part| point.contains(part));
    let chain = |name, checkpoints, more: &[&str]| Chain {
        name,
        checkpoints,
        more: more.iter().map(|argument| (*argument).to_owned()).collect(),
        visits: Vec::new(),
    };
    let bucket = Some(Gcs::shared().url("checkpoints"));
    let odd = ["-D", "state.checkpoints.num-retained=100000", "-D", "aqueduct.discovery.interval=100 ms"];
    // Whatever state there is, is loaded beside the records.
    let loading = ["-D", "aqueduct.restore.max-bytes=1 b"];
    let mut chains = vec![chain("folder", None, &loading), chain("bucket", bucket, &[]), chain("odd", None, &odd)];
    let points = fail_points();
    let points: Vec<&String> = points.iter().filter(wanted).filter(|point| is_within_reach(point)).collect();
    for round in 0..rounds as usize {
        for (index, point) in points.iter().enumerate() {
            let visit = Visit::new(point, &mut random);
            let chain = match visit.scene {
                _ if point.starts_with("runtime.loading.") => 0,
                scene if scene < Scene::WentBack => (index + round) % 2,
                _ => 2,
            };
            chains[chain].visits.push(visit);
        }
    }
    // What changes the topic comes last; the rest in an order that differs from seed to seed.
    for chain in &mut chains {
        for left in (1..chain.visits.len()).rev() {
            chain.visits.swap(left, random.between(0, left as u64 + 1) as usize);
        }
        chain.visits.sort_by_key(|visit| visit.scene == Scene::NewPartition);
        // Nothing is restored by the first start of all.
        let begins = |visit: &Visit| ![".restore.", ".loading."].iter().any(|part| visit.point.contains(part));
        if let Some(first) = chain.visits.iter().position(begins) {
            chain.visits.swap(0, first);
        }
    }
    chains
}

/// Without the emulator nobody passes Firestore's points; that it is missing is said loudly.
fn is_within_reach(point: &str) -> bool {
    !point.contains("firestore") || Firestore::try_shared().is_some()
}

impl Chain {
    /// Dies at every point in turn, goes on to the end, and compares. The second value is what went wrong.
    async fn run(self, seed: u64) -> (Chain, Option<String>) {
        let name = self.name;
        let shared = std::sync::Arc::new(std::sync::Mutex::new(self));
        let mine = shared.clone();
        let walked = tokio::task::spawn_blocking(move || {
            let mut chain = mine.lock().unwrap();
            chain.walk(seed);
        });
        let fault = walked.await.err().map(|panic| {
            let panic = panic.into_panic();
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            format!("chain '{name}', seed {seed}: {}", text.unwrap_or_default())
        });
        let chain = std::sync::Mutex::into_inner(std::sync::Arc::into_inner(shared).unwrap());
        (chain.unwrap_or_else(std::sync::PoisonError::into_inner), fault)
    }

    fn walk(&mut self, seed: u64) {
        let job = Handle::current().block_on(prepare(self.name, seed, self.visits.len() as u64));
        let start = Start {
            interval_ms: 50,
            checkpoints: self.checkpoints.clone(),
            more: self.more.clone(),
            ..Start::default()
        };
        for visit in &mut self.visits {
            let begun = Instant::now();
            visit.killed = match visit.scene {
                Scene::Rewind | Scene::Savepoint => die_in_verb(&job, &start, visit),
                Scene::NewPartition => {
                    job.edit(BOUNDED, UNBOUNDED);
                    let killed = die(&job, &start, visit);
                    job.edit(UNBOUNDED, BOUNDED);
                    killed
                }
                _ => die(&job, &start, visit),
            };
            visit.took = begun.elapsed();
        }
        job.read_freely();
        job.run_to_end(&start);
        Handle::current().block_on(job.verify(&start));
        self.visits.iter_mut().for_each(|visit| visit.exact = visit.killed);
    }
}

/// Small commits everywhere, so that every point between two of them is passed often.
async fn prepare(name: &str, seed: u64, visits: u64) -> MainJob {
    let records = (PER_SECOND * (60 + 12 * visits)) as i64;
    let mut setup = Setup::steady(records, seed);
    setup.generator.time_step_us = 60_000_000 / PER_WINDOW;
    let job = MainJob::prepare_as(Stage::shared(), &format!("matrix-{name}"), &setup).await;
    job.edit("    'emulator-host' =", "    'sink.max-writes-per-commit' = '4',\n    'emulator-host' =");
    job.edit("    'table-name' =", "    'sink.buffer-flush.max-rows' = '4',\n    'table-name' =");
    job.read_within(records as u64 / PER_SECOND);
    job
}

/// One life that ends at the point. False when it did not come there.
fn die(job: &MainJob, start: &Start, visit: &Visit) -> bool {
    let mut run = Running::start(job, &armed(start, &visit.point, visit.nth, Act::Kill));
    let mut disturbance = Disturbance { scene: visit.scene, last: None, done: false };
    while run.age() < WITHIN {
        match run.end_within(Duration::from_millis(20)) {
            Some(End::Signal(libc::SIGKILL)) => return true,
            // A run that was asked to stop may do so without passing the point.
            Some(End::Code(0)) if visit.scene == Scene::Stop => return false,
            Some(end) => panic!("armed with {}: the job ended with {end:?}:\n{}", visit.point, run.process.log_tail()),
            None => disturbance.go_on(job, &run),
        }
    }
    println!("{} was not passed {} times within {WITHIN:?}:\n{}", visit.point, visit.nth, run.process.log_tail());
    run.process.kill();
    false
}

/// A verb that ends at the point, while nobody runs the job. False when it came to its own end.
fn die_in_verb(job: &MainJob, start: &Start, visit: &Visit) -> bool {
    let mut run = Running::start(job, start);
    run.wait_for("an epoch", has_sealed);
    run.process.kill();
    let (newest, armed) = (job.epoch(start).to_string(), armed(start, &visit.point, visit.nth, Act::Kill));
    let (folder, name) = (job.folder().join("savepoints").display().to_string(), visit.point.replace('.', "-"));
    let said = match visit.scene {
        Scene::Rewind => job.verb(&armed, &["rewind"], &["--to-epoch", &newest, "--yes", "--force"]),
        _ => job.verb(&armed, &["savepoint"], &["--to", &folder, "--name", &name]),
    };
    if said.code.is_some() {
        println!("{} was not passed: {}{}", visit.point, said.out, said.err);
    }
    said.code.is_none()
}

/// What a scene does to a running job.
struct Disturbance {
    scene: Scene,
    last: Option<Instant>,
    done: bool,
}

impl Disturbance {
    fn go_on(&mut self, job: &MainJob, run: &Running) {
        // A cursor that still stood at the beginning has not gone back.
        let again = matches!(self.scene, Scene::Cut | Scene::WentBack);
        let rested = self.last.is_none_or(|last| last.elapsed() > Duration::from_millis(200));
        if self.scene == Scene::Steady || (self.done && !again) || !rested {
            return;
        }
        self.last = Some(Instant::now());
        if !run.status().is_some_and(|status| has_sealed(&status)) {
            return;
        }
        self.done = true;
        match self.scene {
            Scene::Steady | Scene::Rewind | Scene::Savepoint => {}
            Scene::Stop => run.process.signal(libc::SIGTERM),
            Scene::NewPartition => job.stage.kafka.add_partitions(&job.name, aqueduct_tests::main_job::PARTITIONS + 1),
            Scene::Cut => sql(
                job,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            ),
            Scene::WentBack => sql(job, "UPDATE aqueduct_cursor SET epoch = 0"),
        }
    }
}

fn sql(job: &MainJob, statement: &'static str) {
    Handle::current().block_on(async {
        let mut connection = job.stage.postgres.connect(job.database()).await;
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    });
}

fn print_table(visits: &[Visit], seed: u64, took: Duration) {
    let word = |yes: bool| if yes { "yes" } else { "NO" };
    println!("\n{:<44} {:>6} {:>6} {:>6} {:>6}", "fail point", "passed", "killed", "exact", "s");
    for visit in visits {
        let passed = if visit.killed { visit.nth } else { 0 };
        let (killed, exact, seconds) = (word(visit.killed), word(visit.exact), visit.took.as_secs_f64());
        println!("{:<44} {passed:>6} {killed:>6} {exact:>6} {seconds:>6.1}", visit.point);
    }
    let killed = visits.iter().filter(|visit| visit.killed).count();
    let mut points: Vec<&str> = visits.iter().map(|visit| visit.point.as_str()).collect();
    points.dedup();
    println!("{} fail points, {killed} kills, {} s, seed {seed}", points.len(), took.as_secs());
}
