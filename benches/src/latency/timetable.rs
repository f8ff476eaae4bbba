//! A producer that keeps to a timetable, and says when the watermark passed each window's end by it.

use aqueduct_generate::DatagenConfig;
use aqueduct_generate::records::RecordMaker;
use aqueduct_tests::services::Kafka;
use aqueduct_tests::services::kafka::Record;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const MINUTE_US: i64 = 60_000_000;
/// What the main job's `WATERMARK FOR` waits for records that come late.
const DELAY_US: i64 = 5_000_000;
/// How long the producer sleeps between two looks at the clock.
const NAP: Duration = Duration::from_millis(2);

/// When records are due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Records a second, over all partitions.
    pub(super) rate: i64,
    /// When the first one is due.
    pub(super) begin: Instant,
}

impl Pace {
    /// When record `number` is due.
    pub(super) fn due(&self, number: i64) -> Instant {
        self.begin + Duration::from_micros((number * 1_000_000 / self.rate).unsigned_abs())
    }

    /// How many records are due at `now`.
    fn owed(&self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.begin).as_micros();
        i64::try_from(passed * u128::from(self.rate.unsigned_abs()) / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// The records, and what the watermark is after each of them.
pub(super) struct Timetable {
    maker: RecordMaker,
    records: i64,
    pace: Pace,
    watermark: Watermark,
}

impl Timetable {
    pub(super) fn new(generator: &DatagenConfig, pace: Pace) -> Timetable {
        let watermark = Watermark::new(generator.partitions.unsigned_abs() as usize, generator.start_us);
        Timetable {
            maker: RecordMaker::new(generator),
            records: generator.number_of_rows.unwrap_or(0),
            pace,
            watermark,
        }
    }

    /// Sends everything when it is due. Returns when the watermark passed the end of each window, by the window's start in
    /// milliseconds: when the record was due that moved it, whether or not the producer kept up.
    pub(super) fn send(mut self, kafka: &Kafka, topic: &str) -> BTreeMap<i64, Instant> {
        let writer = kafka.writer(10_000);
        let mut passed = BTreeMap::new();
        let (mut sent, partitions) = (0, self.watermark.greatest.len() as i64);
        while sent < self.records {
            let owed = self.pace.owed(Instant::now()).min(self.records);
            if owed == sent {
                std::thread::sleep(NAP);
            }
            for number in sent..owed {
                let (partition, offset) = ((number % partitions) as i32, number / partitions);
                let mut value = Vec::with_capacity(256);
                let timestamp_ms = self.maker.write(partition, offset, &mut value);
                writer.write(
                    topic,
                    partition,
                    Record { key: None, value: Some(value), timestamp_ms: Some(timestamp_ms) },
                );
                let event_us = self.maker.outline(partition, offset).event_us;
                for window in self.watermark.passes(partition as usize, event_us) {
                    passed.insert(window, self.pace.due(number));
                }
            }
            sent = owed;
        }
        writer.flush();
        passed
    }
}

/// The watermark of a topic, from the event times of its records.
pub(super) struct Watermark {
    greatest: Vec<i64>,
    /// The end of the first window that it has not passed.
    next_end: i64,
}

impl Watermark {
    /// Before any record; the first of them comes at about `start_us`.
    pub(super) fn new(partitions: usize, start_us: i64) -> Watermark {
        Watermark {
            greatest: vec![i64::MIN; partitions],
            next_end: start_us.div_euclid(MINUTE_US) * MINUTE_US + MINUTE_US,
        }
    }

    /// A record comes: the starts, in milliseconds, of the windows whose ends the watermark passes by it. A window is over when its
    /// last millisecond is not after the watermark.
    pub(super) fn passes(&mut self, partition: usize, event_us: i64) -> Vec<i64> {
        self.greatest[partition] = self.greatest[partition].max(event_us);
        let least = self.greatest.iter().copied().min().unwrap_or(i64::MIN);
        let mut over = Vec::new();
        // Records carry milliseconds.
        while (least.saturating_sub(DELAY_US)).div_euclid(1_000) >= self.next_end / 1_000 - 1 {
            over.push((self.next_end - MINUTE_US) / 1_000);
            self.next_end += MINUTE_US;
        }
        over
    }
}
