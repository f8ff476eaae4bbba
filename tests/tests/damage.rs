//! What goes wrong with checkpoints, and the ways back: a flipped byte and a deleted file in the newest one, an operator who goes
//! back, a process of the old line that wakes up, a transaction that a dead process left open. No sink may lose or double a row
//! unless it was said before.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::main_job::{MainJob, Start, record_count};
use std::path::PathBuf;
use std::time::Duration;

const FALL_BACK: [&str; 2] = ["-D", "execution.checkpointing.on-damage=fall-back"];

fn with(start: &Start, more: &[&str]) -> Start {
    let more = start.more.iter().cloned().chain(more.iter().map(|word| (*word).to_owned())).collect();
    Start { more, ..start.clone() }
}

/// The newest epoch that brought rows for the topic, which nobody can take back.
fn newest_with_rows(job: &MainJob, start: &Start) -> u64 {
    let appended = |epoch: &u64| {
        let outbox = job.shown(start, Some(*epoch))["body"]["outbox"].clone();
        outbox.as_array().unwrap().iter().any(|segment| segment["sink"] == "results_topic")
    };
    (1..=job.epoch(start)).rev().find(appended).unwrap_or(0)
}

/// A job that has sealed some epochs, of which one of the newest has results, and was stopped well: every sink has all of them.
async fn stopped(name: &str, seed: u64) -> (MainJob, Start) {
    let job = MainJob::prepare_slow(name, record_count() / 8, seed, 10).await;
    let start = Start { interval_ms: 200, ..Start::default() };
    let mut run = job.start(&start);
    let mut least = 6;
    job.until_epoch(&start, &mut run, least);
    while newest_with_rows(&job, &start) < 4 {
        least += 1;
        job.until_epoch(&start, &mut run, least);
    }
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(Duration::from_secs(60)).and_then(|status| status.code()), Some(0), "{}", run.log_tail());
    job.read_freely();
    (job, start)
}

fn lineage(job: &MainJob, start: &Start, number: u32) -> PathBuf {
    PathBuf::from(job.checkpoint_url(start)).join(format!("{}/L{number}/s0", job.name))
}

