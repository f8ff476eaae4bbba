//! Reading what a system answered, in the forms in which they answer.

use crate::topics::Rows;
use std::path::Path;

/// `minute_ms,label,count,sum,latest_ms` a line.
pub(crate) fn csv(path: &Path) -> Result<Rows, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut rows = Rows::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split(',').collect();
        let number = |at: usize| parts.get(at).and_then(|part| part.parse::<i64>().ok());
        let (Some(minute), Some(label), Some(count), Some(sum), Some(latest)) =
            (number(0), parts.get(1), number(2), number(3), number(4))
        else {
            return Err(format!("{}: not a row: {line}", path.display()));
        };
        if rows.insert((minute, (*label).to_owned()), (count, sum, latest)).is_some() {
            return Err(format!("{}: twice: {line}", path.display()));
        }
    }
    Ok(rows)
}

/// Result files of the engine, JSON lines, in all folders under `folder`.
pub(crate) fn results(folder: &Path) -> Result<Rows, String> {
    let mut rows = Rows::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('_') {
                folders.push(path);
            } else if path.is_file() && !name.starts_with(['_', '.']) {
                lines(&path, &mut rows)?;
            }
        }
    }
    Ok(rows)
}

fn lines(path: &Path, rows: &mut Rows) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    for line in text.lines() {
        let wrong = || format!("{}: not a row: {line}", path.display());
        let row: serde_json::Value = serde_json::from_str(line).map_err(|_| wrong())?;
        let time = |name: &str| row[name].as_str().and_then(milliseconds);
        let (Some(minute), Some(label), Some(count), Some(sum), Some(latest)) = (
            time("window_start"),
            row["size_label"].as_str(),
            row["event_count"].as_i64(),
            row["total_bytes"].as_i64(),
            time("latest_event"),
        ) else {
            return Err(wrong());
        };
        if rows.insert((minute, label.to_owned()), (count, sum, latest)).is_some() {
            return Err(format!("{}: twice: {line}", path.display()));
        }
    }
    Ok(())
}

/// `2026-01-01T00:00:00[.123]Z`, in milliseconds since 1970.
fn milliseconds(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}
