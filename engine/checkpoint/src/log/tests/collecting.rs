//! Collecting never deletes what somebody needs, and nobody comes back through a collected slot.

use super::*;

async fn epochs(log: &ShardLog, cursor: u64) -> Vec<u64> {
    log.commits_after(Epoch(cursor)).await.unwrap().iter().map(|body| body.epoch.0).collect()
}

async fn all_readable(log: &ShardLog, cursor: u64) {
    for body in log.commits_after(Epoch(cursor)).await.unwrap() {
        for blob in body.blobs() {
            log.get_blob(blob).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_needed_stays_and_the_rest_goes() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    for epoch in 1..=6 {
        commit(&mut log, epoch).await;
    }
    // A sink at epoch 2 needs 3 to 6.
    assert_eq!(log.collect(Epoch(2), 1).await.unwrap(), Collected { records: 2, blobs: 4 });
    assert_eq!(epochs(&log, 2).await, [3, 4, 5, 6]);
    all_readable(&log, 2).await;
    // Nothing more to do.
    assert_eq!(log.collect(Epoch(2), 1).await.unwrap(), Collected::default());
    // Three are retained though no sink needs them.
    assert_eq!(log.collect(Epoch(6), 3).await.unwrap(), Collected { records: 1, blobs: 2 });
    assert_eq!(epochs(&log, 3).await, [4, 5, 6]);
    assert_eq!(objects(&store, "/boundary/").await.len(), 1);
    // What is gone is named as a gap.
    let error = log.commits_after(Epoch(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData);
    assert!(error.message().contains("needs epoch 2") && error.message().contains("oldest one kept"), "{error}");
    let kept = log.reader().retained_after(Epoch(1)).await.unwrap();
    assert_eq!(kept.iter().map(|body| body.epoch.0).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(log.reader().retained_after(Epoch(7)).await.unwrap_err().kind(), ErrorKind::FixData);
    assert!(log.reader().retained_after(Epoch(6)).await.unwrap().is_empty());
    // A sink that is ahead is named too.
    let error = log.commits_after(Epoch(7)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("epoch 7"), "{error}");

    commit(&mut log, 7).await;
    log.collect(Epoch(7), 1).await.unwrap();
    assert_eq!(objects(&store, "/log/").await, [record_path(0).to_string(), record_path(7).to_string()]);
    assert_eq!(objects(&store, "/blobs/").await.len(), 3);
    let (log, newest) = own(&store).await;
    assert_eq!(newest.unwrap().epoch, Epoch(7));
    all_readable(&log, 6).await;
}

#[tokio::test]
async fn blobs_put_for_the_coming_commit_survive_a_collection() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    let contents = || Bytes::from_static(b"comes back");
    let first = log.put_blob("a", contents()).await.unwrap();
    log.commit(CommitBody { state_files: vec![first.clone()], ..empty_body(1) }).await.unwrap();
    log.commit(empty_body(2)).await.unwrap();
    // Needed by the collected epoch 1 and by the coming epoch 3.
    let again = log.put_blob("a", contents()).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(log.collect(Epoch(2), 1).await.unwrap(), Collected { records: 1, blobs: 0 });
    log.commit(CommitBody { state_files: vec![again.clone()], ..empty_body(3) }).await.unwrap();
    log.get_blob(&again).await.unwrap();
    log.commit(empty_body(4)).await.unwrap();
    log.collect(Epoch(4), 1).await.unwrap();
    assert!(objects(&store, "/blobs/").await.is_empty());
    // Given up once: the same contents get another name, and an old reference is refused.
    let new = log.put_blob("a", contents()).await.unwrap();
    assert_ne!(new.object, first.object);
    let stale = CommitBody { state_files: vec![first], ..empty_body(5) };
    assert_eq!(log.commit(stale).await.unwrap_err().kind(), ErrorKind::Bug);
    log.commit(CommitBody { state_files: vec![new.clone()], ..empty_body(5) }).await.unwrap();
    log.get_blob(&new).await.unwrap();
}

#[tokio::test]
async fn a_new_owner_removes_what_earlier_ones_left() {
    let store = memory();
    let (mut old, _) = own(&store).await;
    for epoch in 1..=4 {
        commit(&mut old, epoch).await;
    }
    old.put_blob("never committed", Bytes::from_static(b"orphan")).await.unwrap();
    // The old owner closes the slots, deletes one object and dies.
    store.fail_deletes_after(Some(1));
    assert_eq!(old.collect(Epoch(3), 1).await.unwrap_err().kind(), ErrorKind::Retry);
    store.fail_deletes_after(None);
    assert_eq!(objects(&store, "/boundary/").await.len(), 1);

    let (mut new, newest) = own(&store).await;
    assert_eq!(newest.unwrap().epoch, Epoch(4));
    let collected = new.collect(Epoch(3), 1).await.unwrap();
    assert_eq!(collected, Collected { records: 2, blobs: 7 });
    all_readable(&new, 3).await;
    assert_eq!(objects(&store, "/blobs/").await.len(), 3);
    // Both claims and the kept commit.
    assert_eq!(objects(&store, "/log/").await.len(), 3);
    commit(&mut new, 5).await;
    new.collect(Epoch(5), 1).await.unwrap();
    assert_eq!(objects(&store, "/log/").await.len(), 3);
    assert_eq!(objects(&store, "/boundary/").await.len(), 1);
}

#[tokio::test]
async fn a_collection_that_failed_goes_on_at_the_next_call() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    for epoch in 1..=5 {
        commit(&mut log, epoch).await;
    }
    for allowed in [0, 1, 3] {
        store.fail_deletes_after(Some(allowed));
        assert_eq!(log.collect(Epoch(5), 1).await.unwrap_err().kind(), ErrorKind::Retry);
    }
    store.fail_deletes_after(None);
    log.collect(Epoch(5), 1).await.unwrap();
    assert_eq!((objects(&store, "/log/").await.len(), objects(&store, "/blobs/").await.len()), (2, 3));
    all_readable(&log, 4).await;
}

#[tokio::test]
async fn a_lost_boundary_reply_does_not_stop_the_collection() {
    use PutFault::{ConflictNothingLanded, ErrorBefore, RepliedAlreadyExists, ReplyLost};
    for lie in [ReplyLost, RepliedAlreadyExists, ErrorBefore, ConflictNothingLanded] {
        let store = memory();
        let (mut log, _) = own(&store).await;
        commit(&mut log, 1).await;
        commit(&mut log, 2).await;
        store.next_puts(&[lie]);
        assert_eq!(log.collect(Epoch(2), 1).await.unwrap().records, 1, "{lie:?}");
        assert_eq!(objects(&store, "/boundary/").await.len(), 1);
    }
}

/// A stalled owner wakes up after everything around its slot was collected.
#[tokio::test]
async fn row_04_a_stalled_owner_cannot_come_back_through_a_collected_slot() {
    let store = memory();
    let (mut stalled, _) = own(&store).await;
    commit(&mut stalled, 1).await;
    let (mut owner, _) = own(&store).await;
    for epoch in 2..=9 {
        commit(&mut owner, epoch).await;
    }
    owner.collect(Epoch(9), 1).await.unwrap();
    // Only claims and the newest commit are left; the stalled owner's next slot holds a claim.
    assert_eq!(objects(&store, "/log/").await.len(), 3);
    assert_eq!(stalled.commit(empty_body(2)).await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(stalled.check_owner().await.unwrap_err().kind(), ErrorKind::Fenced);
    commit(&mut owner, 10).await;
}

/// The stalled owner's own commit had landed, was read by the next owner, and was collected: creating it again succeeds in the
/// store, and only the boundary tells that it does not count.
#[tokio::test]
async fn a_repeated_create_behind_the_boundary_does_not_count() {
    let store = memory();
    let (mut stalled, _) = own(&store).await;
    let body = full_body(&stalled, 1).await;
    store.next_puts(&[PutFault::LandsLate]);
    store.next_puts(&[PutFault::ErrorBefore; 20]);
    let dropped = tokio::time::timeout(Duration::from_millis(2), stalled.commit(body.clone())).await;
    assert!(dropped.is_err());
    store.forget_faults();
    store.land_late().await;
    let (mut owner, newest) = own(&store).await;
    assert_eq!(newest.as_ref(), Some(&body));
    for epoch in 2..=4 {
        commit(&mut owner, epoch).await;
    }
    owner.collect(Epoch(4), 1).await.unwrap();
    assert!(!objects(&store, "/log/").await.contains(&record_path(1).to_string()));
    // It wakes up and creates the same record in the same slot, which is free again.
    let error = stalled.commit(body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(own(&store).await.1.unwrap().epoch, Epoch(4));
}

#[tokio::test]
async fn a_claim_behind_the_boundary_does_not_count() {
    let store = memory();
    let (mut first, _) = own(&store).await;
    for epoch in 1..=3 {
        commit(&mut first, epoch).await;
    }
    // A claimant has read the tail at slot 1 and stalled before its create of slot 2; meanwhile slot 2 was collected.
    first.collect(Epoch(3), 1).await.unwrap();
    let paths = crate::paths::ShardPaths::new(&root(), &job(), aqueduct_core::Lineage(1), ShardId(0));
    let record = Record {
        slot: crate::protocol::Slot(2),
        put_id: "late".to_owned(),
        generation: aqueduct_core::Generation(2),
        lineage: aqueduct_core::Lineage(1),
        shard: ShardId(0),
        kind: Kind::Claim { newest_commit: None, damaged: Vec::new(), owner: None },
    };
    let late = Store::new(Arc::new(store.clone()), QUICK);
    let bytes = Bytes::from(record.encode().unwrap());
    let appended = append(&late, &paths, &record, &bytes, 0).await.unwrap();
    assert_eq!(appended.judgement, Judgement::BehindBoundary);
    // The owner does not notice, and the leftover goes with the next owner's first collection.
    commit(&mut first, 4).await;
    let (mut second, newest) = own(&store).await;
    assert_eq!((newest.unwrap().epoch, second.claimed().generation.0), (Epoch(4), 2));
    second.collect(Epoch(4), 1).await.unwrap();
    assert!(!objects(&store, "/log/").await.contains(&record_path(2).to_string()));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_the_collection() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    for epoch in 1..=4 {
        commit(&mut log, epoch).await;
    }
    replace(&store, &record_path(2), "spoilt").await;
    let (mut log, _) = own(&store).await;
    let before = objects(&store, "").await;
    let error = log.collect(Epoch(4), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData);
    assert!(error.message().contains(record_path(2).as_ref()), "{error}");
    assert_eq!(objects(&store, "").await, before);
    // The job itself goes on; a sink that needs the record learns its name.
    commit(&mut log, 5).await;
    assert_eq!(epochs(&log, 2).await, [3, 4, 5]);
    assert_eq!(log.commits_after(Epoch(1)).await.unwrap_err().kind(), ErrorKind::FixData);
}

/// Owners come, commit, collect and die at random, with faults; every retained epoch stays readable.
#[tokio::test]
async fn random_lives_never_lose_a_needed_blob() {
    for seed in 1..16_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut draw = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let store = memory();
        let (mut epoch, mut cursor) = (0, 0);
        for _ in 0..6 {
            let (mut log, newest) = own(&store).await;
            assert_eq!(newest.map_or(0, |body| body.epoch.0), epoch, "seed {seed}");
            for _ in 0..draw(6) {
                use PutFault::{ConflictNothingLanded, ErrorBefore, RepliedAlreadyExists, ReplyLost};
                let faults = [PutFault::None, ReplyLost, ErrorBefore, ConflictNothingLanded, RepliedAlreadyExists];
                store.next_puts(&[faults[draw(5) as usize], faults[draw(5) as usize]]);
                // Contents repeat among the epochs, so that names are given up and come back.
                let again = log.put_blob("again", Bytes::from(format!("{}", draw(3)))).await.unwrap();
                let body = CommitBody { state_files: vec![again], ..full_body(&log, epoch + 1).await };
                log.commit(body).await.unwrap();
                epoch += 1;
                cursor += draw(epoch - cursor + 1);
                store.fail_deletes_after(if draw(3) == 0 { Some(draw(5) as usize) } else { None });
                let _ = log.collect(Epoch(cursor), 1 + draw(3) as usize).await;
                store.fail_deletes_after(None);
                all_readable(&log, cursor).await;
            }
            all_readable(&log, cursor).await;
        }
    }
}
