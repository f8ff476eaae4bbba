//! The border between what the sink decides and how brokers are told: a [`Broker`] connects, a [`Link`] runs one step at a
//! time.
//!
//! Above it stand the fence, the order of the steps, what is tried again and what an error means; below it stand librdkafka,
//! its threads and its deadlines. It is public for simulations only, which run the same sink over brokers of their own.

use crate::errors::{self, Complaint};
use crate::rows::Rows;
use aqueduct_core::{Error, Result};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::time::Duration;

/// What a step brings, or how it failed. After a failure the link must be closed: its transaction may count or not.
pub type Outcome<T> = std::result::Result<T, Failure>;

/// A failed step.
#[derive(Debug)]
pub enum Failure {
    /// The client's error, or a broker's.
    Client(Box<Trouble>),
    /// What no broker was asked for: it says by itself what is wrong.
    Told(Error),
}

/// What the client knows about a failed step.
#[derive(Debug)]
pub struct Trouble {
    /// The step's own error.
    pub own: Complaint,
    /// What has made the producer useless for good, if anything has.
    pub fatal: Option<Complaint>,
    /// Why the first record since the last beginning was not delivered, if one was not.
    pub undelivered: Option<Complaint>,
    /// The same step may be run again on the same link.
    pub retriable: bool,
    /// The client's error, as the cause to show.
    pub source: Option<KafkaError>,
}

impl Trouble {
    /// An error with nothing around it.
    pub fn of(error: KafkaError) -> Self {
        let own = Complaint { code: errors::code_of(&error), text: errors::text_of(&error) };
        let retriable = matches!(&error, KafkaError::Transaction(native) if native.is_retriable());
        Self { own, fatal: None, undelivered: None, retriable, source: Some(error) }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Client(Box::new(trouble))
    }
}

/// Who a link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The job, for client ids.
    pub job: String,
    /// The private group whose offset is the cursor.
    pub group: String,
    /// The id that one producer at a time may have.
    pub transactional_id: String,
}

/// The cursor as the brokers hold it: an offset of partition 0 of the sink's topic, and its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The offset.
    pub offset: i64,
    /// The text beside it.
    pub metadata: String,
}

/// The steps of a transactional producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Takes the transactional id: from its success on, every older producer of it is refused, and nothing of theirs is
    /// pending.
    Init,
    /// What follows belongs together.
    Begin,
    /// It counts, all of it. After a failure here nobody knows whether it does.
    Commit,
}

/// How the cursor is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As a part of the open transaction.
    InTransaction,
    /// By itself, at once.
    Plainly,
}

/// The records of an epoch, not yet encoded.
#[derive(Debug, Clone)]
pub struct Records {
    pub(crate) rows: Arc<Rows>,
    pub(crate) batches: Vec<RecordBatch>,
}

impl Records {
    /// Calls `visit` with the key and the value of each record, in order, until it fails.
    pub fn each(&self, mut visit: impl FnMut(Option<&[u8]>, &[u8]) -> Outcome<()>) -> Outcome<()> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for batch in &self.batches {
            for row in 0..batch.num_rows() {
                let keyed = self.rows.key(batch, row, &mut key);
                self.rows.value(batch, row, &mut value);
                visit(keyed.then_some(key.as_slice()), &value)?;
            }
        }
        Ok(())
    }
}

/// Where a sink writes.
#[async_trait]
pub trait Broker: Send + Sync + std::fmt::Debug {
    /// Connects, and checks that the topic is there and every broker can be reached.
    async fn connect(&self, identity: &Identity) -> Result<Box<dyn Link>>;

    /// How many records of the topic committed readers cannot see yet; `None` when nobody can tell.
    async fn unstable(&self) -> Option<u64> {
        None
    }
}

/// The clients of one opening of the sink: one that reads the cursor, and one producer.
///
/// # Atomicity
/// Between [`Step::Begin`] and [`Step::Commit`] all or nothing, the cursor included. Dropping the link leaves an open
/// transaction behind, which the next [`Step::Init`] of the same id ends, or the brokers' time-out.
/// # Fence
/// After [`Step::Init`] on another link of the same id, every step of this one fails for good.
#[async_trait]
pub trait Link: Send + std::fmt::Debug {
    /// The cursor, as stable reads see it: while a transaction that holds it is neither committed nor aborted, it waits, at
    /// most for `patience`.
    async fn stored(&mut self, patience: Duration) -> Result<Option<Mark>>;

    /// Makes the producer, which connects on its own time.
    async fn produce(&mut self) -> Result<()>;

    /// Runs a step of the producer.
    async fn step(&mut self, step: Step) -> Outcome<()>;

    /// Hands records to the producer. They may arrive later, and fail later.
    async fn send(&mut self, records: Records) -> Outcome<()>;

    /// Waits until each record has arrived, or one has not.
    async fn flush(&mut self) -> Outcome<()>;

    /// Writes the cursor.
    async fn mark(&mut self, mark: Mark, way: Way) -> Outcome<()>;

    /// Whether this user may write to the topic; `None` when nobody can tell.
    async fn may_write(&mut self) -> Option<bool> {
        None
    }

    /// Gives the clients back.
    async fn close(self: Box<Self>);
}
