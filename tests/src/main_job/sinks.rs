//! What stands in the sinks after a run, read by other means than the engine's, and its comparison with the oracle.

use super::{MainJob, Start};
use crate::oracle::Metrics;
use crate::services::S3;
use aqueduct_core::json::encode_base64;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Rows = BTreeMap<(i64, String), Metrics>;

impl MainJob {
    /// Compares all sinks, the exits and the ledger with the oracle; panics with the differences.
    pub async fn verify(&self, start: &Start) {
        self.verify_moved(&[start]).await;
    }

    /// The same for a job that has moved: its exits lie in the checkpoint folders of all `starts`, of which it runs in the last.
    pub async fn verify_moved(&self, starts: &[&Start]) {
        self.verify_results().await;
        self.verify_exits(starts).await;
    }

    /// The four sinks that the job's text names, without the exits in its checkpoint folder.
    pub async fn verify_results(&self) {
        self.verify_sinks().await;
        self.compare("the topic", unique_rows("the topic", self.topic_rows()));
    }

    /// The same for a job that was set back: rows of the topic may come again, with the same contents. Returns how many did.
    pub async fn verify_repeated(&self, start: &Start) -> usize {
        self.verify_sinks().await;
        let (mut rows, mut again) = (Rows::new(), 0);
        for value in self.topic_rows() {
            let (key, metrics) = row(&value);
            if let Some(before) = rows.insert(key.clone(), metrics) {
                assert_eq!(before, metrics, "the topic: {key:?} came again with other contents");
                again += 1;
            }
        }
        self.compare("the topic", rows);
        self.verify_exits(&[start]).await;
        again
    }

    fn topic_rows(&self) -> Vec<Value> {
        let topic = self.stage.kafka.read_committed(&format!("{}-results", self.name));
        let values = topic.iter().map(|record| serde_json::from_slice(record.value.as_deref().unwrap_or_default()));
        values.map(|value| value.expect("results are JSON")).collect()
    }

    /// The sinks whose rows have keys, or a ledger.
    async fn verify_sinks(&self) {
        self.compare("Postgres", self.postgres_rows().await);
        if let Some(firestore) = &self.stage.firestore {
            let documents = firestore.list_documents(&self.name);
            for (id, document) in &documents {
                assert_eq!(*id, format!("{}_{}", text(document, "window_start"), text(document, "size_label")));
            }
            self.compare("Firestore", unique_rows("Firestore", documents.into_iter().map(|(_, document)| document)));
        }
        let bucket = read_table(&self.stage.gcs.store(), &format!("{}/analytics", self.name), false).await;
        self.compare("the bucket", unique_rows("the bucket", bucket));
    }

    /// How many result rows stand in Postgres.
    pub async fn postgres_rows(&self) -> Rows {
        type Row = (DateTime<Utc>, String, i64, i64, DateTime<Utc>, Value);
        let mut connection = self.stage.postgres.connect(&self.database).await;
        let query = "SELECT window_start, size_label, event_count, total_bytes, latest_event, summary_json FROM analytics_metrics";
        let found: Vec<Row> =
            sqlx::query_as(query).fetch_all(&mut connection).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        let mut rows = Rows::new();
        for (window_start, label, event_count, total_bytes, latest, summary) in found {
            let (key, metrics) = row(&summary);
            assert_eq!(key, (window_start.timestamp_millis(), label.clone()), "summary_json is of another row");
            let columns = Metrics { event_count, total_bytes, latest_event_ms: latest.timestamp_millis() };
            assert_eq!(metrics, columns, "summary_json says something else than its row, {key:?}");
            rows.insert(key, columns);
        }
        rows
    }

    /// Every name in `found` and no other, with the same numbers.
    fn compare(&self, sink: &str, found: Rows) {
        let expected = &self.oracle.rows;
        let mut faults = Vec::new();
        for (key, metrics) in expected {
            match found.get(key) {
                None => faults.push(format!("{key:?}: missing, expected {metrics:?}")),
                Some(other) if other != metrics => faults.push(format!("{key:?}: {other:?}, expected {metrics:?}")),
                Some(_) => {}
            }
        }
        faults.extend(found.keys().filter(|key| !expected.contains_key(key)).map(|key| format!("{key:?}: too many")));
        let (count, all) = (faults.len(), expected.len());
        faults.truncate(10);
        assert!(faults.is_empty(), "{sink}: {count} differences in {all} rows:\n{}", faults.join("\n"));
    }

