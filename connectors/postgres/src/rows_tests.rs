//! Holds `rows.rs` to what it says.

use super::*;
use aqueduct_core::conformance::sink::{batch, spec};

#[test]
fn the_last_row_of_a_key_wins_and_keys_are_sorted() {
    let spec = spec("t", &[], true);
    let batches = [batch(&[("b", 1), ("a", 1), ("b", 2)]), batch(&[]), batch(&[("a", 3), ("c", 4)])];
    let places = arrange(&batches, &[0], &spec).unwrap();
    assert_eq!(places, [(2, 0), (0, 2), (2, 1)]);
    let columns = gather(&batches, &places, &spec).unwrap();
    let expected = batch(&[("a", 3), ("b", 2), ("c", 4)]);
    assert_eq!(&columns, expected.columns());
}

#[test]
fn without_a_key_every_row_stays_in_its_place() {
    let spec = spec("t", &[], false);
    let batches = [batch(&[("b", 1), ("b", 1)]), batch(&[("a", 2)])];
    assert_eq!(arrange(&batches, &[], &spec).unwrap(), [(0, 0), (0, 1), (1, 0)]);
    assert_eq!(gather(&batches, &[], &spec).unwrap()[0].len(), 0);
}

#[test]
fn other_columns_are_a_bug() {
    let spec = spec("t", &[], false);
    let other = batch(&[("a", 1)]).project(&[1, 0]).unwrap();
    assert!(check(&[batch(&[("a", 1)])], &spec).is_ok());
    assert_eq!(check(&[other], &spec).unwrap_err().kind(), aqueduct_core::ErrorKind::Bug);
}
