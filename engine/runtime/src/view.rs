//! From the threads' progress to the status snapshot that people and machines read.

use crate::barrier::Committed;
use crate::progress::{SourceCounts, WorkerProgress};
use crate::start::Started;
use crate::status::{LedgerTotals, QueryStatus, SourceStatus, SplitStatus, StatusSnapshot};
use aqueduct_core::Watermark;
use aqueduct_plan::QueryInput;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Brings the snapshot up to date.
pub(crate) fn fill(
    snapshot: &mut StatusSnapshot,
    started: &Started,
    progress: &[WorkerProgress],
    totals: &BTreeMap<String, SourceCounts>,
    committed: Option<&Committed>,
) {
    snapshot.now_ms = started.clock.wall_ms();
    snapshot.run_records = progress.iter().flat_map(|worker| &worker.sources).map(|counts| counts.records).sum();
    snapshot.backpressured = started.job.paused.load(Ordering::Relaxed);
    snapshot.sources = started
        .plan
        .sources
        .iter()
        .enumerate()
        .map(|(index, source)| {
            let counts = totals.get(&source.spec.table).copied().unwrap_or_default();
            self::source(index, &source.spec.table, counts, progress)
        })
        .collect();
    snapshot.sinks = started.deliveries.iter().map(|delivery| delivery.status()).collect();
    snapshot.ledger = ledger(started, progress);
    match committed {
        Some(committed) => {
            snapshot.checkpoint = committed.checkpoint.clone();
            snapshot.queries.clone_from(&committed.queries);
        }
        None if snapshot.queries.is_empty() => {
            let name =
                |query: &aqueduct_plan::Query| QueryStatus { name: query.name.clone(), ..QueryStatus::default() };
            snapshot.queries = started.plan.queries.iter().map(name).collect();
        }
        None => {}
    }
}

fn source(index: usize, table: &str, counts: SourceCounts, progress: &[WorkerProgress]) -> SourceStatus {
    let mut splits: Vec<_> =
        progress.iter().flat_map(|worker| &worker.splits).filter(|split| split.source == index).collect();
    splits.sort_by(|a, b| a.split.cmp(&b.split));
    let reached = Watermark::combine(splits.iter().map(|split| split.watermark())).0;
    let holder = splits
        .iter()
        .filter(|split| matches!(split.watermark(), Watermark::Active(at) if at.0 == reached))
        .map(|split| split.split.to_string())
        .next();
    let known = |ms: i64| (ms != i64::MIN && ms != i64::MAX).then_some(ms);
    SourceStatus {
        table: table.to_owned(),
        records: counts.records,
        dead: counts.dead,
        skipped: counts.skipped,
        lag: splits.iter().map(|split| split.lag).sum(),
        watermark_ms: known(reached),
        watermark_holder: holder,
        splits: splits
            .iter()
            .map(|split| SplitStatus {
                split: split.split.to_string(),
                next_offset: split.next.0,
                lag: split.lag,
                watermark_ms: known(split.reached),
                idle: split.idle,
                ended: split.ended,
            })
            .collect(),
    }
}

fn ledger(started: &Started, progress: &[WorkerProgress]) -> Vec<LedgerTotals> {
    let mut rows = Vec::new();
    for (index, query) in started.plan.queries.iter().enumerate() {
        let QueryInput::Source(source) = query.input else { continue };
        let mut counts = started.base.counts.get(&query.id).copied().unwrap_or_default();
        progress.iter().filter_map(|worker| worker.counts.get(index)).for_each(|more| counts.add(more));
        rows.push(LedgerTotals {
            query: query.name.clone(),
            source: started.plan.sources[source].spec.table.clone(),
            rows_read: counts.read,
            in_windows: counts.taken,
            filtered: counts.filtered,
            late: counts.late,
            dead: counts.dead,
        });
    }
    rows
}

/// Counts of every source since the lineage began: what the checkpoint says and what the threads read since.
pub(crate) fn source_totals(started: &Started, progress: &[WorkerProgress]) -> BTreeMap<String, SourceCounts> {
    let mut totals = started.base.sources.clone();
    for (index, source) in started.plan.sources.iter().enumerate() {
        let total = totals.entry(source.spec.table.clone()).or_default();
        for counts in progress.iter().filter_map(|worker| worker.sources.get(index)) {
            total.records += counts.records;
            total.dead += counts.dead;
            total.skipped += counts.skipped;
        }
    }
    totals
}
