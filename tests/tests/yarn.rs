//! The main job on a YARN of this machine, submitted as `terraform/gcp/dataproc` submits it on Dataproc: undisturbed, killed, told to stop,
//! submitted twice, and where YARN runs two copies at once. Every sink must hold exactly what plain code computes.
//!
//! `./dev yarn` runs it; elsewhere each test says that it is passed over.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::main_job::{MainJob, Start};
use aqueduct_tests::yarn::{Application, Program, Submission, Yarn};
use sqlx::PgConnection;
use std::time::{Duration, Instant};

const RECORDS: i64 = 40_000;
const FENCED: i32 = 5;
/// From a submission to the end of a job that nothing holds up, on a machine that others keep busy too.
const TO_THE_END: Duration = Duration::from_secs(420);

fn often() -> Start {
    Start { interval_ms: 200, ..Start::default() }
}

/// Waits until the job has sealed this many epochs more than now.
fn until_further(app: &mut Application, job: &MainJob, start: &Start, epochs: u64) {
    let least = job.sealed(start) + epochs;
    app.until(Duration::from_secs(180), "further epochs", |_| (job.sealed(start) >= least).then_some(()));
}

/// Ends well from here, with every sink exact.
async fn to_the_end(app: &mut Application<'_>, job: &MainJob, start: &Start) {
    job.read_freely();
    app.client_ends(TO_THE_END, 0);
    assert_eq!(app.said("finalStatus"), "SUCCEEDED");
    job.verify(start).await;
}

/// Nothing can be delivered to Postgres, so the job cannot drain.
async fn hold_postgres(job: &MainJob) -> PgConnection {
    let mut connection = job.stage.postgres.connect(job.database()).await;
    let lock = "BEGIN; LOCK TABLE analytics_metrics IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
    connection
}

async fn let_go(mut connection: PgConnection) {
    sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
}

