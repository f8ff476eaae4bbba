//! Lineages that are cut from others, savepoints, and the way past damage.

use super::*;
use crate::begin::{Blobs, Place, begin};
use crate::kept::{broken, kept, peek};
use crate::own::Taking;
use crate::record::{Origin, Why};
use crate::savepoint::{Request, read, take};
use aqueduct_core::{Generation, Line, Lineage};

fn place(store: &FaultStore) -> Place {
    Place::new(Arc::new(store.clone()), root())
}

async fn past_damage(store: &FaultStore) -> Taken {
    let taking = Taking { past_damage: true, patience: QUICK, ..Taking::default() };
    ShardLog::take(&place(store), &job(), ShardId(0), Arc::new(SystemIds), &taking).await.unwrap()
}

/// A lineage that is cut from lineage 1 after `to`.
async fn set_back(store: &FaultStore, to: u64) -> Lineage {
    let here = place(store);
    let kept = kept(&here, &job(), ShardId(0), Some(Lineage(1))).await.unwrap().unwrap();
    let commits: Vec<CommitBody> = kept.commits.into_iter().filter(|body| body.epoch.0 <= to).collect();
    let origin = Origin {
        from_job: job(),
        from_lineage: Lineage(1),
        from_epoch: Epoch(to),
        why: Why::Rewind,
        line: Line::default().cut(&job(), Lineage(1), Epoch(to)),
        commits,
        repeats: Vec::new(),
    };
    let from = Blobs::Lineage { place: here.clone(), job: job(), lineage: Lineage(1) };
    begin(&here, &job(), ShardId(0), Lineage(1), origin, &from, &SystemIds).await.unwrap()
}

#[tokio::test]
async fn a_job_that_was_set_back_goes_on_there_and_the_old_owner_is_fenced() {
    let store = memory();
    let (mut old, _) = own(&store).await;
    let mut bodies = Vec::new();
    for epoch in 1..=3 {
        bodies.push(commit(&mut old, epoch).await);
    }
    assert_eq!(set_back(&store, 2).await, Lineage(2));
    let (mut log, newest) = own(&store).await;
    assert_eq!((log.claimed().lineage, log.claimed().generation), (Lineage(2), Generation(2)));
    let head = newest.unwrap();
    assert_eq!((head.epoch, head.state_files.len()), (Epoch(2), 2));
    // Its files are its own: relative to the new lineage, with the same contents.
    assert_eq!(log.get_blob(&head.state_files[1]).await.unwrap(), b"state of epoch 2".as_slice());
    assert!(objects(&store, "/L2/s0/blobs/g1/").await.len() >= 4);
    // A sink that stands at epoch 0 still gets the results of epoch 1, whose state is not kept.
    let after = log.commits_after(Epoch::ZERO).await.unwrap();
    assert_eq!(after.iter().map(|body| (body.epoch.0, body.state_files.len())).collect::<Vec<_>>(), [(1, 0), (2, 2)]);
    assert_eq!(log.get_blob(&after[0].outbox[0].blob).await.unwrap(), b"rows of epoch 1".as_slice());
    // The old owner can commit nothing more, and knows it.
    let next = empty_body(4);
    assert_eq!(old.commit(next).await.unwrap_err().kind(), ErrorKind::Fenced);
    commit(&mut log, 3).await;
    let (log, newest) = own(&store).await;
    assert_eq!((log.claimed().lineage, newest.unwrap().epoch), (Lineage(2), Epoch(3)));
}

#[tokio::test]
async fn what_a_lineage_began_with_is_collected_when_nobody_needs_it() {
    let store = memory();
    let (mut old, _) = own(&store).await;
    for epoch in 1..=3 {
        commit(&mut old, epoch).await;
    }
    set_back(&store, 2).await;
    let (mut log, _) = own(&store).await;
    commit(&mut log, 3).await;
    // A sink needs epoch 2: everything stays.
    assert_eq!(log.collect(Epoch(1), 1).await.unwrap(), Collected::default());
    let rows_of_one = log.commits_after(Epoch::ZERO).await.unwrap()[0].outbox[0].blob.clone();
    log.collect(Epoch(3), 1).await.unwrap();
    assert!(log.get_blob(&rows_of_one).await.is_err());
    // The record itself stays, and says to the next owner where the lineage comes from.
    let taken = past_damage(&store).await;
    let origin = taken.origin.unwrap();
    assert_eq!((origin.from_lineage, origin.from_epoch), (Lineage(1), Epoch(2)));
    assert_eq!((taken.head.unwrap().epoch, taken.damage), (Epoch(3), Vec::new()));
}

