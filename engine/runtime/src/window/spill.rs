//! Slices that leave memory for the state store, because there is no room for them: which they are, and what of them is still on
//! its way.
//!
//! A slice leaves as a whole, at a cut. Rows that come for it afterwards begin a new one, a delta, which leaves at the next cut and
//! is added to what is stored. Only slices of windows that do not overlap leave: the others are needed again and again.

use super::operator::PartKey;
use super::slice::Slice;
use std::collections::BTreeSet;

/// What has left.
#[derive(Debug, Default)]
pub(super) struct Spilled {
    /// Parts that the store holds, whole or but for a delta here.
    parts: BTreeSet<PartKey>,
    /// Slices that are still to be written down.
    leaving: Vec<Leaving>,
}

#[derive(Debug)]
struct Leaving {
    part: PartKey,
    slice: Slice,
    /// Groups before this one are written down.
    next: u32,
}

/// How a pane is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// In the place of what is stored.
    Whole,
    /// Added to what is stored.
    Delta,
}

impl Spilled {
    /// Whether the store holds a part.
    pub(super) fn contains(&self, part: PartKey) -> bool {
        self.parts.contains(&part)
    }

    /// Parts that the store holds.
    pub(super) fn parts(&self) -> &BTreeSet<PartKey> {
        &self.parts
    }

    /// Other threads have parts in the store that this one knows in memory only, or not at all.
    pub(super) fn learn(&mut self, parts: &BTreeSet<PartKey>) {
        self.parts.extend(parts);
    }

    /// A slice leaves.
    pub(super) fn leave(&mut self, part: PartKey, slice: Slice) {
        self.parts.insert(part);
        self.leaving.push(Leaving { part, slice, next: 0 });
    }

    /// A part's window is over: from now on it is the store's alone.
    pub(super) fn forget(&mut self, part: PartKey) {
        self.parts.remove(&part);
    }

    /// Whether slices are still to be written down.
    pub(super) fn is_pending(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Writes down up to `limit` panes; returns how many.
    pub(super) fn drain(&mut self, limit: usize, mut write: impl FnMut(PartKey, &[u8], &[u8], Written)) -> usize {
        let mut written = 0;
        while written < limit
            && let Some(leaving) = self.leaving.last_mut()
        {
            let how = if leaving.slice.delta { Written::Delta } else { Written::Whole };
            let part = leaving.part;
            let upto = leaving.slice.len().min(leaving.next as usize + (limit - written)) as u32;
            leaving.slice.encode_groups(leaving.next..upto, |key, value| write(part, key, value, how));
            written += (upto - leaving.next) as usize;
            leaving.next = upto;
            if upto as usize == leaving.slice.len() {
                self.leaving.pop();
            }
        }
        written
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.leaving.iter().map(|leaving| leaving.slice.bytes()).sum()
    }
}
