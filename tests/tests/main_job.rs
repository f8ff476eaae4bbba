//! The whole main job on real services: Kafka over TLS, Postgres, Firestore, a bucket, a results topic; undisturbed,
//! killed, stopped, restarted with other parallelism, fenced. Every sink must hold exactly what plain code computes.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::crash::Seeded;
use aqueduct_tests::main_job::{MainJob, Start, record_count};
use aqueduct_tests::services::{Gcs, Postgres, S3};
use futures::FutureExt;
use std::time::Duration;

#[tokio::test]
async fn all_sinks_hold_what_plain_code_computes() {
    let job = MainJob::prepare("straight", record_count(), 1).await;
    assert!(job.oracle.ledger.late > 0 && job.oracle.ledger.dead > 0 && job.oracle.rows.len() > 100);
    let start = Start::default();
    job.run_to_end(&start);
    job.verify(&start).await;
    // The comparison itself must be able to fail: here one row goes missing.
    let mut connection = Postgres::shared().connect(job.database()).await;
    let delete = "DELETE FROM analytics_metrics WHERE (window_start, size_label) = \
                  (SELECT window_start, size_label FROM analytics_metrics LIMIT 1)";
    sqlx::raw_sql(delete).execute(&mut connection).await.unwrap();
    let noticed = std::panic::AssertUnwindSafe(job.verify(&start)).catch_unwind().await.unwrap_err();
    let message = noticed.downcast_ref::<String>().unwrap();
    assert!(message.contains("Postgres: 1 differences") && message.contains("missing"), "{message}");
}

/// `AQUEDUCT_KILL_SEED` repeats a run.
#[tokio::test]
async fn ten_kills_change_nothing() {
    let seed = std::env::var("AQUEDUCT_KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(42);
    let mut random = Seeded(seed);
    let job = MainJob::prepare_slow("killed", record_count(), 2, 20).await;
    let start = Start { interval_ms: 100, ..Start::default() };
    let mut moments = Vec::new();
    for _ in 0..10 {
        let moment = random.between(200, 2_500);
        moments.push(moment);
        let mut run = job.start(&start);
        let ended = run.wait(Duration::from_millis(moment));
        assert!(
            ended.is_none(),
            "the run ended before its kill ({ended:?}), seed {seed}, {moments:?}:\n{}",
            run.log_tail()
        );
        run.kill();
    }
    println!("seed {seed}: killed after {moments:?} ms");
    job.run_to_end(&start);
    job.verify(&start).await;
}

#[tokio::test]
async fn sigterm_drains_and_the_next_start_goes_on_with_other_parallelism() {
    let job = MainJob::prepare_slow("drained", record_count() / 4, 3, 12).await;
    for parallelism in [1, 3, 4] {
        let start = Start { parallelism, ..Start::default() };
        let mut run = job.start(&start);
        let early = run.wait(Duration::from_millis(2_500));
        assert!(early.is_none(), "it should still read ({early:?}):\n{}", run.log_tail());
        run.signal(libc::SIGTERM);
        let status = run.wait(Duration::from_secs(60));
        assert_eq!(status.and_then(|status| status.code()), Some(0), "SIGTERM:\n{}", run.log_tail());
    }
    let start = Start { parallelism: 2, ..Start::default() };
    job.run_to_end(&start);
    job.verify(&start).await;
}

#[tokio::test]
async fn checkpoints_in_gs_survive_a_kill() {
    checkpoints_survive_a_kill("gs", &Gcs::shared().url("checkpoints")).await;
}

#[tokio::test]
async fn checkpoints_in_s3_survive_a_kill() {
    let Some(s3) = S3::try_shared() else { return };
    checkpoints_survive_a_kill("s3", &s3.url("checkpoints")).await;
}

async fn checkpoints_survive_a_kill(name: &str, url: &str) {
    let job = MainJob::prepare_slow(name, record_count() / 4, 4, 8).await;
    let start = Start { checkpoints: Some(url.to_owned()), interval_ms: 100, ..Start::default() };
    for _ in 0..2 {
        let mut run = job.start(&start);
        assert!(run.wait(Duration::from_millis(2_500)).is_none(), "it should still read:\n{}", run.log_tail());
        run.kill();
    }
    job.run_to_end(&start);
    job.verify(&start).await;
}

#[tokio::test]
async fn a_second_owner_fences_the_first() {
    let job = MainJob::prepare_slow("fenced", record_count() / 4, 5, 8).await;
    let start = Start { interval_ms: 100, ..Start::default() };
    let mut first = job.start(&start);
    assert!(first.wait(Duration::from_millis(2_500)).is_none(), "it should still read:\n{}", first.log_tail());
    job.run_to_end(&start);
    let status = first.wait(Duration::from_secs(60));
    assert_eq!(status.and_then(|status| status.code()), Some(5), "the first owner:\n{}", first.log_tail());
    job.verify(&start).await;
}
