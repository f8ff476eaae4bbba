//! The encoder: rows in, JSON objects out.
//!
//! Integers and decimals are numbers with all their digits, floats the shortest number that reads back the same (not
//! finite: null), bytes are base64, timestamps RFC 3339 (or Flink's SQL form), ROW and MAP are objects, ARRAY is an array.

use super::literal::write_decimal;
use super::rows::JsonRows;
use super::scan::plain_end;
use super::time::{write_clock, write_date, write_timestamp};
use super::{JsonOptions, TimestampFormat, encode_base64};
use crate::{Error, Result};
use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Schema, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::record_batch::RecordBatch;

/// Turns rows of one schema into JSON objects.
#[derive(Debug, Clone)]
pub struct JsonEncoder {
    /// `"name":` of each column.
    names: Vec<Vec<u8>>,
    format: TimestampFormat,
}

impl JsonEncoder {
    /// An encoder for batches of `schema`. A type that JSON cannot carry is [`crate::ErrorKind::FixConfig`].
    pub fn new(schema: &Schema, options: JsonOptions) -> Result<Self> {
        for field in schema.fields() {
            check(field.name(), field.data_type())?;
        }
        let name = |field: &arrow::datatypes::FieldRef| {
            let mut name = Vec::new();
            write_text(field.name(), &mut name);
            name.push(b':');
            name
        };
        Ok(Self { names: schema.fields().iter().map(name).collect(), format: options.timestamp_format })
    }

    /// The rows of a batch with only these columns, in this order. For many rows at once; it costs more than one row.
    pub fn rows<'a>(&'a self, batch: &'a RecordBatch, columns: &'a [usize]) -> JsonRows<'a> {
        let column = |&column: &usize| (self.names[column].as_slice(), batch.column(column).as_ref());
        JsonRows::new(columns.iter().map(column), self.format)
    }

    /// Appends one object, without a line feed. Nulls are written as `null`.
    pub fn encode(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        self.write(batch, row, 0..batch.num_columns(), out);
    }

    /// Appends one object with only these columns, in this order.
    pub fn encode_columns(&self, batch: &RecordBatch, row: usize, columns: &[usize], out: &mut Vec<u8>) {
        self.write(batch, row, columns.iter().copied(), out);
    }

    fn write(&self, batch: &RecordBatch, row: usize, columns: impl Iterator<Item = usize>, out: &mut Vec<u8>) {
        out.push(b'{');
        for (position, column) in columns.enumerate() {
            if position > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.names[column]);
            write_value(batch.column(column).as_ref(), row, self.format, out);
        }
        out.push(b'}');
    }
}

