//! Accumulators as columns: one value per group, updated in batches, merged, encoded, finished.
//!
//! Integer sums are kept in 128 bits, so that no order of rows can overflow; the result is checked when it is made.

mod finish;
mod stored;

use super::keys::to_int64;
use aqueduct_core::{Error, Result};
use aqueduct_plan::{Aggregate, AggregateFunction};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};

/// How values of a type are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Decimal,
    Double,
    Text,
}

fn kind(data_type: &DataType) -> Option<Kind> {
    Some(match data_type {
        DataType::Int64 | DataType::Timestamp(_, _) | DataType::Date32 | DataType::Boolean | DataType::Time32(_) => {
            Kind::Whole
        }
        DataType::Decimal128(_, _) => Kind::Decimal,
        DataType::Float64 => Kind::Double,
        DataType::Utf8 => Kind::Text,
        _ => return None,
    })
}

#[derive(Debug, Clone)]
enum Values {
    Count(Vec<i64>),
    SumWhole(Vec<i128>, Vec<bool>),
    SumDouble(Vec<f64>, Vec<bool>),
    BestWhole(Vec<i64>, Vec<bool>),
    BestDecimal(Vec<i128>, Vec<bool>),
    BestDouble(Vec<f64>, Vec<bool>),
    BestText(Vec<Option<Box<str>>>),
    AvgWhole(Vec<i128>, Vec<i64>),
    AvgDouble(Vec<f64>, Vec<i64>),
}

/// What grows alike in every column of values.
trait Column {
    fn grow(&mut self, groups: usize);
    fn expect(&mut self, more: usize);
}

impl<T: Clone + Default> Column for Vec<T> {
    fn grow(&mut self, groups: usize) {
        self.resize(groups, T::default());
    }

    fn expect(&mut self, more: usize) {
        self.reserve(more);
    }
}

impl Values {
    fn each(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        let columns: [Option<&mut dyn Column>; 2] = match self {
            Values::Count(counts) => [Some(counts), None],
            Values::SumWhole(values, seen) | Values::BestDecimal(values, seen) => [Some(values), Some(seen)],
            Values::SumDouble(values, seen) | Values::BestDouble(values, seen) => [Some(values), Some(seen)],
            Values::BestWhole(values, seen) => [Some(values), Some(seen)],
            Values::BestText(values) => [Some(values), None],
            Values::AvgWhole(sums, counts) => [Some(sums), Some(counts)],
            Values::AvgDouble(sums, counts) => [Some(sums), Some(counts)],
        };
        columns.into_iter().flatten().for_each(visit);
    }
}

/// One aggregate for all groups of a slice.
#[derive(Debug, Clone)]
pub(crate) struct Accumulator {
    values: Values,
    /// True for `MAX`, false for `MIN`; unused elsewhere.
    greatest: bool,
}

/// The argument of an aggregate for a batch, in the shape that the accumulator reads.
#[derive(Debug)]
pub(crate) struct Argument {
    values: Option<ArrayRef>,
    filter: Option<BooleanArray>,
}

impl Argument {
    /// `values` is `None` for `COUNT(*)`; rows where `filter` is not true are left out.
    pub(crate) fn new(values: Option<ArrayRef>, filter: Option<BooleanArray>, aggregate: &Aggregate) -> Result<Self> {
        let values = match values {
            Some(array)
                if aggregate.function != AggregateFunction::Count && kind(array.data_type()) == Some(Kind::Whole) =>
            {
                Some(to_int64(&array)?)
            }
            other => other,
        };
        Ok(Self { values, filter })
    }

    fn takes(&self, row: usize) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.is_valid(row) && filter.value(row))
            && self.values.as_ref().is_none_or(|values| values.is_valid(row))
    }

    fn array(&self) -> Result<&ArrayRef> {
        self.values.as_ref().ok_or_else(|| Error::bug("an aggregate other than COUNT(*) has no argument"))
    }
}

fn better<T: PartialOrd>(new: &T, old: &T, greatest: bool) -> bool {
    if greatest { new > old } else { new < old }
}

