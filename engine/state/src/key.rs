//! Keys of panes, and their encoding.
//!
//! ```text
//! format 1B = 1 | query 8B | slice_start 8B | min_end 8B | worker 2B | key_group 2B | key
//! ```
//!
//! All numbers are big-endian, signed ones with the sign bit flipped, so that bytes sort as the fields do. A slice is one
//! range of keys, which goes in one range deletion; within a worker's part of a slice the panes lie by key group, so that a
//! restore can be cut anew by reading ranges. The format byte covers the layout of the key; what a value means is its own
//! business. Checkpoints hold these bytes: a layout never changes, it gets a new format byte.

/// Keys are spread over so many groups; the unit in which state moves between workers or shards.
pub const KEY_GROUPS: u16 = 128;

const FORMAT: u8 = 1;
const SLICE_PREFIX: usize = 1 + 8 + 8 + 8;
/// What tells keys of one worker's part of a slice apart comes behind this.
pub(crate) const WORKER_PREFIX: usize = SLICE_PREFIX + 2;
const FIXED: usize = WORKER_PREFIX + 2;

/// One key's accumulators in one slice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaneKey {
    /// [`query_hash`] of the query's id.
    pub query: u64,
    /// Where the slice begins, in milliseconds of event time.
    pub slice_start: i64,
    /// The end of the first window that may still take the pane's rows.
    pub min_end: i64,
    /// The reading thread that folded it.
    pub worker: u16,
    /// The encoded key columns.
    pub key: Vec<u8>,
}

/// All panes of a slice, of every worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SliceKey {
    /// [`query_hash`] of the query's id.
    pub query: u64,
    /// Where the slice begins.
    pub slice_start: i64,
    /// See [`PaneKey::min_end`].
    pub min_end: i64,
}

impl PaneKey {
    /// The slice that the pane belongs to.
    pub fn slice(&self) -> SliceKey {
        SliceKey { query: self.query, slice_start: self.slice_start, min_end: self.min_end }
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.key.len());
        write_pane_key(&self.slice(), self.worker, &self.key, &mut bytes);
        bytes
    }

    /// The key in `bytes`, or why there is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut key = Self::default();
        key.read(bytes)?;
        Ok(key)
    }

    /// As [`PaneKey::decode`], into this one, whose memory is used again. Returns the key group.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<u16, String> {
        let Some((fixed, key)) = bytes.split_first_chunk::<FIXED>() else {
            return Err(format!("it has {} bytes, at least {FIXED} are needed", bytes.len()));
        };
        if fixed[0] != FORMAT {
            return Err(format!("its format is {}, this program reads {FORMAT}", fixed[0]));
        }
        let group = u16::from_be_bytes([fixed[27], fixed[28]]);
        if group != key_group(key) {
            return Err(format!("it says key group {group}, its key belongs to {}", key_group(key)));
        }
        self.query = number(fixed, 1);
        self.slice_start = unordered(number(fixed, 9));
        self.min_end = unordered(number(fixed, 17));
        self.worker = u16::from_be_bytes([fixed[25], fixed[26]]);
        self.key.clear();
        self.key.extend_from_slice(key);
        Ok(group)
    }
}

/// Appends the key of a pane.
pub(crate) fn write_pane_key(slice: &SliceKey, worker: u16, key: &[u8], bytes: &mut Vec<u8>) {
    slice.write_prefix(bytes);
    bytes.extend_from_slice(&worker.to_be_bytes());
    bytes.extend_from_slice(&key_group(key).to_be_bytes());
    bytes.extend_from_slice(key);
}

/// The query of an encoded key.
pub(crate) fn query_of(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<FIXED>().map(|fixed| number(fixed, 1))
}

impl SliceKey {
    /// What the keys of a worker's part begin with.
    pub(crate) fn worker_prefix(&self, worker: u16) -> Vec<u8> {
        let mut prefix = Vec::with_capacity(WORKER_PREFIX);
        self.write_prefix(&mut prefix);
        prefix.extend_from_slice(&worker.to_be_bytes());
        prefix
    }

    /// What comes behind a worker's part.
    pub(crate) fn behind(&self, worker: u16) -> Vec<u8> {
        worker.checked_add(1).map_or_else(|| self.range().1, |next| self.worker_prefix(next))
    }

    /// The first key of the slice and the first one after it.
    pub(crate) fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let mut first = Vec::with_capacity(SLICE_PREFIX);
        self.write_prefix(&mut first);
        let mut after = first.clone();
        // The format byte is never 255: the carry always finds a place.
        for byte in after.iter_mut().rev() {
            let (next, carried) = byte.overflowing_add(1);
            *byte = next;
            if !carried {
                break;
            }
        }
        (first, after)
    }

    fn write_prefix(&self, bytes: &mut Vec<u8>) {
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.query.to_be_bytes());
        bytes.extend_from_slice(&ordered(self.slice_start).to_be_bytes());
        bytes.extend_from_slice(&ordered(self.min_end).to_be_bytes());
    }
}

/// The group of an encoded key.
pub fn key_group(key: &[u8]) -> u16 {
    let group = stable_hash(key) % u64::from(KEY_GROUPS);
    u16::try_from(group).expect("the remainder by a u16 is a u16")
}

/// The number under which a query's panes are kept.
pub fn query_hash(id: &str) -> u64 {
    stable_hash(id.as_bytes())
}

/// FNV-1a with a final mix: the same on every machine and in every version, because checkpoints depend on it.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

fn ordered(number: i64) -> u64 {
    number.cast_unsigned() ^ (1 << 63)
}

fn unordered(bits: u64) -> i64 {
    (bits ^ (1 << 63)).cast_signed()
}

fn number(fixed: &[u8; FIXED], at: usize) -> u64 {
    let mut bytes = [0_u8; 8];
    bytes.copy_from_slice(&fixed[at..at + 8]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests;
