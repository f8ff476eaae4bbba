//! Tests of the text that people read.

use super::*;
use crate::samples;

#[test]
fn the_panel_shows_what_an_operator_asks_first() {
    let memory = Some(Memory { resident: 100 << 20, peak: 200 << 20 });
    let text = panel(&samples::snapshot(), Some(1234.0), memory).join("\n");
    for part in [
        "image-metrics  running  generation 3  threads 2  10.0 s  memory 100.0 MiB  reading waits (backpressure)",
        "read        1,000  1,234/s",
        "product_images   1,000 records   lag 42   watermark 2026-01-01T00:00:00Z held by images[1]",
        "late        10   dead 3   filtered 7",
        "checkpoint  epoch 7   2.0 s ago   took 120 ms   4.0 KiB   went on from epoch 3",
        "metrics_pg   postgres   epoch 7   1,200 rows   1.0 s ago",
        "metrics_docs   firestore   epoch 7   1,200 rows   10 rows of 1 epochs wait   1.0 s ago   DOWN: cannot reach it",
    ] {
        assert!(text.contains(part), "{part}\nis missing in\n{text}");
    }
}

#[test]
fn a_job_that_has_not_begun_has_a_panel_too() {
    let text = panel(&StatusSnapshot::default(), None, None).join("\n");
    assert!(text.contains("starting") && text.contains("none yet"), "{text}");
}

#[test]
fn status_names_each_split_and_who_holds_the_watermark() {
    let text = status(&samples::snapshot());
    let holder = text.lines().find(|line| line.contains("holds the watermark")).unwrap();
    assert!(holder.contains("images[1]") && holder.contains("500"), "{holder}");
    assert!(text.lines().any(|line| line.contains("images[0]") && line.ends_with("idle")), "{text}");
}

#[test]
fn the_ledger_says_whether_it_closes() {
    let mut rows = samples::snapshot().ledger;
    assert!(ledger(&rows).contains('✓'));
    rows[0].late = 8;
    assert!(ledger(&rows).contains("✗ 2 missing"));
}

#[test]
fn several_topics_are_told_apart() {
    let mut source = samples::snapshot().sources.remove(0);
    assert!(topics(&source).is_empty());
    source.splits[1].split = "other[0]".to_owned();
    assert_eq!(topics(&source), [("images", 2), ("other", 40)]);
}
