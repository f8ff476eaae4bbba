//! Rows 5 to 11: the checkpoint store loses replies, fails after it has done its work, holds requests back, says 409 and 429, and
//! is slow.

use super::*;
use aqueduct_tests::services::gcs::{Fault, FaultKind};
use aqueduct_tests::services::proxy::{Act, Rule, Weather};
use aqueduct_tests::services::{Gcs, Proxy, S3};
use aqueduct_tests::watch::{Watch, number};

/// A job with checkpoints in the shared stand-in, and what its log records' names hold.
async fn job(name: &str) -> (MainJob, Start, String) {
    let job = MainJob::prepare_slow(name, 20_000, 21, SLOW).await;
    let start = Start { checkpoints: Some(Gcs::shared().url("checkpoints")), interval_ms: 200, ..Start::default() };
    let log = format!("checkpoints/{}/L1/s0/log/", job.name);
    (job, start, log)
}

/// The job reads back after each of these faults and goes on: no epoch is lost, and it does not think that it is fenced.
async fn reads_back(name: &str, kind: FaultKind, times: u32) {
    let (job, mut start, log) = job(name).await;
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until_sealing(&mut run);
    for round in 1..=3 {
        Gcs::shared().inject(Fault::new(kind, "PUT", &log, times));
        watch.until(&mut run, PATIENCE, "a create that had to be read back", |status| {
            number(&status["checkpoint"], "put_readbacks") >= round
        });
    }
    finishes(&job, &mut run, &start).await;
}

#[tokio::test]
async fn row_05_a_lost_reply_to_a_commit_is_read_back() {
    reads_back("row-05", FaultKind::DropReply, 1).await;
}

#[tokio::test]
async fn row_06_a_503_after_the_commit_was_applied_is_read_back() {
    reads_back("row-06", FaultKind::FailAfter(503), 2).await;
}

#[tokio::test]
async fn row_09_a_burst_of_429_on_one_object_only_costs_time() {
    let (job, mut start, log) = job("row-09").await;
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until_sealing(&mut run);
    let before = number(&watch.status().unwrap()["checkpoint"], "epoch");
    Gcs::shared().inject(Fault::new(FaultKind::FailBefore(429), "PUT", &log, 5));
    watch.until(&mut run, PATIENCE, "epochs after the burst", |status| {
        number(&status["checkpoint"], "epoch") > before + 2
    });
    finishes(&job, &mut run, &start).await;
}

#[tokio::test]
async fn row_07_a_commit_that_lands_late_loses_against_the_new_owners_claim() {
    let (job, mut start, log) = job("row-07").await;
    let mut first = {
        let watch = Watch::on(&mut start);
        let mut run = job.start(&start);
        watch.until_sealing(&mut run);
        Gcs::shared().inject(Fault::new(FaultKind::Delay(8_000), "PUT", &log, 1));
        // Its next commit is on its way for eight seconds: no epoch is sealed meanwhile.
        let mut last = (0, std::time::Instant::now());
        watch.until(&mut run, PATIENCE, "a commit that hangs", |status| {
            let epoch = number(&status["checkpoint"], "epoch");
            if epoch != last.0 {
                last = (epoch, std::time::Instant::now());
            }
            last.1.elapsed() > Duration::from_secs(2)
        });
        run
    };
    start.more.clear();
    let watch = Watch::on(&mut start);
    let mut second = job.start(&start);
    watch.until_sealing(&mut second);
    ends_with(&mut first, FENCED);
    finishes(&job, &mut second, &start).await;
}

#[tokio::test]
async fn row_08_a_409_that_means_nothing_landed_is_not_taken_for_a_lost_race() {
    let Some(s3) = S3::try_shared() else { return };
    let job = MainJob::prepare_slow("row-08", 20_000, 22, SLOW).await;
    let endpoint = s3.address().endpoint.trim_start_matches("http://").to_owned();
    let proxy = Proxy::start(&endpoint);
    let address = format!("http://{}", proxy.host());
    let env = [("AWS_ENDPOINT_URL", address.clone()), ("AWS_ENDPOINT", address)];
    let mut start = Start { checkpoints: Some(s3.url("row-08")), interval_ms: 200, ..Start::default() };
    start.env.extend(env.map(|(name, value)| (name.to_owned(), value)));
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until_sealing(&mut run);
    let body = "<Error><Code>ConditionalRequestConflict</Code><Message>try again</Message></Error>";
    let answer = format!(
        "HTTP/1.1 409 Conflict\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let is_commit = |piece: &[u8]| {
        let head = String::from_utf8_lossy(piece).to_ascii_lowercase();
        head.starts_with("put ") && head.contains("/log/") && head.contains("if-none-match")
    };
    proxy.add(Rule::new(Act::Answer(answer.into_bytes()), is_commit).times(3));
    watch.until(&mut run, PATIENCE, "three conflicts", |_| proxy.struck() >= 3);
    let before = number(&watch.status().unwrap()["checkpoint"], "epoch");
    watch.until(&mut run, PATIENCE, "epochs after them", |status| number(&status["checkpoint"], "epoch") > before + 1);
    finishes(&job, &mut run, &start).await;
}

#[tokio::test]
async fn row_11_a_store_of_50_kb_per_second_holds_nothing_up() {
    let (job, mut start, _) = job("row-11").await;
    let proxy = Proxy::start(Gcs::shared().endpoint().trim_start_matches("http://"));
    let env = Gcs::env_of(&format!("http://{}", proxy.host()));
    start.env.extend(env.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until_sealing(&mut run);
    proxy.weather(Weather { bytes_per_second: Some(50_000), ..Weather::default() });
    let before = watch.status().unwrap();
    let records = number(&before, "run_records");
    watch.until(&mut run, PATIENCE, "reading and sealing go on", |status| {
        number(&status["checkpoint"], "epoch") > number(&before["checkpoint"], "epoch") + 2
            && number(status, "run_records") > records
    });
    finishes(&job, &mut run, &start).await;
}
