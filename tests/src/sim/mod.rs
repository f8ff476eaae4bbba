//! The simulation: the whole shard in one thread, in simulated time, with faults by the dice of one seed.
//!
//! The engine's own code runs here, with RocksDB and the SQL planner; what is simulated lies behind its seams: the object
//! store, the source, the services behind the sinks, the clock, and the process that it lives in.

pub mod backends;
pub mod campaign;
pub mod input;
pub mod job;
pub mod judge;
pub mod oracle;
pub mod random;
pub mod run;
pub mod schedule;
pub mod services;
pub mod source;
pub mod store;
pub mod table;
pub mod verdict;
pub mod world;

/// Every bug that can be planted.
pub fn bugs() -> Vec<&'static str> {
    [store::BUGS, backends::postgres::BUGS, backends::firestore::BUGS, backends::kafka::BUGS].concat()
}
