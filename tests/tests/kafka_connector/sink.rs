//! The sink: laws, transactions seen from outside, owners that are replaced, brokers that die in the middle.

use super::*;
use aqueduct_core::conformance::sink::{self as laws, Row, SinkHarness, apply, batch, claim, spec};
use aqueduct_core::{Cursor, Epoch, Sink, SinkSpec};
use aqueduct_tests::services::unique;
use async_trait::async_trait;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;

/// A topic of the shared broker, as the laws need it.
struct Harness {
    spec: SinkSpec,
    topic: String,
    keyed: bool,
}

pub(super) fn sink_spec(kafka: &Kafka, topic: &str, more: &[(&str, &str)], keyed: bool) -> SinkSpec {
    let options = with(door(kafka, Listener::Plain, topic), more);
    let borrowed: Vec<(&str, &str)> = options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    // The topic's name as the table's: cursor and transactional id are this test's own.
    spec(topic, &borrowed, keyed)
}

impl Harness {
    fn new(keyed: bool) -> Harness {
        let topic = unique("law");
        Kafka::shared().create_topic(&topic, 3);
        Harness { spec: sink_spec(Kafka::shared(), &topic, &[], keyed), topic, keyed }
    }
}

#[async_trait]
impl SinkHarness for Harness {
    fn sink(&self) -> Box<dyn Sink> {
        KafkaConnector.sink(&self.spec).expect("the options are right")
    }

    fn keyed(&self) -> bool {
        self.keyed
    }

    async fn visible_rows(&self) -> Vec<Row> {
        let (topic, keyed) = (self.topic.clone(), self.keyed);
        tokio::task::spawn_blocking(move || visible(Kafka::shared(), &topic, keyed)).await.expect("reading works")
    }
}

/// What a reader of committed records sees; of a keyed topic, what compaction would leave.
pub(super) fn visible(kafka: &Kafka, topic: &str, keyed: bool) -> Vec<Row> {
    let (mut latest, mut all) = (BTreeMap::new(), Vec::new());
    for record in kafka.read_committed(topic) {
        let value: serde_json::Value =
            serde_json::from_slice(&record.value.expect("no tombstones")).expect("the value is JSON");
        let row = Row {
            id: value["id"].as_str().expect("id is text").into(),
            n: value["n"].as_i64().expect("n is a number"),
        };
        if keyed {
            assert_eq!(record.key.as_deref(), Some(row.id.as_bytes()), "the key is the primary key");
            // A key lives in one partition, whose offsets ascend.
            latest.insert(row.id.clone(), row);
        } else {
            all.push(row);
        }
    }
    if keyed { latest.into_values().collect() } else { all }
}

#[tokio::test(flavor = "multi_thread")]
async fn laws_of_a_keyed_topic() {
    laws::all(async |_| Harness::new(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn laws_of_a_topic_without_keys() {
    laws::all(async |_| Harness::new(false)).await;
}

fn transactional(kafka: &Kafka, id: &str) -> BaseProducer {
    let producer: BaseProducer =
        kafka.client(Listener::Plain).set("transactional.id", id).create().expect("the settings are ours");
    producer.init_transactions(Duration::from_secs(30)).expect("the broker takes transactions");
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_was_never_committed_is_never_seen() {
    let (kafka, topic) = (Kafka::shared(), unique("torn"));
    kafka.create_topic(&topic, 1);
    let spec = sink_spec(kafka, &topic, &[], false);
    let mut sink = KafkaConnector.sink(&spec).unwrap();
    sink.open(&claim(1)).await.unwrap();
    apply(sink.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap();
    sink.close().await.unwrap();

    // A process that dies in the middle of epoch 2 leaves its rows and an open transaction behind.
    let id = format!("conformance-0-{topic}");
    let dead = tokio::task::spawn_blocking(move || transactional(Kafka::shared(), &id)).await.unwrap();
    dead.begin_transaction().unwrap();
    dead.send(BaseRecord::<(), str>::to(&topic).payload(r#"{"id":"torn","n":2}"#)).map_err(|(e, _)| e).unwrap();
    dead.flush(Duration::from_secs(30)).unwrap();

    // The next owner ends it and goes on.
    let mut sink = KafkaConnector.sink(&spec).unwrap();
    assert_eq!(sink.open(&claim(2)).await.unwrap(), Cursor(Epoch(1)));
    apply(sink.as_mut(), &claim(2), 1, 2, vec![batch(&[("b", 2)])]).await.unwrap();
    sink.close().await.unwrap();
    drop(dead);
    let found = tokio::task::spawn_blocking(move || {
        let torn = |records: &[aqueduct_tests::services::kafka::Consumed]| {
            records
                .iter()
                .filter(|record| record.value.as_deref().is_some_and(|value| value.starts_with(br#"{"id":"torn""#)))
                .count()
        };
        let kafka = Kafka::shared();
        (
            torn(&kafka.read_uncommitted(&topic)),
            torn(&kafka.read_committed(&topic)),
            visible(kafka, &topic, false).len(),
        )
    });
    assert_eq!(found.await.unwrap(), (1, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_is_not_an_owner_cannot_push_the_owner_out() {
    let (kafka, topic) = (Kafka::shared(), unique("intruder"));
    kafka.create_topic(&topic, 1);
    let mut sink = KafkaConnector.sink(&sink_spec(kafka, &topic, &[], false)).unwrap();
    sink.open(&claim(4)).await.unwrap();
    let id = format!("conformance-0-{topic}");
    let intruder = tokio::task::spawn_blocking(move || transactional(Kafka::shared(), &id)).await.unwrap();
    let error = apply(sink.as_mut(), &claim(4), 0, 1, vec![batch(&[("a", 1)])]).await.expect_err("the id was taken");
    assert_error(&error, ErrorKind::Retry, &[&topic, "open it again"]);
    assert_eq!(sink.open(&claim(4)).await.unwrap(), Cursor(Epoch::ZERO));
    apply(sink.as_mut(), &claim(4), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap();
    drop(intruder);
    let rows = tokio::task::spawn_blocking(move || visible(Kafka::shared(), &topic, false).len());
    assert_eq!(rows.await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_keeps_its_cursor_and_refuses_an_older_owner() {
    for guarantee in ["at-least-once", "none"] {
        let (kafka, topic) = (Kafka::shared(), unique("plain"));
        kafka.create_topic(&topic, 2);
        let spec = sink_spec(kafka, &topic, &[("sink.delivery-guarantee", guarantee)], true);
        let mut old = KafkaConnector.sink(&spec).unwrap();
        assert_eq!(old.open(&claim(1)).await.unwrap(), Cursor(Epoch::ZERO));
        apply(old.as_mut(), &claim(1), 0, 5, vec![batch(&[("a", 1), ("b", 2)])]).await.unwrap();
        let mut new = KafkaConnector.sink(&spec).unwrap();
        assert_eq!(new.open(&claim(2)).await.unwrap(), Cursor(Epoch(5)));
        let error = apply(old.as_mut(), &claim(1), 5, 6, vec![batch(&[("z", 9)])]).await.expect_err("an older owner");
        assert_error(&error, ErrorKind::Fenced, &["generation 2"]);
        let rows = tokio::task::spawn_blocking(move || visible(Kafka::shared(), &topic, true).len());
        assert_eq!(rows.await.unwrap(), 2);
    }
}
