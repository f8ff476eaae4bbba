//! The sink's laws over memory and a local folder, and what conformance cannot see: names, ledger, fence, foreign
//! objects.

#[path = "faulty.rs"]
mod faulty;

use super::*;
use crate::layout::LEDGER;
use crate::reader::{ReadSpec, list, read_table};
use aqueduct_core::conformance::sink::{Row, SinkHarness, all, apply, batch, claim, claim_of, spec};
use aqueduct_core::{ErrorKind, SinkSpec};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use faulty::{Fault, FaultyStore};
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

/// A table on a store.
struct Table {
    spec: SinkSpec,
    store: Arc<dyn ObjectStore>,
    path: Path,
    _folder: Option<tempfile::TempDir>,
}

const PER_ROW: [(&str, &str); 2] = [("sink.layout", "object-per-row"), ("sink.object-name", "rows/{id}.json")];

impl Table {
    fn new(options: &[(&str, &str)], keyed: bool) -> Self {
        let mut values = vec![("path", "gs://my-bucket/results"), ("format", "json")];
        values.extend(options);
        let path = Path::parse("results").unwrap();
        Self { spec: spec("t", &values, keyed), store: Arc::new(InMemory::new()), path, _folder: None }
    }

    fn local(options: &[(&str, &str)], keyed: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        Self { store, path: Path::ROOT, _folder: Some(folder), ..Self::new(options, keyed) }
    }

    fn open_sink(&self) -> FilesystemSink {
        FilesystemSink::over(SinkConfig::new(&self.spec).unwrap(), self.store.clone(), self.path.clone()).unwrap()
    }

    async fn rows(&self) -> Vec<Row> {
        let config = SinkConfig::new(&self.spec).unwrap();
        let per_row = matches!(config.layout, Layout::ObjectPerRow(_));
        let spec = ReadSpec {
            columns: config.columns,
            format: config.common.format,
            json: config.common.json,
            object_names: per_row.then(|| ("rows/".to_owned(), ".json".to_owned())),
            address: config.common.path,
        };
        read_table(&self.store, &self.path, &spec).await.unwrap().iter().flat_map(rows_of).collect()
    }

    async fn names(&self) -> Vec<String> {
        list(&self.store, &self.path, "t").await.unwrap().into_iter().map(|(name, _)| name).collect()
    }

    async fn text(&self, name: &str) -> String {
        let found = self.store.get(&under(&self.path, name).unwrap()).await.unwrap();
        String::from_utf8(found.bytes().await.unwrap().to_vec()).unwrap()
    }
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let (ids, numbers) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
    (0..batch.num_rows()).map(|row| Row { id: ids.value(row).to_owned(), n: numbers.value(row) }).collect()
}

fn row(id: &str, n: i64) -> Row {
    Row { id: id.into(), n }
}

#[async_trait]
impl SinkHarness for Table {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(self.open_sink())
    }

    fn keyed(&self) -> bool {
        // Files of earlier epochs are never changed, so only objects per row are replaced by later epochs.
        matches!(SinkConfig::new(&self.spec).unwrap().layout, Layout::ObjectPerRow(_))
    }

    async fn visible_rows(&self) -> Vec<Row> {
        self.rows().await
    }
}

#[tokio::test]
async fn json_files_in_memory_keep_the_laws() {
    all(async |_| Table::new(&[], false)).await;
}

#[tokio::test]
async fn json_files_in_a_folder_keep_the_laws() {
    all(async |_| Table::local(&[], false)).await;
}

#[tokio::test]
async fn parquet_files_keep_the_laws() {
    all(async |_| Table::new(&[("format", "parquet")], false)).await;
    all(async |_| Table::local(&[("format", "parquet"), ("parquet.compression", "none")], true)).await;
}

#[tokio::test]
async fn objects_per_row_keep_the_laws() {
    all(async |_| Table::new(&PER_ROW, true)).await;
    all(async |_| Table::local(&PER_ROW, true)).await;
}