/// Waits until the second copy of a job has claimed it: an epoch of its own is sealed.
fn until_taken_over(app: &mut Application, job: &MainJob, start: &Start) {
    until_further(app, job, start, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_straight_run_is_exact_and_its_log_arrives() {
    let Some(yarn) = Yarn::try_shared() else { return };
    let job = MainJob::prepare("yarn-straight", RECORDS, 31).await;
    let start = Start::default();
    let mut app = yarn.submit(&job, &start, &Submission::default());
    to_the_end(&mut app, &job, &start).await;
    let ends = app.ends();
    assert_eq!(ends.iter().map(|end| (end.program, end.told, end.container_code)).collect::<Vec<_>>(), [(0, false, 0)]);
    let collected = app.until(Duration::from_secs(120), "the collected log", |app| {
        Some(yarn.collected_logs(app.id())).filter(|log| log.contains("exit code of the program: 0"))
    });
    assert!(collected.contains(&ends[0].container), "{collected}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_program_that_dies_by_a_signal_is_started_again_in_its_container() {
    let Some(yarn) = Yarn::try_shared() else { return };
    let job = MainJob::prepare_slow("yarn-signals", RECORDS, 32, 60).await;
    let start = often();
    let mut app = yarn.submit(&job, &start, &Submission::default());
    let mut seen: Vec<Program> = Vec::new();
    // Not SIGSEGV: when it is sent, and not a fault, Rust's own handler lets it pass once.
    let signals = [libc::SIGKILL, libc::SIGABRT, libc::SIGILL];
    for signal in signals {
        let program = app.program_beside(&seen);
        until_further(&mut app, &job, &start, 2);
        program.signal(signal);
        seen.push(program);
    }
    let last = app.program_beside(&seen);
    assert!(seen.iter().all(|program| program.container() == last.container()), "{seen:?} {last:?}");
    to_the_end(&mut app, &job, &start).await;
    let ends: Vec<(i32, i32)> = app.ends().iter().map(|end| (end.program, end.container_code)).collect();
    let died = signals.map(|signal| (128 + signal, 75));
    assert_eq!(ends, [&died[..], &[(0, 0)]].concat());
}

/// YARN starts no container again that died of SIGKILL: the application fails, and Dataproc submits it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_container_that_is_killed_as_a_whole_fails_the_job_and_the_next_submission_goes_on() {
    let Some(yarn) = Yarn::try_shared() else { return };
    let job = MainJob::prepare_slow("yarn-container", RECORDS, 33, 40).await;
    let start = often();
    let mut app = yarn.submit(&job, &start, &Submission::default());
    let program = app.program();
    until_further(&mut app, &job, &start, 2);
    program.kill_container();
    app.client_ends(Duration::from_secs(180), 2);
    assert_eq!(app.said("finalStatus"), "FAILED");
    assert_eq!(app.ends(), [], "a container that was killed was started again");
    let mut again = yarn.submit(&job, &start, &Submission::default());
    to_the_end(&mut again, &job, &start).await;
}

/// As the module submits it: YARN starts a new application master, which adopts the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_program_outlives_its_application_master() {
    let Some(yarn) = Yarn::try_shared() else { return };
    let job = MainJob::prepare_slow("yarn-adopted", RECORDS, 34, 40).await;
    let start = often();
    let mut app = yarn.submit(&job, &start, &Submission::default());
    let program = app.program();
    until_further(&mut app, &job, &start, 2);
    app.kill_master();
    app.until(Duration::from_secs(180), "a new application master", |app| {
        (app.said("amContainerLogs").contains("_02_000001") && app.has_master()).then_some(())
    });
    until_further(&mut app, &job, &start, 2);
    assert!(program.lives(), "the program did not outlive its application master");
    assert_eq!(app.programs(), [program]);
    to_the_end(&mut app, &job, &start).await;
    assert_eq!(app.ends().len(), 1);
}

/// `survive_master_restart = false`: YARN tells the program to stop and does not wait until it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_copies_after_the_application_masters_death_one_is_fenced() {
    let Some(yarn) = Yarn::try_shared() else { return };
    let job = MainJob::prepare_slow("yarn-master", RECORDS, 35, 90).await;
    let start = often();
    let mut app = yarn.submit(&job, &start, &Submission { keep: false, ..Submission::default() });
    let old = app.program();
    until_further(&mut app, &job, &start, 2);
    let lock = hold_postgres(&job).await;
    until_further(&mut app, &job, &start, 2);
    app.kill_master();
    let new = app.program_beside(std::slice::from_ref(&old));
    let begun = Instant::now();
    until_taken_over(&mut app, &job, &start);
    assert!(old.lives() && new.lives(), "there should be two copies");
    let_go(lock).await;
    let end = app.end_of(&old);
    println!(
        "two copies ran together for {:.1} s; the old one ended with {}",
        begun.elapsed().as_secs_f64(),
        end.program
    );
    assert_eq!((end.program, end.told, end.container_code), (FENCED, true, 0), "{}", end.log);
    to_the_end(&mut app, &job, &start).await;
    assert_eq!(app.end_of(&new).program, 0);
}

/// Its node manager is killed: YARN starts another copy elsewhere, and nobody tells the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_orphan_of_a_lost_node_is_fenced_by_its_replacement() {
    let Some(yarn) = Yarn::try_start(3) else { return };
    let job = MainJob::prepare_slow("yarn-node", RECORDS, 36, 90).await;
    let start = often();
    let mut app = yarn.submit(&job, &start, &Submission::default());
    let orphan = app.program();
    until_further(&mut app, &job, &start, 2);
    yarn.kill_node_of(&orphan);
    let killed = Instant::now();
    let new = app.program_beside(std::slice::from_ref(&orphan));
    assert!(orphan.lives(), "the orphan should run on");
    assert!(orphan.node() != new.node(), "{orphan:?} {new:?}");
    let started = killed.elapsed();
    let end = app.end_of(&orphan);
    let fenced = killed.elapsed();
    println!(
        "the replacement came {:.1} s after the node's death, the orphan ended {:.1} s after it with {}",
        started.as_secs_f64(),
        fenced.as_secs_f64(),
        end.program
    );
    assert_eq!((end.program, end.told, end.container_code), (FENCED, false, 0), "{}", end.log);
    to_the_end(&mut app, &job, &start).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_application_seals_and_delivers_before_it_ends() {
    let Some(yarn) = Yarn::try_shared() else { return };
    let job = MainJob::prepare_slow("yarn-drained", RECORDS, 37, 40).await;
    let start = often();
    let mut app = yarn.submit(&job, &start, &Submission::default());
    let program = app.program();
    until_further(&mut app, &job, &start, 2);
    yarn.kill_application(app.id());
    let end = app.end_of(&program);
    assert_eq!((end.program, end.told), (0, true), "{}", end.log);
    app.client_ends(Duration::from_secs(180), 2);
    let mut again = yarn.submit(&job, &start, &Submission::default());
    to_the_end(&mut again, &job, &start).await;
}

