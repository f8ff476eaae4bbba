//! The topics of the benchmark: seeded records in a real broker, written once, and what the queries must answer over them.
//!
//! The answers are a plain fold over the same bytes; neither the engine nor a peer has a part in them.

use crate::answers::{Projected, Row, Rows};
use aqueduct_generate::records::RecordMaker;
use aqueduct_generate::{DatagenConfig, Template};
use aqueduct_tests::services::{Kafka, Record};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 4;
/// Something that every record as generated has, and that nothing else in a fetch has.
pub(crate) const MARK: &[u8] = b"\"image_id\":";
const SEED: u64 = 20_261;
const MINUTE_MS: i64 = 60_000;

/// How records spread over labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Spread {
    /// Evenly.
    Uniform,
    /// The label of rank k is drawn with weight k^-1.1.
    Zipf,
}

/// How the broker stores the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codec {
    None,
    Lz4,
    Zstd,
}

/// What a topic holds, but for the number of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Kind {
    /// Different labels.
    pub(crate) keys: u64,
    pub(crate) spread: Spread,
    /// About so many bytes a record; 0 is as generated, about 190.
    pub(crate) bytes: usize,
    pub(crate) codec: Codec,
}

impl Kind {
    /// As in a heading.
    pub(crate) fn title(&self) -> String {
        let Kind { keys, spread, bytes, codec } = self;
        let spread = if *spread == Spread::Zipf { ", Zipf" } else { "" };
        let bytes = if *bytes == 0 { String::new() } else { format!(", {bytes} B") };
        let codec = match codec {
            Codec::None => "",
            Codec::Lz4 => ", lz4",
            Codec::Zstd => ", zstd",
        };
        format!("{} labels{spread}{bytes}{codec}", grouped(*keys))
    }
}

/// `1,000,000`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What a topic holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shape {
    /// Records, over all partitions.
    pub(crate) records: i64,
    pub(crate) kind: Kind,
}

impl Shape {
    /// The topic's name.
    pub(crate) fn topic(&self) -> String {
        let Kind { keys, spread, bytes, codec } = self.kind;
        format!("bench-{keys}-{spread:?}-{bytes}-{codec:?}-{}", self.records).to_lowercase()
    }

    /// Event time between one record and the next. The whole is an hour or more.
    pub(crate) fn step_us(&self) -> i64 {
        (3_600_000_000 / self.records / 1000 * 1000).max(1000)
    }

    /// Nearly 5 s of disorder, nothing late or broken: floors validate nothing, and answers must be equal.
    fn generator(&self) -> DatagenConfig {
        DatagenConfig {
            seed: SEED,
            number_of_rows: Some(self.records),
            rows_per_second: None,
            partitions: PARTITIONS,
            idle_partitions: 0,
            start_us: 1_767_225_600_000_000,
            time_step_us: self.step_us(),
            disorder_us: 4_900_000,
            late_fraction: 0.0,
            late_by_us: 0,
            malformed_fraction: 0.0,
            missing_fraction: 0.0,
            text_number_fraction: 0.0,
            key_cardinality: self.kind.keys,
            mixed_times: false,
            template: Template::ProductImages,
        }
    }

    /// Creates and fills the topic.
    pub(crate) fn load(&self, kafka: &Kafka) {
        let topic = self.topic();
        let codec = match self.kind.codec {
            Codec::None => "uncompressed",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        };
        kafka.create_topic_with(&topic, PARTITIONS, &[("compression.type", codec)]);
        let writer = kafka.writer(10_000);
        let values = Values::new(self);
        for partition in 0..PARTITIONS {
            for offset in 0..values.count(partition) {
                let mut value = Vec::with_capacity(256);
                let timestamp_ms = values.write(partition, offset, &mut value);
                let record = Record { key: None, value: Some(value), timestamp_ms: Some(timestamp_ms) };
                writer.write(&topic, partition, record);
            }
        }
        writer.flush();
    }

