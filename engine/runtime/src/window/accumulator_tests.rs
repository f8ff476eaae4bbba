//! Accumulators: every kind, nulls, filters, what is shared, merging, and the stored form.

use super::accumulator::Accumulators;
use super::layout::Layout;
use aqueduct_plan::{Aggregate, AggregateFunction};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::physical_expr::expressions::Column;
use std::sync::Arc;

const GROUPS: u32 = 3;

/// Over the first column of a batch; the second one, where there is one, is the filter.
fn aggregate(function: AggregateFunction, input: DataType, output: DataType) -> Aggregate {
    Aggregate {
        function,
        argument: Some(Arc::new(Column::new("x", 0))),
        input_type: input,
        filter: None,
        output_type: output,
        text: format!("{function:?}(x)"),
    }
}

fn filtered(aggregate: Aggregate) -> Aggregate {
    Aggregate { filter: Some(Arc::new(Column::new("f", 1))), ..aggregate }
}

fn count_rows() -> Aggregate {
    Aggregate { argument: None, ..aggregate(AggregateFunction::Count, DataType::Int64, DataType::Int64) }
}

fn empty(aggregates: &[Aggregate]) -> Accumulators {
    let mut accumulators = Accumulators::new(Arc::new(Layout::of(aggregates).unwrap()));
    accumulators.grow(GROUPS as usize);
    accumulators
}

fn folded(aggregates: &[Aggregate], values: &ArrayRef, filter: Option<BooleanArray>, groups: &[u32]) -> Accumulators {
    let filter = filter.unwrap_or_else(|| vec![true; values.len()].into());
    let columns = [("x", Arc::clone(values), true), ("f", Arc::new(filter) as ArrayRef, true)];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let rows: Vec<u32> = (0..values.len() as u32).collect();
    let mut accumulators = empty(aggregates);
    let arguments = Layout::of(aggregates).unwrap().arguments(&batch).unwrap();
    accumulators.update(&arguments, &rows, groups).unwrap();
    accumulators
}

fn encoded(accumulators: &Accumulators, group: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    accumulators.encode(group, &mut bytes);
    bytes
}

/// Encodes each group and adds it to empty accumulators: the stored form must lose nothing.
fn through_storage(accumulators: &Accumulators, aggregates: &[Aggregate]) -> Accumulators {
    let mut restored = empty(aggregates);
    for group in 0..GROUPS {
        let bytes = encoded(accumulators, group);
        restored.absorb(group, &bytes).unwrap();
        assert!(empty(aggregates).absorb(group, &bytes[..bytes.len() - 1]).is_err(), "a cut state must not be read");
        assert!(empty(aggregates).absorb(group, &[&bytes[..], &[0]].concat()).is_err(), "bytes left over");
    }
    restored
}

/// The same as `made`, merged from two halves into empty ones, in another order of groups.
fn through_merge(made: &Accumulators, aggregates: &[Aggregate]) -> Accumulators {
    let mut turned = empty(aggregates);
    turned.merge(made, 0, &[2, 0, 1]).unwrap();
    let mut back = empty(aggregates);
    back.merge(&turned, 0, &[1, 2, 0]).unwrap();
    back
}

fn check<T: PartialEq + std::fmt::Debug>(
    aggregate: &Aggregate,
    made: &Accumulators,
    read: impl Fn(&ArrayRef) -> Vec<T>,
    expected: &[T],
) {
    let aggregates = std::slice::from_ref(aggregate);
    let finish = |accumulators: &Accumulators| accumulators.finish(&[0, 1, 2], aggregates).unwrap().remove(0);
    assert_eq!(read(&finish(made)), expected, "{aggregate:?}");
    assert_eq!(read(&finish(&through_storage(made, aggregates))), expected, "{aggregate:?} restored");
    assert_eq!(read(&finish(&through_merge(made, aggregates))), expected, "{aggregate:?} merged");
}

fn ints(array: &ArrayRef) -> Vec<Option<i64>> {
    array.as_primitive::<Int64Type>().iter().collect()
}

