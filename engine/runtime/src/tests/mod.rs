//! The whole runtime on small parts of the tests' own: rows in memory, a sink with a real fence, a store in memory.
//!
//! Services are not needed here; the same promises over real ones are checked in the workspace's `tests`.

mod loading;
pub(crate) mod parts;
mod whole;
