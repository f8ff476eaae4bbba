//! The input of a run: what every partition holds and when it becomes readable. Made from the seed; the truth about each
//! record is kept beside its bytes, so that the oracle need not decode anything.
//!
//! Rows are out of order, late, broken and missing, but nothing here depends on who reads when: the same input has one
//! right answer. A partition that falls silent, or appears late, comes back with newer rows only, because rows that meet
//! windows which fired during the silence are late by when they were read, which no oracle can know.

use super::random::Random;
use chrono::Offset;
use serde_json::json;

/// Event time begins here: 2026-01-01T00:00:00Z.
pub const BEGIN_MS: i64 = 1_767_225_600_000;
/// `WATERMARK FOR ts AS ts - INTERVAL '2' SECOND`.
pub const DELAY_MS: i64 = 2_000;
/// `INTERVAL '10' SECOND`.
pub const WINDOW_MS: i64 = 10_000;
/// The slide of the overlapping windows.
pub const SLIDE_MS: i64 = 5_000;

/// What a record is in truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// A row.
    Row {
        /// Event time.
        at_ms: i64,
        /// The group key.
        key: String,
        /// What is summed.
        value: i64,
    },
    /// A record that cannot become a row.
    Dead,
    /// A tombstone: read, and passed over.
    Skipped,
}

/// A record of a partition.
#[derive(Debug, Clone)]
pub struct Record {
    /// The value as a producer wrote it.
    pub bytes: Option<Vec<u8>>,
    /// What it is.
    pub truth: Truth,
    /// When it becomes readable, in simulated milliseconds.
    pub from_ms: u64,
}

/// A partition.
#[derive(Debug, Clone, Default)]
pub struct Partition {
    /// When it exists.
    pub appears_ms: u64,
    /// Its log.
    pub records: Vec<Record>,
}

/// Everything that there is to read.
#[derive(Debug, Clone)]
pub struct Input {
    /// The partitions.
    pub partitions: Vec<Partition>,
    /// From then on nothing more comes, and readers come to the end.
    pub complete_ms: u64,
}

impl Input {
    /// The input of a seed.
    pub fn new(seed: u64) -> Input {
        let mut random = Random::new(seed ^ 0x1a7u64);
        let partitions = 1 + random.below(4) as usize;
        let mut input = Input { partitions: vec![Partition::default(); partitions], complete_ms: 0 };
        let (mut now_ms, mut event_ms) = (0, BEGIN_MS + random.below(30_000) as i64);
        let records = 60 + random.below(500);
        let (pace_ms, keys) = (20 + random.below(230), 1 + random.below(6));
        // One partition may fall silent early and come back when the others are done.
        let silent = (partitions > 1 && random.below(3) == 0).then(|| random.below(partitions as u64) as usize);
        let mut late_by = 0;
        for number in 0..records {
            now_ms += random.below(pace_ms);
            event_ms += random.below(300) as i64;
            if random.below(40) == 0 {
                // A quiet hour in the event time of everybody.
                event_ms += random.below(40_000) as i64;
            }
            let mut at = random.below(partitions as u64) as usize;
            // Nobody else is ever silent for so long that it counts as idle (3 s).
            let quiet = |at: &usize| silent != Some(*at) && now_ms - input.newest_ms(*at) > 2_000;
            at = (0..partitions).find(quiet).unwrap_or(at);
            if silent == Some(at) && number > records / 5 {
                continue;
            }
            let record = record(&mut random, now_ms, event_ms, keys, true);
            if let Truth::Row { at_ms, .. } = &record.truth {
                late_by = late_by.max(*at_ms);
            }
            input.partitions[at].records.push(record);
        }
        if let Some(at) = silent {
            event_ms = late_by.max(event_ms) + 60_000;
            now_ms += 20_000;
            input.tail(at, &mut random, &mut now_ms, &mut event_ms, keys);
        }
        if random.below(3) == 0 {
            event_ms += 60_000;
            now_ms += 20_000;
            input.partitions.push(Partition { appears_ms: now_ms, records: Vec::new() });
            input.tail(partitions, &mut random, &mut now_ms, &mut event_ms, keys);
        }
        input.complete_ms = now_ms + 8_000;
        input
    }

    fn newest_ms(&self, at: usize) -> u64 {
        self.partitions[at].records.last().map_or(0, |record| record.from_ms)
    }

    /// Newer rows for one partition alone.
    fn tail(&mut self, at: usize, random: &mut Random, now_ms: &mut u64, event_ms: &mut i64, keys: u64) {
        for _ in 0..10 + random.below(60) {
            *now_ms += random.below(300);
            *event_ms += random.below(500) as i64;
            self.partitions[at].records.push(record(random, *now_ms, *event_ms, keys, false));
        }
    }

    /// Records in all partitions.
    pub fn len(&self) -> usize {
        self.partitions.iter().map(|partition| partition.records.len()).sum()
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn record(random: &mut Random, from_ms: u64, event_ms: i64, keys: u64, may_be_late: bool) -> Record {
    let back = match random.below(100) {
        0..70 => random.below(1_500),
        70..88 => random.below(4_000),
        // Far enough back for a window that has closed.
        _ if may_be_late => random.below(30_000),
        _ => 0,
    };
    let at_ms = event_ms - back as i64;
    let key = format!("k{}", random.below(keys));
    let value = random.below(1_000) as i64 - 100;
    let text = time_text(at_ms, random.below(2) == 0);
    let row = json!({"k": key, "v": value, "ts": text, "note": "passed over"}).to_string();
    let (bytes, truth) = match random.below(60) {
        0 => (Some(row[..row.len() / 2].to_owned()), Truth::Dead),
        1 => (Some(json!({"k": key, "v": value}).to_string()), Truth::Dead),
        2 => (Some(json!({"k": key, "v": "many", "ts": text}).to_string()), Truth::Dead),
        3 => (None, Truth::Skipped),
        _ => (Some(row), Truth::Row { at_ms, key, value }),
    };
    Record { bytes: bytes.map(String::into_bytes), truth, from_ms }
}

fn time_text(at_ms: i64, offset: bool) -> String {
    let at = chrono::DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    if offset {
        let east = chrono::FixedOffset::east_opt(7_200).unwrap_or_else(|| chrono::Utc.fix());
        return at.with_timezone(&east).format("%Y-%m-%dT%H:%M:%S%.3f+02:00").to_string();
    }
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
