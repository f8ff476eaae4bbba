//! Messages of one partition to one Arrow batch: rows, dead letters, skipped records.
//!
//! Values are decoded where librdkafka's fetch buffer has them; the messages live on behind the batch for rows that the
//! engine rejects later. It reads no queue and knows no ends.

use crate::columns::MetadataColumn;
use crate::native::{MessageRef, Messages};
use crate::options::SourceOptions;
use crate::values::{Values, Verdict};
use aqueduct_core::{DeadLetter, Offset, RawRecord, RawRecords, Result, SourceBatch, SplitId, TableColumn};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// Decodes the messages of one reader.
#[derive(Debug)]
pub(crate) struct Decoder {
    schema: SchemaRef,
    values: Values,
    /// One per column: `None` is the next physical one.
    metadata: Vec<Option<MetadataColumn>>,
}

/// Which part of the messages is meant.
pub(crate) struct Part<'a> {
    /// The partition.
    pub(crate) split: &'a SplitId,
    /// Where the batch before ended.
    pub(crate) from: i64,
    /// Messages at or beyond it are left out.
    pub(crate) stop: Option<i64>,
}

impl Decoder {
    pub(crate) fn new(table: &str, columns: &[TableColumn], options: &SourceOptions) -> Result<Self> {
        let metadata = columns.iter().map(|column| MetadataColumn::new(table, column)).collect::<Result<Vec<_>>>()?;
        let values = Values::new(options.format, table, columns, options.json)?;
        Ok(Self { schema: TableColumn::schema(columns), values, metadata })
    }

    /// The batch of `messages`; `None` when there is nothing in them. Errors in the place of messages are passed over: the
    /// reader has looked at them.
    pub(crate) fn batch(&mut self, messages: Messages, part: &Part<'_>) -> Result<Option<SourceBatch>> {
        let Part { split, from, stop } = part;
        let (offsets, rows) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
        let mut batch = Gathered { next: *from, offsets, rows, ..Gathered::default() };
        for index in 0..messages.len() {
            let message = messages.get(index);
            let offset = message.offset();
            // Below `from` nothing can come from a broker that keeps its word; a record twice would be worse than a look.
            if !message.is_record() || offset < *from || stop.is_some_and(|stop| offset >= stop) {
                continue;
            }
            batch.next = offset + 1;
            match self.row(&messages, index, message) {
                Verdict::Row => {
                    for column in self.metadata.iter_mut().flatten() {
                        column.append(&split.topic, split.partition, &messages, index);
                    }
                    batch.offsets.push(offset);
                    batch.rows.push(u32::try_from(index).expect("a batch has far fewer messages than 2^32"));
                }
                Verdict::Skip => batch.skipped += 1,
                Verdict::Dead(reason) => {
                    batch.dead.push(DeadLetter { split: (*split).clone(), offset, record: raw(message), reason });
                }
            }
        }
        if batch.next == *from {
            return Ok(None);
        }
        let rows = self.finish(batch.offsets.len())?;
        Ok(Some(SourceBatch {
            split: (*split).clone(),
            rows,
            offsets: batch.offsets,
            dead: batch.dead,
            next: Offset(batch.next),
            skipped: batch.skipped,
            raw: Box::new(KafkaRecords { messages, rows: batch.rows }),
        }))
    }

    fn row(&mut self, messages: &Messages, index: usize, message: MessageRef<'_>) -> Verdict {
        if let Some(reason) = self.metadata.iter().flatten().find_map(|column| column.missing(messages, index)) {
            return Verdict::Dead(reason);
        }
        self.values.push(message.value())
    }

    fn finish(&mut self, rows: usize) -> Result<RecordBatch> {
        let mut physical = self.values.finish()?.into_iter();
        let mut arrays = Vec::with_capacity(self.metadata.len());
        for column in &mut self.metadata {
            arrays.push(match column {
                Some(column) => column.finish()?,
                None => physical.next().expect("the decoder has an array for each physical column"),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}

#[derive(Default)]
struct Gathered {
    offsets: Vec<i64>,
    /// The message behind each row.
    rows: Vec<u32>,
    dead: Vec<DeadLetter>,
    next: i64,
    skipped: u64,
}

/// The messages behind a batch.
#[derive(Debug)]
struct KafkaRecords {
    messages: Messages,
    rows: Vec<u32>,
}

impl RawRecords for KafkaRecords {
    fn raw(&self, row: usize) -> RawRecord {
        raw(self.messages.get(self.rows[row] as usize))
    }
}

fn raw(message: MessageRef<'_>) -> RawRecord {
    RawRecord {
        key: message.key().map(<[u8]>::to_vec),
        value: message.value().map(<[u8]>::to_vec),
        timestamp_ms: message.timestamp().0,
    }
}
