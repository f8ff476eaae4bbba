//! An owner that a newer one has overtaken misses things: it is told that it is fenced, and raises no alarm about the folder.

use super::*;
use crate::end::End;
use crate::own::{Taking, take_over};
use crate::paths::ShardPaths;
use crate::protocol::{ClaimPlan, Slot};
use aqueduct_core::{Claimed, Generation, Lineage};

fn paths(lineage: u32) -> ShardPaths {
    ShardPaths::new(&root(), &job(), Lineage(lineage), ShardId(0))
}

fn thin(store: &FaultStore) -> Store {
    Store::new(Arc::new(store.clone()), QUICK)
}

async fn append_record(store: &FaultStore, lineage: u32, slot: u64, generation: u64, kind: Kind) {
    let record = Record {
        slot: Slot(slot),
        put_id: format!("by hand {slot}"),
        generation: Generation(generation),
        lineage: Lineage(lineage),
        shard: ShardId(0),
        kind,
    };
    let bytes = Bytes::from(record.encode().unwrap());
    let appended = append(&thin(store), &paths(lineage), &record, &bytes, 0).await.unwrap();
    assert_eq!(appended.judgement, Judgement::Won);
}

/// Its claim is won; before it reads the newest commit another process claims, goes on and collects that commit.
#[tokio::test]
async fn a_claimant_that_stalls_before_it_reads_is_fenced() {
    let store = memory();
    let (mut first, _) = own(&store).await;
    commit(&mut first, 1).await;
    append_record(&store, 1, 2, 2, Kind::Claim { newest_commit: Some(Slot(1)), damaged: Vec::new(), owner: None })
        .await;
    let (mut newer, _) = own(&store).await;
    commit(&mut newer, 2).await;
    newer.collect(Epoch(2), 1).await.unwrap();

    let claimed = Claimed { job: job(), lineage: Lineage(1), shard: ShardId(0), generation: Generation(2) };
    let plan = ClaimPlan { slot: Slot(2), generation: Generation(2), newest_commit: Some(Slot(1)) };
    let error = take_over(&thin(&store), paths(1), claimed.clone(), plan, (End::EMPTY, 0), &Taking::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(error.message().contains("generation 3"), "{error}");

    // An owner that misses its commit and has nobody above it does raise the alarm.
    let plan = ClaimPlan { slot: Slot(9), generation: Generation(9), newest_commit: Some(Slot(1)) };
    let error =
        take_over(&thin(&store), paths(1), claimed, plan, (End::EMPTY, 0), &Taking::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixData, "{error}");
}

/// A sink task reads what the newer owner has delivered and collected.
#[tokio::test]
async fn a_delivery_that_stalls_is_fenced() {
    let store = memory();
    let (mut old, _) = own(&store).await;
    let body = commit(&mut old, 1).await;
    commit(&mut old, 2).await;
    let (mut newer, _) = own(&store).await;
    commit(&mut newer, 3).await;
    newer.collect(Epoch(3), 1).await.unwrap();
    assert_eq!(old.get_blob(&body.outbox[0].blob).await.unwrap_err().kind(), ErrorKind::Fenced);
    // To the owner itself the same hole is one.
    assert_eq!(newer.get_blob(&body.outbox[0].blob).await.unwrap_err().kind(), ErrorKind::FixData);
    assert_eq!(newer.commits_after(Epoch::ZERO).await.unwrap_err().kind(), ErrorKind::FixData);
    // A sink that the newer owner has moved on is ahead of what the old one knows.
    assert_eq!(old.commits_after(Epoch(3)).await.unwrap_err().kind(), ErrorKind::Fenced);
}

/// Its last commit landed unknown to it, and was taken over and collected: its next slot is free, and only the boundary tells.
#[tokio::test]
async fn a_collected_commit_of_unknown_outcome_does_not_hide_the_fence() {
    let store = memory();
    let (mut old, _) = own(&store).await;
    let first = commit(&mut old, 1).await;
    let second = full_body(&old, 2).await;
    store.next_puts(&[PutFault::LandsLate]);
    store.next_puts(&[PutFault::ErrorBefore; 20]);
    assert!(tokio::time::timeout(Duration::from_millis(2), old.commit(second)).await.is_err());
    store.forget_faults();
    store.land_late().await;
    let (mut newer, newest) = own(&store).await;
    assert_eq!(newest.unwrap().epoch, Epoch(2));
    commit(&mut newer, 3).await;
    newer.collect(Epoch(3), 1).await.unwrap();
    old.check_owner().await.unwrap();
    let error = old.get_blob(&first.outbox[0].blob).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
}

/// A rewind under way has copied files; the lineage begins with its slot 0, which holds all that it begins with.
#[tokio::test]
async fn a_lineage_without_its_first_record_is_not_begun() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    let body = commit(&mut log, 1).await;
    replace(&store, &Path::from("check/points/metrics/L2/s0/blobs/g1/copied"), "a file").await;
    let (log, newest) = own(&store).await;
    assert_eq!((log.claimed().lineage, newest.unwrap().epoch), (Lineage(1), Epoch(1)));

    let origin = Origin {
        from_job: job(),
        from_lineage: Lineage(1),
        from_epoch: Epoch(1),
        why: crate::record::Why::Rewind,
        line: aqueduct_core::Line::default().cut(&job(), Lineage(1), Epoch(1)),
        commits: vec![CommitBody { state_files: Vec::new(), outbox: Vec::new(), ..body }],
        repeats: Vec::new(),
    };
    append_record(&store, 2, 0, 1, Kind::Rewind { origin: Box::new(origin) }).await;
    let (log, newest) = own(&store).await;
    assert_eq!((log.claimed().lineage, log.claimed().generation), (Lineage(2), Generation(2)));
    assert_eq!(newest.unwrap().epoch, Epoch(1));
}
