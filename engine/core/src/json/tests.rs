//! Helpers of the room's tests; each file below tests one side.

mod decode;
mod encode;
mod fuzz;
mod nested;
mod time;

use super::{JsonDecoder, JsonOptions};
use crate::{ColumnKind, TableColumn};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, TimeUnit};
use std::sync::Arc;

pub(super) const LTZ: &str = "TIMESTAMP_LTZ(3)";

/// A nullable physical column; the Arrow type follows from the SQL type.
pub(super) fn column(name: &str, sql_type: &str) -> TableColumn {
    let utc = Some(Arc::from("UTC"));
    let data_type = match sql_type {
        "BOOLEAN" => DataType::Boolean,
        "TINYINT" => DataType::Int8,
        "SMALLINT" => DataType::Int16,
        "INT" => DataType::Int32,
        "BIGINT" => DataType::Int64,
        "FLOAT" => DataType::Float32,
        "DOUBLE" => DataType::Float64,
        "STRING" => DataType::Utf8,
        "BYTES" => DataType::Binary,
        "DATE" => DataType::Date32,
        "TIME" | "TIME(0)" => DataType::Time32(TimeUnit::Millisecond),
        "DECIMAL(10, 2)" => DataType::Decimal128(10, 2),
        "DECIMAL(38, 0)" => DataType::Decimal128(38, 0),
        "DECIMAL(38, 38)" => DataType::Decimal128(38, 38),
        "TIMESTAMP(0)" | "TIMESTAMP(3)" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "TIMESTAMP_LTZ(1)" | "TIMESTAMP_LTZ(3)" => DataType::Timestamp(TimeUnit::Millisecond, utc),
        "TIMESTAMP_LTZ(6)" => DataType::Timestamp(TimeUnit::Microsecond, utc),
        "TIMESTAMP_LTZ(9)" => DataType::Timestamp(TimeUnit::Nanosecond, utc),
        other => panic!("the tests do not know {other}"),
    };
    typed(name, data_type, sql_type)
}

pub(super) fn typed(name: &str, data_type: DataType, sql_type: &str) -> TableColumn {
    TableColumn { name: name.into(), data_type, nullable: true, sql_type: sql_type.into(), kind: ColumnKind::Physical }
}

pub(super) fn not_null(mut column: TableColumn) -> TableColumn {
    column.nullable = false;
    column
}

pub(super) fn map_type(value: DataType) -> DataType {
    let parts = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(parts.into()), false)), false)
}

/// Decodes one record with one column `v` and shows the value: text between bars, `NULL`, or the reason.
pub(super) fn decode_as(column: TableColumn, record: &str, options: JsonOptions) -> String {
    let mut decoder = JsonDecoder::new(&[column], options).unwrap();
    match decoder.push(record.as_bytes()) {
        Ok(()) => show(&decoder.finish().unwrap()[0], 0),
        Err(reason) => {
            assert_eq!(decoder.rows(), 0);
            assert_eq!(decoder.finish().unwrap()[0].len(), 0, "a refused record leaves nothing behind");
            reason
        }
    }
}

/// Decodes `{"v": <value>}`.
pub(super) fn value(sql_type: &str, value: &str) -> String {
    decode_as(column("v", sql_type), &format!(r#"{{"v": {value}}}"#), JsonOptions::default())
}

pub(super) fn show(array: &ArrayRef, row: usize) -> String {
    super::text_value(array.as_ref(), row).map_or("NULL".to_owned(), |text| format!("|{text}|"))
}
