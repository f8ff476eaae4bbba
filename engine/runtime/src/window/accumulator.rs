//! Accumulators of all groups of a slice: updated in batches, merged, encoded, finished.
//!
//! Sums of integers are exact whatever the order of the rows: a row holds their low 64 bits, and what goes beyond stands beside
//! the rows, which is next to never needed; the result is checked when it is made. What a row holds is decided in the layout.

mod finish;
mod stored;

use super::argument::{Argument, Values};
use super::keys::{from_ordered_bits, from_ordered_whole, ordered_bits, ordered_whole};
use super::layout::{Cell, Kind, Layout, What};
use super::rows::Rows;
use aqueduct_core::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows of a block: they are in the processor's caches while one aggregate after the other is folded in.
const BLOCK: usize = 256;

/// Bytes that a text takes, about.
const TEXT: usize = 40;

/// The accumulators of all groups.
#[derive(Debug, Clone)]
pub(crate) struct Accumulators {
    layout: Arc<Layout>,
    rows: Rows,
    /// Per column of texts, the text of each group.
    texts: Vec<Vec<Option<Box<str>>>>,
    /// By group and word: how often 2^64 is to be added to the sum there.
    carries: HashMap<(u32, usize), i64>,
}

impl Accumulators {
    /// Without groups.
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        let rows = Rows::new(layout.empty.len());
        let texts = vec![Vec::new(); layout.texts];
        Self { layout, rows, texts, carries: HashMap::new() }
    }

    /// Makes room for `groups` groups; new ones are empty.
    pub(crate) fn grow(&mut self, groups: usize) {
        self.rows.grow(groups, &self.layout.empty);
        self.texts.iter_mut().for_each(|texts| texts.resize(groups, None));
    }

    /// Folds `rows[i]` of the arguments, one per input of the layout, into group `groups[i]`.
    pub(crate) fn update(&mut self, arguments: &[Argument], rows: &[u32], groups: &[u32]) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let mut buffer = (Vec::new(), Vec::new());
        for (rows, groups) in rows.chunks(BLOCK).zip(groups.chunks(BLOCK)) {
            for (input, argument) in layout.inputs.iter().zip(arguments) {
                let (rows, groups) = argument.chosen(rows, groups, &mut buffer);
                groups.iter().for_each(|group| *self.rows.word_mut(*group, input.count) += 1);
                input.cells.iter().try_for_each(|cell| self.fold(*cell, &argument.values, rows, groups))?;
            }
        }
        Ok(())
    }

    fn fold(&mut self, cell: Cell, values: &Values, rows: &[u32], groups: &[u32]) -> Result<()> {
        let pairs = rows.iter().map(|row| *row as usize).zip(groups.iter().copied());
        let Cell { what, at, .. } = cell;
        match (what, values) {
            (What::Sum, Values::Whole(array)) => {
                let values = array.values();
                pairs.for_each(|(row, group)| self.add_whole(group, at, values[row]));
            }
            (What::Sum, Values::Double(array)) => {
                let values = array.values();
                pairs.for_each(|(row, group)| self.add_double(group, at, values[row]));
            }
            (What::Sum, Values::Decimal(array)) => {
                let values = array.values();
                return pairs.into_iter().try_for_each(|(row, group)| self.add_wide(group, at, values[row]));
            }
            (_, Values::Whole(array)) => {
                let values = array.values();
                self.keep_all(what, at, pairs.map(|(row, group)| (group, ordered_whole(values[row]))));
            }
            (_, Values::Double(array)) => {
                let values = array.values();
                self.keep_all(what, at, pairs.map(|(row, group)| (group, ordered_bits(values[row]))));
            }
            (_, Values::Decimal(array)) => {
                let values = array.values();
                pairs.for_each(|(row, group)| self.keep_wide(what, group, at, values[row]));
            }
            (_, Values::Text(array)) => {
                pairs.for_each(|(row, group)| self.keep_text(what, group, at, array.value(row)))
            }
            (_, Values::None) => return Err(Error::bug("an aggregate has no values")),
        }
        Ok(())
    }

    #[inline]
    fn add_whole(&mut self, group: u32, at: usize, value: i64) {
        let word = self.rows.word_mut(group, at);
        let (sum, over) = (*word as i64).overflowing_add(value);
        *word = sum as u64;
        if over {
            self.carry(group, at, if value < 0 { -1 } else { 1 });
        }
    }

    #[cold]
    fn carry(&mut self, group: u32, at: usize, more: i64) {
        let carry = self.carries.entry((group, at)).or_default();
        // A sum of i64 values, of which there are at most 2^63, cannot carry more than this holds.
        *carry = carry.wrapping_add(more);
    }

    /// The exact sum of integers.
    #[inline]
    fn whole(&self, group: u32, at: usize) -> i128 {
        let low = i128::from(self.rows.word(group, at) as i64);
        if self.carries.is_empty() {
            return low;
        }
        low + (i128::from(self.carries.get(&(group, at)).copied().unwrap_or(0)) << 64)
    }

    /// What a cell of integers or decimals holds.
    #[inline]
    fn number(&self, group: u32, Cell { what, kind, at }: Cell) -> i128 {
        match (kind, what) {
            (Kind::Decimal, _) => self.rows.wide(group, at),
            (_, What::Sum) => self.whole(group, at),
            _ => i128::from(from_ordered_whole(self.rows.word(group, at))),
        }
    }

    /// What a cell of doubles holds.
    #[inline]
    fn double(&self, group: u32, Cell { what, at, .. }: Cell) -> f64 {
        let word = self.rows.word(group, at);
        if what == What::Sum { f64::from_bits(word) } else { from_ordered_bits(word) }
    }

    /// What a cell of texts holds.
    fn text(&self, group: u32, cell: Cell) -> Option<&str> {
        self.texts[cell.at][group as usize].as_deref()
    }

    fn add_whole_sum(&mut self, group: u32, at: usize, sum: i128) {
        let low = sum as i64;
        self.add_whole(group, at, low);
        let high = ((sum - i128::from(low)) >> 64) as i64;
        if high != 0 {
            self.carry(group, at, high);
        }
    }

    #[inline]
    fn add_double(&mut self, group: u32, at: usize, value: f64) {
        let word = self.rows.word_mut(group, at);
        *word = (f64::from_bits(*word) + value).to_bits();
    }

    fn add_wide(&mut self, group: u32, at: usize, value: i128) -> Result<()> {
        let sum = self.rows.wide(group, at).checked_add(value);
        let too_large = || Error::data("a sum exceeds 128 bits: the column's values cannot be right");
        self.rows.set_wide(group, at, sum.ok_or_else(too_large)?);
        Ok(())
    }

    /// Keeps the best of values that sort like these bits.
    #[inline]
    fn keep_all(&mut self, what: What, at: usize, values: impl Iterator<Item = (u32, u64)>) {
        if what == What::Greatest {
            values.for_each(|(group, value)| keep(self.rows.word_mut(group, at), value, u64::max));
        } else {
            values.for_each(|(group, value)| keep(self.rows.word_mut(group, at), value, u64::min));
        }
    }

    fn keep_wide(&mut self, what: What, group: u32, at: usize, value: i128) {
        let held = self.rows.wide(group, at);
        self.rows.set_wide(group, at, if what == What::Greatest { held.max(value) } else { held.min(value) });
    }

    fn keep_text(&mut self, what: What, group: u32, at: usize, text: &str) {
        let held = &mut self.texts[at][group as usize];
        let better = |old: &str| if what == What::Greatest { text > old } else { text < old };
        if held.as_deref().is_none_or(better) {
            *held = Some(text.into());
        }
    }

    /// Folds group `first + i` of `other`, which has the same layout, into group `mapping[i]`.
    pub(crate) fn merge(&mut self, other: &Accumulators, first: u32, mapping: &[u32]) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        for (block, groups) in mapping.chunks(BLOCK).enumerate() {
            let first = first + (block * BLOCK) as u32;
            for input in &layout.inputs {
                for (from, group) in (first..).zip(groups) {
                    *self.rows.word_mut(*group, input.count) += other.rows.word(from, input.count);
                }
                input.cells.iter().try_for_each(|cell| self.merge_cell(*cell, other, first, groups))?;
            }
        }
        Ok(())
    }

    fn merge_cell(&mut self, Cell { what, kind, at }: Cell, other: &Self, first: u32, groups: &[u32]) -> Result<()> {
        let pairs = (first..).zip(groups.iter().copied());
        match (what, kind) {
            (What::Sum, Kind::Whole) if other.carries.is_empty() => {
                pairs.for_each(|(from, group)| self.add_whole(group, at, other.rows.word(from, at) as i64));
            }
            (What::Sum, Kind::Whole) => {
                pairs.for_each(|(from, group)| self.add_whole_sum(group, at, other.whole(from, at)));
            }
            (What::Sum, Kind::Double) => {
                pairs.for_each(|(from, group)| self.add_double(group, at, f64::from_bits(other.rows.word(from, at))));
            }
            (What::Sum, _) => {
                return pairs
                    .into_iter()
                    .try_for_each(|(from, group)| self.add_wide(group, at, other.rows.wide(from, at)));
            }
            (_, Kind::Whole | Kind::Double) => {
                self.keep_all(what, at, pairs.map(|(from, group)| (group, other.rows.word(from, at))));
            }
            (_, Kind::Decimal) => {
                pairs.for_each(|(from, group)| self.keep_wide(what, group, at, other.rows.wide(from, at)));
            }
            (_, Kind::Text) => {
                for (from, group) in pairs {
                    if let Some(text) = &other.texts[at][from as usize] {
                        self.keep_text(what, group, at, text);
                    }
                }
            }
        }
        Ok(())
    }

    /// Bytes held; texts are estimated.
    pub(crate) fn bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(Vec::len).sum();
        self.rows.bytes() + texts * TEXT + self.carries.len() * size_of::<((u32, usize), i64)>()
    }
}

#[inline]
fn keep(word: &mut u64, value: u64, best: impl Fn(u64, u64) -> u64) {
    *word = best(*word, value);
}