#[tokio::test]
async fn partitioned_files_keep_the_laws() {
    let partitioned = |format: &'static str| {
        let mut table = Table::new(&[("format", format)], false);
        table.spec.partitioned_by = vec![1];
        table
    };
    // 10,000 folders of one row: fewer laws, for the time it takes.
    for format in ["json", "parquet"] {
        let table = partitioned(format);
        aqueduct_core::conformance::sink::apply_shows_rows_and_advances(&table).await;
        let names = table.names().await;
        assert!(names.iter().any(|name| name.starts_with("n=1/part-")), "{names:?}");
    }
    let table = partitioned("json");
    aqueduct_core::conformance::sink::apply_shows_rows_and_advances(&table).await;
    assert_eq!(table.text("n=1/part-conformance-L1-s0-e000000000001-0.json").await, "{\"id\":\"a\"}\n");
}

#[tokio::test]
async fn names_and_ledger_are_as_documented() {
    let table = Table::new(&[], true);
    let mut sink = table.open_sink();
    sink.open(&claim(3)).await.unwrap();
    apply(&mut sink, &claim(3), 0, 7, vec![batch(&[("a", 1), ("b", 2), ("a", 3)])]).await.unwrap();
    let part = "part-conformance-L1-s0-e000000000007-0.json";
    let entry = "_committed/conformance-L1-s0/000000000007.json";
    assert_eq!(table.names().await, [entry, "_committed/conformance-L1-s0/claim-000000000003.json", part]);
    let text = "{\"id\":\"b\",\"n\":2}\n{\"id\":\"a\",\"n\":3}\n";
    assert_eq!(table.text(part).await, text, "the last row of a key stays");
    let body: serde_json::Value = serde_json::from_str(&table.text(entry).await).unwrap();
    assert_eq!(body["rows"], 2);
    assert_eq!(body["generation"], 3);
    assert_eq!(body["files"][0]["path"], part);
    assert_eq!(body["files"][0]["bytes"], text.len());
    assert_eq!(body["files"][0]["sha256"], sha256(text.as_bytes()));
}

