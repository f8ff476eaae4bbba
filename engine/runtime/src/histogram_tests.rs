//! Tests of the steps.

use super::*;

#[test]
fn the_end_of_a_step_belongs_to_it() {
    let mut seen = Histogram::default();
    for us in [0, 250, 251, 1_000_000, 1_000_001] {
        seen.add(Duration::from_micros(us));
    }
    let mut counts = [0; STEPS_US.len()];
    (counts[0], counts[1], counts[11]) = (2, 1, 1);
    assert_eq!(seen, Histogram { counts, above: 1, sum_us: 2_000_502 });
    assert_eq!(seen.count(), 5);
}

#[test]
fn an_older_status_has_none() {
    assert_eq!(serde_json::from_str::<Histogram>("{}").unwrap(), Histogram::default());
}