fn texts(array: &ArrayRef) -> Vec<Option<String>> {
    let array = arrow::compute::cast(array, &DataType::Utf8).unwrap();
    array.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect()
}

fn long(function: AggregateFunction) -> Aggregate {
    aggregate(function, DataType::Int64, DataType::Int64)
}

#[test]
fn integers_with_nulls_and_an_empty_group() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-7), Some(1), None]));
    let groups = [0, 0, 0, 1, 1];
    let cases = [
        (AggregateFunction::Sum, [Some(-2), Some(1), None]),
        (AggregateFunction::Min, [Some(-7), Some(1), None]),
        (AggregateFunction::Max, [Some(5), Some(1), None]),
        (AggregateFunction::Avg, [Some(-1), Some(1), None]),
        (AggregateFunction::Count, [Some(2), Some(1), Some(0)]),
    ];
    for (function, expected) in cases {
        let aggregate = long(function);
        let made = folded(std::slice::from_ref(&aggregate), &values, None, &groups);
        check(&aggregate, &made, ints, &expected);
    }
    let all: Vec<Aggregate> = cases.iter().map(|(function, _)| long(*function)).chain([count_rows()]).collect();
    let made = folded(&all, &values, None, &groups);
    for made in [through_storage(&made, &all), through_merge(&made, &all), made] {
        let columns: Vec<_> = made.finish(&[0, 1, 2], &all).unwrap().iter().map(ints).collect();
        let expected = cases.iter().map(|(_, expected)| expected.to_vec());
        assert_eq!(columns, expected.chain([vec![Some(3), Some(2), Some(0)]]).collect::<Vec<_>>());
    }
}

#[test]
fn aggregates_share_what_they_have_in_common() {
    let functions = [AggregateFunction::Sum, AggregateFunction::Avg, AggregateFunction::Min, AggregateFunction::Max];
    let five: Vec<Aggregate> = [count_rows()].into_iter().chain(functions.map(long)).collect();
    let mut made = empty(&five);
    made.grow(1000);
    assert_eq!(made.bytes(), 1000 * 5 * 8, "rows, values, sum, least, greatest");
    let under_a_filter: Vec<Aggregate> = five.iter().cloned().chain([filtered(long(AggregateFunction::Sum))]).collect();
    let mut made = empty(&under_a_filter);
    made.grow(1000);
    assert_eq!(made.bytes(), 1000 * 7 * 8, "and what passes the filter, and its sum");
}

#[test]
fn filters_leave_rows_out() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(4), None]));
    let filter = || BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]);
    for (function, expected) in [
        (AggregateFunction::Sum, [Some(1), None, None]),
        (AggregateFunction::Max, [Some(1), None, None]),
        (AggregateFunction::Count, [Some(1), Some(0), Some(0)]),
    ] {
        let aggregate = filtered(long(function));
        let made = folded(std::slice::from_ref(&aggregate), &values, Some(filter()), &[0, 0, 0, 1]);
        check(&aggregate, &made, ints, &expected);
    }
}

