//! The bytes of files to rows of a table's types: column selection, casts, columns that stand in folder names.

use crate::config::Format;
use crate::layout::parse_folder;
use aqueduct_core::json::{JsonDecoder, JsonOptions};
use aqueduct_core::{Error, Result, TableColumn};
use arrow::array::{ArrayRef, RecordBatchOptions, StringArray, UInt64Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Columns whose values stand in a file's path (`name=value` folders): name to value.
pub(crate) type FolderValues = BTreeMap<String, Option<String>>;

/// The folder values of `path` that `columns` ask for.
pub(crate) fn folder_values(path: &str, columns: &[TableColumn]) -> FolderValues {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let asked = |(name, value): (String, Option<String>)| {
        columns.iter().any(|column| column.name == name).then_some((name, value))
    };
    folders.split('/').filter_map(parse_folder).filter_map(asked).collect()
}

/// Makes rows of one table's physical columns from the files of one set of folder values.
pub(crate) struct RowBuilder {
    schema: SchemaRef,
    /// One value of each column that stands in the folders; `None` for columns of the files.
    constants: Vec<Option<ArrayRef>>,
    /// The columns of the files.
    stored: Vec<TableColumn>,
}

impl RowBuilder {
    pub(crate) fn new(columns: &[TableColumn], folders: &FolderValues) -> Result<Self> {
        let constant = |column: &TableColumn| match folders.get(&column.name) {
            None => Ok(None),
            Some(value) => {
                let text: ArrayRef = Arc::new(StringArray::from(vec![value.as_deref()]));
                convert(&text, &column.data_type).map(Some).map_err(|error| {
                    let shown = value.as_deref().unwrap_or("null");
                    Error::data(format!("folder {}={shown}: not a {}: {error}", column.name, column.sql_type))
                })
            }
        };
        let constants = columns.iter().map(constant).collect::<Result<Vec<_>>>()?;
        let in_files = columns.iter().zip(&constants).filter(|(_, constant)| constant.is_none());
        let stored = in_files.map(|(column, _)| column.clone()).collect();
        Ok(Self { schema: TableColumn::schema(columns), constants, stored })
    }

    /// A decoder of the columns that stand in JSON files.
    pub(crate) fn json_decoder(&self, options: JsonOptions) -> Result<JsonDecoder> {
        JsonDecoder::new(&self.stored, options)
    }

    /// The columns in the table's order, from those of the files.
    pub(crate) fn columns(&self, stored: Vec<ArrayRef>, rows: usize) -> Result<Vec<ArrayRef>> {
        let mut stored = stored.into_iter();
        let column = |constant: &Option<ArrayRef>| match constant {
            Some(value) => Ok(take(value, &UInt64Array::from(vec![0; rows]), None)?),
            None => stored.next().ok_or_else(|| Error::bug("a decoder gave fewer columns than it was asked for")),
        };
        self.constants.iter().map(column).collect()
    }

    /// A batch of the table's columns.
    pub(crate) fn batch(&self, stored: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), self.columns(stored, rows)?, &options)?)
    }

    /// Opens a Parquet file, beginning at row `offset`. `address` names it in errors.
    pub(crate) fn parquet(&self, bytes: Bytes, offset: usize, rows: usize, address: &str) -> Result<ParquetRows> {
        let failed = |error| {
            Error::data(format!(
                "{address} cannot be read as Parquet: {error}: is it whole, and compressed with zstd or not at all?"
            ))
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed)?;
        let total = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let names: Vec<&str> = builder.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let wanted: Vec<usize> =
            self.stored.iter().filter_map(|c| names.iter().position(|name| *name == c.name)).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let reader = builder.with_projection(mask).with_offset(offset).with_batch_size(rows).build().map_err(failed)?;
        Ok(ParquetRows { reader, total, left: None, columns: self.stored.clone(), address: address.to_owned() })
    }
}

/// The rows of a Parquet file, batch by batch.
pub(crate) struct ParquetRows {
    reader: ParquetRecordBatchReader,
    /// Rows in the whole file.
    pub(crate) total: usize,
    /// What a smaller limit has left of a batch.
    left: Option<RecordBatch>,
    columns: Vec<TableColumn>,
    address: String,
}

