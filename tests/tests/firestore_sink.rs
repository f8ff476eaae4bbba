//! The Firestore sink against Google's emulator: the laws of `Sink`, whole documents, chunks, and lost answers.
//!
//! Where the emulator is missing, the tests say so and pass over.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_core::conformance::sink::{self as laws, Row, SinkHarness, apply, batch, claim, columns, spec};
use aqueduct_core::{ColumnKind, Connector, Cursor, Epoch, ErrorKind, Options, Sink, SinkSpec, TableColumn};
use aqueduct_firestore::FirestoreConnector;
use aqueduct_tests::services::{Firestore, unique};
use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

struct Harness {
    spec: SinkSpec,
    emulator: &'static Firestore,
}

fn table(emulator: &Firestore, name: &str, more: &[(&str, &str)]) -> SinkSpec {
    let base = [("project-id", emulator.project()), ("emulator-host", emulator.host())];
    spec(name, &[&base, more].concat(), true)
}

fn sink(spec: &SinkSpec) -> Box<dyn Sink> {
    FirestoreConnector.sink(spec).expect("the options are right")
}

fn rows(emulator: &Firestore, collection: &str) -> Vec<Row> {
    let documents = emulator.list_documents(collection).into_iter();
    documents
        .map(|(id, fields)| {
            assert_eq!(fields["id"].as_str(), Some(id.as_str()), "the id is the key");
            Row { id, n: fields["n"].as_i64().expect("a number") }
        })
        .collect()
}

#[async_trait]
impl SinkHarness for Harness {
    fn sink(&self) -> Box<dyn Sink> {
        sink(&self.spec)
    }

    fn keyed(&self) -> bool {
        true
    }

    async fn visible_rows(&self) -> Vec<Row> {
        rows(self.emulator, &self.spec.table)
    }
}

#[tokio::test]
async fn the_laws_hold() {
    let Some(emulator) = Firestore::try_shared() else { return };
    laws::all(async |law| Harness { spec: table(emulator, &unique(law), &[]), emulator }).await;
}

#[tokio::test]
async fn documents_are_whole_and_ids_are_the_keys() {
    let Some(emulator) = Firestore::try_shared() else { return };
    let name = unique("documents");
    let column = |name: &str, data_type, sql_type: &str| TableColumn {
        name: name.into(),
        data_type,
        nullable: true,
        sql_type: sql_type.into(),
        kind: ColumnKind::Physical,
    };
    let columns = vec![
        column("window_start", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), "TIMESTAMP_LTZ(3)"),
        column("size_label", DataType::Utf8, "STRING"),
        column("sizes", DataType::List(Arc::new(Field::new("item", DataType::Int64, true))), "ARRAY<BIGINT>"),
    ];
    let base = [("project-id", emulator.project()), ("emulator-host", emulator.host()), ("collection", name.as_str())];
    let values = base.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let spec = SinkSpec {
        table: name.clone(),
        options: Options::new("metrics", values),
        columns: columns.clone(),
        primary_key: vec![0, 1],
        partitioned_by: vec![],
        fail_points: aqueduct_core::FailPoints::default(),
    };
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from(vec![1_767_225_600_000, 1_767_225_660_500]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["thumb/small", "x_y"])),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None])),
    ];
    let batch = RecordBatch::try_new(TableColumn::schema(&columns), arrays).expect("the arrays fit");
    let mut sink = sink(&spec);
    sink.open(&claim(1)).await.expect("open");
    apply(sink.as_mut(), &claim(1), 0, 1, vec![batch]).await.expect("apply");
    assert_eq!(
        emulator.list_documents(&name),
        [
            (
                "2026-01-01T00:00:00Z_thumb%2Fsmall".to_owned(),
                json!({"window_start": "2026-01-01T00:00:00Z", "size_label": "thumb/small", "sizes": [1, null]})
            ),
            (
                "2026-01-01T00:01:00.500Z_x_y".to_owned(),
                json!({"window_start": "2026-01-01T00:01:00.500Z", "size_label": "x_y", "sizes": null})
            ),
        ]
    );
}

