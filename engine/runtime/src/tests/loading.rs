//! Starts that load their state beside the records: results, crashes, ends and failures meanwhile.

use super::parts::{Row, Rows, SIZE, World, sample};
use super::whole::{Running, assert_exact, rows, until};
use crate::{JobState, StatusBoard, StatusSnapshot, run};
use aqueduct_core::{ErrorKind, FailPoints};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Starts a job that reads no state before the first record. `pass` is told every fail point, and the job's state folder.
fn start(world: &World, rows: Rows, parallelism: usize, pass: impl Fn(&str, &Path) + Send + Sync + 'static) -> Running {
    let state = tempfile::tempdir().unwrap();
    let mut job = world.job(rows, parallelism, state.path(), false);
    job.settings.max_restore_bytes = 0;
    let folder = state.path().to_owned();
    job.environment.fail_points = FailPoints::new(move |point| pass(point, &folder));
    let board = Arc::new(StatusBoard::default());
    let (stop, stopped) = watch::channel(false);
    Running { task: tokio::spawn(run(job, board.clone(), stopped)), board, stop, _state: state }
}

/// Loads no further than a page while it is closed.
#[derive(Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn pass(&self, point: &str) {
        while point == "runtime.loading.page" && !self.0.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn windows(status: &StatusSnapshot) -> u64 {
    status.queries.iter().map(|query| query.fired_windows).sum()
}

