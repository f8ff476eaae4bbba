//! The window operator: keys, accumulators, slices, and the folding of batches into them.
//!
//! Everything here is local to one thread and touches neither RocksDB nor a clock. What fires, and when, is told by the
//! coordinator.

mod accumulator;
mod argument;
mod changes;
mod keys;
mod large;
mod layout;
mod operator;
mod panes;
mod rows;
mod slice;
mod sliding;
mod slots;
mod spill;
mod table;

pub(crate) use keys::KeyCodec;
pub(crate) use layout::Layout;
pub(crate) use operator::{Fired, Firing, LateMark, PartKey, Prepared, WindowOperator, overlaps, result_rows};
pub(crate) use panes::Panes;
pub(crate) use slice::{Slice, sum};
pub(crate) use spill::Written;

#[cfg(test)]
mod accumulator_tests;
#[cfg(test)]
mod loading_tests;
#[cfg(test)]
mod operator_tests;
