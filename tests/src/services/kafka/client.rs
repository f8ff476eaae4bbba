//! What tests do with a broker: topics, records in, records out. Every call blocks and panics with a reason.

use super::{Kafka, Listener};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Headers, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A record to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its own timestamp, ms since 1970; `None` is now.
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// Without a key, with the present time.
    pub fn value(value: impl Into<Vec<u8>>) -> Record {
        Record { value: Some(value.into()), ..Record::default() }
    }
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Timestamp, ms since 1970.
    pub timestamp_ms: Option<i64>,
    /// Headers, as text.
    pub headers: BTreeMap<String, String>,
}

impl Kafka {
    /// Client settings for a door, with everything that is needed to pass it.
    pub fn client(&self, listener: Listener) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap(listener));
        let path = |path: &std::path::Path| path.display().to_string();
        match listener {
            Listener::Plain | Listener::Proxied => {}
            Listener::Ssl => {
                config.set("security.protocol", "SSL").set("ssl.ca.location", path(&self.tls().ca));
                config
                    .set("ssl.certificate.location", path(&self.tls().cert))
                    .set("ssl.key.location", path(&self.tls().key));
            }
            Listener::SaslSsl => {
                config.set("security.protocol", "SASL_SSL").set("ssl.ca.location", path(&self.tls().ca));
                config.set("sasl.mechanism", "SCRAM-SHA-512").set("sasl.username", self.user());
                config.set("sasl.password", self.password());
            }
        }
        config
    }

    /// A new topic that keeps records of any age.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// A new topic with settings of its own.
    pub fn create_topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made = futures::executor::block_on(self.admin().create_topics([&topic], &options()));
        for result in made.unwrap_or_else(|e| panic!("create topic {name}: {e}")) {
            result.unwrap_or_else(|(_, e)| panic!("create topic {name}: {e}"));
        }
        self.wait_for_partitions(name, partitions);
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, name: &str) {
        let gone = futures::executor::block_on(self.admin().delete_topics(&[name], &options()));
        for result in gone.unwrap_or_else(|e| panic!("delete topic {name}: {e}")) {
            result.unwrap_or_else(|(_, e)| panic!("delete topic {name}: {e}"));
        }
    }

    /// Raises the number of partitions to `total`.
    pub fn add_partitions(&self, name: &str, total: i32) {
        let partitions = NewPartitions::new(name, total as usize);
        let made = futures::executor::block_on(self.admin().create_partitions([&partitions], &options()));
        for result in made.unwrap_or_else(|e| panic!("partitions of {name}: {e}")) {
            result.unwrap_or_else(|(_, e)| panic!("partitions of {name}: {e}"));
        }
        self.wait_for_partitions(name, total);
    }

    /// Deletes the records of a partition that lie before `offset`.
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a plain offset");
        let gone = futures::executor::block_on(self.admin().delete_records(&list, &options()));
        let gone = gone.unwrap_or_else(|e| panic!("delete records of {topic}[{partition}]: {e}"));
        gone.elements()
            .iter()
            .for_each(|part| part.error().unwrap_or_else(|e| panic!("delete records of {topic}: {e}")));
    }

    /// Writes records to a partition, in order, each once; returns when all of them are acknowledged.
    pub fn produce(&self, topic: &str, partition: i32, records: impl IntoIterator<Item = Record>) {
        self.produce_in_batches(topic, partition, 10_000, records);
    }

    /// The same with at most so many records in a batch: a consumer is handed whole batches, so small ones and a small
    /// fetch size make it slow.
    pub fn produce_in_batches(
        &self,
        topic: &str,
        partition: i32,
        batch: u32,
        records: impl IntoIterator<Item = Record>,
    ) {
        let writer = self.writer(batch);
        records.into_iter().for_each(|record| writer.write(topic, partition, record));
        writer.flush();
    }

    /// Writes now and then, on one connection; with at most so many records in a batch.
    pub fn writer(&self, batch: u32) -> Writer {
        let failed = Arc::new(Mutex::new(None));
        let mut config = self.client(Listener::Plain);
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("batch.size", "262144");
        config
            .set("queue.buffering.max.messages", "100000")
            .set("message.max.bytes", "12582912")
            .set("batch.num.messages", batch.to_string());
        let producer =
            config.create_with_context(Deliveries { failed: failed.clone() }).expect("the settings are ours");
        Writer { producer, failed }
    }

    /// Every record of committed transactions (and outside of any), by partition and offset.
    pub fn read_committed(&self, topic: &str) -> Vec<Consumed> {
        self.wait_for_markers(topic);
        self.read(topic, "read_committed")
    }

    /// A commit is answered when it is decided; that it is over, the coordinator tells the partitions afterwards, one by one. Waits
    /// for that, but not for a transaction that somebody has left open.
    fn wait_for_markers(&self, topic: &str) {
        let client = |isolation: &str| -> BaseConsumer {
            self.client(Listener::Plain).set("isolation.level", isolation).create().expect("the settings are ours")
        };
        let (stable, plain) = (client("read_committed"), client("read_uncommitted"));
        let end = |of: &BaseConsumer, partition| of.fetch_watermarks(topic, partition, PATIENCE).map(|ends| ends.1);
        let told = |partition| end(&stable, partition).is_ok_and(|end_of| end(&plain, partition) == Ok(end_of));
        let deadline = Instant::now() + Duration::from_secs(2);
        while !(0..partitions(&plain, topic)).all(told) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every record, those of aborted and open transactions too.
    pub fn read_uncommitted(&self, topic: &str) -> Vec<Consumed> {
        self.read(topic, "read_uncommitted")
    }

    /// First and next offset of a partition.
    pub fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        let consumer: BaseConsumer = self.client(Listener::Plain).create().expect("the settings are ours");
        let begin = Instant::now();
        loop {
            match consumer.fetch_watermarks(topic, partition, PATIENCE) {
                Ok(found) => return found,
                // A broker that has just come back does not lead anything for a moment.
                Err(e) => assert!(begin.elapsed() < PATIENCE, "{topic}[{partition}]: {e}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The offsets that a group has committed, by partition; only those that exist.
    pub fn group_offsets(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let mut config = self.client(Listener::Plain);
        let consumer: BaseConsumer = config.set("group.id", group).create().expect("the settings are ours");
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions(&consumer, topic) {
            list.add_partition(topic, partition);
        }
        let found = consumer.committed_offsets(list, PATIENCE).unwrap_or_else(|e| panic!("offsets of {group}: {e}"));
        let known = found.elements().into_iter().filter_map(|part| Some((part.partition(), part.offset().to_raw()?)));
        known.filter(|(_, offset)| *offset >= 0).collect()
    }

    /// A consumer of every partition from its first record on, and how many partitions there are.
    fn reader(&self, topic: &str, isolation: &str, more: [&str; 2]) -> (BaseConsumer, i32) {
        let mut config = self.client(Listener::Plain);
        config.set("group.id", "aqueduct-tests-reader").set("enable.auto.commit", "false");
        config.set("isolation.level", isolation).set(more[0], more[1]);
        let consumer: BaseConsumer = config.create().expect("the settings are ours");
        let count = partitions(&consumer, topic);
        assert!(count > 0, "topic {topic} does not exist");
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("a plain offset");
        }
        consumer.assign(&list).unwrap_or_else(|e| panic!("read {topic}: {e}"));
        (consumer, count)
    }

    fn read(&self, topic: &str, isolation: &str) -> Vec<Consumed> {
        let (consumer, count) = self.reader(topic, isolation, ["enable.partition.eof", "true"]);
        let mut open: Vec<i32> = (0..count).collect();
        let (mut records, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while !open.is_empty() {
            assert!(Instant::now() < deadline, "read {topic}: partitions {open:?} do not come to their end");
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => records.push(consumed(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|still| *still != partition),
                Some(Err(e)) => panic!("read {topic}: {e}"),
                None => {}
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Records of committed transactions as they come, from the first one on.
    pub fn follow(&self, topic: &str) -> Follower {
        Follower { consumer: self.reader(topic, "read_committed", ["fetch.wait.max.ms", "10"]).0 }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client(Listener::Plain).create().expect("the settings are ours")
    }

    /// The broker answers before all of it knows the topic.
    fn wait_for_partitions(&self, topic: &str, count: i32) {
        let deadline = Instant::now() + PATIENCE;
        while {
            let consumer: BaseConsumer = self.client(Listener::Plain).create().expect("the settings are ours");
            let ready = |partition| consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)).is_ok();
            partitions(&consumer, topic) < count || !(0..count).all(ready)
        } {
            assert!(Instant::now() < deadline, "topic {topic} does not get {count} partitions");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// True when the broker tells its metadata.
pub(super) fn answers(bootstrap: &str) -> bool {
    let mut config = ClientConfig::new();
    let consumer: Result<BaseConsumer, _> = config.set("bootstrap.servers", bootstrap).set("log_level", "0").create();
    let metadata = consumer.and_then(|consumer| consumer.fetch_metadata(None, Duration::from_secs(5)));
    metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> i32 {
    let metadata =
        consumer.fetch_metadata(Some(topic), PATIENCE).unwrap_or_else(|e| panic!("metadata of {topic}: {e}"));
    metadata.topics().iter().find(|known| known.name() == topic).map_or(0, |known| known.partitions().len() as i32)
}

fn consumed(message: &impl Message) -> Consumed {
    let mut headers = BTreeMap::new();
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        headers.insert(header.key.to_owned(), String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned());
    }
    Consumed {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        timestamp_ms: message.timestamp().to_millis(),
        headers,
    }
}

/// Reads a topic that grows.
pub struct Follower {
    consumer: BaseConsumer,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl Follower {
    /// The next record, if one comes within that time.
    pub fn next(&self, within: Duration) -> Option<Consumed> {
        match self.consumer.poll(within)? {
            Ok(message) => Some(consumed(&message)),
            Err(e) => panic!("follow: {e}"),
        }
    }
}

/// Writes records, in order, each once.
pub struct Writer {
    producer: ThreadedProducer<Deliveries>,
    failed: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Writer {
    /// Takes a record; waits while the queue is full.
    pub fn write(&self, topic: &str, partition: i32, record: Record) {
        let mut outgoing: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition);
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        outgoing.timestamp = record.timestamp_ms;
        while let Err((e, again)) = self.producer.send(outgoing) {
            let full = matches!(e, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            assert!(full, "produce to {topic}[{partition}]: {e}");
            std::thread::sleep(Duration::from_millis(2));
            outgoing = again;
        }
    }

    /// Returns when everything is acknowledged.
    pub fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap_or_else(|e| panic!("produce: {e}"));
        let failed = self.failed.lock().expect("nobody panics with it").take();
        assert!(failed.is_none(), "produce: {failed:?}");
    }
}

/// Keeps the first failed delivery.
struct Deliveries {
    failed: Arc<Mutex<Option<String>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((e, _)) = result {
            self.failed.lock().expect("nobody panics with it").get_or_insert_with(|| e.to_string());
        }
    }
}
