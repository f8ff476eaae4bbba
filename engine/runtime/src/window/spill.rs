//! Slices that are in the state store and not here: those that left for want of room, and those that are still being loaded after
//! a start. Which they are, and what of slices here is on its way there.
//!
//! A slice leaves as a whole, at a cut. Rows that come for it afterwards begin a new one, a delta, which leaves at the next cut and
//! is added to what is stored. Only slices of windows that do not overlap leave for want of room: the others are needed again and
//! again.

use super::operator::PartKey;
use super::slice::Slice;
use aqueduct_core::Result;
use std::collections::{BTreeMap, BTreeSet};

/// What is not here.
#[derive(Debug, Default)]
pub(super) struct Spilled {
    /// Parts that the store holds, whole or but for a delta here.
    parts: BTreeSet<PartKey>,
    /// Parts that are being loaded.
    loading: BTreeSet<PartKey>,
    /// Slices that are still to be written down.
    leaving: Vec<Leaving>,
    /// Deltas of parts that are being loaded, which have been.
    written: Vec<(PartKey, Slice)>,
}

#[derive(Debug)]
struct Leaving {
    part: PartKey,
    slice: Slice,
    /// Groups before this one are written down.
    next: u32,
    /// What is written down is added to the part, too, which has been loaded.
    stays: bool,
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
    /// Whether the store holds what is not here of a part.
    pub(super) fn contains(&self, part: PartKey) -> bool {
        self.parts.contains(&part) || self.loading.contains(&part)
    }

    /// Parts that the store holds for want of room here.
    pub(super) fn parts(&self) -> &BTreeSet<PartKey> {
        &self.parts
    }

    /// Other threads have parts in the store that this one knows in memory only, or not at all.
    pub(super) fn learn(&mut self, parts: &BTreeSet<PartKey>) {
        self.parts.extend(parts);
    }

    /// Parts that are being loaded.
    pub(super) fn loading(&self) -> &BTreeSet<PartKey> {
        &self.loading
    }

    /// These are being loaded from now on.
    pub(super) fn load(&mut self, parts: BTreeSet<PartKey>) {
        self.loading = parts;
    }

    /// All parts have been loaded, and come here. Those that there are deltas of, which the last cut is still to write down.
    pub(super) fn loaded(&mut self) -> BTreeSet<PartKey> {
        let loading = std::mem::take(&mut self.loading);
        let mut deltas = BTreeSet::new();
        for leaving in self.leaving.iter_mut().filter(|leaving| loading.contains(&leaving.part)) {
            leaving.stays = true;
            deltas.insert(leaving.part);
        }
        deltas
    }

    /// A slice leaves.
    pub(super) fn leave(&mut self, part: PartKey, slice: Slice) {
        if !self.loading.contains(&part) {
            self.parts.insert(part);
        }
        self.leaving.push(Leaving { part, slice, next: 0, stays: false });
    }

    /// A part's window is over: from now on it is the store's alone.
    pub(super) fn forget(&mut self, part: PartKey) {
        self.parts.remove(&part);
    }

    /// Whether slices are still to be written down.
    pub(super) fn is_pending(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Writes down up to `limit` panes; returns how many. `here` are the slices that are not in the store alone.
    pub(super) fn drain(
        &mut self,
        limit: usize,
        here: &mut BTreeMap<PartKey, Slice>,
        mut write: impl FnMut(PartKey, &[u8], &[u8], Written),
    ) -> Result<usize> {
        let mut written = 0;
        while written < limit
            && let Some(leaving) = self.leaving.last_mut()
        {
            let how = if leaving.slice.delta { Written::Delta } else { Written::Whole };
            let part = leaving.part;
            let upto = leaving.slice.len().min(leaving.next as usize + (limit - written)) as u32;
            leaving.slice.encode_groups(leaving.next..upto, |key, value| write(part, key, value, how));
            if leaving.stays
                && let Some(slice) = here.get_mut(&part)
            {
                slice.merge_groups(&leaving.slice, leaving.next..upto)?;
            }
            written += (upto - leaving.next) as usize;
            leaving.next = upto;
            if upto as usize == leaving.slice.len()
                && let Some(done) = self.leaving.pop()
                && self.loading.contains(&part)
            {
                self.written.push((part, done.slice));
            }
        }
        Ok(written)
    }

    /// Deltas of parts that are being loaded, written down since this was asked last.
    pub(super) fn take_written(&mut self) -> Vec<(PartKey, Slice)> {
        std::mem::take(&mut self.written)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.leaving.iter().map(|leaving| leaving.slice.bytes()).sum()
    }
}
