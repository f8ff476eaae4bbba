//! Timestamps, dates and times of day as text, both ways. Pure arithmetic on the proleptic Gregorian calendar: no clock,
//! no time zones but UTC and fixed offsets.

use super::TimestampFormat;
use arrow::datatypes::TimeUnit;

/// A moment as it was written: whole seconds since 1970-01-01T00:00:00 and the nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Whole seconds, rounded toward the past.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl Moment {
    /// In `unit`s since 1970, cut (toward the past) to the unit; `None` when it does not fit into 64 bits.
    pub fn in_unit(self, unit: TimeUnit) -> Option<i64> {
        let per_second = units_per_second(unit);
        self.seconds.checked_mul(per_second)?.checked_add(i64::from(self.nanos) / (1_000_000_000 / per_second))
    }
}

/// How many units make a second.
pub(super) fn units_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

const SHAPE_ISO: &str = "is not a timestamp such as 2026-01-01T00:00:00.250Z";
const SHAPE_SQL: &str = "is not a timestamp such as '2026-01-01 00:00:00.250'";
const SHAPE_SQL_UTC: &str = "is not a timestamp such as '2026-01-01 00:00:00.250Z'";
const NO_SUCH_DAY: &str = "is not a day of the calendar";
const NO_SUCH_TIME: &str = "is not a time of day (00:00:00 to 23:59:59; leap seconds are refused)";
const NO_SUCH_OFFSET: &str = "has no usable offset from UTC (such as Z, +02:00, +0200 or +02)";

/// Reads a timestamp; the error completes the sentence that begins with the text.
///
/// `Iso8601`: `T` or one blank between date and time; seconds optional; a fraction of any length (beyond nanoseconds it is
/// cut); `Z`, `±hh:mm`, `±hhmm`, `±hh` or nothing, which is UTC. The result is always in UTC.
/// `Sql`: one blank, seconds, optional fraction; a `Z` at the end if and only if `utc` (TIMESTAMP_LTZ).
pub fn parse_timestamp(text: &str, format: TimestampFormat, utc: bool) -> Result<Moment, &'static str> {
    let shape = match (format, utc) {
        (TimestampFormat::Iso8601, _) => SHAPE_ISO,
        (TimestampFormat::Sql, false) => SHAPE_SQL,
        (TimestampFormat::Sql, true) => SHAPE_SQL_UTC,
    };
    let bytes = text.as_bytes();
    let days = leading_date(bytes).ok_or(shape)??;
    let iso = format == TimestampFormat::Iso8601;
    match bytes.get(10) {
        Some(b' ') => {}
        Some(b'T' | b't') if iso => {}
        _ => return Err(shape),
    }
    let (second_of_day, nanos, end) = leading_time(bytes, 11, iso).ok_or(shape)??;
    let rest = &bytes[end..];
    let offset = match (format, rest) {
        (TimestampFormat::Iso8601, _) => utc_offset(rest).ok_or(NO_SUCH_OFFSET)?,
        (TimestampFormat::Sql, b"Z") if utc => 0,
        (TimestampFormat::Sql, b"") if !utc => 0,
        _ => return Err(shape),
    };
    Ok(Moment { seconds: days * 86_400 + second_of_day - offset, nanos })
}

/// Reads `2026-01-31` as days since 1970; the error completes the sentence that begins with the text.
pub fn parse_date(text: &str) -> Result<i32, &'static str> {
    const SHAPE: &str = "is not a date such as 2026-01-31";
    let days = leading_date(text.as_bytes()).ok_or(SHAPE)??;
    if text.len() != 10 {
        return Err(SHAPE);
    }
    i32::try_from(days).map_err(|_| SHAPE)
}

/// Reads `23:59:59.999` (seconds optional) as milliseconds since midnight, cut; the error completes the sentence.
pub fn parse_time_of_day(text: &str) -> Result<i32, &'static str> {
    const SHAPE: &str = "is not a time of day such as 23:59:59.999";
    let (seconds, nanos, end) = leading_time(text.as_bytes(), 0, true).ok_or(SHAPE)??;
    if end != text.len() {
        return Err(SHAPE);
    }
    i32::try_from(seconds * 1_000 + i64::from(nanos / 1_000_000)).map_err(|_| SHAPE)
}

type Part<T> = Option<Result<T, &'static str>>;

/// `None` when the shape is wrong, an error when the shape is right and the value does not exist.
#[inline]
fn leading_date(bytes: &[u8]) -> Part<i64> {
    let (year, month, day) = (number(bytes, 0, 4)?, number(bytes, 5, 2)?, number(bytes, 8, 2)?);
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return Some(Err(NO_SUCH_DAY));
    }
    Some(Ok(days_from_civil(year, month, day)))
}

