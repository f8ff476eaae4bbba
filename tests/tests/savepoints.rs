//! Savepoints and orderly ends on real services: a job moves from one cloud's storage to the other's and goes on exactly where
//! it was; what does not fit is refused with its name.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::main_job::{MainJob, Start, record_count};
use aqueduct_tests::oracle::Oracle;
use aqueduct_tests::services::daemon::free_port;
use aqueduct_tests::services::{Gcs, S3};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::time::Duration;

fn in_gs(name: &str, more: &[&str]) -> Start {
    let more = more.iter().map(|word| (*word).to_owned()).collect();
    Start { checkpoints: Some(Gcs::shared().url(name)), interval_ms: 100, more, ..Start::default() }
}

/// Waits until some epochs are sealed.
/// Every object below `from` to below `to`, as `gsutil rsync` would.
async fn copy(source: &dyn ObjectStore, from: &str, target: &dyn ObjectStore, to: &str) -> usize {
    let objects: Vec<_> = source.list(Some(&Path::from(from))).try_collect().await.unwrap();
    for object in &objects {
        let bytes = source.get(&object.location).await.unwrap().bytes().await.unwrap();
        let name = object.location.as_ref().strip_prefix(from).unwrap();
        target.put(&Path::from(format!("{to}{name}")), bytes.into()).await.unwrap();
    }
    objects.len()
}

/// Stopped with a savepoint in `gs://`; copied to `s3://`; a job in another checkpoint folder there goes on in the same sinks.
#[tokio::test]
async fn a_job_moves_to_another_cloud_and_goes_on_exactly() {
    let Some(s3) = S3::try_shared() else { return };
    let job = MainJob::prepare_slow("moved", record_count() / 4, 21, 10).await;
    let port = free_port().to_string();
    let here = in_gs("moving", &["--http", &port]);
    let mut run = job.start(&here);
    job.until_epoch(&here, &mut run, 5);
    let to = Gcs::shared().url("savepoints");
    let at = format!("127.0.0.1:{port}");
    job.verb(&here, &["stop"], &["--http", &at, "--savepoint", "--to", &to, "--name", &job.name])
        .expect(0, &["has stopped at epoch", "savepoint", &job.name]);
    assert_eq!(run.wait(Duration::from_secs(30)).and_then(|status| status.code()), Some(0), "{}", run.log_tail());
    let stopped_at = job.epoch(&here);

    let inside = |url: &str| url.split_once("://").unwrap().1.split_once('/').unwrap().1.to_owned();
    let (from, target) = (format!("{}/{}", inside(&to), job.name), format!("elsewhere/{}", job.name));
    assert!(copy(&Gcs::shared().store(), &from, &s3.store(), &target).await > 2);
    let savepoint = s3.url(&target);
    job.bare(&here, &["state", "verify", "--savepoint", &savepoint]).expect(0, &["whole"]);
    let there = Start {
        checkpoints: Some(s3.url("moved")),
        more: vec!["--from-savepoint".into(), savepoint.clone()],
        ..Start::default()
    };
    job.read_freely();
    // Killed on its way and started with the same words: it goes on from its own folder.
    let mut run = job.start(&Start { interval_ms: 100, ..there.clone() });
    job.until_epoch(&there, &mut run, stopped_at + 1);
    run.kill();
    job.state(&there, "list", &[]).expect(0, &["lineage 2", "begun after lineage 1 epoch", &savepoint]);
    job.run_to_end(&there);
    job.verify_moved(&[&here, &there]).await;
    // The process of the old folder is fenced in every sink.
    let mut old = job.start(&Start { more: Vec::new(), ..here.clone() });
    assert_eq!(old.wait(Duration::from_secs(60)).and_then(|status| status.code()), Some(5), "{}", old.log_tail());
    // Only its own folder can have changed: late rows may stand there that the job has written in its new folder.
    job.verify_results().await;
}

/// Killed while one sink was behind; the savepoint of the dead job delivers what that sink lacks, and nothing twice.
#[tokio::test]
async fn a_savepoint_of_a_dead_job_delivers_what_a_sink_lacks() {
    let job = MainJob::prepare_slow("dead", record_count() / 4, 22, 10).await;
    let here = in_gs("dying", &[]);
    let armed = vec![("AQUEDUCT_FAIL_POINT".to_owned(), "sink.postgres.before-commit@3".to_owned())];
    let mut run = job.start(&Start { env: armed, ..here.clone() });
    assert!(run.wait(Duration::from_secs(60)).is_some(), "it should have died:\n{}", run.log_tail());
    let to = Gcs::shared().url("savepoints");
    job.verb(&here, &["savepoint"], &["--to", &to, "--name", &job.name]).expect(0, &["result rows for sinks"]);
    // Once more under the same name is refused.
    job.verb(&here, &["savepoint"], &["--to", &to, "--name", &job.name]).expect(2, &["is a savepoint already"]);
    let savepoint = format!("{to}/{}", job.name);
    let there = Start { checkpoints: Some(Gcs::shared().url("risen")), ..Start::default() };
    let there = Start { more: vec!["-s".into(), savepoint], ..there };
    job.read_freely();
    job.run_to_end(&there);
    job.verify_moved(&[&here, &there]).await;
}

