//! Rows 24, 26 and 27: a topic that comes back as another, records that poison, partitions that fall silent.

use super::*;
use aqueduct_tests::main_job::Expected;
use aqueduct_tests::services::Record;
use aqueduct_tests::watch::{Watch, number};

/// Records that no schema foresees. All but the last ones are dead letters.
fn poison() -> Vec<Record> {
    let time = "2026-01-01T00:00:01Z";
    let nested = format!("{{\"timestamp\":\"{time}\",\"x\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let mut values: Vec<Vec<u8>> = [
        "",
        "null",
        "[]",
        "{",
        "not json at all",
        r#"{"timestamp":"2026-01-01T00:00:01Z","size_bytes":{"is":"an object"}}"#,
        r#"{"timestamp":"2026-01-01T00:00:01Z","size_bytes":"99999999999999999999999"}"#,
        r#"{"timestamp":true}"#,
        r#"{"timestamp":"2026-02-30T00:00:00Z"}"#,
        r#"{"size_label":"no time at all"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    values.push(b"\xff\xfe\x00\x01".to_vec());
    values.push(nested.into_bytes());
    // Ten MiB, less what the batch around it takes; well formed, so that it counts.
    let padding = "x".repeat((10 << 20) - 200);
    values
        .push(format!(r#"{{"timestamp":"{time}","size_label":"large","size_bytes":1,"p":"{padding}"}}"#).into_bytes());
    let mut records: Vec<Record> = values.into_iter().map(Record::value).collect();
    records.push(Record { key: Some(b"tombstone".to_vec()), value: None, timestamp_ms: None });
    records.push(Record { key: None, ..Record::value(format!(r#"{{"timestamp":"{time}","size_label":"no key"}}"#)) });
    records
}

#[tokio::test]
async fn row_26_poison_records_leave_by_the_dead_letter_exit_and_stop_nothing() {
    let mut job = MainJob::prepare("row-26", 3_000, 31).await;
    let before = job.oracle.ledger.dead;
    job.add(0, poison(), Expected::ByOracle);
    job.add(3, poison(), Expected::ByOracle);
    assert!(job.oracle.ledger.dead >= before + 20, "the oracle takes them for dead letters");
    completes(&job, &Start::default()).await;
}

#[tokio::test]
async fn row_26_a_record_ten_years_ahead_can_be_kept_from_the_watermark() {
    let mut job = MainJob::prepare("row-26-future", 3_000, 32).await;
    // The record's own time in Kafka is the witness; both are in the log, so a replay says the same.
    job.edit(
        "    WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '5' SECOND\n",
        "    produced_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',\n    \
         event_time AS CASE WHEN `timestamp` <= produced_at + INTERVAL '1' DAY THEN `timestamp` END,\n    \
         WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND\n",
    );
    job.edit("SELECT\n    `timestamp`,\n", "SELECT\n    event_time AS `timestamp`,\n");
    let ahead = |n: i64| Record {
        timestamp_ms: Some(1_767_225_600_000 + n),
        ..Record::value(r#"{"timestamp":"2036-01-01T00:00:00Z","size_label":"ahead","size_bytes":1}"#)
    };
    job.add(0, (0..5).map(ahead).collect(), Expected::Dead);
    // The partition goes on where it was: these are not late.
    let last = *job.oracle.rows.keys().map(|(start, _)| start).max().unwrap();
    let after = |n: i64| {
        let at = chrono::DateTime::from_timestamp_millis(last + 120_000 + n).unwrap();
        let text = format!(r#"{{"timestamp":"{}","size_label":"after","size_bytes":1}}"#, at.to_rfc3339());
        Record { timestamp_ms: Some(last + 120_000 + n), ..Record::value(text) }
    };
    let late = job.oracle.ledger.late;
    job.add(0, (0..5).map(after).collect(), Expected::ByOracle);
    assert_eq!(job.oracle.ledger.late, late);
    completes(&job, &Start::default()).await;
}

#[tokio::test]
async fn row_24_a_topic_that_is_recreated_under_a_running_job_stops_it() {
    let job = MainJob::prepare("row-24", 3_000, 34).await;
    job.edit("    'scan.bounded.mode' = 'latest-offset',\n", "");
    let mut start = Start { more: vec!["-D".into(), "aqueduct.discovery.interval=500 ms".into()], ..Start::default() };
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until(&mut run, PATIENCE, "all records", |status| number(status, "run_records") == job.oracle.ledger.read);
    let kafka = &job.stage.kafka;
    // The job does not see the moment in which there is no topic, or one without records.
    run.signal(libc::SIGSTOP);
    kafka.delete_topic(&job.name);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while std::panic::catch_unwind(|| kafka.create_topic(&job.name, 4)).is_err() {
        assert!(std::time::Instant::now() < deadline, "the old topic stays");
    }
    // Longer than before: the offsets that the job stands at exist again, with other records behind them.
    let other = |n: i64| Record::value(format!(r#"{{"timestamp":"2026-01-01T00:00:00Z","size_bytes":{n}}}"#));
    (0..4).for_each(|partition| kafka.produce(&job.name, partition, (0..3_000).map(other)));
    run.signal(libc::SIGCONT);
    ends_with(&mut run, DATA);
    let said = run.last_words();
    assert!(said.contains("not the same input") && said.contains(&job.name), "{said}");
}

#[tokio::test]
async fn row_27_an_idle_partition_holds_no_window_back() {
    // The last partition of the topic has never had a record.
    let job = MainJob::prepare("row-27", 60_000, 33).await;
    job.edit("    'scan.bounded.mode' = 'latest-offset',\n", "");
    let mut start = Start { more: vec!["-D".into(), "table.exec.source.idle-timeout=1 s".into()], ..Start::default() };
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    // The newest windows stay open: nothing says that their time is over.
    let closed = job.oracle.rows.keys().map(|(start, _)| *start).max().unwrap() - 2 * 60_000;
    let expected: Vec<_> = job.oracle.rows.iter().filter(|((start, _), _)| *start <= closed).collect();
    assert!(expected.len() > 20);
    watch.until(&mut run, PATIENCE, "all windows that the other partitions have passed", |status| {
        let source = &status["sources"][0];
        source["watermark_ms"].as_i64().is_some_and(|at| at > closed + 60_000)
            && source["splits"].as_array().is_some_and(|splits| splits.iter().any(|split| split["idle"] == true))
    });
    let begin = std::time::Instant::now();
    loop {
        let found = job.postgres_rows().await;
        assert!(found.iter().all(|(key, metrics)| job.oracle.rows.get(key) == Some(metrics)), "{found:?}");
        if expected.iter().all(|(key, _)| found.contains_key(*key)) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{} of {} rows", found.len(), expected.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    run.signal(libc::SIGTERM);
    ends_with(&mut run, Some(0));
}