/// Second of the day, nanoseconds, and where the time ends.
#[inline]
fn leading_time(bytes: &[u8], at: usize, seconds_optional: bool) -> Part<(i64, u32, usize)> {
    let (hour, minute) = (number(bytes, at, 2)?, number(bytes, at + 3, 2)?);
    if bytes[at + 2] != b':' {
        return None;
    }
    let (mut second, mut nanos, mut end) = (0, 0, at + 5);
    if bytes.get(end) == Some(&b':') {
        second = number(bytes, end + 1, 2)?;
        end += 3;
        if bytes.get(end) == Some(&b'.') {
            let digits = bytes[end + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            nanos = (0..9).fold(0, |sum, index| {
                sum * 10 + if index < digits { u32::from(bytes[end + 1 + index] - b'0') } else { 0 }
            });
            end += 1 + digits;
        }
    } else if !seconds_optional {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Some(Err(NO_SUCH_TIME));
    }
    Some(Ok((hour * 3_600 + minute * 60 + second, nanos, end)))
}

/// Seconds to subtract from the written time.
#[inline]
fn utc_offset(rest: &[u8]) -> Option<i64> {
    let (&sign, digits) = match rest {
        [] | b"Z" | b"z" => return Some(0),
        [sign @ (b'+' | b'-'), digits @ ..] => (sign, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (number(digits, 0, 2)?, 0),
        4 => (number(digits, 0, 2)?, number(digits, 2, 2)?),
        5 if digits[2] == b':' => (number(digits, 0, 2)?, number(digits, 3, 2)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = hours * 3_600 + minutes * 60;
    Some(if sign == b'-' { -offset } else { offset })
}

#[inline]
fn number(bytes: &[u8], at: usize, length: usize) -> Option<i64> {
    let mut value = 0;
    for &byte in bytes.get(at..at + length)? {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, counted in eras of 400 years that begin in March, so that leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = (shifted_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// `2026-01-01T00:00:00.250Z` for milliseconds since 1970; without the `Z` when `utc` is false.
pub fn format_timestamp_ms(ms: i64, utc: bool) -> String {
    let mut out = Vec::with_capacity(24);
    write_timestamp(ms, TimeUnit::Millisecond, utc, TimestampFormat::Iso8601, &mut out);
    String::from_utf8(out).expect("digits and signs are ASCII")
}

/// Appends a timestamp: RFC 3339 (or with a blank instead of `T` for `Sql`), the fraction only when it is not zero, with as
/// many groups of three digits as it needs; `Z` at the end when `utc`.
pub fn write_timestamp(value: i64, unit: TimeUnit, utc: bool, format: TimestampFormat, out: &mut Vec<u8>) {
    let per_second = units_per_second(unit);
    let (seconds, part) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let nanos = part * (1_000_000_000 / per_second);
    let separator = if format == TimestampFormat::Sql { b' ' } else { b'T' };
    // All at once: results are full of moments.
    let mut text = *b"0000-00-00T00:00:00.000Z";
    if nanos % 1_000_000 != 0 || !common_date(days, &mut text) {
        write_date(days, out);
        out.push(separator);
        write_clock(second_of_day, nanos, out);
        out.extend_from_slice(if utc { b"Z" } else { b"" });
        return;
    }
    text[10] = separator;
    // Below 86,400.
    let second_of_day = second_of_day as u32;
    put_two(&mut text, 11, second_of_day / 3_600);
    put_two(&mut text, 14, second_of_day / 60 % 60);
    put_two(&mut text, 17, second_of_day % 60);
    let mut end = 19;
    if nanos != 0 {
        let millis = (nanos / 1_000_000) as u32;
        text[20] = b'0' + (millis / 100) as u8;
        put_two(&mut text, 21, millis % 100);
        end = 23;
    }
    text[end] = b'Z';
    out.extend_from_slice(&text[..end + usize::from(utc)]);
}

/// Puts the date in front; false, with nothing changed, when the year has not four digits.
#[inline]
fn common_date(days: i64, text: &mut [u8; 24]) -> bool {
    const FIRST: i64 = -719_528;
    const LAST: i64 = 2_932_896;
    if !(FIRST..=LAST).contains(&days) {
        return false;
    }
    // None of them is negative within these days.
    let (year, month, day) = civil_from_days(days);
    let (year, month, day) = (year as u32, month as u32, day as u32);
    put_two(text, 0, year / 100);
    put_two(text, 2, year % 100);
    put_two(text, 5, month);
    put_two(text, 8, day);
    true
}

/// Two digits of a number below 100.
#[inline]
fn put_two(text: &mut [u8; 24], at: usize, value: u32) {
    text[at] = b'0' + (value / 10) as u8;
    text[at + 1] = b'0' + (value % 10) as u8;
}

/// Appends `2026-01-31` for days since 1970. Years beyond four digits get a sign, as in ISO 8601.
pub fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    if (0..=9_999).contains(&year) {
        out.extend_from_slice(&two(year / 100));
        out.extend_from_slice(&two(year % 100));
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        let digits = year.unsigned_abs().to_string();
        out.resize(out.len() + 4_usize.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(digits.as_bytes());
    }
    let ([m, n], [d, e]) = (two(month), two(day));
    out.extend_from_slice(&[b'-', m, n, b'-', d, e]);
}

/// Appends `23:59:59`, and the fraction when it is not zero.
pub(super) fn write_clock(second_of_day: i64, nanos: i64, out: &mut Vec<u8>) {
    let ([h, i], [m, n], [s, t]) = (two(second_of_day / 3_600), two(second_of_day / 60 % 60), two(second_of_day % 60));
    out.extend_from_slice(&[h, i, b':', m, n, b':', s, t]);
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    let (fraction, digits) = match nanos {
        _ if nanos % 1_000_000 == 0 => (nanos / 1_000_000, 3),
        _ if nanos % 1_000 == 0 => (nanos / 1_000, 6),
        _ => (nanos, 9),
    };
    write_digits(fraction, digits, out);
}

/// Appends exactly `digits` digits, of which there are at most nine.
fn write_digits(mut value: i64, digits: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; 9];
    for digit in text[..digits].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&text[..digits]);
}

/// The two digits of a number below a hundred.
#[inline]
fn two(value: i64) -> [u8; 2] {
    [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]
}
