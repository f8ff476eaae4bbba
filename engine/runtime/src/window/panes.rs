//! Encoded keys and values, many in one piece of memory. What they mean is not known here.

/// Pieces of bytes, one behind the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    ends: Ends,
}

/// Where each piece ends: in four bytes, as long as they are enough.
#[derive(Debug, Clone, Default)]
struct Ends {
    low: Vec<u32>,
    high: Vec<usize>,
}

impl Ends {
    fn len(&self) -> usize {
        self.low.len() + self.high.len()
    }

    fn push(&mut self, end: usize) {
        match u32::try_from(end) {
            Ok(low) => self.low.push(low),
            Err(_) => self.high.push(end),
        }
    }

    #[inline]
    fn get(&self, index: usize) -> usize {
        match self.low.get(index) {
            Some(low) => *low as usize,
            None => self.high[index - self.low.len()],
        }
    }

    fn clear(&mut self) {
        self.low.clear();
        self.high.clear();
    }

    fn bytes(&self) -> usize {
        self.low.len() * 4 + self.high.len() * 8
    }
}

impl Packed {
    /// Adds what `write` appends.
    #[inline]
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The piece `at`.
    #[inline]
    pub(super) fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends.get(at - 1) };
        &self.bytes[start..self.ends.get(at)]
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes that hold something.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + self.ends.bytes()
    }

    /// Lets all go; the memory is used again.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Stored panes of one slice part, on their way into memory.
#[derive(Debug, Default)]
pub(crate) struct Panes {
    pub(super) keys: Packed,
    pub(super) values: Packed,
}

/// Enough that what is done once for all of them costs little.
const FULL: usize = 4096;

impl Panes {
    /// Adds a pane.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.push(|out| out.extend_from_slice(key));
        self.values.push(|out| out.extend_from_slice(value));
    }

    /// Whether it is time to take them over.
    pub(crate) fn is_full(&self) -> bool {
        self.keys.len() >= FULL
    }

    /// Lets all go; the memory is used again.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
    }
}

#[cfg(test)]
#[path = "panes_tests.rs"]
mod tests;