    /// What the queries must answer.
    pub(crate) fn answers(&self) -> Answers {
        let values = Values::new(self);
        let mut groups: HashMap<(i64, Box<str>), [i64; 4]> = HashMap::new();
        let mut answers = Answers::default();
        let mut value = Vec::new();
        for partition in 0..PARTITIONS {
            for offset in 0..values.count(partition) {
                value.clear();
                values.write(partition, offset, &mut value);
                let time = values.maker.outline(partition, offset).event_us / 1000;
                let label = String::from_utf8_lossy(&value[text_field(&value, LABEL)]);
                let bytes = number_field(&value, b"\"size_bytes\":");
                let product = number_field(&value, b"\"product_id\":");
                if product < 20_000 {
                    answers.projection.add(&Projected { product, label: &label, bytes, time });
                }
                let key = (time - time.rem_euclid(MINUTE_MS), label.into());
                let group = groups.entry(key).or_insert([0, 0, i64::MAX, i64::MIN]);
                *group = [group[0] + 1, group[1] + bytes, group[2].min(bytes), group[3].max(time)];
            }
        }
        for ((minute, label), [count, sum, least, latest]) in &groups {
            let (minute, count, sum, least, latest) = (*minute, *count, *sum, *least, *latest);
            answers.minutes.add(&Row { minute, label, count, sum, least, latest, mean: sum / count });
        }
        answers
    }
}

/// What is asked of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// The main job's: count, sum, least, mean and latest of each minute and label.
    Minutes,
    /// A fifth of the records, four fields.
    Projection,
}

/// The right answers over one topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    minutes: Rows,
    projection: Rows,
}

impl Answers {
    /// The one to a question.
    pub(crate) fn to(&self, question: Question) -> Rows {
        match question {
            Question::Minutes => self.minutes,
            Question::Projection => self.projection,
        }
    }
}

const LABEL: &[u8] = b"\"size_label\":\"";

/// The values of a topic.
struct Values {
    maker: RecordMaker,
    config: DatagenConfig,
    /// Summed weights of the labels, where they are not drawn evenly.
    weights: Vec<f64>,
    bytes: usize,
}

impl Values {
    fn new(shape: &Shape) -> Values {
        let config = shape.generator();
        let mut sum = 0.0;
        let ranks = if shape.kind.spread == Spread::Zipf { shape.kind.keys } else { 0 };
        let weights = (1..=ranks).map(|rank| {
            sum += (rank as f64).powf(-1.1);
            sum
        });
        Values { maker: RecordMaker::new(&config), weights: weights.collect(), bytes: shape.kind.bytes, config }
    }

    fn count(&self, partition: i32) -> i64 {
        self.config.rows_of(partition).unwrap_or(0)
    }

    /// Appends a value to an empty buffer and returns the record's timestamp.
    fn write(&self, partition: i32, offset: i64, value: &mut Vec<u8>) -> i64 {
        let timestamp_ms = self.maker.write(partition, offset, value);
        if let Some(all) = self.weights.last() {
            let drawn = even(partition, offset) * all;
            let rank = self.weights.partition_point(|sum| *sum < drawn).min(self.weights.len() - 1);
            let place = text_field(value, LABEL);
            value.splice(place, RecordMaker::label(rank as u64).into_bytes());
        }
        if self.bytes > 0 {
            resize(value, self.bytes);
        }
        timestamp_ms
    }
}

/// A number from 0 to 1: splitmix64 of partition and offset.
fn even(partition: i32, offset: i64) -> f64 {
    let mut word = ((partition as u64) << 48 ^ offset as u64).wrapping_add(SEED).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((word ^ (word >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Takes fields away that no query uses, or adds one, until the value has about so many bytes.
fn resize(value: &mut Vec<u8>, bytes: usize) {
    for name in [b"\"bucket\":\"" as &[u8], b"\"key\":\"", b"\"image_id\":\""] {
        if value.len() > bytes {
            let text = text_field(value, name);
            // With the quote and the comma behind it.
            value.drain(text.start - name.len()..text.end + 2);
        }
    }
    let frame = b",\"note\":\"\"".len();
    if let Some(missing) = bytes.checked_sub(value.len() + frame) {
        value.pop();
        value.extend_from_slice(b",\"note\":\"");
        value.resize(value.len() + missing, b'x');
        value.extend_from_slice(b"\"}");
    }
}

fn after(value: &[u8], name: &[u8]) -> usize {
    let at = value.windows(name.len()).position(|window| window == name).expect("every record has the field");
    at + name.len()
}

/// Where a text is; `name` ends with its first quote.
fn text_field(value: &[u8], name: &[u8]) -> std::ops::Range<usize> {
    let start = after(value, name);
    let end = value[start..].iter().position(|byte| *byte == b'"').expect("the text ends");
    start..start + end
}

fn number_field(value: &[u8], name: &[u8]) -> i64 {
    let digits = value[after(value, name)..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |n, byte| n * 10 + i64::from(byte - b'0'))
}

#[cfg(test)]
#[path = "topics_tests.rs"]
mod tests;
