//! The topics of the benchmark: seeded records in a real broker, written once, and what the queries must answer over them.
//!
//! The answers are a plain fold over the same records; neither the engine nor a peer has a part in them.

use aqueduct_generate::records::RecordMaker;
use aqueduct_generate::{DatagenConfig, Template};
use aqueduct_tests::services::{Kafka, Record};
use std::collections::BTreeMap;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 4;
const SEED: u64 = 20_261;
const MINUTE_MS: i64 = 60_000;

/// What a topic holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// Records, over all partitions.
    pub(crate) records: i64,
    /// Different labels.
    pub(crate) keys: u64,
}

/// Count, sum and latest of one minute (ms since 1970) and label.
pub(crate) type Rows = BTreeMap<(i64, String), (i64, i64, i64)>;

impl Shape {
    /// The topic's name.
    pub(crate) fn topic(self) -> String {
        format!("bench-{}-{}", self.keys, self.records)
    }

    /// Nearly 5 s of disorder, nothing late or broken: floors validate nothing, and answers must be equal. An hour of event time.
    fn generator(self) -> DatagenConfig {
        DatagenConfig {
            seed: SEED,
            number_of_rows: Some(self.records),
            rows_per_second: None,
            partitions: PARTITIONS,
            idle_partitions: 0,
            start_us: 1_767_225_600_000_000,
            time_step_us: (3_600_000_000 / self.records / 1000 * 1000).max(1000),
            disorder_us: 4_900_000,
            late_fraction: 0.0,
            late_by_us: 0,
            malformed_fraction: 0.0,
            missing_fraction: 0.0,
            text_number_fraction: 0.0,
            key_cardinality: self.keys,
            mixed_times: false,
            template: Template::ProductImages,
        }
    }

    /// Creates and fills the topic.
    pub(crate) fn load(self, kafka: &Kafka) {
        let topic = self.topic();
        kafka.create_topic(&topic, PARTITIONS);
        let (config, writer) = (self.generator(), kafka.writer(10_000));
        let maker = RecordMaker::new(&config);
        for partition in 0..PARTITIONS {
            for offset in 0..config.rows_of(partition).unwrap_or(0) {
                let mut value = Vec::with_capacity(256);
                let timestamp_ms = maker.write(partition, offset, &mut value);
                let record = Record { key: None, value: Some(value), timestamp_ms: Some(timestamp_ms) };
                writer.write(&topic, partition, record);
            }
        }
        writer.flush();
    }

    /// The answer of the main job's query.
    pub(crate) fn minutes(self) -> Rows {
        let config = self.generator();
        let maker = RecordMaker::new(&config);
        let mut rows = Rows::new();
        let mut value = Vec::new();
        for partition in 0..PARTITIONS {
            for offset in 0..config.rows_of(partition).unwrap_or(0) {
                value.clear();
                maker.write(partition, offset, &mut value);
                let time = maker.outline(partition, offset).event_us / 1000;
                let label = text_field(&value, b"\"size_label\":\"");
                let bytes = number_field(&value, b"\"size_bytes\":");
                let row = rows.entry((time - time.rem_euclid(MINUTE_MS), label)).or_insert((0, 0, i64::MIN));
                *row = (row.0 + 1, row.1 + bytes, row.2.max(time));
            }
        }
        rows
    }
}

fn after<'a>(value: &'a [u8], name: &[u8]) -> &'a [u8] {
    let at = value.windows(name.len()).position(|window| window == name).expect("every record has the field");
    &value[at + name.len()..]
}

fn text_field(value: &[u8], name: &[u8]) -> String {
    let rest = after(value, name);
    let end = rest.iter().position(|byte| *byte == b'"').expect("the text ends");
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

fn number_field(value: &[u8], name: &[u8]) -> i64 {
    after(value, name)
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |n, byte| n * 10 + i64::from(byte - b'0'))
}
