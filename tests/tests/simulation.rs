//! The whole shard in simulated time: a fixed number of seeds, each run twice. More by hand: `./dev sim`.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::sim::campaign::{campaign, failure};
use std::sync::Mutex;
use std::time::Instant;

/// Seeds 1 to so many; a failing one prints itself, and `./dev sim SEED` replays it.
fn seeds() -> u64 {
    std::env::var("AQUEDUCT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[test]
fn every_seed_ends_exactly_and_replays() {
    let (seeds, begun, told_at) = (seeds(), Instant::now(), Mutex::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let totals = campaign(1..seeds + 1, threads, 3, &|totals| {
        let mut told_at = told_at.lock().unwrap();
        if totals.seeds >= *told_at + 20 {
            *told_at = totals.seeds;
            println!("{} of {seeds} seeds, {} s", totals.seeds, begun.elapsed().as_secs());
        }
    });
    let totals = totals.unwrap();
    println!("{}in {} s", totals.text(), begun.elapsed().as_secs());
    let failures: Vec<String> = totals.failed.iter().map(failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(totals.seeds, seeds);
    // A campaign in which nothing goes wrong proves nothing.
    if seeds >= 100 {
        let (kinds, faults) = (totals.faults.len(), totals.faults.values().sum::<u64>());
        assert!(kinds >= 60 && faults >= 1_000, "{faults} faults of {kinds} kinds");
    }
    if seeds >= 1_000 {
        for kind in EVERY_KIND {
            assert!(totals.faults.contains_key(kind), "no seed met '{kind}'");
        }
    }
}

/// What a thousand seeds must meet at least once. Some are rare: which of them a hundred seeds meet changes with every change.
const EVERY_KIND: &[&str] = &[
    "bucket.conflict-nothing-landed",
    "bucket.delayed",
    "bucket.reply-lost",
    "clock.jump",
    "process.crash",
    "process.crash-at-fail-point",
    "process.crash-in-io",
    "process.freeze",
    "process.freeze-in-io",
    "process.second-owner",
    "process.stop-asked",
    "source.down",
    "source.read-failed",
    "source.recreated",
    "source.truncated",
    "store.blob-not-visible",
    "store.conflict-nothing-landed",
    "store.corrupt-read",
    "store.delayed",
    "store.down",
    "store.own-conflict",
    "store.refused",
    "store.reply-lost",
    "store.stale-list",
    "store.twice",
    "table.delayed",
    "table.reply-lost",
];
