//! The records that `datagen` brings, as bytes: a pure function of the configuration, the partition and the offset.
//!
//! Any record can be made at any time, in any order and by anybody: the source, a test that fills a real topic with the very
//! same records, or a check that computes the expected results anew. Nothing here decodes, paces or reads a clock.

mod columns;
mod draw;
mod images;
mod payments;
mod text;

#[cfg(test)]
mod tests;

use crate::datagen::{DatagenConfig, Template};
use columns::ColumnsTemplate;
use draw::{Chance, Draw, tag};
use text::TimeStyle;

/// What is wrong with a record that was broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// The JSON text ends in the middle.
    Truncated,
    /// A number is text that is no number.
    WrongType,
    /// The field with the event time is left out.
    NoTime,
    /// The event time is the empty text.
    EmptyTime,
    /// No bytes at all.
    EmptyValue,
    /// A byte that is no UTF-8.
    BrokenUtf8,
}

impl Malformed {
    /// All kinds, in the order of the rotation.
    pub const ALL: [Malformed; 6] = [
        Malformed::Truncated,
        Malformed::WrongType,
        Malformed::NoTime,
        Malformed::EmptyTime,
        Malformed::EmptyValue,
        Malformed::BrokenUtf8,
    ];
}

/// What was decided about a record before its text was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Its number among all records of the source.
    pub sequence: i64,
    /// When it would be produced: microseconds since 1970; `timestamp` of the record, cut to milliseconds.
    pub produced_us: i64,
    /// Its event time: microseconds since 1970. At most `disorder` (or `late-by`) before `produced_us`.
    pub event_us: i64,
    /// It was chosen to be late.
    pub late: bool,
    /// It was chosen to be broken.
    pub malformed: Option<Malformed>,
}

/// Makes records.
#[derive(Debug, Clone)]
pub struct RecordMaker {
    seed: u64,
    active: i64,
    start_us: i64,
    step_us: i64,
    /// The smallest step of event time: a millisecond, unless the options speak of microseconds.
    grain_us: i64,
    disorder: u64,
    late_by_us: i64,
    late: Chance,
    malformed: Chance,
    common: Common,
    kind: Kind,
}

/// What all templates share.
#[derive(Debug, Clone)]
struct Common {
    missing: Chance,
    text_numbers: Chance,
    keys: u64,
    time: TimeStyle,
}

#[derive(Debug, Clone)]
enum Kind {
    Images,
    Payments,
    Columns(ColumnsTemplate),
}

impl RecordMaker {
    /// A maker of the records that this configuration describes.
    pub fn new(config: &DatagenConfig) -> Self {
        let whole_ms =
            config.time_step_us % 1_000 == 0 && config.disorder_us % 1_000 == 0 && config.late_by_us % 1_000 == 0;
        let grain_us = if whole_ms { 1_000 } else { 1 };
        let kind = match &config.template {
            Template::ProductImages => Kind::Images,
            Template::Payments => Kind::Payments,
            Template::Columns(columns) => Kind::Columns(ColumnsTemplate::new(columns)),
        };
        let common = Common {
            missing: Chance::new(config.missing_fraction),
            text_numbers: Chance::new(config.text_number_fraction),
            keys: config.key_cardinality,
            time: TimeStyle { micros: !whole_ms, mixed: config.mixed_times },
        };
        Self {
            seed: config.seed,
            active: i64::from(config.partitions - config.idle_partitions),
            start_us: config.start_us,
            step_us: config.time_step_us,
            grain_us,
            disorder: (config.disorder_us / grain_us) as u64,
            late_by_us: config.late_by_us,
            late: Chance::new(config.late_fraction),
            malformed: Chance::new(config.malformed_fraction),
            common,
            kind,
        }
    }

