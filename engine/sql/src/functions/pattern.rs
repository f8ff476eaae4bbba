//! Java's date patterns (`yyyy-MM-dd HH:mm:ss.SSS`), read once and used for writing and reading.
//!
//! Letters: `y u M d D H h m s S a E X Z` and quoted text; others are refused. Everything is in UTC.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use std::fmt::Write as _;

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Year(usize),
    Month(usize),
    Day(usize),
    DayOfYear(usize),
    Hour24(usize),
    Hour12(usize),
    Minute(usize),
    Second(usize),
    Fraction(usize),
    HalfDay,
    Weekday(usize),
    /// `X`, `XX`, `XXX`: `Z` for UTC.
    ZoneX(usize),
    /// `Z`: `+0000`.
    ZoneZ,
}

/// A pattern that has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Pattern {
    /// Understands `text`, or says which part it does not.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let chars: Vec<char> = text.chars().collect();
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < chars.len() {
            let c = chars[at];
            if c == '\'' {
                let (quoted, next) = quoted(&chars, at + 1)
                    .ok_or_else(|| format!("the pattern '{text}' has a quote that is not closed"))?;
                push_text(&mut pieces, &quoted);
                at = next;
            } else if c.is_ascii_alphabetic() {
                let length = chars[at..].iter().take_while(|other| **other == c).count();
                pieces.push(letter(c, length).ok_or_else(|| {
                    format!(
                        "the pattern '{text}' has '{}', which is not supported (letters: y u M d D H h m s S a E X Z)",
                        c.to_string().repeat(length)
                    )
                })?);
                at += length;
            } else {
                push_text(&mut pieces, &c.to_string());
                at += 1;
            }
        }
        Ok(Self(pieces))
    }

    /// Writes a moment.
    pub(super) fn write(&self, at: DateTime<Utc>, out: &mut String) {
        for piece in &self.0 {
            write_piece(piece, at, out);
        }
    }

    /// Reads a moment; `None` where the text does not fit.
    pub(super) fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut fields = Fields::default();
        let mut rest = text;
        for (index, piece) in self.0.iter().enumerate() {
            // Digits that touch the next piece ('yyyyMMdd') are counted; otherwise a number takes what it finds.
            let touching = self.0.get(index + 1).is_some_and(|next| !matches!(next, Piece::Text(_)));
            rest = fields.read(piece, rest, touching)?;
        }
        rest.is_empty().then(|| fields.moment()).flatten()
    }
}

fn quoted(chars: &[char], from: usize) -> Option<(String, usize)> {
    if chars.get(from) == Some(&'\'') {
        return Some(("'".into(), from + 1));
    }
    let (mut text, mut at) = (String::new(), from);
    loop {
        match (chars.get(at)?, chars.get(at + 1)) {
            ('\'', Some('\'')) => {
                text.push('\'');
                at += 2;
            }
            ('\'', _) => return Some((text, at + 1)),
            (c, _) => {
                text.push(*c);
                at += 1;
            }
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_string())),
    }
}

fn letter(c: char, length: usize) -> Option<Piece> {
    Some(match (c, length) {
        ('y' | 'u', 1..=9) => Piece::Year(length),
        ('M' | 'L', 1..=4) => Piece::Month(length),
        ('d', 1..=2) => Piece::Day(length),
        ('D', 1..=3) => Piece::DayOfYear(length),
        ('H', 1..=2) => Piece::Hour24(length),
        ('h', 1..=2) => Piece::Hour12(length),
        ('m', 1..=2) => Piece::Minute(length),
        ('s', 1..=2) => Piece::Second(length),
        ('S', 1..=9) => Piece::Fraction(length),
        ('a', 1) => Piece::HalfDay,
        ('E', 1..=4) => Piece::Weekday(length),
        ('X', 1..=3) => Piece::ZoneX(length),
        ('Z', 1) => Piece::ZoneZ,
        _ => return None,
    })
}

fn write_piece(piece: &Piece, at: DateTime<Utc>, out: &mut String) {
    let name = |names: &[&'static str], index: usize, length: usize| {
        let full = names.get(index).copied().unwrap_or_default();
        if length >= 4 { full } else { &full[..full.len().min(3)] }
    };
    // Writing to a String cannot fail.
    let _ = match piece {
        Piece::Text(text) => out.write_str(text),
        Piece::Year(2) => write!(out, "{:02}", at.year().rem_euclid(100)),
        Piece::Year(length) => write!(out, "{:0length$}", at.year()),
        Piece::Month(length @ 1..=2) => write!(out, "{:0length$}", at.month()),
        Piece::Month(length) => out.write_str(name(&MONTHS, at.month0() as usize, *length)),
        Piece::Day(length) => write!(out, "{:0length$}", at.day()),
        Piece::DayOfYear(length) => write!(out, "{:0length$}", at.ordinal()),
        Piece::Hour24(length) => write!(out, "{:0length$}", at.hour()),
        Piece::Hour12(length) => write!(out, "{:0length$}", at.hour12().1),
        Piece::Minute(length) => write!(out, "{:0length$}", at.minute()),
        Piece::Second(length) => write!(out, "{:0length$}", at.second()),
        Piece::Fraction(length) => out.write_str(&format!("{:09}", at.nanosecond() % 1_000_000_000)[..*length]),
        Piece::HalfDay => out.write_str(if at.hour() < 12 { "AM" } else { "PM" }),
        Piece::Weekday(length) => out.write_str(name(&WEEKDAYS, at.weekday().num_days_from_monday() as usize, *length)),
        Piece::ZoneX(_) => out.write_str("Z"),
        Piece::ZoneZ => out.write_str("+0000"),
    };
}

