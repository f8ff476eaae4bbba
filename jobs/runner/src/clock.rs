//! The machine's clock, behind the trait that the engine is given.
//!
//! The only place of the project's product code that reads wall time for results (`processed_at`).

use aqueduct_core::Clock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall time from the system, steady time since this value was made.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose steady time begins now.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn steady(&self) -> Duration {
        self.start.elapsed()
    }
}
