//! Tests of looking into checkpoints, over a real log in a temporary folder.

use super::*;
use aqueduct_checkpoint::{CommitBody, OutboxSegment, QueryState, ShardLog, SplitState, SystemIds};
use aqueduct_core::{Offset, SplitId};
use std::collections::BTreeMap;

async fn one_checkpoint(folder: &std::path::Path) {
    let (store, root) = run::open_checkpoints(&folder.display().to_string(), None, true).unwrap();
    let job = JobName::new("counts").unwrap();
    let (mut log, newest) = ShardLog::own(store, &root, &job, SHARD, Arc::new(SystemIds)).await.unwrap();
    assert!(newest.is_none());
    let blob = log.put_blob("results", b"rows".as_slice().into()).await.unwrap();
    let query =
        QueryState { name: "minutes".into(), fingerprint: vec!["key label".into()], fired_up_to: EventTime(60_000) };
    let body = CommitBody {
        epoch: Epoch(1),
        sealed_at_ms: 1_767_225_600_000,
        splits: vec![SplitState {
            source: "events".into(),
            split: SplitId::new("images", 3),
            next: Offset(42),
            watermark: Watermark::Active(EventTime(61_000)),
        }],
        source_identity: BTreeMap::new(),
        queries: BTreeMap::from([("abc".to_owned(), query)]),
        ledger: serde_json::Value::Null,
        state_files: Vec::new(),
        outbox: vec![OutboxSegment { sink: "counts_pg".into(), rows: 7, blob, sequence: 0 }],
        finished: false,
    };
    log.commit(body).await.unwrap();
}

fn arguments(folder: &std::path::Path) -> StateArgs {
    StateArgs {
        job: None,
        epoch: None,
        lineage: None,
        checkpoint_dir: folder.display().to_string(),
        endpoint: None,
        savepoint: None,
        format: StatusFormat::Table,
    }
}

#[tokio::test]
async fn a_checkpoint_is_listed_shown_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    one_checkpoint(folder.path()).await;
    let place = Place::open(&arguments(folder.path())).unwrap();
    let list = list_text(&place.list(None).await.unwrap(), &place.url);
    assert!(list.contains("counts  lineage 1  shard 0  generation 1"), "{list}");
    assert!(list.contains("2026-01-01T00:00:00Z"), "{list}");
    let view = place.view(&arguments(folder.path())).await.unwrap();
    let shown = show_text(&view);
    for part in
        ["images[3]", "42", "1970-01-01T00:01:01Z", "query minutes  abc  fired up to 1970-01-01T00:01:00Z", "counts_pg"]
    {
        assert!(shown.contains(part), "{part}\nis missing in\n{shown}");
    }
    assert!(run(StateVerb::Verify(arguments(folder.path()))).await.is_ok());

    let blob = folder.path().join(format!("counts/L{}/s0/{}", view.lineage, view.body.outbox[0].blob.object));
    std::fs::write(&blob, b"rowz").unwrap();
    let error = run(StateVerb::Verify(arguments(folder.path()))).await.unwrap_err();
    assert_eq!(error.kind(), aqueduct_core::ErrorKind::FixData);
    assert!(error.message().contains("the results of epoch 1 of job 'counts' are damaged"), "{error}");
    assert!(error.message().contains("its state is whole"), "{error}");
    let one = StateArgs { epoch: Some(1), ..arguments(folder.path()) };
    let error = run(StateVerb::Verify(one)).await.unwrap_err();
    assert!(error.message().contains("epoch 1 of job 'counts' has 1 damaged"), "{error}");
}

#[tokio::test]
async fn an_empty_or_missing_folder_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(&arguments(folder.path())).unwrap();
    assert!(list_text(&place.list(None).await.unwrap(), &place.url).starts_with("no checkpoints in "));
    let error = place.view(&arguments(folder.path())).await.unwrap_err();
    assert!(error.message().contains("--checkpoint-dir"), "{error}");
    let error = run(StateVerb::List(arguments(&folder.path().join("none")))).await.unwrap_err();
    assert_eq!(error.kind(), aqueduct_core::ErrorKind::FixConfig);
}
