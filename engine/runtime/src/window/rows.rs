//! Rows of words, one per group, side by side in pieces of memory that stay where they are.
//!
//! A row is read and written as a whole, so it takes one or two waits for memory where a column per aggregate takes one each.
//! Pieces are never moved when more rows come, but for the first one, which begins small. What a word means is not known here.

use super::large;

/// Words of a piece, at most.
const PIECE: usize = 2 << 20;

/// Rows of so many words each.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    words: usize,
    len: usize,
    /// A piece has `1 << shift` rows.
    shift: u32,
    pieces: Vec<Vec<u64>>,
}

impl Rows {
    /// No rows yet, of `words` each.
    pub(super) fn new(words: usize) -> Self {
        Self { words, len: 0, shift: (PIECE / words.max(1)).max(1).ilog2(), pieces: Vec::new() }
    }

    /// As many rows as `len` says; new ones are as `empty`.
    pub(super) fn grow(&mut self, len: usize, empty: &[u64]) {
        while self.len < len && self.words > 0 {
            let (at, full) = (self.len >> self.shift, 1 << self.shift);
            if at == self.pieces.len() {
                self.pieces.push(if at == 0 { Vec::new() } else { large::room(full * self.words) });
            }
            let more = (len - self.len).min((at + 1) * full - self.len);
            let piece = &mut self.pieces[at];
            piece.reserve(more * self.words);
            (0..more).for_each(|_| piece.extend_from_slice(empty));
            self.len += more;
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A word of a row.
    #[inline]
    pub(super) fn word(&self, row: u32, at: usize) -> u64 {
        self.pieces[(row >> self.shift) as usize][self.place(row) + at]
    }

    /// A word of a row, to write.
    #[inline]
    pub(super) fn word_mut(&mut self, row: u32, at: usize) -> &mut u64 {
        let place = self.place(row);
        &mut self.pieces[(row >> self.shift) as usize][place + at]
    }

    /// Two words of a row as one number.
    #[inline]
    pub(super) fn wide(&self, row: u32, at: usize) -> i128 {
        i128::from(self.word(row, at)) | i128::from(self.word(row, at + 1) as i64) << 64
    }

    /// Writes two words of a row.
    #[inline]
    pub(super) fn set_wide(&mut self, row: u32, at: usize, value: i128) {
        let [low, high] = wide_words(value);
        *self.word_mut(row, at) = low;
        *self.word_mut(row, at + 1) = high;
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.len * self.words * size_of::<u64>()
    }

    /// Where a row begins in its piece.
    #[inline]
    fn place(&self, row: u32) -> usize {
        (row as usize & ((1 << self.shift) - 1)) * self.words
    }
}

/// 128 bits as words.
#[inline]
pub(super) fn wide_words(value: i128) -> [u64; 2] {
    [value as u64, (value >> 64) as u64]
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
