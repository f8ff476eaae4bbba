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
//! | [`begin`] | begin a lineage that is cut from another one |
//! | [`savepoint`] | take a job's state to another place |
//! | [`inspect()`], [`show`], [`verify`], [`kept`] | look without claiming |
//!
//! It does not know what state files or outbox segments mean, and it decides nothing about when to seal.

mod append;
mod begin;
mod blobs;
mod collect;
mod end;
#[cfg(test)]
mod faults;
mod fence;
mod history;
mod host;
mod ids;
mod inspect;
mod kept;
mod log;
mod own;
mod paths;
mod points;
pub mod protocol;
mod reader;
pub mod record;
pub mod savepoint;
mod store;

pub use begin::{Blobs, Place, begin};
pub use collect::Collected;
pub use host::TokioHost;
pub use ids::{IdSource, SystemIds};
pub use inspect::{
    BlobProblem, ClaimInfo, CommitInfo, CommitView, LineageInfo, OriginInfo, ShardInfo, inspect, show, verify,
};
pub use kept::{Kept, broken, kept, origins, peek};
pub use log::{ShardLog, Taken};
pub use own::Taking;
pub use points::FAIL_POINTS;
pub use reader::{LogStats, ShardReader};
pub use record::{BlobRef, CommitBody, Cut, Origin, OutboxSegment, Owner, QueryState, SplitState, Why};
pub use store::Patience;
