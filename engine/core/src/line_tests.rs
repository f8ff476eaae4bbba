//! Where sinks begin in a lineage that was cut from others.

use super::*;

fn job(name: &str) -> JobName {
    JobName::new(name).unwrap()
}

fn standing(name: &str, lineage: u32, epoch: u64) -> Standing {
    Standing { job: job(name), lineage: Lineage(lineage), generation: Generation(1), epoch: Epoch(epoch) }
}

#[test]
fn a_first_lineage_begins_with_nothing() {
    assert_eq!(Line::default().begin("t", &[standing("a", 1, 9)]), Epoch::ZERO);
}

#[test]
fn a_sink_goes_on_after_what_it_has_and_never_beyond_the_cut() {
    let line = Line::default().cut(&job("a"), Lineage(1), Epoch(10));
    assert_eq!(line.begin("t", &[standing("a", 1, 7)]), Epoch(7));
    assert_eq!(line.begin("t", &[standing("a", 1, 10)]), Epoch(10));
    assert_eq!(line.begin("t", &[standing("a", 1, 14)]), Epoch(10));
    // Another job's cursor of the same number says nothing.
    assert_eq!(line.begin("t", &[standing("b", 1, 7)]), Epoch(10));
}

#[test]
fn a_sink_that_missed_a_lineage_goes_on_from_an_older_one() {
    let line = Line::default().cut(&job("a"), Lineage(1), Epoch(10)).cut(&job("a"), Lineage(2), Epoch(8));
    let shared: Vec<u64> = line.ancestors.iter().map(|ancestor| ancestor.shared.0).collect();
    assert_eq!(shared, [8, 8], "the older cut cannot share more than the younger");
    assert_eq!(line.begin("t", &[standing("a", 1, 9)]), Epoch(8));
    assert_eq!(line.begin("t", &[standing("a", 1, 5)]), Epoch(5));
    assert_eq!(line.begin("t", &[standing("a", 1, 5), standing("a", 2, 6)]), Epoch(6));
}

#[test]
fn another_address_begins_where_delivery_stood_or_at_the_cut() {
    let mut line = Line::default().cut(&job("a"), Lineage(1), Epoch(10));
    assert_eq!(line.begin("t", &[]), Epoch(10));
    line.delivered.insert("t".to_owned(), Epoch(6));
    assert_eq!(line.begin("t", &[]), Epoch(6));
    assert_eq!(line.begin("u", &[]), Epoch(10));
    // Cut once more before the sink was ever opened.
    let younger = line.cut(&job("a"), Lineage(2), Epoch(12));
    assert_eq!(younger.begin("t", &[]), Epoch(6));
    assert_eq!(line.cut(&job("a"), Lineage(2), Epoch(4)).begin("t", &[]), Epoch(4));
}

#[test]
fn other_jobs_are_named_once() {
    let line = Line::default().cut(&job("a"), Lineage(1), Epoch(9)).cut(&job("a"), Lineage(2), Epoch(8));
    let line = line.cut(&job("b"), Lineage(3), Epoch(7));
    assert_eq!(line.other_jobs(&job("b")), [job("a")]);
}
