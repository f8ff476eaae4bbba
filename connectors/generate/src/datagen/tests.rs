//! Options, the laws of sources, and the pace.

use super::*;
use aqueduct_core::conformance::source as laws;
use aqueduct_core::{ColumnKind, ErrorKind, Offset, Options, Read, ReadBudget, SplitId, SplitStart, TableColumn};
use arrow::datatypes::{DataType, TimeUnit};
use std::time::{Duration, Instant};

fn column(name: &str, data_type: DataType, sql_type: &str, metadata: Option<&str>) -> TableColumn {
    let kind = metadata.map_or(ColumnKind::Physical, |key| ColumnKind::Metadata(key.into()));
    TableColumn { name: name.into(), data_type, nullable: true, sql_type: sql_type.into(), kind }
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn spec(options: &[(&str, &str)]) -> SourceSpec {
    let physical = vec![
        column("size_label", DataType::Utf8, "STRING", None),
        column("size_bytes", DataType::Int64, "BIGINT", None),
        column("timestamp", time(), "TIMESTAMP_LTZ(3)", None),
    ];
    let mut columns = physical.clone();
    columns.insert(1, column("p", DataType::Int32, "INT", Some("partition")));
    columns.push(column("o", DataType::Int64, "BIGINT", Some("offset")));
    columns.push(column("made", time(), "TIMESTAMP_LTZ(3)", Some("timestamp")));
    let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let options = Options::new("images", options);
    SourceSpec {
        table: "images".into(),
        options,
        columns,
        declared: physical,
        job: "test".into(),
        fail_points: aqueduct_core::FailPoints::default(),
    }
}

fn source(options: &[(&str, &str)]) -> Result<Box<dyn Source>> {
    DatagenConnector.source(&spec(options))
}

#[test]
fn it_obeys_the_laws_of_sources() {
    let options = [
        ("number-of-rows", "1003"),
        ("partitions", "4"),
        ("idle-partitions", "1"),
        ("disorder", "5 s"),
        ("late-fraction", "0.01"),
        ("malformed-fraction", "0.05"),
        ("missing-fraction", "0.1"),
        ("text-number-fraction", "0.1"),
        ("time-format", "mixed"),
    ];
    laws::every_law(&mut || source(&options).unwrap());
    let whole = laws::read_all(&mut || source(&options).unwrap(), 64);
    let counts: Vec<usize> = (0..3).map(|partition| whole.records[&SplitId::new("images", partition)].len()).collect();
    assert_eq!((whole.count(), counts), (1003, vec![335, 334, 334]));
    assert_eq!(whole.ended.len(), 4);
}

#[test]
fn rows_carry_metadata_and_raw_records() {
    let options = [("number-of-rows", "8"), ("partitions", "2")];
    let whole = laws::read_all(&mut || source(&options).unwrap(), 64);
    let seen = &whole.records[&SplitId::new("images", 1)][2];
    let tree: serde_json::Value = serde_json::from_slice(seen.raw.value.as_ref().unwrap()).unwrap();
    let expected = format!(
        "{} | 1 | {} | 2026-01-01T00:00:00.005Z | 2 | 2026-01-01T00:00:00.005Z",
        tree["size_label"].as_str().unwrap(),
        tree["size_bytes"]
    );
    assert_eq!((seen.text.as_str(), seen.raw.timestamp_ms), (expected.as_str(), Some(1_767_225_600_005)));
}

#[test]
fn broken_records_become_dead_letters_with_their_bytes() {
    let options = [("number-of-rows", "400"), ("malformed-fraction", "1")];
    let whole = laws::read_all(&mut || source(&options).unwrap(), 64);
    let reasons: std::collections::BTreeSet<String> =
        whole.records.values().flatten().map(|seen| seen.text.chars().take(16).collect()).collect();
    for reason in ["dead: broken JSO", "dead: broken UTF", "dead: size_bytes", "dead: the value "] {
        assert!(reasons.contains(reason), "{reason}: {reasons:?}");
    }
    // Without an event time it is still a row: the engine decides about the null.
    assert!(whole.records.values().flatten().any(|seen| seen.text.contains("NULL")));
}

#[test]
fn wrong_options_are_named() {
    for (options, expected) in [
        (
            vec![("late-fraction", "2")],
            "option 'late-fraction' = '2' is not usable: it must be a share from 0 to 1, such as 0.01",
        ),
        (
            vec![("number-of-rows", "0")],
            "option 'number-of-rows' = '0' is not usable: it must be a whole number from 1 on",
        ),
        (vec![("rows-per-second", "-1")], "option 'rows-per-second' = '-1' is not usable"),
        (vec![("rows-per-second", "inf")], "option 'rows-per-second' = 'inf' is not usable"),
        (vec![("idle-partitions", "4")], "option 'idle-partitions' = '4' is not usable"),
        (vec![("partitions", "0")], "option 'partitions' = '0' is not usable"),
        (vec![("start-time", "yesterday")], "option 'start-time' = 'yesterday' is not usable"),
        (vec![("time-step", "10 ns")], "it must be whole microseconds"),
        (vec![("disorder", "much")], "it must be a duration such as"),
        (vec![("template", "x")], "it must be one of: product-images, payments, columns"),
        (vec![("template", "payments"), ("fields.size_label.kind", "random")], "'template' must be 'columns'"),
        (vec![("fields.size.min", "1")], "fits no column"),
        (vec![("fields.size_bytes.least", "1")], "fits no column"),
        (vec![("fields.size_bytes.min", "5"), ("fields.size_bytes.max", "4")], "must be in order"),
        (vec![("fields.size_bytes.min", "x")], "option 'fields.size_bytes.min' = 'x' is not usable"),
        (vec![("fields.timestamp.kind", "sequence")], "only integers and STRING come in sequence"),
        (vec![("format", "avro")], "option 'format' = 'avro' is not usable"),
        (vec![("seed", "-1")], "option 'seed' = '-1' is not usable"),
    ] {
        let error = source(&options).err().unwrap_or_else(|| panic!("{options:?} passed"));
        assert!(error.message().starts_with("table 'images': ") && error.message().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::FixConfig);
    }
}

#[test]
fn columns_that_cannot_be_made_or_decoded_are_refused_at_once() {
    let mut unknown = spec(&[]);
    unknown.columns.push(column("h", DataType::Utf8, "STRING", Some("headers")));
    let error = DatagenConnector.source(&unknown).err().unwrap();
    assert_eq!(error.message(), "table 'images': no metadata 'headers' here; there is: partition, offset, timestamp");
    let mut nested = spec(&[("template", "columns")]);
    nested.declared.push(column("r", DataType::Struct(Default::default()), "ROW<>", None));
    let error = DatagenConnector.source(&nested).err().unwrap();
    assert!(error.message().contains("cannot make values of type ROW<> (column 'r')"), "{error}");
}

#[test]
fn impossible_offsets_are_told() {
    let mut source = source(&[("number-of-rows", "8"), ("partitions", "2")]).unwrap();
    let mut open = |partition, offset| {
        let start = SplitStart { split: SplitId::new("images", partition), offset: Offset(offset) };
        source.reader(vec![start]).err().map(|error| (error.kind(), error.to_string()))
    };
    assert!(open(0, 4).is_none());
    let (kind, message) = open(0, 5).unwrap();
    assert_eq!(kind, ErrorKind::FixData);
    assert!(message.contains("images[0] cannot begin at 5: it ends at 4"), "{message}");
    assert!(open(2, 0).is_some() && open(0, -1).is_some());
}

#[test]
fn the_identity_follows_what_decides_the_records() {
    let identity = |options: &[(&str, &str)]| source(options).unwrap().discover().unwrap().1;
    let plain = identity(&[]);
    assert_eq!(plain, identity(&[("number-of-rows", "9"), ("rows-per-second", "7")]));
    for other in [
        ("seed", "2"),
        ("partitions", "3"),
        ("time-step", "2 ms"),
        ("template", "payments"),
        ("malformed-fraction", "0.1"),
    ] {
        assert_ne!(plain, identity(&[other]), "{other:?}");
    }
}

#[test]
fn an_endless_table_never_ends_and_idle_partitions_stay_silent() {
    let mut source = source(&[("partitions", "2"), ("idle-partitions", "1")]).unwrap();
    assert!(!source.bounded() && source.expected_records().is_none());
    let from = laws::starts(source.as_mut());
    let mut idle = source.reader(vec![from[1].clone()]).unwrap();
    let mut reader = source.reader(from).unwrap();
    for round in 1..=20 {
        match reader.read(laws::budget(100)).unwrap() {
            Read::Batch(batch) => assert_eq!((batch.split.partition, batch.next), (0, Offset(100 * round))),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(idle.read(laws::budget(100)).unwrap(), Read::Empty));
}

#[test]
fn the_rate_is_kept_over_all_partitions_and_readers() {
    let mut source = source(&[("rows-per-second", "20000"), ("partitions", "4")]).unwrap();
    let from = laws::starts(source.as_mut());
    let mut readers = [source.reader(from[..3].to_vec()).unwrap(), source.reader(from[3..].to_vec()).unwrap()];
    let begun = Instant::now();
    let mut counts = [0; 4];
    while begun.elapsed() < Duration::from_millis(500) {
        for reader in &mut readers {
            if let Read::Batch(batch) =
                reader.read(ReadBudget { max_records: 4_096, max_wait: Duration::from_millis(2) }).unwrap()
            {
                counts[batch.split.partition as usize] += batch.offsets.len();
            }
        }
    }
    let (total, elapsed) = (counts.iter().sum::<usize>() as f64, begun.elapsed().as_secs_f64());
    assert!(total <= 20_000.0 * elapsed + 1.0, "{total} in {elapsed} s");
    // A busy machine may be late, never early.
    assert!(total >= 10_000.0 * elapsed, "{total} in {elapsed} s");
    assert!(counts[..3].iter().all(|count| counts[0].abs_diff(*count) < 1_000), "{counts:?}");
}

/// `cargo test --release -- --ignored --nocapture speed`: records made and decoded per second, on one core.
#[test]
#[ignore = "a measurement, not a test"]
fn speed_of_making_and_decoding() {
    let mut narrow = spec(&[("number-of-rows", "4000000"), ("disorder", "5 s")]);
    narrow.columns = narrow.declared.clone();
    let mut source = DatagenConnector.source(&narrow).unwrap();
    let from = laws::starts(source.as_mut());
    let mut reader = source.reader(from).unwrap();
    let begun = Instant::now();
    let mut rows = 0;
    loop {
        match reader.read(laws::budget(4_096)).unwrap() {
            Read::Batch(batch) => rows += batch.offsets.len(),
            Read::End => break,
            _ => {}
        }
    }
    let made_and_decoded = rows as f64 / begun.elapsed().as_secs_f64();
    let maker = crate::records::RecordMaker::new(&DatagenConfig::new(&narrow.options, &narrow.declared).unwrap());
    let begun = Instant::now();
    let (mut value, mut bytes) = (Vec::new(), 0);
    for offset in 0..1_000_000 {
        value.clear();
        maker.write(0, offset, &mut value);
        bytes += value.len();
    }
    let made = 1e6 / begun.elapsed().as_secs_f64();
    println!("made and decoded {made_and_decoded:.0}/s, made alone {made:.0}/s of {} bytes", bytes / 1_000_000);
}
