//! Holds `value.rs` to what it says.

use super::*;
use aqueduct_core::conformance::sink::spec;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Int16Array, Int64Array, ListArray,
    StringArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{Field, Int32Type as I32};
use std::sync::Arc;

fn iso(array: impl Array, row: usize) -> ValueType {
    value_type(&array, row, TimestampFormat::Iso)
}

#[test]
fn scalars() {
    assert_eq!(iso(Int64Array::from(vec![i64::MIN]), 0), ValueType::IntegerValue(i64::MIN));
    assert_eq!(iso(Int16Array::from(vec![7]), 0), ValueType::IntegerValue(7));
    assert_eq!(iso(Float32Array::from(vec![0.5]), 0), ValueType::DoubleValue(0.5));
    assert_eq!(iso(BooleanArray::from(vec![true]), 0), ValueType::BooleanValue(true));
    assert_eq!(iso(StringArray::from(vec![Some("é"), None]), 0), ValueType::StringValue("é".into()));
    assert_eq!(iso(StringArray::from(vec![Some("é"), None]), 1), ValueType::NullValue(0));
    assert_eq!(iso(BinaryArray::from(vec![&b"\0\xff"[..]]), 0), ValueType::BytesValue(vec![0, 255]));
    assert_eq!(iso(Date32Array::from(vec![20_454]), 0), ValueType::StringValue("2026-01-01".into()));
    let decimal = Decimal128Array::from(vec![-1_234_567_890_123_456_789_i128]).with_precision_and_scale(38, 2).unwrap();
    assert_eq!(iso(decimal, 0), ValueType::StringValue("-12345678901234567.89".into()));
}

#[test]
fn timestamps_are_text_or_native() {
    let utc = TimestampMillisecondArray::from(vec![1_767_225_600_250]).with_timezone("UTC");
    assert_eq!(iso(utc.clone(), 0), ValueType::StringValue("2026-01-01T00:00:00.250Z".into()));
    let native = value_type(&utc, 0, TimestampFormat::Native);
    assert_eq!(native, ValueType::TimestampValue(Timestamp { seconds: 1_767_225_600, nanos: 250_000_000 }));
    let early = value_type(&TimestampMicrosecondArray::from(vec![-1]), 0, TimestampFormat::Native);
    assert_eq!(early, ValueType::TimestampValue(Timestamp { seconds: -1, nanos: 999_999_000 }));
}

#[test]
fn nested_values() {
    let list = ListArray::from_iter_primitive::<I32, _, _>([Some(vec![Some(1), None])]);
    let item = |value_type| Value { value_type: Some(value_type) };
    let expected = ArrayValue { values: vec![item(ValueType::IntegerValue(1)), item(ValueType::NullValue(0))] };
    assert_eq!(iso(list, 0), ValueType::ArrayValue(expected));
    let column: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let row = StructArray::from(vec![(Arc::new(Field::new("a", DataType::Utf8, true)), column)]);
    let ValueType::MapValue(map) = iso(row, 0) else { panic!("a ROW is a map") };
    assert_eq!(map.fields["a"], item(ValueType::StringValue("x".into())));
}

#[test]
fn arrays_of_arrays_are_refused_with_the_column() {
    let inner = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    let mut spec = spec("t", &[], true);
    spec.columns[1].data_type = DataType::List(Arc::new(Field::new("item", inner, true)));
    spec.columns[1].sql_type = "ARRAY<ARRAY<INT>>".into();
    let error = check_types(&spec).unwrap_err();
    assert!(error.message().contains("column 'n' has the type ARRAY<ARRAY<INT>>"), "{error}");
}
