//! The Kafka sink: the contract of `Sink` over `producer`, and the renewal of a cursor that brokers would forget.

use crate::broker::Broker;
use crate::link::Brokers;
use crate::options::{Guarantee, SinkOptions};
use crate::producer::{Plan, Writer};
use crate::rows::Rows;
use aqueduct_core::{Claimed, CommitPermit, Cursor, Error, Result, SealedEpoch, Sink, SinkSpec};
use async_trait::async_trait;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// Brokers forget the offsets of a silent group, after 7 days by default (24 hours before Kafka 2.0).
const RENEW: Duration = Duration::from_secs(6 * 3600);

/// A table that writes to a topic.
pub(crate) struct KafkaSink {
    plan: Plan,
    broker: Arc<dyn Broker>,
    /// Whether the cursor is renewed from time to time; simulated brokers forget nothing.
    renews: bool,
    open: Option<Open>,
}

struct Open {
    claimed: Claimed,
    /// None once it was closed.
    writer: Arc<Mutex<Option<Writer>>>,
    /// Its end ends the task that renews the cursor.
    _renewing: Option<Sender<()>>,
}

impl KafkaSink {
    pub(crate) fn new(spec: &SinkSpec, options: SinkOptions) -> Result<Self> {
        let broker = Arc::new(Brokers { table: spec.table.clone(), options: options.clone() });
        Ok(Self { renews: true, ..Self::over(spec, options, broker)? })
    }

    /// The same over other brokers than the options'.
    pub(crate) fn over(spec: &SinkSpec, options: SinkOptions, broker: Arc<dyn Broker>) -> Result<Self> {
        let rows = Arc::new(Rows::new(spec, options.key.clone(), options.json)?);
        if options.guarantee != Guarantee::ExactlyOnce {
            tracing::warn!(table = %spec.table, "sink.delivery-guarantee is not exactly-once: a crash can repeat an epoch");
        }
        let plan = Plan { table: spec.table.clone(), options, rows, points: spec.fail_points.clone() };
        Ok(Self { plan, broker, renews: false, open: None })
    }

    /// Gives back the clients of the last opening.
    async fn drop_writer(&mut self) {
        let Some(open) = self.open.take() else { return };
        let writer = open.writer.lock().await.take();
        if let Some(writer) = writer {
            writer.close().await;
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn open(&mut self, claimed: &Claimed) -> Result<Cursor> {
        // After an indefinite result the old producer must be gone before the new one asks what became of it.
        self.drop_writer().await;
        let (writer, cursor) = Writer::open(self.broker.as_ref(), self.plan.clone(), claimed).await?;
        let writer = Arc::new(Mutex::new(Some(writer)));
        let renewing = self.renews.then(|| {
            let (renewing, ended) = channel();
            tokio::spawn(renew(Arc::downgrade(&writer), ended, self.plan.table.clone()));
            renewing
        });
        self.open = Some(Open { claimed: claimed.clone(), writer, _renewing: renewing });
        Ok(cursor)
    }

    async fn apply(&mut self, permit: CommitPermit, epoch: &SealedEpoch) -> Result<Cursor> {
        let table = &self.plan.table;
        let closed = || Error::bug(format!("table '{table}': the Kafka sink is not open"));
        let open = self.open.as_ref().ok_or_else(closed)?;
        if *permit.claimed() != open.claimed {
            return Err(Error::bug(format!(
                "table '{table}': the Kafka sink was opened for another claim than the permit's"
            )));
        }
        let mut writer = open.writer.lock().await;
        writer.as_mut().ok_or_else(closed)?.apply(epoch.after.0, permit.epoch(), &epoch.batches).await?;
        Ok(Cursor(permit.epoch()))
    }

    async fn close(&mut self) -> Result<()> {
        self.drop_writer().await;
        Ok(())
    }
}

/// Writes the cursor again from time to time, until the sink is closed.
async fn renew(writer: Weak<Mutex<Option<Writer>>>, mut ended: Receiver<()>, table: String) {
    while tokio::time::timeout(RENEW, &mut ended).await.is_err() {
        let Some(writer) = writer.upgrade() else { return };
        let mut writer = writer.lock().await;
        let Some(writer) = writer.as_mut() else { return };
        if let Err(error) = writer.renew().await {
            // The next epoch finds the writer broken and has the sink opened again.
            tracing::warn!(table, "the Kafka sink's cursor could not be renewed: {error}");
        }
    }
}
