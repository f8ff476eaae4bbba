//! The named exits of a record that reaches no window: late rows and dead letters, kept until the epoch is sealed.
//!
//! Both are rows of system tables. This file only holds them and makes batches; where they go is an insert like any other.

use aqueduct_core::{DeadLetter, Result};
use aqueduct_plan::SystemTable;
use arrow::array::{ArrayRef, BinaryBuilder, Int64Builder, RecordBatch, StringBuilder, TimestampMillisecondBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A row that came after every window of its query had closed.
#[derive(Debug, Clone)]
pub(crate) struct LateRow {
    pub(crate) query: usize,
    pub(crate) source: usize,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) event_time: i64,
    pub(crate) window_start: i64,
    pub(crate) window_end: i64,
    /// The decoded columns as a JSON object.
    pub(crate) row: String,
}

/// A record that could not become a row, and the table that it was read for.
#[derive(Debug, Clone)]
pub(crate) struct DeadRow {
    pub(crate) source: usize,
    pub(crate) letter: DeadLetter,
}

/// What left by the exits of one thread since the last seal.
#[derive(Debug, Default)]
pub(crate) struct Exits {
    pub(crate) late: Vec<LateRow>,
    pub(crate) dead: Vec<DeadRow>,
    /// Bytes held, roughly.
    pub(crate) bytes: u64,
}

/// Where the records of one query went in one epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) read: u64,
    pub(crate) taken: u64,
    pub(crate) filtered: u64,
    pub(crate) late: u64,
    pub(crate) dead: u64,
}

impl Counts {
    /// Adds another thread's counts.
    pub(crate) fn add(&mut self, other: &Counts) {
        self.read += other.read;
        self.taken += other.taken;
        self.filtered += other.filtered;
        self.late += other.late;
        self.dead += other.dead;
    }
}

impl Exits {
    /// Keeps a dead letter, unless `limit` are kept already.
    pub(crate) fn dead(&mut self, row: DeadRow, limit: usize) {
        if self.dead.len() < limit {
            let record = &row.letter.record;
            let held = record.value.as_ref().map_or(0, Vec::len)
                + record.key.as_ref().map_or(0, Vec::len)
                + row.letter.reason.len();
            self.bytes += 120 + held as u64;
            self.dead.push(row);
        }
    }

    /// Keeps a late row, unless `limit` are kept already.
    pub(crate) fn late(&mut self, row: LateRow, limit: usize) {
        if self.late.len() < limit {
            self.bytes += 120 + row.row.len() as u64;
            self.late.push(row);
        }
    }
}

fn utc(mut builder: TimestampMillisecondBuilder) -> ArrayRef {
    Arc::new(builder.finish().with_timezone("UTC"))
}

/// The rows of `aqueduct$late`, ordered by origin so that the same contents give the same batch.
pub(crate) fn late_batch(mut rows: Vec<LateRow>, queries: &[String], sources: &[String]) -> Result<RecordBatch> {
    rows.sort_by(|a, b| (a.query, &a.topic, a.partition, a.offset).cmp(&(b.query, &b.topic, b.partition, b.offset)));
    let count = rows.len();
    let bytes = |of: fn(&LateRow) -> usize| rows.iter().map(of).sum::<usize>();
    let queries_bytes = rows.iter().map(|row| queries[row.query].len()).sum::<usize>();
    let sources_bytes = rows.iter().map(|row| sources[row.source].len()).sum::<usize>();
    // Exact: an array that grows by doubling leaves a trail of freed blocks in every size that an allocator keeps pages for.
    let mut text = [queries_bytes, sources_bytes, bytes(|row| row.topic.len()), bytes(|row| row.row.len())]
        .map(|bytes| StringBuilder::with_capacity(count, bytes));
    let mut numbers: [Int64Builder; 2] = std::array::from_fn(|_| Int64Builder::with_capacity(count));
    let mut times: [TimestampMillisecondBuilder; 3] =
        std::array::from_fn(|_| TimestampMillisecondBuilder::with_capacity(count));
    for row in &rows {
        text[0].append_value(&queries[row.query]);
        text[1].append_value(&sources[row.source]);
        text[2].append_value(&row.topic);
        text[3].append_value(&row.row);
        numbers[0].append_value(i64::from(row.partition));
        numbers[1].append_value(row.offset);
        times[0].append_value(row.event_time);
        times[1].append_value(row.window_start);
        times[2].append_value(row.window_end);
    }
    let [query, source, topic, json] = text.map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
    let [partition, offset] = numbers.map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
    let [at, start, end] = times.map(utc);
    let columns = vec![query, source, topic, partition, offset, at, start, end, json];
    Ok(RecordBatch::try_new(SystemTable::Late.schema(), columns)?)
}