impl ParquetRows {
    /// The next columns in the order of the table, without those of the folders, and their number of rows (at most
    /// `limit`).
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let batch = match self.left.take() {
            Some(batch) => batch,
            None => match self.reader.next() {
                Some(batch) => {
                    batch.map_err(|error| Error::data(format!("{} cannot be read: {error}", self.address)))?
                }
                None => return Ok(None),
            },
        };
        let (batch, rest) = match batch.num_rows() {
            rows if rows > limit => (batch.slice(0, limit), Some(batch.slice(limit, rows - limit))),
            _ => (batch, None),
        };
        self.left = rest;
        let columns = self.columns.iter().map(|column| self.column(&batch, column)).collect::<Result<Vec<_>>>()?;
        Ok(Some((columns, batch.num_rows())))
    }

    fn column(&self, batch: &RecordBatch, column: &TableColumn) -> Result<ArrayRef> {
        let refused = |what: String| Error::data(format!("{}: column '{}' {what}", self.address, column.name));
        let values = match batch.column_by_name(&column.name) {
            Some(values) => convert(values, &column.data_type)
                .map_err(|error| refused(format!("does not fit {}: {error}", column.sql_type)))?,
            None => new_null_array(&column.data_type, batch.num_rows()),
        };
        if !column.nullable && values.null_count() > 0 {
            return Err(refused("is missing or null, but the table says NOT NULL".to_owned()));
        }
        Ok(values)
    }
}

/// A cast that fails instead of making nulls.
fn convert(values: &ArrayRef, to: &DataType) -> std::result::Result<ArrayRef, arrow::error::ArrowError> {
    if values.data_type() == to {
        return Ok(values.clone());
    }
    cast_with_options(values, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// The place of the lines of a JSON file: `line` without its end, blank lines included.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let none = bytes.is_empty();
    whole.split(|byte| *byte == b'\n').skip(usize::from(none)).map(without_end)
}

/// Cuts a carriage return off.
pub(crate) fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// All rows of several files of one table, in their order, as batches.
pub(crate) struct TableReader {
    columns: Vec<TableColumn>,
    format: Format,
    json: JsonOptions,
    /// The JSON rows of files with the same folder values share a decoder: many small files make few batches.
    open: Option<(FolderValues, RowBuilder, Option<JsonDecoder>)>,
    batches: Vec<RecordBatch>,
}

/// Rows of a finished batch.
const BATCH_ROWS: usize = 1 << 16;

impl TableReader {
    pub(crate) fn new(columns: &[TableColumn], format: Format, json: JsonOptions) -> Self {
        Self { columns: columns.to_vec(), format, json, open: None, batches: vec![] }
    }

    /// Adds a file; `path` is below the table's path, `address` is for people.
    pub(crate) fn add(&mut self, path: &str, bytes: &Bytes, address: &str) -> Result<()> {
        let folders = folder_values(path, &self.columns);
        if self.open.as_ref().is_none_or(|(open, _, _)| *open != folders) {
            self.flush()?;
            let builder = RowBuilder::new(&self.columns, &folders).map_err(|error| error.context(address))?;
            let decoder = match self.format {
                Format::Json => Some(builder.json_decoder(self.json)?),
                Format::Parquet => None,
            };
            self.open = Some((folders, builder, decoder));
        }
        let Some((_, builder, decoder)) = &mut self.open else { return Ok(()) };
        let Some(decoder) = decoder else {
            let mut rows = builder.parquet(bytes.clone(), 0, BATCH_ROWS, address)?;
            while let Some((columns, count)) = rows.next(BATCH_ROWS)? {
                self.batches.push(builder.batch(columns, count)?);
            }
            return Ok(());
        };
        for (number, line) in lines(bytes).enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()) {
            decoder.push(line).map_err(|reason| Error::data(format!("{address}, line {}: {reason}", number + 1)))?;
            if decoder.rows() >= BATCH_ROWS {
                let rows = decoder.rows();
                self.batches.push(builder.batch(decoder.finish()?, rows)?);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if let Some((_, builder, Some(decoder))) = &mut self.open
            && decoder.rows() > 0
        {
            let rows = decoder.rows();
            self.batches.push(builder.batch(decoder.finish()?, rows)?);
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Vec<RecordBatch>> {
        self.flush()?;
        Ok(self.batches)
    }
}
