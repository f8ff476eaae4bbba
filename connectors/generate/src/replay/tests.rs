//! Recordings are written, read back and obey the laws of sources; broken ones are named with file and line.

use super::*;
use crate::recording::{Recorded, RecordingReader, RecordingWriter};
use aqueduct_core::conformance::source as laws;
use aqueduct_core::{ColumnKind, ErrorKind, Offset, SplitId, SplitStart, TableColumn};
use arrow::datatypes::{DataType, TimeUnit};
use std::path::Path;

fn column(name: &str, data_type: DataType, metadata: Option<&str>) -> TableColumn {
    let kind = metadata.map_or(ColumnKind::Physical, |key| ColumnKind::Metadata(key.into()));
    TableColumn { name: name.into(), data_type, nullable: true, sql_type: String::new(), kind }
}

fn spec(path: &str, options: &[(&str, &str)]) -> SourceSpec {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let columns = vec![
        column("n", DataType::Int64, None),
        column("topic", DataType::Utf8, Some("topic")),
        column("part", DataType::Int64, Some("partition")),
        column("offset", DataType::Int64, Some("offset")),
        column("at", time, Some("timestamp")),
        column("key", DataType::Utf8, Some("key")),
    ];
    let mut values: std::collections::BTreeMap<String, String> =
        options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    values.insert("path".into(), path.into());
    let declared = columns[..1].to_vec();
    SourceSpec {
        table: "t".into(),
        options: Options::new("t", values),
        columns,
        declared,
        job: "test".into(),
        fail_points: aqueduct_core::FailPoints::default(),
    }
}

fn open(path: &Path) -> Box<dyn Source> {
    ReplayConnector.source(&spec(path.to_str().unwrap(), &[])).unwrap()
}

/// Record `number` of a recording over three partitions of two topics, with gaps, tombstones and broken values.
fn record(number: i64) -> Recorded {
    let split = number % 3;
    let value = match number % 17 {
        3 => None,
        5 => Some(b"\xff\x00".to_vec()),
        7 => Some(Vec::new()),
        9 => Some(br#"{"n":"x"}"#.to_vec()),
        _ => Some(format!("{{\"n\":{number},\"text\":\"a\\\"b\"}}").into_bytes()),
    };
    Recorded {
        topic: if split == 2 { "b" } else { "a" }.into(),
        partition: (split % 2) as i32,
        offset: 10 + number / 3 + number / 50,
        timestamp_ms: (number % 5 != 0).then_some(1_767_225_600_000 + number),
        key: (number % 4 != 0).then(|| format!("k{number}").into_bytes()),
        value,
    }
}

fn write(path: &Path, numbers: impl Iterator<Item = i64>) {
    let mut writer = RecordingWriter::create(path).unwrap();
    numbers.for_each(|number| writer.write(&record(number)).unwrap());
    writer.finish().unwrap();
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["r.jsonl", "r.jsonl.zst"] {
        let path = folder.path().join(name);
        write(&path, 0..500);
        let mut reader = RecordingReader::open(&path).unwrap();
        for number in 0..500 {
            assert_eq!(reader.next_record().unwrap().unwrap(), record(number));
        }
        assert!(reader.next_record().unwrap().is_none());
    }
    let zstd = std::fs::metadata(folder.path().join("r.jsonl.zst")).unwrap().len();
    assert!(zstd * 4 < std::fs::metadata(folder.path().join("r.jsonl")).unwrap().len());
}

#[test]
fn it_obeys_the_laws_of_sources() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("1.jsonl"), 0..300);
    write(&folder.path().join("2.jsonl.zst"), 300..900);
    std::fs::write(folder.path().join("notes.txt"), "not a recording").unwrap();
    laws::every_law(&mut || open(folder.path()));
}

