//! Tests of rows beyond the first piece.

use super::*;

#[test]
fn rows_keep_their_words_while_others_come() {
    let mut rows = Rows::new(3);
    let piece = 1 << rows.shift;
    let mut len = 0;
    for more in [1, 5, piece, 2 * piece - 7, 1] {
        let before = len as u32;
        len += more;
        rows.grow(len, &[1, 2, 3]);
        for row in before..len as u32 {
            assert_eq!([0, 1, 2].map(|at| rows.word(row, at)), [1, 2, 3], "row {row} is new");
            *rows.word_mut(row, 0) = u64::from(row);
            rows.set_wide(row, 1, -1 - i128::from(row));
        }
    }
    for row in 0..len as u32 {
        assert_eq!((rows.word(row, 0), rows.wide(row, 1)), (u64::from(row), -1 - i128::from(row)));
    }
    assert_eq!(rows.bytes(), len * 24);
}

#[test]
fn rows_without_words_take_nothing() {
    let mut rows = Rows::new(0);
    rows.grow(100, &[]);
    assert_eq!(rows.bytes(), 0);
}
