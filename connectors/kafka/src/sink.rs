//! The Kafka sink: the async face of `producer`, whose calls block and run on threads that may block.

use crate::options::{Guarantee, SinkOptions};
use crate::producer::Writer;
use crate::rows::Rows;
use aqueduct_core::{Claimed, CommitPermit, Cursor, Error, Result, SealedEpoch, Sink, SinkSpec};
use async_trait::async_trait;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

/// Brokers forget the offsets of a silent group, after 7 days by default (24 hours before Kafka 2.0).
const RENEW: Duration = Duration::from_secs(6 * 3600);

/// A table that writes to a topic.
pub(crate) struct KafkaSink {
    table: String,
    options: SinkOptions,
    rows: Arc<Rows>,
    open: Option<Open>,
}

struct Open {
    claimed: Claimed,
    writer: Arc<Mutex<Writer>>,
    /// Its end ends the thread that renews the cursor.
    _renewing: Sender<()>,
}

impl KafkaSink {
    pub(crate) fn new(spec: &SinkSpec, options: SinkOptions) -> Result<Self> {
        let rows = Arc::new(Rows::new(spec, options.key.clone(), options.json)?);
        if options.guarantee != Guarantee::ExactlyOnce {
            tracing::warn!(table = %spec.table, "sink.delivery-guarantee is not exactly-once: a crash can repeat an epoch");
        }
        Ok(Self { table: spec.table.clone(), options, rows, open: None })
    }

    /// Gives back the clients of the last opening; joining their threads takes a moment.
    async fn drop_writer(&mut self) {
        if let Some(open) = self.open.take() {
            let _ = tokio::task::spawn_blocking(move || drop(open)).await;
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn open(&mut self, claimed: &Claimed) -> Result<Cursor> {
        // After an indefinite result the old producer must be gone before the new one asks what became of it.
        self.drop_writer().await;
        let (table, options, rows, owner) =
            (self.table.clone(), self.options.clone(), Arc::clone(&self.rows), claimed.clone());
        let (writer, cursor) = blocking(move || Writer::open(&table, &options, rows, &owner)).await?;
        let writer = Arc::new(Mutex::new(writer));
        let (renewing, ended) = channel();
        let (weak, table) = (Arc::downgrade(&writer), self.table.clone());
        let spawned = std::thread::Builder::new()
            .name(format!("kafka-cursor-{table}"))
            .spawn(move || renew(&weak, &ended, &table));
        spawned
            .map_err(|error| Error::retry(format!("table '{}': no thread for the Kafka sink: {error}", self.table)))?;
        self.open = Some(Open { claimed: claimed.clone(), writer, _renewing: renewing });
        Ok(cursor)
    }

    async fn apply(&mut self, permit: CommitPermit, epoch: &SealedEpoch) -> Result<Cursor> {
        let open = self
            .open
            .as_ref()
            .ok_or_else(|| Error::bug(format!("table '{}': the Kafka sink is not open", self.table)))?;
        if *permit.claimed() != open.claimed {
            return Err(Error::bug(format!(
                "table '{}': the Kafka sink was opened for another claim than the permit's",
                self.table
            )));
        }
        let (writer, after, number, batches) =
            (Arc::clone(&open.writer), epoch.after.0, permit.epoch(), epoch.batches.clone());
        blocking(move || lock(&writer).apply(after, number, &batches)).await?;
        Ok(Cursor(number))
    }

    async fn close(&mut self) -> Result<()> {
        self.drop_writer().await;
        Ok(())
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::bug(format!("the Kafka sink's thread ended early: {error}"))))
}

fn lock(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    // A writer that panicked is marked broken: it refuses by itself.
    writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Writes the cursor again from time to time, until the sink is closed.
fn renew(writer: &Weak<Mutex<Writer>>, ended: &Receiver<()>, table: &str) {
    while ended.recv_timeout(RENEW) == Err(RecvTimeoutError::Timeout) {
        let Some(writer) = writer.upgrade() else { return };
        let renewed = lock(&writer).renew();
        if let Err(error) = renewed {
            // The next epoch finds the writer broken and has the sink opened again.
            tracing::warn!(table, "the Kafka sink's cursor could not be renewed: {error}");
        }
    }
}
