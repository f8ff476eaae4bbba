//! Straight runs, crashes, restarts at another parallelism, flaky sinks, second owners, changed queries.

use super::parts::{Row, Rows, World, expected, sample};
use crate::{JobState, Settings, StatusBoard, StatusSnapshot, run};
use aqueduct_core::{ErrorKind, Result, SourceIdentity};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

pub(super) fn rows(splits: &[Vec<Row>], gate: u64) -> Rows {
    let gate = Arc::new(AtomicU64::new(gate));
    Rows { splits: Arc::new(splits.to_vec()), batch: 17, gate, bounded: true, identity: Arc::default() }
}

pub(super) struct Running {
    pub(super) task: tokio::task::JoinHandle<Result<StatusSnapshot>>,
    pub(super) board: Arc<StatusBoard>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) _state: tempfile::TempDir,
}

fn start(world: &World, rows: Rows, parallelism: usize, changed: bool) -> Running {
    start_job(world, rows, parallelism, changed, false)
}

fn start_job(world: &World, rows: Rows, parallelism: usize, changed: bool, looks: bool) -> Running {
    start_with(world, rows, parallelism, changed, |settings| {
        if looks {
            settings.discovery_interval = Some(Duration::from_millis(1));
        }
    })
}

pub(super) fn start_with(
    world: &World,
    rows: Rows,
    parallelism: usize,
    changed: bool,
    set: impl FnOnce(&mut Settings),
) -> Running {
    let state = tempfile::tempdir().unwrap();
    let mut job = world.job(rows, parallelism, state.path(), changed);
    set(&mut job.settings);
    let board = Arc::new(StatusBoard::default());
    let (stop, stopped) = watch::channel(false);
    Running { task: tokio::spawn(run(job, board.clone(), stopped)), board, stop, _state: state }
}

pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what} did not happen");
}