    /// Everything in the sinks with the marks that each system changes at any write, also at one of the same contents: Postgres'
    /// row versions, Firestore's update times, the bucket's generations, offsets. Two equal answers mean that nobody wrote.
    pub async fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::new();
        let mut connection = self.stage.postgres.connect(&self.database).await;
        let query = "SELECT 'row ' || window_start || ' ' || size_label, xmin::text FROM analytics_metrics \
                     UNION ALL SELECT 'cursor ' || sink, xmin::text || ' ' || epoch || ' ' || generation FROM aqueduct_cursor";
        let rows: Vec<(String, String)> =
            sqlx::query_as(query).fetch_all(&mut connection).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        versions.extend(rows.into_iter().map(|(name, version)| (format!("postgres {name}"), version)));
        if let Some(firestore) = &self.stage.firestore {
            let times = firestore.update_times(&self.name);
            versions.extend(times.into_iter().map(|(id, time)| (format!("firestore {id}"), time)));
        }
        let (store, folder) = (self.stage.gcs.store(), Path::from(format!("{}/analytics", self.name)));
        let objects: Vec<_> =
            store.list(Some(&folder)).try_collect().await.unwrap_or_else(|e| panic!("list {folder}: {e}"));
        for object in objects {
            let version = format!("{} {:?}", object.last_modified, object.e_tag);
            versions.insert(format!("bucket {}", object.location), version);
        }
        for record in self.stage.kafka.read_committed(&format!("{}-results", self.name)) {
            let place = format!("kafka {} {}", record.partition, record.offset);
            versions.insert(place, String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned());
        }
        versions
    }

    async fn verify_exits(&self, starts: &[&Start]) {
        let late = self.exits(starts, "quarantine/late").await;
        assert_same("late rows", &places(&late), &self.oracle.late, late.len());
        let dead = self.exits(starts, "quarantine/dead_letters").await;
        assert_same("dead letters", &places(&dead), &self.oracle.dead, dead.len());
        for letter in &dead {
            let mut raw = Vec::new();
            encode_base64(&self.dead_values[&place(letter)], &mut raw);
            assert_eq!(
                text(letter, "value").as_bytes(),
                raw,
                "the dead letter at {:?} is not what was written",
                place(letter)
            );
            assert!(!text(letter, "reason").is_empty());
        }
        let ledger = self.exits(starts, "ledger").await;
        let sum = |column: &str| ledger.iter().map(|entry| entry[column].as_u64().unwrap_or_default()).sum::<u64>();
        let expected = &self.oracle.ledger;
        assert_eq!(sum("rows_read"), expected.read, "the ledger's rows_read");
        assert_eq!(sum("rows_in_windows"), expected.in_windows, "the ledger's rows_in_windows");
        assert_eq!(sum("rows_filtered"), expected.skipped, "the ledger's rows_filtered");
        assert_eq!(sum("rows_late"), expected.late, "the ledger's rows_late");
        assert_eq!(sum("rows_dead"), expected.dead, "the ledger's rows_dead");
    }

    async fn exits(&self, starts: &[&Start], table: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        for (number, start) in starts.iter().enumerate() {
            let (store, root) = self.checkpoint_store(start);
            let abandoned = number + 1 < starts.len();
            let found = read_table(store.as_ref(), &format!("{root}{}/{table}", self.name), abandoned).await;
            // The folder that a job moves to is a new table: it also gets what the savepoint still held for every sink.
            let before: BTreeSet<String> = rows.iter().map(Value::to_string).collect();
            rows.extend(found.into_iter().filter(|row| !before.contains(&row.to_string())));
        }
        rows
    }

    /// The store of the checkpoints and the prefix in it, which ends with `/` or is empty.
    fn checkpoint_store(&self, start: &Start) -> (Arc<dyn ObjectStore>, String) {
        let checkpoints = self.checkpoints(start);
        let inside = |url: &str| url.split_once('/').map_or(String::new(), |(_, path)| format!("{path}/"));
        if let Some(rest) = checkpoints.strip_prefix("gs://") {
            return (Arc::new(self.stage.gcs.store()), inside(rest));
        }
        if let Some(rest) = checkpoints.strip_prefix("s3://") {
            return (Arc::new(S3::try_shared().expect("the test has asked for it").store()), inside(rest));
        }
        (Arc::new(LocalFileSystem::new_with_prefix(&checkpoints).expect("the job has made the folder")), String::new())
    }
}

