//! Holds `table.rs` to what it says.

use super::*;
use aqueduct_core::{ColumnKind, ErrorKind, Options, TableColumn};
use arrow::datatypes::{DataType, Field, TimeUnit};
use std::sync::Arc;

fn column(name: &str, data_type: DataType, nullable: bool, sql_type: &str) -> TableColumn {
    TableColumn { name: name.into(), data_type, nullable, sql_type: sql_type.into(), kind: ColumnKind::Physical }
}

fn options(extra: &[(&str, &str)]) -> Options {
    let base = [("url", "postgres://flink:secret@db/analytics")];
    let values = base.iter().chain(extra).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Options::new("metrics", values)
}

fn spec() -> SinkSpec {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    SinkSpec {
        table: "metrics".into(),
        options: options(&[]),
        columns: vec![
            column("window_start", time, true, "TIMESTAMP_LTZ(3)"),
            column("label", DataType::Utf8, true, "STRING"),
            column("total", DataType::Decimal128(20, 2), true, "DECIMAL(20, 2)"),
            column(
                "more",
                DataType::Struct(vec![Arc::new(Field::new("a", DataType::Int64, true))].into()),
                false,
                "ROW<a BIGINT>",
            ),
        ],
        primary_key: vec![0, 1],
        partitioned_by: vec![],
        fail_points: aqueduct_core::FailPoints::default(),
    }
}

fn found(name: &str, base: &str) -> Column {
    Column {
        name: name.into(),
        sql_type: base.into(),
        base: base.into(),
        base_sql: base.into(),
        is_enum: false,
        not_null: false,
        has_default: false,
        generated: false,
    }
}

fn table() -> Table {
    Table {
        schema: "public".into(),
        name: "metrics".into(),
        columns: vec![
            found("window_start", "timestamptz"),
            found("label", "varchar"),
            found("total", "numeric"),
            found("more", "jsonb"),
        ],
        unique: vec![vec!["label".into(), "window_start".into()]],
    }
}

fn message(spec: &SinkSpec, table: &Table) -> String {
    let error = check(spec, table).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig);
    error.message().to_owned()
}

#[test]
fn the_table_to_create_has_the_jobs_columns_and_key() {
    let spec = spec();
    let config = Config::new(&options(&[("table-name", "reports.metrics")])).unwrap();
    assert_eq!(
        create_statement(&config, &spec),
        "CREATE TABLE IF NOT EXISTS \"reports\".\"metrics\" (\"window_start\" timestamptz NOT NULL, \"label\" text NOT NULL, \
         \"total\" numeric(20, 2), \"more\" jsonb NOT NULL, PRIMARY KEY (\"window_start\", \"label\"))"
    );
}

#[test]
fn a_fitting_table_gives_targets_in_the_jobs_order() {
    let mut table = table();
    table.columns.reverse();
    table.columns.push(Column { not_null: true, has_default: true, ..found("inserted_at", "timestamptz") });
    let targets = check(&spec(), &table).unwrap();
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["window_start", "label", "total", "more"]);
    assert_eq!(targets[3].wire, Wire::Json);
}

#[test]
fn every_difference_is_told() {
    let mut table = table();
    table.columns[0] = found("Window_Start", "timestamptz");
    table.columns[1] = Column { is_enum: false, ..found("label", "int4") };
    table.columns.remove(2);
    table.columns.push(Column { not_null: true, ..found("tenant", "text") });
    table.unique = vec![vec!["label".into()]];
    let message = message(&spec(), &table);
    for part in [
        "table 'metrics' does not fit \"public\".\"metrics\"",
        "column 'window_start' is missing (there is 'Window_Start': case counts)",
        "column 'label' is STRING in the job and int4 in postgres (expected text or varchar",
        "column 'total' is missing (ALTER TABLE \"public\".\"metrics\" ADD COLUMN \"total\" numeric(20, 2))",
        "column 'tenant' is NOT NULL without a default",
        "PRIMARY KEY (window_start, label) needs a unique index on exactly these columns, found: (label)",
        "CREATE UNIQUE INDEX ON \"public\".\"metrics\" (\"window_start\", \"label\")",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
}

#[test]
fn types_are_not_narrowed() {
    for (data_type, accepted, refused) in [
        (DataType::Int64, "int8", "int4"),
        (DataType::Int32, "int8", "int2"),
        (DataType::Float64, "float8", "float4"),
        (DataType::Utf8, "jsonb", "bytea"),
        (DataType::Timestamp(TimeUnit::Millisecond, None), "timestamptz", "text"),
        (DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), "timestamptz", "timestamp"),
        (DataType::Date32, "date", "timestamptz"),
        (DataType::Binary, "bytea", "text"),
        (DataType::Boolean, "bool", "int4"),
    ] {
        let wire = Wire::of(&data_type).unwrap();
        assert!(wire.fits(accepted, false) && !wire.fits(refused, false), "{data_type}");
    }
    assert!(Wire::Text.fits("mood", true) && !Wire::Int8.fits("mood", true));
    assert_eq!(Wire::of(&DataType::UInt64), None);
}

#[test]
fn generated_columns_must_be_left_out() {
    let mut table = table();
    table.columns[2].generated = true;
    assert!(message(&spec(), &table).contains("column 'total' is GENERATED ALWAYS"));
}

#[test]
fn a_type_that_cannot_be_sent_is_refused_before_connecting() {
    let mut spec = spec();
    spec.columns[2] = column("total", DataType::UInt64, true, "UBIGINT");
    let error = check_types(&spec).unwrap_err();
    assert!(error.message().contains("column 'total' has the type UBIGINT"), "{error}");
}
