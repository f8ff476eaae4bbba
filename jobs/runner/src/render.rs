//! A snapshot as lines of text: the panel, `aqueduct status` and the log line of progress share it.
//!
//! It measures nothing; rates and memory are handed in.

use crate::http::state_name;
use crate::human::{Align, age, bytes, count, duration_ms, event_time, table};
use crate::process::Memory;
use crate::quarantine;
use aqueduct_runtime::{CheckpointStatus, LedgerTotals, SinkStatus, SourceStatus, StatusSnapshot};

/// The panel's lines, most important first.
pub(crate) fn panel(snapshot: &StatusSnapshot, per_second: Option<f64>, memory: Option<Memory>) -> Vec<String> {
    let elapsed = u64::try_from(snapshot.now_ms - snapshot.started_at_ms).unwrap_or(0);
    let mut head = format!("{}  {}", snapshot.job, state_name(snapshot.state));
    if snapshot.generation > 0 {
        head.push_str(&format!("  generation {}  threads {}", snapshot.generation, snapshot.parallelism));
    }
    if snapshot.started_at_ms > 0 && snapshot.now_ms > 0 {
        head.push_str(&format!("  {}", duration_ms(elapsed)));
    }
    if let Some(memory) = memory {
        head.push_str(&format!("  memory {}", bytes(memory.resident)));
    }
    if snapshot.backpressured {
        head.push_str("  reading waits (backpressure)");
    }
    let rate = per_second.map(|rate| format!("  {}/s", count(rate as u64))).unwrap_or_default();
    let mut lines = vec![head, format!("  read        {}{rate}", count(snapshot.run_records))];
    lines.extend(snapshot.sources.iter().map(source_line));
    let exits = totals(&snapshot.ledger);
    lines.push(format!(
        "  late        {}   dead {}   filtered {}",
        count(exits.late),
        count(exits.dead),
        count(exits.filtered)
    ));
    for query in snapshot.queries.iter().filter(|query| query.panes + query.fired_windows + query.result_rows > 0) {
        lines.push(format!(
            "  query       {}   {} windows fired   {} rows   {} panes open",
            query.name,
            count(query.fired_windows),
            count(query.result_rows),
            count(query.panes)
        ));
    }
    lines.push(checkpoint_line(&snapshot.checkpoint, snapshot.now_ms));
    lines.extend(snapshot.sinks.iter().filter(|sink| worth_a_line(sink)).map(|sink| sink_line(sink, snapshot.now_ms)));
    lines
}

/// The whole table of `aqueduct status`.
pub(crate) fn status(snapshot: &StatusSnapshot) -> String {
    let mut out = panel(snapshot, average(snapshot), None).join("\n");
    out.push('\n');
    if let Some(error) = &snapshot.error {
        out.push_str(&format!("\nerror: {error}\n"));
    }
    let mut rows = Vec::new();
    for source in &snapshot.sources {
        for split in &source.splits {
            let mut note = if split.ended {
                "ended"
            } else if split.idle {
                "idle"
            } else {
                ""
            }
            .to_owned();
            if source.watermark_holder.as_deref() == Some(&split.split) {
                note.push_str(if note.is_empty() { "holds the watermark" } else { ", holds the watermark" });
            }
            let lag = split.lag.map_or_else(|| "-".to_owned(), count);
            rows.push(vec![
                source.table.clone(),
                split.split.clone(),
                split.next_offset.to_string(),
                lag,
                event_time(split.watermark_ms),
                note,
            ]);
        }
    }
    if !rows.is_empty() {
        let head = [
            ("source", Align::Left),
            ("split", Align::Left),
            ("next offset", Align::Right),
            ("lag", Align::Right),
            ("watermark", Align::Left),
            ("", Align::Left),
        ];
        out.push('\n');
        out.push_str(&table(&head, &rows));
    }
    if snapshot.ledger.iter().any(|ledger| ledger.rows_read > 0) {
        out.push('\n');
        out.push_str(&ledger(&snapshot.ledger));
    }
    out
}

/// Where the records went, per query, with a mark where the sum closes.
pub(crate) fn ledger(ledger: &[LedgerTotals]) -> String {
    let head = [
        ("query", Align::Left),
        ("source", Align::Left),
        ("read", Align::Right),
        ("= in windows", Align::Right),
        ("+ filtered", Align::Right),
        ("+ late", Align::Right),
        ("+ dead", Align::Right),
        ("", Align::Left),
    ];
    let row = |totals: &LedgerTotals| {
        let mark = if totals.closes() { "✓".to_owned() } else { format!("✗ {} missing", missing(totals)) };
        vec![
            totals.query.clone(),
            totals.source.clone(),
            count(totals.rows_read),
            count(totals.in_windows),
            count(totals.filtered),
            count(totals.late),
            count(totals.dead),
            mark,
        ]
    };
    table(&head, &ledger.iter().map(row).collect::<Vec<_>>())
}

