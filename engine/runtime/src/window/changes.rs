//! Which groups of a slice changed since the last checkpoint, and which of a checkpoint's are still to be written down.
//!
//! A checkpoint is cut in an instant: the set of changed groups becomes the set of pending ones. They are written down while
//! the thread reads on; a group that is about to change again is written down first. What a group's state looks like, and
//! where it goes, is not known here.

/// A set of group numbers.
#[derive(Debug, Default)]
struct Groups {
    words: Vec<u64>,
    count: usize,
}

impl Groups {
    /// True when it was not there.
    fn insert(&mut self, group: u32) -> bool {
        let (word, bit) = place(group);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += usize::from(new);
        new
    }

    /// True when it was there.
    fn remove(&mut self, group: u32) -> bool {
        let (word, bit) = place(group);
        let Some(word) = self.words.get_mut(word) else { return false };
        let there = *word & bit != 0;
        *word &= !bit;
        self.count -= usize::from(there);
        there
    }
}

fn place(group: u32) -> (usize, u64) {
    (group as usize / 64, 1 << (group % 64))
}

/// The changes of one slice.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Changed since the last cut.
    changed: Groups,
    /// Changed before the last cut and not written down yet.
    pending: Groups,
    /// Words of `pending` before this one are empty.
    cursor: usize,
    /// Groups that had to be written down before their turn: where their states end in `saved_bytes`.
    saved: Vec<(u32, usize)>,
    saved_bytes: Vec<u8>,
}

impl Changes {
    /// Notes a change.
    #[inline]
    pub(super) fn mark(&mut self, group: u32) {
        self.changed.insert(group);
    }

    /// Cuts: what changed so far is now to be written down. True when that is anything. Everything of the cut before has been
    /// written down.
    pub(super) fn cut(&mut self) -> bool {
        debug_assert!(!self.is_pending(), "a cut before the last one was written down");
        let room = Groups { words: Vec::with_capacity(self.changed.words.len()), count: 0 };
        self.pending = std::mem::replace(&mut self.changed, room);
        self.cursor = 0;
        self.is_pending()
    }

    /// Whether something is still to be written down.
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.pending.count > 0 || !self.saved.is_empty()
    }

    /// Before groups change: those that are still to be written down are kept as they are now, as `encode` says.
    pub(super) fn save(&mut self, groups: &[u32], mut encode: impl FnMut(u32, &mut Vec<u8>)) {
        if self.pending.count == 0 {
            return;
        }
        for group in groups {
            if self.pending.remove(*group) {
                encode(*group, &mut self.saved_bytes);
                self.saved.push((*group, self.saved_bytes.len()));
            }
        }
    }

    /// Writes down up to `limit` groups; returns how many. `encode` tells a group's state, `write` takes it.
    pub(super) fn drain(
        &mut self,
        limit: usize,
        mut encode: impl FnMut(u32, &mut Vec<u8>),
        mut write: impl FnMut(u32, &[u8]),
    ) -> usize {
        let mut written = self.drain_saved(limit, &mut write);
        let mut value = Vec::new();
        while written < limit && self.pending.count > 0 {
            let Some(word) = self.pending.words.get_mut(self.cursor) else { break };
            if *word == 0 {
                self.cursor += 1;
                continue;
            }
            let group = self.cursor as u32 * 64 + word.trailing_zeros();
            *word &= *word - 1;
            self.pending.count -= 1;
            value.clear();
            encode(group, &mut value);
            write(group, &value);
            written += 1;
        }
        if self.pending.count == 0 {
            self.pending = Groups::default();
        }
        written
    }

    /// The saved ones from the last to the first, so that what is left stays in its place.
    fn drain_saved(&mut self, limit: usize, write: &mut impl FnMut(u32, &[u8])) -> usize {
        let mut written = 0;
        while written < limit
            && let Some((group, end)) = self.saved.pop()
        {
            let start = self.saved.last().map_or(0, |(_, end)| *end);
            write(group, &self.saved_bytes[start..end]);
            self.saved_bytes.truncate(start);
            written += 1;
        }
        if self.saved.is_empty() {
            (self.saved, self.saved_bytes) = (Vec::new(), Vec::new());
        }
        written
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        (self.changed.words.capacity() + self.pending.words.capacity()) * 8
            + self.saved.capacity() * size_of::<(u32, usize)>()
            + self.saved_bytes.capacity()
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
