//! The values of a batch that aggregates look at, in the few shapes that accumulators read.

use super::keys::to_int64;
use super::layout::{Input, Kind, Layout};
use aqueduct_core::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type};

/// The values of one [`Input`].
#[derive(Debug)]
pub(crate) struct Argument {
    pub(super) values: Values,
    /// The rows that count; `None` when all do.
    counts: Option<BooleanBuffer>,
}

#[derive(Debug)]
pub(super) enum Values {
    /// Only counted.
    None,
    Whole(Int64Array),
    Decimal(Decimal128Array),
    Double(Float64Array),
    Text(StringArray),
}

impl Layout {
    /// Evaluates what the aggregates look at, one argument per input.
    ///
    /// # Errors
    /// An expression fails on a row.
    pub(crate) fn arguments(&self, batch: &RecordBatch) -> Result<Vec<Argument>> {
        self.inputs.iter().map(|input| Argument::of(input, batch)).collect()
    }
}

impl Argument {
    fn of(input: &Input, batch: &RecordBatch) -> Result<Self> {
        let evaluate = |expr| crate::stage::evaluate(expr, batch);
        let array = input.argument.as_deref().map(evaluate).transpose()?;
        let filter = input.filter.as_deref().map(evaluate).transpose()?;
        let there = array.as_ref().and_then(|array| array.logical_nulls()).filter(|nulls| nulls.null_count() > 0);
        let mut counts = there.map(|nulls| nulls.into_inner());
        if let Some(filter) = &filter {
            let (passes, known) = (filter.as_boolean().values(), filter.nulls());
            let passes = known.map_or_else(|| passes.clone(), |known| passes & known.inner());
            counts = Some(counts.map_or_else(|| passes.clone(), |counts| &counts & &passes));
        }
        Ok(Self { values: Values::of(input, array)?, counts })
    }

    /// Those of `rows` that count, with their groups.
    #[inline]
    pub(super) fn chosen<'a>(
        &self,
        rows: &'a [u32],
        groups: &'a [u32],
        buffer: &'a mut (Vec<u32>, Vec<u32>),
    ) -> (&'a [u32], &'a [u32]) {
        let Some(counts) = &self.counts else { return (rows, groups) };
        buffer.0.clear();
        buffer.1.clear();
        for (row, group) in rows.iter().zip(groups) {
            if counts.value(*row as usize) {
                buffer.0.push(*row);
                buffer.1.push(*group);
            }
        }
        (&buffer.0, &buffer.1)
    }
}

impl Values {
    fn of(input: &Input, array: Option<ArrayRef>) -> Result<Self> {
        let Some(cell) = input.cells.first() else { return Ok(Values::None) };
        let array = array.ok_or_else(|| Error::bug("an aggregate other than COUNT(*) has no argument"))?;
        Ok(match cell.kind {
            Kind::Whole => Values::Whole(to_int64(&array)?.as_primitive::<Int64Type>().clone()),
            Kind::Decimal => Values::Decimal(array.as_primitive::<Decimal128Type>().clone()),
            Kind::Double => Values::Double(array.as_primitive::<Float64Type>().clone()),
            Kind::Text => Values::Text(array.as_string::<i32>().clone()),
        })
    }
}
