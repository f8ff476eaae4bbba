//! The simulation: the whole shard in one thread, in simulated time, with faults by the dice of one seed.
//!
//! The engine's own code runs here, with RocksDB and the SQL planner; what is simulated lies behind its seams: the object
//! store, the source, the services behind the sinks, the clock, and the process that it lives in.

pub mod backends;
pub mod random;
pub mod world;