#[test]
fn offsets_metadata_and_tombstones_are_as_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    write(&path, 0..100);
    let whole = laws::read_all(&mut || open(&path), 1_000);
    let splits: Vec<String> = whole.records.keys().map(SplitId::to_string).collect();
    assert_eq!(splits, ["a[0]", "a[1]", "b[0]"]);
    for number in 0..100 {
        let expected = record(number);
        let records = &whole.records[&SplitId::new(&expected.topic, expected.partition)];
        let seen = records.iter().find(|seen| seen.offset == expected.offset);
        let Some(seen) = seen else {
            assert!(expected.value.is_none(), "only tombstones are passed over");
            continue;
        };
        assert_eq!(
            (&seen.raw.key, &seen.raw.value, seen.raw.timestamp_ms),
            (&expected.key, &expected.value, expected.timestamp_ms)
        );
        if number % 17 == 1 {
            let key = expected.key.map_or("NULL".into(), |key| String::from_utf8(key).unwrap());
            let at =
                expected.timestamp_ms.map_or("NULL".into(), |ms| aqueduct_core::json::format_timestamp_ms(ms, true));
            let text =
                format!("{number} | {} | {} | {} | {at} | {key}", expected.topic, expected.partition, expected.offset);
            assert_eq!(seen.text, text);
        }
    }
    let tombstones = (0..100).filter(|number| number % 17 == 3).count();
    assert_eq!(whole.count() + tombstones, 100);
    let mut source = open(&path);
    source.discover().unwrap();
    assert_eq!(source.expected_records(), Some(100));
}

#[test]
fn broken_recordings_are_named_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    let line = |offset: i64| format!("{{\"topic\":\"a\",\"partition\":0,\"offset\":{offset},\"value\":\"{{}}\"}}\n");
    for (bad, expected) in [
        ("{\"topic\":\"a\"}\n", "r.jsonl:3: not a record: missing field `partition`"),
        ("nonsense\n", "r.jsonl:3: not a record: expected"),
        (
            "{\"topic\":\"a\",\"partition\":0,\"offset\":5,\"value_base64\":\"?\"}\n",
            "r.jsonl:3: 'value_base64' is not base64",
        ),
        ("{\"topic\":\"a\",\"partition\":0,\"offset\":5,\"key\":\"k\",\"key_base64\":\"\"}\n", "exclude each other"),
        ("{\"topic\":\"a\",\"partition\":0,\"offset\":-1}\n", "r.jsonl:3: offset -1 of a[0] is negative"),
        (&line(4), "r.jsonl:3: offset 4 of a[0] comes after 4"),
    ] {
        std::fs::write(&path, format!("\n{}{bad}", line(4))).unwrap();
        let error = open(&path).discover().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixData);
        assert!(error.message().contains(expected), "{error}");
    }
    let zstd = folder.path().join("cut.jsonl.zst");
    write(&zstd, 0..1_000);
    let bytes = std::fs::read(&zstd).unwrap();
    std::fs::write(&zstd, &bytes[..bytes.len() / 2]).unwrap();
    let error = open(&zstd).discover().unwrap_err();
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("is the file complete?"), "{error}");
}

#[test]
fn wrong_paths_and_offsets_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder.path().join("missing.jsonl")).discover().unwrap_err();
    assert!(
        error.kind() == ErrorKind::FixConfig && error.message().starts_with("table 't': the recording "),
        "{error}"
    );
    let error = open(folder.path()).discover().unwrap_err();
    assert!(error.message().contains("there is no recording (*.jsonl or *.jsonl.zst) in the folder"), "{error}");
    for (path, options) in [
        ("s3://bucket/x", vec![]),
        ("", vec![]),
        ("x", vec![("rows-per-second", "0")]),
        ("x", vec![("format", "avro")]),
    ] {
        let error = ReplayConnector.source(&spec(path, &options)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::FixConfig, "{error}");
    }
    let path = folder.path().join("r.jsonl");
    write(&path, 0..30);
    let mut source = ReplayConnector.source(&spec(&format!("file://{}", path.display()), &[])).unwrap();
    for (partition, offset, fits) in [(0, 10, true), (0, 20, true), (0, 9, false), (0, 21, false), (7, 10, false)] {
        let start = SplitStart { split: SplitId::new("a", partition), offset: Offset(offset) };
        assert_eq!(source.reader(vec![start]).is_ok(), fits, "a[{partition}] at {offset}");
    }
}

#[test]
fn a_recording_may_grow_but_not_begin_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    write(&path, 0..30);
    let before = open(&path).discover().unwrap();
    write(&path, 0..60);
    assert_eq!(open(&path).discover().unwrap(), before);
    write(&path, 3..60);
    assert_ne!(open(&path).discover().unwrap(), before);
}

#[test]
fn the_rate_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    write(&path, 0..300);
    let options = [("rows-per-second", "1500")];
    let begun = std::time::Instant::now();
    let whole = laws::read_all(&mut || ReplayConnector.source(&spec(path.to_str().unwrap(), &options)).unwrap(), 4_096);
    assert!(whole.count() > 250 && begun.elapsed().as_millis() >= 195, "{:?}", begun.elapsed());
}
