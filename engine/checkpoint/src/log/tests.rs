//! The log against stores that lie: owning, committing, fencing.

use super::*;
use crate::SystemIds;
use crate::faults::{FaultStore, PutFault};
use crate::record::OutboxSegment;
use aqueduct_core::{ErrorKind, FailPoints};
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use std::time::Duration;

mod collecting;
mod lineages;
mod looking;
mod overtaken;

const QUICK: Patience =
    Patience { first: Duration::from_millis(1), longest: Duration::from_millis(4), give_up: Duration::from_millis(60) };

fn memory() -> FaultStore {
    FaultStore::new(Arc::new(InMemory::new()))
}

fn job() -> JobName {
    JobName::new("metrics").unwrap()
}

fn root() -> Path {
    Path::from("check/points")
}

async fn try_own(store: &FaultStore) -> Result<(ShardLog, Option<CommitBody>)> {
    let store: Arc<dyn ObjectStore> = Arc::new(store.clone());
    ShardLog::own_with(store, &root(), &job(), ShardId(0), Arc::new(SystemIds), QUICK, FailPoints::default()).await
}

async fn own(store: &FaultStore) -> (ShardLog, Option<CommitBody>) {
    try_own(store).await.unwrap()
}

fn empty_body(epoch: u64) -> CommitBody {
    CommitBody {
        epoch: Epoch(epoch),
        sealed_at_ms: 1_000 * epoch as i64,
        splits: Vec::new(),
        source_identity: Default::default(),
        queries: Default::default(),
        ledger: serde_json::json!({"read": epoch}),
        state_files: Vec::new(),
        outbox: Vec::new(),
        finished: false,
    }
}

/// A body with state and results of its own, and one state file that every epoch shares.
async fn full_body(log: &ShardLog, epoch: u64) -> CommitBody {
    let shared = log.put_blob("shared.sst", Bytes::from_static(b"always the same")).await.unwrap();
    let state = log.put_blob("state.sst", Bytes::from(format!("state of epoch {epoch}"))).await.unwrap();
    let rows = log.put_blob("rows", Bytes::from(format!("rows of epoch {epoch}"))).await.unwrap();
    let outbox = vec![OutboxSegment { sink: "pg".to_owned(), rows: 1, blob: rows, sequence: 0 }];
    CommitBody { state_files: vec![shared, state], outbox, ..empty_body(epoch) }
}

async fn commit(log: &mut ShardLog, epoch: u64) -> CommitBody {
    let body = full_body(log, epoch).await;
    log.commit(body.clone()).await.unwrap();
    body
}

async fn objects(store: &FaultStore, under: &str) -> Vec<String> {
    use futures::TryStreamExt;
    let metas: Vec<_> = store.list(Some(&root())).try_collect().await.unwrap();
    let mut names: Vec<String> = metas.into_iter().map(|meta| meta.location.to_string()).collect();
    names.retain(|name| name.contains(under));
    names.sort();
    names
}

fn record_path(slot: u64) -> Path {
    Path::from(format!("check/points/metrics/L1/s0/log/{slot:020}"))
}

async fn replace(store: &FaultStore, path: &Path, bytes: impl Into<Bytes>) {
    store.inner_put(path, bytes.into()).await;
}

