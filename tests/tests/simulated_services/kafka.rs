//! Kafka: transactions, the fence of producer epochs, transactional offsets.

use super::{assert_told, calm};
use aqueduct_core::SinkSpec;
use aqueduct_core::conformance::sink::{batch, spec};
use aqueduct_kafka::simulation::{Broker, Failure, Identity, Link, Mark, Outcome, Step, Way, brokers, records};
use aqueduct_tests::services::{Kafka, Listener, unique};
use aqueduct_tests::sim::backends::drive::drive;
use aqueduct_tests::sim::backends::kafka::SimKafka;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

fn told(what: &str, outcome: Outcome<()>) -> String {
    match outcome {
        Ok(()) => format!("{what} done"),
        Err(Failure::Client(trouble)) => format!("{what} {:?}", trouble.fatal.unwrap_or(trouble.own).code),
        Err(Failure::Told(error)) => format!("{what} {error}"),
    }
}

async fn stored(link: &mut dyn Link) -> String {
    match link.stored(PATIENCE).await {
        Ok(Some(Mark { offset, metadata })) => format!("cursor {offset} {metadata}"),
        Ok(None) => "no cursor".to_owned(),
        Err(_) => "cursor is not stable".to_owned(),
    }
}

fn mark(offset: i64) -> Mark {
    Mark { offset, metadata: format!("L1;g{offset}") }
}

async fn script(broker: &dyn Broker, spec: &SinkSpec, name: &str) -> Vec<String> {
    let identity =
        Identity { job: "model".into(), group: format!("group-{name}"), transactional_id: format!("id-{name}") };
    let rows = |id: &str| records(spec, vec![batch(&[(id, 1)])]).unwrap();
    let mut log = Vec::new();
    let mut old = broker.connect(&identity).await.unwrap();
    log.push(stored(old.as_mut()).await);
    old.produce().await.unwrap();
    log.push(told("init", old.step(Step::Init).await));
    log.push(told("begin", old.step(Step::Begin).await));
    log.push(told("send", old.send(rows("never")).await));
    log.push(told("mark", old.mark(mark(1), Way::InTransaction).await));
    // The offset waits for the transaction's end, whatever that will be.
    let mut new = broker.connect(&identity).await.unwrap();
    log.push(stored(new.as_mut()).await);
    new.produce().await.unwrap();
    log.push(told("init", new.step(Step::Init).await));
    log.push(stored(new.as_mut()).await);
    log.push(told("old commit", old.step(Step::Commit).await));
    log.push(told("begin", new.step(Step::Begin).await));
    log.push(told("send", new.send(rows("once")).await));
    log.push(told("mark", new.mark(mark(2), Way::InTransaction).await));
    log.push(told("commit", new.step(Step::Commit).await));
    log.push(stored(new.as_mut()).await);
    // A transaction that carries the cursor alone.
    log.push(told("begin", new.step(Step::Begin).await));
    log.push(told("mark", new.mark(mark(3), Way::InTransaction).await));
    log.push(told("commit", new.step(Step::Commit).await));
    log.push(stored(new.as_mut()).await);
    new.close().await;
    old.close().await;
    log
}

const SCRIPT: &[&str] = &[
    "no cursor",
    "init done",
    "begin done",
    "send done",
    "mark done",
    "cursor is not stable",
    "init done",
    "no cursor",
    "old commit Fenced",
    "begin done",
    "send done",
    "mark done",
    "commit done",
    "cursor 2 L1;g2",
    "begin done",
    "mark done",
    "commit done",
    "cursor 3 L1;g3",
];

#[test]
fn the_simulated_brokers_answer_as_written() {
    let world = calm(1);
    let kafka = SimKafka::new(world.clone());
    let spec =
        spec("t", &[("topic", "t"), ("format", "json"), ("properties.bootstrap.servers", "simulated:9092")], true);
    let broker = kafka.broker(&spec).unwrap();
    assert_told("simulated", &drive(&world, script(broker.as_ref(), &spec, "x")), SCRIPT);
    let values: Vec<String> =
        kafka.committed("t").iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
    assert_eq!(values, [r#"{"id":"once","n":1}"#]);
    assert_eq!(world.broken(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_broker_answers_as_written() {
    let (kafka, topic) = (Kafka::shared(), unique("model"));
    kafka.create_topic(&topic, 1);
    let servers = kafka.bootstrap(Listener::Plain);
    let spec = spec("t", &[("topic", &topic), ("format", "json"), ("properties.bootstrap.servers", &servers)], true);
    let broker = brokers(&spec).unwrap();
    assert_told("real", &script(broker.as_ref(), &spec, &topic).await, SCRIPT);
    let read = tokio::task::spawn_blocking(move || Kafka::shared().read_committed(&topic)).await.unwrap();
    let values: Vec<Option<Vec<u8>>> = read.into_iter().map(|record| record.value).collect();
    assert_eq!(values, [Some(br#"{"id":"once","n":1}"#.to_vec())]);
}
