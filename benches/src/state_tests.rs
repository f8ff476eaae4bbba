//! Quantiles from a histogram's steps.

use super::*;
use serde_json::json;

#[test]
fn a_quantile_is_told_by_the_upper_end_of_its_step() {
    let histogram = json!({ "counts": [90, 9, 0, 1], "above": 0 });
    assert_eq!(quantile_ms(&histogram, 0.5), 0.25);
    assert_eq!(quantile_ms(&histogram, 0.99), 0.5);
    assert_eq!(quantile_ms(&histogram, 1.0), 2.5);
    assert_eq!(quantile_ms(&json!({ "counts": [1], "above": 9 }), 0.99), f64::INFINITY);
}
