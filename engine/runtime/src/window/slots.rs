//! Where a key's number is found by the key's hash: open addressing in one array of eight-byte places.
//!
//! A place is chosen by the highest bits of the hash, so that growing moves places in order instead of scattering them, and
//! needs no key. What a key is, and whether two are the same, is told by the caller.

use super::large;

/// A key's hash, and its number plus one. An empty place is zero, as fresh memory is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot(u64);

/// No key has this number.
pub(super) const NONE: u32 = u32::MAX;

const FIRST_BITS: u32 = 4;

/// Numbers by hashes.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    slots: Vec<u64>,
    bits: u32,
    used: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Self { slots: vec![0; 1 << FIRST_BITS], bits: FIRST_BITS, used: 0 }
    }
}

impl Slot {
    fn new(hash: u32, number: u32) -> Self {
        Self(u64::from(hash) << 32 | (u64::from(number) + 1))
    }

    #[inline]
    fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    fn hash(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The number here, if the hash is the same.
    #[inline]
    pub(super) fn of(self, hash: u32) -> Option<u32> {
        (self.hash() == hash && !self.is_empty()).then(|| (self.0 as u32).wrapping_sub(1))
    }
}

impl Slots {
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) << self.bits) >> 32) as usize
    }

    /// The place where a key of this hash is looked for first: mostly it is there. Reading the places of many keys one after
    /// the other lets the processor wait for all of them at once.
    #[inline]
    pub(super) fn first(&self, hash: u32) -> Slot {
        Slot(self.slots[self.home(hash)])
    }

    /// The number of the key of this hash that `is` the right one.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let slot = Slot(self.slots[at]);
            if slot.is_empty() {
                return None;
            }
            if let Some(number) = slot.of(hash).filter(|number| is(*number)) {
                return Some(number);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, hash: u32, number: u32) {
        // Four of five places at most: a search then ends within a cache line or two.
        if (self.used + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        self.put(Slot::new(hash, number));
        self.used += 1;
    }

    fn put(&mut self, slot: Slot) {
        let mut at = self.home(slot.hash());
        while self.slots[at] != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot.0;
    }

    fn grow(&mut self) {
        self.bits += 1;
        let old = std::mem::replace(&mut self.slots, large::zeroed(1 << self.bits));
        old.into_iter().map(Slot).filter(|slot| !slot.is_empty()).for_each(|slot| self.put(slot));
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }
}
