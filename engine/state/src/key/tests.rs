//! The encoding is a promise: golden bytes, order, and the way back.

use super::*;

fn pane(query: u64, slice_start: i64, min_end: i64, worker: u16, key: &[u8]) -> PaneKey {
    PaneKey { query, slice_start, min_end, worker, key: key.to_vec() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Format 1, byte for byte: every checkpoint ever written depends on it.
#[test]
fn format_one_is_golden() {
    let key = pane(0x0102_0304_0506_0708, 1_767_225_600_000, 1_767_225_660_000, 3, b"small");
    assert_eq!(hex(&key.encode()), GOLDEN);
    assert_eq!(PaneKey::decode(&key.encode()), Ok(key));
    let before_1970 = pane(1, -60_000, 0, 0, b"");
    assert_eq!(hex(&before_1970.encode()), GOLDEN_BEFORE_1970);
    assert_eq!(PaneKey::decode(&before_1970.encode()), Ok(before_1970));
}

#[test]
fn the_hash_is_golden() {
    assert_eq!(stable_hash(b""), HASH_OF_NOTHING);
    assert_eq!(query_hash("minutes"), HASH_OF_MINUTES);
}

#[test]
fn bytes_sort_as_the_fields_do() {
    let times = [i64::MIN, -60_000, -1, 0, 1, 60_000, i64::MAX];
    let mut keys = Vec::new();
    for query in [0, 1, u64::MAX] {
        for start in times {
            for end in times {
                keys.push(pane(query, start, end, 0, b""));
                keys.push(pane(query, start, end, 7, b"\xff\xff"));
            }
        }
    }
    let mut encoded: Vec<Vec<u8>> = keys.iter().map(PaneKey::encode).collect();
    keys.sort();
    encoded.sort();
    let decoded: Vec<PaneKey> = encoded.iter().map(|bytes| PaneKey::decode(bytes).unwrap()).collect();
    assert_eq!(decoded, keys);
}

#[test]
fn a_slice_is_one_range() {
    let slices =
        [(0, 0, 0), (5, -60_000, 0), (u64::MAX, i64::MAX, i64::MAX), (5, 0, i64::MAX), (7, i64::MIN, i64::MIN)];
    for (query, start, end) in slices {
        let (first, after) = SliceKey { query, slice_start: start, min_end: end }.range();
        for worker in [0, 1, u16::MAX] {
            for key in [&b""[..], b"\x00", b"\xff\xff\xff\xff"] {
                let inside = pane(query, start, end, worker, key).encode();
                assert!(first <= inside && inside < after);
            }
        }
        for outside in [
            pane(query, start, end.wrapping_add(1), 0, b""),
            pane(query, start.wrapping_add(1), end, 0, b""),
            pane(query.wrapping_add(1), start, end, 0, b""),
            pane(query, start, end.wrapping_sub(1), u16::MAX, b"\xff\xff"),
        ] {
            let outside = outside.encode();
            assert!(outside < first || outside >= after);
        }
    }
}

#[test]
fn what_is_not_a_key_says_why() {
    assert!(PaneKey::decode(b"").unwrap_err().contains("0 bytes"));
    let mut bytes = pane(1, 2, 3, 4, b"k").encode();
    bytes[0] = 9;
    assert!(PaneKey::decode(&bytes).unwrap_err().contains("format is 9"));
    bytes[0] = FORMAT;
    bytes[28] ^= 1;
    assert!(PaneKey::decode(&bytes).unwrap_err().contains("key group"));
}

#[test]
fn key_groups_are_used_evenly() {
    let mut used = [0_u32; KEY_GROUPS as usize];
    for key in 0_u64..12_800 {
        used[key_group(&key.to_be_bytes()) as usize] += 1;
    }
    assert!(used.iter().all(|&count| (50..200).contains(&count)), "{used:?}");
}

const GOLDEN: &str = "0101020304050607088000019b76daa8008000019b76db92600003004c736d616c6c";
const GOLDEN_BEFORE_1970: &str = "0100000000000000017fffffffffff15a0800000000000000000000052";
const HASH_OF_NOTHING: u64 = 0xecba3df2c3383c52;
const HASH_OF_MINUTES: u64 = 0xf3025c62e2b54472;
