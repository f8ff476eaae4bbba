//! What is printed, and what the sinks answer.

use super::*;
use crate::{BlackholeConnector, PrintConnector};
use aqueduct_core::conformance::sink::{apply, batch, claim, columns, spec};
use aqueduct_core::json::JsonOptions;
use aqueduct_core::{Connector, ErrorKind as Kind, SourceSpec, TableColumn};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Broken;

impl Write for Broken {
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn encoder() -> JsonEncoder {
    JsonEncoder::new(&TableColumn::schema(&columns()), JsonOptions::default()).unwrap()
}

#[tokio::test]
async fn rows_are_printed_as_json_behind_the_name() {
    let out = Shared::default();
    let written = out.clone();
    let mut sink = PrintSink::new("results", encoder(), move || out.clone());
    assert_eq!(sink.open(&claim(1)).await.unwrap(), Cursor(Epoch::ZERO));
    let batches = vec![batch(&[("a", 1), ("b\"", 2)]), batch(&[("c", 3)])];
    assert_eq!(apply(&mut sink, &claim(1), 0, 1, batches).await.unwrap(), Cursor(Epoch(1)));
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let expected =
        "results> {\"id\":\"a\",\"n\":1}\nresults> {\"id\":\"b\\\"\",\"n\":2}\nresults> {\"id\":\"c\",\"n\":3}\n";
    assert_eq!(text, expected);
    sink.close().await.unwrap();
    assert_eq!(sink.open(&claim(2)).await.unwrap(), Cursor(Epoch::ZERO), "no cursor is kept");
}

#[tokio::test]
async fn a_large_epoch_is_printed_whole() {
    let out = Shared::default();
    let written = out.clone();
    let mut sink = PrintSink::new("t", encoder(), move || out.clone());
    let rows: Vec<(&str, i64)> = (0..20_000).map(|n| ("some-identifier", n)).collect();
    apply(&mut sink, &claim(1), 0, 1, vec![batch(&rows)]).await.unwrap();
    let written = written.0.lock().unwrap();
    assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), rows.len());
}

#[tokio::test]
async fn a_reader_that_has_gone_is_not_waited_for() {
    let mut sink = PrintSink::new("t", encoder(), || Broken);
    let error = apply(&mut sink, &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::FixConfig, "{error}");
}

#[tokio::test]
async fn the_blackhole_takes_everything() {
    let mut sink = BlackholeConnector.sink(&spec("nowhere", &[], false)).unwrap();
    assert_eq!(sink.open(&claim(1)).await.unwrap(), Cursor(Epoch::ZERO));
    for epoch in [3, 9] {
        let cursor = apply(sink.as_mut(), &claim(1), 0, epoch, vec![batch(&[("a", 1)])]).await.unwrap();
        assert_eq!(cursor, Cursor(Epoch(epoch)));
    }
    sink.close().await.unwrap();
}

#[test]
fn options_are_checked_and_reading_is_refused() {
    assert!(PrintConnector.sink(&spec("t", &[("standard-error", "true"), ("print-identifier", "x")], false)).is_ok());
    let error = PrintConnector.sink(&spec("t", &[("standard-error", "yes")], false)).err().unwrap();
    assert!(error.message().contains("standard-error") && error.kind() == Kind::FixConfig, "{error}");
    let source = SourceSpec {
        table: "t".into(),
        options: Default::default(),
        columns: columns(),
        declared: columns(),
        job: "job".into(),
        fail_points: aqueduct_core::FailPoints::default(),
    };
    for connector in [&PrintConnector as &dyn Connector, &BlackholeConnector] {
        let error = connector.source(&source).err().unwrap();
        assert_eq!(error.kind(), Kind::FixConfig);
        assert!(error.message().contains(connector.name()), "{error}");
    }
}
