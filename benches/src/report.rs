//! Medians, spreads and ratios of the rounds, as a Markdown table. It judges nothing.

use crate::systems::System;

/// What one system cost in one round.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) system: System,
    /// CPU-seconds per million records, from the difference of the long and the short run.
    pub(crate) slope: f64,
    /// CPU-seconds that do not depend on the number of records.
    pub(crate) start: f64,
    /// Seconds of the long run.
    pub(crate) wall: f64,
    /// Peak memory of the long run.
    pub(crate) peak_mib: u64,
    /// Records of the long run.
    pub(crate) records: i64,
}

/// Every system once.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) keys: u64,
    #[allow(dead_code, reason = "read by Debug, for those who look at raw rounds")]
    pub(crate) number: usize,
    pub(crate) samples: Vec<Sample>,
}

/// The report.
pub(crate) fn text(rounds: &[Round], keys: &[u64]) -> String {
    let mut out = String::new();
    for keys in keys {
        let rounds: Vec<&Round> = rounds.iter().filter(|round| round.keys == *keys).collect();
        out.push_str(&format!("\n### {keys} keys, {} rounds\n\n", rounds.len()));
        out.push_str("| system | CPU-s per million | to the raw client | to the hand-written query | start, CPU-s | M records/s | peak MiB |\n");
        out.push_str("|---|---|---|---|---|---|---|\n");
        let Some(first) = rounds.first() else { continue };
        let mut systems: Vec<System> = first.samples.iter().map(|sample| sample.system).collect();
        systems.sort();
        for system in systems {
            out.push_str(&line(&rounds, system));
        }
    }
    out
}

fn line(rounds: &[&Round], system: System) -> String {
    let of = |round: &Round, system: System| round.samples.iter().find(|sample| sample.system == system).cloned();
    let samples: Vec<Sample> = rounds.iter().filter_map(|round| of(round, system)).collect();
    let ratio = |floor: System| {
        let ratios = rounds.iter().filter_map(|round| Some(of(round, system)?.slope / of(round, floor)?.slope));
        spread(ratios.collect())
    };
    let rate = samples.iter().map(|sample| sample.records as f64 / 1e6 / sample.wall).collect();
    let peak = samples.iter().map(|sample| sample.peak_mib).max().unwrap_or(0);
    format!(
        "| {} | {} | {} | {} | {:.2} | {:.2} | {peak} |\n",
        system.name(),
        spread(samples.iter().map(|sample| sample.slope).collect()),
        ratio(System::Raw),
        ratio(System::Query),
        median(samples.iter().map(|sample| sample.start).collect()),
        median(rate),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median with the least and the greatest.
fn spread(values: Vec<f64>) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.2} ({least:.2} to {most:.2})", median(values))
}
