//! Fail points: named places between "decided" and "durable", where tests let the process die, stop or go astray.
//!
//! They are handed in, never global, and do nothing unless a test armed them. What happens at a point is decided by whoever
//! arms it; this file only carries the call.

use std::fmt;
use std::sync::Arc;

/// What happens at a point: it gets the point's name and returns, or does not.
type Action = dyn Fn(&'static str) + Send + Sync;

/// A handle that rooms and connectors call at their fail points. Cloning is cheap; the default does nothing.
///
/// A point's name is `<room>.<part>.<moment>`, such as `postgres.apply.before-commit`. Every name that is hit stands in the
/// registry of its crate (`FAIL_POINTS`, or [`crate::Connector::fail_points`]); a test compares the two.
#[derive(Clone, Default)]
pub struct FailPoints(Option<Arc<Action>>);

impl FailPoints {
    /// Calls `action` with the name of each point that is passed. It may block, and it may end the process.
    pub fn new(action: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(action)))
    }

    /// Passes the point `name`. One comparison when nothing is armed; never called per record.
    #[inline]
    pub fn hit(&self, name: &'static str) {
        if let Some(action) = &self.0 {
            action(name);
        }
    }
}

impl fmt::Debug for FailPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "FailPoints(armed)" } else { "FailPoints" })
    }
}
