//! A snapshot with something in every field, for the tests of everything that shows one.

use aqueduct_runtime::{
    CheckpointStatus, Histogram, JobState, LedgerTotals, QueryStatus, SinkStatus, SourceStatus, SplitStatus,
    StatusSnapshot,
};
use std::time::Duration;

/// 2026-01-01T00:00:00Z.
pub(crate) const NEW_YEAR_MS: i64 = 1_767_225_600_000;

/// A job in full flow, with one sink down.
pub(crate) fn snapshot() -> StatusSnapshot {
    let split = |partition: u32, lag: u64, idle| SplitStatus {
        split: format!("images[{partition}]"),
        next_offset: 500,
        lag: Some(lag),
        watermark_ms: Some(NEW_YEAR_MS),
        idle,
        ended: false,
    };
    let sink = |table: &str, connector: &str, error: Option<&str>| SinkStatus {
        table: table.to_owned(),
        connector: connector.to_owned(),
        cursor: 7,
        backlog_epochs: u64::from(error.is_some()),
        backlog_rows: 10 * u64::from(error.is_some()),
        run_rows: 1_200,
        retries: 2,
        error: error.map(str::to_owned),
        applied_at_ms: Some(NEW_YEAR_MS + 9_000),
        unstable_records: (connector == "postgres").then_some(5),
    };
    StatusSnapshot {
        job: "image-metrics".to_owned(),
        state: JobState::Running,
        lineage: 1,
        shard: 0,
        generation: 3,
        started_at_ms: NEW_YEAR_MS,
        now_ms: NEW_YEAR_MS + 10_000,
        parallelism: 2,
        run_records: 1_000,
        expected_records: Some(4_000),
        sources: vec![SourceStatus {
            table: "product_images".to_owned(),
            records: 1_000,
            dead: 3,
            skipped: 1,
            lag: Some(42),
            watermark_ms: Some(NEW_YEAR_MS),
            watermark_holder: Some("images[1]".to_owned()),
            splits: vec![split(0, 2, true), split(1, 40, false)],
        }],
        queries: vec![QueryStatus {
            name: "metrics".to_owned(),
            panes: 10,
            stored_windows: 3,
            fired_windows: 120,
            result_rows: 1_200,
            state_bytes: 2_048,
        }],
        sinks: vec![sink("metrics_pg", "postgres", None), sink("metrics_docs", "firestore", Some("cannot reach it"))],
        checkpoint: checkpoint(),
        ledger: vec![LedgerTotals {
            query: "metrics".to_owned(),
            source: "product_images".to_owned(),
            rows_read: 1_000,
            in_windows: 980,
            filtered: 7,
            late: 10,
            dead: 3,
        }],
        backpressured: true,
        error: None,
        fences_lost: 1,
    }
}

fn pauses() -> Histogram {
    let mut pauses = Histogram::default();
    [300, 900, 2_000, 9_000_000].into_iter().for_each(|us| pauses.add(Duration::from_micros(us)));
    pauses
}

fn checkpoint() -> CheckpointStatus {
    CheckpointStatus {
        epoch: 7,
        committed_at_ms: Some(NEW_YEAR_MS + 8_000),
        last_duration_ms: Some(120),
        last_pause_us: Some(900),
        pauses: pauses(),
        last_uploaded_bytes: 1_024,
        run_state_bytes: 9_000,
        run_changed_bytes: 8_000,
        last_total_bytes: 4_096,
        run_commits: 4,
        put_readbacks: 1,
        restored_epoch: Some(3),
        restore_ms: Some(250),
        loading: false,
        load_ms: Some(1_250),
        secured_at_ms: Some(NEW_YEAR_MS + 8_500),
        answered: 2,
        orphaned_blobs: 6,
        repeats_left: 0,
    }
}
