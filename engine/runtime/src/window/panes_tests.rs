//! Tests of where pieces end.

use super::*;

#[test]
fn ends_go_on_beyond_four_bytes() {
    let mut ends = Ends::default();
    let all = [0, 9, u32::MAX as usize, u32::MAX as usize + 1, u32::MAX as usize + 9];
    all.iter().for_each(|end| ends.push(*end));
    assert_eq!(ends.len(), all.len());
    assert!(all.iter().enumerate().all(|(index, end)| ends.get(index) == *end));
}
