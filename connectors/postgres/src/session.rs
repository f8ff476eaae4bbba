//! The border between what the sink decides and how a server is told: [`Database`] makes sessions, a [`Session`] runs one
//! step at a time.
//!
//! Above it stand the claim, the fence, the order of the steps and what an error means; below it stand SQL, the wire and
//! the server. It is public for simulations only, which run the same sink over a database of their own.

use crate::error::Failure;
use aqueduct_core::Result;
use arrow::array::ArrayRef;
use async_trait::async_trait;

/// What a step brings, or how it failed. After a failure the session must be dropped.
pub type Outcome<T> = std::result::Result<T, Failure>;

/// One row of the cursor table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The lineage whose row it is.
    pub lineage: i64,
    /// The last epoch of that lineage that was applied.
    pub epoch: i64,
    /// The highest generation that has claimed the row.
    pub generation: i64,
}

/// Whose row it is, and for whom it is asked, as the table's types have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The job.
    pub job: String,
    /// The claim's lineage.
    pub lineage: i64,
    /// The shard.
    pub shard: i64,
    /// The table's name in the job.
    pub sink: String,
    /// The claim's generation; no part of the row's identity.
    pub generation: i64,
}

/// A condition on a cursor row: without it, nothing is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// The row stands at exactly this epoch.
    At(i64),
    /// Nobody above this generation has claimed the row.
    UpTo(i64),
}

/// A change of one cursor row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which row of the key's job, shard and sink.
    pub lineage: i64,
    /// The new epoch, where it changes.
    pub epoch: Option<i64>,
    /// The new generation.
    pub generation: i64,
    /// All of them must hold.
    pub only: Vec<Only>,
}

/// The boundaries of a transaction (`READ COMMITTED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The steps that follow belong together.
    Begin,
    /// They count, all of them. After a failure here nobody knows whether they do.
    Commit,
    /// They are undone.
    Rollback,
}

/// The tables behind a session, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Where rows go: `"schema"."table"`.
    pub target: String,
    /// `"schema"."aqueduct_cursor"`.
    pub cursor: String,
}

/// Where a sink writes.
#[async_trait]
pub trait Database: Send + Sync + std::fmt::Debug {
    /// A new session. `job` is shown to whoever looks at the server's sessions.
    async fn connect(&self, job: &str) -> Outcome<Box<dyn Session>>;
}

/// One session, owned by the sink and by nobody else.
///
/// # Atomicity
/// Between [`Boundary::Begin`] and [`Boundary::Commit`] all or nothing. Dropping the session ends an open transaction
/// without effect, as soon as the server notices.
/// # Locks
/// [`Session::lock_entries`] and [`Session::update`] lock the rows that they return or change until the transaction ends,
/// and wait for others who hold them, up to the session's `lock_timeout`. A session that stays silent inside a
/// transaction for `idle_in_transaction_session_timeout` is ended by the server.
#[async_trait]
pub trait Session: Send + Sync + std::fmt::Debug {
    /// Finds (or creates) and checks the target and the cursor table. The first call on a session.
    async fn prepare(&mut self) -> Result<Names>;

    /// Begins or ends a transaction.
    async fn transaction(&mut self, boundary: Boundary) -> Outcome<()>;

    /// Inside a transaction: makes sure that the key's row is there (epoch 0, generation 0), and locks and returns the rows
    /// of all lineages of its job, shard and sink, ascending. Two callers never run it side by side for the same sink.
    async fn lock_entries(&mut self, key: &Key) -> Outcome<Vec<Entry>>;

    /// The key's own row as it was last committed.
    async fn entry(&mut self, key: &Key) -> Outcome<Option<Entry>>;

    /// The rows of all lineages of a job's shard and sink as they were last committed; none where the cursor table does not
    /// exist. Creates nothing, and works before `prepare`.
    async fn entries(&mut self, _job: &str, _shard: i64) -> Outcome<Vec<Entry>> {
        Ok(Vec::new())
    }

    /// Checks the target and the cursor table as [`Session::prepare`] does, and creates nothing: what is missing and would be
    /// created may be created. Works before `prepare`.
    async fn look(&mut self) -> Result<()> {
        Ok(())
    }

    /// Inside a transaction: changes a row of the key's job, shard and sink if it is there and every condition holds, and
    /// says whether it did.
    async fn update(&mut self, key: &Key, change: &Change) -> Outcome<bool>;

    /// Inside a transaction: writes rows, given as the columns of the job's table. With a primary key they replace rows of
    /// the same key; no key comes twice in one call.
    async fn insert(&mut self, columns: &[ArrayRef]) -> Outcome<()>;

    /// Says goodbye, which no server needs.
    async fn close(self: Box<Self>);
}
