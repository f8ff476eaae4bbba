//! The report of a small book, and what stands in it.

use super::*;
use crate::book::tests::{entry, origin};

#[test]
fn medians_spreads_and_what_was_kept() {
    let mut book = Book::default();
    book.put(entry("w3", 10, &[0.8, 0.6, 1.0]));
    book.put(entry("raw", 10, &[0.4]));
    book.put(Entry { origin: origin("2025-12-24"), ..entry("flink-heap", 10, &[3.2]) });
    book.put(Entry { void: Some("bytewax: 1 rows, 2 expected\nmore".into()), ..entry("bytewax", 10, &[]) });
    let text = text(&book);
    let rows: Vec<&str> = text.lines().filter(|line| line.contains(" rounds of ")).collect();
    let starts =
        ["| raw | 0.40", "| w3 | 0.80 (0.60 to 1.00) | 2.00", "| flink-heap | 3.20", "| bytewax | void: bytewax: 1"];
    for (row, start) in rows.iter().zip(starts) {
        assert!(row.starts_with(start), "{row}");
    }
    assert_eq!(rows.len(), 4);
    assert!(rows[2].contains("| 4.00 | 100 |"), "eight times the raw client is four times aqueduct: {}", rows[2]);
    assert!(rows[2].contains("2025-12-24"));
    let columns = |row: &str| row.matches('|').count();
    assert!(rows.iter().all(|row| columns(row) == columns(rows[0])));
}
