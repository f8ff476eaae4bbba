//! The table that numbers the keys of a slice 0, 1, 2, ... in the order of their first appearance.
//!
//! A single integer is kept as a number, any other key as its encoded bytes, all of them in one arena. Rows are looked up in
//! blocks: first where each key should be, then whether it is there, so that the waits for memory overlap. How a key is
//! encoded is not decided here.

use super::keys::{KeyCodec, KeyColumns, NULL, VALUE, from_ordered_whole, ordered_whole, push_text, read_whole};
use super::panes::Packed;
use super::rows::Rows;
use super::slots::{NONE, Slot, Slots};
use aqueduct_core::{Error, Result};
use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use hashbrown::DefaultHashBuilder;
use std::hash::BuildHasher;
use std::ops::{Deref, Range};

/// Rows that are looked up side by side.
const BLOCK: usize = 64;

/// Before a text stand the mark of a value and its length.
const TEXT_PREFIX: usize = 5;

/// Keys and their numbers.
#[derive(Debug, Clone)]
pub(crate) struct KeyTable {
    slots: Slots,
    keys: Keys,
    hasher: DefaultHashBuilder,
}

#[derive(Debug, Clone)]
enum Keys {
    /// Single integers as bits that sort like them; the null has a number too, if it came.
    Whole { values: Rows, null: u32 },
    /// Encoded keys of any kind.
    Bytes(Packed),
}

/// An encoded key: where it lies, or made for the one who asks.
#[derive(Debug)]
pub(crate) enum Key<'a> {
    Lent(&'a [u8]),
    Made([u8; 9]),
}

impl Deref for Key<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Key::Lent(bytes) => bytes,
            Key::Made(bytes) => bytes,
        }
    }
}

/// What of a key is hashed: of a single text only the text, so that a text can be looked up without being encoded.
fn hashed(key: &[u8]) -> &[u8] {
    match key {
        [VALUE, a, b, c, d, text @ ..] if u32::from_be_bytes([*a, *b, *c, *d]) as usize == text.len() => text,
        _ => key,
    }
}

impl Keys {
    fn len(&self) -> usize {
        match self {
            Keys::Whole { values, .. } => values.len(),
            Keys::Bytes(keys) => keys.len(),
        }
    }

    #[inline]
    fn is_whole(&self, number: u32, value: Option<u64>) -> bool {
        match self {
            Keys::Whole { values, null } => match value {
                Some(value) => values.word(number, 0) == value && number != *null,
                None => number == *null,
            },
            Keys::Bytes(_) => false,
        }
    }

    #[inline]
    fn is_bytes(&self, number: u32, key: &[u8]) -> bool {
        matches!(self, Keys::Bytes(keys) if keys.get(number as usize) == key)
    }

    #[inline]
    fn is_text(&self, number: u32, text: Option<&str>) -> bool {
        let Keys::Bytes(keys) = self else { return false };
        let key = keys.get(number as usize);
        match text {
            Some(text) => key.len() == TEXT_PREFIX + text.len() && key[TEXT_PREFIX..] == *text.as_bytes(),
            None => key == [NULL],
        }
    }

    fn push_whole(&mut self, value: Option<u64>) {
        if let Keys::Whole { values, null } = self {
            if value.is_none() {
                *null = values.len() as u32;
            }
            values.grow(values.len() + 1, &[value.unwrap_or_default()]);
        }
    }

    fn push_bytes(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Keys::Bytes(keys) = self {
            keys.push(write);
        }
    }
}

impl KeyTable {
    /// An empty table for the keys of `codec`.
    pub(crate) fn new(codec: &KeyCodec) -> Self {
        let keys = if codec.is_single_whole() {
            Keys::Whole { values: Rows::new(1), null: NONE }
        } else {
            Keys::Bytes(Packed::default())
        };
        Self { slots: Slots::default(), keys, hasher: DefaultHashBuilder::default() }
    }

    /// Appends the numbers of the keys of `rows`, new or known, to `numbers`.
    pub(crate) fn intern_rows(
        &mut self,
        columns: &KeyColumns,
        rows: &[u32],
        numbers: &mut Vec<u32>,
        scratch: &mut Packed,
    ) -> Result<()> {
        // Without GROUP BY columns there is one group, and nothing to look up.
        if columns.is_empty() && !rows.is_empty() {
            let number = self.intern(&[])?;
            numbers.resize(numbers.len() + rows.len(), number);
            return Ok(());
        }
        if let Some(array) = columns.single_whole() {
            return self.intern_whole(|at| whole(array, rows[at]), rows.len(), numbers);
        }
        if let Some(array) = columns.single_text() {
            return self.intern_text(array, rows, numbers);
        }
        scratch.clear();
        for row in rows {
            scratch.push(|out| columns.encode(*row as usize, out));
        }
        self.intern_packed(scratch, numbers)
    }

