//! JSON text, written by hand: numbers, hex, timestamps and the commas between fields. No values are chosen here.

use super::draw::{Draw, tag};
use aqueduct_core::json::write_date;

/// An object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    before: u8,
}

impl<'a> Object<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, before: b'{' }
    }

    /// Appends the name (with quotes and colon); the value goes into what is returned.
    #[inline]
    pub(super) fn name(&mut self, name: &[u8]) -> &mut Vec<u8> {
        self.out.push(self.before);
        self.before = b',';
        self.out.extend_from_slice(name);
        self.out
    }

    /// Appends a field of plain text: `before` (name, colon, opening quote) and the text.
    #[inline]
    pub(super) fn text(&mut self, name: &[u8], text: &[u8]) {
        let out = self.name(name);
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    }

    pub(super) fn end(self) {
        if self.before == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// Appends a number in decimal.
#[inline]
pub(super) fn write_number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a signed number in decimal.
pub(super) fn write_signed(value: i128, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    match u64::try_from(value.unsigned_abs()) {
        Ok(small) => write_number(small, out),
        Err(_) => out.extend_from_slice(value.unsigned_abs().to_string().as_bytes()),
    }
}

/// Appends the lowest `digits` digits of a number in hex.
#[inline]
pub(super) fn write_hex(value: u64, digits: u32, out: &mut Vec<u8>) {
    for index in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (4 * index) & 15) as usize]);
    }
}

/// Appends exactly `N` digits.
#[inline]
fn write_padded<const N: usize>(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits);
}

/// How event times are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeStyle {
    /// Six digits of fraction instead of three.
    pub(super) micros: bool,
    /// Other offsets, separators and fractions now and then (`'time-format' = 'mixed'`).
    pub(super) mixed: bool,
}

impl TimeStyle {
    /// Appends a time, given in microseconds since 1970.
    #[inline]
    pub(super) fn write(self, at_us: i64, draw: Draw, out: &mut Vec<u8>) {
        let style = if self.mixed { draw.below(tag::TIME_STYLE, 8) } else { 0 };
        match style {
            4 => {
                write_seconds(at_us + 2 * HOUR, b'T', out);
                self.fraction(at_us, out);
                out.extend_from_slice(b"+02:00");
            }
            5 => {
                write_seconds(at_us - 7 * HOUR / 2, b'T', out);
                out.push(b'.');
                write_padded::<6>(at_us.rem_euclid(SECOND) as u64, out);
                out.extend_from_slice(b"-0330");
            }
            6 => {
                // Beyond microseconds the digits mean nothing, and must change nothing.
                write_seconds(at_us, b' ', out);
                out.push(b'.');
                write_padded::<6>(at_us.rem_euclid(SECOND) as u64, out);
                write_padded::<3>(draw.below(tag::TIME_TAIL, 1_000), out);
                out.push(b'Z');
            }
            7 => {
                write_seconds(at_us, b'T', out);
                write_shortest_fraction(at_us.rem_euclid(SECOND) as u64, out);
                out.extend_from_slice(b"+00");
            }
            _ => {
                write_seconds(at_us, b'T', out);
                self.fraction(at_us, out);
                out.push(b'Z');
            }
        }
    }

    #[inline]
    fn fraction(self, at_us: i64, out: &mut Vec<u8>) {
        out.push(b'.');
        let micros = at_us.rem_euclid(SECOND) as u64;
        if self.micros {
            write_padded::<6>(micros, out);
        } else {
            write_padded::<3>(micros / 1_000, out);
        }
    }
}

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// Appends date and time down to the second.
#[inline]
fn write_seconds(at_us: i64, separator: u8, out: &mut Vec<u8>) {
    write_date(at_us.div_euclid(DAY), out);
    out.push(separator);
    write_clock(at_us, out);
}

/// Appends the time of the day, without fraction.
#[inline]
pub(super) fn write_clock(at_us: i64, out: &mut Vec<u8>) {
    let second = (at_us.rem_euclid(DAY) / SECOND) as u64;
    write_padded::<2>(second / 3_600, out);
    out.push(b':');
    write_padded::<2>(second / 60 % 60, out);
    out.push(b':');
    write_padded::<2>(second % 60, out);
}

/// Appends the date.
pub(super) fn write_day(at_us: i64, out: &mut Vec<u8>) {
    write_date(at_us.div_euclid(DAY), out);
}

/// Nothing for zero, else a point and as many digits as are needed.
fn write_shortest_fraction(micros: u64, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    out.push(b'.');
    write_padded::<6>(micros, out);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}
