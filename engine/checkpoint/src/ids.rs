//! Unique ids for records, handed in so that a simulation can own them.
//!
//! An id tells our own write from another's when a reply was lost; it is no secret and orders nothing.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;

/// Makes ids that no other process makes.
pub trait IdSource: Send + Sync + std::fmt::Debug {
    /// 128 bits as 32 hex digits, new at each call.
    fn put_id(&self) -> String;
}

/// Ids from the operating system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    fn put_id(&self) -> String {
        let mut bytes = [0_u8; 16];
        let filled = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        if filled.is_err() {
            // RandomState is seeded by the operating system too; it is only the slower way to the same bits.
            for half in bytes.chunks_mut(8) {
                half.copy_from_slice(&RandomState::new().build_hasher().finish().to_be_bytes());
            }
        }
        hex(&bytes)
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_long_and_never_the_same() {
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| SystemIds.put_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit())));
    }
}
