//! The live panel of `run` in a terminal, and the progress lines of the log elsewhere.
//!
//! It reads snapshots five times a second and draws them on stderr; the job does not know of it.

use crate::human::{count, duration_ms};
use crate::{process, render};
use aqueduct_runtime::{StatusBoard, StatusSnapshot};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

const REFRESH: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(5);
/// Rates are means over this span: long enough not to flicker, short enough to follow.
const RATE_SPAN: Duration = Duration::from_secs(3);

/// Records per second over the last seconds.
#[derive(Debug, Default)]
struct Rate {
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn add(&mut self, now: Instant, records: u64) -> Option<f64> {
        self.samples.push_back((now, records));
        while self.samples.len() > 2 && self.samples.front().is_some_and(|(at, _)| now - *at > RATE_SPAN) {
            self.samples.pop_front();
        }
        let (since, first) = *self.samples.front()?;
        let seconds = (now - since).as_secs_f64();
        (seconds > 0.0).then(|| records.saturating_sub(first) as f64 / seconds)
    }
}

/// How much of a bounded input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    done: u64,
    all: u64,
}

impl Progress {
    fn of(snapshot: &StatusSnapshot) -> Option<Self> {
        let all = snapshot.expected_records.filter(|all| *all > 0)?;
        // Counted since the start of the lineage: a job that goes on does not begin at zero.
        let done = snapshot.sources.iter().map(|source| source.records).sum::<u64>().min(all);
        Some(Self { done, all })
    }

    fn text(self, per_second: Option<f64>) -> String {
        let percent = self.done as f64 * 100.0 / self.all as f64;
        let left = self.all - self.done;
        let eta = per_second
            .filter(|rate| *rate >= 1.0 && left > 0)
            .map(|rate| format!("  {} left", duration_ms((left as f64 / rate * 1_000.0) as u64)))
            .unwrap_or_default();
        format!("{percent:>5.1} %  of {}{eta}", count(self.all))
    }
}

/// What the panel draws on. Each line of it asks to be drawn; more often than this would flicker.
pub(crate) fn screen() -> MultiProgress {
    MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10))
}

/// Draws until told to stop.
pub(crate) async fn draw(screen: MultiProgress, board: Arc<StatusBoard>, mut stop: tokio::sync::watch::Receiver<bool>) {
    let mut panel = Panel { screen, bar: None, lines: Vec::new() };
    let mut rate = Rate::default();
    let mut ticks = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            _ = stop.changed() => break,
        }
        let snapshot = board.snapshot();
        let per_second = rate.add(Instant::now(), snapshot.run_records);
        panel.show(&snapshot, per_second);
    }
    // Nothing can be done when the terminal is gone.
    drop(panel.screen.clear());
}

struct Panel {
    screen: MultiProgress,
    bar: Option<ProgressBar>,
    lines: Vec<ProgressBar>,
}

impl Panel {
    fn show(&mut self, snapshot: &StatusSnapshot, per_second: Option<f64>) {
        let texts = render::panel(snapshot, per_second, process::memory());
        while self.lines.len() > texts.len() {
            if let Some(line) = self.lines.pop() {
                self.screen.remove(&line);
            }
        }
        while self.lines.len() < texts.len() {
            // One bar per line, so that each is cut at the terminal's width by itself.
            let line = ProgressBar::no_length().with_style(style("{wide_msg}"));
            let line = match &self.bar {
                Some(bar) => self.screen.insert_before(bar, line),
                None => self.screen.add(line),
            };
            self.lines.push(line);
        }
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(text);
        }
        if let Some(progress) = Progress::of(snapshot) {
            let bar = self.bar.get_or_insert_with(|| {
                self.screen.add(ProgressBar::new(progress.all).with_style(style("  [{wide_bar}] {msg}")))
            });
            bar.set_position(progress.done);
            bar.set_message(progress.text(per_second));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates in this file are sound").progress_chars("=> ")
}

/// Logs progress every few seconds until told to stop.
pub(crate) async fn log(board: Arc<StatusBoard>, mut stop: tokio::sync::watch::Receiver<bool>) {
    let mut rate = Rate::default();
    rate.add(Instant::now(), 0);
    let mut ticks = tokio::time::interval(LOG_EVERY);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            _ = stop.changed() => break,
        }
        let snapshot = board.snapshot();
        let per_second = rate.add(Instant::now(), snapshot.run_records).unwrap_or(0.0);
        log_line(&snapshot, per_second);
    }
}

fn log_line(snapshot: &StatusSnapshot, per_second: f64) {
    let exits = render::totals(&snapshot.ledger);
    let watermark = snapshot.sources.iter().filter_map(|source| source.watermark_ms).min();
    let backlog: u64 = snapshot.sinks.iter().map(|sink| sink.backlog_rows).sum();
    let down: Vec<&str> =
        snapshot.sinks.iter().filter(|sink| sink.error.is_some()).map(|sink| sink.table.as_str()).collect();
    tracing::info!(
        state = crate::http::state_name(snapshot.state),
        records = snapshot.run_records,
        records_per_second = per_second as u64,
        percent = Progress::of(snapshot).map(|progress| progress.done * 100 / progress.all),
        lag = render::lag(snapshot),
        watermark = watermark.map(|ms| crate::human::event_time(Some(ms))),
        epoch = snapshot.checkpoint.epoch,
        late = exits.late,
        dead = exits.dead,
        backlog_rows = backlog,
        sinks_down = (!down.is_empty()).then(|| down.join(",")),
        resident_bytes = process::memory().map(|memory| memory.resident),
        "progress"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn rates_are_means_over_the_last_seconds() {
        let start = Instant::now();
        let mut rate = Rate::default();
        assert_eq!(rate.add(start, 0), None);
        assert_eq!(rate.add(start + Duration::from_secs(1), 100), Some(100.0));
        for second in 2..10 {
            rate.add(start + Duration::from_secs(second), 100);
        }
        assert_eq!(rate.add(start + Duration::from_secs(10), 100), Some(0.0));
    }

    #[test]
    fn progress_says_how_long_it_takes() {
        let progress = Progress::of(&samples::snapshot()).unwrap();
        assert_eq!(progress, Progress { done: 1_000, all: 4_000 });
        assert_eq!(progress.text(Some(100.0)), " 25.0 %  of 4,000  30.0 s left");
        assert_eq!(progress.text(None), " 25.0 %  of 4,000");
    }

    #[test]
    fn the_panel_grows_and_shrinks() {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let mut panel = Panel { screen, bar: None, lines: Vec::new() };
        let full = samples::snapshot();
        panel.show(&full, Some(10.0));
        let lines = panel.lines.len();
        assert!(panel.lines.last().unwrap().message().contains("metrics_docs"));
        let mut fewer = full.clone();
        fewer.sinks.pop();
        panel.show(&fewer, Some(10.0));
        assert_eq!(panel.lines.len(), lines - 1);
        assert!(panel.lines.last().unwrap().message().contains("metrics_pg"));
        let bar = panel.bar.as_ref().unwrap();
        assert_eq!((bar.position(), bar.length()), (1_000, Some(4_000)));
        panel.show(&full, Some(10.0));
        assert_eq!(panel.lines.len(), lines);
    }
}
