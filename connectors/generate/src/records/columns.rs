//! Template `columns`: one field per declared column, by its type and its `fields.<name>.*` options.

use super::draw::tag::FIELD;
use super::text::{Object, write_clock, write_day, write_hex, write_number, write_signed};
use super::{Malformed, Record};
use crate::datagen::{ColumnRule, Values};
use aqueduct_core::json::encode_base64;

/// The rules, with the names ready to be written.
#[derive(Debug, Clone)]
pub(super) struct ColumnsTemplate {
    fields: Vec<(Vec<u8>, ColumnRule)>,
}

impl ColumnsTemplate {
    pub(super) fn new(columns: &[ColumnRule]) -> Self {
        let named = |rule: &ColumnRule| {
            let name = serde_json::Value::from(rule.name.as_str()).to_string() + ":";
            (name.into_bytes(), rule.clone())
        };
        Self { fields: columns.iter().map(named).collect() }
    }

    /// Appends one record.
    pub(super) fn write(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        let mut object = Object::new(out);
        for (index, (name, rule)) in self.fields.iter().enumerate() {
            let tag = FIELD + index as u64;
            if rule.values == Values::Time {
                record.write_time(name, &mut object);
                continue;
            }
            let spoilt = record.has(Malformed::WrongType) && rule.values.is_number();
            if rule.optional && !spoilt && record.misses(tag) {
                continue;
            }
            if rule.values.is_number() {
                record.write_number(name, tag, &mut object, |out| write_value(rule, record, tag, out));
            } else {
                write_value(rule, record, tag, object.name(name));
            }
        }
        object.end();
    }
}

fn write_value(rule: &ColumnRule, record: &Record<'_>, tag: u64, out: &mut Vec<u8>) {
    let draw = record.draw;
    match rule.values {
        Values::Sequence { start } => write_signed(i128::from(start) + i128::from(record.outline.sequence), out),
        Values::Integer { min, max } => {
            // The whole range of BIGINT has 2^64 values: more than `below` can be asked for.
            let span = max.abs_diff(min).saturating_add(1);
            write_signed(i128::from(min) + i128::from(draw.below(tag, span)), out);
        }
        Values::Decimal { min, max, scale } => {
            let value = min + draw.below(tag, max.abs_diff(min).saturating_add(1)) as i64;
            write_fixed(value, scale, out);
        }
        Values::Float { min, max } => {
            // 53 random bits: evenly spread over [0, 1).
            let unit = (draw.at(tag) >> 11) as f64 / (1u64 << 53) as f64;
            out.extend_from_slice((min + unit * (max - min)).to_string().as_bytes());
        }
        Values::Boolean => out.extend_from_slice(if draw.below(tag, 2) == 0 { b"false" } else { b"true" }),
        Values::Key => {
            out.extend_from_slice(b"\"key-");
            write_number(draw.below(tag, record.common.keys), out);
            out.push(b'"');
        }
        Values::SequenceText { start } => {
            out.push(b'"');
            write_signed(i128::from(start) + i128::from(record.outline.sequence), out);
            out.push(b'"');
        }
        Values::Text { length } => {
            out.push(b'"');
            for part in 0..length.div_ceil(16) {
                write_hex(draw.at(tag + ((u64::from(part) + 1) << 32)), (length - part * 16).min(16), out);
            }
            out.push(b'"');
        }
        Values::Bytes { length } => {
            let bytes: Vec<u8> = (0..length).map(|index| draw.at(tag + ((u64::from(index) + 1) << 32)) as u8).collect();
            out.push(b'"');
            encode_base64(&bytes, out);
            out.push(b'"');
        }
        Values::Date => quoted(out, |out| write_day(record.outline.event_us, out)),
        Values::TimeOfDay => quoted(out, |out| write_clock(record.outline.event_us, out)),
        // Written by the caller, because it can be missing.
        Values::Time => {}
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// `value` / 10^`scale`.
fn write_fixed(value: i64, scale: u32, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let unit = 10_u64.pow(scale);
    write_number(value.unsigned_abs() / unit, out);
    if scale > 0 {
        let digits = (value.unsigned_abs() % unit + unit).to_string();
        out.push(b'.');
        out.extend_from_slice(&digits.as_bytes()[1..]);
    }
}
