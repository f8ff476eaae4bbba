//! Which row goes where.

use super::*;
use crate::layout::parse_template;
use aqueduct_core::ColumnKind;
use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use std::sync::Arc;

const HOUR: i64 = MS_PER_HOUR;

fn columns() -> Vec<TableColumn> {
    let column = |name: &str, data_type: DataType| TableColumn {
        name: name.into(),
        sql_type: data_type.to_string(),
        data_type,
        nullable: true,
        kind: ColumnKind::Physical,
    };
    vec![
        column("id", DataType::Utf8),
        column("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        column("n", DataType::Int64),
    ]
}

fn batch(rows: &[(&str, Option<i64>, i64)]) -> RecordBatch {
    let at: TimestampMillisecondArray = rows.iter().map(|row| row.1).collect();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(at.with_timezone("UTC")),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(TableColumn::schema(&columns()), arrays).unwrap()
}

#[test]
fn the_last_row_of_a_key_stays() {
    let batches =
        [batch(&[("a", None, 1), ("b", None, 2), ("a", None, 3)]), batch(&[("b", Some(1), 4), ("c", None, 5)])];
    assert_eq!(last_per_key(&batches, &[0]).unwrap(), [(0, 2), (1, 0), (1, 1)]);
    assert_eq!(last_per_key(&batches, &[0, 1]).unwrap(), [(0, 1), (0, 2), (1, 0), (1, 1)]);
    assert_eq!(last_per_key(&batches, &[]).unwrap().len(), 5);
    assert_eq!(last_per_key(&[], &[0]).unwrap(), []);
}

#[test]
fn rows_go_to_their_hour() {
    let batches =
        [batch(&[("a", Some(0), 1), ("b", Some(HOUR), 2)]), batch(&[("c", None, 3), ("d", Some(HOUR - 1), 4)])];
    let places = last_per_key(&batches, &[]).unwrap();
    let groups = by_folder(&batches, places.clone(), &columns(), &Folders::Hour(1)).unwrap();
    let null = "dt=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__";
    let expected = BTreeMap::from([
        ("dt=1970-01-01/hour=00".to_owned(), vec![(0, 0), (1, 1)]),
        ("dt=1970-01-01/hour=01".to_owned(), vec![(0, 1)]),
        (null.to_owned(), vec![(1, 0)]),
    ]);
    assert_eq!(groups, expected);
    let flat = by_folder(&batches, places.clone(), &columns(), &Folders::Flat).unwrap();
    assert_eq!(flat, BTreeMap::from([(String::new(), places)]));
}

#[test]
fn rows_go_to_the_folders_of_their_values() {
    let batches = [batch(&[("a/b", None, 7), ("x", None, -1), ("a/b", None, 7)])];
    let places = last_per_key(&batches, &[]).unwrap();
    let groups = by_folder(&batches, places, &columns(), &Folders::Columns(vec![0, 2])).unwrap();
    let expected =
        BTreeMap::from([("id=a%2Fb/n=7".to_owned(), vec![(0, 0), (0, 2)]), ("id=x/n=-1".to_owned(), vec![(0, 1)])]);
    assert_eq!(groups, expected);
}

#[test]
fn objects_are_named_by_their_row() {
    let template = parse_template("out/{at}_{id}.json", |name| columns().iter().position(|c| c.name == name)).unwrap();
    let batches = [batch(&[("a", Some(1_767_225_600_000), 1), ("../b", None, 2), ("a", Some(1_767_225_600_000), 3)])];
    let places = last_per_key(&batches, &[]).unwrap();
    let objects = by_object(&batches, places, &template);
    let expected = BTreeMap::from([
        ("out/2026-01-01T00:00:00Z_a.json".to_owned(), (0, 2)),
        ("out/null_..%2Fb.json".to_owned(), (0, 1)),
    ]);
    assert_eq!(objects, expected);
}
