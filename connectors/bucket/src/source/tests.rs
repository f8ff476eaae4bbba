//! The source's laws, and what they cannot see: folder columns, metadata, single files, changed files.

use super::*;
use aqueduct_core::conformance::source::{every_law, read_all, read_from, starts};
use aqueduct_core::{Options, TableColumn};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use parquet::arrow::ArrowWriter;

fn column(name: &str, data_type: DataType, kind: ColumnKind) -> TableColumn {
    TableColumn { name: name.into(), sql_type: data_type.to_string(), data_type, nullable: true, kind }
}

fn spec(path: &str, format: &str) -> SourceSpec {
    let declared =
        vec![column("id", DataType::Utf8, ColumnKind::Physical), column("n", DataType::Int64, ColumnKind::Physical)];
    let mut columns = declared.clone();
    columns.insert(1, column("line", DataType::Int64, ColumnKind::Metadata(OFFSET.into())));
    columns.push(column("file", DataType::Utf8, ColumnKind::Metadata(FILE_PATH.into())));
    let values = [("path".to_owned(), path.to_owned()), ("format".to_owned(), format.to_owned())];
    SourceSpec {
        table: "t".into(),
        options: Options::new("t", values.into()),
        columns,
        declared,
        job: "job".into(),
        fail_points: aqueduct_core::FailPoints::default(),
    }
}

fn put(store: &dyn ObjectStore, name: &str, bytes: Vec<u8>) {
    futures::executor::block_on(store.put(&Path::parse(name).unwrap(), bytes.into())).unwrap();
}

/// Three files with blank lines, broken lines and no line end at the last line.
fn json_store() -> Arc<dyn ObjectStore> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for file in 0..3 {
        let line = |n: i64| match n % 11 {
            3 => "\r\n".to_owned(),
            5 => format!("{{\"id\":\"broken {n}\n"),
            7 => format!("{{\"id\":\"{n}\",\"n\":\"text\"}}\r\n"),
            _ => format!("{{\"id\":\"{file}-{n}\",\"n\":{n},\"more\":[1,2]}}\n"),
        };
        let text: String = (0..300).map(line).chain(["{\"id\":\"last\",\"n\":1}".to_owned()]).collect();
        put(store.as_ref(), &format!("in/day={file}/x.json"), text.into_bytes());
    }
    store
}

#[test]
fn json_files_keep_the_laws() {
    let store = json_store();
    let spec = spec("gs://my-bucket/in", "json");
    every_law(&mut || Box::new(FilesystemSource::on(&spec, store.clone(), Path::from("in"))));
}

#[test]
fn parquet_files_keep_the_laws() {
    use aqueduct_core::conformance::source as laws;
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for file in 0..2 {
        let ids = StringArray::from_iter_values((0..500).map(|n| format!("{file}-{n}")));
        let numbers = Int64Array::from_iter_values(0..500);
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(numbers) as arrow::array::ArrayRef),
            ("id", Arc::new(ids) as arrow::array::ArrayRef),
        ]);
        let batch = batch.unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        put(store.as_ref(), &format!("{file}.parquet"), writer.into_inner().unwrap());
    }
    let spec = spec("gs://my-bucket", "parquet");
    let make: laws::Make<'_> = &mut || Box::new(FilesystemSource::on(&spec, store.clone(), Path::ROOT));
    laws::batches_are_consecutive_at_any_size(make);
    laws::reopening_gives_the_rest(make);
    laws::disjoint_readers_give_the_whole(make);
    laws::assigned_splits_are_read(make);
    laws::lag_falls_to_zero(make);
    laws::identity_is_stable(make);
    laws::close_is_idempotent(make);
    laws::the_end_comes_after_every_split(make);
    let whole = read_all(make, 64);
    assert_eq!(whole.count(), 1_000);
    let first = &whole.records[&SplitId::new("0.parquet", 0)][3];
    assert_eq!(first.text, "0-3 | 3 | 3 | gs://my-bucket/0.parquet");
    assert!(String::from_utf8_lossy(first.raw.value.as_ref().unwrap()).contains("\"id\":\"0-3\""));
}

#[test]
fn rows_dead_letters_and_blank_lines_are_told_apart() {
    let store = json_store();
    let spec = spec("gs://my-bucket/in", "json");
    let whole = read_all(&mut || Box::new(FilesystemSource::on(&spec, store.clone(), Path::from("in"))), 50);
    let records = &whole.records[&SplitId::new("day=1/x.json", 0)];
    // 300 lines: 28 blank ones; one more at the end.
    assert_eq!(records.len(), 301 - 27);
    assert_eq!(records[1].text, "1-1 | 1 | 1 | gs://my-bucket/in/day=1/x.json");
    assert!(!records.iter().any(|record| record.offset == 3), "blank lines are passed over");
    let dead = records.iter().find(|record| record.offset == 5).unwrap();
    assert!(dead.text.starts_with("dead: "), "{}", dead.text);
    assert_eq!(dead.raw.value.as_deref(), Some(&b"{\"id\":\"broken 5"[..]));
    let dead = records.iter().find(|record| record.offset == 7).unwrap();
    assert!(dead.text.contains("n:"), "the column is named: {}", dead.text);
    assert_eq!(whole.next[&SplitId::new("day=1/x.json", 0)], Offset(301));
}

