//! What was measured, kept in `results.json` from one run to the next: who is left out of a run keeps the figures of the last
//! one that it was in, with their date. It neither measures nor writes prose.

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
    pub(crate) date: String,
    pub(crate) machine: String,
    /// The commit of this repository.
    pub(crate) commit: String,
    pub(crate) command: String,
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

/// Everything that is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
    #[serde(default)]
    pub(crate) least_heaps: Vec<LeastHeap>,
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
        let line = |value: serde_json::Result<String>| value.map_err(|error| error.to_string());
        let entries: Result<Vec<String>, String> =
            self.entries.iter().map(|entry| line(serde_json::to_string(entry))).collect();
        let heaps: Result<Vec<String>, String> =
            self.least_heaps.iter().map(|heap| line(serde_json::to_string(heap))).collect();
        let text =
            format!("{{\"entries\":[\n{}\n],\"least_heaps\":[\n{}\n]}}\n", entries?.join(",\n"), heaps?.join(",\n"));
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Takes an entry in the place of the same system's on the same kind of topic.
    pub(crate) fn put(&mut self, entry: Entry) {
        let same =
            |old: &Entry| (old.kind, old.parallelism, &old.system) == (entry.kind, entry.parallelism, &entry.system);
        match self.entries.iter_mut().find(|old| same(old)) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }

    /// The same for a least heap.
    pub(crate) fn put_heap(&mut self, heap: LeastHeap) {
        match self.least_heaps.iter_mut().find(|old| (old.kind, &old.system) == (heap.kind, &heap.system)) {
            Some(old) => *old = heap,
            None => self.least_heaps.push(heap),
        }
    }
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
