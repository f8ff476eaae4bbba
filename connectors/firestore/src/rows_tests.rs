//! Holds `rows.rs` to what it says.

use super::*;
use aqueduct_core::ErrorKind;
use aqueduct_core::conformance::sink::{batch, spec};
use arrow::array::{Int64Array, StringArray};
use std::sync::Arc;

fn parts() -> (Config, SinkSpec) {
    let spec = spec("t", &[("project-id", "p"), ("collection", "c")], true);
    (Config::new(&spec).unwrap(), spec)
}

#[test]
fn the_last_row_of_a_document_wins() {
    let (config, spec) = parts();
    let batches = [batch(&[("b", 1), ("a", 1), ("b", 2)]), batch(&[("a", 3), ("c/d", 4)])];
    let entries = arrange(&batches, &config, &spec).unwrap();
    let found: Vec<(&str, (usize, usize))> = entries.iter().map(|entry| (entry.id.as_str(), entry.place)).collect();
    assert_eq!(found, [("b", (0, 2)), ("a", (1, 0)), ("c%2Fd", (1, 1))]);
    let Some(Operation::Update(document)) = write(&entries[2], &batches, &config, &spec).operation else {
        panic!("an update")
    };
    assert_eq!(document.name, "projects/p/databases/(default)/documents/c/c%2Fd");
    assert_eq!(document.fields.len(), 2);
}

#[test]
fn keys_that_make_no_id_are_data_errors() {
    let (config, mut spec) = parts();
    spec.columns[0].nullable = true;
    let schema = aqueduct_core::TableColumn::schema(&spec.columns);
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(StringArray::from(vec![None::<&str>])), Arc::new(Int64Array::from(vec![1]))];
    let nulls = RecordBatch::try_new(schema, columns).unwrap();
    let error = arrange(&[nulls], &config, &spec).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData);
    assert!(error.message().contains("column 'id'"), "{error}");
    let long = "x".repeat(1_501);
    let error = arrange(&[batch(&[(&long, 1)])], &config, &spec).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData);
}
