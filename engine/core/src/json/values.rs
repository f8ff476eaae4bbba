//! The growing buffers behind a column, one shape per Arrow type, and the arrays that come out of them.
//!
//! Nulls are kept by the column around them; a null occupies a slot here too.

use super::column::{Column, Context, Row, sql_name};
use super::convert::{self, TimestampShape, precision_of};
use super::fault::{Fault, Outcome};
use super::nested::{ListValues, MapValues};
use super::scan::{Kind, Scan, Span, unescape};
use super::time::units_per_second;
use crate::{Error, Result};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Fields as ArrowFields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use std::sync::Arc;

/// Offsets and bytes of text or binary values.
#[derive(Debug)]
pub(super) struct Bytes {
    pub(super) offsets: Vec<i32>,
    pub(super) data: Vec<u8>,
}

impl Bytes {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }

    /// Ends the value that has been written to `data`. The decoder keeps `data` below 2 GiB.
    #[inline]
    pub(super) fn end(&mut self) {
        self.offsets.push(self.data.len() as i32);
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.data.truncate(self.offsets[length] as usize);
    }

    pub(super) fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let mut offsets = Vec::with_capacity(self.offsets.len());
        offsets.push(0);
        let offsets = std::mem::replace(&mut self.offsets, offsets);
        (OffsetBuffer::new(offsets.into()), Buffer::from_vec(take(&mut self.data)))
    }
}

/// Takes the values and leaves room for as many again: batches of a source are of similar size.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}

#[derive(Debug)]
pub(super) enum Values {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>, u8, u8),
    Text(Bytes),
    Binary(Bytes),
    Date(Vec<i32>),
    Time(Vec<i32>, i32),
    Timestamp(Vec<i64>, TimestampShape, Option<Arc<str>>),
    Struct(Row, ArrowFields),
    List(Box<ListValues>),
    Map(Box<MapValues>),
}

impl Values {
    pub(super) fn new(name: &str, data_type: &DataType, sql_type: &str) -> Result<Self> {
        Ok(match data_type {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                Values::Decimal(Vec::new(), *precision, scale.unsigned_abs())
            }
            DataType::Utf8 => Values::Text(Bytes::new()),
            DataType::Binary => Values::Binary(Bytes::new()),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time(Vec::new(), coarser_by(sql_type, 3) as i32),
            DataType::Timestamp(unit, zone) => {
                let cut = coarser_by(sql_type, units_per_second(*unit).ilog10());
                let shape = TimestampShape { unit: *unit, utc: zone.is_some(), cut };
                Values::Timestamp(Vec::new(), shape, zone.clone())
            }
            DataType::Struct(fields) => {
                let part = |field: &Arc<arrow::datatypes::Field>| {
                    Column::new(field.name(), field.data_type(), field.is_nullable(), "")
                };
                Values::Struct(Row::new(fields.iter().map(part).collect::<Result<_>>()?), fields.clone())
            }
            DataType::List(item) => Values::List(Box::new(ListValues::new(item)?)),
            DataType::Map(entries, false) => Values::Map(Box::new(MapValues::new(name, entries)?)),
            other => {
                return Err(Error::config(format!("column '{name}': JSON cannot be read as {}", sql_name(other))));
            }
        })
    }

    /// Appends the value at `span`. `false` (and nothing appended) when it stands for null. After a fault the values may
    /// hold half of a nested value, which the caller cuts off.
    #[inline]
    pub(super) fn append(&mut self, span: Span, context: &mut Context<'_>, sql_type: &str) -> Outcome<bool> {
        match self {
            Values::Int64(values) => values.push(convert::integer(span, context, sql_type)?),
            Values::Text(bytes) => append_text(bytes, span, context.document),
            Values::Timestamp(values, shape, _) => {
                return Ok(convert::timestamp(span, context, sql_type, *shape)?
                    .map(|value| values.push(value))
                    .is_some());
            }
            Values::Boolean(values) => values.append(convert::boolean(span, context, sql_type)?),
            Values::Int8(values) => values.push(convert::integer(span, context, sql_type)?),
            Values::Int16(values) => values.push(convert::integer(span, context, sql_type)?),
            Values::Int32(values) => values.push(convert::integer(span, context, sql_type)?),
            Values::Float32(values) => {
                values.push(convert::float(span, context, sql_type, |value: &f32| value.is_finite())?)
            }
            Values::Float64(values) => {
                values.push(convert::float(span, context, sql_type, |value: &f64| value.is_finite())?)
            }
            Values::Decimal(values, precision, scale) => {
                values.push(convert::decimal(span, context, sql_type, (*precision, *scale))?);
            }
            Values::Binary(bytes) => {
                convert::bytes(span, context, sql_type, &mut bytes.data)?;
                bytes.end();
            }
            Values::Date(values) => {
                return Ok(convert::date(span, context, sql_type)?.map(|value| values.push(value)).is_some());
            }
            Values::Time(values, cut) => {
                return Ok(convert::time(span, context, sql_type, *cut)?.map(|value| values.push(value)).is_some());
            }
            Values::Struct(row, _) => append_struct(row, span, context, sql_type)?,
            Values::List(list) => list.append(span, context, sql_type)?,
            Values::Map(map) => map.append(span, context, sql_type)?,
        }
        Ok(true)
    }

    /// Appends what stands under a null.
    pub(super) fn append_default(&mut self) {
        match self {
            Values::Boolean(values) => values.append(false),
            Values::Int8(values) => values.push(0),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) | Values::Date(values) | Values::Time(values, _) => values.push(0),
            Values::Int64(values) | Values::Timestamp(values, _, _) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal(values, _, _) => values.push(0),
            Values::Text(bytes) | Values::Binary(bytes) => bytes.end(),
            Values::Struct(row, _) => row.columns.iter_mut().for_each(Column::append_null),
            Values::List(list) => list.end(),
            Values::Map(map) => map.end(),
        }
    }

    /// Keeps the first `length` values.
    pub(super) fn truncate(&mut self, length: usize) {
        match self {
            Values::Boolean(values) => values.truncate(length),
            Values::Int8(values) => values.truncate(length),
            Values::Int16(values) => values.truncate(length),
            Values::Int32(values) | Values::Date(values) | Values::Time(values, _) => values.truncate(length),
            Values::Int64(values) | Values::Timestamp(values, _, _) => values.truncate(length),
            Values::Float32(values) => values.truncate(length),
            Values::Float64(values) => values.truncate(length),
            Values::Decimal(values, _, _) => values.truncate(length),
            Values::Text(bytes) | Values::Binary(bytes) => bytes.truncate(length),
            Values::Struct(row, _) => row.columns.iter_mut().for_each(|column| column.truncate(length)),
            Values::List(list) => list.truncate(length),
            Values::Map(map) => map.truncate(length),
        }
    }

    /// The `length` values as an array, and nothing left.
    pub(super) fn finish(&mut self, nulls: Option<NullBuffer>, length: usize) -> Result<ArrayRef> {
        Ok(match self {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, nulls),
            Values::Int16(values) => primitive::<Int16Type>(values, nulls),
            Values::Int32(values) => primitive::<Int32Type>(values, nulls),
            Values::Int64(values) => primitive::<Int64Type>(values, nulls),
            Values::Float32(values) => primitive::<Float32Type>(values, nulls),
            Values::Float64(values) => primitive::<Float64Type>(values, nulls),
            Values::Date(values) => primitive::<Date32Type>(values, nulls),
            Values::Time(values, _) => primitive::<Time32MillisecondType>(values, nulls),
            Values::Decimal(values, precision, scale) => {
                let array = Decimal128Array::new(take(values).into(), nulls);
                Arc::new(array.with_precision_and_scale(*precision, *scale as i8)?)
            }
            Values::Text(bytes) => {
                let (offsets, data) = bytes.take();
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            Values::Binary(bytes) => {
                let (offsets, data) = bytes.take();
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            Values::Timestamp(values, shape, zone) => timestamps(take(values), nulls, shape.unit, zone.clone()),
            Values::Struct(row, fields) => {
                let arrays = row.columns.iter_mut().map(Column::finish).collect::<Result<_>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, length)?)
            }
            Values::List(list) => list.finish(nulls)?,
            Values::Map(map) => map.finish(nulls)?,
        })
    }
}

