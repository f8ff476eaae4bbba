//! Holds `options.rs` to what it says.

use super::*;
use aqueduct_core::TableColumn;
use arrow::datatypes::DataType;

fn options(pairs: &[(&str, &str)]) -> Options {
    let base = [("topic", "events"), ("format", "json"), ("properties.bootstrap.servers", "localhost:9092")];
    let mut values: BTreeMap<String, String> = base.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    values.extend(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    Options::new("t", values)
}

fn source(pairs: &[(&str, &str)]) -> Result<SourceOptions> {
    let spec = SourceSpec {
        table: "t".into(),
        options: options(pairs),
        columns: vec![],
        declared: vec![],
        job: "job".into(),
        fail_points: aqueduct_core::FailPoints::default(),
    };
    SourceOptions::parse(&spec)
}

fn sink(pairs: &[(&str, &str)]) -> Result<SinkOptions> {
    let column = |name: &str, kind| TableColumn {
        name: name.into(),
        data_type: DataType::Utf8,
        nullable: true,
        sql_type: "STRING".into(),
        kind,
    };
    let spec = SinkSpec {
        table: "t".into(),
        options: options(pairs),
        columns: vec![column("a", ColumnKind::Physical), column("b", ColumnKind::Physical)],
        primary_key: vec![1],
        partitioned_by: vec![],
        fail_points: aqueduct_core::FailPoints::default(),
    };
    SinkOptions::parse(&spec)
}

fn refused<T: std::fmt::Debug>(result: Result<T>, needle: &str) {
    let error = result.expect_err("must be refused");
    assert_eq!(error.kind(), aqueduct_core::ErrorKind::FixConfig);
    assert!(error.message().contains(needle), "{error}");
}

#[test]
fn a_source_starts_at_the_earliest_offset_and_never_ends_by_default() {
    let parsed = source(&[]).unwrap();
    assert_eq!((parsed.startup, parsed.bounded, parsed.group), (Startup::Earliest, false, None));
    assert_eq!(parsed.json, JsonOptions::default());
    assert_eq!(source(&[("topic", " a ; b;")]).unwrap().topics, ["a", "b"]);
}

#[test]
fn startup_modes_ask_for_what_they_need() {
    assert_eq!(source(&[("scan.startup.mode", "LATEST-OFFSET")]).unwrap().startup, Startup::Latest);
    let time = [("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "1700000000000")];
    assert_eq!(source(&time).unwrap().startup, Startup::Timestamp(1_700_000_000_000));
    refused(source(&time[..1]), "scan.startup.timestamp-millis");
    refused(source(&time[1..]), "'timestamp'");
    refused(source(&[("scan.startup.mode", "group-offsets")]), "properties.group.id");
    let group = source(&[("scan.startup.mode", "group-offsets"), ("properties.group.id", "g")]).unwrap();
    assert_eq!((group.startup, group.group.as_deref()), (Startup::Group, Some("g")));
    refused(source(&[("scan.startup.mode", "newest")]), "earliest-offset");
}

#[test]
fn specific_offsets_are_flinks() {
    let mode = ("scan.startup.mode", "specific-offsets");
    let with = |text| source(&[mode, ("scan.startup.specific-offsets", text)]);
    let offsets = BTreeMap::from([(0, 42), (1, 300)]);
    assert_eq!(with("partition:0,offset:42;partition:1,offset:300").unwrap().startup, Startup::Specific(offsets));
    for wrong in ["0:42", "partition:0,offset:-1", "partition:0,offset:1;partition:0,offset:2", ";"] {
        refused(with(wrong), "specific-offsets");
    }
    refused(source(&[mode]), "scan.startup.specific-offsets");
}

#[test]
fn formats_that_are_not_known_are_refused() {
    refused(source(&[("format", "avro")]), "json");
    refused(source(&[("format", "")]), "'format' = 'json'");
    refused(sink(&[("format", "raw")]), "json");
    refused(source(&[("format", "raw")]), "exactly one physical column");
    assert!(source(&[("format", ""), ("value.format", "json")]).is_ok());
    let sql = source(&[("json.timestamp-format.standard", "sql"), ("json.ignore-parse-errors", "true")]).unwrap();
    assert_eq!(sql.json, JsonOptions { timestamp_format: TimestampFormat::Sql, ignore_parse_errors: true });
}

#[test]
fn options_of_the_other_side_are_refused() {
    refused(source(&[("key.fields", "a")]), "METADATA FROM 'key'");
    refused(source(&[("sink.delivery-guarantee", "none")]), "belongs to sinks");
    refused(sink(&[("scan.startup.mode", "latest-offset")]), "belongs to sources");
    refused(sink(&[("topic", "a;b")]), "single one");
    refused(source(&[("topic", "a;a")]), "different ones");
}

#[test]
fn a_sink_is_exactly_once_and_keyed_by_its_primary_key_by_default() {
    let parsed = sink(&[]).unwrap();
    assert_eq!((parsed.guarantee, parsed.key, parsed.id_prefix), (Guarantee::ExactlyOnce, vec![1], None));
    assert_eq!(parsed.transaction_timeout, Duration::from_secs(300));
    let keyed = sink(&[("key.fields", "b; a"), ("sink.delivery-guarantee", "at-least-once")]).unwrap();
    assert_eq!((keyed.guarantee, keyed.key), (Guarantee::AtLeastOnce, vec![1, 0]));
    refused(sink(&[("key.fields", "a;c")]), "a, b");
    refused(sink(&[("sink.delivery-guarantee", "twice")]), "at-least-once");
}

#[test]
fn a_message_may_not_outlive_its_transaction() {
    let parsed = sink(&[("properties.transaction.timeout.ms", "20000")]).unwrap();
    assert_eq!(parsed.message_timeout, Duration::from_secs(20));
    refused(sink(&[("properties.transaction.timeout.ms", "soon")]), "transaction.timeout.ms");
}