/// Appends the value in `row` as JSON.
pub(super) fn write_value(array: &dyn Array, row: usize, format: TimestampFormat, out: &mut Vec<u8>) {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match array.data_type() {
        DataType::Boolean => out.extend_from_slice(if array.as_boolean().value(row) { b"true" } else { b"false" }),
        DataType::Float32 => write_float(array.as_primitive::<Float32Type>().value(row), out),
        DataType::Float64 => write_float(array.as_primitive::<Float64Type>().value(row), out),
        DataType::Utf8 => write_text(array.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => write_text(array.as_string::<i64>().value(row), out),
        DataType::Utf8View => write_text(array.as_string_view().value(row), out),
        DataType::Struct(_) => write_struct(array.as_struct(), row, format, out),
        DataType::List(_) => write_list(array.as_list::<i32>().value(row).as_ref(), format, out),
        DataType::Map(_, _) => write_map(&array.as_map().value(row), format, out),
        DataType::Null => out.extend_from_slice(b"null"),
        _ if is_number(array.data_type()) => write_plain(array, row, format, out),
        _ => {
            out.push(b'"');
            write_plain(array, row, format, out);
            out.push(b'"');
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Decimal128(_, _))
}

/// Appends a value whose text needs no escapes, without quotes: numbers, times, bytes. Not null.
pub(super) fn write_plain(array: &dyn Array, row: usize, format: TimestampFormat, out: &mut Vec<u8>) {
    match array.data_type() {
        DataType::Int64 => write_integer(array.as_primitive::<Int64Type>().value(row), out),
        DataType::Int32 => write_integer(array.as_primitive::<Int32Type>().value(row).into(), out),
        DataType::Int16 => write_integer(array.as_primitive::<Int16Type>().value(row).into(), out),
        DataType::Int8 => write_integer(array.as_primitive::<Int8Type>().value(row).into(), out),
        DataType::UInt8 => write_integer(array.as_primitive::<UInt8Type>().value(row).into(), out),
        DataType::UInt16 => write_integer(array.as_primitive::<UInt16Type>().value(row).into(), out),
        DataType::UInt32 => write_integer(array.as_primitive::<UInt32Type>().value(row).into(), out),
        DataType::UInt64 => write_decimal(array.as_primitive::<UInt64Type>().value(row).into(), 0, out),
        DataType::Decimal128(_, scale) => write_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale, out),
        DataType::Binary => encode_base64(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => encode_base64(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => encode_base64(array.as_binary_view().value(row), out),
        DataType::Date32 => write_date(array.as_primitive::<Date32Type>().value(row).into(), out),
        DataType::Date64 => write_date(array.as_primitive::<Date64Type>().value(row).div_euclid(86_400_000), out),
        DataType::Time32(TimeUnit::Second) => {
            write_time(array.as_primitive::<Time32SecondType>().value(row).into(), 1, out)
        }
        DataType::Time32(_) => write_time(array.as_primitive::<Time32MillisecondType>().value(row).into(), 1_000, out),
        DataType::Time64(TimeUnit::Microsecond) => {
            write_time(array.as_primitive::<Time64MicrosecondType>().value(row), 1_000_000, out);
        }
        DataType::Time64(_) => write_time(array.as_primitive::<Time64NanosecondType>().value(row), 1_000_000_000, out),
        DataType::Timestamp(unit, zone) => {
            let value = match unit {
                TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
                TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
                TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
                TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
            };
            write_timestamp(value, *unit, zone.is_some(), format, out);
        }
        // `check` has refused every other type.
        _ => {}
    }
}

fn write_time(value: i64, per_second: i64, out: &mut Vec<u8>) {
    write_clock(value / per_second, value % per_second * (1_000_000_000 / per_second), out);
}

/// Appends an integer.
pub(super) fn write_integer(value: i64, out: &mut Vec<u8>) {
    // An integer of 64 bits has at most 19 digits and a sign.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a float: the shortest text that reads back the same; `null` when it is not finite.
pub(super) fn write_float(value: impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &value).expect("writing a number to memory cannot fail");
}

/// Appends text between quotes, with escapes.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    if plain_end(text.as_bytes(), 0) == text.len() {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    serde_json::to_writer(out, text).expect("writing text to memory cannot fail");
}

fn write_struct(array: &StructArray, row: usize, format: TimestampFormat, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (field, column)) in array.fields().iter().zip(array.columns()).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(field.name(), out);
        out.push(b':');
        write_value(column.as_ref(), row, format, out);
    }
    out.push(b'}');
}

fn write_list(items: &dyn Array, format: TimestampFormat, out: &mut Vec<u8>) {
    out.push(b'[');
    for index in 0..items.len() {
        if index > 0 {
            out.push(b',');
        }
        write_value(items, index, format, out);
    }
    out.push(b']');
}

fn write_map(entries: &StructArray, format: TimestampFormat, out: &mut Vec<u8>) {
    let (keys, values) = (entries.column(0), entries.column(1));
    out.push(b'{');
    for index in 0..entries.len() {
        if index > 0 {
            out.push(b',');
        }
        write_text(&super::text_value(keys.as_ref(), index).unwrap_or_default(), out);
        out.push(b':');
        write_value(values.as_ref(), index, format, out);
    }
    out.push(b'}');
}

fn check(name: &str, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check(name, field.data_type())),
        DataType::List(item) => check(name, item.data_type()),
        DataType::Map(entries, _) => check(name, entries.data_type()),
        DataType::Boolean | DataType::Null | DataType::Float32 | DataType::Float64 => Ok(()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(()),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Ok(()),
        DataType::Decimal128(_, _) | DataType::Timestamp(_, _) => Ok(()),
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => Ok(()),
        integer if integer.is_integer() => Ok(()),
        other => Err(Error::config(format!("column '{name}': values of type {other} cannot be written as JSON"))),
    }
}