impl Accumulator {
    /// An accumulator without groups.
    pub(crate) fn new(aggregate: &Aggregate) -> Result<Self> {
        use AggregateFunction as F;
        let values = match (aggregate.function, kind(&aggregate.input_type)) {
            (F::Count, _) => Values::Count(Vec::new()),
            (F::Sum, Some(Kind::Whole | Kind::Decimal)) => Values::SumWhole(Vec::new(), Vec::new()),
            (F::Sum, Some(Kind::Double)) => Values::SumDouble(Vec::new(), Vec::new()),
            (F::Avg, Some(Kind::Whole | Kind::Decimal)) => Values::AvgWhole(Vec::new(), Vec::new()),
            (F::Avg, Some(Kind::Double)) => Values::AvgDouble(Vec::new(), Vec::new()),
            (F::Min | F::Max, Some(Kind::Whole)) => Values::BestWhole(Vec::new(), Vec::new()),
            (F::Min | F::Max, Some(Kind::Decimal)) => Values::BestDecimal(Vec::new(), Vec::new()),
            (F::Min | F::Max, Some(Kind::Double)) => Values::BestDouble(Vec::new(), Vec::new()),
            (F::Min | F::Max, Some(Kind::Text)) => Values::BestText(Vec::new()),
            (F::Sum | F::Avg, Some(Kind::Text)) | (_, None) => {
                return Err(Error::config(format!(
                    "{} over {} is not supported",
                    aggregate.text, aggregate.input_type
                )));
            }
        };
        Ok(Self { values, greatest: aggregate.function == F::Max })
    }

    /// Makes room for `groups` groups; new ones are empty.
    pub(crate) fn grow(&mut self, groups: usize) {
        self.values.each(&mut |column| column.grow(groups));
    }

    /// Expects `more` groups, which saves moving those that are there again and again.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.values.each(&mut |column| column.expect(more));
    }

    /// Folds `rows[i]` of the argument into group `groups[i]`.
    pub(crate) fn update(&mut self, argument: &Argument, rows: &[u32], groups: &[u32]) -> Result<()> {
        let greatest = self.greatest;
        let each = |fold: Fold<'_>| in_blocks(argument, rows, groups, fold);
        match &mut self.values {
            Values::Count(counts) => each(&mut |block| {
                block.iter().for_each(|(_, group)| counts[*group as usize] += 1);
                Ok(())
            }),
            Values::SumWhole(sums, seen) => whole(argument, rows, groups, |group, value| {
                seen[group] = true;
                add_to(&mut sums[group], value)
            }),
            Values::AvgWhole(sums, counts) => whole(argument, rows, groups, |group, value| {
                counts[group] += 1;
                add_to(&mut sums[group], value)
            }),
            Values::SumDouble(sums, seen) => double(argument, rows, groups, |group, value| {
                sums[group] += value;
                seen[group] = true;
            }),
            Values::AvgDouble(sums, counts) => double(argument, rows, groups, |group, value| {
                sums[group] += value;
                counts[group] += 1;
            }),
            Values::BestDouble(values, seen) => {
                double(argument, rows, groups, |group, value| keep_best(values, seen, group, value, greatest))
            }
            Values::BestWhole(values, seen) => {
                let array = argument.array()?.as_primitive::<Int64Type>();
                each(&mut |block| {
                    block.iter().for_each(|(row, group)| {
                        keep_best(values, seen, *group as usize, array.value(*row as usize), greatest);
                    });
                    Ok(())
                })
            }
            Values::BestDecimal(values, seen) => whole(argument, rows, groups, |group, value| {
                keep_best(values, seen, group, value, greatest);
                Ok(())
            }),
            Values::BestText(values) => {
                let array = argument.array()?.as_string::<i32>();
                each(&mut |block| {
                    for (row, group) in block {
                        let (value, held) = (array.value(*row as usize), &mut values[*group as usize]);
                        if held.as_deref().is_none_or(|old| better(&value, &old, greatest)) {
                            *held = Some(value.into());
                        }
                    }
                    Ok(())
                })
            }
        }
    }

    /// Folds group `i` of `other` into group `mapping[i]`.
    pub(crate) fn merge(&mut self, other: &Accumulator, mapping: &[u32]) -> Result<()> {
        let greatest = self.greatest;
        macro_rules! best {
            ($values:ident, $seen:ident, $from:ident, $from_seen:ident) => {
                for (index, group) in mapping.iter().enumerate() {
                    let group = *group as usize;
                    if $from_seen[index] && (!$seen[group] || better(&$from[index], &$values[group], greatest)) {
                        $values[group] = $from[index];
                        $seen[group] = true;
                    }
                }
            };
        }
        match (&mut self.values, &other.values) {
            (Values::Count(into), Values::Count(from)) => {
                mapping.iter().zip(from).for_each(|(group, value)| into[*group as usize] += value);
            }
            (Values::SumWhole(into, seen), Values::SumWhole(from, from_seen)) => {
                for (index, group) in mapping.iter().enumerate() {
                    into[*group as usize] = add(into[*group as usize], from[index])?;
                    seen[*group as usize] |= from_seen[index];
                }
            }
            (Values::SumDouble(into, seen), Values::SumDouble(from, from_seen)) => {
                for (index, group) in mapping.iter().enumerate() {
                    into[*group as usize] += from[index];
                    seen[*group as usize] |= from_seen[index];
                }
            }
            (Values::AvgWhole(into, counts), Values::AvgWhole(from, from_counts)) => {
                for (index, group) in mapping.iter().enumerate() {
                    into[*group as usize] = add(into[*group as usize], from[index])?;
                    counts[*group as usize] += from_counts[index];
                }
            }
            (Values::AvgDouble(into, counts), Values::AvgDouble(from, from_counts)) => {
                for (index, group) in mapping.iter().enumerate() {
                    into[*group as usize] += from[index];
                    counts[*group as usize] += from_counts[index];
                }
            }
            (Values::BestWhole(values, seen), Values::BestWhole(from, from_seen)) => {
                best!(values, seen, from, from_seen)
            }
            (Values::BestDecimal(values, seen), Values::BestDecimal(from, from_seen)) => {
                best!(values, seen, from, from_seen)
            }
            (Values::BestDouble(values, seen), Values::BestDouble(from, from_seen)) => {
                best!(values, seen, from, from_seen)
            }
            (Values::BestText(values), Values::BestText(from)) => {
                for (index, group) in mapping.iter().enumerate() {
                    let Some(new) = &from[index] else { continue };
                    let old = &mut values[*group as usize];
                    if old.as_ref().is_none_or(|old| better(new, old, greatest)) {
                        *old = Some(new.clone());
                    }
                }
            }
            _ => return Err(Error::bug("two accumulators of one aggregate differ in kind")),
        }
        Ok(())
    }

    /// Bytes per group, for memory accounting; texts are estimated.
    pub(crate) fn bytes_per_group(&self) -> usize {
        match &self.values {
            Values::Count(_) => 8,
            Values::SumWhole(..) | Values::BestDecimal(..) => 17,
            Values::SumDouble(..) | Values::BestDouble(..) | Values::BestWhole(..) => 9,
            Values::BestText(_) => 40,
            Values::AvgWhole(..) => 24,
            Values::AvgDouble(..) => 16,
        }
    }
}

