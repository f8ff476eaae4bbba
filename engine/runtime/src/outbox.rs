//! Sealed results as bytes: Arrow IPC streams, cut into segments of bounded size.
//!
//! A segment is written once, named by its contents and never changed; whoever delivers it, and however often, delivers
//! the same rows. Where segments are stored is not known here.

use aqueduct_core::{Error, Result};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

/// Rows per batch inside a segment.
const BATCH_ROWS: usize = 16_384;
/// A segment is closed when it has grown to this.
const SEGMENT_BYTES: usize = 16 << 20;

/// About what a segment has besides its columns.
const HEAD_BYTES: usize = 4 << 10;

/// Encoded rows and how many they are.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) rows: u64,
    pub(crate) bytes: Bytes,
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::data(format!("an outbox segment cannot be read: {error}; the checkpoint folder is damaged"))
}

/// Encodes the rows of an epoch for one sink, as they come.
#[derive(Default)]
pub(crate) struct Outbox {
    done: Vec<Segment>,
    open: Option<(StreamWriter<Vec<u8>>, u64)>,
}

impl Outbox {
    /// Adds rows.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = BATCH_ROWS.min(batch.num_rows() - from);
            let (mut writer, held) = match self.open.take() {
                Some(open) => open,
                None => {
                    let room = batch.get_array_memory_size().min(SEGMENT_BYTES) + HEAD_BYTES;
                    (StreamWriter::try_new(Vec::with_capacity(room), batch.schema_ref())?, 0)
                }
            };
            writer.write(&batch.slice(from, rows))?;
            from += rows;
            let held = held + rows as u64;
            if writer.get_ref().len() >= SEGMENT_BYTES {
                self.done.push(close(writer, held)?);
            } else {
                self.open = Some((writer, held));
            }
        }
        Ok(())
    }

    /// The segments, in order. No rows give none.
    pub(crate) fn finish(mut self) -> Result<Vec<Segment>> {
        if let Some((writer, held)) = self.open.take() {
            self.done.push(close(writer, held)?);
        }
        Ok(self.done)
    }
}

fn close(mut writer: StreamWriter<Vec<u8>>, rows: u64) -> Result<Segment> {
    writer.finish()?;
    Ok(Segment { rows, bytes: Bytes::from(writer.into_inner()?) })
}

/// The rows of a segment. They are read where they lie: the segment's memory lives as long as they do.
pub(crate) fn decode(bytes: Bytes) -> Result<Vec<RecordBatch>> {
    let (mut decoder, mut buffer) = (StreamDecoder::new(), Buffer::from(bytes));
    let mut batches = Vec::new();
    while let Some(batch) = decoder.decode(&mut buffer).map_err(broken)? {
        batches.push(batch);
    }
    decoder.finish().map_err(broken)?;
    Ok(batches)
}