#[tokio::test]
async fn a_document_is_replaced_not_merged() {
    let Some(emulator) = Firestore::try_shared() else { return };
    let name = unique("replaced");
    let mut wide = table(emulator, &name, &[]);
    wide.columns.push(TableColumn { name: "old".into(), ..columns()[1].clone() });
    let mut sink_of_wide = sink(&wide);
    sink_of_wide.open(&claim(1)).await.expect("open");
    let mut arrays = batch(&[("a", 1)]).columns().to_vec();
    arrays.push(Arc::new(Int64Array::from(vec![5])));
    let rows = RecordBatch::try_new(TableColumn::schema(&wide.columns), arrays).expect("the arrays fit");
    apply(sink_of_wide.as_mut(), &claim(1), 0, 1, vec![rows]).await.expect("apply");
    assert_eq!(emulator.list_documents(&name)[0].1, json!({"id": "a", "n": 1, "old": 5}));
    let mut sink = sink(&table(emulator, &name, &[]));
    sink.open(&claim(2)).await.expect("open");
    apply(sink.as_mut(), &claim(2), 1, 2, vec![batch(&[("a", 2)])]).await.expect("apply");
    assert_eq!(emulator.list_documents(&name)[0].1, json!({"id": "a", "n": 2}));
}

/// Rows of the suite's columns and a text.
fn texts(spec: &SinkSpec, rows: &[(&str, i64, &str)]) -> RecordBatch {
    let mut arrays = batch(&rows.iter().map(|(id, n, _)| (*id, *n)).collect::<Vec<_>>()).columns().to_vec();
    arrays.push(Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, _, text)| *text))));
    RecordBatch::try_new(TableColumn::schema(&spec.columns), arrays).expect("the arrays fit")
}

#[tokio::test]
async fn an_epoch_in_chunks_goes_on_where_it_stopped() {
    let Some(emulator) = Firestore::try_shared() else { return };
    let name = unique("chunks");
    let mut spec = table(emulator, &name, &[("sink.max-writes-per-commit", "3")]);
    spec.columns.push(TableColumn { name: "text".into(), ..columns()[0].clone() });
    // No document holds more than 1 MiB: the second chunk is refused.
    let too_large = "x".repeat(1_100_000);
    let mut epoch = [("a", 1, ""), ("b", 2, ""), ("c", 3, ""), ("d", 4, ""), ("e", 5, ""), ("f", 6, ""), ("g", 7, "")];
    epoch[5].2 = &too_large;
    let mut first = sink(&spec);
    first.open(&claim(1)).await.expect("open");
    let error =
        apply(first.as_mut(), &claim(1), 0, 1, vec![texts(&spec, &epoch)]).await.expect_err("a document is too large");
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("epoch 1"), "{error}");
    let fence = |name: &str| {
        let id = format!("conformance-s0-{name}");
        let fence = emulator
            .list_documents("aqueduct_cursors")
            .into_iter()
            .find(|(found, _)| *found == id)
            .expect("the fence")
            .1;
        [fence["epoch"].clone(), fence["pending_epoch"].clone(), fence["pending_documents"].clone()]
    };
    assert_eq!(fence(&name), [json!(0), json!(1), json!(3)]);
    assert_eq!(rows(emulator, &name).len(), 3, "the first chunk can be seen");
    let mut second = sink(&spec);
    assert_eq!(second.open(&claim(2)).await.expect("open"), Cursor(Epoch::ZERO), "a part of an epoch does not count");
    // An epoch never changes; here it does, to see that the first chunk is not written again.
    (epoch[5].2, epoch[0].1) = ("", 99);
    apply(second.as_mut(), &claim(2), 0, 1, vec![texts(&spec, &epoch)]).await.expect("apply");
    let found = rows(emulator, &name);
    assert_eq!((found.len(), found[0].n), (7, 1));
    assert_eq!(fence(&name), [json!(1), json!(0), json!(0)]);
}

#[tokio::test]
async fn an_epoch_larger_than_a_request_goes_in_chunks() {
    let Some(emulator) = Firestore::try_shared() else { return };
    let name = unique("large");
    let mut spec = table(emulator, &name, &[]);
    spec.columns.push(TableColumn { name: "text".into(), ..columns()[0].clone() });
    let text = "x".repeat(900_000);
    let ids: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
    let epoch: Vec<(&str, i64, &str)> = ids.iter().map(|id| (id.as_str(), 1, text.as_str())).collect();
    let mut sink = sink(&spec);
    sink.open(&claim(1)).await.expect("open");
    let cursor = apply(sink.as_mut(), &claim(1), 0, 1, vec![texts(&spec, &epoch)]).await.expect("apply");
    assert_eq!(cursor, Cursor(Epoch(1)));
    assert_eq!(rows(emulator, &name).len(), 25);
}