pub(super) fn assert_exact(world: &World, splits: &[Vec<Row>]) {
    for (sink, expected) in expected(splits).into_iter().enumerate() {
        assert_eq!(world.rows(sink), expected, "sink {sink}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_straight_run_is_exact_and_its_ledger_closes() {
    let splits = sample(5_000);
    let world = World::new();
    let running = start(&world, rows(&splits, u64::MAX), 2, false);
    let status = running.task.await.unwrap().unwrap();
    assert_eq!(status.state, JobState::Finished);
    assert_exact(&world, &splits);
    let ledger = &status.ledger[0];
    assert!(ledger.closes(), "{ledger:?}");
    assert_eq!(ledger.rows_read, 5_000);
    assert!(ledger.late > 0 && ledger.dead > 0);
}

/// Lives that end in the middle, each at another parallelism. Returns how many windows they had in the state store.
async fn crashes(world: &World, splits: &[Vec<Row>], set: fn(&mut Settings)) -> u64 {
    let mut stored = 0;
    for parallelism in [3, 1, 2, 4, 1] {
        let input = rows(splits, 600);
        let running = start_with(world, input.clone(), parallelism, false, set);
        let board = running.board.clone();
        until("a commit", || board.snapshot().run_records > 550 && board.snapshot().checkpoint.run_commits > 0).await;
        stored += stored_windows(&board.snapshot());
        // Die with rows that no commit knows.
        input.gate.fetch_add(300, Ordering::SeqCst);
        until("more rows", || board.snapshot().run_records > 800).await;
        running.task.abort();
        let _ = running.task.await;
        input.gate.store(0, Ordering::SeqCst);
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_and_other_parallelisms_change_nothing() {
    let splits = sample(5_000);
    let world = World::new();
    crashes(&world, &splits, |_| {}).await;
    let running = start(&world, rows(&splits, u64::MAX), 2, false);
    let status = running.task.await.unwrap().unwrap();
    assert_exact(&world, &splits);
    assert!(status.ledger[0].closes() && status.ledger[0].rows_read == 5_000, "{:?}", status.ledger[0]);
    assert!(status.checkpoint.restored_epoch.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_seals_what_was_read_and_the_next_start_goes_on() {
    let splits = sample(3_000);
    let world = World::new();
    let first = start(&world, rows(&splits, 1_000), 2, false);
    let board = first.board.clone();
    until("reading", || board.snapshot().run_records > 900).await;
    first.stop.send(true).unwrap();
    let status = first.task.await.unwrap().unwrap();
    assert_eq!(status.state, JobState::Stopped);
    let read = status.ledger[0].rows_read;
    let second = start(&world, rows(&splits, u64::MAX), 2, false);
    let status = second.task.await.unwrap().unwrap();
    assert_eq!(status.run_records + read, 3_000, "nothing is read twice after a stop");
    assert_exact(&world, &splits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_requests_and_lost_replies_of_a_sink_change_nothing() {
    let splits = sample(3_000);
    let world = World::new();
    world.sinks[0].0.lock().unwrap().faults = vec![true, false, true, true, false];
    let status = start(&world, rows(&splits, u64::MAX), 2, false).task.await.unwrap().unwrap();
    assert_exact(&world, &splits);
    assert!(status.sinks[0].retries > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_owner_fences_the_first() {
    let splits = sample(4_000);
    let world = World::new();
    let first_rows = rows(&splits, 1_000);
    let first = start(&world, first_rows.clone(), 2, false);
    let board = first.board.clone();
    until("a first commit", || board.snapshot().checkpoint.run_commits > 0).await;
    let second = start(&world, rows(&splits, u64::MAX), 2, false);
    first_rows.gate.store(u64::MAX, Ordering::SeqCst);
    let error = first.task.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    second.task.await.unwrap().unwrap();
    assert_exact(&world, &splits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_of_another_query_is_refused_by_name() {
    let splits = sample(1_000);
    let world = World::new();
    start(&world, rows(&splits, u64::MAX), 1, false).task.await.unwrap().unwrap();
    let error = start(&world, rows(&splits, u64::MAX), 1, true).task.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig);
    for part in
        ["query 'counts' changed", "-window Tumble { size: 1000", "+window Tumble { size: 2000", "pipeline.name"]
    {
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_input_that_grew_is_read_on() {
    let splits = sample(2_000);
    let world = World::new();
    let half: Vec<Vec<Row>> = splits.iter().map(|rows| rows[..rows.len() / 2].to_vec()).collect();
    start(&world, rows(&half, u64::MAX), 2, false).task.await.unwrap().unwrap();
    let status = start(&world, rows(&splits, u64::MAX), 2, false).task.await.unwrap().unwrap();
    assert_eq!(status.ledger[0].rows_read, 2_000);
    assert!(status.ledger[0].closes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_does_not_answer_a_look_holds_nothing_up() {
    let splits = sample(3_000);
    let world = World::new();
    let mut input = rows(&splits, 500);
    input.bounded = false;
    let running = start_job(&world, input.clone(), 2, false, true);
    let board = running.board.clone();
    until("reading", || board.snapshot().run_records > 450).await;
    let silence = input.identity.clone();
    let silent = silence.lock().unwrap();
    let commits = board.snapshot().checkpoint.run_commits;
    // Every look that begins from now on hangs, and sealing goes on beside it.
    input.gate.store(1_000, Ordering::SeqCst);
    let wait = |what: &str, condition: &dyn Fn() -> bool| {
        let begin = std::time::Instant::now();
        while !condition() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{what} did not happen");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    tokio::task::block_in_place(|| {
        wait("a commit", &|| board.snapshot().run_records > 950 && board.snapshot().checkpoint.run_commits > commits);
        running.stop.send(true).unwrap();
        wait("the end", &|| running.task.is_finished());
    });
    drop(silent);
    assert_eq!(running.task.await.unwrap().unwrap().state, JobState::Stopped);
    start(&world, rows(&splits, u64::MAX), 2, false).task.await.unwrap().unwrap();
    assert_exact(&world, &splits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_that_becomes_another_one_stops_the_job() {
    let splits = sample(3_000);
    let world = World::new();
    let mut input = rows(&splits, 500);
    input.bounded = false;
    let id = |id: &str| SourceIdentity([("topic id".to_owned(), id.to_owned())].into());
    *input.identity.lock().unwrap() = id("first");
    let running = start_job(&world, input.clone(), 2, false, true);
    let board = running.board.clone();
    until("reading", || board.snapshot().run_records > 450).await;
    *input.identity.lock().unwrap() = id("second");
    let error = running.task.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData, "{error}");
    assert!(error.message().contains("'second'") && error.message().contains("not the same input"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_fire_some_at_a_time_until_none_is_left() {
    let splits = sample(5_000);
    let mut largest = Vec::new();
    for limit in [usize::MAX, 8] {
        let world = World::new();
        let set = |settings: &mut Settings| {
            settings.max_fired_rows = limit;
            settings.checkpoint_interval = Duration::from_secs(600);
            settings.checkpoint_min_pause = Duration::from_secs(600);
        };
        let status = start_with(&world, rows(&splits, u64::MAX), 2, false, set).task.await.unwrap().unwrap();
        assert_eq!(status.state, JobState::Finished);
        assert_exact(&world, &splits);
        let seen = world.sinks[0].0.lock().unwrap().largest;
        largest.push(seen);
    }
    // All at once, and two windows of four keys at most.
    assert!(largest[0] > 100 && largest[1] <= 8, "{largest:?}");
}

/// Room for no window at all, and few rows an epoch.
fn crowded(settings: &mut Settings) {
    settings.max_state_bytes = 200;
    settings.max_fired_keys = 2;
    settings.max_fired_rows = 2;
}

fn stored_windows(status: &StatusSnapshot) -> u64 {
    status.queries.iter().map(|query| query.stored_windows).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_without_room_go_on_in_the_state_store() {
    let splits = sample(5_000);
    let world = World::new();
    let input = rows(&splits, 2_000);
    let running = start_with(&world, input.clone(), 2, false, crowded);
    let board = running.board.clone();
    until("windows in the store", || stored_windows(&board.snapshot()) > 0).await;
    input.gate.store(u64::MAX, Ordering::SeqCst);
    let status = running.task.await.unwrap().unwrap();
    assert_eq!((status.state, stored_windows(&status)), (JobState::Finished, 0));
    assert_exact(&world, &splits);
    assert!(status.ledger[0].closes(), "{:?}", status.ledger[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_in_the_state_store_survive_crashes_and_other_parallelisms() {
    let splits = sample(5_000);
    let world = World::new();
    let met = crashes(&world, &splits, crowded).await;
    assert!(met > 0, "no start had windows in the store");
    // One that has room finds them there, too.
    let status = start(&world, rows(&splits, u64::MAX), 2, false).task.await.unwrap().unwrap();
    assert_exact(&world, &splits);
    assert!(status.ledger[0].closes() && status.ledger[0].rows_read == 5_000, "{:?}", status.ledger[0]);
}
