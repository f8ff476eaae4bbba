//! What each safeguard is for: with it the same world keeps its law, without it the checker finds a history that breaks it.

use crate::config::{Config, Safeguard, SinkKind};
use crate::invariants::Invariant;
use crate::run;

/// Explores the world with everything in place, and without.
fn needs(without: &'static [Safeguard], law: &'static str, config: Config) {
    let with = run(&config);
    assert!(with.broken.is_none(), "{}: {:?}", config.name, with.broken);
    breaks(without, law, config);
}

/// The law that must break is the only one that is looked at, so that the history is the shortest one against just that law.
fn breaks(without: &'static [Safeguard], law: &'static str, config: Config) {
    let outcome = run(&Config { without, ..config });
    let broken = outcome.broken.unwrap_or_else(|| panic!("nothing breaks without {without:?}"));
    assert_eq!(broken.law, law, "{without:?}");
}

const COLLECTING: Config = Config { epochs: 3, collects: true, ..Config::QUIET };
const TABLE: Config = Config { sink: SinkKind::Table, ..Config::QUIET };

#[test]
fn an_owner_that_believes_replies_stops_for_ever() {
    let alone = Config { name: "one owner, a lie", processes: 1, faults: 1, ..Config::QUIET };
    needs(&[Safeguard::ReadBack], "I7", Config { invariants: &[Invariant::I7], ..alone });
}

#[test]
fn two_claimants_of_one_generation_both_own_without_put_ids() {
    let world = Config { name: "two claimants", epochs: 1, ..Config::QUIET };
    needs(&[Safeguard::PutId], "I1", Config { invariants: &[Invariant::I1], ..world });
    needs(&[Safeguard::PutId], "I2", Config { name: "two claimants, a table", invariants: &[Invariant::I2], ..TABLE });
}

#[test]
fn an_owner_that_reads_before_it_claims_repeats_an_epoch() {
    let world = Config { name: "two owners", ..Config::QUIET };
    needs(&[Safeguard::ClaimBeforeRead], "I6", Config { invariants: &[Invariant::I6], ..world });
}

#[test]
fn a_claimant_comes_back_through_a_collected_slot_without_the_boundary() {
    let world = Config { name: "a collector and a claimant", invariants: &[Invariant::I1], ..COLLECTING };
    needs(&[Safeguard::Boundary], "I1", world);
}

#[test]
fn a_claimant_slips_in_between_delete_and_boundary() {
    let world = Config { name: "a collector and a claimant", invariants: &[Invariant::I1], ..COLLECTING };
    needs(&[Safeguard::BoundaryFirst], "I1", world);
}

#[test]
fn an_old_list_of_boundaries_is_no_boundary() {
    let world = Config { name: "a collector and a claimant", invariants: &[Invariant::I1], ..COLLECTING };
    needs(&[Safeguard::FreshBoundaries], "I1", world);
}

#[test]
fn a_stalled_owner_overwrites_newer_rows_without_the_fence() {
    needs(&[Safeguard::SinkFence], "I2", Config { name: "a table", invariants: &[Invariant::I2], ..TABLE });
    needs(&[Safeguard::SinkFence], "I3", Config { name: "a table", invariants: &[Invariant::I3], ..TABLE });
}

#[test]
fn an_owner_of_an_old_lineage_overwrites_newer_rows_without_the_generation() {
    let world = Config { name: "a table, a rewind", rewinds: 1, invariants: &[Invariant::I2], ..TABLE };
    needs(&[Safeguard::SinkGeneration], "I2", world);
}

#[test]
fn a_sink_skips_what_comes_back_under_an_old_number() {
    let world = Config { name: "a rewind", rewinds: 1, ..Config::QUIET };
    needs(&[Safeguard::NewLineage], "I6", Config { invariants: &[Invariant::I6], ..world });
    // The look at the cursor still notices; then the job cannot go on at all.
    let table = Config { name: "a table, a rewind", sink: SinkKind::Table, ..world };
    needs(&[Safeguard::NewLineage], "I7", Config { invariants: &[Invariant::I7], ..table });
    needs(&[Safeguard::NewLineage, Safeguard::CursorCheck], "I2", Config { invariants: &[Invariant::I2], ..table });
}

#[test]
fn a_claimant_begins_a_half_made_lineage_with_nothing() {
    let world = Config { name: "a rewind, a crash", rewinds: 1, crashes: 1, ..Config::QUIET };
    let world = Config { epochs: 1, invariants: &[Invariant::I6], ..world };
    needs(&[Safeguard::LineageLast], "I6", world);
}

#[test]
fn a_stalled_collector_deletes_a_name_that_came_back() {
    let world = Config { name: "a collector, a crash", epochs: 2, contents: 2, crashes: 1, ..COLLECTING };
    // With the names the same world is among the safe ones.
    breaks(&[Safeguard::BlobNames], "I4", Config { invariants: &[Invariant::I4], ..world });
}

#[test]
fn a_stalled_owner_calls_a_healthy_log_damaged() {
    let world = Config { name: "a collector, a crash", epochs: 2, crashes: 1, ..COLLECTING };
    needs(&[Safeguard::LookBeforeAlarm], "no false alarm", Config { invariants: &[Invariant::NoFalseAlarm], ..world });
}
