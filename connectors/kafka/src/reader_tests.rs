//! Holds `reader.rs` to what it says.

use super::*;

#[test]
fn failed_logins_are_believed_when_they_go_on() {
    let (mut logins, start) = (Logins::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(!logins.give_up(at(0)));
    assert!(!logins.give_up(at(10)));
    // A long quiet time between: a new row begins.
    assert!(!logins.give_up(at(900)));
    for seconds in (910..960).step_by(10) {
        assert!(!logins.give_up(at(seconds)), "{seconds}");
    }
    assert!(logins.give_up(at(960)));
}

#[test]
fn a_reader_shares_its_queue_memory_among_its_partitions() {
    let spec = SourceSpec {
        table: "t".into(),
        options: aqueduct_core::Options::default(),
        columns: vec![],
        declared: vec![],
        job: "job".into(),
        fail_points: aqueduct_core::FailPoints::default(),
    };
    let queued = |splits| {
        let (_, value) =
            defaults(&spec, splits).into_iter().find(|(key, _)| *key == "queued.max.messages.kbytes").expect("set");
        value.parse::<usize>().expect("a number")
    };
    assert_eq!([queued(0), queued(1), queued(4), queued(1_000)], [16_384, 16_384, 4_096, 1_024]);
}
