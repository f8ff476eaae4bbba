//! Timestamps, dates and times, both ways.

use super::*;
use crate::json::{
    TimestampFormat, format_timestamp_ms, parse_date, parse_time_of_day, parse_timestamp, write_timestamp,
};

fn iso(text: &str) -> Result<i64, &'static str> {
    parse_timestamp(text, TimestampFormat::Iso8601, true).map(|moment| moment.in_unit(TimeUnit::Millisecond).unwrap())
}

const NEW_YEAR: i64 = 1_767_225_600_000;

#[test]
fn iso_timestamps_come_in_many_spellings() {
    for text in [
        "2026-01-01T00:00:00Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01t00:00:00z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00Z",
        "2026-01-01T02:00:00+02:00",
        "2026-01-01T02:00:00+0200",
        "2026-01-01T02:00:00+02",
        "2025-12-31T18:30:00-05:30",
        "2026-01-01T00:00:00-00:00",
        "2026-01-01T00:00:00.0Z",
        "2026-01-01T00:00:00.000999999999999999999Z",
    ] {
        assert_eq!(iso(text), Ok(NEW_YEAR), "{text}");
    }
    assert_eq!(iso("2026-01-01T00:00:00.1Z"), Ok(NEW_YEAR + 100));
    assert_eq!(iso("2026-01-01T00:00:00.1239+00:00"), Ok(NEW_YEAR + 123));
    assert_eq!(iso("1969-12-31T23:59:59.9999Z"), Ok(-1));
    assert_eq!(iso("0000-02-29T00:00:00Z"), Ok(-62_162_121_600_000));
    assert_eq!(iso("9999-12-31T23:59:59.999Z"), Ok(253_402_300_799_999));
    assert!(iso("2024-02-29T00:00:00Z").is_ok() && iso("2000-02-29T00:00:00Z").is_ok());
}

#[test]
fn what_is_no_timestamp_is_refused() {
    for text in [
        "",
        "now",
        "2026-01-01",
        "2026-01-01T",
        "2026-01-01T00",
        "2026-1-1T00:00:00Z",
        "20260101T000000Z",
        "2026-01-01  00:00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026/01/01T00:00:00Z",
        "2026-01-01T00-00-00Z",
        "2026-01-01T00:00:0Z",
        "+2026-01-01T00:00:00Z",
        "2026-01-01T00:00:",
        " 2026-01-01T00:00:00Z",
    ] {
        let reason = iso(text).unwrap_err();
        assert!(reason.starts_with("is not a timestamp such as"), "{text}: {reason}");
    }
    for text in [
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
    ] {
        assert_eq!(iso(text), Err("is not a day of the calendar"), "{text}");
    }
    for text in ["2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2016-12-31T23:59:60Z"] {
        assert!(iso(text).unwrap_err().starts_with("is not a time of day"), "{text}");
    }
    for text in [
        "2026-01-01T00:00:00ZZ",
        "2026-01-01T00:00:00 Z",
        "2026-01-01T00:00:00+2",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+02:60",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00 Europe/Paris",
        "2026-01-01T00:00:00+02:0é",
    ] {
        assert!(iso(text).unwrap_err().starts_with("has no usable offset"), "{text}");
    }
}

#[test]
fn dates_and_times_of_day() {
    assert_eq!(
        (parse_date("1970-01-01"), parse_date("1969-12-31"), parse_date("2026-01-01")),
        (Ok(0), Ok(-1), Ok(20_454))
    );
    assert!(parse_date("2026-01-01Z").is_err() && parse_date("2026-02-30").is_err() && parse_date("26-01-01").is_err());
    assert_eq!((parse_time_of_day("23:59:59.9999"), parse_time_of_day("01:02")), (Ok(86_399_999), Ok(3_720_000)));
    assert!(parse_time_of_day("24:00:00").is_err() && parse_time_of_day("01:02:03Z").is_err());
    assert_eq!(value("DATE", "\"2026-02-30\""), "v: '2026-02-30' is not a day of the calendar");
    assert_eq!(value("DATE", "\"2026-01-31\""), "|2026-01-31|");
    assert_eq!(value("TIME", "\"12:34:56.7\""), "|12:34:56.700|");
    assert_eq!(value("TIME(0)", "\"12:34:56.7\""), "|12:34:56|");
    assert_eq!(value("TIME", "\"noon\""), "v: 'noon' is not a time of day such as 23:59:59.999");
}

#[test]
fn timestamps_are_written_with_the_fraction_that_they_need() {
    assert_eq!(format_timestamp_ms(NEW_YEAR, true), "2026-01-01T00:00:00Z");
    assert_eq!(format_timestamp_ms(NEW_YEAR + 250, true), "2026-01-01T00:00:00.250Z");
    assert_eq!(format_timestamp_ms(NEW_YEAR, false), "2026-01-01T00:00:00");
    assert_eq!(format_timestamp_ms(-1, true), "1969-12-31T23:59:59.999Z");
    assert_eq!(format_timestamp_ms(253_402_300_800_000, true), "+10000-01-01T00:00:00Z");
    assert_eq!(format_timestamp_ms(-62_198_755_200_000, true), "-0001-01-01T00:00:00Z");
    assert!(format_timestamp_ms(i64::MIN, true).starts_with("-292275055-05-16T16:47:04.192"));
    assert!(format_timestamp_ms(i64::MAX, true).starts_with("+292278994-08-17T07:12:55.807"));
    let write = |value, unit, format| {
        let mut out = Vec::new();
        write_timestamp(value, unit, true, format, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(write(1_000_001, TimeUnit::Microsecond, TimestampFormat::Iso8601), "1970-01-01T00:00:01.000001Z");
    assert_eq!(write(1_500_000, TimeUnit::Microsecond, TimestampFormat::Iso8601), "1970-01-01T00:00:01.500Z");
    assert_eq!(write(1, TimeUnit::Nanosecond, TimestampFormat::Sql), "1970-01-01 00:00:00.000000001Z");
    assert_eq!(write(1, TimeUnit::Second, TimestampFormat::Sql), "1970-01-01 00:00:01Z");
}

#[test]
fn every_day_of_four_digits_goes_there_and_back() {
    let mut expected = iso("0000-01-01T12:00:00Z").unwrap();
    let last = iso("9999-12-31T12:00:00Z").unwrap();
    let mut before = String::new();
    while expected <= last {
        let text = format_timestamp_ms(expected, true);
        assert_eq!(iso(&text), Ok(expected));
        assert!(text > before);
        before = text;
        expected += 86_400_000;
    }
}
