//! Every type of the job's tables in a real Postgres: what a reader finds there, also for NULL.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_core::conformance::sink::{apply, claim};
use aqueduct_core::{ColumnKind, Connector, Options, SinkSpec, TableColumn};
use aqueduct_postgres::PostgresConnector;
use aqueduct_tests::services::Postgres;
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::record_batch::RecordBatch;
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

fn column(name: &str, data_type: DataType, sql_type: &str) -> TableColumn {
    TableColumn { name: name.into(), data_type, nullable: true, sql_type: sql_type.into(), kind: ColumnKind::Physical }
}

/// Every type twice: a value and a null. With what Postgres shows of them.
fn every_type() -> Vec<(TableColumn, ArrayRef, &'static str, &'static str)> {
    let millis = 1_767_225_600_250_i64;
    let utc = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    let inner: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let row_fields = vec![Arc::new(Field::new("a", DataType::Int64, true))];
    let row = StructArray::new(row_fields.clone().into(), vec![inner], Some(vec![true, false].into()));
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let list = ListArray::new(
        item.clone(),
        OffsetBuffer::new(vec![0, 2, 2].into()),
        Arc::new(StringArray::from(vec![Some("x"), None])),
        Some(vec![true, false].into()),
    );
    let fields = [Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)].map(Arc::new);
    let entries = Arc::new(Field::new("entries", DataType::Struct(fields.to_vec().into()), false));
    let pairs: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["k"])), Arc::new(Int64Array::from(vec![7]))];
    let pairs = StructArray::new(fields.to_vec().into(), pairs, None);
    let nulls = Some(vec![true, false].into());
    let map = MapArray::new(entries.clone(), OffsetBuffer::new(vec![0, 1, 1].into()), pairs, nulls, false);
    let decimal =
        Decimal128Array::from(vec![Some(12_345_678_901_234_567_890_123_i128), None]).with_precision_and_scale(30, 3);
    let decimal = decimal.expect("it fits");
    vec![
        (column("i8", DataType::Int8, "TINYINT"), Arc::new(Int8Array::from(vec![Some(-8), None])), "smallint", "-8"),
        (
            column("i16", DataType::Int16, "SMALLINT"),
            Arc::new(Int16Array::from(vec![Some(16), None])),
            "smallint",
            "16",
        ),
        (column("i32", DataType::Int32, "INT"), Arc::new(Int32Array::from(vec![Some(32), None])), "bigint", "32"),
        (
            column("i64", DataType::Int64, "BIGINT"),
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None])),
            "numeric",
            "9223372036854775807",
        ),
        (column("f32", DataType::Float32, "FLOAT"), Arc::new(Float32Array::from(vec![Some(0.5), None])), "real", "0.5"),
        (
            column("f64", DataType::Float64, "DOUBLE"),
            Arc::new(Float64Array::from(vec![Some(f64::NEG_INFINITY), None])),
            "double precision",
            "-Infinity",
        ),
        (
            column("flag", DataType::Boolean, "BOOLEAN"),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            "boolean",
            "true",
        ),
        (
            column("text", DataType::Utf8, "STRING"),
            Arc::new(StringArray::from(vec![Some("it's \"é\", {x}\\"), None])),
            "text",
            "it's \"é\", {x}\\",
        ),
        (
            column("short", DataType::Utf8, "STRING"),
            Arc::new(StringArray::from(vec![Some("abc"), None])),
            "varchar(3)",
            "abc",
        ),
        (
            column("json", DataType::Utf8, "STRING"),
            Arc::new(StringArray::from(vec![Some("{\"b\": [1, null]}"), None])),
            "jsonb",
            "{\"b\": [1, null]}",
        ),
        (
            column("id", DataType::Utf8, "STRING"),
            Arc::new(StringArray::from(vec![Some("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), None])),
            "uuid",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (
            column("mood", DataType::Utf8, "STRING"),
            Arc::new(StringArray::from(vec![Some("calm"), None])),
            "mood",
            "calm",
        ),
        (
            column("price", DataType::Decimal128(30, 3), "DECIMAL(30, 3)"),
            Arc::new(decimal),
            "numeric(30, 3)",
            "12345678901234567890.123",
        ),
        (
            column("ltz", utc(TimeUnit::Millisecond), "TIMESTAMP_LTZ(3)"),
            Arc::new(TimestampMillisecondArray::from(vec![Some(millis), None]).with_timezone("UTC")),
            "timestamptz",
            "2026-01-01 00:00:00.25+00",
        ),
        (
            column("nano", utc(TimeUnit::Nanosecond), "TIMESTAMP_LTZ(9)"),
            Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None]).with_timezone("UTC")),
            "timestamptz",
            "1969-12-31 23:59:59.999999+00",
        ),
        (
            column("plain", DataType::Timestamp(TimeUnit::Microsecond, None), "TIMESTAMP(6)"),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(millis * 1_000 + 1), None])),
            "timestamp",
            "2026-01-01 00:00:00.250001",
        ),
        (
            column("zoned", DataType::Timestamp(TimeUnit::Millisecond, None), "TIMESTAMP(3)"),
            Arc::new(TimestampMillisecondArray::from(vec![Some(millis), None])),
            "timestamptz",
            "2026-01-01 00:00:00.25+00",
        ),
        (
            column("day", DataType::Date32, "DATE"),
            Arc::new(Date32Array::from(vec![Some(20_454), None])),
            "date",
            "2026-01-01",
        ),
        (
            column("clock", DataType::Time32(TimeUnit::Millisecond), "TIME"),
            Arc::new(Time32MillisecondArray::from(vec![Some(3_661_005), None])),
            "time",
            "01:01:01.005",
        ),
        (
            column("raw", DataType::Binary, "BYTES"),
            Arc::new(BinaryArray::from(vec![Some(&b"\0\xff"[..]), None])),
            "bytea",
            "\\x00ff",
        ),
        (column("row", DataType::Struct(row_fields.into()), "ROW<a BIGINT>"), Arc::new(row), "jsonb", "{\"a\": 1}"),
        (column("list", DataType::List(item), "ARRAY<STRING>"), Arc::new(list), "jsonb", "[\"x\", null]"),
        (column("map", DataType::Map(entries, false), "MAP<STRING, BIGINT>"), Arc::new(map), "json", "{\"k\":7}"),
    ]
}

