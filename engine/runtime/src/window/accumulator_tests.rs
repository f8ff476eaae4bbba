//! Accumulators: every kind, nulls, filters, merging, and the stored form.

use super::accumulator::{Accumulator, Argument};
use aqueduct_plan::{Aggregate, AggregateFunction};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use std::sync::Arc;

fn aggregate(function: AggregateFunction, input: DataType, output: DataType) -> Aggregate {
    Aggregate {
        function,
        argument: None,
        input_type: input,
        filter: None,
        output_type: output,
        text: format!("{function:?}(x)"),
    }
}

fn folded(aggregate: &Aggregate, values: ArrayRef, filter: Option<BooleanArray>, groups: &[u32]) -> Accumulator {
    let mut accumulator = Accumulator::new(aggregate).unwrap();
    accumulator.grow(3);
    let rows: Vec<u32> = (0..values.len() as u32).collect();
    accumulator.update(&Argument::new(Some(values), filter, aggregate).unwrap(), &rows, groups).unwrap();
    accumulator
}

/// Encodes each group and adds it to an empty accumulator: the stored form must lose nothing.
fn through_storage(accumulator: &Accumulator, aggregate: &Aggregate) -> Accumulator {
    let mut restored = Accumulator::new(aggregate).unwrap();
    restored.grow(3);
    for group in 0..3 {
        let mut bytes = Vec::new();
        accumulator.encode(group, &mut bytes);
        let mut cursor = bytes.as_slice();
        restored.absorb(group, &mut cursor).unwrap();
        assert!(cursor.is_empty(), "bytes left over");
        let cut = &bytes[..bytes.len() - 1];
        let mut spoilt = Accumulator::new(aggregate).unwrap();
        spoilt.grow(3);
        assert!(spoilt.absorb(group, &mut { cut }).is_err(), "a cut state must not be read");
    }
    restored
}

fn check<T: PartialEq + std::fmt::Debug>(
    aggregate: &Aggregate,
    made: &Accumulator,
    read: impl Fn(&ArrayRef) -> Vec<T>,
    expected: &[T],
) {
    let order = [0, 1, 2];
    assert_eq!(read(&made.finish(&order, aggregate).unwrap()), expected, "{aggregate:?}");
    let restored = through_storage(made, aggregate);
    assert_eq!(read(&restored.finish(&order, aggregate).unwrap()), expected, "{aggregate:?} restored");
}

fn ints(array: &ArrayRef) -> Vec<Option<i64>> {
    array.as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn integers_with_nulls_and_an_empty_group() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-7), Some(1), None]));
    let groups = [0, 0, 0, 1, 1];
    let long = || DataType::Int64;
    for (function, expected) in [
        (AggregateFunction::Sum, [Some(-2), Some(1), None]),
        (AggregateFunction::Min, [Some(-7), Some(1), None]),
        (AggregateFunction::Max, [Some(5), Some(1), None]),
        (AggregateFunction::Avg, [Some(-1), Some(1), None]),
        (AggregateFunction::Count, [Some(2), Some(1), Some(0)]),
    ] {
        let aggregate = aggregate(function, long(), long());
        let made = folded(&aggregate, values.clone(), None, &groups);
        check(&aggregate, &made, ints, &expected);
    }
}

#[test]
fn filters_leave_rows_out() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 4]));
    let filter = BooleanArray::from(vec![Some(true), Some(false), None]);
    let aggregate = aggregate(AggregateFunction::Sum, DataType::Int64, DataType::Int64);
    let made = folded(&aggregate, values, Some(filter), &[0, 0, 0]);
    check(&aggregate, &made, ints, &[Some(1), None, None]);
}

#[test]
fn decimals_doubles_and_text() {
    let decimal = DataType::Decimal128(10, 2);
    let values: ArrayRef = Arc::new(Decimal128Array::from(vec![150, 250, 1]).with_data_type(decimal.clone()));
    let sum = aggregate(AggregateFunction::Sum, decimal.clone(), DataType::Decimal128(20, 2));
    let text = |array: &ArrayRef| {
        let array = arrow::compute::cast(array, &DataType::Utf8).unwrap();
        array.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect::<Vec<_>>()
    };
    let texts = |values: [&str; 2]| [Some(values[0].to_owned()), Some(values[1].to_owned()), None];
    check(&sum, &folded(&sum, values.clone(), None, &[0, 0, 1]), text, &texts(["4.00", "0.01"]));
    let mean = aggregate(AggregateFunction::Avg, decimal, DataType::Decimal128(14, 6));
    check(&mean, &folded(&mean, values, None, &[0, 0, 1]), text, &texts(["2.000000", "0.010000"]));
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 2.5]));
    let mean = aggregate(AggregateFunction::Avg, DataType::Float64, DataType::Float64);
    let read = |array: &ArrayRef| array.as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
    check(&mean, &folded(&mean, doubles, None, &[2, 2]), read, &[None, None, Some(2.0)]);
    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("a")]));
    let least = aggregate(AggregateFunction::Min, DataType::Utf8, DataType::Utf8);
    check(&least, &folded(&least, words, None, &[0, 1, 0]), text, &[Some("a".to_owned()), None, None]);
}

#[test]
fn integer_sums_pass_through_values_that_do_not_fit_but_the_result_must() {
    let aggregate = aggregate(AggregateFunction::Sum, DataType::Int64, DataType::Int64);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX, -i64::MAX]));
    let made = folded(&aggregate, values, None, &[0, 0, 0]);
    check(&aggregate, &made, ints, &[Some(i64::MAX), None, None]);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
    let error = folded(&aggregate, values, None, &[0, 0]).finish(&[0], &aggregate).unwrap_err();
    assert!(error.message().contains("does not fit"), "{error}");
}

#[test]
fn the_stored_form_is_version_1() {
    // Golden bytes: a change here means that old checkpoints are read wrongly.
    let aggregate = aggregate(AggregateFunction::Sum, DataType::Int64, DataType::Int64);
    let made = folded(&aggregate, Arc::new(Int64Array::from(vec![258])), None, &[0]);
    let mut bytes = Vec::new();
    made.encode(0, &mut bytes);
    assert_eq!(bytes, [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}
