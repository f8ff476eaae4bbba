//! Holds `rows.rs` to what it says.

use super::*;
use aqueduct_core::{ColumnKind, Options};
use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::DataType;
use std::sync::Arc;

fn spec() -> SinkSpec {
    let column = |name: &str, data_type| TableColumn {
        name: name.into(),
        data_type,
        nullable: true,
        sql_type: String::new(),
        kind: ColumnKind::Physical,
    };
    SinkSpec {
        table: "results".into(),
        options: Options::default(),
        columns: vec![column("label", DataType::Utf8), column("count", DataType::Int64)],
        primary_key: vec![],
        partitioned_by: vec![],
        fail_points: aqueduct_core::FailPoints::default(),
    }
}

fn batch() -> RecordBatch {
    let columns = spec().columns;
    let labels = StringArray::from(vec![Some("thumb"), None]);
    let counts = Int64Array::from(vec![3, 4]);
    RecordBatch::try_new(TableColumn::schema(&columns), vec![Arc::new(labels), Arc::new(counts)]).unwrap()
}

fn key(columns: Vec<usize>, row: usize) -> Option<String> {
    let rows = Rows::new(&spec(), columns, JsonOptions::default()).unwrap();
    let mut out = b"left over".to_vec();
    rows.key(&batch(), row, &mut out).then(|| String::from_utf8(out).unwrap())
}

#[test]
fn a_key_is_text_or_an_object_or_absent() {
    assert_eq!(key(vec![], 0), None);
    assert_eq!(key(vec![0], 0).as_deref(), Some("thumb"));
    assert_eq!(key(vec![1], 0).as_deref(), Some("3"));
    assert_eq!(key(vec![0], 1), None);
    assert_eq!(key(vec![1, 0], 0).as_deref(), Some(r#"{"count":3,"label":"thumb"}"#));
    assert_eq!(key(vec![0, 1], 1).as_deref(), Some(r#"{"label":null,"count":4}"#));
}

#[test]
fn a_value_is_the_whole_row() {
    let rows = Rows::new(&spec(), vec![0], JsonOptions::default()).unwrap();
    let mut out = b"left over".to_vec();
    rows.value(&batch(), 1, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"label":null,"count":4}"#);
}