/// The rows of a results table of JSON files, as an engine that knows nothing of the ledger reads it; then the ledger must
/// name the same files. In a table that its job has left, files that no ledger names do not count: nobody will finish them.
async fn read_table(store: &dyn ObjectStore, prefix: &str, abandoned: bool) -> Vec<Value> {
    let prefix = Path::from(prefix);
    let mut objects: Vec<Path> = store
        .list(Some(&prefix))
        .map_ok(|object| object.location)
        .try_collect()
        .await
        .unwrap_or_else(|e| panic!("list {prefix}: {e}"));
    objects.sort();
    let cuts = cuts(store, &objects).await;
    let (mut files, mut committed) = (BTreeMap::new(), BTreeSet::new());
    for object in objects {
        let inside = object.as_ref()[prefix.as_ref().len()..].trim_start_matches('/').to_owned();
        let name = inside.rsplit('/').next().unwrap_or_default();
        if name.starts_with("claim-") || name == "line.json" || is_cut_off(&inside, &cuts) {
            continue;
        }
        let bytes = store.get(&object).await.map(|found| found.bytes());
        let bytes = bytes.unwrap_or_else(|e| panic!("{object}: {e}")).await.unwrap_or_else(|e| panic!("{object}: {e}"));
        let parse = |line: &[u8]| serde_json::from_slice::<Value>(line).unwrap_or_else(|e| panic!("{object}: {e}"));
        if inside.starts_with("_committed/") {
            let entry = parse(&bytes);
            let named = entry["files"].as_array().into_iter().flatten().map(|file| text(file, "path").to_owned());
            committed.extend(named);
        } else {
            let rows: Vec<Value> =
                bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse).collect();
            files.insert(inside, rows);
        }
    }
    if abandoned {
        files.retain(|file, _| committed.contains(file));
    }
    let there: BTreeSet<String> = files.keys().cloned().collect();
    assert_eq!(there, committed, "{prefix}: the ledger names other files than there are");
    files.into_values().flatten().collect()
}

/// Label (`job-L1-s0`) to the last epoch of it that counts. The newest lineage of a job that was set back says so.
async fn cuts(store: &dyn ObjectStore, objects: &[Path]) -> BTreeMap<String, u64> {
    let lines = objects.iter().filter(|object| object.as_ref().ends_with("/line.json"));
    let number = |object: &Path| -> u64 {
        let label = object.as_ref().rsplit('/').nth(1).expect("a line lies in its label's folder");
        let (_, lineage) = label.rsplit_once("-L").expect("a label names its lineage");
        lineage.split_once("-s").and_then(|(lineage, _)| lineage.parse().ok()).expect("a label names its lineage")
    };
    let Some(newest) = lines.max_by_key(|object| number(object)) else { return BTreeMap::new() };
    let bytes = store.get(newest).await.expect("it was listed").bytes().await.expect("it was listed");
    let line: Value = serde_json::from_slice(&bytes).expect("a line is JSON");
    let label = newest.as_ref().rsplit('/').nth(1).expect("a line lies in its label's folder");
    let (job, _) = label.rsplit_once("-L").expect("a label names its lineage");
    let counts = line["counts"].as_object().expect("a line says what counts");
    counts.iter().map(|(lineage, last)| (format!("{job}-L{lineage}-s0"), last.as_u64().unwrap_or(0))).collect()
}

/// A file or a ledger entry of an epoch that counts no more.
fn is_cut_off(inside: &str, cuts: &BTreeMap<String, u64>) -> bool {
    cuts.iter().any(|(label, last)| {
        let entry = inside.strip_prefix(&format!("_committed/{label}/")).and_then(|name| name.strip_suffix(".json"));
        let part = inside.rsplit('/').next().and_then(|name| name.strip_prefix(&format!("part-{label}-e")));
        let epoch = entry.or(part.and_then(|rest| rest.split('-').next()));
        epoch.and_then(|epoch| epoch.parse::<u64>().ok()).is_some_and(|epoch| epoch > *last)
    })
}

/// By key; a key that comes twice is an error.
fn unique_rows(sink: &str, values: impl IntoIterator<Item = Value>) -> Rows {
    let mut rows = Rows::new();
    for value in values {
        let (key, metrics) = row(&value);
        assert!(rows.insert(key.clone(), metrics).is_none(), "{sink}: the row {key:?} is there twice");
    }
    rows
}

fn row(value: &Value) -> ((i64, String), Metrics) {
    let number = |name: &str| value[name].as_i64().unwrap_or_else(|| panic!("{name} is no number in {value}"));
    let metrics = Metrics {
        event_count: number("event_count"),
        total_bytes: number("total_bytes"),
        latest_event_ms: moment(value, "latest_event"),
    };
    moment(value, "processed_at");
    ((moment(value, "window_start"), text(value, "size_label").to_owned()), metrics)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

fn moment(value: &Value, name: &str) -> i64 {
    let parsed = DateTime::parse_from_rfc3339(text(value, name));
    parsed.unwrap_or_else(|e| panic!("{name} in {value}: {e}")).timestamp_millis()
}

fn place(value: &Value) -> (i32, i64) {
    let number = |name: &str| value[name].as_i64().unwrap_or_else(|| panic!("{name} is no number in {value}"));
    (i32::try_from(number("partition")).expect("partitions are small"), number("offset"))
}

fn places(values: &[Value]) -> BTreeSet<(i32, i64)> {
    values.iter().map(place).collect()
}

fn assert_same(what: &str, found: &BTreeSet<(i32, i64)>, expected: &BTreeSet<(i32, i64)>, count: usize) {
    let missing: Vec<_> = expected.difference(found).take(10).collect();
    let surplus: Vec<_> = found.difference(expected).take(10).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{what} (partition, offset): missing {missing:?}, too many {surplus:?}"
    );
    assert_eq!(count, expected.len(), "{what}: some are there twice");
}
