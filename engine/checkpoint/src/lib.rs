//! The checkpoint room: the claim log of a shard, content-named blobs, and the only mint of commit permits.
//!
//! | part | duty |
//! |---|---|
//! | [`protocol`] | pure decisions: facts in, one named decision out; no tokio, no object store, no clock |
//! | `paths` | every path, built in one file |
//! | [`record`] | what is written: records, their version and checksum |
//! | [`TokioHost`] | tasks, threads and waits for production |
//! | [`ShardLog`] | own a shard, commit epochs, collect garbage; [`ShardReader`] is its half for sink tasks |
//! | [`FAIL_POINTS`] | where tests let a process die |
//! | [`inspect()`], [`show`], [`verify`] | look without claiming |
//!
//! It does not know what state files or outbox segments mean, and it decides nothing about when to seal.

mod append;
mod blobs;
mod collect;
#[cfg(test)]
mod faults;
mod fence;
mod history;
mod host;
mod ids;
mod inspect;
mod log;
mod own;
mod paths;
mod points;
pub mod protocol;
mod reader;
pub mod record;
mod store;

pub use collect::Collected;
pub use host::TokioHost;
pub use ids::{IdSource, SystemIds};
pub use inspect::{BlobProblem, ClaimInfo, CommitInfo, CommitView, LineageInfo, ShardInfo, inspect, show, verify};
pub use log::ShardLog;
pub use points::FAIL_POINTS;
pub use reader::{LogStats, ShardReader};
pub use record::{BlobRef, CommitBody, OutboxSegment, QueryState, SplitState};
pub use store::Patience;
