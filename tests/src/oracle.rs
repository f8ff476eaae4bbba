//! The expected results of `jobs/image-metrics`, computed from raw records by other means than the engine's.
//!
//! Plain maps, `serde_json` and `chrono`; one record after the other. It shares no line with the engine and knows nothing of
//! batches, threads, epochs or checkpoints: by the engine's promise none of them can matter.

use chrono::{DateTime, NaiveDateTime, TimeDelta};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the job says of one window and label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metrics {
    /// `event_count`
    pub event_count: i64,
    /// `total_bytes`
    pub total_bytes: i64,
    /// `latest_event`, ms since 1970.
    pub latest_event_ms: i64,
}

/// Where the records went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// All records, tombstones too.
    pub read: u64,
    /// Rows that count in a window.
    pub in_windows: u64,
    /// Tombstones.
    pub skipped: u64,
    /// Rows whose window had closed.
    pub late: u64,
    /// Records that are no rows.
    pub dead: u64,
}

/// Takes records and knows the results.
#[derive(Debug, Clone)]
pub struct Oracle {
    /// The length of the windows, ms.
    window_ms: i64,
    /// How far the watermark is behind the greatest event time, ms.
    delay_ms: i64,
    /// Per partition: the greatest watermark before the next record.
    reached_ms: BTreeMap<i32, i64>,
    /// The rows, by window start (ms since 1970) and label.
    pub rows: BTreeMap<(i64, String), Metrics>,
    /// Late rows: partition and offset.
    pub late: BTreeSet<(i32, i64)>,
    /// Dead letters: partition and offset.
    pub dead: BTreeSet<(i32, i64)>,
    /// The account.
    pub ledger: Ledger,
}

impl Oracle {
    /// For windows of `window_minutes` and the job's watermark of 5 seconds.
    pub fn new(window_minutes: i64) -> Oracle {
        Oracle {
            window_ms: window_minutes * 60_000,
            delay_ms: 5_000,
            reached_ms: BTreeMap::new(),
            rows: BTreeMap::new(),
            late: BTreeSet::new(),
            dead: BTreeSet::new(),
            ledger: Ledger::default(),
        }
    }

    /// The next record of a partition. `None` is a tombstone.
    pub fn record(&mut self, partition: i32, offset: i64, value: Option<&[u8]>) {
        self.ledger.read += 1;
        let Some(value) = value else {
            self.ledger.skipped += 1;
            return;
        };
        let Some(row) = decode(value) else {
            self.ledger.read -= 1;
            self.dead_record(partition, offset);
            return;
        };
        let start = row.event_ms.div_euclid(self.window_ms) * self.window_ms;
        // Only what came before this row in its own partition decides; the row itself counts for the next.
        let reached = self.reached_ms.entry(partition).or_insert(i64::MIN);
        let late = start + self.window_ms - 1 <= *reached;
        *reached = (*reached).max(row.event_ms - self.delay_ms);
        if late {
            self.ledger.late += 1;
            self.late.insert((partition, offset));
            return;
        }
        self.ledger.in_windows += 1;
        let empty = Metrics { latest_event_ms: i64::MIN, ..Metrics::default() };
        let metrics = self.rows.entry((start, row.label)).or_insert(empty);
        metrics.event_count += 1;
        metrics.total_bytes += row.bytes;
        metrics.latest_event_ms = metrics.latest_event_ms.max(row.event_ms);
    }

    /// The next record of a partition, which is no row.
    pub fn dead_record(&mut self, partition: i32, offset: i64) {
        self.ledger.read += 1;
        self.ledger.dead += 1;
        self.dead.insert((partition, offset));
    }
}

struct Row {
    event_ms: i64,
    label: String,
    bytes: i64,
}

