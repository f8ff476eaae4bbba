//! What a recording holds: its files, and which offsets of which splits, found by reading it once.
//!
//! Values are not decoded and not kept.

use crate::recording::RecordingReader;
use aqueduct_core::{Error, Result, SplitId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files of a recording, in order, and its splits.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) files: Vec<PathBuf>,
    pub(super) splits: BTreeMap<SplitId, Offsets>,
}

/// The offsets of a split as runs without gaps: (first, length).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    runs: Vec<(i64, i64)>,
    /// The timestamp of the first record; with its offset it tells recordings apart.
    pub(super) first_timestamp_ms: Option<i64>,
}

impl Offsets {
    /// The first offset.
    pub(super) fn first(&self) -> i64 {
        self.runs.first().map_or(0, |run| run.0)
    }

    /// The offset after the last one.
    pub(super) fn end(&self) -> i64 {
        self.runs.last().map_or(0, |run| run.0 + run.1)
    }

    /// How many records there are from `offset` on.
    pub(super) fn left(&self, offset: i64) -> u64 {
        let left = |run: &(i64, i64)| (run.0 + run.1 - offset.max(run.0)).max(0).unsigned_abs();
        let begin = self.runs.partition_point(|run| run.0 + run.1 <= offset);
        self.runs[begin..].iter().map(left).sum()
    }

    fn add(&mut self, offset: i64) {
        match self.runs.last_mut() {
            Some(run) if run.0 + run.1 == offset => run.1 += 1,
            _ => self.runs.push((offset, 1)),
        }
    }
}

impl Index {
    /// Reads the whole recording at `path`. Broken lines, and offsets that do not rise, are
    /// [`aqueduct_core::ErrorKind::FixData`] with file and line.
    pub(super) fn build(table: &str, path: &Path) -> Result<Self> {
        let mut index = Index { files: files(table, path)?, splits: BTreeMap::new() };
        for file in &index.files {
            let mut reader = RecordingReader::open(file)?;
            while let Some(record) = reader.next_record()? {
                let split = SplitId::new(record.topic, record.partition);
                if record.offset < 0 {
                    return Err(reader.broken(&format!("offset {} of {split} is negative", record.offset)));
                }
                let offsets = index.splits.entry(split.clone()).or_default();
                if offsets.runs.is_empty() {
                    offsets.first_timestamp_ms = record.timestamp_ms;
                } else if record.offset < offsets.end() {
                    let last = offsets.end() - 1;
                    return Err(reader.broken(&format!("offset {} of {split} comes after {last}", record.offset)));
                }
                offsets.add(record.offset);
            }
        }
        Ok(index)
    }
}

/// The file itself, or the recordings directly in the folder, by name.
fn files(table: &str, path: &Path) -> Result<Vec<PathBuf>> {
    let fail = |error: std::io::Error| {
        Error::config(format!("table '{table}': the recording {} cannot be read: {error}", path.display()))
            .with_source(error)
    };
    if !std::fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".jsonl") || name.ends_with(".jsonl.zst") {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::config(format!(
            "table '{table}': there is no recording (*.jsonl or *.jsonl.zst) in the folder {}",
            path.display()
        )));
    }
    files.sort();
    Ok(files)
}
