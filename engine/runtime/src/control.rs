//! What people may ask of a running job from outside: to seal now, or to fire every window at its stop.
//!
//! Only wishes are kept here; the coordinator looks at them when it can.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared between whoever listens to people and the coordinator.
#[derive(Debug, Default)]
pub struct Control {
    seals: AtomicU64,
    drain: AtomicBool,
}

impl Control {
    /// Asks for an epoch that holds everything read so far. Returns the number of this request: it is fulfilled when
    /// [`crate::CheckpointStatus::answered`] has reached it.
    pub fn ask_seal(&self) -> u64 {
        self.seals.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A stop that comes after this advances the watermark to the end: every window fires, as complete as it is.
    pub fn ask_drain(&self) {
        self.drain.store(true, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> u64 {
        self.seals.load(Ordering::SeqCst)
    }

    pub(crate) fn drains(&self) -> bool {
        self.drain.load(Ordering::SeqCst)
    }
}
