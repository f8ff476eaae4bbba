//! One slice of event time: the keys seen in it and their accumulators, in memory.
//!
//! A slice is the unit of expiry: it is dropped whole. Which groups changed since the last checkpoint is remembered here;
//! writing them down is not done here.

use super::accumulator::{Accumulator, Argument};
use super::keys::{KeyColumns, KeyTable};
use aqueduct_core::{Error, Result};
use aqueduct_plan::Aggregate;
use arrow::array::Array;

/// The first byte of every stored value: the version of the accumulators' encoding.
pub(crate) const STATE_VERSION: u8 = 1;

/// Keys and accumulators of one slice.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    keys: KeyTable,
    accumulators: Vec<Accumulator>,
    /// Groups changed since the last checkpoint; `is_dirty` avoids listing one twice.
    dirty: Vec<u32>,
    is_dirty: Vec<bool>,
    /// True once some group was written to the state store: then expiry must delete there too.
    pub(crate) stored: bool,
}

impl Slice {
    /// An empty slice for these aggregates.
    pub(crate) fn new(aggregates: &[Aggregate]) -> Result<Self> {
        let accumulators = aggregates.iter().map(Accumulator::new).collect::<Result<Vec<_>>>()?;
        Ok(Self { keys: KeyTable::default(), accumulators, dirty: Vec::new(), is_dirty: Vec::new(), stored: false })
    }

    /// Folds some rows of a batch. `groups` and `scratch` are buffers of the caller.
    pub(crate) fn fold(
        &mut self,
        keys: &KeyColumns,
        arguments: &[Argument],
        rows: &[u32],
        groups: &mut Vec<u32>,
        scratch: &mut Vec<u8>,
    ) -> Result<()> {
        groups.clear();
        let text = keys.single_text();
        // Without GROUP BY columns there is one group, and nothing to look up.
        let rest = if keys.is_empty() && !rows.is_empty() {
            groups.resize(rows.len(), self.keys.intern(&[])?);
            &[]
        } else {
            rows
        };
        for row in rest {
            let known = text.filter(|array| array.is_valid(*row as usize));
            if let Some(group) = known.and_then(|array| self.keys.find_text(array.value(*row as usize).as_bytes())) {
                groups.push(group);
                continue;
            }
            scratch.clear();
            keys.encode(*row as usize, scratch);
            groups.push(self.keys.intern(scratch)?);
        }
        self.grow();
        for (accumulator, argument) in self.accumulators.iter_mut().zip(arguments) {
            accumulator.update(argument, rows, groups)?;
        }
        for group in groups.iter() {
            self.mark(*group);
        }
        Ok(())
    }

    fn grow(&mut self) {
        let groups = self.keys.len();
        if self.is_dirty.len() < groups {
            self.accumulators.iter_mut().for_each(|accumulator| accumulator.grow(groups));
            self.is_dirty.resize(groups, false);
        }
    }

    fn mark(&mut self, group: u32) {
        let flag = &mut self.is_dirty[group as usize];
        if !*flag {
            *flag = true;
            self.dirty.push(group);
        }
    }

    /// Adds everything that `other` holds.
    pub(crate) fn merge(&mut self, other: &Slice) -> Result<()> {
        let mapping = (0..other.keys.len() as u32)
            .map(|group| self.keys.intern(other.keys.key(group)))
            .collect::<Result<Vec<_>>>()?;
        self.grow();
        for (into, from) in self.accumulators.iter_mut().zip(&other.accumulators) {
            into.merge(from, &mapping)?;
        }
        Ok(())
    }

    /// Adds one stored group. With `changed` it is written again at the next checkpoint.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8], changed: bool) -> Result<()> {
        let group = self.keys.intern(key)?;
        self.grow();
        let (version, mut cursor) =
            value.split_first().ok_or_else(|| Error::data("a stored pane is empty: the state files are damaged"))?;
        if *version != STATE_VERSION {
            return Err(Error::data(format!(
                "a stored pane has format version {version}, this binary reads {STATE_VERSION}: start with the version that wrote it"
            )));
        }
        for accumulator in &mut self.accumulators {
            let stored = accumulator.decode(&mut cursor)?;
            accumulator.merge(&stored, &[group])?;
        }
        if changed {
            self.mark(group);
        } else {
            self.stored = true;
        }
        Ok(())
    }

    /// Hands every changed group's key and encoded state to `write`, and forgets that they changed.
    pub(crate) fn drain_changes(&mut self, mut write: impl FnMut(&[u8], Vec<u8>)) {
        for group in std::mem::take(&mut self.dirty) {
            self.is_dirty[group as usize] = false;
            let mut value = Vec::with_capacity(1 + self.accumulators.len() * 17);
            value.push(STATE_VERSION);
            self.accumulators.iter().for_each(|accumulator| accumulator.encode(group, &mut value));
            write(self.keys.key(group), value);
            self.stored = true;
        }
    }

    /// Keys and result columns, sorted by key bytes, so that the same contents give the same rows in the same order.
    pub(crate) fn finish(
        &self,
        codec: &super::KeyCodec,
        aggregates: &[Aggregate],
    ) -> Result<(Vec<arrow::array::ArrayRef>, Vec<arrow::array::ArrayRef>)> {
        let order = self.keys.sorted();
        let keys = codec.decode(order.iter().map(|group| self.keys.key(*group)))?;
        let results = self
            .accumulators
            .iter()
            .zip(aggregates)
            .map(|(accumulator, aggregate)| accumulator.finish(&order, aggregate))
            .collect::<Result<Vec<_>>>()?;
        Ok((keys, results))
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes held, from counters.
    pub(crate) fn bytes(&self) -> usize {
        let per_group: usize = self.accumulators.iter().map(Accumulator::bytes_per_group).sum();
        self.keys.bytes() + self.keys.len() * (per_group + 1) + self.dirty.capacity() * 4
    }
}
