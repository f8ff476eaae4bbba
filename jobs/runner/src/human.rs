//! Numbers, times and tables as people read them.
//!
//! Nothing here is parsed again; machines get JSON or metrics.

use aqueduct_core::json::format_timestamp_ms;
use std::fmt::Write;

/// `12,345,678`
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.5 GiB`
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

/// `850 ms`, `4.2 s`, `3 min 05 s`, `2 h 10 min`
pub(crate) fn duration_ms(value: u64) -> String {
    match value {
        0..1_000 => format!("{value} ms"),
        1_000..60_000 => format!("{:.1} s", value as f64 / 1_000.0),
        60_000..3_600_000 => format!("{} min {:02} s", value / 60_000, value % 60_000 / 1_000),
        _ => format!("{} h {:02} min", value / 3_600_000, value % 3_600_000 / 60_000),
    }
}

/// An event time, or a dash; the ends of time are named.
pub(crate) fn event_time(ms: Option<i64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(i64::MAX) => "end of input".to_owned(),
        Some(i64::MIN) => "-".to_owned(),
        Some(ms) => format_timestamp_ms(ms, true),
    }
}

/// How long ago, or a dash.
pub(crate) fn age(now_ms: i64, then_ms: Option<i64>) -> String {
    then_ms.map_or_else(|| "-".to_owned(), |then| duration_ms(u64::try_from(now_ms - then).unwrap_or(0)))
}

/// How a column of [`table`] is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a head, columns two spaces apart, no trailing spaces; indented by two.
pub(crate) fn table(head: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = head.iter().map(|(name, _)| width(name)).collect();
    for row in rows {
        for (cell, known) in row.iter().zip(&mut widths) {
            *known = (*known).max(width(cell));
        }
    }
    let mut out = String::new();
    let mut line = |cells: &[&str]| {
        let mut text = String::new();
        for ((cell, wide), (_, align)) in cells.iter().zip(&widths).zip(head) {
            let pad = " ".repeat(wide - width(cell));
            // Writing to a String cannot fail.
            let _ = match align {
                Align::Left => write!(text, "  {cell}{pad}"),
                Align::Right => write!(text, "  {pad}{cell}"),
            };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&head.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for row in rows {
        line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_scaled() {
        assert_eq!([count(7), count(1_234), count(1_234_567)], ["7", "1,234", "1,234,567"]);
        assert_eq!([bytes(12), bytes(1536), bytes(400 << 20)], ["12 B", "1.5 KiB", "400.0 MiB"]);
        assert_eq!([duration_ms(850), duration_ms(4_200), duration_ms(185_000)], ["850 ms", "4.2 s", "3 min 05 s"]);
        assert_eq!(age(5_000, Some(4_500)), "500 ms");
    }

    #[test]
    fn tables_line_up() {
        let text = table(&[("name", Align::Left), ("rows", Align::Right)], &[vec!["a".into(), "1,000".into()]]);
        assert_eq!(text, "  name   rows\n  a     1,000\n");
    }
}
