//! New and changed panes on their way to the store: encoded keys and values side by side in one piece of memory.
//!
//! A checkpoint may change millions of panes; two allocations for each would cost more than writing them.

use crate::key::{PaneKey, SliceKey, write_pane_key};

/// Panes to write, in any order. A pane is put in the place of what is there, or added to it; what comes later for one key is
/// applied later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PanePuts {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// Where a key begins, and the lengths of key and value, which lie one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: usize,
    key: u32,
    value: u32,
    added: bool,
}

impl PanePuts {
    /// Puts a pane of a slice: the thread that folded it, its encoded key columns, its value.
    pub fn push(&mut self, slice: &SliceKey, worker: u16, key: &[u8], value: &[u8]) {
        self.write(slice, worker, key, value, false);
    }

    /// The same for a value that is added to the one that is there, if there is one, as the store's [`Merge`](crate::Merge) does it.
    pub fn add(&mut self, slice: &SliceKey, worker: u16, key: &[u8], value: &[u8]) {
        self.write(slice, worker, key, value, true);
    }

    fn write(&mut self, slice: &SliceKey, worker: u16, key: &[u8], value: &[u8], added: bool) {
        let start = self.bytes.len();
        write_pane_key(slice, worker, key, &mut self.bytes);
        let after_key = self.bytes.len();
        self.bytes.extend_from_slice(value);
        let entry = Entry { start, key: (after_key - start) as u32, value: value.len() as u32, added };
        self.entries.push(entry);
    }

    /// Takes over all panes of `other`.
    pub fn append(&mut self, other: &mut PanePuts) {
        if self.is_empty() {
            return std::mem::swap(self, other);
        }
        let moved = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.entries.extend(other.entries.drain(..).map(|entry| Entry { start: entry.start + moved, ..entry }));
    }

    /// How many panes there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Keys and values in the order of the keys, and whether a value is added. The sort is stable: of equal keys the later one comes
    /// later.
    pub(crate) fn sorted(&mut self) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
        let bytes = &self.bytes;
        self.entries.sort_by(|left, right| left.key_in(bytes).cmp(right.key_in(bytes)));
        self.entries.iter().map(|entry| (entry.key_in(bytes), entry.value_in(bytes), entry.added))
    }
}

impl Entry {
    fn key_in<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..self.start + self.key as usize]
    }

    fn value_in<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.start + self.key as usize;
        &bytes[start..start + self.value as usize]
    }
}

impl<V: AsRef<[u8]>> FromIterator<(PaneKey, V)> for PanePuts {
    fn from_iter<I: IntoIterator<Item = (PaneKey, V)>>(panes: I) -> Self {
        let mut puts = Self::default();
        for (pane, value) in panes {
            puts.push(&pane.slice(), pane.worker, &pane.key, value.as_ref());
        }
        puts
    }
}
