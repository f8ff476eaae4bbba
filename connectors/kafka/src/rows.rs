//! Rows to Kafka records: the value is the row as a JSON object, the key is plain text or a JSON object.

use aqueduct_core::json::{JsonEncoder, JsonOptions, text_value};
use aqueduct_core::{Result, SinkSpec, TableColumn};
use arrow::record_batch::RecordBatch;

/// Encodes the rows of one sink.
#[derive(Debug)]
pub(crate) struct Rows {
    json: JsonEncoder,
    key: Vec<usize>,
}

impl Rows {
    pub(crate) fn new(spec: &SinkSpec, key: Vec<usize>, options: JsonOptions) -> Result<Self> {
        Ok(Self { json: JsonEncoder::new(&TableColumn::schema(&spec.columns), options)?, key })
    }

    /// Replaces `out` by the value of row `row`.
    pub(crate) fn value(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        out.clear();
        self.json.encode(batch, row, out);
    }

    /// Replaces `out` by the key of row `row`. False when the record has no key: the table names none, or its only
    /// column is null in this row.
    pub(crate) fn key(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        match self.key.as_slice() {
            [] => false,
            [column] => match text_value(batch.column(*column), row) {
                None => false,
                Some(text) => {
                    out.extend_from_slice(text.as_bytes());
                    true
                }
            },
            several => {
                self.json.encode_columns(batch, row, several, out);
                true
            }
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
