//! One file of the source while it is read: JSON line by line as it streams in, Parquet batch by batch (a Parquet file
//! is held in memory whole). It does not choose files.

use crate::decode::{ParquetRows, RowBuilder, folder_values, without_end};
use crate::layout::under;
use crate::source::{Blocking, FILE_PATH, Shared, physical};
use crate::store::store_error;
use aqueduct_core::json::{JsonDecoder, JsonEncoder, JsonOptions};
use aqueduct_core::{
    ColumnKind, DeadLetter, Error, Offset, RawRecord, RawRecords, Result, SourceBatch, SplitId, SplitStart, TableColumn,
};
use arrow::array::{ArrayRef, Int64Array, RecordBatchOptions, StringArray};
use arrow::compute::cast;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use std::ops::Range;
use std::sync::Arc;

/// A batch ends when its lines reach this size.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// Rows of a Parquet batch.
const MAX_ROWS: usize = 4_096;

/// A file and the next row to read in it.
pub(crate) struct OpenFile {
    shared: Arc<Shared>,
    split: SplitId,
    next: i64,
    path: Path,
    address: String,
    builder: RowBuilder,
    decoder: JsonDecoder,
    content: Content,
}

enum Content {
    /// Not open yet, or again to be opened at `next`.
    Closed,
    Lines(Lines),
    Rows(Box<ParquetRows>),
}

impl OpenFile {
    pub(crate) fn new(shared: Arc<Shared>, start: SplitStart) -> Result<Self> {
        let columns = physical(&shared.spec);
        let name = start.split.topic.as_str();
        let (path, address) = match name {
            "." => (shared.root.clone(), shared.config.path.clone()),
            name => (under(&shared.root, name)?, shared.config.address(name)),
        };
        let builder = RowBuilder::new(&columns, &folder_values(name, &columns))?;
        let decoder = builder.json_decoder(shared.config.json)?;
        Ok(Self {
            split: start.split,
            next: start.offset.0,
            path,
            address,
            builder,
            decoder,
            content: Content::Closed,
            shared,
        })
    }

    pub(crate) fn split(&self) -> &SplitId {
        &self.split
    }

    /// After a failure: the next read begins where the last batch ended.
    pub(crate) fn reopen_later(&mut self) {
        self.content = Content::Closed;
    }

    /// The next rows, at most `limit` of them; `None` at the end.
    pub(crate) fn next(&mut self, blocking: &Blocking, limit: usize) -> Result<Option<SourceBatch>> {
        if matches!(self.content, Content::Closed) {
            self.content = self.open(blocking)?;
        }
        match &mut self.content {
            Content::Closed => Err(Error::bug("the file was opened just now")),
            Content::Lines(lines) => lines.take(blocking, limit)?.map(|taken| self.decode(taken)).transpose(),
            Content::Rows(rows) => match rows.next(limit)? {
                Some((columns, count)) => self.rows(columns, count).map(Some),
                None => Ok(None),
            },
        }
    }

    fn open(&self, blocking: &Blocking) -> Result<Content> {
        let failed = |error: object_store::Error| match error {
            object_store::Error::NotFound { .. } => Error::data(format!(
                "{}: the file is gone, but row {} is to be read next: put it back, or begin without the checkpoint",
                self.address, self.next
            )),
            error => store_error(error, &format!("reading {}", self.address)),
        };
        let found = blocking.wait(async { self.shared.store.get(&self.path).await.map_err(failed) })?;
        let skip = usize::try_from(self.next).unwrap_or(0);
        let beyond = |total: usize| {
            Error::data(format!(
                "{}: row {} is to be read next, but the file ends after {total} rows: it is not the file that \
                 was read before",
                self.address, self.next
            ))
        };
        if self.shared.config.format == crate::reader::Format::Parquet {
            let bytes = blocking.wait(async { found.bytes().await.map_err(failed) })?;
            let rows = self.builder.parquet(bytes, skip, MAX_ROWS, &self.address)?;
            return if rows.total < skip { Err(beyond(rows.total)) } else { Ok(Content::Rows(Box::new(rows))) };
        }
        let stream = found.into_stream();
        let mut lines = Lines { stream, address: self.address.clone(), buffer: vec![], at: 0, ended: false };
        let mut passed = 0;
        while passed < skip {
            match lines.take(blocking, skip - passed)? {
                Some(taken) => passed += taken.lines.len(),
                None => return Err(beyond(passed)),
            }
        }
        Ok(Content::Lines(lines))
    }

