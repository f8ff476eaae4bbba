//! How often something took how long, in fixed steps: what a quantile over many processes can be computed from. It keeps no
//! single value.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The upper ends of the steps, in microseconds; what took longer is counted above the last one.
pub const STEPS_US: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// Counts since the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    /// How many took at most as long as the step of the same place, and longer than the step before.
    pub counts: [u64; STEPS_US.len()],
    /// How many took longer than every step.
    pub above: u64,
    /// All of them together, microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match STEPS_US.iter().position(|step| us <= *step) {
            Some(place) => self.counts[place] += 1,
            None => self.above += 1,
        }
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }
}

#[cfg(test)]
#[path = "histogram_tests.rs"]
mod tests;