/// `yarn application -kill` returns while the program still stops; the next submission does not wait for it either.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn submitted_again_while_the_killed_one_still_stops() {
    let Some(yarn) = Yarn::try_shared() else { return };
    let job = MainJob::prepare_slow("yarn-again", RECORDS, 38, 90).await;
    let start = often();
    let mut app = yarn.submit(&job, &start, &Submission::default());
    let old = app.program();
    until_further(&mut app, &job, &start, 2);
    let lock = hold_postgres(&job).await;
    until_further(&mut app, &job, &start, 2);
    yarn.kill_application(app.id());
    assert_eq!(app.said("state"), "KILLED");
    assert!(old.lives(), "the program should still be stopping");
    let mut again = yarn.submit(&job, &start, &Submission::default());
    let new = again.program();
    until_taken_over(&mut again, &job, &start);
    assert!(old.lives() && new.lives(), "there should be two copies");
    let_go(lock).await;
    let end = app.end_of(&old);
    assert_eq!((end.program, end.told), (FENCED, true), "{}", end.log);
    app.client_ends(Duration::from_secs(180), 2);
    to_the_end(&mut again, &job, &start).await;
}

/// Two applications of one name: the newer one has the job, the older one ends as a success, so that nothing starts it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_submission_fences_the_first() {
    let Some(yarn) = Yarn::try_shared() else { return };
    let job = MainJob::prepare_slow("yarn-twice", RECORDS, 39, 60).await;
    let start = often();
    let mut first = yarn.submit(&job, &start, &Submission::default());
    let old = first.program();
    until_further(&mut first, &job, &start, 2);
    let mut second = yarn.submit(&job, &start, &Submission::default());
    let end = first.end_of(&old);
    assert_eq!((end.program, end.told, end.container_code), (FENCED, false, 0), "{}", end.log);
    first.client_ends(Duration::from_secs(180), 0);
    assert_eq!(first.said("finalStatus"), "SUCCEEDED");
    to_the_end(&mut second, &job, &start).await;
    assert_eq!(second.ends().len(), 1);
}

/// Machines that may vanish carry no label; jobs ask for the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_asks_for_machines_that_stay_gets_one() {
    let Some(yarn) = Yarn::try_start_labelled(2) else { return };
    yarn.label_node(1, "stable");
    let job = MainJob::prepare_slow("yarn-label", RECORDS, 42, 20).await;
    let start = often();
    let mut app = yarn.submit(&job, &start, &Submission { label: Some("stable"), ..Submission::default() });
    assert_eq!(app.program().node(), 1);
    to_the_end(&mut app, &job, &start).await;
}

/// Exit code 2: nothing changes until someone looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wrong_setting_is_tried_once_and_named() {
    let Some(yarn) = Yarn::try_shared() else { return };
    let job = MainJob::prepare("yarn-wrong", 100, 40).await;
    let more = ["-D".to_owned(), "execution.checkpointing.intervall=1 s".to_owned()].to_vec();
    let mut app = yarn.submit(&job, &Start::default(), &Submission { more, ..Submission::default() });
    app.client_ends(Duration::from_secs(180), 2);
    assert_eq!(app.said("finalStatus"), "FAILED");
    let ends = app.ends();
    assert_eq!(ends.iter().map(|end| (end.program, end.container_code)).collect::<Vec<_>>(), [(2, 2)]);
    assert!(ends[0].log.contains("execution.checkpointing.interval"), "{}", ends[0].log);
}
