//! Holds `cursor.rs` to what it says.

use super::*;
use aqueduct_core::ErrorKind;

fn key(lineage: i64, generation: i64) -> Key {
    Key { job: "job".into(), lineage, shard: 0, sink: "metrics".into(), generation }
}

fn entry(lineage: i64, epoch: i64, generation: i64) -> Entry {
    Entry { lineage, epoch, generation }
}

#[test]
fn a_claim_goes_on_where_its_lineage_stands() {
    let claim = |key, entries: &[Entry]| {
        let (epoch, changes) = decide_claim(&key, entries).unwrap();
        let unconditional = |change: &Change| change.epoch.is_none() && change.only.is_empty();
        assert!(changes.iter().all(unconditional), "the rows are locked: {changes:?}");
        (epoch.0, changes.iter().map(|change| (change.lineage, change.generation)).collect::<Vec<_>>())
    };
    assert_eq!(claim(key(1, 1), &[entry(1, 0, 0)]), (0, vec![(1, 1)]));
    assert_eq!(claim(key(1, 3), &[entry(1, 7, 3)]), (7, vec![]), "opened again: nothing is to be written");
    assert_eq!(claim(key(1, 4), &[entry(1, 7, 3)]), (7, vec![(1, 4)]));
    assert_eq!(claim(key(2, 1), &[entry(1, 7, 3), entry(2, 0, 0)]), (0, vec![(1, LEFT_BEHIND), (2, 1)]));
    assert_eq!(claim(key(2, 1), &[entry(1, 7, LEFT_BEHIND), entry(2, 5, 1)]), (5, vec![]));
}

#[test]
fn an_older_claim_is_fenced() {
    for (key, entries) in [
        (key(1, 3), vec![entry(1, 7, 4)]),
        (key(1, 9), vec![entry(1, 7, LEFT_BEHIND), entry(2, 0, 1)]),
        (key(1, 9), vec![entry(1, 7, LEFT_BEHIND)]),
        (key(1, 9), vec![entry(1, 0, 0), entry(3, 5, 1)]),
    ] {
        let error = decide_claim(&key, &entries).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    }
    assert!(decide_claim(&key(1, 1), &[entry(1, -4, 1)]).unwrap_err().kind() == ErrorKind::FixData);
    assert!(decide_claim(&key(1, 1), &[]).unwrap_err().kind() == ErrorKind::Bug);
}

#[test]
fn a_shut_fence_is_explained() {
    assert_eq!(decide_refusal(&key(1, 3), 6, Some(entry(1, 6, 4))).kind(), ErrorKind::Fenced);
    assert_eq!(decide_refusal(&key(1, 3), 6, Some(entry(1, 6, LEFT_BEHIND))).kind(), ErrorKind::Fenced);
    assert_eq!(decide_refusal(&key(1, 3), 6, Some(entry(1, 7, 3))).kind(), ErrorKind::Retry);
    assert_eq!(decide_refusal(&key(1, 3), 6, Some(entry(1, 5, 3))).kind(), ErrorKind::Retry);
    assert_eq!(decide_refusal(&key(1, 3), 6, None).kind(), ErrorKind::FixData);
}

#[test]
fn the_highest_generation_is_reserved() {
    use aqueduct_core::{JobName, Options, ShardId};
    let claimed = |generation| Claimed {
        job: JobName::new("job").unwrap(),
        lineage: Lineage(1),
        shard: ShardId(0),
        generation: Generation(generation),
    };
    let spec = SinkSpec {
        table: "metrics".into(),
        options: Options::default(),
        columns: vec![],
        primary_key: vec![],
        partitioned_by: vec![],
        fail_points: aqueduct_core::FailPoints::default(),
    };
    assert!(super::key(&claimed(1), &spec).is_ok());
    assert_eq!(super::key(&claimed(u64::MAX), &spec).unwrap_err().kind(), ErrorKind::Bug);
    assert_eq!(super::key(&claimed(i64::MAX as u64), &spec).unwrap_err().kind(), ErrorKind::Bug);
}
