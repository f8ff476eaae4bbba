//! Tests of the metrics page.

use super::*;
use crate::samples;

#[test]
fn every_documented_metric_is_on_the_page_and_nothing_else() {
    let page = page(&samples::snapshot());
    for (name, kind, _) in METRICS {
        assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{name} is missing");
    }
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    for line in samples {
        let name = line.split(['{', ' ']).next().unwrap();
        let known = |(known, kind, _): &(&str, &str, &str)| match name.strip_prefix(known) {
            Some(rest) if *kind == "histogram" => ["_bucket", "_sum", "_count"].contains(&rest),
            rest => rest == Some(""),
        };
        assert!(METRICS.iter().any(known), "{name} is not documented");
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn names_tell_their_type() {
    for (name, kind, help) in METRICS {
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
        assert!(name.starts_with("aqueduct_") || name.starts_with("process_"));
        assert_eq!(help.contains("[job"), name.starts_with("aqueduct_"), "{name}");
    }
}

#[test]
fn values_are_those_of_the_snapshot() {
    let page = page(&samples::snapshot());
    for line in [
        "aqueduct_state{job=\"image-metrics\",state=\"running\"} 1",
        "aqueduct_source_lag_records{job=\"image-metrics\",table=\"product_images\"} 42",
        "aqueduct_ledger_rows_total{job=\"image-metrics\",query=\"metrics\",source=\"product_images\",exit=\"late\"} 10",
        "aqueduct_sink_up{job=\"image-metrics\",table=\"metrics_docs\",connector=\"firestore\"} 0",
        "aqueduct_checkpoint_duration_seconds{job=\"image-metrics\"} 0.12",
        "aqueduct_checkpoint_pause_seconds_bucket{job=\"image-metrics\",le=\"0.0005\"} 1",
        "aqueduct_checkpoint_pause_seconds_bucket{job=\"image-metrics\",le=\"0.0025\"} 3",
        "aqueduct_checkpoint_pause_seconds_bucket{job=\"image-metrics\",le=\"+Inf\"} 4",
        "aqueduct_checkpoint_pause_seconds_count{job=\"image-metrics\"} 4",
    ] {
        assert!(page.contains(&format!("{line}\n")), "{line} is missing in\n{page}");
    }
}

#[test]
fn labels_are_escaped_and_the_ends_of_time_left_out() {
    let mut snapshot = samples::snapshot();
    snapshot.job = "a\"b\\c".to_owned();
    snapshot.sources[0].watermark_ms = Some(i64::MAX);
    let page = page(&snapshot);
    assert!(page.contains("aqueduct_generation{job=\"a\\\"b\\\\c\"} 3"));
    assert!(!page.contains("aqueduct_source_watermark_timestamp_seconds"));
}