#[tokio::test]
async fn a_fence_of_another_job_is_not_taken() {
    let Some(emulator) = Firestore::try_shared() else { return };
    // Job "x-s0", shard 1, table "t" and job "x", shard 0, table "s1-t" would share a document.
    let name = unique("t");
    let claim_as = |job: &str, shard| aqueduct_core::Claimed {
        job: aqueduct_core::JobName::new(job).expect("a name"),
        ..laws::claim_of(1, shard, 1)
    };
    sink(&table(emulator, &name, &[])).open(&claim_as("x-s0", 1)).await.expect("open");
    let error =
        sink(&table(emulator, &format!("s1-{name}"), &[])).open(&claim_as("x", 0)).await.expect_err("it is taken");
    assert!(error.kind() == ErrorKind::FixConfig && error.message().contains("job 'x-s0'"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_38_a_late_commit_of_our_own_is_refused_or_counted() {
    let Some(emulator) = Firestore::try_start() else { return };
    let name = unique("late");
    let spec = table(&emulator, &name, &[("request.timeout", "700 ms"), ("connect.timeout", "700 ms")]);
    let mut sink = sink(&spec);
    let mut epoch = 0;
    // The first calls to a cold emulator take longer than the deadline.
    reopen(sink.as_mut()).await;
    for round in 1..=5_i64 {
        emulator.pause();
        // The signal takes a moment: a call may still be answered, and then there is nothing to find out.
        match apply(sink.as_mut(), &claim(1), epoch, epoch + 1, vec![batch(&[("a", round)])]).await {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
            Ok(_) => {
                emulator.resume();
                epoch += 1;
                continue;
            }
        }
        let down = sink.open(&claim(1)).await.expect_err("no answer");
        assert_eq!(down.kind(), ErrorKind::Retry, "{down}");
        // What was sent is carried out now, at about the same time as the fence is taken again.
        emulator.resume();
        let cursor = reopen(sink.as_mut()).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let shown = rows(&emulator, &name).first().map_or(0, |row| row.n);
        let expected = if cursor == epoch + 1 { round } else { round - 1 };
        assert_eq!(shown, expected, "the cursor {cursor} tells what is visible");
        epoch += 1;
        deliver(sink.as_mut(), cursor, epoch, batch(&[("a", round)])).await;
        assert_eq!(rows(&emulator, &name), [Row { id: "a".into(), n: round }]);
    }
}

/// Opens until it works; nothing but a retry may come in between.
async fn reopen(sink: &mut dyn Sink) -> u64 {
    loop {
        match sink.open(&claim(1)).await {
            Ok(cursor) => return cursor.0.0,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
    }
}

/// As the engine does: applies what comes after the cursor, and asks for the cursor after a retry.
async fn deliver(sink: &mut dyn Sink, mut cursor: u64, epoch: u64, rows: RecordBatch) {
    while cursor < epoch {
        match apply(sink, &claim(1), cursor, epoch, vec![rows.clone()]).await {
            Ok(applied) => cursor = applied.0.0,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                cursor = reopen(sink).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emulator_that_is_gone_is_worth_a_retry() {
    let Some(emulator) = Firestore::try_start() else { return };
    let mut sink = sink(&table(&emulator, "t", &[]));
    sink.open(&claim(1)).await.expect("open");
    apply(sink.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.expect("apply");
    emulator.kill();
    let error = apply(sink.as_mut(), &claim(1), 1, 2, vec![batch(&[("a", 2)])]).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    let error = sink.open(&claim(1)).await.expect_err("it is gone");
    assert!(error.kind() == ErrorKind::Retry && error.message().contains(emulator.host()), "{error}");
    emulator.restart();
    // Its memory is gone too: the sink's own cursor is the truth, and says so.
    assert_eq!(sink.open(&claim(1)).await.expect("open"), Cursor(Epoch::ZERO));
}
