//! The simulation can fail: a bug that is planted behind each seam is found by some seed, and the seed finds it again.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::sim::run::{Report, run};
use aqueduct_tests::sim::{bugs, job};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seeds that are tried for a bug before it counts as not found.
const SEEDS: u64 = 200;

/// In the whole shard other safeguards stand before these (the look at the claim between two epochs, the next open), so that
/// hundreds of seeds are needed. The chaos test of the sinks alone finds them at once (`sim/backends/chaos_tests.rs`).
const SINKS_ALONE: &[&str] = &["postgres.fence-count-ignored", "kafka.unstable-offsets"];

fn find(bug: &'static str) -> Option<Report> {
    let plan = job::plan().unwrap();
    let found = (1..=SEEDS).map(|seed| run(&plan, seed, Some(bug), false)).find(|report| !report.wrong.is_empty())?;
    let again = run(&plan, found.seed, Some(bug), false);
    assert_eq!(found.wrong, again.wrong, "seed {} must find '{bug}' again", found.seed);
    assert_eq!(found.fingerprint, again.fingerprint);
    let clean = run(&plan, found.seed, None, false);
    assert_eq!(clean.wrong, Vec::<String>::new(), "without the bug, seed {} has nothing to find", found.seed);
    Some(found)
}

#[test]
fn every_planted_bug_is_found_and_replayed() {
    let bugs: Vec<_> = bugs().into_iter().filter(|bug| !SINKS_ALONE.contains(bug)).collect();
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match find(bug) {
                        Some(report) => println!("{bug}: seed {}: {}", report.seed, report.wrong[0]),
                        None => missed.lock().unwrap().push(*bug),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "no seed of {SEEDS} finds {missed:?}");
}
