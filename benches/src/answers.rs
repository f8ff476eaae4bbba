//! Rows that a system answered, in the forms in which they answer, and as a digest that two answers are compared by.

use aqueduct_tests::services::Kafka;
use serde::Deserialize;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

/// One row of the main job's query. Times are milliseconds since 1970.
#[derive(Debug, Hash)]
pub(crate) struct Row<'a> {
    pub(crate) minute: i64,
    pub(crate) label: &'a str,
    pub(crate) count: i64,
    pub(crate) sum: i64,
    pub(crate) least: i64,
    pub(crate) latest: i64,
    pub(crate) mean: i64,
}

/// One row of the projection. The time is milliseconds since 1970.
#[derive(Debug, Hash)]
pub(crate) struct Projected<'a> {
    pub(crate) product: i64,
    pub(crate) label: &'a str,
    pub(crate) bytes: i64,
    pub(crate) time: i64,
}

/// How many rows, and the sum of their hashes: equal for equal rows in any order, and, but for a chance of one in 2^64, only for
/// those. A row that is there twice counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) count: u64,
    digest: u64,
}

impl Rows {
    /// One more.
    pub(crate) fn add(&mut self, row: &impl Hash) {
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        self.count += 1;
        self.digest = self.digest.wrapping_add(hasher.finish());
    }

    /// One line `minute,label,count,sum,least,latest,mean`.
    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let parts: Vec<&str> = line.split(',').collect();
        let wrong = || format!("not a row: {line}");
        let number = |at: usize| parts.get(at).and_then(|part| part.parse::<i64>().ok()).ok_or_else(wrong);
        self.add(&Row {
            minute: number(0)?,
            label: parts.get(1).ok_or_else(wrong)?,
            count: number(2)?,
            sum: number(3)?,
            least: number(4)?,
            latest: number(5)?,
            mean: number(6)?,
        });
        Ok(())
    }
}

/// A file of lines as [`Rows::add_line`] reads them.
pub(crate) fn csv(path: &Path) -> Result<Rows, String> {
    let mut rows = Rows::default();
    lines(path, &mut |line| rows.add_line(line))?;
    Ok(rows)
}

/// The same in all files under a folder, but for hidden ones.
pub(crate) fn csv_folder(folder: &Path) -> Result<Rows, String> {
    let mut rows = Rows::default();
    walk(folder, &mut |line| rows.add_line(line))?;
    Ok(rows)
}

/// Result files in JSON lines, as the engine and Flink write them, in all folders under `folder`.
pub(crate) fn json_folder(folder: &Path) -> Result<Rows, String> {
    let mut rows = Rows::default();
    walk(folder, &mut |line| {
        let row: JsonRow<'_> = serde_json::from_str(line).map_err(|error| format!("not a row: {line}: {error}"))?;
        rows.add(&Row {
            minute: milliseconds(row.window_start)?,
            label: row.size_label,
            count: row.event_count,
            sum: row.total_bytes,
            least: row.least_bytes,
            latest: milliseconds(row.latest_event)?,
            mean: row.mean_bytes,
        });
        Ok(())
    })?;
    Ok(rows)
}

/// The one row that the engine's `query` prints, in CSV.
///
/// # Errors
/// It prints none.
pub(crate) fn queried(mut query: Command, sql: &str) -> Result<String, String> {
    let output = query.args(["--format", "csv", sql]).output().map_err(|error| error.to_string())?;
    let row = String::from_utf8_lossy(&output.stdout).lines().nth(1).map(str::to_owned);
    row.ok_or_else(|| format!("no answer to {sql}:\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// A topic of updates in lines: the last one of each key counts.
pub(crate) fn updates(kafka: &Kafka, topic: &str) -> Result<Rows, String> {
    let mut last = HashMap::new();
    for record in kafka.read_committed(topic) {
        last.insert(record.key, record.value);
    }
    let mut rows = Rows::default();
    for value in last.into_values().flatten() {
        rows.add_line(&String::from_utf8_lossy(&value))?;
    }
    Ok(rows)
}

/// A topic of the projection's rows.
pub(crate) fn projected(kafka: &Kafka, topic: &str) -> Result<Rows, String> {
    let mut rows = Rows::default();
    for record in kafka.read_committed(topic) {
        let value = record.value.unwrap_or_default();
        let wrong = |error| format!("{topic}: not a row: {}: {error}", String::from_utf8_lossy(&value));
        let row: JsonProjected<'_> = serde_json::from_slice(&value).map_err(wrong)?;
        let (label, time) = (row.size_label, milliseconds(row.timestamp)?);
        rows.add(&Projected { product: row.product_id, label, bytes: row.size_bytes, time });
    }
    Ok(rows)
}

#[derive(Deserialize)]
struct JsonProjected<'a> {
    product_id: i64,
    size_label: &'a str,
    size_bytes: i64,
    timestamp: &'a str,
}

#[derive(Deserialize)]
struct JsonRow<'a> {
    window_start: &'a str,
    size_label: &'a str,
    event_count: i64,
    total_bytes: i64,
    least_bytes: i64,
    mean_bytes: i64,
    latest_event: &'a str,
}

/// Files whose names begin with a dot or an underscore are not results, neither the engine's nor Flink's.
fn walk(folder: &Path, each: &mut impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(['_', '.']) {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { lines(&path, each)? }
        }
    }
    Ok(())
}

fn lines(path: &Path, each: &mut impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines().try_for_each(|line| each(line).map_err(|why| format!("{}: {why}", path.display())))
}

/// `2026-01-01T00:00:00[.123]Z`, in milliseconds since 1970.
fn milliseconds(text: &str) -> Result<i64, String> {
    let time = chrono::DateTime::parse_from_rfc3339(text).map_err(|error| format!("{text}: {error}"))?;
    Ok(time.timestamp_millis())
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
