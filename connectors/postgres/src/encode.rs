//! Arrow columns as array parameters.

use crate::table::Target;
use crate::types::Wire;
use aqueduct_core::{Error, Result, json};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::Arguments;
use sqlx::postgres::PgArguments;

/// One parameter per column, in order.
pub(crate) fn arguments(columns: &[ArrayRef], targets: &[Target]) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for (array, target) in columns.iter().zip(targets) {
        add(&mut arguments, array, target.wire).map_err(|error| error.context(format!("column '{}'", target.name)))?;
    }
    Ok(arguments)
}

fn add(arguments: &mut PgArguments, array: &ArrayRef, wire: Wire) -> Result<()> {
    let result =
        match wire {
            Wire::Int2 if *array.data_type() == DataType::Int8 => arguments
                .add(array.as_primitive::<Int8Type>().iter().map(|value| value.map(i16::from)).collect::<Vec<_>>()),
            Wire::Int2 => arguments.add(plain::<Int16Type>(array)),
            Wire::Int4 => arguments.add(plain::<Int32Type>(array)),
            Wire::Int8 => arguments.add(plain::<Int64Type>(array)),
            Wire::Float4 => arguments.add(plain::<Float32Type>(array)),
            Wire::Float8 => arguments.add(plain::<Float64Type>(array)),
            Wire::Bool => arguments.add(array.as_boolean().iter().collect::<Vec<_>>()),
            Wire::Text => arguments.add(array.as_string::<i32>().iter().collect::<Vec<_>>()),
            Wire::Bytes => arguments.add(array.as_binary::<i32>().iter().collect::<Vec<_>>()),
            Wire::Decimal => {
                let decimals = array.as_primitive::<Decimal128Type>();
                let text = |row| decimals.is_valid(row).then(|| decimals.value_as_string(row));
                arguments.add((0..decimals.len()).map(text).collect::<Vec<_>>())
            }
            Wire::Json => {
                let text = |row| array.is_valid(row).then(|| json::value_to_json(array.as_ref(), row).to_string());
                arguments.add((0..array.len()).map(text).collect::<Vec<_>>())
            }
            Wire::Timestamp { zoned: true } => arguments.add(times(array)?),
            Wire::Timestamp { zoned: false } => arguments
                .add(times(array)?.into_iter().map(|time| time.map(|time| time.naive_utc())).collect::<Vec<_>>()),
            Wire::Date => arguments.add(dates(array)?),
            Wire::Time => arguments.add(times_of_day(array)?),
        };
    result.map_err(|error| Error::data(format!("a value cannot be sent to postgres: {error}")))
}

fn plain<T: ArrowPrimitiveType>(array: &ArrayRef) -> Vec<Option<T::Native>> {
    array.as_primitive::<T>().iter().collect()
}

/// Microseconds are what Postgres keeps; nanoseconds are cut, toward the past.
fn times(array: &ArrayRef) -> Result<Vec<Option<DateTime<Utc>>>> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return Err(Error::bug(format!("{} where a timestamp was expected", array.data_type())));
    };
    let convert = |value: Option<i64>, to_micros: fn(i64) -> Option<i64>| match value {
        None => Ok(None),
        Some(value) => match to_micros(value).and_then(DateTime::from_timestamp_micros) {
            Some(time) => Ok(Some(time)),
            None => Err(Error::data(format!("the timestamp {value} ({unit:?} since 1970) is out of Postgres' range"))),
        },
    };
    match unit {
        TimeUnit::Second => array
            .as_primitive::<TimestampSecondType>()
            .iter()
            .map(|v| convert(v, |v| v.checked_mul(1_000_000)))
            .collect(),
        TimeUnit::Millisecond => array
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .map(|v| convert(v, |v| v.checked_mul(1_000)))
            .collect(),
        TimeUnit::Microsecond => {
            array.as_primitive::<TimestampMicrosecondType>().iter().map(|v| convert(v, Some)).collect()
        }
        TimeUnit::Nanosecond => array
            .as_primitive::<TimestampNanosecondType>()
            .iter()
            .map(|v| convert(v, |v| Some(v.div_euclid(1_000))))
            .collect(),
    }
}

fn dates(array: &ArrayRef) -> Result<Vec<Option<NaiveDate>>> {
    let date = |days: i32| {
        let epoch = NaiveDate::default();
        let date = TimeDelta::try_days(days.into()).and_then(|since| epoch.checked_add_signed(since));
        date.ok_or_else(|| Error::data(format!("the date {days} days from 1970-01-01 is out of Postgres' range")))
    };
    array.as_primitive::<Date32Type>().iter().map(|days| days.map(date).transpose()).collect()
}

fn times_of_day(array: &ArrayRef) -> Result<Vec<Option<NaiveTime>>> {
    let time = |millis: i64| {
        let seconds = u32::try_from(millis.div_euclid(1_000)).ok();
        let nanos = u32::try_from(millis.rem_euclid(1_000) * 1_000_000).ok();
        let time = seconds.zip(nanos).and_then(|(s, n)| NaiveTime::from_num_seconds_from_midnight_opt(s, n));
        time.ok_or_else(|| Error::data(format!("{millis} ms is not a time of day")))
    };
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => array
            .as_primitive::<Time32SecondType>()
            .iter()
            .map(|v| v.map(|v| time(i64::from(v) * 1_000)).transpose())
            .collect(),
        _ => array
            .as_primitive::<Time32MillisecondType>()
            .iter()
            .map(|v| v.map(|v| time(v.into())).transpose())
            .collect(),
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
