//! Random numbers that are looked up, not drawn in turn: a hash of (seed, partition, offset, what for).
//!
//! So one decision never shifts another: with another `malformed-fraction` the other records stay as they were.

/// What a number is for.
pub(super) mod tag {
    pub(crate) const LATE: u64 = 1;
    pub(crate) const DISORDER: u64 = 2;
    pub(crate) const MALFORMED: u64 = 3;
    pub(crate) const FLAW: u64 = 4;
    pub(crate) const PLACE: u64 = 5;
    pub(crate) const TIME_STYLE: u64 = 6;
    pub(crate) const TIME_TAIL: u64 = 7;
    /// First of the fields' own; templates add an index.
    pub(crate) const FIELD: u64 = 1 << 16;
    pub(crate) const MISSING: u64 = 1 << 20;
    pub(crate) const TEXT_NUMBER: u64 = 1 << 21;
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finalizer of splitmix64.
#[inline]
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The random numbers of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw(u64);

impl Draw {
    #[inline]
    pub(super) fn new(seed: u64, partition: i32, offset: i64) -> Self {
        let split = mix(seed.wrapping_add(GOLDEN)) ^ mix((partition as u64).wrapping_add(GOLDEN));
        Self(mix(split.wrapping_add((offset as u64).wrapping_mul(GOLDEN))))
    }

    /// The number for a purpose.
    #[inline]
    pub(super) fn at(self, tag: u64) -> u64 {
        mix(self.0.wrapping_add(tag.wrapping_mul(GOLDEN)))
    }

    /// A number below `limit`, evenly spread; 0 when the limit is 0.
    #[inline]
    pub(super) fn below(self, tag: u64, limit: u64) -> u64 {
        ((u128::from(self.at(tag)) * u128::from(limit)) >> 64) as u64
    }
}

/// A share of all records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance(u64);

impl Chance {
    /// `fraction` from 0 (never) to 1 (always).
    pub(super) fn new(fraction: f64) -> Self {
        Self((fraction * u64::MAX as f64) as u64)
    }

    /// Whether a random number hits.
    #[inline]
    pub(super) fn hits(self, number: u64) -> bool {
        self.0 != 0 && number <= self.0
    }
}
