//! Loops of deaths and pauses on real services: SIGKILL at random moments, SIGSTOP inside every sink's commit beside a new
//! owner, two owners at once, SIGTERM with too little grace. The sinks must hold exactly what plain code computes.
//!
//! Short by default; `./dev crash` runs the long forms. `AQUEDUCT_KILLS`, `AQUEDUCT_RECORDS`, `AQUEDUCT_KEYS`,
//! `AQUEDUCT_PAUSE_SECONDS`, `AQUEDUCT_SEED`.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::crash::{Act, End, Running, Seeded, armed, fail_points, has_sealed, number};
use aqueduct_tests::main_job::{MainJob, Setup, Start};
use aqueduct_tests::services::Firestore;
use aqueduct_tests::stage::Stage;
use aqueduct_tests::watch;
use std::time::{Duration, Instant};

const FENCED: End = End::Code(5);
const RETRY: End = End::Code(4);
const DONE: End = End::Code(0);

/// What one restart said about itself.
#[derive(Debug, Clone, Copy)]
struct Restore {
    took_ms: u64,
    /// Panes that the state held at the last seal before.
    panes: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kills_at_random_moments() {
    let (kills, seed) = (number("AQUEDUCT_KILLS", 8), number("AQUEDUCT_SEED", 42));
    let (records, keys) = (number("AQUEDUCT_RECORDS", 200_000), number("AQUEDUCT_KEYS", 1_000));
    let windows = number("AQUEDUCT_WINDOWS", 8);
    let longest = number("AQUEDUCT_KILL_MS", 3_000);
    let mut setup = Setup::steady(records as i64, seed);
    setup.generator.key_cardinality = keys;
    setup.generator.time_step_us = (windows * 60_000_000 / records).max(1) as i64;
    setup.batch = (records / 2_000).clamp(50, 5_000) as u32;
    let job = MainJob::prepare_as(Stage::shared(), "kill-loop", &setup).await;
    // A life lasts half of the longest, and a second to begin.
    job.read_within(kills * (longest / 2 + 1_000) / 1_000);
    let start = Start { interval_ms: 200, ..Start::default() };
    let (begun, mut random) = (Instant::now(), Seeded(seed));
    let (mut restores, mut panes, mut early) = (Vec::new(), 0, 0);
    for kill in 0..kills {
        let moment = Duration::from_millis(random.between(50, longest));
        // Every other life reads its state before the first record.
        let limit = if kill % 2 == 0 { "1 b" } else { "16 mb" };
        let more = vec!["-D".to_owned(), format!("aqueduct.restore.max-bytes={limit}")];
        let mut run = Running::start(&job, &Start { more, ..start.clone() });
        let seen = live(&mut run, moment, panes);
        assert!(
            seen.end.is_none(),
            "life {kill} of seed {seed} ended early, {:?}:\n{}",
            seen.end,
            run.process.log_tail()
        );
        run.process.kill();
        panes = seen.panes.unwrap_or(panes);
        early += u64::from(!seen.sealed);
        restores.extend(seen.restore);
    }
    let killing = begun.elapsed();
    job.read_freely();
    job.run_to_end(&start);
    job.verify(&start).await;
    let rows = job.oracle.rows.len();
    println!(
        "{kills} kills in {} s (seed {seed}), {early} of them before the first epoch of their life; {records} records, {keys} keys, \
         {rows} result rows per sink, all exact",
        killing.as_secs()
    );
    tell_restores(&restores, keys);
}

/// What was seen of a life until it was taken.
struct Seen {
    end: Option<End>,
    restore: Option<Restore>,
    panes: Option<u64>,
    sealed: bool,
}

fn live(run: &mut Running, moment: Duration, panes_before: u64) -> Seen {
    let mut seen = Seen { end: None, restore: None, panes: None, sealed: false };
    while run.age() < moment {
        seen.end = run.end_within(Duration::from_millis(20).min(moment));
        if seen.end.is_some() {
            return seen;
        }
        let Some(status) = run.status() else { continue };
        if let Some(took_ms) = status["checkpoint"]["restore_ms"].as_u64() {
            seen.restore = Some(Restore { took_ms, panes: panes_before });
        }
        if has_sealed(&status) {
            seen.sealed = true;
            let queries = status["queries"].as_array().into_iter().flatten();
            seen.panes = Some(queries.filter_map(|query| query["panes"].as_u64()).sum());
        }
    }
    seen
}

fn tell_restores(restores: &[Restore], keys: u64) {
    let tell = |what: &str, times: &mut Vec<u64>| {
        times.sort_unstable();
        if let Some(longest) = times.last() {
            let median = times[times.len() / 2];
            println!("restores{what}: {} measured, median {median} ms, longest {longest} ms", times.len());
        }
    };
    tell("", &mut restores.iter().map(|restore| restore.took_ms).collect());
    let full = restores.iter().filter(|restore| restore.panes >= keys);
    tell(&format!(" of {keys} panes and more"), &mut full.map(|restore| restore.took_ms).collect());
}

/// Every sink's last step before its commit, and the checkpoint's, whose slot the new owner collects meanwhile.
fn commit_points() -> Vec<String> {
    let commits = |point: &String| point.ends_with(".before-commit") || point.ends_with(".before-entry");
    let points: Vec<String> = fail_points()
        .into_iter()
        .filter(|point| (point.starts_with("sink.") && commits(point)) || point == "checkpoint.commit.before-put")
        .filter(|point| !point.contains("firestore") || Firestore::try_shared().is_some())
        .collect();
    for sink in ["postgres", "kafka", "filesystem", "checkpoint"] {
        assert!(points.iter().any(|point| point.contains(sink)), "{sink} has no point before its commit: {points:?}");
    }
    points
}

/// The old owner sleeps inside a sink's commit for longer than any session may stay silent. All sinks at once, each with a
/// job of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_slept_inside_a_commit_changes_nothing() {
    let pause = Duration::from_secs(number("AQUEDUCT_PAUSE_SECONDS", 33));
    let sleepers: Vec<_> = commit_points().into_iter().map(|point| tokio::spawn(sleep_at(point, pause))).collect();
    let mut faults = Vec::new();
    for sleeper in sleepers {
        match sleeper.await {
            Ok(said) => println!("{said}"),
            Err(error) => faults.push(panic_text(error)),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

async fn sleep_at(point: String, pause: Duration) -> String {
    let job = MainJob::prepare_as(Stage::shared(), "sleeper", &Setup::steady(20_000, 11)).await;
    job.edit(
        "'sink.delivery-guarantee' =",
        "'properties.transaction.timeout.ms' = '10000',\n    'sink.delivery-guarantee' =",
    );
    job.read_within(20);
    let retained = vec!["-D".to_owned(), "state.checkpoints.num-retained=1".to_owned()];
    let start = Start { interval_ms: 100, more: retained, ..Start::default() };
    tokio::task::block_in_place(|| {
        let mut old = Running::start(&job, &armed(&start, &point, 2, Act::Stop));
        old.wait_until_stopped(Duration::from_secs(60));
        let slept = Instant::now();
        let starts = succeed(&job, &start);
        let went_on = slept.elapsed();
        std::thread::sleep(pause.saturating_sub(slept.elapsed()));
        tokio::runtime::Handle::current().block_on(async {
            job.verify(&start).await;
            let before = job.versions().await;
            let asleep = slept.elapsed();
            assert!(old.is_stopped(), "{point}: the old owner woke by itself");
            old.process.signal(libc::SIGCONT);
            let end = old.end_within(Duration::from_secs(120));
            assert_eq!(end, Some(FENCED), "{point}: the old owner after its sleep:\n{}", old.process.log_tail());
            assert_eq!(job.versions().await, before, "{point}: the old owner changed something");
            job.verify(&start).await;
            let (asleep, went_on) = (asleep.as_secs(), went_on.as_secs_f64());
            format!(
                "{point}: slept {asleep} s; the new owner ended after {went_on:.1} s and {starts} start(s); the old one exited with 5"
            )
        })
    })
}

/// A new owner to the end of the input, started again as an orchestrator does where it asks for that. How many starts it took.
fn succeed(job: &MainJob, start: &Start) -> u32 {
    for starts in 1..=10 {
        let mut new = Running::start(job, start);
        match new.end_within(Duration::from_secs(200)) {
            Some(DONE) => return starts,
            Some(RETRY) => println!("the new owner asks to be started again:\n{}", new.process.log_tail()),
            end => panic!("the new owner: {end:?}\n{}", new.process.log_tail()),
        }
    }
    panic!("ten starts were not enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_owners_that_start_at_once_one_goes_on() {
    let rounds = number("AQUEDUCT_ROUNDS", 3);
    let job = MainJob::prepare_as(Stage::shared(), "twins", &Setup::steady(20_000, 12)).await;
    job.read_within(30 * rounds);
    let start = Start { interval_ms: 100, ..Start::default() };
    for round in 1..=rounds {
        let mut twins = [Running::start(&job, &start), Running::start(&job, &start)];
        let deadline = Instant::now() + Duration::from_secs(60);
        let loser = loop {
            assert!(Instant::now() < deadline, "round {round}: both go on");
            let ended = twins.iter_mut().position(|twin| twin.end_within(Duration::from_millis(20)).is_some());
            if let Some(loser) = ended {
                break loser;
            }
        };
        let end = twins[loser].end_within(Duration::ZERO);
        assert_eq!(end, Some(FENCED), "round {round}, the loser:\n{}", twins[loser].process.log_tail());
        let winner = &mut twins[1 - loser];
        winner.wait_for("the winner seals", has_sealed);
        let moving = |status: &serde_json::Value| watch::number(status, "run_records");
        let read = winner.status().map_or(0, |status| moving(&status));
        winner.wait_for("the winner goes on", |status| moving(status) > read);
        winner.process.kill();
    }
    job.read_freely();
    job.run_to_end(&start);
    job.verify(&start).await;
}

/// Postgres does not take rows, so that the job cannot drain within its grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sigterm_with_too_little_grace() {
    let job = MainJob::prepare_as(Stage::shared(), "grace", &Setup::steady(20_000, 13)).await;
    job.read_within(40);
    let start = Start { interval_ms: 100, ..Start::default() };
    let mut connection = job.stage.postgres.connect(job.database()).await;
    for _ in 0..2 {
        let mut run = Running::start(&job, &start);
        run.wait_for("an epoch", has_sealed);
        sqlx::raw_sql("BEGIN; LOCK TABLE analytics_metrics IN ACCESS EXCLUSIVE MODE")
            .execute(&mut connection)
            .await
            .unwrap();
        run.wait_for("a backlog of Postgres", |status| {
            let mut waiting = watch::sinks(status).iter().filter(|sink| watch::number(sink, "backlog_epochs") > 0);
            waiting.any(|sink| sink["table"] == "analytics_metrics")
        });
        run.process.signal(libc::SIGTERM);
        let end = run.end_within(Duration::from_secs(5));
        assert_eq!(end, None, "it drained though Postgres takes nothing:\n{}", run.process.log_tail());
        run.process.kill();
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
    }
    job.read_freely();
    job.run_to_end(&start);
    job.verify(&start).await;
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
