//! The plot of a small book.

use super::*;
use crate::book::tests::entry;

#[test]
fn bars_grow_with_the_logarithm() {
    assert_eq!(svg(&Book::default()), None);
    let mut book = Book::default();
    for (system, cpu) in [("raw", 0.1), ("w3", 1.0), ("flink-heap", 10.0), ("w0", 5.0)] {
        book.put(entry(system, 10, &[cpu]));
    }
    let text = svg(&book).unwrap();
    let widths: Vec<&str> = text.split("width=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let bars: Vec<&&str> = widths.iter().filter(|width| width.contains('.')).collect();
    assert_eq!(bars, [&"0.0", &"260.0", &"520.0"], "w0 answers something else and is not there");
}
