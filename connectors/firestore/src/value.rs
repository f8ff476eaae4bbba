//! Arrow values as Firestore values.

use aqueduct_core::{Error, Result, SinkSpec, json};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use gcloud_sdk::google::firestore::v1::value::ValueType;
use gcloud_sdk::google::firestore::v1::{ArrayValue, MapValue, Value};
use gcloud_sdk::prost_types::Timestamp;
use std::collections::HashMap;

/// How timestamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimestampFormat {
    /// ISO-8601 text.
    Iso,
    /// Firestore's own type, of microseconds.
    Native,
}

/// Refuses columns that have no form in Firestore, before any connection.
pub(crate) fn check_types(spec: &SinkSpec) -> Result<()> {
    for column in &spec.columns {
        if let Err(why) = supported(&column.data_type) {
            return Err(Error::config(format!(
                "table '{}': column '{}' has the type {}, which the connector 'firestore' cannot write: {why}",
                spec.table, column.name, column.sql_type
            )));
        }
    }
    Ok(())
}

fn supported(data_type: &DataType) -> std::result::Result<(), &'static str> {
    match data_type {
        DataType::List(item) if matches!(item.data_type(), DataType::List(_)) => {
            Err("arrays of arrays do not exist there; put a ROW in between")
        }
        DataType::List(item) => supported(item.data_type()),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| supported(field.data_type())),
        DataType::Map(entries, _) => supported(entries.data_type()),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(()),
        DataType::Float32 | DataType::Float64 | DataType::Boolean | DataType::Utf8 | DataType::Binary => Ok(()),
        DataType::Decimal128(_, _) | DataType::Timestamp(_, _) | DataType::Date32 | DataType::Time32(_) => Ok(()),
        _ => Err("CAST it in the INSERT"),
    }
}

/// The value of one cell.
pub(crate) fn value(array: &dyn Array, row: usize, timestamps: TimestampFormat) -> Value {
    Value { value_type: Some(value_type(array, row, timestamps)) }
}

fn value_type(array: &dyn Array, row: usize, timestamps: TimestampFormat) -> ValueType {
    if array.is_null(row) {
        return ValueType::NullValue(0);
    }
    match array.data_type() {
        DataType::Int8 => ValueType::IntegerValue(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => ValueType::IntegerValue(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => ValueType::IntegerValue(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => ValueType::IntegerValue(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => ValueType::DoubleValue(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => ValueType::DoubleValue(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => ValueType::BooleanValue(array.as_boolean().value(row)),
        DataType::Utf8 => ValueType::StringValue(array.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => ValueType::BytesValue(array.as_binary::<i32>().value(row).to_vec()),
        DataType::Timestamp(unit, _) if timestamps == TimestampFormat::Native => {
            ValueType::TimestampValue(timestamp(array, row, *unit))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            let member = |(field, column): (&arrow::datatypes::FieldRef, &arrow::array::ArrayRef)| {
                (field.name().clone(), value(column.as_ref(), row, timestamps))
            };
            ValueType::MapValue(MapValue { fields: fields.iter().zip(columns).map(member).collect() })
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let values = (0..items.len()).map(|index| value(items.as_ref(), index, timestamps)).collect();
            ValueType::ArrayValue(ArrayValue { values })
        }
        DataType::Map(_, _) => ValueType::MapValue(MapValue { fields: map(array, row, timestamps) }),
        // Decimals keep their digits, dates and times are ISO-8601.
        _ => json::text_value(array, row).map_or(ValueType::NullValue(0), ValueType::StringValue),
    }
}

fn map(array: &dyn Array, row: usize, timestamps: TimestampFormat) -> HashMap<String, Value> {
    let entries = array.as_map().value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    let member = |index| {
        let key = json::text_value(keys.as_ref(), index).unwrap_or_default();
        (key, value(values.as_ref(), index, timestamps))
    };
    (0..entries.len()).map(member).collect()
}

fn timestamp(array: &dyn Array, row: usize, unit: TimeUnit) -> Timestamp {
    let (value, per_second) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1),
        TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000),
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000),
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000),
    };
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    Timestamp { seconds: value.div_euclid(per_second), nanos: i32::try_from(nanos).unwrap_or(0) }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