/// `None` is a dead letter.
fn decode(value: &[u8]) -> Option<Row> {
    let Value::Object(fields) = serde_json::from_slice(value).ok()? else { return None };
    let event_ms = match fields.get("timestamp")? {
        Value::String(text) => parse_time(text)?,
        _ => return None,
    };
    let label = match fields.get("size_label") {
        None | Some(Value::Null) => "default".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let bytes = match fields.get("size_bytes") {
        None | Some(Value::Null) => 0,
        Some(Value::Number(number)) => number.as_i64().or_else(|| whole(number.as_f64()?))?,
        Some(Value::String(text)) if !text.starts_with('+') => text.parse().ok()?,
        Some(_) => return None,
    };
    Some(Row { event_ms, label, bytes })
}

fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// ISO 8601 with `T` or a blank, optional seconds and fraction, `Z`, an offset in three shapes, or nothing (UTC).
fn parse_time(text: &str) -> Option<i64> {
    let (date, time) = (text.get(..10)?, text.get(11..)?);
    if !matches!(text.as_bytes()[10], b'T' | b't' | b' ') {
        return None;
    }
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let naive = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&format!("{date} {clock}"), format).ok())?;
    // chrono keeps a leap second as a second of more than 1,000 ms; the job refuses it.
    let leap = chrono::Timelike::nanosecond(&naive) >= 1_000_000_000;
    let utc = naive.checked_sub_signed(offset_of(offset)?)?.and_utc();
    (!leap).then_some(utc.timestamp_millis())
}

fn offset_of(text: &str) -> Option<TimeDelta> {
    if text.eq_ignore_ascii_case("z") {
        return Some(TimeDelta::zero());
    }
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    let padded = if digits.len() == 2 { format!("{digits}00") } else { digits };
    let probe =
        DateTime::parse_from_str(&format!("2000-01-01 00:00:00 {}{padded}", &text[..1]), "%Y-%m-%d %H:%M:%S %z")
            .ok()?;
    Some(TimeDelta::seconds(i64::from(probe.offset().local_minus_utc())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u32) -> String {
        format!(
            r#"{{"timestamp":"2026-01-01T00:{:02}:{:02}Z","size_bytes":1,"size_label":"a"}}"#,
            second / 60,
            second % 60
        )
    }

    #[test]
    fn times_in_many_shapes_are_one_moment() {
        let same = [
            "2026-01-01T02:00:00.250+02:00",
            "2026-01-01 00:00:00.2500009Z",
            "2025-12-31T20:30:00.25-0330",
            "2026-01-01T00:00:00.250",
        ];
        for text in same {
            assert_eq!(parse_time(text), Some(1_767_225_600_250), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn a_row_is_late_by_what_came_before_it_in_its_own_partition() {
        let mut oracle = Oracle::new(1);
        oracle.record(0, 0, Some(at(64).as_bytes()));
        oracle.record(0, 1, Some(at(30).as_bytes()));
        oracle.record(0, 2, Some(at(65).as_bytes()));
        oracle.record(0, 3, Some(at(30).as_bytes()));
        oracle.record(1, 0, Some(at(30).as_bytes()));
        assert_eq!(oracle.late, BTreeSet::from([(0, 3)]), "watermark 60 s closes the first minute, 59 s does not");
        assert_eq!(oracle.rows[&(1_767_225_600_000, "a".to_owned())].event_count, 2);
        assert_eq!(oracle.ledger, Ledger { read: 5, in_windows: 4, late: 1, ..Ledger::default() });
    }

    #[test]
    fn missing_fields_have_defaults_and_broken_records_are_dead() {
        let mut oracle = Oracle::new(1);
        let dead: [&[u8]; 7] = [
            b"",
            b"{",
            b"[]",
            br#"{"size_bytes":1}"#,
            br#"{"timestamp":""}"#,
            br#"{"timestamp":"2026-01-01T00:00:00Z","size_bytes":"n/a"}"#,
            b"{\"timestamp\":\"2026-01-01T00:00:00Z\",\"x\":\"\xff\"}",
        ];
        for (offset, value) in dead.iter().enumerate() {
            oracle.record(0, offset as i64, Some(value));
        }
        oracle.record(0, 7, None);
        oracle.record(0, 8, Some(br#"{"timestamp":"2026-01-01T00:00:01Z","size_bytes":"12"}"#));
        oracle.record(0, 9, Some(br#"{"timestamp":"2026-01-01T00:00:02Z","size_label":null}"#));
        assert_eq!(oracle.dead.len(), 7);
        let expected = Metrics { event_count: 2, total_bytes: 12, latest_event_ms: 1_767_225_602_000 };
        assert_eq!(oracle.rows, BTreeMap::from([((1_767_225_600_000, "default".to_owned()), expected)]));
        assert_eq!(oracle.ledger, Ledger { read: 10, in_windows: 2, skipped: 1, late: 0, dead: 7 });
    }
}