/// Reads so many rows and dies behind a commit, with more rows that no commit knows.
async fn live(world: &World, splits: &[Vec<Row>], parallelism: usize, until_loaded: bool) {
    let input = rows(splits, 400);
    let running = start(world, input.clone(), parallelism, |_, _| {});
    let board = running.board.clone();
    if until_loaded {
        until("loaded", || board.snapshot().checkpoint.load_ms.is_some()).await;
    }
    until("a commit", || board.snapshot().run_records > 350 && board.snapshot().checkpoint.run_commits > 0).await;
    input.gate.fetch_add(100, Ordering::SeqCst);
    until("more rows", || board.snapshot().run_records > 450).await;
    running.task.abort();
    let _ = running.task.await;
    input.gate.store(0, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_loaded_beside_the_records_survives_crashes_and_other_parallelisms() {
    let splits = sample(6_000);
    let world = World::new();
    // Where there are fewer threads than before, others take over what theirs were.
    for (parallelism, loads) in
        [(3, false), (2, true), (2, false), (3, true), (1, true), (2, false), (1, false), (1, true)]
    {
        live(&world, &splits, parallelism, loads).await;
    }
    let status = start(&world, rows(&splits, u64::MAX), 2, |_, _| {}).task.await.unwrap().unwrap();
    assert_eq!(status.state, JobState::Finished);
    assert_exact(&world, &splits);
    assert!(status.ledger[0].closes() && status.ledger[0].rows_read == 6_000, "{:?}", status.ledger[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_read_and_committed_while_state_is_loaded_and_its_windows_wait() {
    let mut splits = sample(5_000);
    // Without the empty partition, which would hold back all windows of an input that does not end.
    splits.truncate(3);
    let world = World::new();
    live(&world, &splits, 2, false).await;
    let (gate, mut input) = (Gate::default(), rows(&splits, u64::MAX));
    input.bounded = false;
    let held = gate.clone();
    let running = start(&world, input.clone(), 2, move |point, _| held.pass(point));
    let board = running.board.clone();
    until("everything read", || board.snapshot().ledger.first().is_some_and(|ledger| ledger.rows_read == 5_000)).await;
    until("a commit", || board.snapshot().checkpoint.run_commits > 0).await;
    let status = board.snapshot();
    assert!(status.checkpoint.loading && status.checkpoint.load_ms.is_none(), "{:?}", status.checkpoint);
    let before = windows(&status);
    gate.open();
    let last = 5_000 * 7 / SIZE as u64;
    until("the windows that waited", || windows(&board.snapshot()) > last - 3).await;
    assert!(before < last / 2, "{before} of {last} had fired");
    let status = board.snapshot();
    assert!(!status.checkpoint.loading && status.checkpoint.load_ms.is_some(), "{:?}", status.checkpoint);
    running.stop.send(true).unwrap();
    running.task.await.unwrap().unwrap();
    let status = start(&world, rows(&splits, u64::MAX), 2, |_, _| {}).task.await.unwrap().unwrap();
    assert_exact(&world, &splits);
    assert!(status.ledger[0].closes(), "{:?}", status.ledger[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_behind_a_checkpoint_while_state_moves_to_another_thread_loses_nothing() {
    let splits = sample(3_000);
    let world = World::new();
    live(&world, &splits, 3, false).await;
    let (gate, input) = (Gate::default(), rows(&splits, 400));
    let held = gate.clone();
    let running = start(&world, input.clone(), 1, move |point, _| held.pass(point));
    let board = running.board.clone();
    until("a commit", || board.snapshot().run_records > 350 && board.snapshot().checkpoint.run_commits > 0).await;
    assert!(board.snapshot().checkpoint.loading);
    running.task.abort();
    let _ = running.task.await;
    gate.open();
    start(&world, rows(&splits, u64::MAX), 2, |_, _| {}).task.await.unwrap().unwrap();
    assert_exact(&world, &splits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_that_ends_while_state_is_loaded_waits_for_it() {
    let splits = sample(3_000);
    let world = World::new();
    live(&world, &splits, 1, false).await;
    let gate = Gate::default();
    let held = gate.clone();
    let running = start(&world, rows(&splits, u64::MAX), 2, move |point, _| held.pass(point));
    let board = running.board.clone();
    until("everything read", || board.snapshot().state == JobState::Draining).await;
    assert!(!running.task.is_finished());
    gate.open();
    assert_eq!(running.task.await.unwrap().unwrap().state, JobState::Finished);
    assert_exact(&world, &splits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_state_that_is_being_loaded() {
    let splits = sample(3_000);
    let world = World::new();
    live(&world, &splits, 2, false).await;
    let gate = Gate::default();
    let held = gate.clone();
    let running = start(&world, rows(&splits, 500), 2, move |point, _| held.pass(point));
    let board = running.board.clone();
    until("reading", || board.snapshot().run_records > 450).await;
    running.stop.send(true).unwrap();
    let status = running.task.await.unwrap().unwrap();
    assert_eq!((status.state, status.checkpoint.loading), (JobState::Stopped, true));
    gate.open();
    start(&world, rows(&splits, u64::MAX), 2, |_, _| {}).task.await.unwrap().unwrap();
    assert_exact(&world, &splits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_cannot_be_loaded_ends_the_job_and_nothing_is_lost() {
    let splits = sample(3_000);
    let world = World::new();
    live(&world, &splits, 2, false).await;
    let broken = |point: &str, folder: &Path| {
        if point == "runtime.restore.after-panes" {
            let files = std::fs::read_dir(folder.join("loading-1")).unwrap().map(|file| file.unwrap().path());
            files.filter(|file| file.extension().is_some_and(|name| name == "sst")).for_each(|file| {
                // Another file: what is linked here is the store's, too.
                std::fs::remove_file(&file).unwrap();
                std::fs::write(&file, b"broken").unwrap();
            });
        }
    };
    let error = start(&world, rows(&splits, u64::MAX), 2, broken).task.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData, "{error}");
    assert!(error.message().contains("loading-1"), "{error}");
    start(&world, rows(&splits, u64::MAX), 2, |_, _| {}).task.await.unwrap().unwrap();
    assert_exact(&world, &splits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_a_loader_ends_the_job() {
    let splits = sample(3_000);
    let world = World::new();
    live(&world, &splits, 2, false).await;
    let pages = Arc::new(AtomicU64::new(0));
    let panics = move |point: &str, _: &Path| {
        assert!(point != "runtime.loading.page" || pages.fetch_add(1, Ordering::SeqCst) > 0, "the first page");
    };
    let error = start(&world, rows(&splits, u64::MAX), 2, panics).task.await.unwrap().unwrap_err();
    assert!(error.message().contains("loads state panicked") && error.message().contains("the first page"), "{error}");
}
