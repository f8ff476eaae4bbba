//! The order of the rounds.

use super::*;
use crate::systems::OWN;

#[test]
fn every_round_has_everybody_in_another_order() {
    let orders: BTreeSet<Vec<System>> = (0..5).map(|round| shuffled(&OWN, round)).collect();
    assert_eq!(orders.len(), 5);
    for order in orders {
        assert_eq!(BTreeSet::from_iter(order), BTreeSet::from_iter(OWN));
    }
}
