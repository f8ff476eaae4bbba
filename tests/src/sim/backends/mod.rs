//! Simulated services behind the connectors' own seams: what a sink's logic talks to instead of a real client.
//!
//! They keep what the real services promise, and break what those do not promise, by the dice of the `World`. Each file
//! says at its head what it models and what it does not. Nothing here decides what a sink does next: that is the real
//! sink's own code, above the border.

pub mod drive;
pub mod firestore;
pub mod kafka;
pub mod postgres;

#[cfg(test)]
mod chaos_tests;
#[cfg(test)]
mod death_tests;

/// A cursor as a service stores it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredCursor {
    /// The job.
    pub job: String,
    /// The shard.
    pub shard: i64,
    /// The table's name in the job.
    pub sink: String,
    /// The lineage.
    pub lineage: i64,
    /// The last whole epoch.
    pub epoch: i64,
    /// The generation that wrote it.
    pub generation: i64,
}
