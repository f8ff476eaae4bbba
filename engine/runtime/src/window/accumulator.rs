//! Accumulators as columns: one value per group, updated in batches, merged, encoded, finished.
//!
//! The encodings are ours and part of the state format (version 1), little-endian: `COUNT` i64; `SUM` seen:u8 and i128 or
//! f64; `MIN`/`MAX` seen:u8 and i64, i128, f64 or (u32 length, bytes); `AVG` its sum as i128 or f64, and a count i64.
//! Integer sums are kept in 128 bits, so that no order of rows can overflow; the result is checked when it is made.

use super::keys::{from_int64, to_int64};
use aqueduct_core::{Error, Result};
use aqueduct_plan::{Aggregate, AggregateFunction};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use std::sync::Arc;

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
        match &mut self.values {
            Values::Count(counts) => counts.resize(groups, 0),
            Values::SumWhole(values, seen) | Values::BestDecimal(values, seen) => {
                values.resize(groups, 0);
                seen.resize(groups, false);
            }
            Values::SumDouble(values, seen) | Values::BestDouble(values, seen) => {
                values.resize(groups, 0.0);
                seen.resize(groups, false);
            }
            Values::BestWhole(values, seen) => {
                values.resize(groups, 0);
                seen.resize(groups, false);
            }
            Values::BestText(values) => values.resize(groups, None),
            Values::AvgWhole(sums, counts) => {
                sums.resize(groups, 0);
                counts.resize(groups, 0);
            }
            Values::AvgDouble(sums, counts) => {
                sums.resize(groups, 0.0);
                counts.resize(groups, 0);
            }
        }
    }

    /// Folds `rows[i]` of the argument into group `groups[i]`.
    // Integers widen to 128 bits; for decimals, which the same code serves, that is no conversion.
    #[allow(clippy::useless_conversion)]
    pub(crate) fn update(&mut self, argument: &Argument, rows: &[u32], groups: &[u32]) -> Result<()> {
        let greatest = self.greatest;
        macro_rules! each {
            (|$row:ident, $group:ident| $body:expr) => {
                for (row, group) in rows.iter().zip(groups) {
                    let ($row, $group) = (*row as usize, *group as usize);
                    if argument.takes($row) {
                        $body
                    }
                }
            };
        }
        macro_rules! whole {
            (|$array:ident| $body:expr) => {{
                // The type is looked at once per batch, not once per row.
                match argument.array()?.as_any().downcast_ref::<arrow::array::Int64Array>() {
                    Some($array) => $body,
                    None => {
                        let $array = argument.array()?.as_primitive::<Decimal128Type>();
                        $body
                    }
                }
            }};
        }
        macro_rules! best {
            ($values:ident, $seen:ident, $array:ident) => {
                each!(|row, group| {
                    let value = $array.value(row);
                    if !$seen[group] || better(&value, &$values[group], greatest) {
                        $values[group] = value;
                        $seen[group] = true;
                    }
                })
            };
        }
        match &mut self.values {
            Values::Count(counts) => each!(|_row, group| counts[group] += 1),
            Values::SumWhole(sums, seen) => whole!(|array| {
                each!(|row, group| {
                    sums[group] = add(sums[group], i128::from(array.value(row)))?;
                    seen[group] = true;
                })
            }),
            Values::AvgWhole(sums, counts) => whole!(|array| {
                each!(|row, group| {
                    sums[group] = add(sums[group], i128::from(array.value(row)))?;
                    counts[group] += 1;
                })
            }),
            Values::SumDouble(sums, seen) => {
                let array = argument.array()?.as_primitive::<Float64Type>();
                each!(|row, group| {
                    sums[group] += array.value(row);
                    seen[group] = true;
                });
            }
            Values::AvgDouble(sums, counts) => {
                let array = argument.array()?.as_primitive::<Float64Type>();
                each!(|row, group| {
                    sums[group] += array.value(row);
                    counts[group] += 1;
                });
            }
            Values::BestWhole(values, seen) => {
                let array = argument.array()?.as_primitive::<Int64Type>();
                best!(values, seen, array);
            }
            Values::BestDecimal(values, seen) => {
                let array = argument.array()?.as_primitive::<Decimal128Type>();
                best!(values, seen, array);
            }
            Values::BestDouble(values, seen) => {
                let array = argument.array()?.as_primitive::<Float64Type>();
                best!(values, seen, array);
            }
            Values::BestText(values) => {
                let array = argument.array()?.as_string::<i32>();
                each!(|row, group| {
                    let value = array.value(row);
                    if values[group].as_deref().is_none_or(|old| better(&value, &old, greatest)) {
                        values[group] = Some(value.into());
                    }
                });
            }
        }
        Ok(())
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

    /// Appends the state of `group` to `out`.
    pub(crate) fn encode(&self, group: u32, out: &mut Vec<u8>) {
        let group = group as usize;
        match &self.values {
            Values::Count(counts) => out.extend_from_slice(&counts[group].to_le_bytes()),
            Values::SumWhole(values, seen) | Values::BestDecimal(values, seen) => {
                out.push(u8::from(seen[group]));
                out.extend_from_slice(&values[group].to_le_bytes());
            }
            Values::SumDouble(values, seen) | Values::BestDouble(values, seen) => {
                out.push(u8::from(seen[group]));
                out.extend_from_slice(&values[group].to_le_bytes());
            }
            Values::BestWhole(values, seen) => {
                out.push(u8::from(seen[group]));
                out.extend_from_slice(&values[group].to_le_bytes());
            }
            Values::BestText(values) => match &values[group] {
                None => out.push(0),
                Some(text) => {
                    out.push(1);
                    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            },
            Values::AvgWhole(sums, counts) => {
                out.extend_from_slice(&sums[group].to_le_bytes());
                out.extend_from_slice(&counts[group].to_le_bytes());
            }
            Values::AvgDouble(sums, counts) => {
                out.extend_from_slice(&sums[group].to_le_bytes());
                out.extend_from_slice(&counts[group].to_le_bytes());
            }
        }
    }

    /// Reads one encoded state from the front of `cursor`, as the single group of a new accumulator of the same kind.
    pub(crate) fn decode(&self, cursor: &mut &[u8]) -> Result<Accumulator> {
        let values = match &self.values {
            Values::Count(_) => Values::Count(vec![i64::from_le_bytes(fixed(cursor)?)]),
            Values::SumWhole(..) | Values::BestDecimal(..) => {
                let seen = vec![fixed::<1>(cursor)?[0] == 1];
                let value = vec![i128::from_le_bytes(fixed(cursor)?)];
                if matches!(self.values, Values::SumWhole(..)) {
                    Values::SumWhole(value, seen)
                } else {
                    Values::BestDecimal(value, seen)
                }
            }
            Values::SumDouble(..) | Values::BestDouble(..) => {
                let seen = vec![fixed::<1>(cursor)?[0] == 1];
                let value = vec![f64::from_le_bytes(fixed(cursor)?)];
                if matches!(self.values, Values::SumDouble(..)) {
                    Values::SumDouble(value, seen)
                } else {
                    Values::BestDouble(value, seen)
                }
            }
            Values::BestWhole(..) => {
                let seen = vec![fixed::<1>(cursor)?[0] == 1];
                Values::BestWhole(vec![i64::from_le_bytes(fixed(cursor)?)], seen)
            }
            Values::BestText(_) => Values::BestText(vec![decode_text(cursor)?]),
            Values::AvgWhole(..) => {
                Values::AvgWhole(vec![i128::from_le_bytes(fixed(cursor)?)], vec![i64::from_le_bytes(fixed(cursor)?)])
            }
            Values::AvgDouble(..) => {
                Values::AvgDouble(vec![f64::from_le_bytes(fixed(cursor)?)], vec![i64::from_le_bytes(fixed(cursor)?)])
            }
        };
        Ok(Accumulator { values, greatest: self.greatest })
    }

    /// The result column, in the order of `order`.
    pub(crate) fn finish(&self, order: &[u32], aggregate: &Aggregate) -> Result<ArrayRef> {
        let pick = |group: &u32| *group as usize;
        let too_large = || {
            Error::data(format!(
                "{} does not fit its type {}: cast the argument to DECIMAL(38, 0)",
                aggregate.text, aggregate.output_type
            ))
        };
        let array: ArrayRef = match &self.values {
            Values::Count(counts) => {
                let counts: arrow::array::Int64Array = order.iter().map(|group| Some(counts[pick(group)])).collect();
                from_int64(&(Arc::new(counts) as ArrayRef), &aggregate.output_type)?
            }
            Values::SumWhole(sums, seen) => {
                let values = order.iter().map(|group| seen[pick(group)].then_some(sums[pick(group)]));
                whole_array(values, &aggregate.output_type, too_large)?
            }
            Values::AvgWhole(sums, counts) => {
                let scale = decimal_lift(aggregate)?;
                let mean = |group: &u32| match counts[pick(group)] {
                    0 => None,
                    count => Some(mean(sums[pick(group)], i128::from(count), scale)),
                };
                whole_array(order.iter().map(mean), &aggregate.output_type, too_large)?
            }
            Values::SumDouble(values, seen) | Values::BestDouble(values, seen) => Arc::new(
                order
                    .iter()
                    .map(|group| seen[pick(group)].then_some(values[pick(group)]))
                    .collect::<arrow::array::Float64Array>(),
            ),
            Values::AvgDouble(sums, counts) => Arc::new(
                order
                    .iter()
                    .map(|group| (counts[pick(group)] > 0).then(|| sums[pick(group)] / counts[pick(group)] as f64))
                    .collect::<arrow::array::Float64Array>(),
            ),
            Values::BestWhole(values, seen) => {
                let values = order.iter().map(|group| seen[pick(group)].then_some(values[pick(group)]));
                from_int64(
                    &(Arc::new(values.collect::<arrow::array::Int64Array>()) as ArrayRef),
                    &aggregate.output_type,
                )?
            }
            Values::BestDecimal(values, seen) => whole_array(
                order.iter().map(|group| seen[pick(group)].then_some(values[pick(group)])),
                &aggregate.output_type,
                too_large,
            )?,
            Values::BestText(values) => Arc::new(
                order.iter().map(|group| values[pick(group)].as_deref()).collect::<arrow::array::StringArray>(),
            ),
        };
        if array.data_type() == &aggregate.output_type {
            Ok(array)
        } else {
            Ok(arrow::compute::cast(&array, &aggregate.output_type)?)
        }
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

fn fixed<const N: usize>(cursor: &mut &[u8]) -> Result<[u8; N]> {
    let (head, rest) = cursor.split_at_checked(N).ok_or_else(cut_off)?;
    *cursor = rest;
    head.try_into().map_err(|_| cut_off())
}

fn cut_off() -> Error {
    Error::data("a stored accumulator is cut off: the state files are damaged; restore an older checkpoint")
}

fn decode_text(cursor: &mut &[u8]) -> Result<Option<Box<str>>> {
    if fixed::<1>(cursor)?[0] == 0 {
        return Ok(None);
    }
    let length = u32::from_le_bytes(fixed(cursor)?) as usize;
    let (head, rest) = cursor.split_at_checked(length).ok_or_else(cut_off)?;
    *cursor = rest;
    Ok(Some(std::str::from_utf8(head).map_err(|_| cut_off())?.into()))
}

fn add(sum: i128, value: i128) -> Result<i128> {
    sum.checked_add(value).ok_or_else(|| Error::data("a sum exceeds 128 bits: the column's values cannot be right"))
}

/// How many digits the mean of decimals gains: output scale minus input scale.
fn decimal_lift(aggregate: &Aggregate) -> Result<i128> {
    match (&aggregate.input_type, &aggregate.output_type) {
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
            let digits = u32::try_from(i16::from(*to) - i16::from(*from))
                .map_err(|_| Error::bug(format!("{} loses digits", aggregate.text)))?;
            10_i128.checked_pow(digits).ok_or_else(|| Error::bug(format!("{} gains too many digits", aggregate.text)))
        }
        _ => Ok(1),
    }
}

/// Integers round toward zero, as Flink does; decimals round half away from zero.
fn mean(sum: i128, count: i128, lift: i128) -> i128 {
    if lift == 1 {
        return sum / count;
    }
    match sum.checked_mul(lift) {
        Some(scaled) => {
            let (quotient, rest) = (scaled / count, scaled % count);
            quotient + if rest.abs() * 2 >= count { scaled.signum() } else { 0 }
        }
        None => i128::MAX,
    }
}

fn whole_array(
    values: impl Iterator<Item = Option<i128>>,
    data_type: &DataType,
    too_large: impl Fn() -> Error,
) -> Result<ArrayRef> {
    if let DataType::Decimal128(precision, _) = data_type {
        let limit = 10_i128.pow(u32::from(*precision).min(38));
        let values: Vec<Option<i128>> = values.collect();
        if values.iter().flatten().any(|value| *value <= -limit || *value >= limit) {
            return Err(too_large());
        }
        let array: arrow::array::Decimal128Array = values.into_iter().collect();
        return Ok(Arc::new(array.with_data_type(data_type.clone())));
    }
    let narrow = |value: Option<i128>| value.map(|value| i64::try_from(value).map_err(|_| too_large())).transpose();
    let array: arrow::array::Int64Array = values.map(narrow).collect::<Result<Vec<_>>>()?.into_iter().collect();
    from_int64(&(Arc::new(array) as ArrayRef), data_type)
}
