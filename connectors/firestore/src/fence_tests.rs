//! Holds `fence.rs` to what it says.

use super::*;
use aqueduct_core::ErrorKind;
use aqueduct_core::conformance::sink::{claim_of, spec};

fn open(found: Option<&Fence>, lineage: u32, generation: u64) -> Result<Fence> {
    decide_open(found, &claim_of(lineage, 0, generation), &spec("t", &[], true), "c _ Iso".into())
}

#[test]
fn opening_keeps_the_epoch_of_its_lineage_and_always_changes_the_fence() {
    let first = open(None, 1, 1).unwrap();
    assert_eq!((first.epoch, first.opened), (0, 1));
    let at_seven = Fence { epoch: 7, pending_epoch: 8, pending_documents: 499, ..first.clone() };
    let again = open(Some(&at_seven), 1, 1).unwrap();
    assert_eq!(again, Fence { opened: 2, ..at_seven.clone() });
    let newer = open(Some(&at_seven), 1, 5).unwrap();
    assert_eq!((newer.epoch, newer.generation, newer.pending_documents), (7, 5, 499));
    let lineage = open(Some(&at_seven), 2, 1).unwrap();
    assert_eq!((lineage.epoch, lineage.pending_epoch, lineage.opened), (0, 0, 2));
}

#[test]
fn older_owners_are_fenced() {
    let found = Fence { epoch: 7, ..open(None, 2, 4).unwrap() };
    for (lineage, generation) in [(2, 3), (1, 9)] {
        assert_eq!(open(Some(&found), lineage, generation).unwrap_err().kind(), ErrorKind::Fenced);
        let mine = open(None, lineage, generation).unwrap();
        assert_eq!(decide_refusal(Some(&found), &mine).kind(), ErrorKind::Fenced);
    }
    assert_eq!(decide_refusal(Some(&found), &found).kind(), ErrorKind::Retry);
    assert_eq!(decide_refusal(None, &found).kind(), ErrorKind::FixData);
}

#[test]
fn a_fence_of_somebody_else_is_not_taken() {
    let found = Fence { job: "other".into(), ..open(None, 1, 1).unwrap() };
    let error = open(Some(&found), 1, 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixConfig);
    assert!(error.message().contains("job 'other'"), "{error}");
}

#[test]
fn chunks_are_counted_and_the_last_one_makes_the_epoch() {
    let fence = open(None, 1, 1).unwrap();
    let part = fence.advanced(3, 499, 1_000);
    assert_eq!((part.epoch, part.pending_epoch, part.pending_documents), (0, 3, 499));
    assert_eq!((part.done(3, 1_000), part.done(4, 1_000), part.done(3, 499)), (499, 0, 0));
    let whole = part.advanced(3, 1_000, 1_000);
    assert_eq!((whole.epoch, whole.pending_epoch, whole.pending_documents), (3, 0, 0));
    let elsewhere = decide_open(Some(&part), &claim_of(1, 0, 1), &spec("t", &[], true), "d _ Iso".into()).unwrap();
    assert_eq!(elsewhere.done(3, 1_000), 0, "with other options the epoch begins anew");
}

#[test]
fn the_document_is_read_as_it_was_written() {
    let fence = open(None, 1, 1).unwrap().advanced(3, 5, 9);
    let write = fence.write("projects/p/databases/d/documents/aqueduct_cursors/x", None);
    assert_eq!(write.current_document.unwrap().condition_type, Some(ConditionType::Exists(false)));
    let Some(Operation::Update(mut document)) = write.operation else { panic!("an update") };
    assert_eq!(Fence::read(&document).unwrap(), fence);
    document.fields.remove("epoch");
    let error = Fence::read(&document).unwrap_err();
    assert!(error.kind() == ErrorKind::FixData && error.message().contains("'epoch'"), "{error}");
}
