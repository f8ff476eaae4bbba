//! The timetable's watermark, and quantiles.

use super::timetable::Watermark;
use super::*;

const MINUTE_US: i64 = 60_000_000;

#[test]
fn a_window_is_over_when_every_partition_has_passed_its_last_millisecond() {
    let mut watermark = Watermark::new(2, 0);
    let end = MINUTE_US + 5_000_000;
    assert!(watermark.passes(0, end + 1_000_000).is_empty(), "the other partition is silent");
    assert!(watermark.passes(1, end - 2_000).is_empty());
    // Out of order: nothing goes back.
    assert!(watermark.passes(0, 1).is_empty());
    assert_eq!(watermark.passes(1, end - 1_000), [0], "the last millisecond has passed");
    assert!(watermark.passes(1, end).is_empty(), "it passes once");
    assert!(watermark.passes(0, 4 * MINUTE_US).is_empty());
    assert_eq!(watermark.passes(1, 3 * MINUTE_US + 5_000_000), [60_000, 120_000]);
}

#[test]
fn quantiles_are_values_that_occurred() {
    let values: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&values, 1.0)), (50.0, 99.0, 100.0));
    assert_eq!(quantile(&values[..3], 0.99), 3.0);
    assert!(quantile(&[], 0.5).is_nan());
}
