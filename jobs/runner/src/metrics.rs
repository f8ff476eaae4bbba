//! `/metrics`: the snapshot in Prometheus' text format 0.0.4.
//!
//! `METRICS` is the promise to dashboards and alerts: a name in it is not changed or reused. It computes nothing that the
//! snapshot does not hold.

use crate::process;
use aqueduct_runtime::{Histogram, JobState, STEPS_US, StatusSnapshot};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Every metric: name, type, meaning. Labels stand in brackets at the end of the meaning.
pub(crate) const METRICS: &[(&str, &str, &str)] = &[
    ("aqueduct_info", "gauge", "Always 1. [job, version]"),
    ("aqueduct_state", "gauge", "1 for the state that the job is in, 0 for the others. [job, state]"),
    ("aqueduct_generation", "gauge", "Which incarnation of the job's owner this process is. [job]"),
    ("aqueduct_parallelism", "gauge", "Reading threads. [job]"),
    ("aqueduct_backpressured", "gauge", "1 while reading waits for sinks, state or checkpoints. [job]"),
    ("aqueduct_source_records_total", "counter", "Records read: rows, dead letters and skipped ones. [job, table]"),
    ("aqueduct_source_dead_letters_total", "counter", "Records that could not become rows. [job, table]"),
    ("aqueduct_source_skipped_total", "counter", "Records passed over by contract, such as tombstones. [job, table]"),
    ("aqueduct_source_lag_records", "gauge", "Records that exist and are not read yet. [job, table]"),
    (
        "aqueduct_source_watermark_timestamp_seconds",
        "gauge",
        "Event time up to which windows have closed. [job, table]",
    ),
    ("aqueduct_split_next_offset", "gauge", "The next record to read in a partition. [job, table, split]"),
    (
        "aqueduct_split_lag_records",
        "gauge",
        "Records of a partition that exist and are not read yet. [job, table, split]",
    ),
    (
        "aqueduct_split_watermark_timestamp_seconds",
        "gauge",
        "Event time that a partition has reached. [job, table, split]",
    ),
    ("aqueduct_split_idle", "gauge", "1 while a partition is silent and holds nothing back. [job, table, split]"),
    ("aqueduct_query_panes", "gauge", "Open (window, key) pairs at the last checkpoint. [job, query]"),
    ("aqueduct_query_stored_windows", "gauge", "Windows that are in the state store, for want of memory. [job, query]"),
    ("aqueduct_query_fired_windows_total", "counter", "Windows that have closed. [job, query]"),
    ("aqueduct_query_result_rows_total", "counter", "Result rows sealed. [job, query]"),
    ("aqueduct_query_state_bytes", "gauge", "Memory of open panes at the last checkpoint. [job, query]"),
    (
        "aqueduct_ledger_rows_total",
        "counter",
        "Where records went: read = in_windows + filtered + late + dead. [job, query, source, exit]",
    ),
    ("aqueduct_ledger_closes", "gauge", "1 while every record is accounted for. [job, query, source]"),
    ("aqueduct_sink_epoch", "gauge", "The last epoch that a sink has applied. [job, table, connector]"),
    ("aqueduct_sink_backlog_epochs", "gauge", "Sealed epochs that a sink has not applied yet. [job, table, connector]"),
    ("aqueduct_sink_backlog_rows", "gauge", "Rows in those epochs. [job, table, connector]"),
    ("aqueduct_sink_rows_total", "counter", "Rows applied by this process. [job, table, connector]"),
    ("aqueduct_sink_retries_total", "counter", "Deliveries that had to be repeated. [job, table, connector]"),
    ("aqueduct_sink_up", "gauge", "0 while a sink's last delivery failed. [job, table, connector]"),
    (
        "aqueduct_sink_last_stable_offset_lag",
        "gauge",
        "Records of a results topic that readers of committed records cannot see yet; absent while it is not known. [job, table, connector]",
    ),
    ("aqueduct_sink_applied_timestamp_seconds", "gauge", "When the last epoch became visible. [job, table, connector]"),
    ("aqueduct_checkpoint_epoch", "gauge", "The last committed epoch. [job]"),
    ("aqueduct_checkpoint_timestamp_seconds", "gauge", "When it was committed. [job]"),
    (
        "aqueduct_checkpoint_age_seconds",
        "gauge",
        "Time since the last commit, or since a later look found nothing to seal. [job]",
    ),
    ("aqueduct_checkpoint_duration_seconds", "gauge", "From the cut to the durable record. [job]"),
    (
        "aqueduct_checkpoint_pause_seconds",
        "histogram",
        "The longest time that a thread stood still for a checkpoint: for its cut, or for a portion of the state after it. [job]",
    ),
    ("aqueduct_checkpoint_uploaded_bytes", "gauge", "Bytes uploaded for the last checkpoint. [job]"),
    ("aqueduct_checkpoint_state_bytes_total", "counter", "Bytes of state files uploaded by this process. [job]"),
    (
        "aqueduct_checkpoint_changed_bytes_total",
        "counter",
        "Bytes of the changed state behind them, keys and values. [job]",
    ),
    ("aqueduct_checkpoint_total_bytes", "gauge", "Bytes that the last checkpoint refers to. [job]"),
    ("aqueduct_checkpoint_commits_total", "counter", "Checkpoints committed by this process. [job]"),
    ("aqueduct_checkpoint_readbacks_total", "counter", "Writes whose outcome had to be read back. [job]"),
    (
        "aqueduct_checkpoint_orphaned_blobs_total",
        "counter",
        "Files of earlier owners that no checkpoint needed: found, and deleted. [job]",
    ),
    (
        "aqueduct_checkpoint_repeats_left",
        "gauge",
        "Epochs that are still to be cut again as they were, after damage. [job]",
    ),
    ("aqueduct_fences_lost_total", "counter", "1 once a newer owner has taken over: this process ends. [job]"),
    (
        "aqueduct_restore_epoch",
        "gauge",
        "The checkpoint from which this process went on; absent after a first start. [job]",
    ),
    (
        "aqueduct_restore_duration_seconds",
        "gauge",
        "How long going on took, until the first record could be read. [job]",
    ),
    (
        "aqueduct_restore_loading",
        "gauge",
        "1 while state is read into memory beside the records; windows that need it wait. [job]",
    ),
    (
        "aqueduct_restore_load_duration_seconds",
        "gauge",
        "How long that took, when it is over; 0 where there was little. [job]",
    ),
    ("process_start_time_seconds", "gauge", "When the job was started."),
    ("process_resident_memory_bytes", "gauge", "Memory of the process."),
    ("process_peak_memory_bytes", "gauge", "The most memory that the process has had."),
    ("process_cpu_seconds_total", "counter", "CPU time of the process, user and system."),
];

