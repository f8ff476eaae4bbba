//! Reading back: types, folders, foreign folders, many small files.

use super::*;
use crate::sink::FilesystemSink;
use aqueduct_core::conformance::sink::{apply, claim};
use aqueduct_core::{ColumnKind, ErrorKind, Options, Sink};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    MapBuilder, StringArray, StringBuilder, StructArray, Time32MillisecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use std::time::{Duration, Instant};

fn column(name: &str, data_type: DataType) -> TableColumn {
    TableColumn {
        name: name.into(),
        sql_type: data_type.to_string(),
        data_type,
        nullable: true,
        kind: ColumnKind::Physical,
    }
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn spec(format: &str, columns: Vec<TableColumn>) -> SinkSpec {
    let values = [("path", "gs://my-bucket/t"), ("format", format)];
    let values = values.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    SinkSpec {
        table: "t".into(),
        options: Options::new("t", values),
        columns,
        primary_key: vec![],
        partitioned_by: vec![],
        fail_points: aqueduct_core::FailPoints::default(),
    }
}

fn read_spec(spec: &SinkSpec) -> ReadSpec {
    let config = SinkConfig::new(spec).unwrap();
    let TableConfig { format, json, path, .. } = config.common;
    ReadSpec { columns: config.columns, format, json, object_names: None, address: path }
}

async fn write(store: &Arc<dyn ObjectStore>, spec: &SinkSpec, epochs: Vec<Vec<RecordBatch>>) {
    let mut sink = FilesystemSink::over(SinkConfig::new(spec).unwrap(), store.clone(), Path::ROOT).unwrap();
    sink.open(&claim(1)).await.unwrap();
    for (after, batches) in (0..).zip(epochs) {
        apply(&mut sink, &claim(1), after, after + 1, batches).await.unwrap();
    }
}

/// A value and a null of every type.
fn every_type() -> Vec<(TableColumn, ArrayRef)> {
    let mut map = MapBuilder::new(
        Some(arrow::array::MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() }),
        StringBuilder::new(),
        arrow::array::Int64Builder::new(),
    );
    map.keys().append_value("k");
    map.values().append_value(7);
    map.append(true).unwrap();
    map.append(false).unwrap();
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![Some(4), None]));
    let row = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int32, true)), inner)]);
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let arrays: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(StringArray::from(vec![Some("größe \"x\""), None]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![Some(1_767_225_600_250), None]).with_timezone("UTC"))),
        ("local", Arc::new(TimestampNanosecondArray::from(vec![Some(1_767_225_600_123_456_000), None]))),
        ("long", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
        ("real", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("money", Arc::new(Decimal128Array::from(vec![Some(-12_345), None]).with_precision_and_scale(12, 2).unwrap())),
        ("day", Arc::new(Date32Array::from(vec![Some(20_454), None]))),
        ("clock", Arc::new(Time32MillisecondArray::from(vec![Some(86_399_999), None]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
        ("row", Arc::new(row)),
        ("list", Arc::new(list)),
        ("map", Arc::new(map.finish())),
    ];
    arrays.into_iter().map(|(name, array)| (column(name, array.data_type().clone()), array)).collect()
}

#[tokio::test]
async fn every_type_comes_back() {
    for format in ["json", "parquet"] {
        let (columns, arrays): (Vec<_>, Vec<_>) = every_type().into_iter().unzip();
        let spec = spec(format, columns);
        let batch = RecordBatch::try_new(TableColumn::schema(&spec.columns), arrays).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        write(&store, &spec, vec![vec![batch.clone()]]).await;
        let found = read_table(&store, &Path::ROOT, &read_spec(&spec)).await.unwrap();
        assert_eq!(found.len(), 1);
        for (index, column) in spec.columns.iter().enumerate() {
            assert_eq!(found[0].column(index), batch.column(index), "{format}: {}", column.name);
        }
    }
}

#[tokio::test]
async fn parquet_bytes_do_not_depend_on_batches_and_times_are_micros_at_most() {
    let (columns, arrays): (Vec<_>, Vec<_>) = every_type().into_iter().unzip();
    let spec = spec("parquet", columns);
    let whole = RecordBatch::try_new(TableColumn::schema(&spec.columns), arrays).unwrap();
    let mut files = vec![];
    for batches in [vec![whole.clone()], vec![whole.slice(0, 1), whole.slice(1, 1)]] {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        write(&store, &spec, vec![batches]).await;
        let names = list(&store, &Path::ROOT, "t").await.unwrap();
        let mut parts: Vec<_> = names.into_iter().filter(|(name, _)| name.starts_with("dt=")).collect();
        parts.sort();
        let mut bytes = vec![];
        for (name, _) in parts {
            let found = store.get(&Path::parse(&name).unwrap()).await.unwrap();
            bytes.push((name, found.bytes().await.unwrap()));
        }
        files.push(bytes);
    }
    assert_eq!(files[0], files[1]);
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(files[0][0].1.clone()).unwrap();
    let local = reader.schema().field_with_name("local").unwrap().data_type().clone();
    assert_eq!(local, DataType::Timestamp(TimeUnit::Microsecond, None));
    assert_eq!(reader.metadata().num_row_groups(), 1);
    assert_eq!(reader.metadata().file_metadata().key_value_metadata(), None);
}

fn minutes(first: i64, count: i64) -> RecordBatch {
    let schema = TableColumn::schema(&[column("window_start", time()), column("n", DataType::Int64)]);
    let at = (first..first + count).map(|minute| 1_767_225_600_000 + minute * 60_000);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from_iter_values(at).with_timezone("UTC")),
        Arc::new(Int64Array::from_iter_values(first..first + count)),
    ];
    RecordBatch::try_new(schema, arrays).unwrap()
}

#[tokio::test]
async fn a_day_of_minutes_is_read_in_under_a_second() {
    for format in ["json", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let spec = spec(format, vec![column("window_start", time()), column("n", DataType::Int64)]);
        write(&store, &spec, (0..1_440).map(|minute| vec![minutes(minute, 1)]).collect()).await;
        let begin = Instant::now();
        let found = read_table(&store, &Path::ROOT, &read_spec(&spec)).await.unwrap();
        let took = begin.elapsed();
        assert_eq!(found.len(), 1, "many small files make one batch");
        assert_eq!(found[0], minutes(0, 1_440), "{format}: in the order of their hours and epochs");
        assert!(took < Duration::from_secs(1), "{format}: {took:?}");
        let hours = std::fs::read_dir(folder.path().join("dt=2026-01-01")).unwrap().count();
        assert_eq!(hours, 24);
    }
}

#[tokio::test]
async fn partitioned_columns_come_back_from_the_folders() {
    for format in ["json", "parquet"] {
        let mut spec = spec(format, vec![column("window_start", time()), column("n", DataType::Int64)]);
        spec.partitioned_by = vec![0];
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        write(&store, &spec, vec![vec![minutes(0, 3)]]).await;
        let found = read_table(&store, &Path::ROOT, &read_spec(&spec)).await.unwrap();
        assert_eq!(found, [minutes(0, 3)], "{format}");
    }
}

#[tokio::test]
async fn without_a_ledger_every_file_counts_and_with_one_only_committed_files() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let spec = spec("json", vec![column("n", DataType::Int64), column("region", DataType::Utf8)]);
    for (name, text) in [
        ("a.json", "{\"n\":1,\"region\":\"x\"}\r\n\n{\"n\":\"2\"}"),
        ("region=eu%2Fw/b.jsonl", "{\"n\":3}\n"),
        ("region=__HIVE_DEFAULT_PARTITION__/c.json", "{\"n\":4}\n"),
        ("_tmp/d.json", "{\"n\":5}\n"),
        (".hidden.json", "{\"n\":6}\n"),
        ("readme.txt", "no"),
    ] {
        store.put(&Path::parse(name).unwrap(), text.into()).await.unwrap();
    }
    let read = async || {
        let batches = read_table(&store, &Path::ROOT, &read_spec(&spec)).await.unwrap();
        let text = |batch: &RecordBatch, row: usize| {
            let cell = |column: usize| aqueduct_core::json::text_value(batch.column(column).as_ref(), row);
            (cell(0).unwrap(), cell(1))
        };
        batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| text(batch, row)).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let row = |n: &str, region: Option<&str>| (n.to_owned(), region.map(str::to_owned));
    let expected = [row("1", Some("x")), row("2", None), row("4", None), row("3", Some("eu/w"))];
    assert_eq!(read().await, expected);
    store.put(&Path::from("_committed/j-L1-s0/claim-000000000001.json"), "{}".into()).await.unwrap();
    assert_eq!(read().await, []);
}

#[tokio::test]
async fn broken_files_are_named() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    store.put(&Path::from("a.json"), "{\"n\":1}\n{\"n\":".into()).await.unwrap();
    store.put(&Path::from("b.parquet"), "PAR1nonsensePAR1".into()).await.unwrap();
    for (format, parts) in
        [("json", ["gs://my-bucket/t/a.json", "line 2"]), ("parquet", ["gs://my-bucket/t/b.parquet", "Parquet"])]
    {
        let spec = spec(format, vec![column("n", DataType::Int64)]);
        let error = read_table(&store, &Path::ROOT, &read_spec(&spec)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixData);
        assert!(parts.iter().all(|part| error.message().contains(part)), "{error}");
    }
}

#[tokio::test]
async fn an_empty_folder_has_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec("json", vec![column("n", DataType::Int64)]);
    let path = folder.path().join("none").to_str().unwrap().to_owned();
    spec.options = Options::new("t", [("path".to_owned(), path), ("format".to_owned(), "json".to_owned())].into());
    assert_eq!(read_sink(&spec).await.unwrap(), []);
    assert!(!folder.path().join("none").exists(), "a question creates nothing");
}
