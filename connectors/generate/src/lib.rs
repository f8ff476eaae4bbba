//! Two sources that need no service: `datagen` makes records up, `replay` reads a recorded topic from files.
//!
//! Both bring JSON bytes through the decoder that Kafka's records take, with offsets, partitions and dead letters, so that a
//! job behaves as it would on the real topic. What they bring is a function of options and files only: any offset can be
//! opened again. Neither reads a wall clock; `rows-per-second` paces by elapsed time.

mod datagen;
mod pace;
pub mod recording;
pub mod records;
mod replay;
mod table;

pub use datagen::{ColumnRule, DatagenConfig, DatagenConnector, Template, Values};
pub use replay::ReplayConnector;
