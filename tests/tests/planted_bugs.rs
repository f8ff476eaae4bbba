//! The simulation can fail: a bug that is planted behind each seam is found by some seed, and the seed finds it again.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::sim::run::{Report, run};
use aqueduct_tests::sim::{bugs, job};

/// Seeds that are tried for a bug before it counts as not found.
const SEEDS: u64 = 120;

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
    let mut missed = Vec::new();
    for bug in bugs() {
        match find(bug) {
            Some(report) => println!("{bug}: seed {}: {}", report.seed, report.wrong[0]),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "no seed of {SEEDS} finds {missed:?}");
}