    fn decode(&mut self, taken: Taken) -> Result<SourceBatch> {
        let (mut offsets, mut kept, mut dead, mut skipped) = (vec![], vec![], vec![], 0);
        for range in taken.lines {
            let offset = self.next;
            self.next += 1;
            let line = &taken.bytes[range.clone()];
            if line.trim_ascii().is_empty() {
                skipped += 1;
                continue;
            }
            match self.decoder.push(line) {
                Ok(()) => {
                    offsets.push(offset);
                    kept.push(range);
                }
                Err(reason) => {
                    let record = RawRecord { value: Some(line.to_vec()), ..RawRecord::default() };
                    dead.push(DeadLetter { split: self.split.clone(), offset, record, reason });
                }
            }
        }
        let columns = self.builder.columns(self.decoder.finish()?, offsets.len())?;
        let rows = self.with_metadata(columns, &offsets)?;
        let raw = Box::new(RawLines { bytes: taken.bytes, lines: kept });
        Ok(SourceBatch { split: self.split.clone(), rows, offsets, dead, next: Offset(self.next), skipped, raw })
    }

    fn rows(&mut self, columns: Vec<ArrayRef>, count: usize) -> Result<SourceBatch> {
        let columns = self.builder.columns(columns, count)?;
        let offsets: Vec<i64> = (self.next..self.next + count as i64).collect();
        self.next += count as i64;
        let rows = self.with_metadata(columns, &offsets)?;
        let raw = Box::new(RawRows { rows: rows.clone(), options: self.shared.config.json });
        Ok(SourceBatch {
            split: self.split.clone(),
            rows,
            offsets,
            dead: vec![],
            next: Offset(self.next),
            skipped: 0,
            raw,
        })
    }

    /// The batch of the table's columns, from the physical ones in their order.
    fn with_metadata(&self, physical: Vec<ArrayRef>, offsets: &[i64]) -> Result<RecordBatch> {
        let mut physical = physical.into_iter();
        let column = |column: &TableColumn| -> Result<ArrayRef> {
            let ColumnKind::Metadata(key) = &column.kind else {
                return physical.next().ok_or_else(|| Error::bug("fewer physical columns than the table has"));
            };
            let values: ArrayRef = match key.as_str() {
                FILE_PATH => Arc::new(StringArray::from_iter_values(offsets.iter().map(|_| self.address.as_str()))),
                _ => Arc::new(Int64Array::from(offsets.to_vec())),
            };
            Ok(if *values.data_type() == column.data_type { values } else { cast(&values, &column.data_type)? })
        };
        let columns = self.shared.spec.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(offsets.len()));
        let schema = TableColumn::schema(&self.shared.spec.columns);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

/// Consecutive lines.
struct Taken {
    bytes: Bytes,
    /// Without the lines' ends.
    lines: Vec<Range<usize>>,
}

/// The lines of a file as it streams in.
struct Lines {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    address: String,
    buffer: Vec<u8>,
    /// Where the next line begins in `buffer`.
    at: usize,
    ended: bool,
}

impl Lines {
    /// The next lines, blank ones included: at most `limit`, and no more than fit a batch. `None` at the end.
    fn take(&mut self, blocking: &Blocking, limit: usize) -> Result<Option<Taken>> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let mut lines: Vec<Range<usize>> = vec![];
        let mut searched = 0;
        while lines.len() < limit && self.at < MAX_BATCH_BYTES {
            match memchr::memchr(b'\n', &self.buffer[searched..]) {
                Some(found) => {
                    let end = searched + found;
                    lines.push(self.at..end);
                    self.at = end + 1;
                    searched = self.at;
                }
                None if self.ended => {
                    if self.at < self.buffer.len() {
                        lines.push(self.at..self.buffer.len());
                        self.at = self.buffer.len();
                    }
                    break;
                }
                None => {
                    searched = self.buffer.len();
                    self.fill(blocking)?;
                }
            }
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let bytes = Bytes::copy_from_slice(&self.buffer[..self.at]);
        let cut = |line: Range<usize>| line.start..line.start + without_end(&bytes[line]).len();
        let lines = lines.into_iter().map(cut).collect();
        Ok(Some(Taken { bytes, lines }))
    }

    fn fill(&mut self, blocking: &Blocking) -> Result<()> {
        let stream = &mut self.stream;
        let failed = |error| store_error(error, &format!("reading {}", self.address));
        match blocking.wait(async { stream.next().await.transpose().map_err(failed) })? {
            Some(bytes) => self.buffer.extend_from_slice(&bytes),
            None => self.ended = true,
        }
        Ok(())
    }
}

/// The lines behind the rows of a batch.
#[derive(Debug)]
struct RawLines {
    bytes: Bytes,
    lines: Vec<Range<usize>>,
}

impl RawRecords for RawLines {
    fn raw(&self, row: usize) -> RawRecord {
        let value = self.lines.get(row).map(|line| self.bytes[line.clone()].to_vec());
        RawRecord { value, ..RawRecord::default() }
    }
}

/// Parquet rows have no bytes of their own: a JSON object stands for them.
#[derive(Debug)]
struct RawRows {
    rows: RecordBatch,
    options: JsonOptions,
}

impl RawRecords for RawRows {
    fn raw(&self, row: usize) -> RawRecord {
        let value = JsonEncoder::new(&self.rows.schema(), self.options).ok().map(|encoder| {
            let mut out = Vec::new();
            encoder.encode(&self.rows, row, &mut out);
            out
        });
        RawRecord { value, ..RawRecord::default() }
    }
}