#[tokio::test]
async fn a_damaged_end_is_passed_only_by_who_says_so() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    for epoch in 1..=3 {
        commit(&mut log, epoch).await;
    }
    let whole = store.get(&record_path(3)).await.unwrap().bytes().await.unwrap();
    replace(&store, &record_path(3), "spoilt").await;
    assert_eq!(try_own(&store).await.unwrap_err().kind(), ErrorKind::FixData);
    assert_eq!(peek(&place(&store), &job(), ShardId(0)).await.unwrap_err().kind(), ErrorKind::FixData);
    let taken = past_damage(&store).await;
    assert_eq!(taken.head.unwrap().epoch, Epoch(2));
    assert!(taken.damage.iter().any(|words| words.contains(record_path(3).as_ref())), "{:?}", taken.damage);
    // The claim stands above the damage, and remembers it: nobody takes epoch 2 for the newest one.
    assert!(taken.log.claimed().generation > Generation(2));
    assert_eq!(log.commit(empty_body(4)).await.unwrap_err().kind(), ErrorKind::Fenced);
    let error = try_own(&store).await.unwrap_err();
    assert!(error.message().contains(record_path(3).as_ref()), "{error}");
    assert_eq!(past_damage(&store).await.head.unwrap().epoch, Epoch(2));
    // Somebody puts the record back.
    replace(&store, &record_path(3), whole).await;
    let (_, newest) = own(&store).await;
    assert_eq!(newest.unwrap().epoch, Epoch(3));
}

#[tokio::test]
async fn a_folder_that_lost_its_log_is_not_an_empty_one() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    commit(&mut log, 1).await;
    for record in objects(&store, "/log/").await {
        store.delete(&Path::from(record)).await.unwrap();
    }
    let error = try_own(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData);
    assert!(error.message().contains("holds files but no record"), "{error}");
}

/// Two start at once, and the other one's first record lands between the look at the log and the look at the folder.
#[tokio::test]
async fn a_claim_that_lands_while_an_owner_looks_is_no_damage() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    commit(&mut log, 1).await;
    for record in objects(&store, "/log/").await {
        let record = Path::from(record);
        let bytes = store.get(&record).await.unwrap().bytes().await.unwrap();
        store.delete(&record).await.unwrap();
        store.next_puts(&[PutFault::LandsLate]);
        store.put(&record, bytes.into()).await.unwrap_err();
    }
    store.land_late_at_list_of(&Path::from("check/points/metrics/L1/s0"));
    let (_, newest) = own(&store).await;
    assert_eq!(newest.unwrap().epoch, Epoch(1));
}

fn request(at_least: u64) -> Request {
    Request {
        name: "one".to_owned(),
        at_least: Epoch(at_least),
        delivered: Default::default(),
        now_ms: 5,
        program: "a test".to_owned(),
    }
}

