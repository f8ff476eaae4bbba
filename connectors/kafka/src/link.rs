//! Real brokers behind the border of `broker`: librdkafka's blocking calls, on threads that may block.
//!
//! It decides nothing: a failure goes back with all that the client knows about it.

use crate::broker::{Broker, Failure, Identity, Link, Mark, Outcome, Records, Step, Trouble, Way};
use crate::client::{check_brokers, create, partitions, questions, topic_metadata};
use crate::context::Context;
use crate::cursor;
use crate::errors::Complaint;
use crate::native::{Consumer, describe_topics};
use crate::options::{Guarantee, SinkOptions};
use crate::transactions::{Ends, PartitionEnds};
use aqueduct_core::{Error, Result};
use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the transaction coordinator may take to take us in: it may have to end another producer's transaction first.
const INIT: Duration = Duration::from_secs(60);
/// How long the offsets of a transaction may take.
const OFFSETS: Duration = Duration::from_secs(30);
/// How long the topic's description may take.
const RIGHTS: Duration = Duration::from_secs(10);

/// The brokers of the options.
pub(crate) struct Brokers {
    table: String,
    options: SinkOptions,
    /// Made at the first question, and anew after one that failed.
    ends: Arc<Mutex<Option<Ends>>>,
}

impl std::fmt::Debug for Brokers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brokers").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Brokers {
    pub(crate) fn new(table: &str, options: &SinkOptions) -> Self {
        Self { table: table.to_owned(), options: options.clone(), ends: Arc::default() }
    }
}

#[async_trait]
impl Broker for Brokers {
    async fn connect(&self, identity: &Identity) -> Result<Box<dyn Link>> {
        let (table, options, identity) = (self.table.clone(), self.options.clone(), identity.clone());
        let clients = blocking(move || Clients::connect(table, options, identity)).await??;
        Ok(Box::new(Threads { clients: Arc::new(Mutex::new(clients)) }))
    }

    async fn unstable(&self) -> Option<u64> {
        let (table, options, ends) = (self.table.clone(), self.options.clone(), Arc::clone(&self.ends));
        let asked = blocking(move || {
            let mut ends = ends.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let client = match ends.take() {
                Some(client) => client,
                None => Ends::connect(&table, &options)?,
            };
            let found = client.read()?;
            *ends = Some(client);
            Ok::<u64, Error>(found.iter().map(PartitionEnds::unstable).sum())
        });
        match asked.await.and_then(|found| found) {
            Ok(unstable) => Some(unstable),
            Err(error) => {
                tracing::debug!(table = self.table, "the topic's last stable offset is not known: {error}");
                None
            }
        }
    }
}

/// Runs each step on a thread that may block.
struct Threads {
    clients: Arc<Mutex<Clients>>,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

impl Threads {
    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Clients) -> T + Send + 'static) -> Result<T> {
        let clients = Arc::clone(&self.clients);
        // A writer whose step panicked is marked broken: it refuses by itself.
        blocking(move || work(&mut clients.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))).await
    }

    async fn try_run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Clients) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        self.run(work).await.map_err(Failure::Told)?
    }
}

#[async_trait]
impl Link for Threads {
    async fn stored(&mut self, patience: Duration) -> Result<Option<Mark>> {
        self.run(move |clients| clients.stored(patience)).await?
    }

    async fn produce(&mut self) -> Result<()> {
        self.run(Clients::produce).await?
    }

    async fn step(&mut self, step: Step) -> Outcome<()> {
        self.try_run(move |clients| clients.step(step)).await
    }

    async fn send(&mut self, records: Records) -> Outcome<()> {
        self.try_run(move |clients| clients.send(&records)).await
    }

    async fn flush(&mut self) -> Outcome<()> {
        self.try_run(|clients| clients.flush()).await
    }

    async fn mark(&mut self, mark: Mark, way: Way) -> Outcome<()> {
        self.try_run(move |clients| clients.mark(&mark, way)).await
    }

    async fn may_write(&mut self) -> Option<bool> {
        self.run(|clients| clients.may_write()).await.ok().flatten()
    }

    async fn close(self: Box<Self>) {
        // Joining the clients' threads takes a moment.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::bug(format!("the Kafka sink's thread ended early: {error}")))
}

/// The native clients. Everything here blocks.
struct Clients {
    table: String,
    options: SinkOptions,
    identity: Identity,
    consumer: Arc<Consumer>,
    /// None before `produce`.
    producer: Option<Producing>,
}

struct Producing {
    producer: ThreadedProducer<Context>,
    metadata: ConsumerGroupMetadata,
}

impl Clients {
    fn connect(table: String, options: SinkOptions, identity: Identity) -> Result<Self> {
        let fixed = [
            ("group.id", identity.group.clone()),
            ("enable.auto.commit", "false".to_owned()),
            ("auto.offset.reset", "error".to_owned()),
            ("isolation.level", "read_committed".to_owned()),
        ];
        let consumer = questions(&options.properties, &table, "cursor", &fixed)?;
        let metadata = topic_metadata(&consumer, &options.properties, &table, &options.topic, crate::client::CONNECT)?;
        partitions(&metadata, &table, &options.topic)?;
        check_brokers(&metadata, &options.properties, &table, &options.topic)?;
        Ok(Self { table, options, identity, consumer, producer: None })
    }

    fn stored(&mut self, patience: Duration) -> Result<Option<Mark>> {
        cursor::read(patience, &self.consumer, &self.table, &self.identity.group, &self.options.topic)
    }

