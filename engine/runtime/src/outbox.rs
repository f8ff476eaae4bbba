//! Sealed results as bytes: Arrow IPC streams, cut into segments of bounded size.
//!
//! A segment is written once, named by its contents and never changed; whoever delivers it, and however often, delivers
//! the same rows. Where segments are stored is not known here.

use aqueduct_core::{Error, Result};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
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

/// The segments of some rows, in order. No rows give no segments.
pub(crate) fn encode(batches: &[RecordBatch]) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut open: Option<(StreamWriter<Vec<u8>>, u64)> = None;
    for batch in batches {
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = BATCH_ROWS.min(batch.num_rows() - from);
            let (mut writer, held) = match open.take() {
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
                segments.push(close(writer, held)?);
            } else {
                open = Some((writer, held));
            }
        }
    }
    if let Some((writer, held)) = open {
        segments.push(close(writer, held)?);
    }
    Ok(segments)
}

fn close(mut writer: StreamWriter<Vec<u8>>, rows: u64) -> Result<Segment> {
    writer.finish()?;
    Ok(Segment { rows, bytes: Bytes::from(writer.into_inner()?) })
}

/// The rows of a segment.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    let reader = StreamReader::try_new(bytes, None).map_err(broken)?;
    reader.map(|batch| batch.map_err(broken)).collect()
}
