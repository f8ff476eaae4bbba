//! Tests of date patterns.

use super::Pattern;
use chrono::{DateTime, NaiveDateTime};

fn at(text: &str) -> NaiveDateTime {
    DateTime::parse_from_rfc3339(text).unwrap().naive_utc()
}

fn write(pattern: &str, moment: &str) -> String {
    let mut out = String::new();
    Pattern::parse(pattern).unwrap().write(at(moment).and_utc(), &mut out);
    out
}

#[test]
fn moments_are_written() {
    let moment = "2026-03-04T05:06:07.089Z";
    for (pattern, expected) in [
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2026-03-04T05:06:07.089Z"),
        ("yy M d H m s", "26 3 4 5 6 7"),
        ("MMM MMMM EEE EEEE a hh", "Mar March Wed Wednesday AM 05"),
        ("DDD S SSSSSS Z", "063 0 089000 +0000"),
        ("uuuu ''yy'' 'o''clock'", "2026 '26' o'clock"),
        ("HH:mm äöü", "05:06 äöü"),
    ] {
        assert_eq!(write(pattern, moment), expected, "{pattern}");
    }
    assert_eq!(write("h a", "2026-01-01T12:00:00Z"), "12 PM");
    assert_eq!(write("h a", "2026-01-01T00:00:00Z"), "12 AM");
}

#[test]
fn moments_are_read() {
    for (pattern, text, expected) in [
        ("yyyy-MM-dd HH:mm:ss", "2026-03-04 05:06:07", Some("2026-03-04T05:06:07Z")),
        ("yyyyMMddHHmmssSSS", "20260304050607089", Some("2026-03-04T05:06:07.089Z")),
        ("d.M.yy", "4.3.26", Some("2026-03-04T00:00:00Z")),
        ("dd MMM yyyy hh:mm a", "04 Mar 2026 12:30 AM", Some("2026-03-04T00:30:00Z")),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2026-03-04T05:06:07.5+02:00", Some("2026-03-04T03:06:07.500Z")),
        ("yyyy-MM-dd'T'HH:mmX", "2026-03-04T05:06Z", Some("2026-03-04T05:06:00Z")),
        ("yyyy DDD", "2026 063", Some("2026-03-04T00:00:00Z")),
        ("yyyy-MM-dd", "2026-02-30", None),
        ("yyyy-MM-dd", "2026-02-03 ", None),
        ("yyyy-MM-dd", "x", None),
        ("HH", "25", None),
    ] {
        assert_eq!(Pattern::parse(pattern).unwrap().read(text), expected.map(at), "{pattern} {text}");
    }
}

#[test]
fn unknown_letters_are_refused() {
    assert!(Pattern::parse("yyyy-QQ").unwrap_err().contains("'QQ'"));
    assert!(Pattern::parse("yyyy 'x").unwrap_err().contains("quote"));
    assert!(Pattern::parse("SSSSSSSSSS").is_err());
}