#[inline]
fn append_text(bytes: &mut Bytes, span: Span, document: &str) {
    match span.kind {
        Kind::Escaped => unescape(span.of(document), &mut bytes.data),
        // Text as it is; numbers, booleans, objects and arrays with the characters that the record has for them.
        _ => bytes.data.extend_from_slice(span.of(document).as_bytes()),
    }
    bytes.end();
}

fn append_struct(row: &mut Row, span: Span, context: &mut Context<'_>, sql_type: &str) -> Outcome<()> {
    if span.kind != Kind::Object {
        return Err(Fault::expected(sql_type, span, context.document));
    }
    let mut scan = Scan::new(context.document, span.start + 1);
    // The text was checked when the record was scanned; only the places of the fields are new.
    row.fields.read(&mut scan, 0).map_err(|broken| Fault::new(broken.what.to_owned()))?;
    row.append(context)
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(take(values).into(), nulls))
}

fn timestamps(values: Vec<i64>, nulls: Option<NullBuffer>, unit: TimeUnit, zone: Option<Arc<str>>) -> ArrayRef {
    match unit {
        TimeUnit::Second => {
            Arc::new(PrimitiveArray::<TimestampSecondType>::new(values.into(), nulls).with_timezone_opt(zone))
        }
        TimeUnit::Millisecond => {
            Arc::new(PrimitiveArray::<TimestampMillisecondType>::new(values.into(), nulls).with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            Arc::new(PrimitiveArray::<TimestampMicrosecondType>::new(values.into(), nulls).with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => {
            Arc::new(PrimitiveArray::<TimestampNanosecondType>::new(values.into(), nulls).with_timezone_opt(zone))
        }
    }
}

/// 10^(digits of the Arrow unit - digits of the SQL type), at least 1.
fn coarser_by(sql_type: &str, unit_digits: u32) -> i64 {
    let digits = precision_of(sql_type).unwrap_or(unit_digits);
    10_i64.pow(unit_digits.saturating_sub(digits))
}