fn missing(totals: &LedgerTotals) -> i128 {
    let found = [totals.in_windows, totals.filtered, totals.late, totals.dead];
    i128::from(totals.rows_read) - found.into_iter().map(i128::from).sum::<i128>()
}

/// Late, dead and filtered rows over all queries. A dead letter counts once per query that reads its source.
pub(crate) fn totals(ledger: &[LedgerTotals]) -> LedgerTotals {
    let mut sum = LedgerTotals::default();
    for one in ledger {
        sum.rows_read += one.rows_read;
        sum.in_windows += one.in_windows;
        sum.filtered += one.filtered;
        sum.late += one.late;
        sum.dead += one.dead;
    }
    sum
}

/// Records per second since the start.
pub(crate) fn average(snapshot: &StatusSnapshot) -> Option<f64> {
    let elapsed = snapshot.now_ms - snapshot.started_at_ms;
    (elapsed > 0 && snapshot.started_at_ms > 0).then(|| snapshot.run_records as f64 * 1_000.0 / elapsed as f64)
}

/// Sum of the lag of all sources, while every one can tell.
pub(crate) fn lag(snapshot: &StatusSnapshot) -> Option<u64> {
    snapshot.sources.iter().map(|source| source.lag).sum()
}

fn source_line(source: &SourceStatus) -> String {
    let mut line = format!("  source      {}   {} records", source.table, count(source.records));
    if let Some(lag) = source.lag {
        line.push_str(&format!("   lag {}", count(lag)));
    }
    for (topic, lag) in topics(source) {
        line.push_str(&format!("   {topic} lag {}", count(lag)));
    }
    line.push_str(&format!("   watermark {}", event_time(source.watermark_ms)));
    if let Some(holder) = &source.watermark_holder {
        line.push_str(&format!(" held by {holder}"));
    }
    line
}

/// Lag per topic, when a table reads more than one.
fn topics(source: &SourceStatus) -> Vec<(&str, u64)> {
    let mut topics: Vec<(&str, u64)> = Vec::new();
    for split in &source.splits {
        let topic = split.split.rsplit_once('[').map_or(split.split.as_str(), |(topic, _)| topic);
        match topics.iter_mut().find(|(known, _)| *known == topic) {
            Some((_, lag)) => *lag += split.lag.unwrap_or(0),
            None => topics.push((topic, split.lag.unwrap_or(0))),
        }
    }
    if topics.len() > 1 { topics } else { Vec::new() }
}

fn checkpoint_line(checkpoint: &CheckpointStatus, now_ms: i64) -> String {
    if checkpoint.epoch == 0 {
        return "  checkpoint  none yet".to_owned();
    }
    let mut line = format!("  checkpoint  epoch {}", checkpoint.epoch);
    if checkpoint.committed_at_ms.is_some() {
        line.push_str(&format!("   {} ago", age(now_ms, checkpoint.committed_at_ms)));
    }
    if let Some(took) = checkpoint.last_duration_ms {
        line.push_str(&format!("   took {}   {}", duration_ms(took), bytes(checkpoint.last_total_bytes)));
    }
    if let Some(from) = checkpoint.restored_epoch {
        line.push_str(&format!("   went on from epoch {from}"));
    }
    if checkpoint.loading {
        line.push_str("   loading state");
    }
    line
}

/// The quarantine's sinks are shown when they have something to say.
fn worth_a_line(sink: &SinkStatus) -> bool {
    !quarantine::is_ours(&sink.table) || sink.error.is_some() || sink.backlog_rows > 0
}

fn sink_line(sink: &SinkStatus, now_ms: i64) -> String {
    let mut line = format!("  sink        {}   {}   epoch {}", sink.table, sink.connector, sink.cursor);
    line.push_str(&format!("   {} rows", count(sink.run_rows)));
    if sink.backlog_rows > 0 {
        line.push_str(&format!("   {} rows of {} epochs wait", count(sink.backlog_rows), sink.backlog_epochs));
    }
    if sink.applied_at_ms.is_some() && now_ms > 0 {
        line.push_str(&format!("   {} ago", age(now_ms, sink.applied_at_ms)));
    }
    if let Some(error) = &sink.error {
        line.push_str(&format!("   DOWN: {}", error.replace('\n', " ")));
    }
    line
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