impl FaultStore {
    /// An overwrite past all faults: somebody changes the folder by hand.
    async fn inner_put(&self, path: &Path, bytes: Bytes) {
        self.put(path, bytes.into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_job_begins_with_generation_one_and_nothing() {
    let store = memory();
    let (log, newest) = own(&store).await;
    assert_eq!(newest, None);
    assert_eq!((log.head(), log.claimed().generation.0, log.claimed().lineage.0), (Epoch::ZERO, 1, 1));
    assert_eq!(objects(&store, "").await, [record_path(0).to_string()]);
    assert!(log.commits_after(Epoch::ZERO).await.unwrap().is_empty());
    log.check_owner().await.unwrap();
}

async fn life_goes_on(store: FaultStore) {
    let mut last = None;
    for generation in 1..5_u64 {
        let (mut log, newest) = own(&store).await;
        assert_eq!(log.claimed().generation.0, generation);
        assert_eq!(newest, last);
        for _ in 0..3 {
            let epoch = log.head().0 + 1;
            last = Some(commit(&mut log, epoch).await);
            let body = last.as_ref().unwrap();
            assert_eq!(log.get_blob(&body.outbox[0].blob).await.unwrap(), format!("rows of epoch {epoch}").as_bytes());
        }
        assert_eq!(log.head().0, generation * 3);
        let after: Vec<u64> = log.commits_after(Epoch(1)).await.unwrap().iter().map(|body| body.epoch.0).collect();
        assert_eq!(after, (2..=generation * 3).collect::<Vec<_>>());
        let limited = log.reader().commits_after_limited(Epoch::ZERO, 2).await.unwrap();
        assert_eq!(limited.iter().map(|body| body.epoch.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(log.put_readbacks(), 0);
    }
    // The shared file was uploaded once, by the first owner.
    let shared = last.unwrap().state_files[0].object.clone();
    assert!(shared.starts_with("blobs/g1/"), "{shared}");
}

#[tokio::test]
async fn owners_follow_each_other_in_memory() {
    life_goes_on(memory()).await;
}

#[tokio::test]
async fn owners_follow_each_other_on_a_file_system() {
    let dir = tempfile::TempDir::new().unwrap();
    let local = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
    life_goes_on(FaultStore::new(Arc::new(local))).await;
}

#[tokio::test]
async fn every_lie_about_a_commit_ends_in_exactly_one_commit() {
    use PutFault::{ConflictNothingLanded, ErrorBefore, LandsLate, RepliedAlreadyExists, ReplyLost};
    let lies: [&[PutFault]; 6] = [
        &[ReplyLost],
        &[RepliedAlreadyExists],
        &[ErrorBefore],
        &[ConflictNothingLanded],
        &[LandsLate],
        &[ErrorBefore, ConflictNothingLanded, LandsLate, ReplyLost],
    ];
    for lie in lies {
        let store = memory();
        let (mut log, _) = own(&store).await;
        let body = full_body(&log, 1).await;
        store.next_puts(lie);
        log.commit(body.clone()).await.unwrap();
        assert_eq!(log.head(), Epoch(1), "{lie:?}");
        assert_eq!(log.put_readbacks(), lie.len() as u64, "{lie:?}");
        // What lands late is refused by the store.
        assert!(store.land_late().await.iter().all(|landed| landed.is_err()));
        log.check_owner().await.unwrap();
        commit(&mut log, 2).await;
        assert_eq!(own(&store).await.1.unwrap().epoch, Epoch(2));
        assert_eq!(objects(&store, "/log/").await.len(), 4);
    }
}

#[tokio::test]
async fn every_lie_about_a_claim_ends_in_exactly_one_claim() {
    use PutFault::{ConflictNothingLanded, ErrorBefore, LandsLate, RepliedAlreadyExists, ReplyLost};
    for lie in [ReplyLost, RepliedAlreadyExists, ErrorBefore, ConflictNothingLanded, LandsLate] {
        let store = memory();
        store.next_puts(&[lie]);
        let (mut log, _) = own(&store).await;
        store.land_late().await;
        assert_eq!(log.claimed().generation.0, 1, "{lie:?}");
        commit(&mut log, 1).await;
        assert_eq!(objects(&store, "/log/").await.len(), 2, "{lie:?}");
    }
}

#[tokio::test]
async fn every_lie_about_a_blob_ends_in_one_whole_blob() {
    use PutFault::{ConflictNothingLanded, ErrorBefore, LandsLate, RepliedAlreadyExists, ReplyLost};
    for lie in [ReplyLost, RepliedAlreadyExists, ErrorBefore, ConflictNothingLanded, LandsLate] {
        let store = memory();
        let (log, _) = own(&store).await;
        store.next_puts(&[lie]);
        let blob = log.put_blob("a", Bytes::from_static(b"contents")).await.unwrap();
        store.land_late().await;
        assert_eq!(log.get_blob(&blob).await.unwrap(), "contents", "{lie:?}");
        let again = log.put_blob("b", Bytes::from_static(b"contents")).await.unwrap();
        assert_eq!((again.object, again.name.as_str()), (blob.object, "b"));
        assert_eq!(objects(&store, "/blobs/").await.len(), 1);
    }
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_tried_again_with_the_same_body_only() {
    for landed in [true, false] {
        let store = memory();
        let (mut log, _) = own(&store).await;
        let body = full_body(&log, 1).await;
        store.next_puts(&[if landed { PutFault::ReplyLost } else { PutFault::ErrorBefore }]);
        let going_down = store.clone();
        let down = tokio::spawn(async move {
            while going_down.puts_seen() < 5 {
                tokio::task::yield_now().await;
            }
            going_down.set_down(true);
        });
        let first = log.commit(body.clone()).await;
        down.await.unwrap();
        if first.is_ok() {
            // The store went down after the outcome was known.
            continue;
        }
        assert_eq!(first.unwrap_err().kind(), ErrorKind::Retry);
        assert_eq!(log.head(), Epoch::ZERO);
        let other = CommitBody { sealed_at_ms: 7, ..body.clone() };
        assert_eq!(log.commit(other).await.unwrap_err().kind(), ErrorKind::Bug);
        assert_eq!(log.collect(Epoch(9), 1).await.unwrap(), Collected::default());
        store.set_down(false);
        log.commit(body.clone()).await.unwrap();
        assert_eq!(log.head(), Epoch(1));
        assert_eq!(own(&store).await.1, Some(body));
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_retry_and_nothing_is_lost() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    let body = full_body(&log, 1).await;
    store.set_down(true);
    assert_eq!(log.commit(body.clone()).await.unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(log.check_owner().await.unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(try_own(&store).await.unwrap_err().kind(), ErrorKind::Retry);
    store.set_down(false);
    log.commit(body).await.unwrap();
    commit(&mut log, 2).await;
}

#[tokio::test]
async fn a_dropped_commit_can_be_called_again() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    let body = full_body(&log, 1).await;
    store.next_puts(&[PutFault::LandsLate]);
    store.next_puts(&[PutFault::ErrorBefore; 20]);
    let dropped = tokio::time::timeout(Duration::from_millis(2), log.commit(body.clone())).await;
    assert!(dropped.is_err());
    // Now the create of the dropped call lands.
    store.forget_faults();
    store.land_late().await;
    log.commit(body).await.unwrap();
    assert_eq!((log.head(), objects(&store, "/log/").await.len()), (Epoch(1), 2));
}

#[tokio::test]
async fn an_old_owner_is_fenced_on_everything_that_shows_or_changes() {
    let store = memory();
    let (mut old, _) = own(&store).await;
    commit(&mut old, 1).await;
    let reader = old.reader();
    reader.check_owner().await.unwrap();
    let (mut new, newest) = own(&store).await;
    assert_eq!(newest.unwrap().epoch, Epoch(1));
    assert_eq!(reader.check_owner().await.unwrap_err().kind(), ErrorKind::Fenced);

    // Another old owner that has not looked yet learns it by committing.
    let error = old.commit(empty_body(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.message().contains("generation 2") && error.message().contains("'metrics'"), "{error}");
    assert_eq!(old.put_blob("a", Bytes::new()).await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(old.collect(Epoch(1), 1).await.unwrap_err().kind(), ErrorKind::Fenced);
    commit(&mut new, 2).await;
    new.check_owner().await.unwrap();
}

#[tokio::test]
async fn an_old_owner_that_only_commits_is_fenced_also_when_the_store_lies() {
    for lie in [PutFault::None, PutFault::ConflictNothingLanded, PutFault::ErrorBefore, PutFault::LandsLate] {
        let store = memory();
        let (mut old, _) = own(&store).await;
        commit(&mut old, 1).await;
        let (mut new, _) = own(&store).await;
        commit(&mut new, 2).await;
        store.next_puts(&[lie]);
        assert_eq!(old.commit(empty_body(2)).await.unwrap_err().kind(), ErrorKind::Fenced, "{lie:?}");
        assert!(store.land_late().await.iter().all(|landed| landed.is_err()));
        commit(&mut new, 3).await;
    }
}

#[tokio::test]
async fn a_commit_that_lands_before_the_claim_belongs_to_the_new_owner() {
    let store = memory();
    let (mut old, _) = own(&store).await;
    let body = full_body(&old, 1).await;
    // The old owner's reply is lost and it stalls; its commit is durable.
    store.next_puts(&[PutFault::LandsLate]);
    store.next_puts(&[PutFault::ErrorBefore; 20]);
    let _ = tokio::time::timeout(Duration::from_millis(2), old.commit(body.clone())).await;
    store.forget_faults();
    store.land_late().await;
    let (mut new, newest) = own(&store).await;
    assert_eq!(newest.as_ref(), Some(&body));
    commit(&mut new, 2).await;
    // The old owner wakes up: its commit counts, its ownership is over.
    old.commit(body).await.unwrap();
    assert_eq!(old.check_owner().await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(old.commit(empty_body(2)).await.unwrap_err().kind(), ErrorKind::Fenced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_owners_leave_one_line_of_epochs() {
    for _ in 0..20 {
        race(memory()).await;
    }
    let dir = tempfile::TempDir::new().unwrap();
    race(FaultStore::new(Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap()))).await;
}

/// Eight owners at once, each committing until it is fenced: every epoch is won once, and the last claimant finishes.
async fn race(store: FaultStore) {
    let mut racers = Vec::new();
    for _ in 0..8 {
        let store = store.clone();
        racers.push(tokio::spawn(async move {
            let (mut log, newest) = own(&store).await;
            let mut epoch = newest.map_or(0, |body| body.epoch.0);
            let mut won = Vec::new();
            for _ in 0..20 {
                epoch += 1;
                let Some(body) = full_body_or_fenced(&log, epoch).await else { return (won, false) };
                match log.commit(body).await {
                    Ok(()) => won.push(epoch),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                        return (won, false);
                    }
                }
                tokio::task::yield_now().await;
            }
            (won, true)
        }));
    }
    let (mut all, mut finished) = (Vec::new(), 0);
    for racer in racers {
        let (won, whole) = racer.await.unwrap();
        all.extend(won);
        finished += usize::from(whole);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "an epoch was committed twice or is missing");
    assert!(finished >= 1);
    let (last, newest) = own(&store).await;
    assert_eq!(newest.unwrap().epoch.0, all.len() as u64);
    assert_eq!(last.commits_after(Epoch::ZERO).await.unwrap().len(), all.len());
}

async fn full_body_or_fenced(log: &ShardLog, epoch: u64) -> Option<CommitBody> {
    let state = log.put_blob("state.sst", Bytes::from(format!("{epoch}"))).await.ok()?;
    Some(CommitBody { state_files: vec![state], ..empty_body(epoch) })
}

#[tokio::test]
async fn row_14_a_stale_list_does_not_hide_the_tail() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    for epoch in 1..=5 {
        commit(&mut log, epoch).await;
    }
    store.hide_newest_from_lists(3);
    let (log, newest) = own(&store).await;
    assert_eq!((newest.unwrap().epoch, log.claimed().generation.0), (Epoch(5), 2));
}

#[tokio::test]
async fn epochs_and_blobs_that_do_not_fit_are_bugs() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    assert_eq!(log.commit(empty_body(2)).await.unwrap_err().kind(), ErrorKind::Bug);
    let invented = BlobRef { name: "x".into(), sha256: "00".into(), bytes: 1, object: "blobs/g1/00".into() };
    let body = CommitBody { state_files: vec![invented], ..empty_body(1) };
    let error = log.commit(body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug);
    assert!(error.message().contains("'x'"), "{error}");
    commit(&mut log, 1).await;
}

#[tokio::test]
async fn permits_are_for_durable_epochs_only() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    commit(&mut log, 1).await;
    assert_eq!(log.permit(Epoch(1)).epoch(), Epoch(1));
    assert_eq!(log.permit(Epoch(1)).claimed(), log.claimed());
    let reader = log.reader();
    for epoch in [Epoch(2), Epoch::ZERO] {
        let early = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.permit(epoch)));
        assert!(early.is_err());
    }
}

#[tokio::test]
async fn no_rights_is_configuration_and_names_the_place() {
    let store = memory();
    store.next_puts(&[PutFault::Denied]);
    let error = try_own(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig);
    assert!(
        error.message().contains("permission denied") && error.message().contains("check/points/metrics"),
        "{error}"
    );
}

#[test]
fn what_runs_in_tasks_can_be_sent_there() {
    fn sent<T: Send>(_: &T) {}
    fn shared<T: Send + Sync + Clone>() {}
    shared::<ShardReader>();
    fn futures(log: &mut ShardLog, reader: &ShardReader, blob: &BlobRef) {
        sent(&reader.check_owner());
        sent(&reader.commits_after(Epoch(1)));
        sent(&reader.get_blob(blob));
        sent(&log.put_blob("a", Bytes::new()));
        sent(&log.commit(empty_body(1)));
        sent(&log.collect(Epoch(1), 1));
    }
    let _ = futures;
}