    /// Appends the numbers of encoded keys, new or known, to `numbers`.
    pub(super) fn intern_packed(&mut self, keys: &Packed, numbers: &mut Vec<u32>) -> Result<()> {
        if let Keys::Whole { .. } = self.keys {
            let values = (0..keys.len()).map(|at| read_whole(keys.get(at))).collect::<Result<Vec<_>>>()?;
            return self.intern_whole(|at| values[at], values.len(), numbers);
        }
        self.intern_encoded(|at| keys.get(at), keys.len(), numbers)
    }

    fn intern_encoded<'a>(
        &mut self,
        key: impl Fn(usize) -> &'a [u8],
        count: usize,
        numbers: &mut Vec<u32>,
    ) -> Result<()> {
        self.each(
            count,
            |hasher, at| hash(hasher, hashed(key(at))),
            |known, number, at| known.is_bytes(number, key(at)),
            |known, at| known.push_bytes(|out| out.extend_from_slice(key(at))),
            numbers,
        )
    }

    fn intern_whole(
        &mut self,
        value: impl Fn(usize) -> Option<u64>,
        count: usize,
        numbers: &mut Vec<u32>,
    ) -> Result<()> {
        self.each(
            count,
            |hasher, at| hash_whole(hasher, value(at)),
            |keys, number, at| keys.is_whole(number, value(at)),
            |keys, at| keys.push_whole(value(at)),
            numbers,
        )
    }

    fn intern_text(&mut self, array: &StringArray, rows: &[u32], numbers: &mut Vec<u32>) -> Result<()> {
        let text = |at: usize| array.is_valid(rows[at] as usize).then(|| array.value(rows[at] as usize));
        self.each(
            rows.len(),
            |hasher, at| hash(hasher, text(at).map_or(&[NULL], str::as_bytes)),
            |keys, number, at| keys.is_text(number, text(at)),
            |keys, at| keys.push_bytes(|out| push_text(text(at), out)),
            numbers,
        )
    }

    /// The number of one encoded key, new or known.
    pub(crate) fn intern(&mut self, key: &[u8]) -> Result<u32> {
        if let Keys::Whole { .. } = self.keys {
            let value = read_whole(key)?;
            let hash = hash_whole(&self.hasher, value);
            return self.add(hash, |keys, number| keys.is_whole(number, value), |keys| keys.push_whole(value));
        }
        let hash = hash(&self.hasher, hashed(key));
        let push = |keys: &mut Keys| keys.push_bytes(|out| out.extend_from_slice(key));
        self.add(hash, |keys, number| keys.is_bytes(number, key), push)
    }

    /// Appends the numbers that some keys of `other` have here, new or known, to `numbers`.
    pub(crate) fn intern_some(&mut self, other: &KeyTable, some: Range<u32>, numbers: &mut Vec<u32>) -> Result<()> {
        match &other.keys {
            Keys::Whole { values, null } => {
                let value = |at: u32| (at != *null).then(|| values.word(at, 0));
                self.intern_whole(|at| value(some.start + at as u32), some.len(), numbers)
            }
            Keys::Bytes(keys) => self.intern_encoded(|at| keys.get(some.start as usize + at), some.len(), numbers),
        }
    }

    /// Looks `count` keys up, a block at a time, and adds those that are new.
    #[inline]
    fn each(
        &mut self,
        count: usize,
        hash: impl Fn(&DefaultHashBuilder, usize) -> u32,
        same: impl Fn(&Keys, u32, usize) -> bool,
        mut push: impl FnMut(&mut Keys, usize),
        numbers: &mut Vec<u32>,
    ) -> Result<()> {
        numbers.reserve(count);
        let mut found: [(u32, Slot); BLOCK] = [(0, self.slots.first(0)); BLOCK];
        let mut begin = 0;
        while begin < count {
            let block = &mut found[..BLOCK.min(count - begin)];
            for (at, found) in (begin..).zip(block.iter_mut()) {
                let hash = hash(&self.hasher, at);
                *found = (hash, self.slots.first(hash));
            }
            for (at, (hash, first)) in (begin..).zip(block.iter()) {
                let known = first.of(*hash).filter(|number| same(&self.keys, *number, at));
                numbers.push(match known {
                    Some(number) => number,
                    None => self.add(*hash, |keys, number| same(keys, number, at), |keys| push(keys, at))?,
                });
            }
            begin += BLOCK;
        }
        Ok(())
    }

    fn add(&mut self, hash: u32, same: impl Fn(&Keys, u32) -> bool, push: impl FnOnce(&mut Keys)) -> Result<u32> {
        if let Some(number) = self.slots.find(hash, |number| same(&self.keys, number)) {
            return Ok(number);
        }
        let number = u32::try_from(self.keys.len()).ok().filter(|number| *number != NONE);
        let number = number.ok_or_else(|| {
            Error::data("more than 4,294,967,295 keys in one slice: use shorter windows or fewer keys")
        })?;
        push(&mut self.keys);
        self.slots.insert(hash, number);
        Ok(number)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The encoded key `index`.
    pub(crate) fn key(&self, index: u32) -> Key<'_> {
        match &self.keys {
            Keys::Bytes(keys) => Key::Lent(keys.get(index as usize)),
            Keys::Whole { null, .. } if index == *null => Key::Lent(&[NULL]),
            Keys::Whole { values, .. } => {
                let mut key = [VALUE; 9];
                key[1..].copy_from_slice(&values.word(index, 0).to_be_bytes());
                Key::Made(key)
            }
        }
    }

    /// The keys of these numbers as arrays, one per key column.
    pub(crate) fn arrays(&self, codec: &KeyCodec, order: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.keys {
            Keys::Bytes(keys) => codec.decode(order.iter().map(|index| keys.get(*index as usize))),
            Keys::Whole { values, null } => {
                let value = |index: &u32| (index != null).then(|| from_ordered_whole(values.word(*index, 0)));
                codec.single(order.iter().map(value).collect::<Int64Array>())
            }
        }
    }

    /// The numbers of all keys, sorted by their bytes.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let numbers = 0..self.len() as u32;
        match &self.keys {
            // Null sorts first, as its bytes do.
            Keys::Whole { values, null } => {
                let place = |index: u32| (index != *null).then(|| values.word(index, 0));
                sorted_by_head(numbers, place, |_, _| std::cmp::Ordering::Equal)
            }
            Keys::Bytes(keys) => {
                let key = |index: u32| keys.get(index as usize);
                let shared = shared_prefix(self.len() as u32, key);
                sorted_by_head(numbers, |index| head(&key(index)[shared..]), |a, b| key(a).cmp(key(b)))
            }
        }
    }

    /// Bytes held, without walking anything. Room behind a list is none: the system gives memory where something is written.
    pub(crate) fn bytes(&self) -> usize {
        let keys = match &self.keys {
            Keys::Whole { values, .. } => values.bytes(),
            Keys::Bytes(keys) => keys.bytes(),
        };
        keys + self.slots.bytes()
    }
}

