//! The bucket sink's laws over a real S3 server. A file of its own: S3's keys come from the environment of the process.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_bucket::FilesystemConnector;
use aqueduct_bucket::reader::read_sink;
use aqueduct_core::conformance::sink::{self as laws, Row, SinkHarness, all, claim, spec};
use aqueduct_core::{Connector, ErrorKind, Sink, SinkSpec};
use aqueduct_tests::services::S3;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use std::time::Duration;

struct Table {
    spec: SinkSpec,
    keyed: bool,
}

#[async_trait]
impl SinkHarness for Table {
    fn sink(&self) -> Box<dyn Sink> {
        FilesystemConnector.sink(&self.spec).unwrap()
    }

    fn keyed(&self) -> bool {
        self.keyed
    }

    async fn visible_rows(&self) -> Vec<Row> {
        let batches = read_sink(&self.spec).await.unwrap();
        let rows = batches.iter().flat_map(|batch| {
            let (ids, numbers) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
            (0..batch.num_rows()).map(|row| Row { id: ids.value(row).to_owned(), n: numbers.value(row) })
        });
        rows.collect()
    }
}

fn set(name: &str, value: &str) {
    // SAFETY: this binary has one test, and no other thread reads the environment while it sets it.
    unsafe { std::env::set_var(name, value) };
}

#[tokio::test]
async fn the_laws_hold_on_s3() {
    let Some(s3) = S3::try_shared() else { return };
    let address = s3.address();
    set("AWS_ACCESS_KEY_ID", &address.access_key);
    set("AWS_SECRET_ACCESS_KEY", &address.secret_key);
    set("AWS_ENDPOINT_URL", &address.endpoint);
    let make = |path: &str, options: &[(&str, &str)]| {
        let path = format!("s3://{}/{path}", address.bucket);
        let mut values = vec![("path", path.as_str()), ("format", "json")];
        values.extend(options);
        let keyed = options.iter().any(|(_, value)| *value == "object-per-row");
        Table { spec: spec("t", &values, keyed), keyed }
    };
    // The server listens before its bucket is made.
    for _ in 0..100 {
        if make("ready", &[]).sink().open(&claim(1)).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    all(async |law| make(&format!("parts/{law}"), &[("format", "parquet")])).await;
    let per_row = [("sink.layout", "object-per-row"), ("sink.object-name", "rows/{id}.json")];
    laws::last_row_of_a_key_wins(&make("rows/last", &per_row)).await;
    laws::lower_generation_is_fenced(&make("rows/lower", &per_row)).await;
    laws::new_lineage_starts_at_zero(&make("rows/lineage", &per_row)).await;

    let missing = spec("t", &[("path", "s3://no-such-bucket/x"), ("format", "json")], false);
    let error = FilesystemConnector.sink(&missing).unwrap().open(&claim(1)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::FixConfig && error.message().contains("no-such-bucket"), "{error}");
    set("AWS_SECRET_ACCESS_KEY", "wrong");
    let error = make("wrong", &[]).sink().open(&claim(1)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::FixConfig && error.message().contains("credentials"), "{error}");
}
