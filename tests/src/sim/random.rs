//! Seeded random numbers (splitmix64) and the mixing of hashes. No operating system, no state outside of the value.

/// A stream of numbers from a seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Random {
        Random(mix(seed))
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next number in `0..below`; 0 for `below` = 0. The bias of the remainder does not matter here.
    pub fn below(&mut self, below: u64) -> u64 {
        let next = self.next_u64();
        if below == 0 { 0 } else { next % below }
    }

    /// Where the stream stands.
    pub fn state(&self) -> u64 {
        self.0
    }
}

/// Spreads the bits of a number.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Adds a text to a hash.
pub fn mix_text(hash: u64, text: &str) -> u64 {
    // FNV-1a, mixed at the end.
    let sum = text
        .bytes()
        .fold(hash ^ 0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(sum)
}
