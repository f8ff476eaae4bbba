//! The decoder: records in, arrays out.
//!
//! It decides nothing about single values; the room's documentation has the table.

use super::column::{Column, Context, Row};
use super::scan::{Broken, Scan, Scanned};
use super::{JsonOptions, TimestampFormat};
use crate::{ColumnKind, Result, TableColumn};
use arrow::array::ArrayRef;

/// Turns JSON objects into rows of the physical columns of a table.
#[derive(Debug)]
pub struct JsonDecoder {
    row: Row,
    rows: usize,
    buffered: usize,
    format: TimestampFormat,
    lenient: bool,
    scratch: Vec<u8>,
}

/// Arrow counts the bytes of a text column in 31 bits.
const MAX_BUFFERED: usize = i32::MAX as usize;

impl JsonDecoder {
    /// A decoder for the physical columns among `columns`; the others are left out. Without any, records are still checked
    /// and counted. A type that JSON cannot carry is [`crate::ErrorKind::FixConfig`].
    pub fn new(columns: &[TableColumn], options: JsonOptions) -> Result<Self> {
        let physical = columns.iter().filter(|column| column.kind == ColumnKind::Physical);
        let column = |from: &TableColumn| Column::new(&from.name, &from.data_type, from.nullable, &from.sql_type);
        Ok(Self {
            row: Row::new(physical.map(column).collect::<Result<_>>()?),
            rows: 0,
            buffered: 0,
            format: options.timestamp_format,
            lenient: options.ignore_parse_errors,
            scratch: Vec::new(),
        })
    }

    /// Appends exactly one row, or none and says why, in words for a person: `size_bytes: expected BIGINT, found text 'abc'`.
    pub fn push(&mut self, value: &[u8]) -> std::result::Result<(), String> {
        let document = simdutf8::basic::from_utf8(value).map_err(|_| broken_text(value))?;
        if value.len() > MAX_BUFFERED - self.buffered {
            return Err(format!("the batch holds {} bytes already and has no room for {}", self.buffered, value.len()));
        }
        self.scan(document).map_err(|broken| explain(broken, document))?;
        let scratch = &mut self.scratch;
        let mut context = Context { document, format: self.format, lenient: self.lenient, scratch };
        self.row.append(&mut context).map_err(|fault| fault.into_message())?;
        self.rows += 1;
        self.buffered += value.len();
        Ok(())
    }

    /// Checks the whole record and notes where the wanted values are.
    #[inline]
    fn scan(&mut self, document: &str) -> Scanned<()> {
        let mut scan = Scan::new(document, 0);
        scan.blanks();
        if scan.peek() != b'{' {
            return not_an_object(scan);
        }
        scan.at += 1;
        self.row.fields.read(&mut scan, 1)?;
        scan.blanks();
        if scan.at == document.len() { Ok(()) } else { scan.broken("expected the end") }
    }

    /// Rows that have been appended since the last [`JsonDecoder::finish`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of records behind these rows. A reader ends its batch long before this reaches 2 GiB, where `push` refuses.
    pub fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// One array per physical column, in their order; the decoder is empty again.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.buffered = 0;
        self.row.columns.iter_mut().map(Column::finish).collect()
    }
}

/// Where the text stops being UTF-8; the fast check does not say.
#[cold]
fn broken_text(value: &[u8]) -> String {
    let at = std::str::from_utf8(value).map_or_else(|error| error.valid_up_to(), |text| text.len());
    format!("broken UTF-8 at byte {at}")
}

/// Tells JSON of another kind from what is no JSON.
#[cold]
fn not_an_object(mut scan: Scan<'_>) -> Scanned<()> {
    let start = scan.at;
    if start == scan.bytes.len() {
        return Err(Broken { at: 0, what: EMPTY });
    }
    scan.value(0)?;
    scan.blanks();
    if scan.at < scan.bytes.len() {
        return scan.broken("expected the end");
    }
    Err(Broken { at: start, what: NOT_AN_OBJECT })
}

const EMPTY: &str = "the value is empty";
const NOT_AN_OBJECT: &str = "expected an object";

#[cold]
fn explain(broken: Broken, document: &str) -> String {
    let Broken { at, what } = broken;
    if what == EMPTY {
        return what.to_owned();
    }
    let found = match document.get(at..).and_then(|rest| rest.chars().next()) {
        Some(character) => format!("{character:?}"),
        None => "the end".to_owned(),
    };
    if what == NOT_AN_OBJECT {
        return format!("the value is JSON, but not an object: it begins with {found}");
    }
    if what.starts_with("expected") {
        return format!("broken JSON at byte {at}: {what}, found {found}");
    }
    format!("broken JSON at byte {at}: {what}")
}
