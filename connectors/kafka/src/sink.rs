//! The Kafka sink: the contract of `Sink` over `producer`, and the renewal of a cursor that brokers would forget.

use crate::broker::{Broker, Identity};
use crate::cursor;
use crate::link::Brokers;
use crate::options::{Guarantee, SinkOptions};
use crate::producer::{Plan, Writer, standing};
use crate::rows::Rows;
use crate::transactions;
use aqueduct_core::{
    Claimed, CommitPermit, Cursor, Error, ErrorKind, Hurdle, JobName, Line, Repeated, Result, SealedEpoch, ShardId,
    Sink, SinkSpec, Survey,
};
use async_trait::async_trait;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// Brokers forget the offsets of a silent group, after 7 days by default (24 hours before Kafka 2.0).
const RENEW: Duration = Duration::from_secs(6 * 3600);
/// How often the topic's last stable offset is compared with its end.
const WATCH: Duration = Duration::from_secs(10);
/// How long a survey waits for a cursor that a transaction holds: a dead process's ends after its time-out.
const SURVEY: Duration = Duration::from_secs(70);
/// How long a look waits for it.
const LOOK: Duration = Duration::from_secs(5);

/// A table that writes to a topic.
pub(crate) struct KafkaSink {
    plan: Plan,
    broker: Arc<dyn Broker>,
    /// Whether the cursor is renewed from time to time; simulated brokers forget nothing.
    renews: bool,
    /// Records that committed readers of the topic cannot see yet; the greatest number is unknown.
    unstable: Arc<AtomicU64>,
    open: Option<Open>,
}

struct Open {
    claimed: Claimed,
    /// None once it was closed.
    writer: Arc<Mutex<Option<Writer>>>,
    /// Its end ends the task that renews the cursor.
    _renewing: Option<Sender<()>>,
    /// Its end ends the task that watches the topic.
    _watching: Option<Sender<()>>,
}

impl KafkaSink {
    pub(crate) fn new(spec: &SinkSpec, options: SinkOptions) -> Result<Self> {
        let broker = Arc::new(Brokers::new(&spec.table, &options));
        Ok(Self { renews: true, ..Self::over(spec, options, broker)? })
    }

    /// The same over other brokers than the options'.
    pub(crate) fn over(spec: &SinkSpec, options: SinkOptions, broker: Arc<dyn Broker>) -> Result<Self> {
        let rows = Arc::new(Rows::new(spec, options.key.clone(), options.json)?);
        if options.guarantee != Guarantee::ExactlyOnce {
            tracing::warn!(table = %spec.table, "sink.delivery-guarantee is not exactly-once: a crash can repeat an epoch");
        }
        let plan =
            Plan { table: spec.table.clone(), options, rows, points: spec.fail_points.clone(), line: Line::default() };
        Ok(Self { plan, broker, renews: false, unstable: Arc::new(AtomicU64::new(u64::MAX)), open: None })
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
        let watching = self.renews.then(|| {
            let (watching, ended) = channel();
            tokio::spawn(watch(Arc::clone(&self.broker), Arc::clone(&self.unstable), ended));
            watching
        });
        self.open = Some(Open { claimed: claimed.clone(), writer, _renewing: renewing, _watching: watching });
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

    fn follow(&mut self, line: &Line) {
        self.plan.line = line.clone();
    }

    async fn settle(&mut self, job: &JobName, shard: ShardId) -> Result<()> {
        Writer::end_older(self.broker.as_ref(), &self.plan, job, shard).await
    }

    async fn survey(&mut self, job: &JobName, shard: ShardId) -> Result<Survey> {
        let group = cursor::group(job, shard, &self.plan.table);
        let identity = Identity { job: job.as_str().to_owned(), group, transactional_id: String::new() };
        let found = standing(self.broker.as_ref(), &identity, &self.plan.table, job, SURVEY).await?;
        Ok(Survey {
            standings: found.into_iter().collect(),
            repeated: Repeated::Twice,
            words: "rows are appended to the topic a second time".to_owned(),
        })
    }

    async fn look(&mut self, job: &JobName, shard: ShardId) -> Result<Vec<String>> {
        let Plan { table, options, .. } = &self.plan;
        let group = cursor::group(job, shard, table);
        let id = transactions::transactional_id(options, job, shard, table);
        let transactional_id = id.clone().unwrap_or_default();
        let identity = Identity { job: job.as_str().to_owned(), group: group.clone(), transactional_id };
        let mut link = self.broker.connect(&identity).await?;
        let (mark, may_write) = (link.stored(LOOK).await, link.may_write().await);
        link.close().await;
        let topic = &options.topic;
        let mut unknown = Vec::new();
        match mark {
            Ok(_) => {}
            // The topic has just answered.
            Err(error) if error.kind() == ErrorKind::Retry => {
                unknown.push(format!("the cursor in the group '{group}', which a transaction holds now"));
            }
            Err(error) => return Err(error),
        }
        match may_write {
            Some(true) => {}
            Some(false) => {
                return Err(Error::config(format!(
                    "table '{table}': this user may not write to topic '{topic}': grant WRITE and DESCRIBE on the topic to it"
                ))
                .at(Hurdle::Permit));
            }
            None => unknown.push(format!("the right to WRITE to topic '{topic}', which the broker does not tell")),
        }
        unknown.extend(id.map(|id| format!("the rights to WRITE and DESCRIBE on the transactional id '{id}'")));
        unknown.push(format!("the right to READ on the group '{group}'"));
        Ok(unknown)
    }

    fn unstable_records(&self) -> Option<Arc<AtomicU64>> {
        Some(Arc::clone(&self.unstable))
    }
}

/// Measures from time to time how much of the topic committed readers cannot see, until the sink is closed.
async fn watch(broker: Arc<dyn Broker>, unstable: Arc<AtomicU64>, mut ended: Receiver<()>) {
    while tokio::time::timeout(WATCH, &mut ended).await.is_err() {
        unstable.store(broker.unstable().await.unwrap_or(u64::MAX), Ordering::Relaxed);
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