#[test]
fn decimals_doubles_and_text() {
    let decimal = DataType::Decimal128(10, 2);
    let values: ArrayRef = Arc::new(Decimal128Array::from(vec![150, 250, -1]).with_data_type(decimal.clone()));
    for (function, output, expected) in [
        (AggregateFunction::Sum, DataType::Decimal128(20, 2), ["4.00", "-0.01"]),
        (AggregateFunction::Avg, DataType::Decimal128(14, 6), ["2.000000", "-0.010000"]),
        (AggregateFunction::Min, decimal.clone(), ["1.50", "-0.01"]),
        (AggregateFunction::Max, decimal.clone(), ["2.50", "-0.01"]),
    ] {
        let aggregate = aggregate(function, decimal.clone(), output);
        let made = folded(std::slice::from_ref(&aggregate), &values, None, &[0, 0, 1]);
        check(
            &aggregate,
            &made,
            texts,
            &expected.map(str::to_owned).map(Some).into_iter().chain([None]).collect::<Vec<_>>(),
        );
    }
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.5, -2.5, f64::NAN]));
    let read = |array: &ArrayRef| array.as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
    for (function, expected) in [
        (AggregateFunction::Sum, -1.0),
        (AggregateFunction::Avg, -0.5),
        (AggregateFunction::Min, -2.5),
        (AggregateFunction::Max, 1.5),
    ] {
        let aggregate = aggregate(function, DataType::Float64, DataType::Float64);
        let made = folded(std::slice::from_ref(&aggregate), &doubles.slice(0, 2), None, &[2, 2]);
        check(&aggregate, &made, read, &[None, None, Some(expected)]);
    }
    // What is no number is the greatest, in whatever order it comes.
    for (function, is_nan) in [(AggregateFunction::Min, false), (AggregateFunction::Max, true)] {
        let aggregate = aggregate(function, DataType::Float64, DataType::Float64);
        for turned in [[0, 1, 2], [2, 1, 0]] {
            let turned =
                arrow::compute::take(&doubles, &arrow::array::UInt32Array::from(turned.to_vec()), None).unwrap();
            let made = folded(std::slice::from_ref(&aggregate), &turned, None, &[0, 0, 0]);
            check(&aggregate, &made, |array| vec![read(array)[0].is_some_and(f64::is_nan)], &[is_nan]);
        }
    }
    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("a")]));
    for (function, expected) in [(AggregateFunction::Min, "a"), (AggregateFunction::Max, "b")] {
        let aggregate = aggregate(function, DataType::Utf8, DataType::Utf8);
        let made = folded(std::slice::from_ref(&aggregate), &words, None, &[0, 1, 0]);
        check(&aggregate, &made, texts, &[Some(expected.to_owned()), None, None]);
    }
}

#[test]
fn a_sum_of_text_is_refused() {
    let error = Layout::of(&[aggregate(AggregateFunction::Sum, DataType::Utf8, DataType::Utf8)]).unwrap_err();
    assert!(error.message().contains("Sum(x) over Utf8 is not supported"), "{error}");
}

#[test]
fn integer_sums_pass_through_values_that_do_not_fit_but_the_result_must() {
    let sum = long(AggregateFunction::Sum);
    let sums = std::slice::from_ref(&sum);
    let values: ArrayRef =
        Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX, -i64::MAX, i64::MIN, i64::MIN, i64::MAX]));
    let made = folded(sums, &values, None, &[0, 0, 0, 1, 1, 1]);
    let error = made.finish(&[1], sums).unwrap_err();
    assert!(error.message().contains("does not fit"), "{error}");
    let mut twice = through_storage(&made, sums);
    assert_eq!(ints(&twice.finish(&[0], sums).unwrap()[0]), [Some(i64::MAX)]);
    let back: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX]));
    twice.merge(&folded(sums, &back, None, &[1]), 0, &[0, 1, 2]).unwrap();
    check(&sum, &twice, ints, &[Some(i64::MAX), Some(-2), None]);
    let mean = long(AggregateFunction::Avg);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN; 3]));
    check(&mean, &folded(std::slice::from_ref(&mean), &values, None, &[0; 3]), ints, &[Some(i64::MIN), None, None]);
}

#[test]
fn the_stored_form_is_version_2() {
    // Golden bytes: a change here means that old checkpoints are read wrongly.
    let aggregates = [
        count_rows(),
        long(AggregateFunction::Sum),
        long(AggregateFunction::Min),
        filtered(long(AggregateFunction::Max)),
    ];
    let values: ArrayRef = Arc::new(Int64Array::from(vec![-258, 1]));
    let made = folded(&aggregates, &values, Some(vec![false, false].into()), &[0, 0]);
    // Two rows; two values with their sum, -257, and the least, -258; none behind the filter.
    assert_eq!(encoded(&made, 0), [2, 2, 0x81, 4, 0x83, 4, 0]);
    assert_eq!(encoded(&made, 1), [0, 0, 0]);
    let text = aggregate(AggregateFunction::Max, DataType::Utf8, DataType::Utf8);
    let made = folded(&[text], &(Arc::new(StringArray::from(vec!["ab"])) as ArrayRef), None, &[0]);
    assert_eq!(encoded(&made, 0), [1, 2, b'a', b'b']);
}