/// The content type of the page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page for one snapshot.
pub(crate) fn page(snapshot: &StatusSnapshot) -> String {
    let mut page = Page { job: snapshot.job.clone(), samples: BTreeMap::new() };
    job(&mut page, snapshot);
    sources(&mut page, snapshot);
    queries(&mut page, snapshot);
    sinks(&mut page, snapshot);
    checkpoint(&mut page, snapshot);
    process_metrics(&mut page, snapshot);
    page.text()
}

struct Page {
    job: String,
    samples: BTreeMap<&'static str, Vec<String>>,
}

impl Page {
    fn put(&mut self, name: &'static str, labels: &[(&str, &str)], value: impl Into<Option<f64>>) {
        let Some(value) = value.into() else { return };
        self.put_part(name, "", labels, value);
    }

    fn put_histogram(&mut self, name: &'static str, seen: &Histogram) {
        let mut up_to = 0;
        for (step, count) in STEPS_US.iter().zip(seen.counts) {
            up_to += count;
            let end = (*step as f64 / 1e6).to_string();
            self.put_part(name, "_bucket", &[("le", &end)], up_to as f64);
        }
        self.put_part(name, "_bucket", &[("le", "+Inf")], seen.count() as f64);
        self.put_part(name, "_sum", &[], seen.sum_us as f64 / 1e6);
        self.put_part(name, "_count", &[], seen.count() as f64);
    }

