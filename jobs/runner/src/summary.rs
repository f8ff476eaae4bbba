//! What `run` prints to stdout when it ends: where every record went, what each sink got, how fast, with how much memory.

use crate::human::{Align, bytes, count, duration_ms, table};
use crate::process::Memory;
use crate::{quarantine, render};
use aqueduct_runtime::{JobState, StatusSnapshot};

/// The closing table.
pub(crate) fn text(snapshot: &StatusSnapshot, elapsed_ms: u64, memory: Option<Memory>) -> String {
    let how = match snapshot.state {
        JobState::Finished => "finished: the input was read to its end",
        JobState::Stopped => "stopped: the next start goes on from here",
        JobState::Failed => "failed",
        JobState::Starting | JobState::Running | JobState::Draining => "interrupted",
    };
    let mut out = format!("\n{} {how}\n", snapshot.job);
    if !snapshot.ledger.is_empty() {
        out.push('\n');
        out.push_str(&render::ledger(&snapshot.ledger));
    }
    if !snapshot.sinks.is_empty() {
        out.push('\n');
        out.push_str(&sinks(snapshot));
    }
    let seconds = (elapsed_ms as f64 / 1_000.0).max(0.001);
    let rate = snapshot.run_records as f64 / seconds;
    let peak = memory.map(|memory| format!(", peak memory {}", bytes(memory.peak))).unwrap_or_default();
    out.push_str(&format!(
        "\n  {} records in {}, {} records/s{peak}, epoch {}\n",
        count(snapshot.run_records),
        duration_ms(elapsed_ms),
        count(rate as u64),
        snapshot.checkpoint.epoch,
    ));
    if let Some(from) = snapshot.checkpoint.restored_epoch {
        out.push_str(&format!(
            "  went on from the checkpoint of epoch {from}; the ledger counts from the job's first start\n"
        ));
    }
    out
}

fn sinks(snapshot: &StatusSnapshot) -> String {
    let head = [
        ("sink", Align::Left),
        ("connector", Align::Left),
        ("rows", Align::Right),
        ("up to epoch", Align::Right),
        ("", Align::Left),
    ];
    let shown = |rows: u64, table: &str| rows > 0 || !quarantine::is_ours(table);
    let rows: Vec<Vec<String>> = snapshot
        .sinks
        .iter()
        .filter(|sink| shown(sink.run_rows + sink.backlog_rows, &sink.table))
        .map(|sink| {
            let note = match (&sink.error, sink.backlog_rows) {
                (Some(error), waiting) => format!("{} rows wait: {}", count(waiting), error.replace('\n', " ")),
                (None, 0) => "✓".to_owned(),
                (None, waiting) => format!("{} rows wait in the checkpoint", count(waiting)),
            };
            vec![sink.table.clone(), sink.connector.clone(), count(sink.run_rows), sink.cursor.to_string(), note]
        })
        .collect();
    table(&head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_summary_accounts_for_every_record() {
        let mut snapshot = samples::snapshot();
        snapshot.state = JobState::Finished;
        let text = text(&snapshot, 2_000, Some(Memory { resident: 1, peak: 300 << 20 }));
        for part in [
            "image-metrics finished",
            "metrics  product_images  1,000           980           7      10       3  ✓",
            "metrics_pg    postgres   1,200            7  ✓",
            "10 rows wait: cannot reach it",
            "1,000 records in 2.0 s, 500 records/s, peak memory 300.0 MiB, epoch 7",
            "went on from the checkpoint of epoch 3",
        ] {
            assert!(text.contains(part), "{part}\nis missing in\n{text}");
        }
    }

    #[test]
    fn empty_quarantine_tables_are_not_shown() {
        let mut snapshot = samples::snapshot();
        snapshot.sinks[0].table = "aqueduct_quarantine_late".to_owned();
        assert!(text(&snapshot, 1, None).contains("aqueduct_quarantine_late"));
        snapshot.sinks[0].run_rows = 0;
        assert!(!text(&snapshot, 1, None).contains("aqueduct_quarantine_late"));
    }
}
