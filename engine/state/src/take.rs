//! Taking the panes of a slice out of the store, some keys at a time, for results that are too many for one go.
//!
//! Each reading thread wrote the panes that it folded. Within its part of a slice they lie by key group and key, so that the parts
//! can be read side by side and the panes of one key come together. What is done with them is not known here.

use crate::key::{PaneKey, SliceKey, WORKER_PREFIX};
use crate::store::StateStore;
use aqueduct_core::Result;
use rocksdb::{DBRawIterator, ReadOptions, WriteBatch};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Takes a pane: the key's encoded columns, and a value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// One worker's part of a slice.
struct Part<'a> {
    worker: u16,
    panes: DBRawIterator<'a>,
}

/// What a part offers next: key group and key, and whose it is.
type Offer = Reverse<(Vec<u8>, usize)>;

impl StateStore {
    /// Hands the panes of up to `limit` keys of a slice to `visit`, the key's encoded columns and a value, and deletes them. The panes
    /// of one key, from several threads, come one behind the other. True when keys are left.
    ///
    /// # Errors
    /// The store cannot be read or written, or `visit` fails: then nothing is deleted.
    pub fn take(&mut self, slice: SliceKey, limit: usize, visit: &mut Visit<'_>) -> Result<bool> {
        let workers = self.workers(&slice)?;
        let mut gone = WriteBatch::default();
        let mut parts: Vec<Part<'_>> = workers.iter().map(|worker| self.part(&slice, *worker)).collect();
        let mut offers: BinaryHeap<Offer> = BinaryHeap::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            self.offer(part, index, Vec::new(), &mut offers)?;
        }
        let (mut keys, mut last, mut pane) = (0, Vec::new(), PaneKey::default());
        while let Some(Reverse((at, index))) = offers.pop() {
            if keys == 0 || at != last {
                if keys == limit {
                    offers.push(Reverse((at, index)));
                    break;
                }
                keys += 1;
                last.clone_from(&at);
            }
            if let Some((key, value)) = parts[index].panes.item() {
                self.read_key(&mut pane, key)?;
                visit(&pane.key, value)?;
            }
            parts[index].panes.next();
            self.offer(&parts[index], index, at, &mut offers)?;
        }
        let left = !offers.is_empty();
        for part in parts.iter().filter(|_| keys > 0) {
            let first = slice.worker_prefix(part.worker);
            let mut behind = first.clone();
            behind.extend_from_slice(&last);
            behind.push(0);
            gone.delete_range(first, behind);
        }
        drop(parts);
        if !left {
            let (first, after) = slice.range();
            gone.delete_range(first, after);
        }
        self.apply(gone)?;
        Ok(left)
    }

    fn part(&self, slice: &SliceKey, worker: u16) -> Part<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(slice.behind(worker));
        let mut panes = self.iterator(options);
        panes.seek(slice.worker_prefix(worker));
        Part { worker, panes }
    }

    /// Puts what the part stands at among the offers. `at` is memory to use again.
    fn offer(&self, part: &Part<'_>, index: usize, mut at: Vec<u8>, offers: &mut BinaryHeap<Offer>) -> Result<()> {
        let Some(key) = part.panes.key() else {
            return part.panes.status().map_err(|error| self.explain(&error, "read"));
        };
        at.clear();
        at.extend_from_slice(&key[WORKER_PREFIX..]);
        offers.push(Reverse((at, index)));
        Ok(())
    }
}
