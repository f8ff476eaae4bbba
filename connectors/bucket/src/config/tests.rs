//! Options: what is accepted, and what the refusals say.

use super::*;
use aqueduct_core::{ColumnKind, ErrorKind};
use arrow::datatypes::TimeUnit;

fn column(name: &str, data_type: DataType) -> TableColumn {
    TableColumn {
        name: name.into(),
        sql_type: format!("{data_type}"),
        data_type,
        nullable: true,
        kind: ColumnKind::Physical,
    }
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn spec(options: &[(&str, &str)]) -> SinkSpec {
    let defaults = [("path", "gs://bucket/results/"), ("format", "json")];
    let values = defaults.iter().chain(options).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    SinkSpec {
        table: "t".into(),
        options: Options::new("t", values),
        columns: vec![
            column("label", DataType::Utf8),
            column("seen_at", time()),
            column("window_start", time()),
            column("n", DataType::Int64),
        ],
        primary_key: vec![0, 2],
        partitioned_by: vec![],
        fail_points: aqueduct_core::FailPoints::default(),
    }
}

fn layout(spec: &SinkSpec) -> Layout {
    SinkConfig::new(spec).unwrap().layout
}

fn refused(spec: &SinkSpec, parts: &[&str]) {
    let error = SinkConfig::new(spec).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig);
    assert!(error.message().contains("'t'"), "the table is named: {error}");
    for part in parts {
        assert!(error.message().contains(part), "'{part}' is missing in: {error}");
    }
}

#[test]
fn the_partition_time_column_is_chosen() {
    let mut keyed = spec(&[]);
    assert_eq!(layout(&keyed), Layout::Epoch(Folders::Hour(2)), "the key's first");
    keyed.primary_key = vec![];
    assert_eq!(layout(&keyed), Layout::Epoch(Folders::Hour(1)), "else the first");
    assert_eq!(layout(&spec(&[("sink.partition-time-column", "seen_at")])), Layout::Epoch(Folders::Hour(1)));
    assert_eq!(layout(&spec(&[("sink.partition-time-column", "none")])), Layout::Epoch(Folders::Flat));
    keyed.columns.retain(|column| !matches!(column.data_type, DataType::Timestamp(_, _)));
    assert_eq!(layout(&keyed), Layout::Epoch(Folders::Flat), "no time, no folders");
    refused(&spec(&[("sink.partition-time-column", "n")]), &["sink.partition-time-column", "TIMESTAMP"]);
}

#[test]
fn partitioned_by_takes_columns_out_of_the_files() {
    let mut by = spec(&[]);
    by.partitioned_by = vec![0];
    let config = SinkConfig::new(&by).unwrap();
    assert_eq!(config.layout, Layout::Epoch(Folders::Columns(vec![0])));
    assert_eq!(config.file_columns, [1, 2, 3]);
    by.partitioned_by = vec![0, 1, 2, 3];
    refused(&by, &["every column"]);
    by.columns[0].data_type = DataType::Float64;
    refused(&by, &["label", "cannot name a folder"]);
    let mut both = spec(&[("sink.partition-time-column", "seen_at")]);
    both.partitioned_by = vec![0];
    refused(&both, &["exclude each other"]);
}

#[test]
fn a_column_that_is_called_like_a_folder_is_refused() {
    let mut clash = spec(&[]);
    clash.columns[3].name = "hour".into();
    refused(&clash, &["'hour'", "clashes"]);
    let mut flat = spec(&[("sink.partition-time-column", "none")]);
    flat.columns[3].name = "hour".into();
    assert_eq!(layout(&flat), Layout::Epoch(Folders::Flat));
}

#[test]
fn object_per_row_needs_json_and_a_name() {
    let per_row = [("sink.layout", "object-per-row"), ("sink.object-name", "a/{window_start}_{label}.json")];
    assert!(matches!(layout(&spec(&per_row)), Layout::ObjectPerRow(pieces) if pieces.len() == 5));
    refused(&spec(&per_row[..1]), &["sink.object-name"]);
    refused(&spec(&[per_row[0], ("sink.object-name", "{size}.json")]), &["no column 'size'", "label, seen_at"]);
    refused(&spec(&[per_row[0], per_row[1], ("format", "parquet")]), &["JSON only"]);
    refused(&spec(&[per_row[1]]), &["object-per-row"]);
    let mut by = spec(&per_row);
    by.partitioned_by = vec![0];
    refused(&by, &["no partition folders"]);
}

#[test]
fn values_are_checked() {
    refused(&spec(&[("format", "csv")]), &["'format' = 'csv'", "json, parquet"]);
    refused(&spec(&[("format", "")]), &["needs the option 'format'"]);
    refused(&spec(&[("path", "")]), &["needs the option 'path'"]);
    refused(&spec(&[("path", "hdfs://x/y")]), &["hdfs", "gs://, s3://"]);
    refused(&spec(&[("parquet.compression", "lz4")]), &["zstd, none"]);
    refused(&spec(&[("sink.layout", "hourly")]), &["epoch, object-per-row"]);
    refused(&spec(&[("json.timestamp-format.standard", "RFC")]), &["ISO-8601, SQL"]);
    let config = SinkConfig::new(&spec(&[("format", "Parquet"), ("parquet.compression", "none")])).unwrap();
    assert_eq!((config.common.format, config.zstd), (Format::Parquet, false));
    assert_eq!(config.common.address("x"), "gs://bucket/results/x");
}

#[test]
fn every_option_that_is_read_is_declared() {
    for key in ["path", "format", "endpoint", "sink.layout", "sink.object-name", "parquet.compression"] {
        assert!(OPTIONS.iter().any(|option| option.key == key), "{key}");
    }
    assert!(OPTIONS.iter().all(|option| !option.help.is_empty()));
}
