//! Tests of the portions: what holds windows back, and what they learn.

use super::*;
use crate::tests::parts::{SIZE, plan};

/// A thread with so many panes in so many parts, whose first window ends at `SIZE`.
fn thread(panes: u64, parts: u64) -> WorkerProgress {
    let nothing = (0, 0);
    WorkerProgress {
        next_ends: vec![Some(SIZE), None, None],
        live: vec![(panes, parts), nothing, nothing],
        ..WorkerProgress::default()
    }
}

fn fired(windows: u64, rows: u64) -> Vec<QueryStatus> {
    let counts = QueryStatus { fired_windows: windows, result_rows: rows, ..QueryStatus::default() };
    vec![counts, QueryStatus::default(), QueryStatus::default()]
}

#[test]
fn few_rows_fire_all_at_once() {
    let portions = Portions::new(100, 3);
    assert_eq!(portions.bound(&plan(false), &[thread(50, 9), thread(50, 9)], &[i64::MAX]), [i64::MAX]);
    assert_eq!(portions.bound(&plan(false), &[], &[7]), [7]);
}

#[test]
fn many_rows_fire_window_by_window_until_their_number_is_known() {
    let mut portions = Portions::new(100, 3);
    let threads = [thread(150, 10), thread(150, 10)];
    let up_to = |portions: &Portions, wanted| portions.bound(&plan(false), &threads, &[wanted])[0];
    assert_eq!(up_to(&portions, i64::MAX), SIZE - 1);
    assert_eq!(up_to(&portions, 5), 5, "never more than what may fire");
    portions.learn(&fired(4, 80));
    assert_eq!(up_to(&portions, i64::MAX), 5 * SIZE - 1);
    // Nothing fired since; then windows with fewer rows than panes of theirs are there, and with more than an epoch may have.
    portions.learn(&fired(4, 80));
    assert_eq!(up_to(&portions, i64::MAX), 5 * SIZE - 1);
    portions.learn(&fired(6, 82));
    assert_eq!(up_to(&portions, i64::MAX), 6 * SIZE - 1);
    portions.learn(&fired(7, 1_082));
    assert_eq!(up_to(&portions, i64::MAX), SIZE - 1);
}
