//! Holds `columns.rs` to what it says.

use super::*;

fn column(key: &str, data_type: DataType) -> TableColumn {
    TableColumn {
        name: "c".into(),
        data_type,
        nullable: true,
        sql_type: String::new(),
        kind: ColumnKind::Metadata(key.into()),
    }
}

#[test]
fn every_key_delivers_the_type_that_it_names() {
    for key in keys() {
        let mut built = MetadataColumn::new("t", &column(key.key, key.data_type.clone())).unwrap().expect("metadata");
        let array = built.finish().unwrap();
        assert_eq!(*array.data_type(), key.data_type, "{}", key.key);
    }
}

#[test]
fn a_declared_type_is_cast_to() {
    let mut built = MetadataColumn::new("t", &column("offset", DataType::Utf8)).unwrap().expect("metadata");
    assert_eq!(*built.finish().unwrap().data_type(), DataType::Utf8);
}

#[test]
fn an_unknown_key_is_refused_with_the_known_ones() {
    let error = MetadataColumn::new("t", &column("time", DataType::Int64)).unwrap_err();
    assert!(error.message().contains("timestamp-type"), "{error}");
    let physical = TableColumn { kind: ColumnKind::Physical, ..column("x", DataType::Int64) };
    assert!(MetadataColumn::new("t", &physical).unwrap().is_none());
}