fn add(sum: i128, value: i128) -> Result<i128> {
    sum.checked_add(value).ok_or_else(|| Error::data("a sum exceeds 128 bits: the column's values cannot be right"))
}

/// Rows of a block: the loop over a block is tight, and what is called per block may be dynamic.
const BLOCK: usize = 512;

/// Takes a block of (row, group).
type Fold<'a> = &'a mut dyn FnMut(&[(u32, u32)]) -> Result<()>;

/// Hands the rows that count, with their groups, to `fold`, a block at a time.
fn in_blocks(argument: &Argument, rows: &[u32], groups: &[u32], fold: Fold<'_>) -> Result<()> {
    let mut block = Vec::with_capacity(BLOCK.min(rows.len()));
    for (rows, groups) in rows.chunks(BLOCK).zip(groups.chunks(BLOCK)) {
        block.clear();
        block.extend(rows.iter().copied().zip(groups.iter().copied()).filter(|(row, _)| argument.takes(*row as usize)));
        fold(&block)?;
    }
    Ok(())
}

/// Integers and decimals as 128 bits. The type is looked at once per batch.
fn whole(
    argument: &Argument,
    rows: &[u32],
    groups: &[u32],
    mut fold: impl FnMut(usize, i128) -> Result<()>,
) -> Result<()> {
    let values = argument.array()?;
    if let Some(array) = values.as_any().downcast_ref::<arrow::array::Int64Array>() {
        return in_blocks(argument, rows, groups, &mut |block| {
            block.iter().try_for_each(|(row, group)| fold(*group as usize, i128::from(array.value(*row as usize))))
        });
    }
    let array = values.as_primitive::<Decimal128Type>();
    in_blocks(argument, rows, groups, &mut |block| {
        block.iter().try_for_each(|(row, group)| fold(*group as usize, array.value(*row as usize)))
    })
}

fn double(argument: &Argument, rows: &[u32], groups: &[u32], mut fold: impl FnMut(usize, f64)) -> Result<()> {
    let array = argument.array()?.as_primitive::<Float64Type>();
    in_blocks(argument, rows, groups, &mut |block| {
        block.iter().for_each(|(row, group)| fold(*group as usize, array.value(*row as usize)));
        Ok(())
    })
}

fn keep_best<T: PartialOrd>(values: &mut [T], seen: &mut [bool], group: usize, value: T, greatest: bool) {
    if !seen[group] || better(&value, &values[group], greatest) {
        values[group] = value;
        seen[group] = true;
    }
}

fn add_to(sum: &mut i128, value: i128) -> Result<()> {
    *sum = add(*sum, value)?;
    Ok(())
}
