//! Every way back, and every reason not to go.

use super::*;

fn epoch(number: u64, state: bool, results: &[(&str, bool)]) -> EpochFacts {
    let results = results.iter().map(|(table, whole)| ((*table).to_owned(), *whole)).collect();
    EpochFacts { epoch: Epoch(number), state, results }
}

fn sink(table: &str, cursor: u64, twice: bool) -> SinkFacts {
    SinkFacts { table: table.to_owned(), cursor: Epoch(cursor), twice }
}

fn back(to: u64, repeats: &[u64]) -> ForkPlan {
    ForkPlan::GoBack { to: Epoch(to), repeats: repeats.iter().copied().map(Epoch).collect() }
}

#[test]
fn sinks_that_have_a_damaged_epoch_pass_it_over_when_it_comes_again() {
    let kept = [epoch(4, true, &[]), epoch(5, true, &[("t", true)]), epoch(6, false, &[("t", true)])];
    assert_eq!(plan_fork(&kept, &[sink("t", 6, true), sink("p", 5, false)]), back(5, &[6]));
    // Nobody has it yet: it need not be cut the same way again.
    assert_eq!(plan_fork(&kept, &[sink("t", 5, true), sink("p", 5, false)]), back(5, &[]));
}

#[test]
fn results_that_a_sink_lacks_must_be_whole() {
    let kept = [epoch(4, true, &[]), epoch(5, true, &[("t", false)]), epoch(6, true, &[])];
    assert_eq!(plan_fork(&kept, &[sink("t", 4, true)]), back(4, &[]));
    // The sink has them already: whether they are whole does not matter.
    assert_eq!(plan_fork(&kept, &[sink("t", 5, true)]), back(6, &[]));
    // Another sink is further: what it has is cut again as it was.
    assert_eq!(plan_fork(&kept, &[sink("t", 4, true), sink("u", 6, true)]), back(4, &[5, 6]));
}

#[test]
fn a_sink_beyond_the_newest_readable_record_must_be_able_to_take_rows_twice() {
    let kept = [epoch(4, true, &[]), epoch(5, true, &[])];
    let doubled = ForkPlan::WouldDouble { table: "t".to_owned(), cursor: Epoch(6), newest: Epoch(5) };
    assert_eq!(plan_fork(&kept, &[sink("p", 6, false), sink("t", 6, true)]), doubled);
    assert_eq!(plan_fork(&kept, &[sink("p", 6, false), sink("t", 5, true)]), back(5, &[]));
}

#[test]
fn nothing_readable_is_never_taken_for_nothing() {
    assert_eq!(plan_fork(&[], &[]), ForkPlan::NothingReadable);
    assert_eq!(plan_fork(&[epoch(4, false, &[])], &[sink("t", 4, false)]), ForkPlan::NothingReadable);
    let kept = [epoch(4, true, &[("t", false)]), epoch(5, true, &[])];
    assert_eq!(plan_fork(&kept, &[sink("t", 3, false)]), ForkPlan::NothingReadable);
}
