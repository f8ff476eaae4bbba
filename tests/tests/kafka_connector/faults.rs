//! Rows of the fault matrix (`RELIABILITY.md`) that the Kafka connector answers for: replies cut at each step of a transaction,
//! leaders and coordinators that move, transactions that hang, logs that are cut short, certificates and passwords that change.
//!
//! Where the broker is stopped or stands behind the proxy, it is one that no other test uses at that time.

use super::sink::{sink_spec, visible};
use super::*;
use aqueduct_core::conformance::sink::{apply, batch, claim};
use aqueduct_core::conformance::source::starts;
use aqueduct_core::{Cursor, Secrets, Sink};
use aqueduct_tests::services::proxy::{Act, Rule};
use aqueduct_tests::services::{Record, unique};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Of Kafka's protocol.
const PRODUCE: u16 = 0;
const INIT_PRODUCER_ID: u16 = 22;
const ADD_PARTITIONS_TO_TXN: u16 = 24;
const ADD_OFFSETS_TO_TXN: u16 = 25;
const END_TXN: u16 = 26;
const TXN_OFFSET_COMMIT: u16 = 28;

fn row(n: usize) -> Record {
    Record::value(format!(r#"{{"id":"r{n}","n":{n}}}"#))
}

/// Delivers an epoch of `rows` as the engine does: after `Retry` it opens again and goes on behind the cursor that comes back.
fn deliver(runtime: &tokio::runtime::Runtime, sink: &mut dyn Sink, cursor: &mut u64, epoch: u64, rows: &[(&str, i64)]) {
    let begin = Instant::now();
    while *cursor < epoch {
        assert!(begin.elapsed() < Duration::from_secs(120), "epoch {epoch} never gets through");
        let Err(error) = runtime.block_on(apply(sink, &claim(1), *cursor, epoch, vec![batch(rows)])) else {
            *cursor = epoch;
            return;
        };
        assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
        while let Err(error) = runtime.block_on(sink.open(&claim(1))).map(|Cursor(reached)| *cursor = reached.0) {
            assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
            assert!(begin.elapsed() < Duration::from_secs(120), "the sink never opens: {error}");
        }
    }
}

/// Five epochs of twenty rows; before each one `disturb` does its worst. Every row must be there once.
fn five_epochs(kafka: &Kafka, options: Pairs, topic: &str, mut disturb: impl FnMut(u64)) {
    let spec = {
        let borrowed: Vec<(&str, &str)> = options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        aqueduct_core::conformance::sink::spec(topic, &borrowed, false)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut sink = KafkaConnector.sink(&spec).unwrap();
    let mut cursor = runtime.block_on(sink.open(&claim(1))).unwrap().0.0;
    for epoch in 1..=5_u64 {
        disturb(epoch);
        let names: Vec<String> = (0..20).map(|n| format!("{epoch}-{n}")).collect();
        let rows: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), epoch as i64)).collect();
        deliver(&runtime, sink.as_mut(), &mut cursor, epoch, &rows);
    }
    runtime.block_on(sink.close()).unwrap();
    let mut found: Vec<String> = visible(kafka, topic, false).into_iter().map(|row| row.id).collect();
    found.sort();
    let mut expected: Vec<String> = (1..=5).flat_map(|epoch| (0..20).map(move |n| format!("{epoch}-{n}"))).collect();
    expected.sort();
    assert_eq!(found, expected);
}

/// The sink through the proxy, impatient.
fn through_proxy(kafka: &Kafka, topic: &str) -> Pairs {
    let more = [("properties.message.timeout.ms", "4000"), ("properties.transaction.timeout.ms", "10000")];
    with(door(kafka, Listener::Proxied, topic), &more)
}

#[test]
fn row_17_cut_replies_and_lost_requests_at_every_step_of_a_transaction() {
    let kafka = own_broker();
    let proxy = kafka.behind_proxy();
    let steps = [INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, PRODUCE, ADD_OFFSETS_TO_TXN, TXN_OFFSET_COMMIT, END_TXN];
    for act in [Act::CutReply, Act::DropRequest] {
        let (topic, before) = (unique("cut"), proxy.struck());
        kafka.create_topic(&topic, 2);
        let mut left = steps.to_vec();
        five_epochs(&kafka, through_proxy(&kafka, &topic), &topic, |_| {
            // The last steps of a transaction are the dear ones: they come twice.
            let step = left.pop().unwrap_or(END_TXN);
            proxy.add(Rule::kafka(act.clone(), step));
            if step == END_TXN {
                proxy.add(Rule::kafka(Act::CutReply, INIT_PRODUCER_ID));
            }
        });
        let struck = proxy.struck() - before;
        assert!(struck >= 4, "{struck} of the cuts struck");
        proxy.heal();
    }
}