#[test]
fn columns_can_stand_in_the_folders() {
    let store = json_store();
    let mut spec = spec("gs://my-bucket/in", "json");
    spec.columns = vec![column("day", DataType::Int64, ColumnKind::Physical)];
    let whole = read_all(&mut || Box::new(FilesystemSource::on(&spec, store.clone(), Path::from("in"))), 50);
    assert_eq!(whole.records[&SplitId::new("day=2/x.json", 0)][0].text, "2");
}

#[test]
fn a_single_file_is_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    std::fs::write(&path, "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n").unwrap();
    let spec = spec(path.to_str().unwrap(), "json");
    let whole = read_all(&mut || Box::new(FilesystemSource::new(&spec).unwrap()), 50);
    assert_eq!(whole.count(), 2);
    let records = whole.records.values().next().unwrap();
    assert_eq!(records[1].text, format!("b | 1 | 2 | {}", path.display()));
}

#[test]
fn lines_may_be_longer_than_the_chunks_that_bring_them() {
    let folder = tempfile::tempdir().unwrap();
    let long = "y".repeat(3 << 20);
    let text: String = (0..6).map(|n| format!("{{\"id\":\"{long}\",\"n\":{n}}}\n")).collect();
    std::fs::write(folder.path().join("a.ndjson"), text).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let spec = spec(folder.path().to_str().unwrap(), "json");
    let whole = read_all(&mut || Box::new(FilesystemSource::on(&spec, store.clone(), Path::ROOT)), 1_000);
    let offsets: Vec<i64> = whole.records.values().flatten().map(|record| record.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn wrong_paths_and_changed_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let missing = spec(folder.path().join("none").to_str().unwrap(), "json");
    let error = FilesystemSource::new(&missing).unwrap().discover().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig, "{error}");
    assert!(!folder.path().join("none").exists(), "a source creates no folder");

    let spec = spec("gs://my-bucket/in", "json");
    let mut empty = FilesystemSource::on(&spec, Arc::new(InMemory::new()), Path::from("in"));
    let error = empty.discover().unwrap_err();
    assert!(error.kind() == ErrorKind::FixConfig && error.message().contains("gs://my-bucket/in"), "{error}");

    let store = json_store();
    let mut source = FilesystemSource::on(&spec, store, Path::from("in"));
    let mut from = starts(&mut source);
    from.truncate(1);
    from[0].offset = Offset(5_000);
    let mut reader = source.reader(from.clone()).unwrap();
    let budget = ReadBudget { max_records: 10, max_wait: std::time::Duration::ZERO };
    let error = reader.read(budget).unwrap_err();
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("ends after 301 rows"), "{error}");
    from[0] = SplitStart { split: SplitId::new("gone.json", 0), offset: Offset(3) };
    let error = source.reader(from).unwrap().read(budget).unwrap_err();
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("gone.json"), "{error}");
}

#[test]
fn unknown_metadata_is_refused() {
    let mut spec = spec("gs://my-bucket/in", "json");
    spec.columns.push(column("p", DataType::Int64, ColumnKind::Metadata("partition".into())));
    let error = FilesystemSource::new(&spec).err().unwrap();
    assert!(error.kind() == ErrorKind::FixConfig && error.message().contains("'partition'"), "{error}");
}

#[test]
fn what_the_sink_wrote_can_be_read() {
    use aqueduct_core::Connector;
    use aqueduct_core::conformance::sink;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let runtime = Blocking::new().unwrap();
    runtime
        .wait(async {
            let spec = sink::spec("t", &[("path", path), ("format", "parquet")], false);
            let mut sink = crate::FilesystemConnector.sink(&spec)?;
            sink.open(&sink::claim(1)).await?;
            for epoch in 1..=3 {
                sink::apply(
                    sink.as_mut(),
                    &sink::claim(1),
                    epoch - 1,
                    epoch,
                    vec![sink::batch(&[("a", epoch as i64)])],
                )
                .await?;
            }
            Ok(())
        })
        .unwrap();
    // A file of an epoch that was never committed.
    std::fs::write(folder.path().join("part-conformance-L1-s0-e000000000009-0.parquet"), "half").unwrap();
    let spec = spec(path, "parquet");
    let make: aqueduct_core::conformance::source::Make<'_> = &mut || crate::FilesystemConnector.source(&spec).unwrap();
    let from = starts(make().as_mut());
    assert_eq!(from.len(), 3);
    assert_eq!(read_from(make, from, 10).count(), 3);
}