#[tokio::test]
async fn a_savepoint_starts_a_job_in_another_store() {
    let (store, elsewhere) = (memory(), memory());
    let (mut log, _) = own(&store).await;
    for epoch in 1..=3 {
        commit(&mut log, epoch).await;
    }
    let to = Place::new(Arc::new(store.clone()), Path::from("kept/one"));
    let taken = take(&place(&store), &job(), ShardId(0), &to, &request(3), &SystemIds).await.unwrap();
    assert_eq!((taken.epoch, taken.commits.len()), (Epoch(3), 3));
    assert_eq!(read(&to).await.unwrap(), taken);
    assert!(objects(&store, "/pins/").await.is_empty(), "the pin is taken away");
    let again = take(&place(&store), &job(), ShardId(0), &to, &request(3), &SystemIds).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::FixConfig);
    // Copied with any tool.
    use futures::TryStreamExt;
    let files: Vec<_> = store.list(Some(&Path::from("kept/one"))).try_collect().await.unwrap();
    for file in files {
        let bytes = store.get(&file.location).await.unwrap().bytes().await.unwrap();
        let name = file.location.as_ref().replace("kept/one", "other/place");
        elsewhere.put(&Path::from(name), bytes.into()).await.unwrap();
    }
    let from = Place::new(Arc::new(elsewhere.clone()), Path::from("other/place"));
    let found = read(&from).await.unwrap();
    assert_eq!(crate::savepoint::problems(&from, &found).await.unwrap(), Vec::<String>::new());
    let origin = found.origin("s3://other/place");
    let blobs = Blobs::Savepoint(from);
    let lineage = begin(&place(&elsewhere), &job(), ShardId(0), Lineage(7), origin, &blobs, &SystemIds).await.unwrap();
    assert_eq!(lineage, Lineage(7));
    let (mut log, newest) = own(&elsewhere).await;
    let head = newest.unwrap();
    assert_eq!((log.claimed().lineage, head.epoch), (Lineage(7), Epoch(3)));
    assert_eq!(log.get_blob(&head.state_files[1]).await.unwrap(), b"state of epoch 3".as_slice());
    let commits = log.commits_after(Epoch::ZERO).await.unwrap();
    let lacking = broken(&place(&elsewhere), &job(), ShardId(0), lineage, &commits).await.unwrap();
    assert!(lacking.is_empty(), "{lacking:?}");
    // What it began with is told as long as it lives.
    for epoch in 4..=6 {
        commit(&mut log, epoch).await;
    }
    log.collect(Epoch(6), 1).await.unwrap();
    let shard =
        crate::inspect::inspect(Arc::new(elsewhere.clone()), &root(), None).await.unwrap().remove(0).shards.remove(0);
    assert!(shard.boundary > Some(1), "{shard:?}");
    assert_eq!(shard.origin.map(|origin| origin.epoch), Some(Epoch(3)));
}

/// A dead job cannot say what its sinks have: a sink at another address gets all that is still kept, and no gap.
#[tokio::test]
async fn a_sink_that_a_savepoint_knows_nothing_of_lacks_what_is_kept() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    for epoch in 1..=5 {
        commit(&mut log, epoch).await;
    }
    log.collect(Epoch(3), 1).await.unwrap();
    let to = |name: &str| Place::new(Arc::new(store.clone()), Path::from(format!("kept/{name}")));
    let taken = take(&place(&store), &job(), ShardId(0), &to("dead"), &request(5), &SystemIds).await.unwrap();
    let first = taken.commits[0].epoch;
    assert!(first > Epoch(1), "some are collected");
    assert_eq!(taken.origin("x").line.begin("pg", &[]), Epoch(first.0 - 1));
    // A running one says it.
    let told = Request { delivered: [("pg".to_owned(), Epoch(4))].into(), name: "live".to_owned(), ..request(5) };
    let taken = take(&place(&store), &job(), ShardId(0), &to("live"), &told, &SystemIds).await.unwrap();
    assert_eq!(taken.origin("x").line.begin("pg", &[]), Epoch(4));
}

#[tokio::test]
async fn a_savepoint_of_a_damaged_job_is_refused_by_the_files_name() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    let body = commit(&mut log, 1).await;
    let blob = Path::from(format!("check/points/metrics/L1/s0/{}", body.state_files[1].object));
    store.delete(&blob).await.unwrap();
    let to = Place::new(Arc::new(store.clone()), Path::from("kept/one"));
    let error = take(&place(&store), &job(), ShardId(0), &to, &request(1), &SystemIds).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData);
    assert!(error.message().contains(blob.as_ref()), "{error}");
    assert_eq!(read(&to).await.unwrap_err().kind(), ErrorKind::FixConfig, "no manifest, no savepoint");
    let error = take(&place(&store), &job(), ShardId(0), &to, &request(9), &SystemIds).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "epoch 9 is not sealed yet: {error}");
}

#[tokio::test]
async fn a_pinned_epoch_is_told_until_it_is_old() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    commit(&mut log, 1).await;
    replace(&store, &Path::from(format!("check/points/metrics/L1/s0/pins/{:020}-x", 1)), "copying").await;
    let now = objects_now();
    assert_eq!(log.pinned(now).await.unwrap(), Some(Epoch(1)));
    assert_eq!(log.pinned(now + 2 * 3_600_000).await.unwrap(), None);
    assert!(objects(&store, "/pins/").await.is_empty(), "and it is removed");
}

fn objects_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
