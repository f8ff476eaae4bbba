//! Tests of the keys' table: what it numbers, how it sorts, and that rows looked up in blocks are those looked up one by one.

use super::*;
use arrow::datatypes::DataType;
use std::collections::HashMap;
use std::sync::Arc;

fn table(types: &[DataType]) -> (KeyCodec, KeyTable) {
    let codec = KeyCodec::new(types.to_vec()).unwrap();
    let table = KeyTable::new(&codec);
    (codec, table)
}

#[test]
fn keys_are_sorted_by_all_their_bytes() {
    // A beginning that all share, ends within the head and behind it, and the zeros that fill a head up.
    let long = b"shared beginning, 16 bytes and more".to_vec();
    let ends: [&[u8]; 9] =
        [b"", b"\0", b"\0\0", b"a", b"a\0", b"ab", b"\xFF", b"the same sixteen 1", b"the same sixteen 0"];
    for beginning in [Vec::new(), long] {
        let (_, mut keys) = table(&[DataType::Utf8, DataType::Int64]);
        let mut expected: Vec<Vec<u8>> = ends.iter().map(|end| [beginning.as_slice(), end].concat()).collect();
        for key in &expected {
            keys.intern(key).unwrap();
        }
        expected.sort();
        let sorted: Vec<Vec<u8>> = keys.sorted().into_iter().map(|index| keys.key(index).to_vec()).collect();
        assert_eq!(sorted, expected);
    }
    assert_eq!(table(&[DataType::Utf8]).1.sorted(), [0_u32; 0]);
}

#[test]
fn many_keys_keep_their_numbers() {
    // So many that some share the 32 bits of their hashes, and that the places grow again and again.
    let key = |number: u32| [[VALUE].as_slice(), &(u64::from(number) * 7).to_be_bytes()].concat();
    for types in [[DataType::Int64].as_slice(), &[DataType::Int64, DataType::Utf8]] {
        let (_, mut keys) = table(types);
        for number in 0..300_000 {
            assert_eq!(keys.intern(&key(number)).unwrap(), number);
        }
        for number in (0..300_000).rev() {
            assert_eq!(keys.intern(&key(number)).unwrap(), number);
            assert_eq!(*keys.key(number), key(number));
        }
        assert_eq!(keys.len(), 300_000);
        assert!(keys.bytes() >= 300_000 * (8 + 8));
    }
}

#[test]
fn rows_in_blocks_are_rows_one_by_one() {
    // Keys that come once, keys that come twice in a block, nulls, integers at the ends of their range.
    let whole: Int64Array = (0..1_000_i64)
        .map(|row| match row % 7 {
            0 => None,
            1 => Some([i64::MIN, i64::MAX, 0, -1][row as usize % 4]),
            _ => Some((row * row) % 311 - 150),
        })
        .collect();
    let text: StringArray = whole.iter().map(|value| value.map(|value| format!("k{value}"))).collect();
    let (whole, text): (ArrayRef, ArrayRef) = (Arc::new(whole), Arc::new(text));
    let rows: Vec<u32> = (0..1_000).filter(|row| row % 13 != 5).collect();
    for arrays in [vec![whole.clone()], vec![text.clone()], vec![text, whole], Vec::new()] {
        let types: Vec<DataType> = arrays.iter().map(|array| array.data_type().clone()).collect();
        let (codec, mut keys) = table(&types);
        let columns = codec.columns(&arrays).unwrap();
        let (mut numbers, mut scratch) = (Vec::new(), Packed::default());
        for part in rows.chunks(300) {
            keys.intern_rows(&columns, part, &mut numbers, &mut scratch).unwrap();
        }
        let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
        for (row, number) in rows.iter().zip(&numbers) {
            let mut key = Vec::new();
            columns.encode(*row as usize, &mut key);
            let next = known.len() as u32;
            assert_eq!(*known.entry(key.clone()).or_insert(next), *number, "row {row} of {types:?}");
            assert_eq!(*keys.key(*number), key);
            assert_eq!(keys.intern(&key).unwrap(), *number);
        }
        assert_eq!(keys.len(), known.len());

        let (_, mut other) = table(&types);
        other.intern(&keys.key(keys.len() as u32 / 2)).unwrap();
        let (mut mapping, all) = (Vec::new(), keys.len() as u32);
        let halves = [0..all / 2, all / 2..all];
        halves.into_iter().for_each(|some| other.intern_some(&keys, some, &mut mapping).unwrap());
        assert_eq!(mapping.len(), keys.len());
        assert!((0..).zip(&mapping).all(|(mine, theirs)| *keys.key(mine) == *other.key(*theirs)), "{types:?}");

        let order = keys.sorted();
        assert!(order.windows(2).all(|pair| *keys.key(pair[0]) < *keys.key(pair[1])), "{types:?}");
        let expected =
            codec.decode(order.iter().map(|index| known.iter().find(|(_, n)| *n == index).unwrap().0.as_slice()));
        assert_eq!(keys.arrays(&codec, &order).unwrap(), expected.unwrap());
    }
}

#[test]
fn a_stored_key_of_another_kind_is_refused() {
    let (_, mut keys) = table(&[DataType::Int64]);
    for key in [[VALUE; 8].as_slice(), &[VALUE; 10], &[], &[2; 9]] {
        assert!(keys.intern(key).unwrap_err().to_string().contains("no integer"), "{key:?}");
    }
    assert_eq!(keys.len(), 0);
}
