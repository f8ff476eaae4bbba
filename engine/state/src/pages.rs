//! Reading a store piece by piece, while another one goes on from the same files: which parts it holds, and some panes of a part
//! at a time. What is done with them is not known here.

use crate::key::{PaneKey, SliceKey};
use crate::snapshot::plain_name;
use crate::store::{StateStore, disk};
use crate::take::Visit;
use aqueduct_core::Result;
use rocksdb::ReadOptions;
use std::path::Path;

/// Where the next page of a worker's part of a slice begins.
#[derive(Debug, Clone)]
pub struct Place {
    slice: SliceKey,
    worker: u16,
    next: Vec<u8>,
}

impl Place {
    /// The beginning of a part.
    pub fn first(slice: SliceKey, worker: u16) -> Self {
        Self { slice, worker, next: slice.worker_prefix(worker) }
    }

    /// The slice that is read.
    pub fn slice(&self) -> SliceKey {
        self.slice
    }
}

/// The files of a snapshot once more in the folder `into`, which is made: those that never change are linked, so that it costs
/// next to nothing. For a store that is read while another one is opened from `folder` and changes it.
///
/// # Errors
/// A folder cannot be read or written.
pub fn twin(folder: &Path, into: &Path) -> Result<()> {
    std::fs::create_dir_all(into).map_err(|error| disk(into, "create", error))?;
    for entry in std::fs::read_dir(folder).map_err(|error| disk(folder, "list", error))? {
        let path = entry.map_err(|error| disk(folder, "list", error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let place = into.join(plain_name(&name)?);
        let linked = name.ends_with(".sst") && std::fs::hard_link(&path, &place).is_ok();
        if !linked {
            std::fs::copy(&path, &place).map_err(|error| disk(&place, "copy a file to", error))?;
        }
    }
    Ok(())
}

impl StateStore {
    /// Every slice that has panes, in the order of the keys, and each thread whose panes they are.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn parts(&self) -> Result<Vec<(SliceKey, u16)>> {
        self.parts_from(&[], ReadOptions::default())
    }

    /// Whose panes a slice holds.
    pub(crate) fn workers(&self, slice: &SliceKey) -> Result<Vec<u16>> {
        let (first, after) = slice.range();
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(after);
        Ok(self.parts_from(&first, options)?.into_iter().map(|(_, worker)| worker).collect())
    }

    fn parts_from(&self, first: &[u8], options: ReadOptions) -> Result<Vec<(SliceKey, u16)>> {
        let mut panes = self.iterator(options);
        let (mut parts, mut pane) = (Vec::new(), PaneKey::default());
        panes.seek(first);
        while let Some(key) = panes.key() {
            self.read_key(&mut pane, key)?;
            parts.push((pane.slice(), pane.worker));
            panes.seek(pane.slice().behind(pane.worker));
        }
        panes.status().map_err(|error| self.explain(&error, "read"))?;
        Ok(parts)
    }

    /// Hands up to `limit` panes, from `place` on, to `visit`, the key's encoded columns and a value, and moves `place` behind them.
    /// False when the part has no more.
    ///
    /// # Errors
    /// The store cannot be read, or `visit` fails.
    pub fn page(&self, place: &mut Place, limit: usize, visit: &mut Visit<'_>) -> Result<bool> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(place.slice.behind(place.worker));
        let mut panes = self.iterator(options);
        let mut pane = PaneKey::default();
        panes.seek(&place.next);
        for _ in 0..limit {
            let Some((key, value)) = panes.item() else { break };
            self.read_key(&mut pane, key)?;
            visit(&pane.key, value)?;
            panes.next();
        }
        if let Some(key) = panes.key() {
            place.next.clear();
            place.next.extend_from_slice(key);
            return Ok(true);
        }
        panes.status().map_err(|error| self.explain(&error, "read"))?;
        Ok(false)
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
