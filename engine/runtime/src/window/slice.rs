//! One slice of event time: the keys seen in it and their accumulators, in memory.
//!
//! A slice is the unit of expiry: it is dropped whole. What checkpoints need of its groups is encoded here; where that goes is not
//! known here.

use super::accumulator::Accumulators;
use super::argument::Argument;
use super::changes::Changes;
use super::keys::{KeyCodec, KeyColumns};
use super::layout::Layout;
use super::panes::{Packed, Panes};
use super::table::KeyTable;
use aqueduct_core::{Error, Result};
use aqueduct_plan::{Aggregate, WindowAggregate};
use arrow::array::ArrayRef;
use std::ops::Range;
use std::sync::Arc;

/// The first byte of every stored value: the version of the accumulators' encoding.
pub(crate) const STATE_VERSION: u8 = 2;

/// Keys and accumulators of one slice.
#[derive(Debug)]
pub(crate) struct Slice {
    keys: KeyTable,
    accumulators: Accumulators,
    changes: Changes,
    /// True once some group was written to the state store: then expiry must delete there too.
    pub(crate) stored: bool,
    /// Only what came after the slice had left for the state store.
    pub(crate) delta: bool,
}

impl Slice {
    /// An empty slice for these keys and aggregates.
    pub(crate) fn new(plan: &WindowAggregate) -> Result<Self> {
        Ok(Self {
            keys: KeyTable::new(&KeyCodec::of(plan)?),
            accumulators: Accumulators::new(Arc::new(Layout::of(&plan.aggregates)?)),
            changes: Changes::default(),
            stored: false,
            delta: false,
        })
    }

    /// The same contents as a total of its own, which no checkpoint knows.
    pub(crate) fn total(&self) -> Self {
        Self {
            keys: self.keys.clone(),
            accumulators: self.accumulators.clone(),
            changes: Changes::default(),
            stored: false,
            delta: false,
        }
    }

    /// Folds some rows of a batch. `groups` and `scratch` are buffers of the caller.
    pub(crate) fn fold(
        &mut self,
        keys: &KeyColumns,
        arguments: &[Argument],
        rows: &[u32],
        groups: &mut Vec<u32>,
        scratch: &mut Packed,
    ) -> Result<()> {
        groups.clear();
        self.keys.intern_rows(keys, rows, groups, scratch)?;
        let Self { keys, accumulators, changes, .. } = self;
        accumulators.grow(keys.len());
        changes.save(groups, |group, out| encode(accumulators, group, out));
        accumulators.update(arguments, rows, groups)?;
        groups.iter().for_each(|group| changes.mark(*group));
        Ok(())
    }

    /// The contents of a slice that was written down, which the store holds.
    pub(crate) fn stored_total(self) -> Self {
        Self { changes: Changes::default(), stored: true, delta: false, ..self }
    }

    /// Adds everything that `other` holds.
    pub(crate) fn merge(&mut self, other: &Slice) -> Result<()> {
        self.merge_groups(other, 0..other.len() as u32)
    }

    /// Adds some groups of `other`.
    pub(crate) fn merge_groups(&mut self, other: &Slice, groups: Range<u32>) -> Result<()> {
        let mut mapping = Vec::new();
        self.keys.intern_some(&other.keys, groups.clone(), &mut mapping)?;
        self.accumulators.grow(self.keys.len());
        self.accumulators.merge(&other.accumulators, groups.start, &mapping)
    }

    /// Adds stored groups. With `changed` they are written again at the next checkpoint.
    pub(crate) fn restore(&mut self, panes: &Panes, changed: bool) -> Result<()> {
        let mut groups = Vec::new();
        self.keys.intern_packed(&panes.keys, &mut groups)?;
        self.accumulators.grow(self.keys.len());
        for (at, group) in groups.iter().enumerate() {
            absorb(&mut self.accumulators, *group, panes.values.get(at))?;
        }
        if changed {
            groups.iter().for_each(|group| self.changes.mark(*group));
        } else {
            self.stored |= !groups.is_empty();
        }
        Ok(())
    }

    /// Cuts: what changed until now is to be written down by [`Slice::drain`], as it is now. True when that is anything.
    pub(crate) fn cut(&mut self) -> bool {
        let any = self.changes.cut();
        self.stored |= any;
        any
    }

    /// Hands keys and encoded states of up to `limit` groups of the cut to `write`; returns how many.
    pub(crate) fn drain(&mut self, limit: usize, mut write: impl FnMut(&[u8], &[u8])) -> usize {
        let Self { keys, accumulators, changes, .. } = self;
        changes.drain(
            limit,
            |group, out| encode(accumulators, group, out),
            |group, value| write(&keys.key(group), value),
        )
    }

    /// Hands keys and encoded states of some groups to `write`.
    pub(crate) fn encode_groups(&self, groups: Range<u32>, mut write: impl FnMut(&[u8], &[u8])) {
        let mut value = Vec::new();
        for group in groups {
            value.clear();
            encode(&self.accumulators, group, &mut value);
            write(&self.keys.key(group), &value);
        }
    }

    /// Whether groups of the cut are still to be written down.
    pub(crate) fn is_pending(&self) -> bool {
        self.changes.is_pending()
    }

    /// Keys and result columns, sorted by key bytes, so that the same contents give the same rows in the same order.
    pub(crate) fn finish(&self, codec: &KeyCodec, aggregates: &[Aggregate]) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let order = self.keys.sorted();
        let keys = self.keys.arrays(codec, &order)?;
        let results = self.accumulators.finish(&order, aggregates)?;
        Ok((keys, results))
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes held, from counters.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes() + self.accumulators.bytes() + self.changes.bytes()
    }
}

/// Adds a stored state to a group.
fn absorb(accumulators: &mut Accumulators, group: u32, value: &[u8]) -> Result<()> {
    match value.split_first() {
        Some((&STATE_VERSION, state)) => accumulators.absorb(group, state),
        Some((version, _)) => Err(Error::data(format!(
            "a stored pane has format version {version}, this binary reads {STATE_VERSION}: start with the version that wrote it"
        ))),
        None => Err(Error::data("a stored pane is empty: the state files are damaged")),
    }
}

/// Stored states of one group, added up.
pub(crate) fn sum<'a>(layout: &Arc<Layout>, values: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>> {
    let mut accumulators = Accumulators::new(Arc::clone(layout));
    accumulators.grow(1);
    for value in values {
        absorb(&mut accumulators, 0, value)?;
    }
    let mut out = Vec::new();
    encode(&accumulators, 0, &mut out);
    Ok(out)
}

/// A group's state as it is stored.
fn encode(accumulators: &Accumulators, group: u32, out: &mut Vec<u8>) {
    out.push(STATE_VERSION);
    accumulators.encode(group, out);
}
