//! What a run leaves out stays, what it measures again is replaced.

use super::*;
use crate::topics::{Codec, Spread};

pub(crate) fn entry(system: &str, keys: u64, cpu: &[f64]) -> Entry {
    let rounds = cpu.iter().map(|cpu| Figures {
        cpu_per_million: *cpu,
        start_cpu: 1.0,
        to_raw: Some(cpu / 0.4),
        to_query: None,
        records_per_second: 1e6,
        peak_mib: 100.0,
        first_record: Some(0.5),
        steal: 0.0,
    });
    Entry {
        kind: Kind { keys, spread: Spread::Uniform, bytes: 0, codec: Codec::None },
        parallelism: 1,
        system: system.into(),
        title: system.into(),
        origin: origin("2026-01-31"),
        millions: 5.0,
        heap_mib: 1024,
        rounds: rounds.collect(),
        void: None,
    }
}

pub(crate) fn origin(date: &str) -> Origin {
    Origin { date: date.into(), machine: "a machine".into(), commit: "abc".into(), command: "./dev bench".into() }
}

#[test]
fn others_stay() {
    let mut book = Book::default();
    book.put(entry("raw", 10, &[0.4]));
    book.put(entry("flink-heap", 10, &[3.0]));
    book.put(entry("raw", 100, &[0.5]));
    book.put(entry("raw", 10, &[0.3]));
    let found: Vec<(&str, u64, f64)> =
        book.entries.iter().map(|e| (e.system.as_str(), e.kind.keys, e.rounds[0].cpu_per_million)).collect();
    assert_eq!(found, [("raw", 10, 0.3), ("flink-heap", 10, 3.0), ("raw", 100, 0.5)]);
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let path = std::env::temp_dir().join(format!("aqueduct-bench-book-{}", std::process::id()));
    let mut book = Book::default();
    assert_eq!(Book::read(&path), Ok(Book::default()));
    book.write(&path).unwrap();
    assert_eq!(Book::read(&path), Ok(Book::default()));
    book.put(entry("raw", 10, &[0.4, 0.5]));
    book.put(Entry { void: Some("it \"failed\"\n".into()), ..entry("bytewax", 10, &[]) });
    book.put_heap(LeastHeap {
        kind: book.entries[0].kind,
        system: "flink-heap".into(),
        title: "Flink".into(),
        date: "2026-01-31".into(),
        heap_mib: 256,
        peak_mib: 700.0,
        millions: 5.0,
    });
    book.write(&path).unwrap();
    let found = Book::read(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(found, Ok(book));
}

#[test]
fn the_middle() {
    assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median([]), None);
}
