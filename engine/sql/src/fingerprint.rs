//! The identity of a query: FNV-1a over its normalised text, 128 bits, in hex.
//!
//! It names state in checkpoints, so it is our own few lines and not a hasher that a new toolchain may change.

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// 32 hex digits.
pub(crate) fn of(text: &str) -> String {
    let hash = text.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_fnv_1a() {
        assert_eq!(super::of(""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(super::of("a"), "d228cb696f1a8caf78912b704e4a8964");
    }
}