#[test]
fn row_16_the_coordinator_is_killed_in_the_middle_of_commits() {
    let kafka = own_broker();
    let proxy = kafka.behind_proxy();
    let topic = unique("coordinator");
    kafka.create_topic(&topic, 2);
    std::thread::scope(|scope| {
        five_epochs(&kafka, through_proxy(&kafka, &topic), &topic, |epoch| {
            if epoch % 2 == 0 {
                // The commit is on its way when the broker dies: nobody knows whether it arrived.
                proxy.add(Rule::kafka(Act::CutReplyAndRefuse, END_TXN));
                let (kafka, proxy) = (&*kafka, &proxy);
                let struck = proxy.struck();
                scope.spawn(move || {
                    let begin = Instant::now();
                    while proxy.struck() == struck {
                        assert!(begin.elapsed() < Duration::from_secs(60), "no commit comes");
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    kafka.kill();
                    kafka.restart();
                    proxy.heal();
                });
            }
        });
    });
}

#[test]
fn row_15_a_leader_that_moves_costs_nothing() {
    let cluster = rdkafka::mocking::MockCluster::new(3).expect("librdkafka has a stand-in of its own");
    cluster.create_topic("moving", 2, 3).expect("a topic");
    for partition in 0..2 {
        cluster.partition_leader("moving", partition, Some(1)).expect("there is a broker 1");
    }
    let servers = cluster.bootstrap_servers();
    let producer: BaseProducer = rdkafka::ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    let produce = |range: std::ops::Range<usize>| {
        for n in range {
            let value = format!(r#"{{"id":"r{n}","n":{n}}}"#);
            let record = BaseRecord::<(), str>::to("moving").partition((n % 2) as i32).payload(&value);
            producer.send(record).map_err(|(e, _)| e).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    };
    produce(0..20);
    let options = pairs(&[("topic", "moving"), ("format", "json"), ("properties.bootstrap.servers", &servers)]);
    let mut source = source(&options);
    let begin = starts(source.as_mut());
    let mut reader = source.reader(begin).unwrap();
    let mut rows = read_rows(reader.as_mut(), 20);
    for (round, leader) in [(1, 2), (2, 3), (3, 1)] {
        cluster.partition_leader("moving", 0, Some(leader)).unwrap();
        produce(round * 20..(round + 1) * 20);
        rows.extend(read_rows(reader.as_mut(), 20));
    }
    for partition in 0..2 {
        let offsets: Vec<i64> = rows.iter().filter(|row| row.0 == partition).map(|row| row.1).collect();
        assert_eq!(offsets, (0..40).collect::<Vec<i64>>(), "partition {partition}: each record once and in order");
    }
}

#[test]
fn row_31_partitions_of_other_brokers_go_on_while_one_broker_is_away() {
    let cluster = rdkafka::mocking::MockCluster::new(2).expect("librdkafka has a stand-in of its own");
    cluster.create_topic("away", 2, 1).expect("a topic");
    for partition in 0..2 {
        cluster.partition_leader("away", partition, Some(partition + 1)).expect("there are two brokers");
    }
    let servers = cluster.bootstrap_servers();
    let produce = |partition: i32| {
        // A new one each time, which has no broker that it tries again later and later.
        let producer: BaseProducer = rdkafka::ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
        for _ in 0..5 {
            let record = BaseRecord::<(), str>::to("away").partition(partition).payload(r#"{"id":"r","n":1}"#);
            producer.send(record).map_err(|(e, _)| e).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    };
    produce(0);
    produce(1);
    let options = pairs(&[("topic", "away"), ("format", "json"), ("properties.bootstrap.servers", &servers)]);
    let mut source = source(&options);
    let begin = starts(source.as_mut());
    let mut reader = source.reader(begin).unwrap();
    assert_eq!(read_rows(reader.as_mut(), 10).len(), 10);
    cluster.broker_down(2).unwrap();
    produce(0);
    let of = |partition: i32| (5..10).map(|offset| (partition, offset)).collect::<Vec<_>>();
    assert_eq!(read_rows(reader.as_mut(), 5), of(0));
    cluster.broker_up(2).unwrap();
    produce(1);
    assert_eq!(read_rows(reader.as_mut(), 5), of(1));
}

/// A transaction with one record in it, left open.
fn rogue(kafka: &Kafka, topic: &str, partition: i32) -> BaseProducer {
    let id = unique("rogue");
    let producer: BaseProducer = kafka.client(Listener::Plain).set("transactional.id", id).create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(r#"{"id":"rogue","n":0}"#);
    producer.send(record).map_err(|(e, _)| e).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    producer
}

#[test]
fn row_19_a_hanging_transaction_holds_its_partition_and_no_other() {
    let (kafka, topic) = (Kafka::shared(), unique("hanging"));
    kafka.create_topic(&topic, 2);
    kafka.produce(&topic, 0, (0..3).map(row));
    let hanging = rogue(kafka, &topic, 0);
    kafka.produce(&topic, 0, (3..6).map(row));
    kafka.produce(&topic, 1, (0..5).map(row));
    let mut source = source(&door(kafka, Listener::Plain, &topic));
    let begin = starts(source.as_mut());
    let mut reader = source.reader(begin).unwrap();
    let mut rows = read_rows(reader.as_mut(), 8);
    rows.sort_unstable();
    assert_eq!(rows, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
    assert!(matches!(reader.read(BUDGET), Ok(Read::Empty)), "what follows the open transaction waits");
    // Records that exist and cannot be read yet are lag, not the end.
    kafka.produce(&topic, 1, (5..6).map(row));
    assert_eq!(read_rows(reader.as_mut(), 1), [(1, 5)]);
    hanging.abort_transaction(Duration::from_secs(30)).unwrap();
    assert_eq!(read_rows(reader.as_mut(), 3), [(0, 4), (0, 5), (0, 6)]);
}

#[test]
fn row_19_a_hanging_transaction_on_the_results_does_not_hold_the_sink() {
    let (kafka, topic) = (Kafka::shared(), unique("held-results"));
    kafka.create_topic(&topic, 1);
    let hanging = rogue(kafka, &topic, 0);
    let spec = sink_spec(kafka, &topic, &[], false);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut sink = KafkaConnector.sink(&spec).unwrap();
    runtime.block_on(sink.open(&claim(1))).unwrap();
    runtime.block_on(apply(sink.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1)])])).unwrap();
    let reopened = runtime.block_on(sink.open(&claim(2))).unwrap();
    assert_eq!(reopened.0.0, 1, "the cursor is no record of the topic: it is not behind the open transaction");
    assert_eq!(visible(kafka, &topic, false).len(), 0, "readers wait for the transaction, as Kafka has it");
    hanging.abort_transaction(Duration::from_secs(30)).unwrap();
    assert_eq!(visible(kafka, &topic, false).len(), 1);
}

/// The folders of a topic's partitions in a broker's data.
fn partition_folder(kafka: &Kafka, topic: &str, partition: i32) -> PathBuf {
    kafka.data().join(format!("{topic}-{partition}"))
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Reads until an error comes; everything before it is ignored.
fn until_error(reader: &mut dyn SourceReader, within: Duration) -> Error {
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < within, "no error comes");
        if let Err(error) = reader.read(BUDGET) {
            return error;
        }
    }
}

/// A partition that loses records 100 to 200 behind the reader's back (its broker comes back with an older disk, as after an
/// unclean election), and gets others in their place.
fn cut_short(kafka: &Kafka, topic: &str, read: impl FnOnce(), refill: usize) {
    kafka.create_topic(topic, 1);
    kafka.produce(topic, 0, (0..100).map(row));
    kafka.stop();
    let (folder, copy) = (partition_folder(kafka, topic, 0), kafka.data().with_file_name(format!("copy-of-{topic}")));
    copy_folder(&folder, &copy);
    kafka.restart();
    kafka.produce(topic, 0, (100..200).map(row));
    read();
    kafka.stop();
    std::fs::remove_dir_all(&folder).unwrap();
    copy_folder(&copy, &folder);
    kafka.restart();
    assert_eq!(kafka.watermarks(topic, 0).1, 100, "the broker has forgotten the second half");
    kafka.produce(topic, 0, (0..refill).map(|n| row(1_000 + n)));
}

#[test]
fn row_25_a_log_that_was_cut_short_and_filled_again_stops_a_running_reader() {
    let kafka = own_broker();
    let topic = unique("truncated");
    let reader = std::cell::RefCell::new(None);
    let read = || {
        let mut source = source(&door(&kafka, Listener::Plain, &topic));
        let begin = starts(source.as_mut());
        let mut opened = source.reader(begin).unwrap();
        assert_eq!(read_rows(opened.as_mut(), 200).len(), 200);
        *reader.borrow_mut() = Some(opened);
    };
    cut_short(&kafka, &topic, read, 150);
    let mut reader = reader.into_inner().unwrap();
    let error = until_error(reader.as_mut(), Duration::from_secs(60));
    assert_error(&error, ErrorKind::FixData, &[&topic, "partition 0", "offset 200", "cut short"]);
}

#[test]
fn row_25_a_log_that_was_cut_short_below_the_checkpoint_is_refused() {
    let kafka = own_broker();
    let topic = unique("shorter");
    cut_short(&kafka, &topic, || {}, 50);
    let mut source = source(&door(&kafka, Listener::Plain, &topic));
    source.discover().unwrap();
    let mut reader = source.reader(vec![start(&topic, 0, 200)]).unwrap();
    let error = until_error(reader.as_mut(), Duration::from_secs(60));
    assert_error(&error, ErrorKind::FixData, &[&topic, "partition 0", "offset 200 ", "0 to 150"]);
}

#[test]
fn row_30_a_rotated_password_is_said_and_the_new_one_works() {
    let kafka = own_broker();
    let topic = unique("rotated");
    kafka.create_topic(&topic, 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let spec_of = |password: &str| {
        let more = [("properties.sasl.password", password), ("properties.message.timeout.ms", "4000")];
        let options = with(door(&kafka, Listener::SaslSsl, &topic), &more);
        let borrowed: Vec<(&str, &str)> = options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        aqueduct_core::conformance::sink::spec(&topic, &borrowed, false)
    };
    let mut sink = KafkaConnector.sink(&spec_of(kafka.password())).unwrap();
    let mut cursor = runtime.block_on(sink.open(&claim(1))).unwrap().0.0;
    deliver(&runtime, sink.as_mut(), &mut cursor, 1, &[("a", 1)]);
    kafka.change_password("another-secret");
    // Who is logged in stays so.
    deliver(&runtime, sink.as_mut(), &mut cursor, 2, &[("b", 2)]);
    kafka.stop();
    kafka.restart();
    let error = loop {
        // An open session ends with the broker; opening says what is wrong.
        if runtime.block_on(apply(sink.as_mut(), &claim(1), cursor, 3, vec![batch(&[("c", 3)])])).is_err() {
            break runtime.block_on(sink.open(&claim(1))).expect_err("the old password");
        }
        cursor = 3;
    };
    assert_error(&error, ErrorKind::FixConfig, &["password"]);
    let mut sink = KafkaConnector.sink(&spec_of("another-secret")).unwrap();
    let mut cursor = runtime.block_on(sink.open(&claim(2))).unwrap().0.0;
    assert!(cursor >= 2);
    let begin = Instant::now();
    while cursor < 4 {
        assert!(begin.elapsed() < Duration::from_secs(60));
        if runtime.block_on(apply(sink.as_mut(), &claim(2), cursor, 4, vec![batch(&[("d", 4)])])).is_ok() {
            cursor = 4;
        }
    }
    kafka.change_password(kafka.password());
}

/// A secret that changes, as a file or a manager's.
struct Word(Mutex<String>);

impl Secrets for Word {
    fn read(&self, _: &str, _: bool) -> aqueduct_core::Result<String> {
        Ok(self.0.lock().unwrap().clone())
    }
}

#[test]
fn row_30_a_rotated_password_is_read_again_where_it_is_kept() {
    let kafka = own_broker();
    let topic = unique("rotating");
    kafka.create_topic(&topic, 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let word = Arc::new(Word(Mutex::new(kafka.password().to_owned())));
    let options = |options: &Options| {
        let written = [("properties.sasl.password".to_owned(), "${file:/run/secrets/kafka}".to_owned())];
        let mut options = options.clone().with_references(written.into());
        options.attach(word.clone());
        options
    };
    let given = with(door(&kafka, Listener::SaslSsl, &topic), &[("properties.message.timeout.ms", "4000")]);
    let borrowed: Vec<(&str, &str)> = given.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut spec = aqueduct_core::conformance::sink::spec(&topic, &borrowed, false);
    spec.options = options(&spec.options);
    let mut sink = KafkaConnector.sink(&spec).unwrap();
    let mut cursor = runtime.block_on(sink.open(&claim(1))).unwrap().0.0;
    let mut read = table(&given, columns());
    read.options = options(&read.options);
    let mut source = KafkaConnector.source(&read).unwrap();
    let begin = starts(source.as_mut());
    let mut reader = source.reader(begin).unwrap();
    deliver(&runtime, sink.as_mut(), &mut cursor, 1, &[("a", 1)]);
    assert_eq!(read_rows(reader.as_mut(), 1).len(), 1);

    kafka.change_password("a-newer-secret");
    // Every session ends with the broker; who comes back needs the new password.
    kafka.stop();
    kafka.restart();
    let until = Instant::now() + Duration::from_secs(15);
    while Instant::now() < until {
        // The secret lags behind: whoever reads waits for it.
        assert!(matches!(reader.read(BUDGET), Ok(Read::Empty)), "the reader must not give up yet");
    }
    *word.0.lock().unwrap() = "a-newer-secret".to_owned();
    let begin = Instant::now();
    while cursor < 2 {
        assert!(begin.elapsed() < Duration::from_secs(60), "the sink never gets through");
        if runtime.block_on(apply(sink.as_mut(), &claim(1), cursor, 2, vec![batch(&[("b", 2)])])).is_ok() {
            cursor = 2;
        } else if let Ok(reached) = runtime.block_on(sink.open(&claim(1))) {
            cursor = reached.0.0;
        }
    }
    assert_eq!(read_rows(reader.as_mut(), 1).len(), 1);
    source.discover().expect("the questions' client has the new one too");
    kafka.change_password(kafka.password());
}

#[test]
fn row_29_certificates_that_have_run_out_are_said_and_new_ones_work() {
    let kafka = own_broker();
    let Some((certificate, key)) = kafka.tls().expired() else { return };
    let topic = unique("expired");
    kafka.create_topic(&topic, 1);
    kafka.produce(&topic, 0, (0..5).map(row));
    let options = door(&kafka, Listener::Ssl, &topic);
    let (path, key_path) = (certificate.display().to_string(), key.display().to_string());
    let ours = [("properties.ssl.certificate.location", path.as_str()), ("properties.ssl.key.location", &key_path)];
    let error = source(&with(options.clone(), &ours)).discover().expect_err("the client's has run out");
    assert_error(&error, ErrorKind::FixConfig, &["certificate", "properties.ssl.certificate.location"]);

    let mut reading = source(&options);
    let begin = starts(reading.as_mut());
    let mut reader = reading.reader(begin).unwrap();
    assert_eq!(read_rows(reader.as_mut(), 5).len(), 5);
    // The broker comes back with a certificate that has run out: a reader at work says so instead of waiting for ever.
    kafka.show_certificate(&certificate, &key);
    kafka.stop();
    kafka.restart();
    let error = until_error(reader.as_mut(), Duration::from_secs(60));
    assert_error(&error, ErrorKind::FixConfig, &["certificate verify failed", "properties.ssl.ca.location"]);
    // ... and with a good one again, the next start goes on.
    kafka.show_certificate(&kafka.tls().server_cert, &kafka.tls().server_key);
    kafka.stop();
    kafka.restart();
    kafka.produce(&topic, 0, (5..8).map(row));
    let mut again = source(&options);
    again.discover().unwrap();
    assert_eq!(read_rows(again.reader(vec![start(&topic, 0, 5)]).unwrap().as_mut(), 3).len(), 3);
}