    /// Appends the value of the record and returns its timestamp, in milliseconds since 1970. The partitions take turns:
    /// record `offset` of partition `partition` is number `offset * active partitions + partition` of the source.
    #[inline]
    pub fn write(&self, partition: i32, offset: i64, out: &mut Vec<u8>) -> i64 {
        let draw = Draw::new(self.seed, partition, offset);
        let outline = self.outline_of(draw, partition, offset);
        let start = out.len();
        out.reserve(512);
        let record = Record { draw, outline, common: &self.common };
        match &self.kind {
            Kind::Images => images::write(&record, out),
            Kind::Payments => payments::write(&record, out),
            Kind::Columns(columns) => columns.write(&record, out),
        }
        if let Some(malformed) = outline.malformed {
            spoil(malformed, draw, out, start);
        }
        outline.produced_us.div_euclid(1_000)
    }

    /// What was decided about a record.
    pub fn outline(&self, partition: i32, offset: i64) -> Outline {
        self.outline_of(Draw::new(self.seed, partition, offset), partition, offset)
    }

    #[inline]
    fn outline_of(&self, draw: Draw, partition: i32, offset: i64) -> Outline {
        let sequence = offset.saturating_mul(self.active).saturating_add(i64::from(partition));
        let produced_us = self.start_us.saturating_add(sequence.saturating_mul(self.step_us));
        let late = self.late.hits(draw.at(tag::LATE));
        let back = match (late, self.disorder) {
            (true, _) => self.late_by_us,
            (false, 0) => 0,
            (false, disorder) => draw.below(tag::DISORDER, disorder + 1) as i64 * self.grain_us,
        };
        let spoilt = self.malformed.hits(draw.at(tag::MALFORMED));
        let malformed = spoilt.then(|| Malformed::ALL[draw.below(tag::FLAW, Malformed::ALL.len() as u64) as usize]);
        Outline { sequence, produced_us, event_us: produced_us.saturating_sub(back), late, malformed }
    }
}

/// The flaws that do not depend on the template.
#[cold]
fn spoil(malformed: Malformed, draw: Draw, out: &mut Vec<u8>, start: usize) {
    let length = (out.len() - start) as u64;
    match malformed {
        // At least one byte stays and at least one goes, so that it is neither empty nor complete.
        Malformed::Truncated => out.truncate(start + 1 + draw.below(tag::PLACE, length - 1) as usize),
        Malformed::EmptyValue => out.truncate(start),
        Malformed::BrokenUtf8 => out[start + draw.below(tag::PLACE, length) as usize] = 0xFF,
        Malformed::WrongType | Malformed::NoTime | Malformed::EmptyTime => {}
    }
}

/// What a template writes from.
struct Record<'a> {
    draw: Draw,
    outline: Outline,
    common: &'a Common,
}

impl Record<'_> {
    /// True when the optional field behind this tag is left out.
    #[inline]
    fn misses(&self, tag: u64) -> bool {
        self.common.missing.hits(self.draw.at(tag::MISSING + tag))
    }

    /// True when the number behind this tag is written as text.
    #[inline]
    fn as_text(&self, tag: u64) -> bool {
        self.common.text_numbers.hits(self.draw.at(tag::TEXT_NUMBER + tag))
    }

    fn has(&self, flaw: Malformed) -> bool {
        self.outline.malformed == Some(flaw)
    }

    /// Appends the event time with this name (`"timestamp":`), unless it is to be missing.
    #[inline]
    fn write_time(&self, name: &[u8], object: &mut text::Object<'_>) {
        if self.has(Malformed::NoTime) {
            return;
        }
        let out = object.name(name);
        out.push(b'"');
        if !self.has(Malformed::EmptyTime) {
            self.common.time.write(self.outline.event_us, self.draw, out);
        }
        out.push(b'"');
    }

    /// Appends a number, as text where that was drawn, as nonsense where the record is to be broken.
    #[inline]
    fn write_number(&self, name: &[u8], tag: u64, object: &mut text::Object<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let out = object.name(name);
        if self.has(Malformed::WrongType) {
            out.extend_from_slice(b"\"n/a\"");
        } else if self.as_text(tag) {
            out.push(b'"');
            write(out);
            out.push(b'"');
        } else {
            write(out);
        }
    }
}
