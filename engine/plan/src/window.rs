//! Windows and aggregates as data.
//!
//! The arithmetic of slices lives here because planner, runtime and `explain` must agree on it; accumulators do not.

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;

/// A windowing table function. All lengths and offsets are milliseconds; lengths are positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// `TUMBLE(size[, offset])`
    Tumble {
        /// Length of a window.
        size: i64,
        /// Shift against the epoch.
        offset: i64,
    },
    /// `HOP(slide, size[, offset])`; `size` is a multiple of `slide`.
    Hop {
        /// From one window's start to the next one's.
        slide: i64,
        /// Length of a window.
        size: i64,
        /// Shift against the epoch.
        offset: i64,
    },
    /// `CUMULATE(step, size[, offset])`; `size` is a multiple of `step`.
    Cumulate {
        /// From one window's end to the next one's.
        step: i64,
        /// Length of the longest window.
        size: i64,
        /// Shift against the epoch.
        offset: i64,
    },
}

impl WindowKind {
    /// The length of the slices that the windows are put together from.
    pub fn slice(self) -> i64 {
        match self {
            WindowKind::Tumble { size, .. } => size,
            WindowKind::Hop { slide, .. } => slide,
            WindowKind::Cumulate { step, .. } => step,
        }
    }

    /// How long the longest window is.
    pub fn size(self) -> i64 {
        match self {
            WindowKind::Tumble { size, .. } | WindowKind::Hop { size, .. } | WindowKind::Cumulate { size, .. } => size,
        }
    }

    /// The start of the slice that `at` lies in. Saturates at the ends of time.
    pub fn slice_start(self, at: i64) -> i64 {
        let (length, offset) = (self.slice(), self.offset());
        let since = at.saturating_sub(offset);
        since.div_euclid(length).saturating_mul(length).saturating_add(offset)
    }

    /// The end of the first (earliest ending) window that holds the slice beginning at `slice_start`.
    pub fn first_end(self, slice_start: i64) -> i64 {
        slice_start.saturating_add(self.slice())
    }

    /// The end of the last window that holds the slice.
    pub fn last_end(self, slice_start: i64) -> i64 {
        match self {
            WindowKind::Tumble { size, .. } => slice_start.saturating_add(size),
            WindowKind::Hop { size, .. } => slice_start.saturating_add(size),
            WindowKind::Cumulate { size, offset, .. } => {
                let since = slice_start.saturating_sub(offset);
                since.div_euclid(size).saturating_mul(size).saturating_add(size).saturating_add(offset)
            }
        }
    }

    /// The start of the window that ends at `end`.
    pub fn start_of(self, end: i64) -> i64 {
        match self {
            WindowKind::Tumble { size, .. } | WindowKind::Hop { size, .. } => end.saturating_sub(size),
            WindowKind::Cumulate { size, offset, .. } => {
                let since = end.saturating_sub(offset).saturating_sub(1);
                since.div_euclid(size).saturating_mul(size).saturating_add(offset)
            }
        }
    }

    /// The shift of the windows against 1970-01-01T00:00:00Z.
    pub fn offset(self) -> i64 {
        match self {
            WindowKind::Tumble { offset, .. }
            | WindowKind::Hop { offset, .. }
            | WindowKind::Cumulate { offset, .. } => offset,
        }
    }
}

/// Which aggregate function. `AVG` keeps sum and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// `COUNT(*)` (no argument) or `COUNT(x)` (rows where x is not null).
    Count,
    /// `SUM(x)`: null when no row had a value.
    Sum,
    /// `MIN(x)`
    Min,
    /// `MAX(x)`
    Max,
    /// `AVG(x)`: of integers it is an integer, as in Flink (division rounds toward zero).
    Avg,
}

/// One aggregate of a window.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// The function.
    pub function: AggregateFunction,
    /// Over the output of the query's last stage (or of the source's computed columns, without stages); `None` for `COUNT(*)`.
    pub argument: Option<Arc<dyn PhysicalExpr>>,
    /// The type of the argument's values as they reach the accumulator: `Int64`, `Float64`, `Decimal128(p, s)`, `Utf8`,
    /// `Timestamp(_, _)`, `Date32` or `Boolean`; the planner has cast smaller integers to `Int64` and `Float32` to `Float64`.
    pub input_type: DataType,
    /// `FILTER (WHERE ...)`, over the same input.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// The type of the result column.
    pub output_type: DataType,
    /// As in SQL, for `explain` and for naming what changed.
    pub text: String,
}

/// `GROUP BY window_start, window_end, keys...` over a windowing table function.
#[derive(Debug, Clone)]
pub struct WindowAggregate {
    /// The window function.
    pub kind: WindowKind,
    /// Index of the time column in the aggregate's input; `Timestamp(Millisecond, _)`.
    pub time_column: usize,
    /// The keys beside the window, over the input.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The aggregates; may be empty (distinct keys per window).
    pub aggregates: Vec<Aggregate>,
    /// `window_start`, `window_end`, `window_time` (all `Timestamp(Millisecond, tz of the time column)`), then the keys, then
    /// the aggregates. `window_time` is `window_end` - 1 ms.
    pub schema: SchemaRef,
    /// The keys in SQL, for `explain`.
    pub key_text: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_know_the_windows_that_hold_them() {
        let hop = WindowKind::Hop { slide: 10, size: 30, offset: 0 };
        assert_eq!((hop.slice_start(25), hop.first_end(20), hop.last_end(20), hop.start_of(50)), (20, 30, 50, 20));
        let cumulate = WindowKind::Cumulate { step: 10, size: 30, offset: 0 };
        assert_eq!((cumulate.slice_start(35), cumulate.first_end(30), cumulate.last_end(30)), (30, 40, 60));
        assert_eq!((cumulate.start_of(40), cumulate.start_of(60), cumulate.start_of(30)), (30, 30, 0));
        let tumble = WindowKind::Tumble { size: 60, offset: 7 };
        assert_eq!((tumble.slice_start(6), tumble.slice_start(7), tumble.last_end(7)), (-53, 7, 67));
    }
}
