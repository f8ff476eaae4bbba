//! Many seeds: each is run twice and compared with itself; what was injected and what was found is summed up.

use super::job;
use super::run::{Report, run};
use aqueduct_core::Result;
use aqueduct_plan::JobPlan;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a campaign came to.
#[derive(Debug, Default)]
pub struct Totals {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds with something wrong, in order.
    pub failed: Vec<Report>,
    /// Injected faults by kind (of the first run of each seed).
    pub faults: BTreeMap<&'static str, u64>,
    /// Processes started.
    pub processes: u64,
    /// Epochs sealed.
    pub epochs: u64,
    /// Records in the inputs.
    pub records: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Steps of the scheduler.
    pub steps: u64,
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        for (kind, count) in &report.faults {
            *self.faults.entry(kind).or_insert(0) += count;
        }
        self.processes += u64::from(report.processes);
        self.epochs += report.epochs;
        self.records += report.records;
        self.simulated_ms += report.simulated_ms;
        self.steps += report.steps;
        if !report.wrong.is_empty() {
            self.failed.push(report);
            self.failed.sort_by_key(|report| report.seed);
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let faults: u64 = self.faults.values().sum();
        let mut text = format!(
            "{} seeds, each run twice: {} failed\n{:.1} simulated hours, {} processes, {} epochs, {} records, {} steps\n\
             {faults} faults injected:\n",
            self.seeds,
            self.failed.len(),
            self.simulated_ms as f64 / 3_600_000.0,
            self.processes,
            self.epochs,
            self.records,
            self.steps,
        );
        for (kind, count) in &self.faults {
            text += &format!("  {count:>9}  {kind}\n");
        }
        text
    }
}

/// A seed's report with a comparison of two runs: a difference counts as wrong.
pub fn twice(plan: &JobPlan, seed: u64, planted: Option<&'static str>) -> Report {
    let first = run(plan, seed, planted, false);
    let second = run(plan, seed, planted, false);
    let mut report = first;
    if report.fingerprint != second.fingerprint {
        report.wrong.push(format!(
            "the seed does not replay: fingerprints {:016x} and {:016x}, {} and {} steps",
            report.fingerprint, second.fingerprint, report.steps, second.steps
        ));
    }
    report
}

/// Runs seeds on so many threads, telling after each how far it is. Stops early once so many have failed.
pub fn campaign(
    seeds: std::ops::Range<u64>,
    threads: usize,
    most_failures: usize,
    told: &(dyn Fn(&Totals) + Sync),
) -> Result<Totals> {
    let plan = job::plan()?;
    let next = AtomicU64::new(seeds.start);
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = twice(&plan, seed, None);
                    let mut totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    totals.add(report);
                    told(&totals);
                    if totals.failed.len() >= most_failures {
                        return;
                    }
                }
            });
        }
    });
    Ok(totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// What a person needs to look into a failing seed.
pub fn failure(report: &Report) -> String {
    let mut text = format!("seed {} fails ({} records):\n", report.seed, report.records);
    for wrong in report.wrong.iter().take(20) {
        text += &format!("  {wrong}\n");
    }
    text += "the end of its trace:\n";
    for line in &report.trace {
        text += &format!("  {line}\n");
    }
    text += &format!("replay: ./dev sim {}\n", report.seed);
    text
}