    fn may_write(&mut self) -> Option<bool> {
        let topics = std::slice::from_ref(&self.options.topic);
        describe_topics(&self.consumer, topics, RIGHTS).remove(&self.options.topic)?.may_write
    }

    fn produce(&mut self) -> Result<()> {
        let context = Context::new(format!("{}: producer", self.table), &self.options.properties);
        let fixed = fixed(&self.options, &self.identity);
        let defaults = defaults(&self.table, &self.options, &self.identity);
        let producer = create(&self.options.properties.config(&defaults, &fixed), context, &self.table)?;
        let metadata = self
            .consumer
            .group_metadata()
            .ok_or_else(|| Error::bug(format!("table '{}': a consumer without a group", self.table)))?;
        self.producer = Some(Producing { producer, metadata });
        Ok(())
    }

    fn producing(&self) -> Outcome<&Producing> {
        let missing = || Failure::Told(Error::bug(format!("table '{}': no producer has been made", self.table)));
        self.producer.as_ref().ok_or_else(missing)
    }

    fn step(&mut self, step: Step) -> Outcome<()> {
        let producing = self.producing()?;
        let producer = &producing.producer;
        let outcome = match step {
            Step::Init => producer.init_transactions(INIT),
            Step::Begin => {
                producer.context().forget();
                producer.begin_transaction()
            }
            Step::Commit => producer.commit_transaction(self.options.transaction_timeout),
        };
        outcome.map_err(|error| producing.trouble(error))
    }

    fn send(&mut self, records: &Records) -> Outcome<()> {
        let producing = self.producing()?;
        if self.options.guarantee != Guarantee::ExactlyOnce {
            producing.producer.context().forget();
        }
        let deadline = Instant::now() + self.options.transaction_timeout;
        records.each(|key, value| {
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.options.topic).payload(value);
            if let Some(key) = key {
                record = record.key(key);
            }
            producing.send(record, deadline)
        })
    }

    fn flush(&mut self) -> Outcome<()> {
        let producing = self.producing()?;
        // A little more than the records' own time, after which each of them has an outcome.
        let patience = self.options.message_timeout + Duration::from_secs(5);
        producing.producer.flush(patience).map_err(|error| producing.trouble(error))?;
        match producing.producer.context().undelivered() {
            None => Ok(()),
            Some(complaint) => Err(Failure::from(Trouble {
                own: complaint.clone(),
                fatal: None,
                undelivered: Some(complaint),
                retriable: false,
                source: None,
            })),
        }
    }

    fn mark(&mut self, mark: &Mark, way: Way) -> Outcome<()> {
        let producing = self.producing()?;
        let offsets = cursor::offsets(mark, &self.options.topic).map_err(Failure::Told)?;
        let outcome = match way {
            Way::InTransaction => {
                producing.producer.send_offsets_to_transaction(&offsets, &producing.metadata, OFFSETS)
            }
            Way::Plainly => {
                crate::client::serve(&self.consumer);
                self.consumer.commit(&offsets, CommitMode::Sync)
            }
        };
        outcome.map_err(|error| producing.trouble(error))
    }
}

impl Producing {
    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>, deadline: Instant) -> Outcome<()> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error @ KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    if Instant::now() >= deadline || self.producer.context().undelivered().is_some() {
                        return Err(self.trouble(error));
                    }
                    record = back;
                    // The producer's own thread takes the deliveries in meanwhile.
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err((error, _)) => return Err(self.trouble(error)),
            }
        }
    }

    /// A failed step with what the producer knows besides.
    fn trouble(&self, error: KafkaError) -> Failure {
        let fatal = self.producer.client().fatal_error().map(|(code, text)| Complaint { code, text });
        let undelivered = self.producer.context().undelivered();
        Failure::from(Trouble { fatal, undelivered, ..Trouble::of(error) })
    }
}

/// What the user may change.
fn defaults(table: &str, options: &SinkOptions, identity: &Identity) -> Vec<(&'static str, String)> {
    // Left alone, librdkafka waits nearly the transaction's time-out for an answer on a connection that is dead.
    let answer = Duration::from_secs(60).min(options.transaction_timeout.saturating_sub(Duration::from_millis(100)));
    vec![
        ("socket.timeout.ms", answer.as_millis().max(900).to_string()),
        ("client.id", format!("aqueduct-{}-{table}", identity.job)),
        // As Java's clients place keys.
        ("partitioner", "murmur2_random".into()),
        ("queue.buffering.max.messages", "100000".into()),
        ("queue.buffering.max.kbytes", "32768".into()),
        ("socket.nagle.disable", "true".into()),
        ("socket.keepalive.enable", "true".into()),
        ("reconnect.backoff.max.ms", "3000".into()),
    ]
}

/// What the promise depends on.
fn fixed(options: &SinkOptions, identity: &Identity) -> Vec<(&'static str, String)> {
    let millis = |time: Duration| time.as_millis().to_string();
    let mut fixed = vec![
        ("acks", "all".to_owned()),
        ("enable.idempotence", (options.guarantee != Guarantee::None).to_string()),
        ("message.timeout.ms", millis(options.message_timeout)),
        ("delivery.report.only.error", "true".to_owned()),
    ];
    if options.guarantee == Guarantee::ExactlyOnce {
        fixed.push(("transactional.id", identity.transactional_id.clone()));
        fixed.push(("transaction.timeout.ms", millis(options.transaction_timeout)));
    }
    fixed
}
