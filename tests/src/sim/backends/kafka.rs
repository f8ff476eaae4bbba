//! A simulated Kafka behind the sink's own border: what a transactional producer of it meets, faults included.
//!
//! Modelled: transactional ids with producer epochs and fencing, transactions that time out, the time between a decision
//! and its markers, readers of committed records, transactional offsets of a group and stable reads of them, sequence
//! numbers, late and repeated requests, lost replies, moving coordinators, outages. A topic is one log, so transactions
//! are not torn between partitions. Not modelled: replication and unclean elections, retention, a full queue in the
//! client, group membership, wire errors that the client library works off by itself.

mod brokers;

use super::StoredCursor;
use crate::sim::world::World;
use aqueduct_core::{Error, Result, Sink, SinkSpec};
use aqueduct_kafka::simulation::{
    Broker, Complaint, Failure, Identity, Link, Mark, Outcome, Records, Step, Trouble, Way, sink as sink_over,
};
use async_trait::async_trait;
pub use brokers::Pair;
use brokers::{Brokers, Producer};
use rdkafka::error::RDKafkaErrorCode as Code;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Bugs that it shows on purpose.
pub const BUGS: &[&str] = &["kafka.unstable-offsets", "kafka.epoch-not-raised", "kafka.cursor-outside-transaction"];

/// As the real client's.
const INIT: Duration = Duration::from_secs(60);
/// As the real client's.
const OFFSETS: Duration = Duration::from_secs(30);
/// Between two tries of the client library.
const BACKOFF: Duration = Duration::from_millis(100);

/// A cluster; it outlives the processes that talk to it. Clones are the same one.
#[derive(Clone)]
pub struct SimKafka(Brokers);

impl std::fmt::Debug for SimKafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimKafka")
    }
}

impl SimKafka {
    /// An empty cluster; topics are there when they are asked for.
    pub fn new(world: World) -> Self {
        Self(Brokers::new(world))
    }

    /// The real sink over this cluster; `spec.options` are read as ever, and not connected to.
    pub fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        sink_over(spec, self.broker(spec)?)
    }

    /// What the sink of `spec` would connect by.
    pub fn broker(&self, spec: &SinkSpec) -> Result<Arc<dyn Broker>> {
        let millis = |key: &str, default: u64| spec.options.number(key, default, "milliseconds");
        let transaction = millis("properties.transaction.timeout.ms", 300_000)?;
        let message = millis("properties.message.timeout.ms", 60_000)?.min(transaction);
        let door = Door {
            brokers: self.0.clone(),
            table: spec.table.clone(),
            topic: spec.options.require("topic")?.to_owned(),
            transaction: Duration::from_millis(transaction),
            message: Duration::from_millis(message),
        };
        Ok(Arc::new(door))
    }

    /// What a reader of committed records sees, in order: nothing beyond the first open transaction.
    pub fn committed(&self, topic: &str) -> Vec<Pair> {
        self.0.committed(topic)
    }

    /// How many records ever arrived, aborted ones included.
    pub fn written(&self, topic: &str) -> usize {
        self.0.written(topic)
    }

    /// The cursors of all sinks: what transactions have brought so far.
    pub fn cursors(&self) -> Vec<StoredCursor> {
        self.0.groups().iter().filter_map(|(group, mark)| cursor(group, mark)).collect()
    }
}

/// What a sink connects by.
#[derive(Clone)]
struct Door {
    brokers: Brokers,
    table: String,
    topic: String,
    transaction: Duration,
    message: Duration,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("simulated Kafka")
    }
}

#[async_trait]
impl Broker for Door {
    async fn connect(&self, identity: &Identity) -> Result<Box<dyn Link>> {
        let world = &self.brokers.world;
        world.pause("kafka.connect").await;
        if world.outage("kafka.down") {
            return Err(Error::retry(format!("table '{}': cannot connect to the simulated Kafka", self.table)));
        }
        let link = Client {
            door: self.clone(),
            identity: identity.clone(),
            producer: None,
            queue: VecDeque::new(),
            sequence: 0,
            fatal: None,
        };
        Ok(Box::new(link))
    }
}

/// The client's end: what librdkafka would hold.
struct Client {
    door: Door,
    identity: Identity,
    producer: Option<Producer>,
    /// Taken from the sink, not yet with the brokers.
    queue: VecDeque<Pair>,
    /// Of the next record that is sent, in the producer's epoch.
    sequence: u64,
    /// Nothing works any more.
    fatal: Option<Complaint>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "simulated client of {}", self.identity.transactional_id)
    }
}