/// A state file of the newest checkpoint, and the newest epoch that does without it: that is where a start can go back to.
fn newest_state_file(job: &MainJob, start: &Start) -> (PathBuf, u64) {
    let objects = |epoch| {
        let shown = job.shown(start, Some(epoch));
        let files = shown["body"]["state_files"].as_array().unwrap().clone();
        files.iter().map(|file| file["object"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let newest = job.epoch(start);
    let mine = objects(newest);
    for before in (1..newest).rev() {
        let theirs = objects(before);
        if let Some(file) = mine.iter().find(|object| !theirs.contains(object)) {
            return (lineage(job, start, 1).join(file), before);
        }
    }
    panic!("all checkpoints have the same files");
}

fn flip(file: &PathBuf) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

async fn falls_back(name: &str, seed: u64, harm: impl Fn(&PathBuf), what: &str) {
    let (job, start) = stopped(name, seed).await;
    let (epoch, (file, before)) = (job.epoch(&start), newest_state_file(&job, &start));
    job.state(&start, "verify", &[]).expect(0, &["whole", &format!("restorable: epoch {epoch}")]);
    harm(&file);
    let hash = file.file_name().unwrap().to_string_lossy().into_owned();
    let parts = [what, &hash, &format!("restorable: epoch {before}"), "on-damage=fall-back", "rewind"];
    job.state(&start, "verify", &[]).expect(3, &parts);
    // As configured by default: refused, by name, and nothing is begun.
    job.refused(&start, 3, &[&format!("epoch {epoch}"), what, &hash, "on-damage=fall-back"]);
    assert!(!lineage(&job, &start, 2).exists());
    let rows = job.postgres_rows().await;
    // Or it goes back: the epoch that every sink has is computed once more, and no sink gets it twice.
    let start = with(&start, &FALL_BACK);
    let mut run = job.start(&start);
    let status = run.wait(Duration::from_secs(300));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", run.log_tail());
    let log = run.log();
    assert!(log.contains("THE NEWEST CHECKPOINT IS DAMAGED"), "{}", run.log_tail());
    assert!(log.contains("an epoch was cut again as it was"), "{}", run.log_tail());
    assert!(rows.iter().all(|(key, metrics)| job.oracle.rows.get(key) == Some(metrics)), "what stood there was right");
    job.verify(&start).await;
    job.state(&start, "list", &[])
        .expect(0, &["lineage 2", &format!("begun after lineage 1 epoch {before}"), "damage"]);
    job.state(&start, "verify", &[]).expect(0, &["whole"]);
}

#[tokio::test]
async fn a_flipped_byte_in_the_newest_checkpoint() {
    falls_back("flipped", 31, flip, "is damaged").await;
}

#[tokio::test]
async fn a_deleted_file_of_the_newest_checkpoint() {
    falls_back("deleted", 32, |file| std::fs::remove_file(file).unwrap(), "is missing").await;
}

/// Killed while it repeats: the next start goes on repeating, and every sink is exact.
#[tokio::test]
async fn a_start_that_dies_while_it_goes_back_is_made_good() {
    let (job, start) = stopped("twice", 33).await;
    flip(&newest_state_file(&job, &start).0);
    for point in ["checkpoint.begin.before-copy", "checkpoint.begin.after-copy", "checkpoint.begin.after-record"] {
        let env = vec![("AQUEDUCT_FAIL_POINT".to_owned(), point.to_owned())];
        let mut run = job.start(&Start { env, ..with(&start, &FALL_BACK) });
        let status = run.wait(Duration::from_secs(90)).expect("it dies");
        assert_eq!(status.code(), None, "{point}:\n{}", run.log_tail());
    }
    job.run_to_end(&with(&start, &FALL_BACK));
    job.verify(&start).await;
}

/// The record itself: what the topic got with it cannot be known any more, so nothing is begun that could double it. An operator
/// may all the same.
#[tokio::test]
async fn a_damaged_record_is_not_guessed() {
    let (job, start) = stopped("record", 34).await;
    let epoch = job.epoch(&start);
    // Rows of the topic cannot be taken back: the record is that of the newest epoch which has some, and with it go the newer ones.
    let last = newest_with_rows(&job, &start);
    let root = PathBuf::from(job.checkpoint_url(&start));
    let record = |epoch: u64| root.join(job.shown(&start, Some(epoch))["object"].as_str().unwrap());
    let gone: Vec<(PathBuf, Vec<u8>)> =
        (last..=epoch).map(record).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    gone.iter().for_each(|(path, _)| flip(path));
    let name = gone.last().unwrap().0.file_name().unwrap().to_string_lossy().into_owned();
    job.refused(&start, 3, &[&name, "is damaged"]);
    job.refused(&with(&start, &FALL_BACK), 3, &[&name, "is damaged", "results_topic", "twice", "rewind"]);
    gone.iter().for_each(|(path, _)| std::fs::remove_file(path).unwrap());
    job.refused(&with(&start, &FALL_BACK), 3, &["results_topic", "twice"]);
    // Somebody restores it: the job goes on as if nothing had been, in its own line.
    for (path, whole) in &gone {
        std::fs::write(path, whole).unwrap();
    }
    let mut run = job.start(&start);
    job.until_epoch(&start, &mut run, epoch + 1);
    run.wait(Duration::from_secs(300));
    job.verify(&start).await;
    assert!(!lineage(&job, &start, 2).exists());
}

/// An operator goes back: every sink is right in the end; the topic holds the repeated rows once more, as was said before.
#[tokio::test]
async fn an_operator_goes_back() {
    let (job, start) = stopped("rewound", 35).await;
    let epoch = job.epoch(&start);
    let (to, far) = ((newest_with_rows(&job, &start) - 1).to_string(), (epoch + 5).to_string());
    let parts = [&format!("cannot go back to epoch {far}"), "kept are"];
    job.verb(&start, &["rewind"], &["--to-epoch", &far, "--yes"]).expect(2, &parts);
    let parts = [
        "results_topic",
        "appended to the topic a second time",
        "analytics_metrics",
        "written over the ones with the same key",
        "results_bucket",
        "the ledger says so",
        "say --yes",
    ];
    job.verb(&start, &["rewind"], &["--to-epoch", &to]).expect(2, &parts);
    assert!(!lineage(&job, &start, 2).exists(), "it only asked");
    job.verb(&start, &["rewind"], &["--to-epoch", &to, "--yes"]).expect(0, &["lineage 2 begins after epoch"]);
    job.run_to_end(&start);
    let again = job.verify_repeated(&start).await;
    println!("{again} rows of the topic came again");
    // Back to the very beginning, too.
    job.verb(&start, &["rewind"], &["--to-epoch", "0", "--yes"]).expect(0, &["lineage 3"]);
    job.run_to_end(&start);
    assert!(job.verify_repeated(&start).await >= job.oracle.rows.len());
}

/// A process that was stopped when the operator went back wakes up: it changes nothing in any sink, and ends with 5.
#[tokio::test]
async fn a_process_of_the_old_line_changes_nothing() {
    let job = MainJob::prepare_slow("zombie", record_count() / 8, 36, 10).await;
    let start = Start { interval_ms: 200, ..Start::default() };
    let mut old = job.start(&start);
    job.until_epoch(&start, &mut old, 6);
    let kept = job.epoch(&start).to_string();
    job.verb(&start, &["rewind"], &["--to-epoch", &kept, "--yes"]).expect(2, &["seems to be alive", "--force"]);
    old.signal(libc::SIGSTOP);
    let to = (job.epoch(&start) - 1).to_string();
    job.verb(&start, &["rewind"], &["--to-epoch", &to, "--yes", "--force"]).expect(0, &["lineage 2"]);
    job.read_freely();
    job.run_to_end(&start);
    old.signal(libc::SIGCONT);
    let status = old.wait(Duration::from_secs(90));
    assert_eq!(status.and_then(|status| status.code()), Some(5), "{}", old.log_tail());
    job.verify_repeated(&start).await;
}

/// A rewind that dies at each of its steps leaves the old line or the whole new one.
#[tokio::test]
async fn a_rewind_that_dies_is_repeated() {
    let (job, start) = stopped("half", 37).await;
    let to = (job.epoch(&start) - 1).to_string();
    let points = [
        "checkpoint.begin.claimed",
        "checkpoint.begin.before-copy",
        "checkpoint.begin.after-copy",
        "checkpoint.begin.after-record",
    ];
    for point in points {
        let env = vec![("AQUEDUCT_FAIL_POINT".to_owned(), point.to_owned())];
        let said = job.verb(&Start { env, ..start.clone() }, &["rewind"], &["--to-epoch", &to, "--yes"]);
        assert_eq!(said.code, None, "{point}: {}{}", said.out, said.err);
    }
    job.run_to_end(&start);
    job.verify_repeated(&start).await;
}

/// A process dies inside a transaction: its rows are not visible, nor is what others write after them, until it is ended.
#[tokio::test]
async fn a_transaction_that_was_left_open_is_ended() {
    let job = MainJob::prepare_slow("open", record_count() / 8, 38, 8).await;
    let env = vec![("AQUEDUCT_FAIL_POINT".to_owned(), "sink.kafka.before-commit@3".to_owned())];
    let start = Start { interval_ms: 200, ..Start::default() };
    let mut run = job.start(&Start { env, ..start.clone() });
    assert!(run.wait(Duration::from_secs(60)).is_some(), "it should have died:\n{}", run.log_tail());
    let id = format!("{}-0-results_topic", job.name);
    let listed = job.verb(&start, &["txn", "list"], &[]).expect(0, &[&id, "held by an open transaction of ours"]);
    assert!(!listed.out.contains("nothing stands open"), "{}", listed.out);
    job.verb(&start, &["txn", "abort"], &[]).expect(0, &["is aborted", "nothing stands open"]);
    job.verb(&start, &["txn", "list"], &["--table", "none"]).expect(2, &["no Kafka table named 'none'"]);
    job.read_freely();
    job.run_to_end(&start);
    job.verify(&start).await;
}
