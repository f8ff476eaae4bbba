//! What was measured, kept in `results.json` from one run to the next: who is left out of a run keeps the figures of the last
//! one that it was in, with their date. It neither measures nor writes prose.

use crate::machine::Origin;
use crate::topics::Kind;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One round of one system.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct Figures {
    /// CPU-seconds per million records: the slope between a short and a long run.
    pub(crate) cpu_per_million: f64,
    /// CPU-seconds that do not depend on the number of records.
    pub(crate) start_cpu: f64,
    /// The slope as a multiple of the raw client's in the same round.
    pub(crate) to_raw: Option<f64>,
    /// The slope as a multiple of the hand-written query's in the same round.
    pub(crate) to_query: Option<f64>,
    /// Of the long run, from the process' start to its end.
    pub(crate) records_per_second: f64,
    /// Of the long run: the most memory that its processes held at one time.
    pub(crate) peak_mib: f64,
    /// Seconds from the process' start to the first record at its door.
    pub(crate) first_record: Option<f64>,
    /// The largest share of the machine that the hypervisor took away in one of the runs.
    pub(crate) steal: f64,
}

/// One system on one kind of topic.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Reading threads.
    pub(crate) parallelism: u32,
    pub(crate) system: String,
    pub(crate) title: String,
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// Of the long run.
    pub(crate) millions: f64,
    /// The most that a JVM's heap could grow to.
    pub(crate) heap_mib: u64,
    pub(crate) rounds: Vec<Figures>,
    /// Why it was given up: a failure or a wrong answer.
    pub(crate) void: Option<String>,
}

/// The least memory with which a peer answers.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct LeastHeap {
    pub(crate) kind: Kind,
    pub(crate) system: String,
    pub(crate) title: String,
    pub(crate) date: String,
    pub(crate) heap_mib: u64,
    pub(crate) peak_mib: f64,
    pub(crate) millions: f64,
}

/// What state costs with so many keys, without a broker.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct StateEntry {
    pub(crate) keys: u64,
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// Of each run whose CPU is measured.
    pub(crate) millions: f64,
    /// Checkpoints whose pauses were looked at, one each second.
    pub(crate) cuts: u64,
    /// 99 of 100 pauses took no longer.
    pub(crate) pause_ms: f64,
    /// What a checkpoint each 10 s adds to the CPU time, per cent, per round.
    pub(crate) checkpoint_percent: Vec<f64>,
    /// Bytes of state files uploaded for each byte of changed state.
    pub(crate) uploaded_to_changed: f64,
    /// Peak memory with ten keys, and with all of them.
    pub(crate) base_mib: f64,
    pub(crate) peak_mib: f64,
    pub(crate) bytes_per_key: f64,
    /// Size of the checkpoint that was restored, and the time of each restore.
    pub(crate) state_mib: f64,
    pub(crate) restore_ms: Vec<f64>,
    /// How long after each of them everything was in memory again, while records were read.
    #[serde(default)]
    pub(crate) load_ms: Vec<f64>,
    /// The same from an S3 server on this machine.
    #[serde(default)]
    pub(crate) restore_from_s3_ms: Vec<f64>,
    /// What the state took in memory, as the engine counts it.
    #[serde(default)]
    pub(crate) held_mib: f64,
    /// How many times as fast two threads on two processors are, per round.
    pub(crate) second_core: Vec<f64>,
}

/// A run with more keys than memory holds; its rows were right.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct LargeEntry {
    pub(crate) keys: u64,
    #[serde(flatten)]
    pub(crate) origin: Origin,
    pub(crate) records: u64,
    /// What its control group could take, with the system's cache of its files; `None` where none could be made.
    pub(crate) limit_mib: Option<u64>,
    /// Its resident set.
    pub(crate) peak_mib: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) seconds: f64,
}

/// What rows cost in one sink. All are CPU-seconds per million rows, per round.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct SinkEntry {
    pub(crate) sink: String,
    #[serde(flatten)]
    pub(crate) origin: Origin,
    pub(crate) millions: f64,
    /// The engine with the sink, and with nowhere to write to.
    pub(crate) engine: Vec<f64>,
    pub(crate) nowhere: Vec<f64>,
    /// The program that writes by hand.
    pub(crate) floor: Vec<f64>,
}

