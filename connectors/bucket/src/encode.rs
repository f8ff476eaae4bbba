//! Rows to the bytes of a file: JSON lines or Parquet. The same rows always give the same bytes, however they are
//! batched.

use crate::config::{Format, SinkConfig};
use crate::rows::Place;
use aqueduct_core::json::{JsonEncoder, JsonRows};
use aqueduct_core::{Error, Result, TableColumn};
use arrow::array::ArrayRef;
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

/// A JSON file ends with the row that reaches this size. Files are written in one request each: only that is
/// conditional.
const MAX_JSON_BYTES: usize = 16 << 20;
/// Rows of a Parquet file; one row group.
const MAX_PARQUET_ROWS: usize = 1 << 17;

/// Writes the files of one table.
pub(crate) struct FileEncoder {
    format: Format,
    /// The columns in the files, as indexes into the batches.
    columns: Vec<usize>,
    json: JsonEncoder,
    parquet_schema: SchemaRef,
    properties: WriterProperties,
}

impl FileEncoder {
    pub(crate) fn new(config: &SinkConfig) -> Result<Self> {
        let json = JsonEncoder::new(&TableColumn::schema(&config.columns), config.common.json)?;
        let field = |index: &usize| {
            let column = &config.columns[*index];
            Field::new(&column.name, stored_type(&column.data_type), column.nullable)
        };
        let parquet_schema = Arc::new(Schema::new(config.file_columns.iter().map(field).collect::<Vec<_>>()));
        let compression = match config.zstd {
            true => Compression::ZSTD(ZstdLevel::try_new(1).map_err(|error| failed("zstd", &error))?),
            false => Compression::UNCOMPRESSED,
        };
        let properties = WriterProperties::builder()
            .set_compression(compression)
            // A release's name would make the bytes of the same epoch differ after an upgrade.
            .set_created_by("aqueduct version 1.0.0 (build 1)".to_owned())
            .set_max_row_group_row_count(Some(MAX_PARQUET_ROWS))
            // Names of list and map parts as the Parquet specification has them: BigQuery and Athena look for those.
            .set_coerce_types(true)
            .build();
        Ok(Self {
            format: config.common.format,
            columns: config.file_columns.clone(),
            json,
            parquet_schema,
            properties,
        })
    }

    /// One file with as many of the first `places` as it takes, and how many those are (at least one).
    pub(crate) fn file(&self, batches: &[RecordBatch], places: &[Place]) -> Result<(Bytes, usize)> {
        match self.format {
            Format::Json => Ok(self.json_file(batches, places)),
            Format::Parquet => self.parquet_file(batches, &places[..places.len().min(MAX_PARQUET_ROWS)]),
        }
    }

    /// One row as a JSON file of its own.
    pub(crate) fn object(&self, batches: &[RecordBatch], place: Place) -> Bytes {
        let mut out = Vec::new();
        self.json.encode_columns(&batches[place.0], place.1, &self.columns, &mut out);
        out.push(b'\n');
        Bytes::from(out)
    }

    fn json_file(&self, batches: &[RecordBatch], places: &[Place]) -> (Bytes, usize) {
        let mut out = Vec::new();
        let mut rows = 0;
        let all: Vec<JsonRows<'_>> = batches.iter().map(|batch| self.json.rows(batch, &self.columns)).collect();
        for (batch, row) in places {
            all[*batch].write(*row, &mut out);
            out.push(b'\n');
            rows += 1;
            if rows == 1 {
                // Rows are much alike: room for all of them at once, instead of a buffer that doubles many times.
                out.reserve((out.len() * 9 / 8 * (places.len() - 1)).min(MAX_JSON_BYTES));
            }
            if out.len() >= MAX_JSON_BYTES {
                break;
            }
        }
        (Bytes::from(out), rows)
    }

    fn parquet_file(&self, batches: &[RecordBatch], places: &[Place]) -> Result<(Bytes, usize)> {
        let sources: Vec<&RecordBatch> = batches.iter().collect();
        let rows = interleave_record_batch(&sources, places)?.project(&self.columns)?;
        let store = |(column, field): (&ArrayRef, &Arc<Field>)| -> Result<ArrayRef> {
            Ok(if column.data_type() == field.data_type() { column.clone() } else { cast(column, field.data_type())? })
        };
        let columns = rows.columns().iter().zip(self.parquet_schema.fields()).map(store).collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(self.parquet_schema.clone(), columns)?;
        let options = ArrowWriterOptions::new().with_properties(self.properties.clone()).with_skip_arrow_metadata(true);
        let write = || -> std::result::Result<Vec<u8>, ParquetError> {
            let mut writer = ArrowWriter::try_new_with_options(Vec::new(), self.parquet_schema.clone(), options)?;
            writer.write(&batch)?;
            writer.into_inner()
        };
        let bytes = write().map_err(|error| failed("writing rows", &error))?;
        Ok((Bytes::from(bytes), places.len()))
    }
}

fn failed(what: &str, error: &ParquetError) -> Error {
    Error::bug(format!("parquet: {what}: {error}"))
}

/// The type in a Parquet file. Nanoseconds become microseconds: BigQuery and Athena do not read nanoseconds as time.
fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::List(item) => DataType::List(stored_field(item)),
        DataType::Map(entries, sorted) => DataType::Map(stored_field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(stored_field).collect()),
        other => other.clone(),
    }
}

fn stored_field(field: &Arc<Field>) -> Arc<Field> {
    Arc::new(field.as_ref().clone().with_data_type(stored_type(field.data_type())))
}
