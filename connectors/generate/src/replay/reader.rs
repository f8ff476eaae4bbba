//! The source and its readers: the files are passed through once per reader, and the records of its splits are handed out in
//! the order of the recording, split by split.

use super::METADATA;
use super::index::Index;
use crate::pace::Pace;
use crate::recording::RecordingReader;
use crate::table::TableBuilder;
use aqueduct_core::json::JsonOptions;
use aqueduct_core::{
    Error, Offset, RawRecord, RawRecords, Read, ReadBudget, Result, Source, SourceIdentity, SourceReader, SourceSpec,
    SplitId, SplitLag, SplitStart,
};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

/// Records that wait for their turn, over all splits of a pass, before one split's share is handed out unfilled.
const MAX_WAITING: usize = 16_384;
/// The same in bytes of values.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// The options.
#[derive(Debug, Clone)]
pub(super) struct ReplayConfig {
    pub(super) path: PathBuf,
    pub(super) json: JsonOptions,
    pub(super) rows_per_second: Option<f64>,
}

/// A recorded topic, or several.
#[derive(Debug)]
pub(super) struct ReplaySource {
    spec: SourceSpec,
    config: ReplayConfig,
    index: Option<Arc<Index>>,
}

impl ReplaySource {
    pub(super) fn new(spec: &SourceSpec, config: ReplayConfig) -> Self {
        Self { spec: spec.clone(), config, index: None }
    }

    /// Found at the first use.
    fn index(&mut self) -> Result<Arc<Index>> {
        if let Some(index) = &self.index {
            return Ok(index.clone());
        }
        let index = Arc::new(Index::build(&self.spec.table, &self.config.path)?);
        self.index = Some(index.clone());
        Ok(index)
    }
}

impl Source for ReplaySource {
    fn discover(&mut self) -> Result<(Vec<SplitId>, SourceIdentity)> {
        let index = self.index()?;
        // More records at the end are fine; another beginning is another recording.
        let beginning = |(split, offsets): (&SplitId, &super::index::Offsets)| {
            let at = offsets.first_timestamp_ms.map_or("no time".to_owned(), |ms| format!("{ms} ms"));
            (split.to_string(), format!("begins at offset {}, {at}", offsets.first()))
        };
        let identity = index.splits.iter().map(beginning).collect();
        Ok((index.splits.keys().cloned().collect(), SourceIdentity(identity)))
    }

    fn start_of(&mut self, split: &SplitId, _late_arrival: bool) -> Result<Offset> {
        let index = self.index()?;
        index.splits.get(split).map(|offsets| Offset(offsets.first())).ok_or_else(|| unknown(&self.spec.table, split))
    }

    fn reader(&mut self, splits: Vec<SplitStart>) -> Result<Box<dyn SourceReader>> {
        let index = self.index()?;
        let share = splits.len().max(1) as f64 / index.splits.len().max(1) as f64;
        let mut reader = ReplayReader {
            table: self.spec.table.clone(),
            builder: TableBuilder::new(&self.spec, self.config.json, &METADATA)?,
            pace: Pace::new(self.config.rows_per_second.map(|rate| rate * share)),
            index,
            passes: VecDeque::new(),
            ended: Vec::new(),
        };
        reader.assign(splits)?;
        Ok(Box::new(reader))
    }

    fn publish_progress(&mut self, _offsets: &[SplitStart]) -> Result<()> {
        Ok(())
    }

    fn bounded(&self) -> bool {
        true
    }

    fn expected_records(&self) -> Option<u64> {
        self.index.as_ref().map(|index| index.splits.values().map(|offsets| offsets.left(0)).sum())
    }
}

fn unknown(table: &str, split: &SplitId) -> Error {
    Error::data(format!("table '{table}': {split} is not in the recording"))
}

/// A split that is being read.
#[derive(Debug)]
struct Part {
    split: SplitId,
    next: i64,
    waiting: VecDeque<(i64, RawRecord)>,
    told: bool,
}

/// One way through the files, for splits that were assigned together.
#[derive(Debug)]
struct Pass {
    parts: Vec<Part>,
    by_split: HashMap<SplitId, usize>,
    file: Option<RecordingReader>,
    files: VecDeque<PathBuf>,
    waiting: usize,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct ReplayReader {
    table: String,
    index: Arc<Index>,
    builder: TableBuilder,
    pace: Pace,
    passes: VecDeque<Pass>,
    /// Splits whose end has been told.
    ended: Vec<SplitId>,
}

impl Pass {
    fn new(index: &Index, splits: Vec<SplitStart>) -> Self {
        let part = |start: SplitStart| Part {
            split: start.split,
            next: start.offset.0,
            waiting: VecDeque::new(),
            told: false,
        };
        let parts: Vec<Part> = splits.into_iter().map(part).collect();
        let by_split = parts.iter().enumerate().map(|(place, part)| (part.split.clone(), place)).collect();
        let files = index.files.iter().cloned().collect();
        Self { parts, by_split, file: None, files, waiting: 0, waiting_bytes: 0 }
    }

    /// Reads on until some split has `wanted` records waiting (its place is returned), or too many wait in all (the place of
    /// the longest queue), or the files end (a split that still has some). `None`: nothing is left.
    fn fill(&mut self, wanted: usize) -> Result<Option<usize>> {
        let full = |part: &Part| part.waiting.len() >= wanted;
        if let Some(place) = self.parts.iter().position(full) {
            return Ok(Some(place));
        }
        while self.waiting < MAX_WAITING && self.waiting_bytes < MAX_WAITING_BYTES {
            match self.step()? {
                Step::Took(place) if self.parts[place].waiting.len() >= wanted => return Ok(Some(place)),
                Step::Took(_) | Step::Passed => {}
                Step::End => break,
            }
        }
        let longest = self.parts.iter().enumerate().max_by_key(|(_, part)| part.waiting.len());
        Ok(longest.filter(|(_, part)| !part.waiting.is_empty()).map(|(place, _)| place))
    }

