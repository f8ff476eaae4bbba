//! A column under construction: values that were found in the text are converted and appended, whole or not at all.
//!
//! The table of what converts to what is in the room's own documentation. Where the values are is found elsewhere.

use super::TimestampFormat;
use super::fault::{Fault, Outcome};
use super::fields::Fields;
use super::scan::{Kind, Span};
use super::values::Values;
use crate::Result;
use arrow::array::{ArrayRef, NullBufferBuilder};
use arrow::datatypes::DataType;

/// What conversions need besides the value.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// The record.
    pub(super) document: &'a str,
    pub(super) format: TimestampFormat,
    /// Fields that do not convert become null.
    pub(super) lenient: bool,
    /// Room for text whose escapes have been resolved.
    pub(super) scratch: &'a mut Vec<u8>,
}

/// One column, or one part of a nested one.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// For messages.
    pub(super) sql_type: String,
    nullable: bool,
    nulls: NullBufferBuilder,
    values: Values,
}

impl Column {
    /// `sql_type` is what the job says, or empty for parts of nested types.
    pub(super) fn new(name: &str, data_type: &DataType, nullable: bool, sql_type: &str) -> Result<Self> {
        let values = Values::new(name, data_type, sql_type)?;
        let sql_type = if sql_type.is_empty() { sql_name(data_type) } else { sql_type.to_owned() };
        Ok(Self { name: name.to_owned(), sql_type, nullable, nulls: NullBufferBuilder::new(0), values })
    }

    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Appends the value at `span`, or leaves the column as it was and says why.
    #[inline]
    pub(super) fn append(&mut self, span: Span, context: &mut Context<'_>) -> Outcome<()> {
        match span.kind {
            Kind::Missing => return self.append_absent("missing"),
            Kind::Null => return self.append_absent("null"),
            _ => {}
        }
        let before = self.len();
        match self.values.append(span, context, &self.sql_type) {
            Ok(true) => self.nulls.append_non_null(),
            Ok(false) => return self.append_absent("empty text"),
            Err(fault) => {
                self.values.truncate(before);
                if !(context.lenient && self.nullable) {
                    return Err(fault.within(&self.name));
                }
                self.append_null();
            }
        }
        Ok(())
    }

    fn append_absent(&mut self, what: &str) -> Outcome<()> {
        if !self.nullable {
            return Err(Fault::new(format!("{what}, but the column is NOT NULL")).within(&self.name));
        }
        self.append_null();
        Ok(())
    }

    /// Appends a null, also where the column itself is NOT NULL: the nested value around it is null then.
    pub(super) fn append_null(&mut self) {
        self.nulls.append_null();
        self.values.append_default();
    }

    /// Takes back everything behind the first `length` values.
    pub(super) fn truncate(&mut self, length: usize) {
        if length < self.len() {
            self.nulls.truncate(length);
            self.values.truncate(length);
        }
    }

    /// The values so far; the column is empty again.
    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let length = self.len();
        let nulls = self.nulls.finish();
        self.values.finish(nulls, length).map_err(|error| error.context(format_args!("column '{}'", self.name)))
    }
}

/// Columns that are fields of the same object.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) fields: Fields,
    pub(super) columns: Vec<Column>,
}

impl Row {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { fields: Fields::new(columns.iter().map(|column| column.name.as_str())), columns }
    }

    /// Appends one value to each column from what `fields` has found, or leaves all of them as they were.
    #[inline]
    pub(super) fn append(&mut self, context: &mut Context<'_>) -> Outcome<()> {
        for index in 0..self.columns.len() {
            if let Err(fault) = self.columns[index].append(self.fields.slot(index), context) {
                let before = self.columns[index].len();
                self.columns[..index].iter_mut().for_each(|column| column.truncate(before));
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// The name in SQL, for parts of nested types.
pub(super) fn sql_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 => "STRING",
        DataType::Binary => "BYTES",
        DataType::Date32 => "DATE",
        DataType::Time32(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP_LTZ",
        DataType::Struct(_) => "ROW",
        DataType::List(_) => "ARRAY",
        DataType::Map(_, _) => "MAP",
        DataType::Decimal128(precision, scale) => return format!("DECIMAL({precision}, {scale})"),
        other => return other.to_string(),
    };
    name.to_owned()
}
