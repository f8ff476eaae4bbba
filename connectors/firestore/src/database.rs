//! The border between what the sink decides and how Firestore is told: a [`Service`] connects, a [`Database`] takes the two
//! calls.
//!
//! Above it stand the fence, the chunks and what an error means; below it stand channels, credentials and deadlines. It is
//! public for simulations only, which run the same sink over a database of their own.

use crate::error::Failure;
use aqueduct_core::Result;
use async_trait::async_trait;
use gcloud_sdk::google::firestore::v1::{CommitResponse, Document, Write};

/// What a call brings, or how it failed.
pub type Outcome<T> = std::result::Result<T, Failure>;

/// Where a sink writes.
#[async_trait]
pub trait Service: Send + Sync + std::fmt::Debug {
    /// A new connection. Its errors say by themselves what is wrong.
    async fn connect(&self) -> Result<Box<dyn Database>>;
}

/// A connection to one database. Nothing is retried below this border: whether a call may be repeated is the fence's
/// business.
#[async_trait]
pub trait Database: Send + Sync + std::fmt::Debug {
    /// A document, or `None` if there is no such document (or database: a commit tells).
    async fn get(&self, name: String) -> Outcome<Option<Document>>;

    /// All writes, or none. A precondition that does not hold is a status of the server and changes nothing; after any
    /// other failure nobody knows whether the writes count.
    async fn commit(&self, writes: Vec<Write>) -> Outcome<CommitResponse>;
}