/// What was read so far.
#[derive(Debug, Default)]
struct Fields {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    hour12: Option<u32>,
    afternoon: bool,
    minute: u32,
    second: u32,
    nanos: u32,
    offset_seconds: i64,
}

impl Fields {
    fn read<'a>(&mut self, piece: &Piece, text: &'a str, touching: bool) -> Option<&'a str> {
        let number = |length: usize, most: usize| digits(text, if touching { length } else { most });
        let named = |names: &[&str], length: usize| {
            let cut = |full: &str| if length >= 4 { full.len() } else { 3.min(full.len()) };
            let index = names.iter().position(|full| text.starts_with(&full[..cut(full)]))?;
            Some((u32::try_from(index).ok()?, &text[cut(names[index])..]))
        };
        let rest = match piece {
            Piece::Text(expected) => return text.strip_prefix(expected.as_str()),
            Piece::Year(length) => {
                let (value, rest) = number(*length, 9)?;
                let value = i32::try_from(value).ok()?;
                self.year = Some(if *length == 2 { 2000 + value } else { value });
                rest
            }
            Piece::Month(length @ 3..) => {
                let (index, rest) = named(&MONTHS, *length)?;
                self.month = Some(index + 1);
                rest
            }
            Piece::Weekday(length) => named(&WEEKDAYS, *length)?.1,
            Piece::Fraction(length) => return self.read_fraction(text, if touching { *length } else { 9 }),
            Piece::HalfDay => {
                self.afternoon = text.starts_with("PM");
                text.strip_prefix("AM").or_else(|| text.strip_prefix("PM"))?
            }
            Piece::ZoneX(_) | Piece::ZoneZ => return self.read_zone(text),
            Piece::Month(length)
            | Piece::Day(length)
            | Piece::DayOfYear(length)
            | Piece::Hour24(length)
            | Piece::Hour12(length)
            | Piece::Minute(length)
            | Piece::Second(length) => {
                let (value, rest) = number(*length, if matches!(piece, Piece::DayOfYear(_)) { 3 } else { 2 })?;
                self.set(piece, value);
                rest
            }
        };
        Some(rest)
    }

    fn set(&mut self, piece: &Piece, value: u32) {
        match piece {
            Piece::Month(_) => self.month = Some(value),
            Piece::Day(_) => self.day = Some(value),
            Piece::DayOfYear(_) => self.day_of_year = Some(value),
            Piece::Hour24(_) => self.hour = Some(value),
            Piece::Hour12(_) => self.hour12 = Some(value),
            Piece::Minute(_) => self.minute = value,
            _ => self.second = value,
        }
    }

    fn read_fraction<'a>(&mut self, text: &'a str, most: usize) -> Option<&'a str> {
        let (value, rest) = digits(text, most)?;
        let read = text.len() - rest.len();
        self.nanos = value.checked_mul(10u32.checked_pow(9 - u32::try_from(read).ok()?)?)?;
        Some(rest)
    }

    fn read_zone<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        if let Some(rest) = text.strip_prefix('Z') {
            return Some(rest);
        }
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let (hours, rest) = digits(text.strip_prefix(['+', '-'])?, 2)?;
        let after = rest.strip_prefix(':').unwrap_or(rest);
        let (minutes, rest) = digits(after, 2).unwrap_or((0, after));
        self.offset_seconds = sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60);
        Some(rest)
    }

    fn moment(&self) -> Option<NaiveDateTime> {
        let year = self.year.unwrap_or(1970);
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour =
            self.hour.or_else(|| self.hour12.map(|hour| hour % 12 + if self.afternoon { 12 } else { 0 })).unwrap_or(0);
        let time = NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanos)?;
        date.and_time(time).checked_sub_signed(chrono::TimeDelta::try_seconds(self.offset_seconds)?)
    }
}

fn digits(text: &str, most: usize) -> Option<(u32, &str)> {
    let length = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    Some((text[..length].parse().ok()?, &text[length..]))
}

#[cfg(test)]
mod tests;
