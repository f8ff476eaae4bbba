//! Tests of the order of keys.

use super::*;

#[test]
fn keys_are_sorted_by_all_their_bytes() {
    // A beginning that all share, ends within the head and behind it, and the zeros that fill a head up.
    let long = b"shared beginning, 16 bytes and more".to_vec();
    let ends: [&[u8]; 9] =
        [b"", b"\0", b"\0\0", b"a", b"a\0", b"ab", b"\xFF", b"the same sixteen 1", b"the same sixteen 0"];
    for beginning in [Vec::new(), long] {
        let mut keys = KeyTable::default();
        let mut expected: Vec<Vec<u8>> = ends.iter().map(|end| [beginning.as_slice(), end].concat()).collect();
        for key in &expected {
            keys.intern(key).unwrap();
        }
        expected.sort();
        let sorted: Vec<Vec<u8>> = keys.sorted().into_iter().map(|index| keys.key(index).to_vec()).collect();
        assert_eq!(sorted, expected);
    }
    assert_eq!(KeyTable::default().sorted(), [0_u32; 0]);
}

#[test]
fn many_keys_keep_their_numbers() {
    let mut keys = KeyTable::default();
    // So many that some share the 32 bits of their hashes.
    let key = |number: u32| [[1].as_slice(), &(u64::from(number) * 7).to_be_bytes()].concat();
    for number in 0..300_000 {
        assert_eq!(keys.intern(&key(number)).unwrap(), number);
    }
    for number in (0..300_000).rev() {
        assert_eq!(keys.intern(&key(number)).unwrap(), number);
        assert_eq!(keys.key(number), key(number));
    }
    assert_eq!(keys.len(), 300_000);
    assert!(keys.bytes() >= 300_000 * (9 + 4 + 8));
}

#[test]
fn ends_go_on_beyond_four_bytes() {
    let mut ends = Ends::default();
    let all = [0, 9, u32::MAX as usize, u32::MAX as usize + 1, u32::MAX as usize + 9];
    all.iter().for_each(|end| ends.push(*end));
    assert_eq!(ends.len(), all.len());
    assert!(all.iter().enumerate().all(|(index, end)| ends.get(index) == *end));
}