#[tokio::test]
async fn every_type_and_its_null_arrive() {
    let server = Postgres::shared();
    let database = server.create_database("types").await;
    let mut connection = server.connect(&database).await;
    let columns = every_type();
    let ddl: Vec<String> = columns.iter().map(|(column, _, sql, _)| format!("\"{}\" {sql}", column.name)).collect();
    let create = format!("CREATE TYPE mood AS ENUM ('calm'); CREATE TABLE t ({})", ddl.join(", "));
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.expect("the table is created");
    let url = server.url(&database);
    for (table, create) in [("t", "false"), ("made", "true")] {
        let access = [("url", url.as_str()), ("username", server.user()), ("password", server.password())];
        let values = access.into_iter().chain([("sink.create-table", create)]);
        let spec = SinkSpec {
            table: table.into(),
            options: Options::new(table, values.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            columns: columns.iter().map(|(column, ..)| column.clone()).collect(),
            primary_key: vec![],
            partitioned_by: vec![],
            fail_points: aqueduct_core::FailPoints::default(),
        };
        let arrays = columns.iter().map(|(_, array, ..)| array.clone()).collect();
        let batch = RecordBatch::try_new(TableColumn::schema(&spec.columns), arrays).expect("the arrays fit");
        let mut sink = PostgresConnector.sink(&spec).expect("the options are right");
        sink.open(&claim(1)).await.expect("open");
        apply(sink.as_mut(), &claim(1), 0, 1, vec![batch]).await.expect("apply");
    }
    let made = "SELECT count(*) AS n FROM information_schema.columns WHERE table_name = 'made'";
    let made: i64 = sqlx::query(made).fetch_one(&mut connection).await.expect("it can be read").get("n");
    assert_eq!(made, columns.len() as i64);
    for (column, _, _, expected) in &columns {
        let sql = format!("SELECT \"{}\"::text AS value FROM t", column.name);
        let found: Vec<Option<String>> = sqlx::query(AssertSqlSafe(sql))
            .fetch_all(&mut connection)
            .await
            .expect("a value")
            .iter()
            .map(|row| row.get("value"))
            .collect();
        assert_eq!(found, [Some((*expected).to_owned()), None], "column {}", column.name);
    }
}
