//! Holds `cursor.rs` to what it says.

use super::*;
use aqueduct_core::{ErrorKind, JobName, ShardId};

fn claimed(lineage: u32, generation: u64) -> Claimed {
    let job = JobName::new("metrics").expect("a name");
    Claimed { job, lineage: Lineage(lineage), shard: ShardId(3), generation: Generation(generation) }
}

#[test]
fn a_cursor_survives_its_text() {
    let stored = Stored::of(&claimed(2, 7), Epoch(41));
    assert_eq!(stored.metadata(), "L2;g7");
    assert_eq!(Stored::parse(41, "L2;g7"), Some(stored));
    for foreign in ["", "L2", "g7;L2", "Lx;g7", "L2;g"] {
        assert_eq!(Stored::parse(41, foreign), None, "{foreign}");
    }
    let mark = stored.mark().unwrap();
    assert_eq!(Stored::read(&mark, "t", "g").unwrap(), stored);
    let foreign = Mark { metadata: "spark".into(), ..mark.clone() };
    assert_eq!(Stored::read(&foreign, "t", "g").unwrap_err().kind(), ErrorKind::FixConfig);
    let list = offsets(&mark, "results").unwrap();
    let element = list.find_partition("results", 0).expect("partition 0");
    assert_eq!((element.offset(), element.metadata()), (Offset::Offset(41), "L2;g7"));
}

#[test]
fn another_lineage_begins_at_zero_and_an_older_owner_is_fenced() {
    let stored = Some(Stored::of(&claimed(2, 7), Epoch(41)));
    assert_eq!(Stored::cursor_of(stored, &claimed(2, 8), "t", &Line::default(), &[]), Cursor(Epoch(41)));
    assert_eq!(Stored::cursor_of(stored, &claimed(3, 1), "t", &Line::default(), &[]), Cursor(Epoch::ZERO));
    assert_eq!(Stored::cursor_of(None, &claimed(2, 8), "t", &Line::default(), &[]), Cursor(Epoch::ZERO));
    assert!(Stored::check(stored, &claimed(2, 7), "t").is_ok());
    assert!(Stored::check(stored, &claimed(3, 1), "t").is_ok());
    for old in [claimed(2, 6), claimed(1, 99)] {
        assert_eq!(Stored::check(stored, &old, "t").unwrap_err().kind(), ErrorKind::Fenced);
    }
    assert_eq!(group(&claimed(2, 7).job, ShardId(3), "results"), "aqueduct.metrics.3.results");
}
