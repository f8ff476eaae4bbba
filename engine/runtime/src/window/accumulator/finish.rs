//! Results of accumulators as columns: sums that must fit, means, and types restored.

use super::{Accumulators, BLOCK, Kind};
use crate::window::keys::from_int64;
use crate::window::layout::Output;
use aqueduct_core::{Error, Result};
use aqueduct_plan::{Aggregate, AggregateFunction};
use arrow::array::{Array, ArrayRef, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// A result column in the making.
enum Results {
    Long(Int64Builder),
    /// With the least power of ten that is too large.
    Decimal(Decimal128Builder, i128),
    Double(Float64Builder),
    Text(StringBuilder),
}

impl Accumulators {
    /// The result columns, in the order of `order`, one per aggregate.
    pub(crate) fn finish(&self, order: &[u32], aggregates: &[Aggregate]) -> Result<Vec<ArrayRef>> {
        let outputs = || self.layout.outputs.iter().zip(aggregates);
        let mut columns: Vec<Results> =
            outputs().map(|(output, aggregate)| Results::of(output, aggregate, order.len())).collect();
        let lifts = aggregates.iter().map(decimal_lift).collect::<Result<Vec<_>>>()?;
        for groups in order.chunks(BLOCK) {
            for (((output, aggregate), lift), column) in outputs().zip(&lifts).zip(&mut columns) {
                self.append(*output, groups, *lift, column).ok_or_else(|| too_large(aggregate))?;
            }
        }
        columns.into_iter().zip(aggregates).map(|(column, aggregate)| column.array(&aggregate.output_type)).collect()
    }

    /// Appends the results of some groups; `None` when one does not fit.
    fn append(&self, output: Output, groups: &[u32], lift: i128, column: &mut Results) -> Option<()> {
        let count = |group: &u32| self.rows.word(*group, output.count);
        let Some(cell) = output.cell else {
            return groups.iter().try_for_each(|group| column.push_whole(i128::from(count(group))));
        };
        for group in groups {
            match (count(group), &mut *column) {
                (0, column) => column.push_null(),
                (_, Results::Text(texts)) => texts.append_option(self.text(*group, cell)),
                (count, Results::Double(doubles)) => {
                    let value = self.double(*group, cell);
                    doubles.append_value(if output.averages { value / count as f64 } else { value });
                }
                (count, column) => {
                    let value = self.number(*group, cell);
                    column.push_whole(if output.averages { mean(value, count, lift)? } else { value })?;
                }
            }
        }
        Some(())
    }
}

impl Results {
    fn of(output: &Output, aggregate: &Aggregate, rows: usize) -> Self {
        match (output.cell.map(|cell| cell.kind), &aggregate.output_type) {
            (Some(Kind::Text), _) => Results::Text(StringBuilder::with_capacity(rows, 0)),
            (Some(Kind::Double), _) => Results::Double(Float64Builder::with_capacity(rows)),
            (Some(_), DataType::Decimal128(precision, _)) => {
                let builder = Decimal128Builder::with_capacity(rows).with_data_type(aggregate.output_type.clone());
                Results::Decimal(builder, 10_i128.pow(u32::from(*precision).min(38)))
            }
            _ => Results::Long(Int64Builder::with_capacity(rows)),
        }
    }

    fn push_null(&mut self) {
        match self {
            Results::Long(builder) => builder.append_null(),
            Results::Decimal(builder, _) => builder.append_null(),
            Results::Double(builder) => builder.append_null(),
            Results::Text(builder) => builder.append_null(),
        }
    }

    /// `None` when it does not fit.
    #[inline]
    fn push_whole(&mut self, value: i128) -> Option<()> {
        match self {
            Results::Long(builder) => builder.append_value(i64::try_from(value).ok()?),
            Results::Decimal(builder, limit) if value.unsigned_abs() < limit.unsigned_abs() => {
                builder.append_value(value);
            }
            _ => return None,
        }
        Some(())
    }

    fn array(self, data_type: &DataType) -> Result<ArrayRef> {
        let array: ArrayRef = match self {
            Results::Long(mut builder) => from_int64(&(Arc::new(builder.finish()) as ArrayRef), data_type)?,
            Results::Decimal(mut builder, _) => Arc::new(builder.finish()),
            Results::Double(mut builder) => Arc::new(builder.finish()),
            Results::Text(mut builder) => Arc::new(builder.finish()),
        };
        Ok(if array.data_type() == data_type { array } else { arrow::compute::cast(&array, data_type)? })
    }
}

fn too_large(aggregate: &Aggregate) -> Error {
    Error::data(format!(
        "{} does not fit its type {}: cast the argument to DECIMAL(38, 0)",
        aggregate.text, aggregate.output_type
    ))
}

/// How many digits the mean of decimals gains: output scale minus input scale.
fn decimal_lift(aggregate: &Aggregate) -> Result<i128> {
    match (&aggregate.input_type, &aggregate.output_type) {
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to))
            if aggregate.function == AggregateFunction::Avg =>
        {
            let digits = u32::try_from(i16::from(*to) - i16::from(*from))
                .map_err(|_| Error::bug(format!("{} loses digits", aggregate.text)))?;
            10_i128.checked_pow(digits).ok_or_else(|| Error::bug(format!("{} gains too many digits", aggregate.text)))
        }
        _ => Ok(1),
    }
}

/// Integers round toward zero, as Flink does; decimals round half away from zero. `None` when it does not fit.
#[inline]
fn mean(sum: i128, count: u64, lift: i128) -> Option<i128> {
    if lift == 1 {
        // A division of 64 bits takes a tenth of the time.
        return Some(match (i64::try_from(sum), i64::try_from(count)) {
            (Ok(sum), Ok(count)) => i128::from(sum / count),
            _ => sum / i128::from(count),
        });
    }
    let (scaled, count) = (sum.checked_mul(lift)?, i128::from(count));
    let (quotient, rest) = (scaled / count, scaled % count);
    Some(quotient + if rest.abs() * 2 >= count { scaled.signum() } else { 0 })
}