    fn put_part(&mut self, name: &'static str, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let with_job = (!name.starts_with("process_")).then_some(("job", self.job.as_str()));
        let labels: Vec<String> = with_job
            .into_iter()
            .chain(labels.iter().copied())
            .map(|(key, text)| format!("{key}=\"{}\"", escape(text)))
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.samples.entry(name).or_default().push(format!("{name}{suffix}{labels} {value}"));
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for (name, kind, help) in METRICS {
            let Some(lines) = self.samples.get(name) else { continue };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for line in lines {
                out.push_str(line);
                out.push('\n');
            }
        }
        out
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// Ends of time are no moments that a dashboard can draw.
fn moment(ms: Option<i64>) -> Option<f64> {
    ms.filter(|ms| *ms != i64::MIN && *ms != i64::MAX).map(seconds)
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

fn job(page: &mut Page, snapshot: &StatusSnapshot) {
    page.put("aqueduct_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let states = [
        (JobState::Starting, "starting"),
        (JobState::Running, "running"),
        (JobState::Draining, "draining"),
        (JobState::Finished, "finished"),
        (JobState::Stopped, "stopped"),
        (JobState::Failed, "failed"),
    ];
    for (state, name) in states {
        page.put("aqueduct_state", &[("state", name)], flag(state == snapshot.state));
    }
    page.put("aqueduct_generation", &[], snapshot.generation as f64);
    page.put("aqueduct_parallelism", &[], snapshot.parallelism as f64);
    page.put("aqueduct_backpressured", &[], flag(snapshot.backpressured));
}

fn sources(page: &mut Page, snapshot: &StatusSnapshot) {
    for source in &snapshot.sources {
        let table = [("table", source.table.as_str())];
        page.put("aqueduct_source_records_total", &table, source.records as f64);
        page.put("aqueduct_source_dead_letters_total", &table, source.dead as f64);
        page.put("aqueduct_source_skipped_total", &table, source.skipped as f64);
        page.put("aqueduct_source_lag_records", &table, source.lag.map(|lag| lag as f64));
        page.put("aqueduct_source_watermark_timestamp_seconds", &table, moment(source.watermark_ms));
        for split in &source.splits {
            let labels = [table[0], ("split", split.split.as_str())];
            page.put("aqueduct_split_next_offset", &labels, split.next_offset as f64);
            page.put("aqueduct_split_lag_records", &labels, split.lag.map(|lag| lag as f64));
            page.put("aqueduct_split_watermark_timestamp_seconds", &labels, moment(split.watermark_ms));
            page.put("aqueduct_split_idle", &labels, flag(split.idle));
        }
    }
}

fn queries(page: &mut Page, snapshot: &StatusSnapshot) {
    for query in &snapshot.queries {
        let labels = [("query", query.name.as_str())];
        page.put("aqueduct_query_panes", &labels, query.panes as f64);
        page.put("aqueduct_query_stored_windows", &labels, query.stored_windows as f64);
        page.put("aqueduct_query_fired_windows_total", &labels, query.fired_windows as f64);
        page.put("aqueduct_query_result_rows_total", &labels, query.result_rows as f64);
        page.put("aqueduct_query_state_bytes", &labels, query.state_bytes as f64);
    }
    for ledger in &snapshot.ledger {
        let labels = [("query", ledger.query.as_str()), ("source", ledger.source.as_str())];
        let exits = [
            ("read", ledger.rows_read),
            ("in_windows", ledger.in_windows),
            ("filtered", ledger.filtered),
            ("late", ledger.late),
            ("dead", ledger.dead),
        ];
        for (exit, rows) in exits {
            page.put("aqueduct_ledger_rows_total", &[labels[0], labels[1], ("exit", exit)], rows as f64);
        }
        page.put("aqueduct_ledger_closes", &labels, flag(ledger.closes()));
    }
}

fn sinks(page: &mut Page, snapshot: &StatusSnapshot) {
    for sink in &snapshot.sinks {
        let labels = [("table", sink.table.as_str()), ("connector", sink.connector.as_str())];
        page.put("aqueduct_sink_epoch", &labels, sink.cursor as f64);
        page.put("aqueduct_sink_backlog_epochs", &labels, sink.backlog_epochs as f64);
        page.put("aqueduct_sink_backlog_rows", &labels, sink.backlog_rows as f64);
        page.put("aqueduct_sink_rows_total", &labels, sink.run_rows as f64);
        page.put("aqueduct_sink_retries_total", &labels, sink.retries as f64);
        page.put("aqueduct_sink_up", &labels, flag(sink.error.is_none()));
        page.put("aqueduct_sink_last_stable_offset_lag", &labels, sink.unstable_records.map(|records| records as f64));
        page.put("aqueduct_sink_applied_timestamp_seconds", &labels, moment(sink.applied_at_ms));
    }
}

fn checkpoint(page: &mut Page, snapshot: &StatusSnapshot) {
    let last = &snapshot.checkpoint;
    page.put("aqueduct_checkpoint_epoch", &[], last.epoch as f64);
    page.put("aqueduct_checkpoint_timestamp_seconds", &[], moment(last.committed_at_ms));
    let age = last.secured_at_ms.map(|secured| seconds((snapshot.now_ms - secured).max(0)));
    page.put("aqueduct_checkpoint_age_seconds", &[], age);
    page.put("aqueduct_checkpoint_duration_seconds", &[], last.last_duration_ms.map(|ms| ms as f64 / 1e3));
    page.put_histogram("aqueduct_checkpoint_pause_seconds", &last.pauses);
    page.put("aqueduct_checkpoint_uploaded_bytes", &[], last.last_uploaded_bytes as f64);
    page.put("aqueduct_checkpoint_state_bytes_total", &[], last.run_state_bytes as f64);
    page.put("aqueduct_checkpoint_changed_bytes_total", &[], last.run_changed_bytes as f64);
    page.put("aqueduct_checkpoint_total_bytes", &[], last.last_total_bytes as f64);
    page.put("aqueduct_checkpoint_commits_total", &[], last.run_commits as f64);
    page.put("aqueduct_checkpoint_readbacks_total", &[], last.put_readbacks as f64);
    page.put("aqueduct_checkpoint_orphaned_blobs_total", &[], last.orphaned_blobs as f64);
    page.put("aqueduct_checkpoint_repeats_left", &[], last.repeats_left as f64);
    page.put("aqueduct_fences_lost_total", &[], snapshot.fences_lost as f64);
    page.put("aqueduct_restore_epoch", &[], last.restored_epoch.map(|epoch| epoch as f64));
    page.put("aqueduct_restore_duration_seconds", &[], last.restore_ms.map(|ms| ms as f64 / 1e3));
    page.put("aqueduct_restore_loading", &[], last.restored_epoch.map(|_| f64::from(u8::from(last.loading))));
    let loaded = last.restored_epoch.filter(|_| !last.loading).map(|_| last.load_ms.unwrap_or(0));
    page.put("aqueduct_restore_load_duration_seconds", &[], loaded.map(|ms| ms as f64 / 1e3));
}

fn process_metrics(page: &mut Page, snapshot: &StatusSnapshot) {
    page.put("process_start_time_seconds", &[], (snapshot.started_at_ms > 0).then(|| seconds(snapshot.started_at_ms)));
    if let Some(memory) = process::memory() {
        page.put("process_resident_memory_bytes", &[], memory.resident as f64);
        page.put("process_peak_memory_bytes", &[], memory.peak as f64);
    }
    page.put("process_cpu_seconds_total", &[], process::cpu_seconds());
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
