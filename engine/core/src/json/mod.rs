//! JSON text to Arrow rows and back, driven by the columns that the job declares.
//!
//! [`JsonDecoder`] scans each record once, byte by byte, and converts only the wanted fields; it builds no tree and, except
//! for MAP columns, allocates nothing per record. Records that are not JSON (RFC 8259, strictly) or do not fit are refused
//! whole, with a reason for the person who reads the dead letters. This room does no I/O and knows no connector.
//!
//! # What becomes of a value
//!
//! | in the record | column | becomes |
//! |---|---|---|
//! | number without fraction: `12`, `12.0`, `1e3` | TINYINT ... BIGINT | the integer; `12.5` is refused; outside the type's range is refused |
//! | text of an optional minus and digits: `"123"` | TINYINT ... BIGINT | the integer; `"+5"`, `" 5"`, `"12.0"`, `""` are refused |
//! | number, or text that reads as one | FLOAT, DOUBLE | the nearest value; infinity (`1e999`) is refused; `-0.0` stays negative |
//! | number, or text that reads as one | DECIMAL(p, s) | exact, from the digits; rounded half up to the scale; too large is refused |
//! | `true`, `false`, `"true"`, `"false"` | BOOLEAN | the value |
//! | text | STRING | the text, escapes resolved |
//! | number, boolean | STRING | its literal text, as in the record: `1.50`, `true` |
//! | object, array | STRING | its JSON text, as in the record |
//! | text | TIMESTAMP, TIMESTAMP_LTZ | see [`parse_timestamp`]; cut to the column's precision; leap seconds (`:60`) are refused |
//! | number | TIMESTAMP, TIMESTAMP_LTZ | refused: declare BIGINT and use TO_TIMESTAMP_LTZ |
//! | text `2026-01-31`, `23:59:59.999` | DATE, TIME | the value; seconds are optional, fractions are cut |
//! | `""` | TIMESTAMP, TIMESTAMP_LTZ, DATE, TIME | null |
//! | base64 text (padded) | BYTES | the bytes |
//! | object | ROW | its fields, by name; unknown ones are passed over |
//! | array | ARRAY | its items |
//! | object | MAP&lt;STRING, x&gt; | its members, in their order |
//! | `null`, or no such field | any | null; refused when the column is NOT NULL |
//! | field that is no column | - | passed over, but it must be correct JSON |
//! | the same name twice | any | the last one counts; the ones before need not even convert |
//!
//! | record | becomes |
//! |---|---|
//! | empty or blank value | refused: `the value is empty` |
//! | not UTF-8 | refused, with the position of the first wrong byte |
//! | broken syntax, text after the end, control characters in text, unknown escapes, lone surrogates, `NaN` | refused, with the position |
//! | an array, text, number, ... instead of an object | refused |
//! | more than 64 levels of nesting | refused |
//! | names | compared exactly, escapes resolved; case matters |
//! | byte order mark | refused (not JSON) |
//!
//! With [`JsonOptions::ignore_parse_errors`] a value that does not convert becomes null where its column takes nulls;
//! records that are not JSON are refused all the same.

mod base64;
mod column;
mod convert;
mod decode;
mod encode;
mod fault;
mod fields;
mod literal;
mod nested;
mod rows;
mod scan;
mod text;
mod time;
mod values;

#[cfg(test)]
mod tests;

pub use base64::{decode_base64, encode_base64};
pub use decode::JsonDecoder;
pub use encode::JsonEncoder;
pub use rows::JsonRows;
pub use text::{text_value, value_to_json};
pub use time::{
    Moment, format_timestamp_ms, parse_date, parse_time_of_day, parse_timestamp, write_date, write_timestamp,
};

/// How timestamps are written in JSON: Flink's `json.timestamp-format.standard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampFormat {
    /// `ISO-8601`: `2026-01-01T00:00:00.250Z`
    #[default]
    Iso8601,
    /// `SQL`: `2026-01-01 00:00:00.250`, with a `Z` at the end for TIMESTAMP_LTZ.
    Sql,
}

/// How JSON is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonOptions {
    /// The text of timestamps.
    pub timestamp_format: TimestampFormat,
    /// A value that does not convert becomes null, where its column takes nulls. Reading only.
    pub ignore_parse_errors: bool,
}

impl JsonOptions {
    /// The values of `json.timestamp-format.standard` and `json.ignore-parse-errors`. Without the first it is ISO-8601, which
    /// reads the SQL form too; Flink's own default is SQL.
    pub fn from_options(options: &crate::Options) -> crate::Result<Self> {
        let standard = options.one_of("json.timestamp-format.standard", "ISO-8601", &["ISO-8601", "SQL"])?;
        Ok(Self {
            timestamp_format: if standard == "SQL" { TimestampFormat::Sql } else { TimestampFormat::Iso8601 },
            ignore_parse_errors: options.bool("json.ignore-parse-errors", false)?,
        })
    }
}