/// How soon the main job's windows were seen in one sink, at one load.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct LatencyEntry {
    /// Per cent of what the job can do.
    pub(crate) load: u32,
    /// Records a second.
    pub(crate) rate: i64,
    pub(crate) sink: String,
    /// Windows that ended, and those of them that were not seen.
    pub(crate) windows: usize,
    pub(crate) missing: usize,
    /// From the watermark's passing to the sight of the rows.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) most_ms: f64,
    pub(crate) parallelism: u32,
    #[serde(flatten)]
    pub(crate) origin: Origin,
}

/// Everything that is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
    #[serde(default)]
    pub(crate) least_heaps: Vec<LeastHeap>,
    #[serde(default)]
    pub(crate) states: Vec<StateEntry>,
    #[serde(default)]
    pub(crate) larges: Vec<LargeEntry>,
    #[serde(default)]
    pub(crate) sinks: Vec<SinkEntry>,
    #[serde(default)]
    pub(crate) latencies: Vec<LatencyEntry>,
}

impl Book {
    /// Reads it; an empty one where there is no file.
    ///
    /// # Errors
    /// The file is not a book.
    pub(crate) fn read(path: &Path) -> Result<Book, String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Book::default()),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}; delete it to begin anew", path.display()))
    }

    /// Writes it, one entry a line, so that a change of one is a change of one line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let text = format!(
            "{{\"entries\":[\n{}\n],\"least_heaps\":[\n{}\n],\"states\":[\n{}\n],\"larges\":[\n{}\n],\"sinks\":[\n{}\n],\"latencies\":[\n{}\n]}}\n",
            lines(&self.entries)?,
            lines(&self.least_heaps)?,
            lines(&self.states)?,
            lines(&self.larges)?,
            lines(&self.sinks)?,
            lines(&self.latencies)?
        );
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Takes an entry in the place of the same system's on the same kind of topic.
    pub(crate) fn put(&mut self, entry: Entry) {
        put(&mut self.entries, entry, |a, b| (a.kind, a.parallelism, &a.system) == (b.kind, b.parallelism, &b.system));
    }

    /// The same for a least heap.
    pub(crate) fn put_heap(&mut self, heap: LeastHeap) {
        put(&mut self.least_heaps, heap, |a, b| (a.kind, &a.system) == (b.kind, &b.system));
    }

    /// The same for what state costs.
    pub(crate) fn put_state(&mut self, state: StateEntry) {
        put(&mut self.states, state, |a, b| a.keys == b.keys);
        self.states.sort_by_key(|state| state.keys);
    }

    /// The same for more keys than memory holds.
    pub(crate) fn put_large(&mut self, large: LargeEntry) {
        put(&mut self.larges, large, |a, b| (a.keys, a.records) == (b.keys, b.records));
    }

    /// The same for single sinks.
    pub(crate) fn put_sink(&mut self, entry: SinkEntry) {
        put(&mut self.sinks, entry, |a, b| a.sink == b.sink);
    }

    /// The same for latencies.
    pub(crate) fn put_latency(&mut self, entry: LatencyEntry) {
        put(&mut self.latencies, entry, |a, b| (a.load, &a.sink) == (b.load, &b.sink));
        self.latencies.sort_by(|a, b| (a.load, &a.sink).cmp(&(b.load, &b.sink)));
    }
}

/// In the place of the one that is the same, or behind all others.
fn put<T>(kept: &mut Vec<T>, new: T, same: impl Fn(&T, &T) -> bool) {
    match kept.iter_mut().find(|old| same(old, &new)) {
        Some(old) => *old = new,
        None => kept.push(new),
    }
}

fn lines(values: &[impl Serialize]) -> Result<String, String> {
    let lines: Result<Vec<String>, _> = values.iter().map(serde_json::to_string).collect();
    Ok(lines.map_err(|error| error.to_string())?.join(",\n"))
}

/// The middle of some numbers; of an even count the mean of both.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
pub(crate) mod tests;
