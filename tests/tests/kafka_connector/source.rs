//! The source: laws, bounds, transactions, partitions that come and offsets that go.

use super::*;
use aqueduct_core::conformance::source as laws;
use aqueduct_core::{Offset, SplitLag};
use aqueduct_tests::services::{Record, unique};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, TimeUnit, TimestampMillisecondType};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

fn row(n: usize) -> Record {
    Record { key: Some(format!("k{n}").into_bytes()), ..Record::value(format!(r#"{{"id":"row {n}","n":{n}}}"#)) }
}

/// Rows with everything else that a topic holds between them.
fn mixed(from: usize, count: usize) -> Vec<Record> {
    let record = |n: usize| match n % 10 {
        3 => Record::value(format!(r#"{{"id":"row {n}","n":"#)),
        5 => Record { key: Some(b"gone".to_vec()), ..Record::default() },
        7 => Record { key: Some(b"empty".to_vec()), ..Record::value("") },
        8 => Record::value(format!(r#"{{"id":"row {n}","n":"many"}}"#)),
        _ => row(n),
    };
    (from..from + count).map(record).collect()
}

/// One transaction of `count` rows in partition `partition`, committed or aborted, which leaves a marker behind.
fn transaction(topic: &str, partition: i32, count: usize, commit: bool) {
    let mut config = Kafka::shared().client(Listener::Plain);
    let producer: BaseProducer =
        config.set("transactional.id", unique("writer")).create().expect("the settings are ours");
    let wait = Duration::from_secs(30);
    producer.init_transactions(wait).expect("the broker takes transactions");
    producer.begin_transaction().expect("a transaction begins");
    for n in 0..count {
        let value = format!(r#"{{"id":"transacted {commit}","n":{n}}}"#);
        producer
            .send(BaseRecord::<(), str>::to(topic).partition(partition).payload(&value))
            .map_err(|(e, _)| e)
            .expect("there is room");
    }
    producer.flush(wait).expect("delivered");
    if commit { producer.commit_transaction(wait) } else { producer.abort_transaction(wait) }
        .expect("the transaction ends");
}

/// Three partitions with rows, dead letters, tombstones and transactions; the last one ends with markers.
fn mixed_topic() -> String {
    let (kafka, topic) = (Kafka::shared(), unique("mixed"));
    kafka.create_topic(&topic, 3);
    for partition in 0..3 {
        kafka.produce(&topic, partition, mixed(partition as usize * 1_000, 150));
    }
    transaction(&topic, 1, 5, true);
    kafka.produce(&topic, 1, mixed(5_000, 60));
    transaction(&topic, 2, 7, false);
    transaction(&topic, 2, 5, true);
    transaction(&topic, 2, 3, false);
    topic
}

#[test]
fn laws_of_a_bounded_source() {
    let topic = mixed_topic();
    let options = with(door(Kafka::shared(), Listener::Plain, &topic), &[("scan.bounded.mode", "latest-offset")]);
    laws::every_law(&mut || source(&options));
}

#[test]
fn laws_of_an_unbounded_source() {
    let options = door(Kafka::shared(), Listener::Plain, &mixed_topic());
    laws::every_law(&mut || source(&options));
}

#[test]
fn a_bound_is_taken_once_and_ends_behind_transaction_markers() {
    let (kafka, topic) = (Kafka::shared(), unique("bounded"));
    kafka.create_topic(&topic, 4);
    kafka.produce(&topic, 0, (0..10).map(row));
    transaction(&topic, 1, 4, true);
    transaction(&topic, 2, 4, false);
    let mut source = source(&with(door(kafka, Listener::Plain, &topic), &[("scan.bounded.mode", "latest-offset")]));
    let starts = laws::starts(source.as_mut());
    assert_eq!(starts.len(), 4);
    kafka.produce(&topic, 0, (10..20).map(row));
    kafka.produce(&topic, 3, (0..10).map(row));
    assert_eq!(source.discover().unwrap().0.len(), 4);
    let mut reader = source.reader(starts).unwrap();
    let collected = laws::drain(reader.as_mut(), true, 3);
    let count = |partition| collected.records.get(&SplitId::new(topic.as_str(), partition)).map_or(0, Vec::len);
    assert_eq!([count(0), count(1), count(2), count(3)], [10, 4, 0, 0]);
    assert_eq!(collected.ended.len(), 4);
    // Markers count as records for the broker's offsets: 10 rows, 4 + 1, 4 + 1.
    assert_eq!(source.expected_records(), Some(20));
}

#[test]
fn tombstones_are_skipped_and_empty_values_are_dead_letters() {
    let (kafka, topic) = (Kafka::shared(), unique("kinds"));
    kafka.create_topic(&topic, 1);
    let time = Some(1_700_000_000_123);
    let record = |key: Option<&str>, value: Option<&str>| Record {
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        timestamp_ms: time,
    };
    let records = [
        record(Some("a"), None),
        record(Some("b"), Some("")),
        record(None, Some(r#"{"id":"x","n":1}"#)),
        record(Some(""), Some("{")),
    ];
    kafka.produce(&topic, 0, records);
    for ignore in ["false", "true"] {
        let options = with(door(kafka, Listener::Plain, &topic), &[("json.ignore-parse-errors", ignore)]);
        let mut reader = source(&options).reader(vec![start(&topic, 0, 0)]).unwrap();
        let batch = loop {
            if let Read::Batch(batch) = reader.read(BUDGET).unwrap() {
                break batch;
            }
        };
        assert_eq!((batch.skipped, batch.offsets.as_slice(), batch.next), (1, [2].as_slice(), Offset(4)));
        assert_eq!(batch.dead.iter().map(|dead| dead.offset).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(batch.dead[0].reason, "empty value");
        assert_eq!(
            batch.dead[0].record,
            aqueduct_core::RawRecord { key: Some(b"b".to_vec()), value: Some(vec![]), timestamp_ms: time }
        );
        assert_eq!(batch.dead[1].record.key.as_deref(), Some(&b""[..]));
        let raw = batch.raw.raw(0);
        assert_eq!((raw.key, raw.timestamp_ms), (None, time));
        assert_eq!(raw.value.as_deref(), Some(br#"{"id":"x","n":1}"#.as_slice()));
    }
}

#[test]
fn raw_values_are_one_column_as_they_are() {
    let (kafka, topic) = (Kafka::shared(), unique("raw"));
    kafka.create_topic(&topic, 1);
    let value = |value: Option<&[u8]>| Record { key: None, value: value.map(<[u8]>::to_vec), timestamp_ms: None };
    kafka.produce(&topic, 0, [value(Some(b"\xFF no JSON {")), value(None), value(Some(b""))]);
    let columns = vec![
        column("at", DataType::Int64, ColumnKind::Metadata("offset".into())),
        column("value", DataType::Binary, ColumnKind::Physical),
    ];
    let mut options = door(kafka, Listener::Plain, &topic);
    options.iter_mut().filter(|(key, _)| key == "format").for_each(|(_, format)| *format = "raw".into());
    let spec = SourceSpec { declared: columns.clone(), ..table(&options, columns) };
    let mut reader = KafkaConnector.source(&spec).unwrap().reader(vec![start(&topic, 0, 0)]).unwrap();
    let batch = loop {
        if let Read::Batch(batch) = reader.read(BUDGET).unwrap() {
            break batch;
        }
    };
    let values: Vec<Option<&[u8]>> = batch.rows.column(1).as_binary::<i32>().iter().collect();
    assert_eq!(values, [Some(&b"\xFF no JSON {"[..]), None, Some(&b""[..])]);
    assert_eq!((batch.offsets.as_slice(), batch.dead.len(), batch.skipped), ([0, 1, 2].as_slice(), 0, 0));
}

#[test]
fn metadata_columns_tell_what_kafka_knows() {
    let (kafka, topic) = (Kafka::shared(), unique("metadata"));
    kafka.create_topic(&topic, 2);
    let producer: BaseProducer = kafka.client(Listener::Plain).create().expect("the settings are ours");
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("abc") })
        .insert(Header { key: "none", value: None::<&str> });
    let record = BaseRecord::to(&topic)
        .partition(1)
        .key("k")
        .payload(r#"{"id":"x"}"#)
        .timestamp(1_700_000_000_123)
        .headers(headers);
    producer.send(record).map_err(|(e, _)| e).expect("there is room");
    producer.flush(Duration::from_secs(30)).expect("delivered");

    let keys = KafkaConnector.metadata();
    let columns =
        keys.iter().map(|key| column(key.key, key.data_type.clone(), ColumnKind::Metadata(key.key.into()))).collect();
    let options = door(kafka, Listener::Plain, &topic);
    let mut source = KafkaConnector.source(&table(&options, columns)).unwrap();
    let mut reader = source.reader(vec![start(&topic, 0, 0), start(&topic, 1, 0)]).unwrap();
    let batch = loop {
        if let Read::Batch(batch) = reader.read(BUDGET).unwrap() {
            break batch;
        }
    };
    let rows = &batch.rows;
    let get = |name: &str| rows.column_by_name(name).unwrap_or_else(|| panic!("column {name}"));
    assert_eq!(get("topic").as_string::<i32>().value(0), topic);
    assert_eq!(get("partition").as_primitive::<Int32Type>().value(0), 1);
    assert_eq!(get("timestamp").as_primitive::<TimestampMillisecondType>().value(0), 1_700_000_000_123);
    assert_eq!(*get("timestamp").data_type(), DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    assert_eq!(get("timestamp-type").as_string::<i32>().value(0), "CreateTime");
    assert_eq!(get("key").as_binary::<i32>().value(0), b"k");
    assert_eq!(get("leader-epoch").as_primitive::<Int32Type>().value(0), 0);
    let headers = get("headers").as_map();
    assert_eq!(headers.keys().as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["trace", "none"]);
    assert_eq!((headers.values().as_binary::<i32>().value(0), headers.values().is_null(1)), (b"abc".as_slice(), true));
}

#[test]
fn a_new_partition_is_found_and_read_from_its_first_record() {
    let (kafka, topic) = (Kafka::shared(), unique("growing"));
    kafka.create_topic(&topic, 1);
    let mut source = source(&with(door(kafka, Listener::Plain, &topic), &[("scan.startup.mode", "latest-offset")]));
    kafka.produce(&topic, 0, (0..5).map(row));
    let starts = laws::starts(source.as_mut());
    assert_eq!(starts, [start(&topic, 0, 5)]);
    let mut reader = source.reader(starts).unwrap();
    kafka.produce(&topic, 0, (5..8).map(row));
    assert_eq!(read_rows(reader.as_mut(), 3), [(0, 5), (0, 6), (0, 7)]);

    kafka.add_partitions(&topic, 2);
    kafka.produce(&topic, 1, (0..4).map(row));
    let (splits, _) = source.discover().unwrap();
    assert_eq!(splits.len(), 2);
    let late = source.start_of(&splits[1], true).unwrap();
    assert_eq!(late, Offset(0));
    reader.assign(vec![SplitStart { split: splits[1].clone(), offset: late }]).unwrap();
    assert_eq!(read_rows(reader.as_mut(), 4), [(1, 0), (1, 1), (1, 2), (1, 3)]);
    // The first one goes on undisturbed.
    kafka.produce(&topic, 0, (8..9).map(row));
    assert_eq!(read_rows(reader.as_mut(), 1), [(0, 8)]);
    let lag: Vec<SplitLag> = reader.lag();
    assert!(lag.iter().all(|lag| lag.records == Some(0)), "{lag:?}");
}

#[test]
fn startup_modes_begin_where_they_say() {
    let (kafka, topic) = (Kafka::shared(), unique("startup"));
    kafka.create_topic(&topic, 2);
    let timed = |n: usize| Record { timestamp_ms: Some(1_000_000 + n as i64 * 1_000), ..row(n) };
    kafka.produce(&topic, 0, (0..10).map(timed));
    kafka.produce(&topic, 1, (0..4).map(timed));
    kafka.delete_records(&topic, 0, 2);
    let base = door(kafka, Listener::Plain, &topic);
    let group = unique("progress");
    let begin = |more: &[(&str, &str)]| {
        let mut source = source(&with(base.clone(), more));
        laws::starts(source.as_mut()).iter().map(|start| start.offset.0).collect::<Vec<_>>()
    };
    assert_eq!(begin(&[]), [2, 0]);
    assert_eq!(begin(&[("scan.startup.mode", "latest-offset")]), [10, 4]);
    // Partition 1 has nothing so late: its end.
    let time = [("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "1007000")];
    assert_eq!(begin(&time), [7, 4]);
    let specific =
        [("scan.startup.mode", "specific-offsets"), ("scan.startup.specific-offsets", "partition:1,offset:3")];
    assert_eq!(begin(&specific), [2, 3]);

    let grouped = [("scan.startup.mode", "group-offsets"), ("properties.group.id", group.as_str())];
    assert_eq!(begin(&grouped), [2, 0]);
    let mut reporting = source(&with(base.clone(), &grouped));
    reporting.discover().unwrap();
    reporting.publish_progress(&[start(&topic, 0, 6)]).unwrap();
    let begun = Instant::now();
    while kafka.group_offsets(&group, &topic).get(&0) != Some(&6) {
        assert!(begun.elapsed() < Duration::from_secs(30), "progress is never shown");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(begin(&grouped), [6, 0]);
}

#[test]
fn row_23_an_offset_that_is_gone_is_an_error_of_the_data() {
    let (kafka, topic) = (Kafka::shared(), unique("gone"));
    kafka.create_topic(&topic, 2);
    kafka.produce(&topic, 1, (0..20).map(row));
    kafka.delete_records(&topic, 1, 8);
    for offset in [3, 500] {
        let mut source = source(&door(kafka, Listener::Plain, &topic));
        source.discover().unwrap();
        let mut reader = source.reader(vec![start(&topic, 0, 0), start(&topic, 1, offset)]).unwrap();
        let begin = Instant::now();
        let error = loop {
            assert!(begin.elapsed() < Duration::from_secs(30), "no error comes");
            match reader.read(BUDGET) {
                Err(error) => break error,
                Ok(read) => assert!(matches!(read, Read::Empty), "{read:?}"),
            }
        };
        assert_error(&error, ErrorKind::FixData, &[&topic, "partition 1", &format!("offset {offset} "), "8 to 20"]);
    }
}

#[test]
fn topics_and_clusters_have_ids_and_a_recreated_topic_has_another() {
    let (kafka, topic) = (Kafka::shared(), unique("identity"));
    kafka.create_topic(&topic, 1);
    let identity = || source(&door(kafka, Listener::Plain, &topic)).discover().unwrap().1.0;
    let before = identity();
    assert_eq!(before.len(), 2, "{before:?}");
    kafka.delete_topic(&topic);
    std::thread::sleep(Duration::from_secs(1));
    kafka.create_topic(&topic, 1);
    let after = identity();
    let changed: Vec<_> =
        before.iter().filter(|(name, id)| after.get(*name) != Some(id)).map(|(name, _)| name.clone()).collect();
    assert_eq!(changed, [format!("topic {topic}")]);
}

#[test]
fn several_topics_are_one_source() {
    let (kafka, one, two) = (Kafka::shared(), unique("one"), unique("two"));
    kafka.create_topic(&one, 1);
    kafka.create_topic(&two, 2);
    kafka.produce(&two, 1, (0..3).map(row));
    let mut source = source(&door(kafka, Listener::Plain, &format!("{one};{two}")));
    let starts = laws::starts(source.as_mut());
    assert_eq!(starts.len(), 3);
    assert_eq!(read_rows(source.reader(starts).unwrap().as_mut(), 3), [(1, 0), (1, 1), (1, 2)]);
}

#[test]
fn row_15_a_broker_that_goes_and_comes_back_costs_nothing() {
    let (kafka, topic) = (own_broker(), unique("restart"));
    kafka.create_topic(&topic, 2);
    kafka.produce(&topic, 0, (0..10).map(row));
    let mut source = source(&door(&kafka, Listener::Plain, &topic));
    let starts = laws::starts(source.as_mut());
    let mut reader = source.reader(starts).unwrap();
    assert_eq!(read_rows(reader.as_mut(), 10).len(), 10);
    kafka.kill();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        assert!(matches!(reader.read(BUDGET), Ok(Read::Empty)), "an absent broker is waited for");
    }
    assert_eq!(source.discover().expect_err("nobody answers").kind(), ErrorKind::Retry);
    kafka.restart();
    kafka.produce(&topic, 1, (0..5).map(row));
    assert_eq!(read_rows(reader.as_mut(), 5), [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
    source.discover().expect("it answers again");
}
