//! Holds `values.rs` to what it says: what each format makes of a value.

use super::*;
use arrow::array::{Array, AsArray};

fn column(name: &str, data_type: DataType, nullable: bool) -> TableColumn {
    TableColumn { name: name.into(), data_type, nullable, sql_type: "SQL".into(), kind: ColumnKind::Physical }
}

fn values(format: Format, columns: &[TableColumn]) -> Values {
    Values::new(format, "t", columns, JsonOptions::default()).unwrap()
}

#[test]
fn raw_bytes_are_kept_as_they_are_and_no_value_is_null() {
    let mut raw = values(Format::Raw, &[column("v", DataType::Binary, true)]);
    for value in [Some(b"\xFF{".as_slice()), Some(b""), None] {
        assert_eq!(raw.push(value), Verdict::Row);
    }
    let arrays = raw.finish().unwrap();
    let array = arrays[0].as_binary::<i32>();
    assert_eq!((array.value(0), array.value(1), array.is_null(2)), (b"\xFF{".as_slice(), b"".as_slice(), true));
    assert_eq!(raw.finish().unwrap()[0].len(), 0, "it is empty again");
}

#[test]
fn raw_text_must_be_utf8_and_not_null_must_hold() {
    let mut raw = values(Format::Raw, &[column("v", DataType::Utf8, false)]);
    assert_eq!(raw.push(Some("ä".as_bytes())), Verdict::Row);
    let Verdict::Dead(why) = raw.push(Some(b"ab\xFF")) else { panic!("broken UTF-8 became a row") };
    assert!(why.contains("v: broken UTF-8 at byte 2"), "{why}");
    let Verdict::Dead(why) = raw.push(None) else { panic!("NULL became a row") };
    assert!(why.contains("NOT NULL"), "{why}");
    assert_eq!(raw.finish().unwrap()[0].as_string::<i32>().value(0), "ä");
}

#[test]
fn raw_without_a_column_that_is_read_only_counts() {
    let mut raw = values(Format::Raw, &[]);
    assert_eq!([raw.push(Some(b"\xFF")), raw.push(None)], [Verdict::Row, Verdict::Row]);
    assert!(raw.finish().unwrap().is_empty());
}

#[test]
fn raw_wants_one_column_of_bytes_or_text() {
    let two = [column("a", DataType::Binary, true), column("b", DataType::Binary, true)];
    for declared in [&two[..], &[]] {
        let why = check(Format::Raw, "t", declared).unwrap_err().to_string();
        assert!(why.contains("exactly one physical column"), "{why}");
        assert!(check(Format::Json, "t", declared).is_ok());
    }
    let why = Values::new(Format::Raw, "t", &[column("n", DataType::Int64, true)], JsonOptions::default());
    let why = why.unwrap_err().to_string();
    assert!(why.contains("column 'n'") && why.contains("CAST"), "{why}");
}

#[test]
fn json_skips_tombstones_and_refuses_empty_values() {
    let mut json = values(Format::Json, &[column("n", DataType::Int64, true)]);
    assert_eq!(json.push(None), Verdict::Skip);
    assert_eq!(json.push(Some(b"")), Verdict::Dead("empty value".into()));
    assert_eq!(json.push(Some(b"{\"n\":1}")), Verdict::Row);
    assert_eq!(json.finish().unwrap()[0].len(), 1);
}
