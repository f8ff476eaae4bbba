//! Group keys as bytes.
//!
//! The encoding is ours and part of the state format (version 1): a later Arrow must not change what an old checkpoint
//! means. Per key column: `0` for null, or `1` and the value: integers, dates, times and booleans as 8 bytes big-endian
//! with the sign bit flipped, decimals as 16 such bytes, doubles as their ordered bits, text and bytes as a 4-byte length
//! and the bytes. Which keys there are is not known here.

use aqueduct_core::{Error, Result};
use aqueduct_plan::WindowAggregate;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};

/// The first byte of a null.
pub(super) const NULL: u8 = 0;
/// The first byte of any other value.
pub(super) const VALUE: u8 = 1;

/// Encodes and decodes the keys of one query.
#[derive(Debug, Clone)]
pub(crate) struct KeyCodec {
    types: Vec<DataType>,
}

/// Key columns of a batch, cast to the few shapes that the encoding has.
#[derive(Debug)]
pub(crate) struct KeyColumns {
    columns: Vec<Column>,
}

#[derive(Debug)]
enum Column {
    Whole(Int64Array),
    Decimal(arrow::array::Decimal128Array),
    Double(arrow::array::Float64Array),
    Text(StringArray),
    Bytes(arrow::array::BinaryArray),
}

impl KeyCodec {
    /// A codec for key columns of these types.
    pub(super) fn new(types: Vec<DataType>) -> Result<Self> {
        for data_type in &types {
            if shape(data_type).is_none() {
                return Err(Error::config(format!(
                    "GROUP BY a {data_type} column is not supported: group by text, numbers, dates, times, booleans or bytes"
                )));
            }
        }
        Ok(Self { types })
    }

    /// The codec of a query's keys.
    pub(crate) fn of(plan: &WindowAggregate) -> Result<Self> {
        // Before the keys stand the window's start, end and time.
        let keys = plan.schema.fields().iter().skip(3).take(plan.keys.len());
        Self::new(keys.map(|field| field.data_type().clone()).collect())
    }

    /// Whether a key is one integer, or what is held like one.
    pub(super) fn is_single_whole(&self) -> bool {
        matches!(self.types.as_slice(), [data_type] if shape(data_type) == Some(Shape::Whole))
    }

    /// Keys that are one integer each, as the column that they came from.
    pub(super) fn single(&self, values: Int64Array) -> Result<Vec<ArrayRef>> {
        let values: ArrayRef = std::sync::Arc::new(values);
        self.types.iter().map(|data_type| from_int64(&values, data_type)).collect()
    }

    /// Prepares the key columns of a batch.
    pub(crate) fn columns(&self, arrays: &[ArrayRef]) -> Result<KeyColumns> {
        let mut columns = Vec::with_capacity(arrays.len());
        for (array, data_type) in arrays.iter().zip(&self.types) {
            columns.push(column(array, data_type)?);
        }
        Ok(KeyColumns { columns })
    }

    /// Turns encoded keys back into arrays, one per key column.
    pub(crate) fn decode<'a>(&self, keys: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Vec<ArrayRef>> {
        let mut cursors: Vec<&[u8]> = keys.collect();
        self.types.iter().map(|data_type| decode_column(&mut cursors, data_type)).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Whole,
    Decimal,
    Double,
    Text,
    Bytes,
}

fn shape(data_type: &DataType) -> Option<Shape> {
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Shape::Whole,
        DataType::Boolean | DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, _) => Shape::Whole,
        DataType::Decimal128(_, _) => Shape::Decimal,
        DataType::Float32 | DataType::Float64 => Shape::Double,
        DataType::Utf8 => Shape::Text,
        DataType::Binary => Shape::Bytes,
        _ => return None,
    })
}

/// Int64 with the same bits of meaning: Arrow casts dates and times only through their own width.
pub(crate) fn to_int64(array: &ArrayRef) -> Result<ArrayRef> {
    let narrow = match array.data_type() {
        DataType::Int64 => return Ok(array.clone()),
        DataType::Date32 | DataType::Time32(_) => arrow::compute::cast(array, &DataType::Int32)?,
        _ => array.clone(),
    };
    Ok(arrow::compute::cast(&narrow, &DataType::Int64)?)
}

/// The way back from [`to_int64`].
pub(crate) fn from_int64(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let narrow = match data_type {
        DataType::Int64 => return Ok(array.clone()),
        DataType::Date32 | DataType::Time32(_) => arrow::compute::cast(array, &DataType::Int32)?,
        _ => array.clone(),
    };
    Ok(arrow::compute::cast(&narrow, data_type)?)
}

