//! Single values as text and as JSON trees, for keys, ids, object names and people. Not for the record's path.

use super::TimestampFormat;
use super::encode::{write_plain, write_value};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type};
use serde_json::Value;

/// The value as text: text as it is, numbers with all their digits, timestamps as RFC 3339, bytes as base64, booleans as
/// `true` and `false`, nested values as JSON. `None` for null.
pub fn text_value(array: &dyn Array, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        _ => {
            let mut text = Vec::new();
            write_value(array, row, TimestampFormat::Iso8601, &mut text);
            let text = String::from_utf8(text).expect("the encoder writes UTF-8");
            // Times and bytes stand between quotes in JSON, and need no escapes.
            match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                Some(plain) => plain.to_owned(),
                None => text,
            }
        }
    })
}

/// The value as a JSON tree. A DECIMAL becomes a number when a double holds all its digits, and text otherwise, because the
/// tree's numbers are doubles; the encoder writes every digit.
pub fn value_to_json(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Decimal128(_, _) => decimal(array, row),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let member = |(field, column): (&arrow::datatypes::FieldRef, &arrow::array::ArrayRef)| {
                (field.name().clone(), value_to_json(column.as_ref(), row))
            };
            Value::Object(fields.iter().zip(columns).map(member).collect())
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|index| value_to_json(items.as_ref(), index)).collect())
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let member =
                |index| (text_value(keys.as_ref(), index).unwrap_or_default(), value_to_json(values.as_ref(), index));
            Value::Object((0..entries.len()).map(member).collect())
        }
        // Through the shortest text, so that FLOAT 0.1 stays 0.1; serde_json itself does not read every digit exactly.
        DataType::Float32 | DataType::Float64 => text_value(array, row).map_or(Value::Null, |text| float(&text)),
        _ => {
            let mut text = Vec::new();
            write_value(array, row, TimestampFormat::Iso8601, &mut text);
            serde_json::from_slice(&text).unwrap_or(Value::Null)
        }
    }
}

/// Null when it is not a (finite) number.
fn float(text: &str) -> Value {
    text.parse::<f64>().map_or(Value::Null, Value::from)
}

fn decimal(array: &dyn Array, row: usize) -> Value {
    let mut text = Vec::new();
    write_plain(array, row, TimestampFormat::Iso8601, &mut text);
    let digits = array.as_primitive::<Decimal128Type>().value(row).unsigned_abs();
    let text = String::from_utf8(text).expect("digits are ASCII");
    match text.parse::<i64>() {
        Ok(whole) => Value::from(whole),
        // Fifteen digits survive a double and back.
        Err(_) if digits < 1_000_000_000_000_000 => float(&text),
        Err(_) => Value::String(text),
    }
}
