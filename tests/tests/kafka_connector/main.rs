//! The Kafka connector against a real broker: the laws of `Source` and `Sink`, every door, and what goes wrong at each.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

mod doors;
mod faults;
mod sink;
mod source;
mod tokens;

use aqueduct_core::{
    ColumnKind, Connector, Error, ErrorKind, Options, Read, ReadBudget, Source, SourceReader, SourceSpec, SplitId,
    SplitStart, TableColumn,
};
use aqueduct_kafka::KafkaConnector;
use aqueduct_tests::services::{Kafka, Listener};
use arrow::datatypes::DataType;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// A broker that may be stopped, killed and cut off: nobody else uses it meanwhile. There are two, because starting one is dear.
fn own_broker() -> MutexGuard<'static, Kafka> {
    static BROKERS: [OnceLock<Mutex<Kafka>>; 2] = [OnceLock::new(), OnceLock::new()];
    let [first, second] = BROKERS.each_ref().map(|broker| || broker.get_or_init(|| Mutex::new(Kafka::start())));
    match first().try_lock() {
        Ok(broker) => broker,
        Err(TryLockError::Poisoned(broker)) => broker.into_inner(),
        Err(TryLockError::WouldBlock) => second().lock().unwrap_or_else(PoisonError::into_inner),
    }
}

/// Options as text.
type Pairs = Vec<(String, String)>;

fn pairs(given: &[(&str, &str)]) -> Pairs {
    given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// What a table needs to pass a door.
fn door(kafka: &Kafka, listener: Listener, topic: &str) -> Pairs {
    let mut options =
        pairs(&[("topic", topic), ("format", "json"), ("properties.bootstrap.servers", &kafka.bootstrap(listener))]);
    let tls = |path: &std::path::Path| path.display().to_string();
    match listener {
        Listener::Plain | Listener::Proxied => {}
        Listener::Ssl => options.extend(pairs(&[
            ("properties.security.protocol", "SSL"),
            ("properties.ssl.truststore.type", "PEM"),
            ("properties.ssl.truststore.location", &tls(&kafka.tls().ca)),
            ("properties.ssl.certificate.location", &tls(&kafka.tls().cert)),
            ("properties.ssl.key.location", &tls(&kafka.tls().key)),
        ])),
        Listener::SaslSsl => options.extend(pairs(&[
            ("properties.security.protocol", "SASL_SSL"),
            ("properties.sasl.mechanism", "SCRAM-SHA-512"),
            ("properties.sasl.username", kafka.user()),
            ("properties.sasl.password", kafka.password()),
            ("properties.ssl.ca.location", &tls(&kafka.tls().ca)),
        ])),
    }
    options
}

fn with(mut options: Pairs, more: &[(&str, &str)]) -> Pairs {
    options.extend(pairs(more));
    options
}

fn column(name: &str, data_type: DataType, kind: ColumnKind) -> TableColumn {
    TableColumn { name: name.into(), data_type, nullable: true, sql_type: String::new(), kind }
}

fn columns() -> Vec<TableColumn> {
    let metadata = |key: &str| ColumnKind::Metadata(key.into());
    vec![
        column("id", DataType::Utf8, ColumnKind::Physical),
        column("at", DataType::Int64, metadata("offset")),
        column("n", DataType::Int64, ColumnKind::Physical),
    ]
}

fn table(options: &Pairs, columns: Vec<TableColumn>) -> SourceSpec {
    let options = Options::new("events", options.iter().cloned().collect());
    SourceSpec {
        table: "events".into(),
        options,
        columns,
        declared: vec![],
        job: "suite".into(),
        fail_points: aqueduct_core::FailPoints::default(),
    }
}

fn source(options: &Pairs) -> Box<dyn Source> {
    KafkaConnector.source(&table(options, columns())).expect("the options are right")
}

fn start(topic: &str, partition: i32, offset: i64) -> SplitStart {
    SplitStart { split: SplitId::new(topic, partition), offset: aqueduct_core::Offset(offset) }
}

const BUDGET: ReadBudget = ReadBudget { max_records: 1_000, max_wait: Duration::from_millis(100) };

/// Reads until `count` rows have come; their offsets by partition, in order of reading.
fn read_rows(reader: &mut dyn SourceReader, count: usize) -> Vec<(i32, i64)> {
    let (mut rows, begin) = (Vec::new(), Instant::now());
    while rows.len() < count {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} of {count} rows came", rows.len());
        if let Read::Batch(batch) = reader.read(BUDGET).expect("read works") {
            rows.extend(batch.offsets.iter().map(|offset| (batch.split.partition, *offset)));
        }
    }
    rows
}

/// An error of a kind that mentions all of `parts`.
fn assert_error(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error:?}");
    for part in parts {
        assert!(error.message().contains(part), "'{part}' is not in: {error}");
    }
}
