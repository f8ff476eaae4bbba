//! Results of accumulators as columns: sums that must fit, means, and types restored.

use super::{Accumulator, Values};
use crate::window::keys::from_int64;
use aqueduct_core::{Error, Result};
use aqueduct_plan::Aggregate;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::sync::Arc;

impl Accumulator {
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