impl Client {
    fn world(&self) -> &World {
        &self.door.brokers.world
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.world().now_ms())
    }

    /// True when this request does not get through, or finds nobody in charge; the client tries again.
    fn astray(&self) -> bool {
        self.world().outage("kafka.down") || self.world().fault("kafka.coordinator-moves")
    }

    fn producer(&self) -> Outcome<Producer> {
        let missing = || Failure::Told(Error::bug("no producer has been made"));
        self.producer.clone().ok_or_else(missing)
    }

    /// An answer that the client does not try again.
    fn trouble(&mut self, code: Code) -> Failure {
        let fenced = matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch);
        let code = if fenced { Code::Fenced } else { code };
        let own = Complaint { code, text: code.to_string() };
        if fenced {
            self.fatal = Some(own.clone());
        }
        self.failed(own, false)
    }

    fn failed(&self, own: Complaint, retriable: bool) -> Failure {
        Trouble { own, fatal: self.fatal.clone(), undelivered: None, retriable, source: None }.into()
    }

    fn silent(&self, what: &str) -> Failure {
        self.failed(Complaint { code: Code::OperationTimedOut, text: format!("{what} timed out") }, true)
    }

    /// Repeats a request while coordinators move and transactions end, as the client library does.
    async fn persist<T>(
        &mut self,
        point: &'static str,
        within: Duration,
        mut request: impl FnMut(&mut Self) -> std::result::Result<T, Code> + Send,
    ) -> Outcome<T> {
        let deadline = self.now() + within;
        loop {
            self.world().pause(point).await;
            if !self.astray() {
                let reply = request(self);
                let lost = self.world().fault("kafka.reply-lost");
                self.world().pause(point).await;
                match reply {
                    Ok(value) if !lost => return Ok(value),
                    // Asked again: the brokers know it already.
                    Ok(_) | Err(Code::ConcurrentTransactions) => {}
                    Err(code) => return Err(self.trouble(code)),
                }
            }
            if self.now() >= deadline {
                return Err(self.silent(point));
            }
            self.world().sleep(BACKOFF).await;
        }
    }

    /// Hands queued records to the brokers: all of them, or as far as `most`.
    async fn deliver(&mut self, most: usize) -> Outcome<()> {
        let Some(producer) = self.producer.clone() else { return self.deliver_plainly().await };
        let mut left = most.min(self.queue.len());
        while left > 0 {
            let take = 1 + self.world().draw(left.min(500) as u64) as usize;
            let batch: Vec<Pair> = self.queue.iter().take(take.min(left)).cloned().collect();
            let (topic, timeout) = (self.door.topic.clone(), self.door.transaction);
            let (owner, known) = (producer.clone(), topic.clone());
            self.persist("kafka.add-partition", self.door.message, move |client| {
                client.door.brokers.add(&owner, timeout, Some(&known), None)
            })
            .await?;
            if self.world().fault("kafka.produce-late") {
                // A second copy on another connection, which arrives when it likes: never twice, and never in another epoch.
                let (owner, topic, copy, sequence) = (producer.clone(), topic.clone(), batch.clone(), self.sequence);
                let delay = Duration::from_millis(self.world().draw(60_000));
                self.door.brokers.later(delay, move |brokers| {
                    let _ = brokers.produce(&owner, &topic, sequence, &copy);
                });
            }
            let (owner, sequence, sent) = (producer.clone(), self.sequence, batch.len());
            let arrived = self
                .persist("kafka.produce", self.door.message, move |client| {
                    client.door.brokers.produce(&owner, &topic, sequence, &batch)
                })
                .await;
            if let Err(failure) = arrived {
                return Err(self.undelivered(failure));
            }
            self.sequence += sent as u64;
            self.queue.drain(..sent);
            left -= sent;
        }
        Ok(())
    }

    async fn deliver_plainly(&mut self) -> Outcome<()> {
        let pairs: Vec<Pair> = self.queue.drain(..).collect();
        let topic = self.door.topic.clone();
        self.persist("kafka.produce", self.door.message, move |client| {
            client.door.brokers.append_plain(&topic, &pairs);
            Ok(())
        })
        .await
    }

    /// As the client tells it: the record's own failure beside the step's.
    fn undelivered(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Client(trouble) if trouble.fatal.is_none() => {
                let complaint = Complaint { code: Code::MessageTimedOut, text: "Local: Message timed out".to_owned() };
                Failure::from(Trouble { undelivered: Some(complaint), ..*trouble })
            }
            other => other,
        }
    }

    async fn init(&mut self) -> Outcome<()> {
        let id = self.identity.transactional_id.clone();
        let producer = self.persist("kafka.init", INIT, move |client| client.door.brokers.init(&id)).await?;
        self.producer = Some(producer);
        self.sequence = 0;
        Ok(())
    }

    async fn commit(&mut self) -> Outcome<()> {
        self.deliver(usize::MAX).await?;
        let producer = self.producer()?;
        if self.world().fault("kafka.end-late") {
            // Sent, and under way for long: the brokers judge it when it arrives.
            let (delay, owner) = (Duration::from_millis(self.world().draw(90_000)), producer);
            self.door.brokers.later(delay, move |brokers| {
                let _ = brokers.end(&owner);
            });
            self.world().sleep(Duration::from_millis(self.world().draw(90_000))).await;
            return Err(self.silent("EndTxn"));
        }
        if self.world().fault("kafka.end-unknown") {
            if self.world().chance(500) {
                let _ = self.door.brokers.end(&producer);
            }
            return Err(self.silent("EndTxn"));
        }
        let within = self.door.transaction;
        self.persist("kafka.end", within, move |client| client.door.brokers.end(&producer)).await
    }
}

