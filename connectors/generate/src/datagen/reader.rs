//! The source and its readers: which record comes when. The records are made elsewhere.

use super::{DatagenConfig, METADATA};
use crate::pace::Pace;
use crate::records::RecordMaker;
use crate::table::TableBuilder;
use aqueduct_core::json::JsonOptions;
use aqueduct_core::{
    Error, Offset, RawRecord, RawRecords, Read, ReadBudget, Result, Source, SourceIdentity, SourceReader, SourceSpec,
    SplitId, SplitLag, SplitStart,
};
use std::sync::Arc;

/// A batch ends when it has taken so many bytes of records.
const MAX_BATCH_BYTES: usize = 64 << 20;

/// A table of made-up records.
#[derive(Debug)]
pub(crate) struct DatagenSource {
    spec: SourceSpec,
    config: DatagenConfig,
    maker: Arc<RecordMaker>,
}

impl DatagenSource {
    pub(crate) fn new(spec: &SourceSpec, config: DatagenConfig) -> Result<Self> {
        // A column that cannot be decoded is found now, not when the job runs.
        TableBuilder::new(spec, JsonOptions::default(), &METADATA)?;
        let maker = Arc::new(RecordMaker::new(&config));
        Ok(Self { spec: spec.clone(), config, maker })
    }

    fn part(&self, start: SplitStart) -> Result<Part> {
        let SplitStart { split, offset } = start;
        let refuse = |why: String| {
            Err(Error::data(format!("table '{}': {split} cannot begin at {offset}: {why}", self.spec.table)))
        };
        if split.topic != self.spec.table || !(0..self.config.partitions).contains(&split.partition) {
            return refuse(format!(
                "there are only partitions 0 to {} of '{}'",
                self.config.partitions - 1,
                self.spec.table
            ));
        }
        let end = self.config.rows_of(split.partition);
        match end {
            _ if offset.0 < 0 => refuse("offsets begin at 0".to_owned()),
            Some(end) if offset.0 > end => {
                refuse(format!("it ends at {end}; was 'number-of-rows' lowered since the checkpoint?"))
            }
            _ => Ok(Part { split, next: offset.0, end, told: false }),
        }
    }
}

impl Source for DatagenSource {
    fn discover(&mut self) -> Result<(Vec<SplitId>, SourceIdentity)> {
        let splits = (0..self.config.partitions).map(|partition| SplitId::new(&self.spec.table, partition)).collect();
        let identity = [("records".to_owned(), self.config.identity())].into();
        Ok((splits, SourceIdentity(identity)))
    }

    fn start_of(&mut self, _split: &SplitId, _late_arrival: bool) -> Result<Offset> {
        Ok(Offset(0))
    }

    fn reader(&mut self, splits: Vec<SplitStart>) -> Result<Box<dyn SourceReader>> {
        let parts = splits.into_iter().map(|start| self.part(start)).collect::<Result<Vec<_>>>()?;
        let builder = TableBuilder::new(&self.spec, JsonOptions::default(), &METADATA)?;
        let source = DatagenSource { spec: self.spec.clone(), config: self.config.clone(), maker: self.maker.clone() };
        let pace = Pace::new(source.rate_of(&parts));
        Ok(Box::new(DatagenReader { source, parts, builder, value: Vec::new(), pace }))
    }

    fn publish_progress(&mut self, _offsets: &[SplitStart]) -> Result<()> {
        Ok(())
    }

    fn bounded(&self) -> bool {
        self.config.number_of_rows.is_some()
    }

    fn expected_records(&self) -> Option<u64> {
        self.config.number_of_rows.map(i64::unsigned_abs)
    }
}

impl DatagenSource {
    /// A reader's share of `rows-per-second`: that of its partitions, idle ones not counted.
    fn rate_of(&self, parts: &[Part]) -> Option<f64> {
        let active = self.config.partitions - self.config.idle_partitions;
        let own = parts.iter().filter(|part| part.split.partition < active).count();
        let share = own.max(1) as f64 / f64::from(active);
        self.config.rows_per_second.map(|rate| rate * share)
    }
}

/// A partition that is being read.
#[derive(Debug)]
struct Part {
    split: SplitId,
    next: i64,
    /// `None` without end.
    end: Option<i64>,
    /// The end has been told.
    told: bool,
}

