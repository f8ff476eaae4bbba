//! How the values of a declared column are made: by its type and its `fields.<name>.*` options.

use aqueduct_core::{ColumnKind, Error, Options, Result, TableColumn};
use arrow::datatypes::DataType;

/// The values of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnRule {
    /// The column's name.
    pub name: String,
    /// How they are made.
    pub values: Values,
    /// `missing-fraction` applies.
    pub optional: bool,
}

/// How values are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values {
    /// The record's number in the source, from `start` on.
    Sequence {
        /// The first value.
        start: i64,
    },
    /// The same as text.
    SequenceText {
        /// The first value.
        start: i64,
    },
    /// Evenly spread, both ends included.
    Integer {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// Evenly spread, both ends included, in units of 10^-`scale`.
    Decimal {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
        /// Digits after the point.
        scale: u32,
    },
    /// Evenly spread.
    Float {
        /// The least value.
        min: f64,
        /// Above the greatest value.
        max: f64,
    },
    /// `true` and `false`
    Boolean,
    /// `key-0` to `key-<key-cardinality - 1>`
    Key,
    /// Hex digits.
    Text {
        /// How many.
        length: u32,
    },
    /// Bytes.
    Bytes {
        /// How many.
        length: u32,
    },
    /// The event time.
    Time,
    /// The date of the event time.
    Date,
    /// The time of day of the event time.
    TimeOfDay,
}

impl Values {
    /// Whether JSON carries them as numbers.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Values::Sequence { .. } | Values::Integer { .. } | Values::Decimal { .. } | Values::Float { .. })
    }
}

const EXPECTED_NUMBER: &str = "a number that the column can hold";

/// One rule per declared column.
pub(super) fn rules(options: &Options, declared: &[TableColumn]) -> Result<Vec<ColumnRule>> {
    let physical: Vec<&TableColumn> = declared.iter().filter(|column| column.kind == ColumnKind::Physical).collect();
    for (key, _) in options.below("fields.") {
        let known = |column: &&TableColumn| {
            let what = key.strip_prefix(column.name.as_str()).and_then(|rest| rest.strip_prefix('.'));
            what.is_some_and(|what| ["kind", "min", "max", "length", "start"].contains(&what))
        };
        if !physical.iter().any(known) {
            let names = physical.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::config(format!(
                "table '{}': option 'fields.{key}' fits no column: it must be fields.<name>.kind, .min, .max, .length or .start, \
                 with one of: {names}",
                options.table()
            )));
        }
    }
    physical.into_iter().map(|column| rule(options, column)).collect()
}

fn rule(options: &Options, column: &TableColumn) -> Result<ColumnRule> {
    let key = |what: &str| format!("fields.{}.{what}", column.name);
    let sequence = options.one_of(&key("kind"), "random", &["random", "sequence"])? == "sequence";
    let start = options.number(&key("start"), 0, EXPECTED_NUMBER)?;
    let values = match &column.data_type {
        integer if sequence && integer.is_signed_integer() => Values::Sequence { start },
        DataType::Utf8 if sequence => Values::SequenceText { start },
        _ if sequence => {
            let error = options.invalid(&key("kind"), "sequence", "random: only integers and STRING come in sequence");
            return Err(error);
        }
        DataType::Int8 => integer(options, column, i8::MIN.into(), i8::MAX.into())?,
        DataType::Int16 => integer(options, column, i16::MIN.into(), i16::MAX.into())?,
        DataType::Int32 => integer(options, column, i32::MIN.into(), i32::MAX.into())?,
        DataType::Int64 => integer(options, column, i64::MIN, i64::MAX)?,
        DataType::Decimal128(precision, scale) => decimal(options, column, *precision, *scale)?,
        DataType::Float32 | DataType::Float64 => float(options, column)?,
        DataType::Boolean => Values::Boolean,
        DataType::Utf8 if options.get(&key("length")).is_none() => Values::Key,
        DataType::Utf8 => Values::Text { length: length(options, column, 16)? },
        DataType::Binary => Values::Bytes { length: length(options, column, 8)? },
        DataType::Timestamp(_, _) => Values::Time,
        DataType::Date32 => Values::Date,
        DataType::Time32(_) => Values::TimeOfDay,
        _ => {
            return Err(Error::config(format!(
                "table '{}': 'datagen' cannot make values of type {} (column '{}'); take columns of plain types, or record a topic \
                 and use 'replay'",
                options.table(),
                column.sql_type,
                column.name
            )));
        }
    };
    let optional = column.nullable && values != Values::Time;
    Ok(ColumnRule { name: column.name.clone(), values, optional })
}

/// Like Flink, the whole range of the type where nothing is said.
fn integer(options: &Options, column: &TableColumn, least: i64, greatest: i64) -> Result<Values> {
    let (min, max) = bounds(options, column, least, greatest)?;
    if min < least || max > greatest {
        return Err(range_error(options, column, &format!("between {least} and {greatest}")));
    }
    Ok(Values::Integer { min, max })
}

fn decimal(options: &Options, column: &TableColumn, precision: u8, scale: i8) -> Result<Values> {
    // Counted in 64 bits: wider columns get the values that fit.
    let scale = u32::from(scale.unsigned_abs());
    if scale > 18 {
        return Err(Error::config(format!(
            "table '{}': 'datagen' makes decimals with at most 18 digits after the point (column '{}')",
            options.table(),
            column.name
        )));
    }
    let unit = 10_i64.pow(scale);
    let greatest = 10_i64.pow(u32::from(precision).min(18)) - 1;
    let (min, max) = bounds(options, column, 0.0, (greatest / unit).min(1_000) as f64)?;
    let (low, high) = (min * unit as f64, max * unit as f64);
    if low < -(greatest as f64) || high > greatest as f64 {
        return Err(range_error(options, column, &format!("within {}", column.sql_type)));
    }
    Ok(Values::Decimal { min: low.round() as i64, max: high.round() as i64, scale })
}

fn float(options: &Options, column: &TableColumn) -> Result<Values> {
    let (min, max) = bounds(options, column, 0.0, 1.0)?;
    let greatest = if column.data_type == DataType::Float32 { f64::from(f32::MAX) } else { f64::MAX / 2.0 };
    if !(min >= -greatest && max <= greatest) {
        return Err(range_error(options, column, "finite"));
    }
    Ok(Values::Float { min, max })
}

fn bounds<T>(options: &Options, column: &TableColumn, least: T, greatest: T) -> Result<(T, T)>
where
    T: std::str::FromStr + PartialOrd + Copy,
{
    let min = options.number(&format!("fields.{}.min", column.name), least, EXPECTED_NUMBER)?;
    let max = options.number(&format!("fields.{}.max", column.name), greatest, EXPECTED_NUMBER)?;
    if min > max {
        return Err(range_error(options, column, "in order: min must not be above max (write both)"));
    }
    Ok((min, max))
}

fn range_error(options: &Options, column: &TableColumn, expected: &str) -> Error {
    Error::config(format!(
        "table '{}': 'fields.{name}.min' and 'fields.{name}.max' must be {expected}",
        options.table(),
        name = column.name
    ))
}

fn length(options: &Options, column: &TableColumn, default: u32) -> Result<u32> {
    const EXPECTED: &str = "a length from 0 to 1000000";
    let key = format!("fields.{}.length", column.name);
    let length = options.number(&key, default, EXPECTED)?;
    if length > 1_000_000 {
        return Err(options.invalid(&key, &length.to_string(), EXPECTED));
    }
    Ok(length)
}