fn column(array: &ArrayRef, data_type: &DataType) -> Result<Column> {
    Ok(match shape(data_type) {
        Some(Shape::Whole) => Column::Whole(to_int64(array)?.as_primitive::<Int64Type>().clone()),
        Some(Shape::Decimal) => Column::Decimal(array.as_primitive::<Decimal128Type>().clone()),
        Some(Shape::Double) => {
            Column::Double(arrow::compute::cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
        }
        Some(Shape::Text) => Column::Text(arrow::compute::cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
        Some(Shape::Bytes) => Column::Bytes(array.as_binary::<i32>().clone()),
        None => return Err(Error::bug(format!("a key column of type {data_type} passed the check at the start"))),
    })
}

/// Bits that sort like the integers.
#[inline]
pub(super) fn ordered_whole(value: i64) -> u64 {
    (value as u64) ^ (1 << 63)
}

/// The way back from [`ordered_whole`].
#[inline]
pub(super) fn from_ordered_whole(bits: u64) -> i64 {
    (bits ^ (1 << 63)) as i64
}

/// The ordered bits of an encoded key of one integer; none for null.
pub(super) fn read_whole(key: &[u8]) -> Result<Option<u64>> {
    match key {
        [NULL] => Ok(None),
        [VALUE, bits @ ..] if bits.len() == 8 => Ok(Some(u64::from_be_bytes(fixed(&mut &*bits)?))),
        _ => Err(Error::data(
            "a stored group key is no integer, and the query groups by one: the state files are damaged; restore an older checkpoint",
        )),
    }
}

/// -0.0 and 0.0 are one key, every NaN is one key; the bits then sort like the numbers.
#[inline]
pub(super) fn ordered_bits(value: f64) -> u64 {
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

/// The way back from [`ordered_bits`].
#[inline]
pub(super) fn from_ordered_bits(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

impl KeyColumns {
    /// Whether every row has the same, empty key.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The column, where a single one of text is the whole key: then rows need not be encoded to be looked up.
    pub(super) fn single_text(&self) -> Option<&StringArray> {
        match self.columns.as_slice() {
            [Column::Text(array)] => Some(array),
            _ => None,
        }
    }

    /// The column, where a single one of integers is the whole key.
    pub(super) fn single_whole(&self) -> Option<&Int64Array> {
        match self.columns.as_slice() {
            [Column::Whole(array)] => Some(array),
            _ => None,
        }
    }

    /// Appends the key of `row` to `out`.
    pub(crate) fn encode(&self, row: usize, out: &mut Vec<u8>) {
        for column in &self.columns {
            match column {
                Column::Whole(array) if array.is_valid(row) => {
                    out.push(VALUE);
                    out.extend_from_slice(&ordered_whole(array.value(row)).to_be_bytes());
                }
                Column::Decimal(array) if array.is_valid(row) => {
                    out.push(VALUE);
                    out.extend_from_slice(&((array.value(row) as u128) ^ (1 << 127)).to_be_bytes());
                }
                Column::Double(array) if array.is_valid(row) => {
                    out.push(VALUE);
                    out.extend_from_slice(&ordered_bits(array.value(row)).to_be_bytes());
                }
                Column::Text(array) if array.is_valid(row) => push_bytes(array.value(row).as_bytes(), out),
                Column::Bytes(array) if array.is_valid(row) => push_bytes(array.value(row), out),
                _ => out.push(NULL),
            }
        }
    }
}

/// Appends the key that is this one text, or null.
pub(super) fn push_text(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => push_bytes(text.as_bytes(), out),
        None => out.push(NULL),
    }
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(VALUE);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(cursor: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (head, rest) = cursor.split_at_checked(length).ok_or_else(|| {
        Error::data("a stored group key is cut off: the state files are damaged; restore an older checkpoint")
    })?;
    *cursor = rest;
    Ok(head)
}

fn fixed<const N: usize>(cursor: &mut &[u8]) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    bytes.copy_from_slice(take(cursor, N)?);
    Ok(bytes)
}

fn decode_column(cursors: &mut [&[u8]], data_type: &DataType) -> Result<ArrayRef> {
    use arrow::array::{BinaryBuilder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder};
    use std::sync::Arc;
    let rows = cursors.len();
    macro_rules! fill {
        ($builder:expr, $read:expr) => {{
            let mut builder = $builder;
            for cursor in cursors.iter_mut() {
                match take(cursor, 1)? {
                    [NULL] => builder.append_null(),
                    _ => builder.append_value($read(cursor)?),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    fn bytes<'a>(cursor: &mut &'a [u8]) -> Result<&'a [u8]> {
        let length = u32::from_be_bytes(fixed(cursor)?);
        take(cursor, length as usize)
    }
    fn text<'a>(cursor: &mut &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes(cursor)?)
            .map_err(|_| Error::data("a stored group key is not UTF-8: the state files are damaged"))
    }
    let whole = |cursor: &mut &[u8]| Ok::<_, Error>(from_ordered_whole(u64::from_be_bytes(fixed(cursor)?)));
    let decimal = |cursor: &mut &[u8]| Ok::<_, Error>((u128::from_be_bytes(fixed(cursor)?) ^ (1 << 127)) as i128);
    let double = |cursor: &mut &[u8]| Ok::<_, Error>(from_ordered_bits(u64::from_be_bytes(fixed(cursor)?)));
    match shape(data_type) {
        Some(Shape::Whole) => from_int64(&fill!(Int64Builder::with_capacity(rows), whole), data_type),
        Some(Shape::Decimal) => {
            Ok(fill!(Decimal128Builder::with_capacity(rows).with_data_type(data_type.clone()), decimal))
        }
        Some(Shape::Double) => {
            Ok(arrow::compute::cast(&fill!(Float64Builder::with_capacity(rows), double), data_type)?)
        }
        Some(Shape::Text) => Ok(fill!(StringBuilder::with_capacity(rows, rows * 8), text)),
        Some(Shape::Bytes) => Ok(fill!(BinaryBuilder::with_capacity(rows, rows * 8), bytes)),
        None => Err(Error::bug(format!("a key column of type {data_type} passed the check at the start"))),
    }
}
