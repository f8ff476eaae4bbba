//! A simulated source: the partitions of the run's input as a topic that fills with time, behind the engine's own trait.
//!
//! Records are JSON bytes that the engine's decoder reads, as the Kafka source does. It keeps the contract (order within a
//! split, no gap, no repetition) and brings what a topic brings: empty reads, errors that pass, partitions that appear,
//! a topic that seems to be another one, offsets that are gone.

use super::input::Input;
use super::world::World;
use aqueduct_core::json::{JsonDecoder, JsonOptions};
use aqueduct_core::{
    ColumnKind, Connector, DeadLetter, Error, MetadataKey, Offset, OptionDef, RawRecord, RawRecords, Read, ReadBudget,
    Result, Roles, Sink, SinkSpec, Source, SourceBatch, SourceIdentity, SourceReader, SourceSpec, SplitId, SplitLag,
    SplitStart, TableColumn,
};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The topic's name.
pub const TOPIC: &str = "events";

/// The topic.
#[derive(Debug, Clone)]
pub struct SimTopic {
    world: World,
    input: Arc<Input>,
    begun: Arc<AtomicBool>,
}

impl SimTopic {
    /// The topic with this input.
    pub fn new(world: World, input: Arc<Input>) -> SimTopic {
        SimTopic { world, input, begun: Arc::default() }
    }

    /// Whether a checkpoint holds the topic's identity: only then it may seem to be another one for a while. (Taken for
    /// another one at its very first look, it would be refused for ever, and rightly.)
    pub fn begun(&self, begun: bool) {
        self.begun.store(begun, Ordering::Relaxed);
    }

    /// A source over it, for one process.
    pub fn source(&self, spec: &SourceSpec) -> Box<dyn Source> {
        Box::new(SimSource { topic: self.clone(), columns: spec.columns.clone(), begun: Arc::default() })
    }

    /// Records of a partition that can be read now.
    fn readable(&self, partition: usize) -> usize {
        let now = self.world.now_ms();
        self.input.partitions[partition].records.partition_point(|record| record.from_ms <= now)
    }

    fn complete(&self) -> bool {
        self.world.now_ms() >= self.input.complete_ms
    }
}

/// What a plan needs to know: a table with JSON records.
#[derive(Debug, Clone, Copy)]
pub struct SimSourceConnector;

impl Connector for SimSourceConnector {
    fn name(&self) -> &'static str {
        "simulated-topic"
    }

    fn roles(&self) -> Roles {
        Roles { source: true, sink: false }
    }

    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        Vec::new()
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        Err(Error::bug(format!("table '{}' is made by the simulation", spec.table)))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Err(Error::bug(format!("table '{}' is no sink", spec.table)))
    }
}

struct SimSource {
    topic: SimTopic,
    columns: Vec<TableColumn>,
    begun: Begun,
}

/// The partitions that this process found at its start or has begun to read. The topic has no end for it before they are all:
/// else a look for new partitions that comes too late would leave some to the next process, whose rows are rightly late.
type Begun = Arc<Mutex<BTreeSet<i32>>>;

fn lock(begun: &Begun) -> MutexGuard<'_, BTreeSet<i32>> {
    begun.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source for SimSource {
    fn discover(&mut self) -> Result<(Vec<SplitId>, SourceIdentity)> {
        let world = &self.topic.world;
        if world.outage("source.down") || world.fault("source.discover-failed") {
            return Err(Error::retry("the topic's brokers do not answer"));
        }
        let now = world.now_ms();
        let existing = self.topic.input.partitions.iter().enumerate().filter(|(_, it)| it.appears_ms <= now);
        let splits: Vec<_> = existing.map(|(number, _)| SplitId::new(TOPIC, number as i32)).collect();
        let mut begun = lock(&self.begun);
        if begun.is_empty() {
            begun.extend(splits.iter().map(|split| split.partition));
        }
        drop(begun);
        let id = if self.topic.begun.load(Ordering::Relaxed) && world.outage("source.recreated") {
            "another"
        } else {
            "topic-1"
        };
        Ok((splits, SourceIdentity(BTreeMap::from([("topic id".to_owned(), id.to_owned())]))))
    }

    fn start_of(&mut self, _: &SplitId, _: bool) -> Result<Offset> {
        Ok(Offset(0))
    }

    fn reader(&mut self, splits: Vec<SplitStart>) -> Result<Box<dyn SourceReader>> {
        if self.topic.world.outage("source.truncated") {
            return Err(Error::data("the offset asked for is no longer held"));
        }
        let json = JsonDecoder::new(&self.columns, JsonOptions::default())?;
        let schema = TableColumn::schema(&self.columns);
        let physical = self.columns.iter().all(|column| column.kind == ColumnKind::Physical);
        if !physical {
            return Err(Error::bug("the simulated topic has physical columns only"));
        }
        let (topic, begun) = (self.topic.clone(), self.begun.clone());
        Ok(Box::new(SimReader { topic, begun, json, schema, at: positions(splits), turn: 0 }))
    }

    fn publish_progress(&mut self, _: &[SplitStart]) -> Result<()> {
        if self.topic.world.fault("source.progress-failed") {
            return Err(Error::retry("the group's coordinator has moved"));
        }
        Ok(())
    }

    fn bounded(&self) -> bool {
        true
    }

    fn expected_records(&self) -> Option<u64> {
        Some(self.topic.input.len() as u64)
    }
}