#[inline]
fn whole(array: &Int64Array, row: u32) -> Option<u64> {
    array.is_valid(row as usize).then(|| ordered_whole(array.value(row as usize)))
}

#[inline]
fn hash(hasher: &DefaultHashBuilder, bytes: &[u8]) -> u32 {
    fold(hasher.hash_one(bytes))
}

#[inline]
fn hash_whole(hasher: &DefaultHashBuilder, value: Option<u64>) -> u32 {
    value.map_or(0, |value| fold(hasher.hash_one(value)))
}

#[inline]
fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// Up to so many keys are sorted with their heads beside their numbers; more of them where they lie.
const MAX_HEADS: usize = 1 << 20;

/// Numbers by a head that sorts like the key, then by the rest.
fn sorted_by_head<H: Ord>(
    numbers: Range<u32>,
    head: impl Fn(u32) -> H,
    rest: impl Fn(u32, u32) -> std::cmp::Ordering,
) -> Vec<u32> {
    if numbers.len() > MAX_HEADS {
        let mut order: Vec<u32> = numbers.collect();
        order.sort_unstable_by(|a, b| head(*a).cmp(&head(*b)).then_with(|| rest(*a, *b)));
        return order;
    }
    let mut order: Vec<(H, u32)> = numbers.map(|index| (head(index), index)).collect();
    order.sort_unstable_by(|(left, a), (right, b)| left.cmp(right).then_with(|| rest(*a, *b)));
    order.into_iter().map(|(_, index)| index).collect()
}

/// How many bytes all keys begin with alike.
fn shared_prefix<'a>(count: u32, key: impl Fn(u32) -> &'a [u8]) -> usize {
    let first = if count == 0 { return 0 } else { key(0) };
    (1..count)
        .fold(first.len(), |shared, index| first[..shared].iter().zip(key(index)).take_while(|(a, b)| a == b).count())
}

/// The first bytes of a key as a number that sorts like them; a key that ends before is filled up with zeros.
fn head(key: &[u8]) -> u128 {
    let mut head = [0; 16];
    let length = key.len().min(16);
    head[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(head)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
