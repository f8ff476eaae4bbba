//! Changes of a slice, with numbers in the place of states.

use super::*;
use std::collections::BTreeMap;

/// Groups whose states are numbers, as a slice holds them.
#[derive(Default)]
struct Model {
    changes: Changes,
    states: Vec<u64>,
}

impl Model {
    fn set(&mut self, groups: &[u32], state: u64) {
        let Self { changes, states } = self;
        changes.save(groups, |group, out| out.extend_from_slice(&states[group as usize].to_le_bytes()));
        for group in groups {
            if states.len() <= *group as usize {
                states.resize(*group as usize + 1, 0);
            }
            states[*group as usize] = state;
            changes.mark(*group);
        }
    }

    fn drain(&mut self, limit: usize, into: &mut BTreeMap<u32, u64>) -> usize {
        let Self { changes, states } = self;
        changes.drain(
            limit,
            |group, out| out.extend_from_slice(&states[group as usize].to_le_bytes()),
            |group, state| {
                let state = u64::from_le_bytes(state.try_into().expect("eight bytes were written"));
                assert_eq!(into.insert(group, state), None, "group {group} was written twice");
            },
        )
    }
}

#[test]
fn what_was_cut_is_written_down_as_it_was() {
    let mut model = Model::default();
    model.set(&(0..1000).collect::<Vec<_>>(), 1);
    assert!(model.changes.cut());
    let mut written = BTreeMap::new();
    assert_eq!(model.drain(10, &mut written), 10);
    // Changed before, while and after their turn; two of them are new.
    model.set(&[3, 500, 999, 1000, 70_000], 2);
    model.set(&[500, 501], 3);
    assert_eq!(model.drain(2, &mut written), 2);
    while model.changes.is_pending() {
        model.drain(7, &mut written);
    }
    assert_eq!(written, (0..1000).map(|group| (group, 1)).collect());
    assert_eq!(model.drain(7, &mut written), 0);

    assert!(model.changes.cut());
    let mut second = BTreeMap::new();
    model.drain(usize::MAX, &mut second);
    assert_eq!(second, BTreeMap::from([(3, 2), (500, 3), (501, 3), (999, 2), (1000, 2), (70_000, 2)]));
    assert!(!model.changes.cut(), "nothing changed since");
}

#[test]
fn memory_of_a_cut_is_given_back() {
    let mut model = Model::default();
    model.set(&(0..100_000).collect::<Vec<_>>(), 1);
    model.changes.cut();
    model.set(&(0..100_000).collect::<Vec<_>>(), 2);
    assert!(model.changes.bytes() > 100_000 * 16, "saved states are counted");
    let mut written = BTreeMap::new();
    model.drain(usize::MAX, &mut written);
    assert!(model.changes.bytes() < 2 * 100_000 / 8 + 64, "{} bytes are held", model.changes.bytes());
}
