//! From records of one split to a batch with the columns that the job reads, metadata included.
//!
//! Where the records come from is the callers' business.

use aqueduct_core::json::{JsonDecoder, JsonOptions};
use aqueduct_core::{
    ColumnKind, DeadLetter, Error, MetadataKey, Offset, RawRecord, RawRecords, Result, SourceBatch, SourceSpec,
    SplitId, TableColumn,
};
use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;

/// A metadata column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    Partition,
    Offset,
    Timestamp,
    Topic,
    Key,
}

impl Metadata {
    const ALL: [(&'static str, Metadata); 5] = [
        ("partition", Metadata::Partition),
        ("offset", Metadata::Offset),
        ("timestamp", Metadata::Timestamp),
        ("topic", Metadata::Topic),
        ("key", Metadata::Key),
    ];

    /// The metadata columns with these names, as the planner wants to know them.
    pub(crate) fn keys(names: &[&str]) -> Vec<MetadataKey> {
        let offered = Self::ALL.into_iter().filter(|(name, _)| names.contains(name));
        offered.map(|(key, metadata)| MetadataKey { key, data_type: metadata.data_type() }).collect()
    }

    fn data_type(self) -> DataType {
        match self {
            Metadata::Partition => DataType::Int32,
            Metadata::Offset => DataType::Int64,
            Metadata::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Metadata::Topic => DataType::Utf8,
            Metadata::Key => DataType::Binary,
        }
    }
}

/// Collects the records of one batch after another.
#[derive(Debug)]
pub(crate) struct TableBuilder {
    columns: Vec<TableColumn>,
    /// For each column: metadata, or the next array of the decoder.
    kinds: Vec<Option<Metadata>>,
    schema: SchemaRef,
    decoder: JsonDecoder,
    offsets: Vec<i64>,
    timestamps: Vec<Option<i64>>,
    keys: Vec<Option<Vec<u8>>>,
    wants_keys: bool,
    dead: Vec<DeadLetter>,
}

impl TableBuilder {
    /// For the columns of the table; `offered` names the metadata of the connector.
    pub(crate) fn new(spec: &SourceSpec, options: JsonOptions, offered: &[&str]) -> Result<Self> {
        let kind = |column: &TableColumn| match &column.kind {
            ColumnKind::Physical => Ok(None),
            ColumnKind::Metadata(key) => {
                let found = Metadata::ALL.into_iter().find(|(name, _)| name == key && offered.contains(name));
                found.map(|(_, metadata)| Some(metadata)).ok_or_else(|| {
                    let offered = offered.join(", ");
                    Error::config(format!("table '{}': no metadata '{key}' here; there is: {offered}", spec.table))
                })
            }
        };
        let kinds: Vec<Option<Metadata>> = spec.columns.iter().map(kind).collect::<Result<_>>()?;
        let table = |error: Error| error.context(format_args!("table '{}'", spec.table));
        Ok(Self {
            wants_keys: kinds.contains(&Some(Metadata::Key)),
            kinds,
            schema: TableColumn::schema(&spec.columns),
            columns: spec.columns.clone(),
            decoder: JsonDecoder::new(&spec.columns, options).map_err(table)?,
            offsets: Vec::new(),
            timestamps: Vec::new(),
            keys: Vec::new(),
            dead: Vec::new(),
        })
    }

    /// Adds a record as a row; as a dead letter when it cannot be decoded. Only then is `raw` called.
    #[inline]
    pub(crate) fn push(
        &mut self,
        split: &SplitId,
        offset: i64,
        timestamp_ms: Option<i64>,
        value: &[u8],
        raw: impl FnOnce() -> RawRecord,
    ) {
        match self.decoder.push(value) {
            Ok(()) => {
                self.offsets.push(offset);
                self.timestamps.push(timestamp_ms);
                if self.wants_keys {
                    self.keys.push(raw().key);
                }
            }
            Err(reason) => self.dead.push(DeadLetter { split: split.clone(), offset, record: raw(), reason }),
        }
    }

    /// Bytes that wait in the builder, so that a batch can be ended in time.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.decoder.buffered_bytes()
    }

    /// The batch, and the builder is empty again. `raw` is made from the offsets of the rows.
    pub(crate) fn finish(
        &mut self,
        split: &SplitId,
        next: Offset,
        skipped: u64,
        raw: impl FnOnce(&[i64]) -> Box<dyn RawRecords>,
    ) -> Result<SourceBatch> {
        let offsets = std::mem::take(&mut self.offsets);
        let timestamps = std::mem::take(&mut self.timestamps);
        let mut decoded = self.decoder.finish()?.into_iter();
        let mut arrays = Vec::with_capacity(self.kinds.len());
        for (kind, column) in self.kinds.iter().zip(&self.columns) {
            let array: ArrayRef = match kind {
                None => decoded.next().ok_or_else(|| Error::bug("the decoder brought too few columns"))?,
                Some(Metadata::Partition) => Arc::new(Int32Array::from(vec![split.partition; offsets.len()])),
                Some(Metadata::Offset) => Arc::new(Int64Array::from(offsets.clone())),
                Some(Metadata::Timestamp) => {
                    Arc::new(TimestampMillisecondArray::from(timestamps.clone()).with_timezone("UTC"))
                }
                Some(Metadata::Topic) => Arc::new(StringArray::from(vec![split.topic.as_str(); offsets.len()])),
                Some(Metadata::Key) => Arc::new(BinaryArray::from_iter(self.keys.iter())),
            };
            let fits = array.data_type() == &column.data_type;
            arrays.push(if fits { array } else { cast(&array, &column.data_type)? });
        }
        self.keys.clear();
        let count = RecordBatchOptions::new().with_row_count(Some(offsets.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &count)?;
        let raw = raw(&offsets);
        Ok(SourceBatch {
            split: split.clone(),
            rows,
            offsets,
            dead: std::mem::take(&mut self.dead),
            next,
            skipped,
            raw,
        })
    }
}
