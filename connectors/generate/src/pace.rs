//! `rows-per-second`: how many records are due now. It sleeps on demand and knows no records.

use std::time::{Duration, Instant};

/// Records are let through in portions of this length of time, so that a slow source does not bring batches of one.
const PORTION: Duration = Duration::from_millis(20);

/// Counts records against elapsed time, from the first question on.
#[derive(Debug)]
pub(crate) struct Pace {
    /// `None` for as fast as possible.
    per_second: Option<f64>,
    begun: Option<Instant>,
    passed: u64,
}

impl Pace {
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        Self { per_second, begun: None, passed: 0 }
    }

    /// How many of `wanted` records may be read now; waits for the first one at most `max_wait`.
    pub(crate) fn admit(&mut self, wanted: usize, max_wait: Duration) -> usize {
        let Some(per_second) = self.per_second else { return wanted };
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let portion = (per_second * PORTION.as_secs_f64()).max(1.0);
        let due_at = (self.passed as f64 + portion) / per_second;
        let due_at = Duration::try_from_secs_f64(due_at).unwrap_or(Duration::MAX);
        let wait = due_at.saturating_sub(begun.elapsed()).min(max_wait);
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        (self.due(per_second, begun) as usize).min(wanted)
    }

    /// Counts records that were read.
    pub(crate) fn pass(&mut self, records: usize) {
        self.passed += records as u64;
    }

    /// Records that are due and have not been read; `None` without a rate.
    pub(crate) fn behind(&self) -> Option<u64> {
        let per_second = self.per_second?;
        Some(self.begun.map_or(0, |begun| self.due(per_second, begun)))
    }

    fn due(&self, per_second: f64, begun: Instant) -> u64 {
        ((begun.elapsed().as_secs_f64() * per_second) as u64).saturating_sub(self.passed)
    }
}
