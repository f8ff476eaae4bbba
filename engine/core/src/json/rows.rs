//! Many rows of one batch as JSON objects: what depends on the columns alone is looked at once. What the text of a value is, is
//! decided in `encode`.

use super::TimestampFormat;
use super::encode::{write_integer, write_text, write_value};
use super::time::write_timestamp;
use arrow::array::{Array, AsArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMillisecondType};

/// The values of a column; those that results are full of have a way of their own.
enum Values<'a> {
    Whole(&'a Int64Array),
    Text(&'a StringArray),
    Moment(&'a TimestampMillisecondArray, bool),
    Other(&'a dyn Array),
}

impl<'a> Values<'a> {
    fn of(array: &'a dyn Array) -> Self {
        match array.data_type() {
            DataType::Int64 => Self::Whole(array.as_primitive::<Int64Type>()),
            DataType::Utf8 => Self::Text(array.as_string::<i32>()),
            DataType::Timestamp(TimeUnit::Millisecond, zone) => {
                Self::Moment(array.as_primitive::<TimestampMillisecondType>(), zone.is_some())
            }
            _ => Self::Other(array),
        }
    }

    #[inline]
    fn write(&self, row: usize, format: TimestampFormat, out: &mut Vec<u8>) {
        match self {
            Self::Whole(array) if array.is_valid(row) => write_integer(array.value(row), out),
            Self::Text(array) if array.is_valid(row) => write_text(array.value(row), out),
            Self::Moment(array, utc) if array.is_valid(row) => {
                out.push(b'"');
                write_timestamp(array.value(row), TimeUnit::Millisecond, *utc, format, out);
                out.push(b'"');
            }
            Self::Other(array) => write_value(*array, row, format, out),
            _ => out.extend_from_slice(b"null"),
        }
    }
}

/// The rows of a batch, ready to be written; made by [`super::JsonEncoder::rows`].
pub struct JsonRows<'a> {
    /// What stands before a value (`{"name":`, `,"name":`), and the values.
    columns: Vec<(Vec<u8>, Values<'a>)>,
    format: TimestampFormat,
}

impl<'a> JsonRows<'a> {
    /// `columns` are `"name":` and the values, in order.
    pub(super) fn new(
        columns: impl Iterator<Item = (&'a [u8], &'a dyn Array)>,
        format: TimestampFormat,
    ) -> JsonRows<'a> {
        let begun = |(position, (name, array)): (usize, (&[u8], &'a dyn Array))| {
            ([if position == 0 { b"{" } else { b"," }, name].concat(), Values::of(array))
        };
        Self { columns: columns.enumerate().map(begun).collect(), format }
    }

    /// Appends a row as one object, without a line feed. Nulls are written as `null`.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.columns.is_empty() {
            out.push(b'{');
        }
        for (before, values) in &self.columns {
            out.extend_from_slice(before);
            values.write(row, self.format, out);
        }
        out.push(b'}');
    }
}
