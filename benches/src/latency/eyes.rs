//! Somebody who looks at a sink all the time, and notes when each window is there. One thread for each sink.

use aqueduct_tests::main_job::MainJob;
use aqueduct_tests::services::http;
use chrono::{DateTime, SecondsFormat};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at a sink that has to be asked.
const BLINK: Duration = Duration::from_millis(10);
/// Listing a bucket is dearer.
const SLOW_BLINK: Duration = Duration::from_millis(50);
const MINUTE_MS: i64 = 60_000;
/// A label that every window of so many records has.
const LABEL: &str = "large";

/// When windows were first seen, by their start in milliseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<BTreeMap<i64, Instant>>>);

impl Seen {
    fn note(&self, window: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(window).or_insert_with(Instant::now);
    }

    /// When a window was seen.
    pub(super) fn at(&self, window: i64) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&window).copied()
    }

    /// The newest window that was seen.
    pub(super) fn newest(&self) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().next_back().copied().unwrap_or(i64::MIN)
    }
}

/// A sink that is looked at.
pub(super) struct Eye {
    pub(super) sink: &'static str,
    pub(super) seen: Seen,
}

/// Looks at every sink of the job until it is `over`.
pub(super) fn open(job: &Arc<MainJob>, over: &Arc<AtomicBool>) -> Vec<Eye> {
    let mut eyes = vec![
        eye("postgres", job, over, |job, over, seen| own_runtime(look_at_postgres(job, over, seen))),
        eye("kafka", job, over, look_at_kafka),
        eye("bucket", job, over, |job, over, seen| own_runtime(look_at_bucket(job, over, seen))),
    ];
    if job.stage.firestore.is_some() {
        eyes.push(eye("firestore", job, over, look_at_firestore));
    }
    eyes
}

fn eye(
    sink: &'static str,
    job: &Arc<MainJob>,
    over: &Arc<AtomicBool>,
    look: impl FnOnce(&MainJob, &AtomicBool, &Seen) + Send + 'static,
) -> Eye {
    let seen = Seen::default();
    let (job, over, notes) = (Arc::clone(job), Arc::clone(over), seen.clone());
    std::thread::spawn(move || look(&job, &over, &notes));
    Eye { sink, seen }
}

fn own_runtime(look: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(look);
}

/// An epoch's rows appear together, and windows in the order of their ends: everything up to the newest one is there.
async fn look_at_postgres(job: &MainJob, over: &AtomicBool, seen: &Seen) {
    let mut connection = job.stage.postgres.connect(job.database()).await;
    let mut first = None::<i64>;
    while !over.load(Ordering::Relaxed) {
        let query = "SELECT (extract(epoch FROM min(window_start)) * 1000)::bigint, \
                     (extract(epoch FROM max(window_start)) * 1000)::bigint FROM analytics_metrics";
        let found: (Option<i64>, Option<i64>) =
            sqlx::query_as(query).fetch_one(&mut connection).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        if let (Some(least), Some(newest)) = found {
            let mut window = *first.get_or_insert(least);
            while window <= newest {
                seen.note(window);
                window += MINUTE_MS;
            }
        }
        tokio::time::sleep(BLINK).await;
    }
}

fn look_at_kafka(job: &MainJob, over: &AtomicBool, seen: &Seen) {
    let follower = job.stage.kafka.follow(&format!("{}-results", job.name));
    while !over.load(Ordering::Relaxed) {
        if let Some(record) = follower.next(Duration::from_millis(100)) {
            seen.note(window_of(&record.value.unwrap_or_default()));
        }
    }
}

/// New files of the table; each is looked into once.
async fn look_at_bucket(job: &MainJob, over: &AtomicBool, seen: &Seen) {
    let (store, folder) = (job.stage.gcs.store(), Path::from(format!("{}/analytics", job.name)));
    let mut known = BTreeSet::new();
    while !over.load(Ordering::Relaxed) {
        let objects: Vec<Path> = store
            .list(Some(&folder))
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .unwrap_or_else(|e| panic!("list {folder}: {e}"));
        for object in objects {
            // Readers of the table leave out what begins with an underscore.
            if object.as_ref().contains("/_") || !known.insert(object.clone()) {
                continue;
            }
            let found = store.get(&object).await.unwrap_or_else(|e| panic!("{object}: {e}"));
            let bytes = found.bytes().await.unwrap_or_else(|e| panic!("{object}: {e}"));
            bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .for_each(|line| seen.note(window_of(line)));
        }
        tokio::time::sleep(SLOW_BLINK).await;
    }
}

/// Asks for one document of the next window until it is there; the first window is that of the results topic.
fn look_at_firestore(job: &MainJob, over: &AtomicBool, seen: &Seen) {
    let Some(firestore) = &job.stage.firestore else { return };
    let follower = job.stage.kafka.follow(&format!("{}-results", job.name));
    let mut next = None;
    while next.is_none() && !over.load(Ordering::Relaxed) {
        next = follower.next(Duration::from_millis(100)).map(|record| window_of(&record.value.unwrap_or_default()));
    }
    drop(follower);
    while let Some(window) = next.filter(|_| !over.load(Ordering::Relaxed)) {
        let start = DateTime::from_timestamp_millis(window).expect("a window is a moment");
        let id = format!("{}_{LABEL}", start.to_rfc3339_opts(SecondsFormat::Secs, true));
        let place = format!("v1/projects/{}/databases/(default)/documents/{}/{id}", firestore.project(), job.name);
        let reply = http::request(
            "GET",
            &format!("http://{}/{place}", firestore.host()),
            &[("Authorization", "Bearer owner")],
            b"",
        );
        if reply.is_ok_and(|reply| reply.status == 200) {
            seen.note(window);
            next = Some(window + MINUTE_MS);
        } else {
            std::thread::sleep(BLINK);
        }
    }
}

/// `window_start` of a result row, in milliseconds.
fn window_of(row: &[u8]) -> i64 {
    let row: Value = serde_json::from_slice(row).unwrap_or_else(|e| panic!("a result is no JSON: {e}"));
    let start = row["window_start"].as_str().unwrap_or_else(|| panic!("a result has no window: {row}"));
    DateTime::parse_from_rfc3339(start).unwrap_or_else(|e| panic!("{start}: {e}")).timestamp_millis()
}