/// The rows of `aqueduct$dead_letters`, ordered by origin.
pub(crate) fn dead_batch(mut rows: Vec<DeadRow>, sources: &[String]) -> Result<RecordBatch> {
    rows.sort_by(|a, b| {
        (a.source, &a.letter.split, a.letter.offset).cmp(&(b.source, &b.letter.split, b.letter.offset))
    });
    let mut text: [StringBuilder; 3] = std::array::from_fn(|_| StringBuilder::new());
    let mut numbers: [Int64Builder; 2] = std::array::from_fn(|_| Int64Builder::new());
    let mut bytes: [BinaryBuilder; 2] = std::array::from_fn(|_| BinaryBuilder::new());
    let mut time = TimestampMillisecondBuilder::new();
    for DeadRow { source, letter } in &rows {
        text[0].append_value(&sources[*source]);
        text[1].append_value(&letter.split.topic);
        text[2].append_value(&letter.reason);
        numbers[0].append_value(i64::from(letter.split.partition));
        numbers[1].append_value(letter.offset);
        time.append_option(letter.record.timestamp_ms);
        bytes[0].append_option(letter.record.key.as_deref());
        bytes[1].append_option(letter.record.value.as_deref());
    }
    let [source, topic, reason] = text.map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
    let [partition, offset] = numbers.map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
    let [key, value] = bytes.map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
    let columns = vec![source, topic, partition, offset, utc(time), key, value, reason];
    Ok(RecordBatch::try_new(SystemTable::DeadLetters.schema(), columns)?)
}

/// One row of the ledger: names, position and counts.
#[derive(Debug)]
pub(crate) struct LedgerRow<'a> {
    pub(crate) query: &'a str,
    pub(crate) source: &'a str,
    pub(crate) counts: Counts,
}

/// The rows of `aqueduct$ledger` for one epoch.
pub(crate) fn ledger_batch(rows: &[LedgerRow<'_>], shard: u32, epoch: u64, sealed_at_ms: i64) -> Result<RecordBatch> {
    let mut text: [StringBuilder; 2] = std::array::from_fn(|_| StringBuilder::new());
    let mut numbers: [Int64Builder; 7] = std::array::from_fn(|_| Int64Builder::new());
    let mut sealed = TimestampMillisecondBuilder::new();
    for row in rows {
        text[0].append_value(row.query);
        text[1].append_value(row.source);
        let counts = &row.counts;
        let values = [u64::from(shard), epoch, counts.read, counts.taken, counts.filtered, counts.late, counts.dead];
        numbers.iter_mut().zip(values).for_each(|(builder, value)| builder.append_value(value as i64));
        sealed.append_value(sealed_at_ms);
    }
    let mut columns: Vec<ArrayRef> = text.map(|mut builder| Arc::new(builder.finish()) as ArrayRef).into();
    columns.extend(numbers.map(|mut builder| Arc::new(builder.finish()) as ArrayRef));
    columns.push(utc(sealed));
    Ok(RecordBatch::try_new(SystemTable::Ledger.schema(), columns)?)
}