#[async_trait]
impl Link for Client {
    async fn stored(&mut self, patience: Duration) -> Result<Option<Mark>> {
        let deadline = self.now() + patience;
        loop {
            self.world().pause("kafka.offset-fetch").await;
            let answer = if self.astray() { None } else { self.door.brokers.offset(&self.identity.group).ok() };
            if let Some(mark) = answer {
                self.world().pause("kafka.offset-fetch").await;
                return Ok(mark);
            }
            if self.now() >= deadline {
                let (table, group) = (&self.door.table, &self.identity.group);
                return Err(Error::retry(format!(
                    "table '{table}': the sink's cursor in group '{group}' cannot be read: it is not stable"
                )));
            }
            self.world().sleep(BACKOFF).await;
        }
    }

    async fn produce(&mut self) -> Result<()> {
        Ok(())
    }

    async fn step(&mut self, step: Step) -> Outcome<()> {
        if let Some(fatal) = self.fatal.clone() {
            return Err(self.failed(fatal, false));
        }
        match step {
            Step::Init => self.init().await,
            // The brokers hear of it with the first record or offset.
            Step::Begin => self.producer().map(|_| ()),
            Step::Commit => self.commit().await,
        }
    }

    async fn send(&mut self, records: Records) -> Outcome<()> {
        let queue = &mut self.queue;
        records.each(|key, value| {
            queue.push_back((key.map(<[u8]>::to_vec), value.to_vec()));
            Ok(())
        })?;
        // Some go out at once, the rest with the commit.
        let first = self.world().draw(self.queue.len() as u64 + 1) as usize;
        self.deliver(first).await
    }

    async fn flush(&mut self) -> Outcome<()> {
        self.deliver(usize::MAX).await
    }

    async fn mark(&mut self, mark: Mark, way: Way) -> Outcome<()> {
        let group = self.identity.group.clone();
        if way == Way::Plainly {
            return self
                .persist("kafka.offset-commit", OFFSETS, move |client| {
                    client.door.brokers.commit_offset(&group, mark.clone());
                    Ok(())
                })
                .await;
        }
        if self.world().fault("kafka.offsets-retriable") {
            let text = "Broker: Coordinator not available".to_owned();
            return Err(self.failed(Complaint { code: Code::CoordinatorNotAvailable, text }, true));
        }
        let (producer, timeout) = (self.producer()?, self.door.transaction);
        self.persist("kafka.add-offsets", OFFSETS, move |client| {
            client.door.brokers.add(&producer, timeout, None, Some((&group, &mark)))
        })
        .await
    }

    async fn close(self: Box<Self>) {}
}

/// Lineage and generation of a cursor's text, `L<lineage>;g<generation>`.
fn owner(metadata: &str) -> Option<(i64, i64)> {
    let (lineage, generation) = metadata.strip_prefix('L')?.split_once(";g")?;
    Some((lineage.parse().ok()?, generation.parse().ok()?))
}

/// The cursor that a group `aqueduct.<job>.<shard>.<table>` holds.
fn cursor(group: &str, mark: &Mark) -> Option<StoredCursor> {
    let mut parts = group.strip_prefix("aqueduct.")?.splitn(3, '.');
    let (job, shard, sink) = (parts.next()?, parts.next()?, parts.next()?);
    let (lineage, generation) = owner(&mark.metadata)?;
    Some(StoredCursor {
        job: job.to_owned(),
        shard: shard.parse().ok()?,
        sink: sink.to_owned(),
        lineage,
        epoch: mark.offset,
        generation,
    })
}