    /// Reads one line.
    fn step(&mut self) -> Result<Step> {
        let Some(file) = &mut self.file else {
            let Some(path) = self.files.pop_front() else { return Ok(Step::End) };
            self.file = Some(RecordingReader::open(&path)?);
            return Ok(Step::Passed);
        };
        let Some(record) = file.next_record()? else {
            self.file = None;
            return Ok(Step::Passed);
        };
        let split = SplitId::new(record.topic, record.partition);
        let Some(&place) = self.by_split.get(&split) else { return Ok(Step::Passed) };
        let part = &mut self.parts[place];
        let expected = part.waiting.back().map_or(part.next, |(offset, _)| offset + 1);
        if record.offset < expected {
            return Ok(Step::Passed);
        }
        let raw = RawRecord { key: record.key, value: record.value, timestamp_ms: record.timestamp_ms };
        self.waiting += 1;
        self.waiting_bytes += size(&raw);
        part.waiting.push_back((record.offset, raw));
        Ok(Step::Took(place))
    }
}

enum Step {
    /// A record of this split.
    Took(usize),
    /// A record of another split, or one before the start; or a file ended or began.
    Passed,
    End,
}

fn size(raw: &RawRecord) -> usize {
    raw.key.as_ref().map_or(0, Vec::len) + raw.value.as_ref().map_or(0, Vec::len)
}

impl SourceReader for ReplayReader {
    fn read(&mut self, budget: ReadBudget) -> Result<Read> {
        while let Some(mut pass) = self.passes.pop_front() {
            let admitted = self.pace.admit(budget.max_records, budget.max_wait);
            if admitted == 0 {
                self.passes.push_front(pass);
                return Ok(Read::Empty);
            }
            let filled = pass.fill(admitted);
            let read = match filled {
                Ok(Some(place)) => self.batch(&mut pass, place, admitted).map(Some),
                Ok(None) => Ok(pass.parts.iter_mut().find(|part| !part.told).map(|part| {
                    part.told = true;
                    Read::SplitEnd(part.split.clone())
                })),
                Err(error) => Err(error),
            };
            match read {
                // Nothing left, and every end told: this pass is over.
                Ok(None) => self.ended.extend(pass.parts.into_iter().map(|part| part.split)),
                Ok(Some(read)) => {
                    // Splits that were assigned at different times take turns.
                    self.passes.push_back(pass);
                    return Ok(read);
                }
                Err(error) => {
                    self.passes.push_front(pass);
                    return Err(error);
                }
            }
        }
        Ok(Read::End)
    }

    fn assign(&mut self, splits: Vec<SplitStart>) -> Result<()> {
        for SplitStart { split, offset } in &splits {
            let offsets = self.index.splits.get(split).ok_or_else(|| unknown(&self.table, split))?;
            if offset.0 < offsets.first() || offset.0 > offsets.end() {
                return Err(Error::data(format!(
                    "table '{}': {split} cannot begin at {offset}: the recording holds {} to {}",
                    self.table,
                    offsets.first(),
                    offsets.end() - 1
                )));
            }
        }
        if !splits.is_empty() {
            self.passes.push_back(Pass::new(&self.index, splits));
        }
        Ok(())
    }

    fn lag(&self) -> Vec<SplitLag> {
        let parts = self.passes.iter().flat_map(|pass| &pass.parts);
        let left = |part: &Part| self.index.splits.get(&part.split).map(|offsets| offsets.left(part.next));
        let reading = parts.map(|part| SplitLag { split: part.split.clone(), records: left(part) });
        reading.chain(self.ended.iter().map(|split| SplitLag { split: split.clone(), records: Some(0) })).collect()
    }

    fn close(&mut self) {
        self.passes.clear();
    }
}

impl ReplayReader {
    /// Decodes at most `count` records that wait in a split.
    fn batch(&mut self, pass: &mut Pass, place: usize, count: usize) -> Result<Read> {
        let part = &mut pass.parts[place];
        let count = count.min(part.waiting.len());
        let (mut skipped, mut rows) = (0, Vec::with_capacity(count));
        for (offset, raw) in part.waiting.drain(..count) {
            pass.waiting_bytes -= size(&raw);
            part.next = offset + 1;
            // A tombstone says that a key is gone; it is no row.
            let Some(value) = &raw.value else {
                skipped += 1;
                continue;
            };
            self.builder.push(&part.split, offset, raw.timestamp_ms, value, || raw.clone());
            rows.push((offset, raw));
        }
        pass.waiting -= count;
        self.pace.pass(count);
        let raw = |offsets: &[i64]| -> Box<dyn RawRecords> {
            // What became a dead letter has its own copy.
            rows.retain(|(offset, _)| offsets.binary_search(offset).is_ok());
            Box::new(Kept(rows.into_iter().map(|(_, raw)| raw).collect()))
        };
        self.builder.finish(&part.split, Offset(part.next), skipped, raw).map(Read::Batch)
    }
}

/// The records behind the rows.
#[derive(Debug)]
struct Kept(Vec<RawRecord>);

impl RawRecords for Kept {
    fn raw(&self, row: usize) -> RawRecord {
        self.0.get(row).cloned().unwrap_or_default()
    }
}
