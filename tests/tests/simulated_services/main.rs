//! A model of a service can be wrong too: the same scripts run over the simulated and over the real services, through the
//! borders that the sinks themselves use, and must be answered alike. Where a real service is missing, the script still
//! runs over the simulated one and is compared with what is written here.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

mod firestore;
mod kafka;
mod postgres;

use aqueduct_tests::sim::world::World;

/// A world without faults.
fn calm(seed: u64) -> World {
    let world = World::new(seed, None);
    world.calm_down();
    world
}

/// Every line as expected, told apart by its number.
fn assert_told(who: &str, told: &[String], expected: &[&str]) {
    for (at, (told, expected)) in told.iter().zip(expected).enumerate() {
        assert_eq!(told, expected, "{who}, answer {at}; all: {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{who}: {told:#?}");
}