impl Part {
    fn left(&self) -> usize {
        self.end.map_or(usize::MAX, |end| (end - self.next).max(0) as usize)
    }
}

#[derive(Debug)]
struct DatagenReader {
    source: DatagenSource,
    parts: Vec<Part>,
    builder: TableBuilder,
    /// The record that is being made.
    value: Vec<u8>,
    pace: Pace,
}

impl SourceReader for DatagenReader {
    fn read(&mut self, budget: ReadBudget) -> Result<Read> {
        if let Some(ended) = self.parts.iter_mut().find(|part| part.left() == 0 && !part.told) {
            // An idle partition of an endless table stays silent, as on a real topic.
            ended.told = true;
            if self.source.bounded() {
                return Ok(Read::SplitEnd(ended.split.clone()));
            }
        }
        // The partition that is furthest behind, so that event times advance together.
        let behind =
            self.parts.iter().enumerate().filter(|(_, part)| part.left() > 0).min_by_key(|(_, part)| part.next);
        let Some((index, part)) = behind else {
            if self.source.bounded() {
                return Ok(Read::End);
            }
            std::thread::sleep(budget.max_wait);
            return Ok(Read::Empty);
        };
        let wanted = budget.max_records.min(part.left());
        let admitted = self.pace.admit(wanted, budget.max_wait);
        if admitted == 0 {
            return Ok(Read::Empty);
        }
        // At a given rate all partitions share what is due; else one of them would run ahead by a whole batch.
        let paced = self.source.config.rows_per_second.is_some();
        let count = if paced { admitted.div_ceil(self.parts.len()) } else { admitted };
        self.batch(index, count)
    }

    fn assign(&mut self, splits: Vec<SplitStart>) -> Result<()> {
        for start in splits {
            let part = self.source.part(start)?;
            self.parts.push(part);
        }
        self.pace = Pace::new(self.source.rate_of(&self.parts));
        Ok(())
    }

    fn lag(&self) -> Vec<SplitLag> {
        let active = self.parts.iter().filter(|part| part.left() > 0).count().max(1) as u64;
        let lag = |part: &Part| {
            // Without an end, the records that exist are those that are due.
            let due = self.pace.behind().unwrap_or(0) / active;
            let records = if part.end.is_some() { part.left() as u64 } else { due };
            SplitLag { split: part.split.clone(), records: Some(records) }
        };
        self.parts.iter().map(lag).collect()
    }

    fn close(&mut self) {
        self.value = Vec::new();
    }
}

impl DatagenReader {
    /// Makes and decodes the next records of one partition.
    fn batch(&mut self, index: usize, count: usize) -> Result<Read> {
        let Self { source, parts, builder, value, pace } = self;
        let part = &mut parts[index];
        let begin = part.next;
        let end = begin + count as i64;
        while part.next < end && builder.buffered_bytes() < MAX_BATCH_BYTES {
            value.clear();
            let timestamp = source.maker.write(part.split.partition, part.next, value);
            let raw = || RawRecord { key: None, value: Some(value.clone()), timestamp_ms: Some(timestamp) };
            builder.push(&part.split, part.next, Some(timestamp), value, raw);
            part.next += 1;
        }
        pace.pass((part.next - begin) as usize);
        let (maker, partition) = (source.maker.clone(), part.split.partition);
        let raw = |offsets: &[i64]| -> Box<dyn RawRecords> {
            Box::new(MadeAgain { maker, partition, offsets: offsets.to_vec() })
        };
        builder.finish(&part.split, Offset(part.next), 0, raw).map(Read::Batch)
    }
}

/// Nothing needs to be kept: a record can be made again from its offset.
#[derive(Debug)]
struct MadeAgain {
    maker: Arc<RecordMaker>,
    partition: i32,
    offsets: Vec<i64>,
}

impl RawRecords for MadeAgain {
    fn raw(&self, row: usize) -> RawRecord {
        let Some(&offset) = self.offsets.get(row) else { return RawRecord::default() };
        let mut value = Vec::new();
        let timestamp = self.maker.write(self.partition, offset, &mut value);
        RawRecord { key: None, value: Some(value), timestamp_ms: Some(timestamp) }
    }
}
