//! The value of a record by the table's `format`: fields of a JSON object, or the bytes as they are (`raw`).
//!
//! It knows no partitions, offsets or metadata columns; `decode` has those.

use crate::options::Format;
use aqueduct_core::json::{JsonDecoder, JsonOptions};
use aqueduct_core::{ColumnKind, Error, Result, TableColumn};
use arrow::array::{ArrayRef, BinaryBuilder, StringBuilder};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// Collects the values of a batch.
#[derive(Debug)]
pub(crate) enum Values {
    Json(JsonDecoder),
    Raw(Raw),
}

/// What became of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Row,
    /// No row and no fault, such as a tombstone under `json`.
    Skip,
    /// Why it cannot be a row, in words for a person.
    Dead(String),
}

/// The whole value as one column, or as none where no query reads it.
#[derive(Debug)]
pub(crate) struct Raw {
    name: String,
    nullable: bool,
    builder: Option<Builder>,
    held: usize,
}

#[derive(Debug)]
enum Builder {
    Bytes(BinaryBuilder),
    Text(StringBuilder),
}

/// Arrow counts the bytes of such a column in 31 bits.
const MAX_HELD: usize = i32::MAX as usize;

impl Values {
    /// For the physical columns among `columns`. A column that the format cannot fill is `ErrorKind::FixConfig`.
    pub(crate) fn new(format: Format, table: &str, columns: &[TableColumn], options: JsonOptions) -> Result<Self> {
        Ok(match format {
            Format::Json => Self::Json(JsonDecoder::new(columns, options)?),
            Format::Raw => Self::Raw(Raw::new(table, columns)?),
        })
    }

    /// Appends one row, or none and says why.
    pub(crate) fn push(&mut self, value: Option<&[u8]>) -> Verdict {
        match self {
            Self::Json(json) => match value {
                None => Verdict::Skip,
                Some([]) => Verdict::Dead("empty value".into()),
                Some(value) => json.push(value).map_or_else(Verdict::Dead, |()| Verdict::Row),
            },
            Self::Raw(raw) => raw.push(value),
        }
    }

    /// One array per physical column; it is empty again.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Json(json) => json.finish(),
            Self::Raw(raw) => Ok(raw.finish().into_iter().collect()),
        }
    }
}

/// Refuses a table that `format` cannot fill; `declared` are all its columns.
pub(crate) fn check(format: Format, table: &str, declared: &[TableColumn]) -> Result<()> {
    let physical: Vec<&TableColumn> = declared.iter().filter(|column| column.kind == ColumnKind::Physical).collect();
    match (format, physical.as_slice()) {
        (Format::Json, _) | (Format::Raw, [_]) => Ok(()),
        (Format::Raw, several) => Err(Error::config(format!(
            "table '{table}': 'format' = 'raw' takes exactly one physical column, BYTES or STRING, for the whole value; {} \
             are declared: declare one, or use 'format' = 'json'",
            several.len()
        ))),
    }
}

impl Raw {
    fn new(table: &str, columns: &[TableColumn]) -> Result<Self> {
        let Some(column) = columns.iter().find(|column| column.kind == ColumnKind::Physical) else {
            return Ok(Self { name: String::new(), nullable: true, builder: None, held: 0 });
        };
        let builder = match column.data_type {
            DataType::Binary => Builder::Bytes(BinaryBuilder::new()),
            DataType::Utf8 => Builder::Text(StringBuilder::new()),
            _ => {
                return Err(Error::config(format!(
                    "table '{table}': column '{}' is {}, and 'format' = 'raw' gives BYTES or STRING: declare one of \
                     these and CAST it in the query",
                    column.name, column.sql_type
                )));
            }
        };
        Ok(Self { name: column.name.clone(), nullable: column.nullable, builder: Some(builder), held: 0 })
    }

    fn push(&mut self, value: Option<&[u8]>) -> Verdict {
        let Some(builder) = &mut self.builder else { return Verdict::Row };
        let Some(value) = value else {
            if !self.nullable {
                return Verdict::Dead(format!("{}: the record has no value, and the column is NOT NULL", self.name));
            }
            match builder {
                Builder::Bytes(builder) => builder.append_null(),
                Builder::Text(builder) => builder.append_null(),
            }
            return Verdict::Row;
        };
        if value.len() > MAX_HELD - self.held {
            let held = self.held;
            return Verdict::Dead(format!("the batch holds {held} bytes already and has no room for {}", value.len()));
        }
        match builder {
            Builder::Bytes(builder) => builder.append_value(value),
            Builder::Text(builder) => match std::str::from_utf8(value) {
                Ok(text) => builder.append_value(text),
                Err(error) => {
                    let at = error.valid_up_to();
                    return Verdict::Dead(format!("{}: broken UTF-8 at byte {at}: declare it as BYTES", self.name));
                }
            },
        }
        self.held += value.len();
        Verdict::Row
    }

    fn finish(&mut self) -> Option<ArrayRef> {
        self.held = 0;
        Some(match self.builder.as_mut()? {
            Builder::Bytes(builder) => Arc::new(builder.finish()),
            Builder::Text(builder) => Arc::new(builder.finish()),
        })
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