/// A savepoint of a running job disturbs nothing, holds all that was read before it was asked for, and is whole.
#[tokio::test]
async fn a_running_job_gives_a_savepoint_and_goes_on() {
    let job = MainJob::prepare_slow("live", record_count() / 4, 23, 10).await;
    let port = free_port().to_string();
    // Sealed by itself only once an hour: what the savepoint holds, it was asked for.
    let start =
        Start { interval_ms: 3_600_000, ..in_gs("living", &["--http", &port, "-D", "aqueduct.seal.max-bytes=1 gb"]) };
    let mut run = job.start(&start);
    let said = |words: &[&str]| job.bare(&start, words);
    run.wait_until(Duration::from_secs(60), || said(&["status", "--http", &port]).out.contains("running"));
    let to = job.folder().join("savepoints").display().to_string();
    let one = ["--http", &port, "--to", &to, "--name", "one"];
    job.verb(&start, &["savepoint"], &one).expect(0, &["savepoint one of job"]);
    job.verb(&start, &["savepoint"], &["--http", &port, "--to", &to, "--name", "two"]).expect(0, &["savepoint two"]);
    for name in ["one", "two"] {
        let at = format!("{to}/{name}");
        job.bare(&start, &["state", "verify", "--savepoint", &at]).expect(0, &["whole"]);
    }
    job.read_freely();
    let status = run.wait(Duration::from_secs(300));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", run.log_tail());
    job.verify(&start).await;
    // A byte changes in the copy.
    let blobs = std::path::Path::new(&to).join("two/blobs");
    let blob = std::fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let at = format!("{to}/two");
    job.bare(&start, &["state", "verify", "--savepoint", &at]).expect(3, &["is damaged", "copy it again"]);
}

#[tokio::test]
async fn what_does_not_fit_a_savepoint_is_refused_by_name() {
    let job = MainJob::prepare("unfit", 300, 24).await;
    let start = Start::default();
    job.run_to_end(&start);
    let to = job.folder().join("savepoints").display().to_string();
    job.verb(&start, &["savepoint"], &["--to", &to, "--name", "one"]).expect(0, &["epoch"]);
    let from = format!("{to}/one");
    let run = |checkpoints: &str, more: &[&str], code: i32, parts: &[&str]| {
        let folder = job.folder().join(checkpoints).display().to_string();
        let mut words = vec!["--from-savepoint".to_owned(), from.clone()];
        words.extend(more.iter().map(|word| (*word).to_owned()));
        let mut run = job.start(&Start { checkpoints: Some(folder), more: words, ..Start::default() });
        let status = run.wait(Duration::from_secs(90));
        assert_eq!(status.and_then(|status| status.code()), Some(code), "{more:?}:\n{}", run.log_tail());
        for part in parts {
            assert!(run.log().contains(part), "'{part}' is not in\n{}", run.log_tail());
        }
    };
    // The job's own folder holds something newer.
    run("checkpoints", &[], 2, &["holds job", "lineage 1", "--yes"]);
    run("checkpoints", &["--yes"], 0, &["a lineage begins with the savepoint"]);
    job.verify(&start).await;
    // The same records in another topic, at the same offsets.
    let copied = format!("{}-copy", job.name);
    job.stage.kafka.create_topic(&copied, aqueduct_tests::main_job::PARTITIONS);
    for partition in 0..aqueduct_tests::main_job::PARTITIONS {
        let end = job.stage.kafka.watermarks(&job.name, partition).1;
        let filler = (0..end).map(|_| aqueduct_tests::services::Record::value("{}"));
        job.stage.kafka.produce(&copied, partition, filler);
    }
    let no_folder = "nothing-here";
    job.verb(&start, &["savepoint"], &["--to", &to, "--name", "../one"]).expect(2, &["name"]);
    let missing = format!("{to}/none");
    let mut other = job.start(&Start {
        checkpoints: Some(job.folder().join(no_folder).display().to_string()),
        more: vec!["--from-savepoint".into(), missing],
        ..Start::default()
    });
    assert_eq!(other.wait(Duration::from_secs(60)).and_then(|status| status.code()), Some(2), "{}", other.log_tail());
    assert!(
        other.log().contains("there is no savepoint in") && other.log().contains("_metadata"),
        "{}",
        other.log_tail()
    );
    job.edit("SUM(size_bytes)", "MAX(size_bytes)");
    run("another", &[], 2, &["image_metrics", "another query"]);
    assert!(!job.folder().join(format!("another/{}/L2", job.name)).exists(), "a refused savepoint begins nothing");
}

/// Every window fires as it is, for what was read: the sinks hold the fold of the records before the offsets of the checkpoint.
#[tokio::test]
async fn a_drained_job_has_fired_every_window() {
    let mut job = MainJob::prepare_slow("drain", record_count() / 4, 25, 10).await;
    let port = free_port().to_string();
    let start = Start { more: vec!["--http".into(), port.clone()], interval_ms: 200, ..Start::default() };
    let mut run = job.start(&start);
    job.until_epoch(&start, &mut run, 4);
    // Where it answers stands in its claim.
    job.verb(&start, &["stop"], &["--drain"]).expect(0, &["has stopped at epoch"]);
    assert_eq!(run.wait(Duration::from_secs(30)).and_then(|status| status.code()), Some(0), "{}", run.log_tail());
    let shown = job.shown(&start, None);
    let mut oracle = Oracle::new(1);
    for split in shown["body"]["splits"].as_array().unwrap() {
        let partition = i32::try_from(split["split"]["partition"].as_i64().unwrap()).unwrap();
        let next = split["next"].as_i64().unwrap();
        for offset in 0..next {
            oracle.record(partition, offset, Some(&job.value(partition, offset)));
        }
    }
    assert!(oracle.rows.len() > 5, "it read something");
    assert!(oracle.rows.len() < job.oracle.rows.len(), "and not all");
    job.oracle = oracle;
    job.verify(&start).await;
}
