//! Damage is named by object; looking claims nothing.

use super::*;
use crate::{inspect, show, verify};

fn as_store(store: &FaultStore) -> Arc<dyn ObjectStore> {
    Arc::new(store.clone())
}

#[tokio::test]
async fn damaged_records_are_named_and_nobody_goes_on_in_silence() {
    for spoil in [&b"not a record"[..], b"", b"{\"format\":1,\"crc32\":\"00000000\",\"bytes\":2}\n{}\n"] {
        let store = memory();
        let (mut log, _) = own(&store).await;
        commit(&mut log, 1).await;
        commit(&mut log, 2).await;
        replace(&store, &record_path(2), Bytes::copy_from_slice(spoil)).await;
        let error = try_own(&store).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixData);
        let message = error.message();
        assert!(message.contains(record_path(2).as_ref()) && message.contains("is damaged"), "{message}");
    }
}

#[tokio::test]
async fn a_record_in_the_wrong_slot_is_damage() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    commit(&mut log, 1).await;
    let bytes = store.get(&record_path(1)).await.unwrap().bytes().await.unwrap();
    replace(&store, &record_path(2), bytes).await;
    let error = try_own(&store).await.unwrap_err();
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("written for slot 1"), "{error}");
}

#[tokio::test]
async fn a_newer_format_asks_for_the_newer_program() {
    let store = memory();
    own(&store).await;
    let newer = crate::record::FORMAT + 1;
    replace(&store, &record_path(0), format!("{{\"format\":{newer},\"crc32\":\"00000000\",\"bytes\":0}}\n\n")).await;
    let error = try_own(&store).await.unwrap_err();
    let named = error.message().contains(&format!("format version {newer}"));
    assert!(error.kind() == ErrorKind::FixConfig && named, "{error}");
}

#[tokio::test]
async fn a_log_whose_records_were_deleted_is_not_a_new_job() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    for epoch in 1..=3 {
        commit(&mut log, epoch).await;
    }
    log.collect(Epoch(3), 1).await.unwrap();
    for name in objects(&store, "/log/").await {
        store.delete(&Path::from(name)).await.unwrap();
    }
    let error = try_own(&store).await.unwrap_err();
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("deleted from outside"), "{error}");
}

#[tokio::test]
async fn damaged_and_missing_blobs_are_named() {
    let store = memory();
    let (log, _) = own(&store).await;
    let blob = log.put_blob("000007.sst", Bytes::from_static(b"contents")).await.unwrap();
    let path = Path::from(format!("check/points/metrics/L1/s0/{}", blob.object));
    replace(&store, &path, "c0ntents").await;
    let error = log.get_blob(&blob).await.unwrap_err();
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("SHA-256"), "{error}");
    assert!(error.message().contains("000007.sst") && error.message().contains(path.as_ref()), "{error}");
    replace(&store, &path, "short").await;
    assert!(log.get_blob(&blob).await.unwrap_err().message().contains("5 bytes instead of 8"));
    store.delete(&path).await.unwrap();
    let error = log.get_blob(&blob).await.unwrap_err();
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("is missing"), "{error}");
    let outside = BlobRef { object: "blobs/../log/1".to_owned(), ..blob };
    assert_eq!(log.get_blob(&outside).await.unwrap_err().kind(), ErrorKind::FixData);
}

#[tokio::test]
async fn large_blobs_are_hashed_and_counted() {
    let store = memory();
    let (log, _) = own(&store).await;
    let large = Bytes::from(vec![7_u8; 3 << 20]);
    let blob = log.put_blob("large", large.clone()).await.unwrap();
    log.put_blob("large again", large.clone()).await.unwrap();
    assert_eq!(log.get_blob(&blob).await.unwrap(), large);
    let stats = log.stats();
    assert_eq!((stats.uploaded_bytes, stats.uploaded_blobs, stats.reused_blobs), (3 << 20, 1, 1));
}

#[tokio::test]
async fn looking_tells_what_is_there_and_claims_nothing() {
    let store = memory();
    let (mut log, _) = own(&store).await;
    commit(&mut log, 1).await;
    let second = commit(&mut log, 2).await;
    let before = objects(&store, "").await;

    let found = inspect(as_store(&store), &root(), None).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].job.as_str(), found[0].lineage.0, found[0].shards.len()), ("metrics", 1, 1));
    let shard = &found[0].shards[0];
    assert_eq!((shard.generation.unwrap().0, shard.claims.len(), shard.blobs), (1, 1, 5));
    let epochs: Vec<u64> = shard.commits.iter().map(|commit| commit.epoch.0).collect();
    assert_eq!((epochs, shard.commits[1].outbox_rows, shard.commits[1].state_files), (vec![1, 2], 1, 2));
    assert!(shard.commits[1].written_at_ms > 0 && shard.damaged.is_empty());
    assert_eq!(inspect(as_store(&store), &root(), Some(&job())).await.unwrap(), found);
    let nobody = JobName::new("nobody").unwrap();
    assert!(inspect(as_store(&store), &root(), Some(&nobody)).await.unwrap().is_empty());

    let newest = show(as_store(&store), &root(), &job(), ShardId(0), None, None).await.unwrap();
    assert_eq!((&newest.body, newest.generation.0), (&second, 1));
    let first = show(as_store(&store), &root(), &job(), ShardId(0), None, Some(Epoch(1))).await.unwrap();
    assert_eq!(first.body.epoch, Epoch(1));
    for (job, epoch) in [(&nobody, None), (&job(), Some(Epoch(9)))] {
        let error = show(as_store(&store), &root(), job, ShardId(0), None, epoch).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixConfig, "{error}");
    }
    assert!(verify(as_store(&store), &root(), &newest, true).await.unwrap().is_empty());
    assert_eq!(objects(&store, "").await, before);
    spoil_and_look(&store, &second, &newest).await;
    log.check_owner().await.unwrap();
}

async fn spoil_and_look(store: &FaultStore, body: &CommitBody, newest: &crate::CommitView) {
    let spoilt = Path::from(format!("check/points/metrics/L1/s0/{}", body.state_files[1].object));
    replace(store, &spoilt, "state of epoch X").await;
    assert!(verify(as_store(store), &root(), newest, false).await.unwrap().is_empty());
    assert_eq!(verify(as_store(store), &root(), newest, true).await.unwrap().len(), 1);
    store.delete(&spoilt).await.unwrap();
    let problems = verify(as_store(store), &root(), newest, false).await.unwrap();
    assert!(problems.len() == 1 && problems[0].problem.contains("missing"), "{problems:?}");

    replace(store, &record_path(1), "spoilt").await;
    let found = inspect(as_store(store), &root(), None).await.unwrap();
    let shard = &found[0].shards[0];
    assert_eq!((shard.commits.len(), shard.damaged.len()), (1, 1));
}

#[tokio::test]
async fn a_folder_without_rights_is_configuration() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(dir.path().join("probe"), "x").is_ok() {
        // A super-user may write everywhere.
        return;
    }
    let local = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
    let error = try_own(&FaultStore::new(Arc::new(local))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig, "{error}");
}