#[tokio::test]
async fn files_without_an_entry_do_not_count_and_are_finished_by_the_next_owner() {
    let table = Table::new(&[], false);
    let mut sink = table.open_sink();
    sink.open(&claim(1)).await.unwrap();
    apply(&mut sink, &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap();
    apply(&mut sink, &claim(1), 1, 2, vec![batch(&[("b", 2)])]).await.unwrap();
    // As if the process had died between the file and the entry.
    table.store.delete(&under(&table.path, "_committed/conformance-L1-s0/000000000002.json").unwrap()).await.unwrap();
    assert_eq!(table.rows().await, [row("a", 1)]);
    let mut next = table.open_sink();
    assert_eq!(next.open(&claim(2)).await.unwrap(), Cursor(Epoch(1)));
    // Batched in another way, the epoch has the same bytes.
    apply(&mut next, &claim(2), 1, 2, vec![batch(&[]), batch(&[("b", 2)])]).await.unwrap();
    assert_eq!(table.rows().await, [row("a", 1), row("b", 2)]);
    // A zombie that had passed its check before writes what is there already, and the entry stays the owner's.
    let zombie = sink.opened.as_ref().unwrap();
    let sealed = SealedEpoch { after: Cursor(Epoch(1)), sealed_at_ms: 0, batches: vec![batch(&[("b", 2)])] };
    let target =
        Target { store: table.store.as_ref(), path: &table.path, sink: &sink, opened: zombie, after: Cursor(Epoch(1)) };
    let files = target.write_parts(Epoch(2), &sealed).await.unwrap();
    zombie.ledger.commit(Epoch(2), Cursor(Epoch(1)), 0, &files).await.unwrap();
    assert_eq!(table.rows().await, [row("a", 1), row("b", 2)]);
    assert_eq!(sink.deliver(zombie, Epoch(2), &sealed).await.unwrap_err().kind(), ErrorKind::Fenced);
}

#[tokio::test]
async fn a_foreign_object_stops_the_job() {
    for options in [&[][..], &PER_ROW] {
        let table = Table::new(options, false);
        let name = if options.is_empty() { "part-conformance-L1-s0-e000000000001-0.json" } else { "rows/a.json" };
        let foreign = under(&table.path, name).unwrap();
        table.store.put(&foreign, "{\"other\":1}\n".into()).await.unwrap();
        let mut sink = table.open_sink();
        sink.open(&claim(1)).await.unwrap();
        let error = apply(&mut sink, &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixData, "{error}");
        assert!(error.message().contains(&format!("gs://my-bucket/results/{name}")), "{error}");
        assert_eq!(table.text(name).await, "{\"other\":1}\n", "nothing was overwritten");
        assert!(!table.names().await.iter().any(|name| name.ends_with("/000000000001.json")), "no entry");
        // Once it is gone, the same delivery works.
        table.store.delete(&foreign).await.unwrap();
        assert_eq!(sink.open(&claim(1)).await.unwrap(), Cursor(Epoch::ZERO));
        apply(&mut sink, &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap();
    }
}

#[tokio::test]
async fn a_later_epoch_replaces_the_object_of_its_row_only() {
    let table = Table::new(&PER_ROW, true);
    let mut sink = table.open_sink();
    sink.open(&claim(1)).await.unwrap();
    for epoch in 1..=70 {
        // More entries than are read at once lie between the two epochs that write `a`.
        let (id, n) = if epoch == 1 { ("a".to_owned(), 1) } else { (format!("x{epoch}"), 0) };
        apply(&mut sink, &claim(1), epoch - 1, epoch, vec![batch(&[(&id, n)])]).await.unwrap();
    }
    apply(&mut sink, &claim(1), 70, 71, vec![batch(&[("a", 2)])]).await.unwrap();
    assert_eq!(table.text("rows/a.json").await, "{\"id\":\"a\",\"n\":2}\n");
    // A later lineage may replace what an earlier one wrote.
    let later = claim_of(2, 0, 2);
    let mut next = table.open_sink();
    next.open(&later).await.unwrap();
    apply(&mut next, &later, 0, 1, vec![batch(&[("a", 3)])]).await.unwrap();
    assert_eq!(table.text("rows/a.json").await, "{\"id\":\"a\",\"n\":3}\n");
    // The older lineage is closed for good.
    let error = apply(&mut sink, &claim(1), 71, 72, vec![batch(&[("a", 4)])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    let error = table.open_sink().open(&claim(9)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
}

#[tokio::test]
async fn a_zombie_cannot_replace_a_newer_object() {
    let table = Table::new(&PER_ROW, true);
    let mut old = table.open_sink();
    old.open(&claim(1)).await.unwrap();
    apply(&mut old, &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap();
    let mut new = table.open_sink();
    new.open(&claim(2)).await.unwrap();
    apply(&mut new, &claim(2), 1, 2, vec![batch(&[("a", 2)])]).await.unwrap();
    apply(&mut new, &claim(2), 2, 3, vec![batch(&[("a", 3)])]).await.unwrap();
    // The zombie has passed its first check and writes epoch 2 only now.
    let opened = old.opened.as_ref().unwrap();
    let sealed = SealedEpoch { after: Cursor(Epoch(1)), sealed_at_ms: 0, batches: vec![batch(&[("a", 2)])] };
    let target = Target { store: table.store.as_ref(), path: &table.path, sink: &old, opened, after: Cursor(Epoch(1)) };
    let error = target.write_objects(&sealed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(table.text("rows/a.json").await, "{\"id\":\"a\",\"n\":3}\n");
}

#[tokio::test]
async fn two_tables_on_one_path_are_refused() {
    let mut table = Table::new(&[], false);
    table.open_sink().open(&claim(1)).await.unwrap();
    table.spec.table = "other".into();
    let error = table.open_sink().open(&claim(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig);
    assert!(error.message().contains("'t' and 'other'"), "{error}");
}

#[tokio::test]
async fn claims_of_older_owners_are_removed_and_carry_the_cursor() {
    let table = Table::new(&[], false);
    let (mut after, mut generation) = (0, 0);
    for epoch in [2, 5, 9] {
        generation += 1;
        let mut sink = table.open_sink();
        assert_eq!(sink.open(&claim(generation)).await.unwrap(), Cursor(Epoch(after)));
        apply(&mut sink, &claim(generation), after, epoch, vec![batch(&[("a", 1)])]).await.unwrap();
        after = epoch;
    }
    let claims: Vec<String> = table.names().await.into_iter().filter(|name| name.contains("claim-")).collect();
    assert_eq!(claims, ["_committed/conformance-L1-s0/claim-000000000003.json"]);
    let body: serde_json::Value = serde_json::from_str(&table.text(&claims[0]).await).unwrap();
    assert_eq!(body["cursor"], 5);
}

#[tokio::test]
async fn a_lost_reply_is_read_back() {
    for options in [&[][..], &PER_ROW] {
        for fault in [Fault::AfterApplying, Fault::AlreadyExistsAfterApplying] {
            let mut table = Table::new(options, false);
            let store = Arc::new(FaultyStore::new(table.store.clone()));
            table.store = store.clone();
            let mut sink = table.open_sink();
            store.every_put(Some(fault));
            sink.open(&claim(1)).await.unwrap();
            apply(&mut sink, &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap();
            if !options.is_empty() {
                apply(&mut sink, &claim(1), 1, 2, vec![batch(&[("a", 2)])]).await.unwrap();
            }
            store.every_put(None);
            let expected = if options.is_empty() { row("a", 1) } else { row("a", 2) };
            assert_eq!(table.rows().await, [expected], "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_write_that_did_not_land_is_tried_again_by_the_engine() {
    for fault in [Fault::BeforeApplying, Fault::AlreadyExistsWithoutApplying, Fault::Denied] {
        let mut table = Table::new(&[], false);
        let store = Arc::new(FaultyStore::new(table.store.clone()));
        table.store = store.clone();
        let mut sink = table.open_sink();
        sink.open(&claim(1)).await.unwrap();
        store.every_put(Some(fault));
        let error = apply(&mut sink, &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap_err();
        let expected = if fault == Fault::Denied { ErrorKind::FixConfig } else { ErrorKind::Retry };
        assert_eq!(error.kind(), expected, "{fault:?}: {error}");
        assert!(error.message().contains("gs://my-bucket/results/part-"), "{error}");
        store.every_put(None);
        assert_eq!(sink.open(&claim(1)).await.unwrap(), Cursor(Epoch::ZERO));
        apply(&mut sink, &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap();
        assert_eq!(table.rows().await, [row("a", 1)]);
    }
}

#[tokio::test]
async fn a_large_epoch_is_cut_into_files() {
    let table = Table::new(&[], false);
    let text = "x".repeat(1 << 20);
    let rows: Vec<(&str, i64)> = (0..40).map(|n| (text.as_str(), n)).collect();
    let mut sink = table.open_sink();
    sink.open(&claim(1)).await.unwrap();
    apply(&mut sink, &claim(1), 0, 1, vec![batch(&rows)]).await.unwrap();
    let names = table.names().await;
    assert_eq!(names.iter().filter(|name| name.starts_with("part-")).count(), 3, "{names:?}");
    assert_eq!(table.rows().await.iter().map(|row| row.n).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_connector_writes_into_a_new_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/results");
    let spec = spec("t", &[("path", path.to_str().unwrap()), ("format", "json")], false);
    let mut sink = aqueduct_core::Connector::sink(&crate::FilesystemConnector, &spec).unwrap();
    sink.open(&claim(1)).await.unwrap();
    apply(sink.as_mut(), &claim(1), 0, 1, vec![batch(&[("a", 1)])]).await.unwrap();
    sink.close().await.unwrap();
    assert!(path.join(LEDGER).is_dir());
    let rows = crate::reader::read_sink(&spec).await.unwrap();
    assert_eq!(rows.iter().flat_map(rows_of).collect::<Vec<_>>(), [row("a", 1)]);
}
