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