struct Position {
    split: SplitId,
    next: usize,
    ended: bool,
}

fn positions(splits: Vec<SplitStart>) -> Vec<Position> {
    let position = |start: SplitStart| Position { split: start.split, next: start.offset.0 as usize, ended: false };
    splits.into_iter().map(position).collect()
}

struct SimReader {
    topic: SimTopic,
    begun: Begun,
    json: JsonDecoder,
    schema: SchemaRef,
    at: Vec<Position>,
    turn: usize,
}

#[derive(Debug)]
struct Raw(Vec<RawRecord>);

impl RawRecords for Raw {
    fn raw(&self, row: usize) -> RawRecord {
        self.0[row].clone()
    }
}

impl SimReader {
    fn batch(&mut self, at: usize, until: usize) -> Result<SourceBatch> {
        let Position { split, next, .. } = &mut self.at[at];
        let (mut offsets, mut dead, mut raw, mut skipped) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let records = &self.topic.input.partitions[split.partition as usize].records;
        for (offset, record) in records.iter().enumerate().take(until).skip(*next) {
            let record = RawRecord { key: None, value: record.bytes.clone(), timestamp_ms: None };
            let Some(value) = &record.value else {
                skipped += 1;
                continue;
            };
            match self.json.push(value) {
                Ok(()) => {
                    offsets.push(offset as i64);
                    raw.push(record);
                }
                Err(reason) => dead.push(DeadLetter { split: split.clone(), offset: offset as i64, record, reason }),
            }
        }
        *next = until;
        let options = RecordBatchOptions::new().with_row_count(Some(offsets.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), self.json.finish()?, &options)?;
        let (split, next) = (split.clone(), Offset(until as i64));
        Ok(SourceBatch { split, rows, offsets, dead, next, skipped, raw: Box::new(Raw(raw)) })
    }
}

impl SourceReader for SimReader {
    fn read(&mut self, budget: ReadBudget) -> Result<Read> {
        let world = self.topic.world.clone();
        if world.draw(60) == 0 && world.fault("source.read-failed") {
            return Err(Error::retry("the broker of a partition cannot be reached"));
        }
        if world.outage("source.down") {
            return Ok(Read::Empty);
        }
        if self.at.iter().all(|position| position.ended) {
            return Ok(Read::End);
        }
        self.turn += 1;
        let mut begun = lock(&self.begun);
        begun.extend(self.at.iter().map(|position| position.split.partition));
        let complete = self.topic.complete() && begun.len() == self.topic.input.partitions.len();
        drop(begun);
        for step in 0..self.at.len() {
            let at = (self.turn + step) % self.at.len();
            let readable = self.topic.readable(self.at[at].split.partition as usize);
            let position = &mut self.at[at];
            if position.next < readable {
                let most = (1 + world.draw(60) as usize).min(budget.max_records);
                let until = readable.min(position.next + most);
                return self.batch(at, until).map(Read::Batch);
            }
            if !position.ended && complete {
                position.ended = true;
                return Ok(Read::SplitEnd(position.split.clone()));
            }
        }
        Ok(Read::Empty)
    }

    fn assign(&mut self, splits: Vec<SplitStart>) -> Result<()> {
        self.at.extend(positions(splits));
        Ok(())
    }

    fn lag(&self) -> Vec<SplitLag> {
        let lag = |position: &Position| SplitLag {
            split: position.split.clone(),
            records: Some(
                (self.topic.readable(position.split.partition as usize).saturating_sub(position.next)) as u64,
            ),
        };
        self.at.iter().map(lag).collect()
    }

    fn close(&mut self) {}
}
