//! Rows 40 to 43: the machine itself: a disk that is full or dead, too little memory, a clock that jumps.

use super::*;
use aqueduct_tests::host::{LittleMemory, SmallDisk, faketime, shared_library};
use aqueduct_tests::services::Listener;
use aqueduct_tests::stage::Stage;
use aqueduct_tests::watch::{Watch, number};
use std::path::Path;

/// Plain connections: certificates have opinions on what time it is.
fn without_tls(job: &MainJob, start: &mut Start) {
    let Stage { kafka, postgres, .. } = &*job.stage;
    for (name, value) in [
        ("KAFKA_BROKERS", kafka.bootstrap(Listener::Plain)),
        ("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT".into()),
        ("POSTGRES_URL", postgres.url(job.database())),
        ("POSTGRES_SSLMODE", "disable".into()),
    ] {
        start.more.extend(["--set".to_owned(), format!("{name}={value}")]);
    }
}

fn state_in(start: &mut Start, folder: &Path) {
    start.more.extend(["--state-dir".to_owned(), folder.display().to_string()]);
}

/// The run ends with an error that says what to do; the next one, with nothing in its way, goes on and is exact.
async fn ends_and_goes_on(job: &MainJob, mut run: Daemon, parts: &[&str]) {
    ends_with(&mut run, CONFIGURATION);
    let said = run.last_words();
    for part in parts {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
    job.read_freely();
    completes(job, &Start::default()).await;
}

#[tokio::test]
async fn row_40_a_full_disk_under_the_state_ends_the_job_cleanly() {
    let Some(disk) = SmallDisk::try_new(32) else { return };
    let job = MainJob::prepare_slow("row-40-state", 20_000, 40, SLOW).await;
    let mut start = Start { interval_ms: 200, ..Start::default() };
    state_in(&mut start, disk.path());
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until_sealing(&mut run);
    disk.fill();
    ends_and_goes_on(&job, run, &["free space"]).await;
}

#[tokio::test]
async fn row_40_a_full_disk_under_the_checkpoints_is_waited_for() {
    let Some(disk) = SmallDisk::try_new(32) else { return };
    let job = MainJob::prepare_slow("row-40-checkpoints", 20_000, 41, SLOW).await;
    let checkpoints = Some(disk.path().join("checkpoints").display().to_string());
    let mut start = Start { interval_ms: 200, checkpoints, ..Start::default() };
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until_sealing(&mut run);
    disk.fill();
    let before = number(&watch.status().unwrap()["checkpoint"], "epoch");
    let ended = run.wait(Duration::from_secs(3));
    assert!(ended.is_none(), "it does not wait:\n{}", run.log_tail());
    let full = number(&watch.status().unwrap()["checkpoint"], "epoch");
    assert!(full <= before + 1, "{full} epochs after {before} on a full disk");
    disk.free();
    watch.until(&mut run, PATIENCE, "epochs again", |status| number(&status["checkpoint"], "epoch") > full + 1);
    finishes(&job, &mut run, &start).await;
}

#[tokio::test]
async fn row_41_a_dead_disk_under_the_state_costs_no_result() {
    let job = MainJob::prepare_slow("row-41", 20_000, 42, SLOW).await;
    let Some(library) = shared_library(include_str!("failing_disk.c"), job.folder()) else { return };
    let (flag, state) = (job.folder().join("the-disk-is-dead"), job.folder().join("state"));
    std::fs::create_dir(&state).unwrap();
    let mut start = Start { interval_ms: 200, ..Start::default() };
    state_in(&mut start, &state);
    for (name, value) in [("LD_PRELOAD", &library), ("DISK_FAILS", &flag), ("DISK_FAILS_UNDER", &state)] {
        start.env.push((name.into(), value.display().to_string()));
    }
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until_sealing(&mut run);
    std::fs::write(&flag, "").unwrap();
    ends_and_goes_on(&job, run, &["Input/output error"]).await;
}

#[tokio::test]
async fn row_42_a_process_that_the_kernel_kills_for_memory_costs_nothing() {
    let (Some(little), Some(enough)) = (LittleMemory::try_new(500), LittleMemory::try_new(512)) else { return };
    let job = MainJob::prepare_slow("row-42", 100_000, 43, SLOW).await;
    let mut start = Start { wrapper: little.wrapper(), interval_ms: 100, ..Start::default() };
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until_sealing(&mut run);
    // It may have what it has; what comes now wants more.
    little.tighten();
    job.read_freely();
    ends_with(&mut run, ABORTED_BY_SIGNAL);
    // Within its bounds the job does all its work: the budget holds.
    completes(&job, &Start { wrapper: enough.wrapper(), ..Start::default() }).await;
}

#[tokio::test]
async fn row_43_a_clock_that_jumps_by_an_hour_changes_nothing() {
    let Some(library) = faketime() else { return };
    let job = MainJob::prepare_slow("row-43", 20_000, 44, SLOW).await;
    let Some(waits) = shared_library(include_str!("timed_wait.c"), job.folder()) else { return };
    let clock = job.folder().join("clock");
    let set = |text: &str| {
        // Renamed into place: the library may read at any moment.
        let draft = clock.with_extension("draft");
        std::fs::write(&draft, format!("{text}\n")).unwrap();
        std::fs::rename(&draft, &clock).unwrap();
    };
    set("+0");
    let mut start = Start { interval_ms: 200, ..Start::default() };
    without_tls(&job, &mut start);
    for (name, value) in [
        ("LD_PRELOAD", format!("{} {}", waits.display(), library.display())),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ] {
        start.env.push((name.into(), value));
    }
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until_sealing(&mut run);
    let real = chrono::Utc::now().timestamp_millis();
    for (jump, hours) in [("+3600s", 1), ("-3600s", -1), ("+0 x0.2", 0)] {
        set(jump);
        let before = number(&watch.status().unwrap()["checkpoint"], "epoch");
        watch.until(&mut run, PATIENCE, jump, |status| number(&status["checkpoint"], "epoch") > before + 2);
        let told = watch.status().unwrap()["checkpoint"]["committed_at_ms"].as_i64().unwrap() - real;
        let off = told - hours * 3_600_000;
        assert!(off.abs() < 600_000, "{jump}: the job's clock is {told} ms from ours: it did not jump");
    }
    finishes(&job, &mut run, &start).await;
}
