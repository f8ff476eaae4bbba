//! Event time and watermarks, and the clock that is handed in where wall time is needed.
//!
//! No function here reads a clock: results depend on event time only.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A moment in event time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

/// Event time up to which a split is not expected to bring more rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watermark {
    /// The split brings rows; the greatest value of the watermark expression so far.
    Active(EventTime),
    /// The split has been silent for longer than the idle timeout; it holds nothing back. Keeps the last value.
    Idle(EventTime),
    /// A bounded split has been read to its end; it holds nothing back.
    Ended,
}

impl EventTime {
    /// Before every row.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// After every row.
    pub const MAX: EventTime = EventTime(i64::MAX);
}

impl Watermark {
    /// The greatest value that the watermark expression has reached in this split.
    pub fn reached(self) -> EventTime {
        match self {
            Watermark::Active(at) | Watermark::Idle(at) => at,
            Watermark::Ended => EventTime::MAX,
        }
    }

    /// The minimum over the splits that are not idle; with all of them idle, the greatest value that one of them reached.
    /// No splits at all hold everything back ([`EventTime::MIN`]).
    pub fn combine(splits: impl IntoIterator<Item = Watermark>) -> EventTime {
        let (mut lowest, mut highest_idle) = (None, None);
        for split in splits {
            match split {
                Watermark::Active(at) => lowest = Some(lowest.map_or(at, |low: EventTime| low.min(at))),
                Watermark::Idle(at) => highest_idle = highest_idle.max(Some(at)),
                Watermark::Ended => lowest = Some(lowest.unwrap_or(EventTime::MAX)),
            }
        }
        match (lowest, highest_idle) {
            // Ended splits hold nothing back, but the idle ones may wake up: only what they reached is safe.
            (Some(EventTime::MAX), Some(idle)) => idle,
            (Some(low), _) => low,
            (None, Some(idle)) => idle,
            (None, None) => EventTime::MIN,
        }
    }
}

/// Wall time and steady time, handed in so that a simulation can own both.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn wall_ms(&self) -> i64;

    /// Time since some fixed moment; never goes back.
    fn steady(&self) -> Duration;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_active_split_holds_the_watermark() {
        let at = |ms| EventTime(ms);
        assert_eq!(Watermark::combine([Watermark::Active(at(5)), Watermark::Active(at(3))]), at(3));
        assert_eq!(Watermark::combine([Watermark::Active(at(5)), Watermark::Idle(at(3))]), at(5));
        assert_eq!(Watermark::combine([Watermark::Idle(at(5)), Watermark::Idle(at(3))]), at(5));
        assert_eq!(Watermark::combine([Watermark::Ended, Watermark::Active(at(3))]), at(3));
        assert_eq!(Watermark::combine([Watermark::Ended, Watermark::Ended]), EventTime::MAX);
        assert_eq!(Watermark::combine([Watermark::Ended, Watermark::Idle(at(3))]), at(3));
        assert_eq!(Watermark::combine([]), EventTime::MIN);
    }
}
