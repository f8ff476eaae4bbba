//! The late rule, shared slices and firing, against a plain computation window by window.

use super::operator::{Firing, LateMark, WindowOperator, result_rows};
use super::{KeyCodec, Layout, Panes, Slice, Written, sum};
use aqueduct_plan::{Aggregate, AggregateFunction, WindowAggregate, WindowKind};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMillisecondType};
use datafusion::physical_expr::expressions::col;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn plan(kind: WindowKind) -> WindowAggregate {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let input = Schema::new(vec![Field::new("t", time.clone(), false), Field::new("k", DataType::Utf8, true)]);
    let count = Aggregate {
        function: AggregateFunction::Count,
        argument: None,
        input_type: DataType::Int64,
        filter: None,
        output_type: DataType::Int64,
        text: "COUNT(*)".to_owned(),
    };
    let mut fields: Vec<Field> = ["window_start", "window_end", "window_time"]
        .iter()
        .map(|name| Field::new(*name, time.clone(), false))
        .collect();
    fields.push(Field::new("k", DataType::Utf8, true));
    fields.push(Field::new("n", DataType::Int64, false));
    WindowAggregate {
        kind,
        time_column: 0,
        keys: vec![col("k", &input).unwrap()],
        aggregates: vec![count],
        schema: Arc::new(Schema::new(fields)),
        key_text: vec!["k".to_owned()],
    }
}

pub(super) fn batch(rows: &[(i64, &str)]) -> RecordBatch {
    let times: ArrayRef =
        Arc::new(TimestampMillisecondArray::from(rows.iter().map(|(time, _)| *time).collect::<Vec<_>>()));
    let keys: ArrayRef = Arc::new(StringArray::from(rows.iter().map(|(_, key)| *key).collect::<Vec<_>>()));
    RecordBatch::try_from_iter([("t", times), ("k", keys)]).unwrap()
}

pub(super) type Rows = BTreeMap<(i64, i64, String), i64>;

pub(super) fn collect(plan: &WindowAggregate, end: i64, slice: &Slice, into: &mut Rows) {
    let codec = KeyCodec::new(vec![DataType::Utf8]).unwrap();
    let rows = result_rows(plan, &codec, end, slice).unwrap();
    for row in 0..rows.num_rows() {
        let time = |column: usize| rows.column(column).as_primitive::<TimestampMillisecondType>().value(row);
        let key = rows.column(3).as_string::<i32>().value(row).to_owned();
        let previous = into.insert((time(0), time(1), key), rows.column(4).as_primitive::<Int64Type>().value(row));
        assert!(previous.is_none(), "window {:?} fired twice", (time(0), time(1)));
    }
}

/// All windows that hold `at`, as (start, end), from their definition and not from slices.
pub(super) fn windows(kind: WindowKind, at: i64) -> Vec<(i64, i64)> {
    match kind {
        WindowKind::Tumble { size, offset } => {
            let start = (at - offset).div_euclid(size) * size + offset;
            vec![(start, start + size)]
        }
        WindowKind::Hop { slide, size, offset } => {
            let last = (at - offset).div_euclid(slide) * slide + offset;
            (0..size / slide).map(|back| last - back * slide).map(|start| (start, start + size)).collect()
        }
        WindowKind::Cumulate { step, size, offset } => {
            let start = (at - offset).div_euclid(size) * size + offset;
            (1..=size / step).map(|steps| (start, start + steps * step)).filter(|(_, end)| *end > at).collect()
        }
    }
}

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Feeds disordered rows in batches, fires at random moments, and compares rows and late marks with the definition.
fn against_definition(kind: WindowKind, seed: u64) {
    let mut random = Random(seed);
    let plan = plan(kind);
    let mut operator = WindowOperator::new(plan.clone(), i64::MIN).unwrap();
    let (mut expected, mut made) = (Rows::new(), Rows::new());
    let (mut expected_late, mut late) = (0_u64, 0_u64);
    let (mut now, mut watermark) = (1_000_i64, i64::MIN);
    for _ in 0..60 {
        let mut rows = Vec::new();
        let mut before = Vec::new();
        for _ in 0..random.below(12) {
            now += random.below(9) as i64;
            let at = now - random.below(70) as i64;
            let key = ["a", "b", "c"][random.below(3) as usize];
            let open: Vec<_> = windows(kind, at).into_iter().filter(|(_, end)| end - 1 > watermark).collect();
            expected_late += u64::from(open.is_empty());
            for (start, end) in open {
                *expected.entry((start, end, key.to_owned())).or_default() += 1;
            }
            rows.push((at, key));
            before.push(watermark);
            watermark = watermark.max(at - 10);
        }
        let prepared = operator.prepare(&batch(&rows)).unwrap();
        let mut marks: Vec<LateMark> = Vec::new();
        let taken = operator.fold(&prepared, &before, &mut marks).unwrap();
        assert_eq!(taken + marks.len() as u64, rows.len() as u64);
        late += marks.len() as u64;
        if random.below(3) == 0 {
            let fired = operator.take_fired(watermark).unwrap().fired;
            fired.iter().for_each(|window| collect(&plan, window.end, &window.partial, &mut made));
            assert!(operator.next_end().is_none_or(|end| end - 1 > watermark));
        }
    }
    let fired = operator.take_fired(i64::MAX).unwrap().fired;
    fired.iter().for_each(|window| collect(&plan, window.end, &window.partial, &mut made));
    assert_eq!(made, expected, "{kind:?} seed {seed}");
    assert_eq!(late, expected_late, "{kind:?} seed {seed}");
    assert_eq!(operator.size().0, 0, "state is left after everything fired");
}

/// One pane.
pub(super) fn panes(key: &[u8], value: &[u8]) -> Panes {
    let mut panes = Panes::default();
    panes.push(key, value);
    panes
}

#[test]
fn every_kind_of_window_follows_its_definition() {
    for seed in 1..40 {
        against_definition(WindowKind::Tumble { size: 30, offset: 0 }, seed);
        against_definition(WindowKind::Tumble { size: 30, offset: 7 }, seed);
        against_definition(WindowKind::Hop { slide: 10, size: 40, offset: 3 }, seed);
        against_definition(WindowKind::Cumulate { step: 10, size: 40, offset: 0 }, seed);
        against_definition(WindowKind::Cumulate { step: 10, size: 40, offset: 5 }, seed);
        // Enough slices in a window for several suffix totals, and parts that open late in the middle of them.
        against_definition(WindowKind::Hop { slide: 2, size: 60, offset: 1 }, seed);
        against_definition(WindowKind::Cumulate { step: 3, size: 60, offset: 0 }, seed);
    }
}

/// The panes of a cut, written down one by one.
fn cut(operator: &mut WindowOperator) -> Vec<(crate::window::PartKey, Vec<u8>, Vec<u8>)> {
    let mut stored = Vec::new();
    operator.cut(false);
    while operator.is_pending() {
        let written = operator.drain(1, |part, key, value, _| stored.push((part, key.to_vec(), value.to_vec())));
        assert_eq!(written.unwrap(), 1);
    }
    stored
}

#[test]
fn rows_that_come_while_a_cut_is_written_down_are_not_in_it() {
    let plan = plan(WindowKind::Tumble { size: 10, offset: 0 });
    let rows: Vec<(i64, String)> = (0..200).map(|row| (row % 20, format!("key {}", row / 4))).collect();
    let rows: Vec<(i64, &str)> = rows.iter().map(|(time, key)| (*time, key.as_str())).collect();
    let fold = |operator: &mut WindowOperator, rows: &[(i64, &str)]| {
        let prepared = operator.prepare(&batch(rows)).unwrap();
        operator.fold(&prepared, &vec![i64::MIN; rows.len()], &mut Vec::new()).unwrap();
    };
    let mut undisturbed = WindowOperator::new(plan.clone(), i64::MIN).unwrap();
    fold(&mut undisturbed, &rows);
    let mut expected = cut(&mut undisturbed);
    expected.sort();

    let mut operator = WindowOperator::new(plan, i64::MIN).unwrap();
    fold(&mut operator, &rows);
    operator.cut(false);
    let mut stored = Vec::new();
    let mut turn = 0;
    while operator.is_pending() {
        operator.drain(3, |part, key, value, _| stored.push((part, key.to_vec(), value.to_vec()))).unwrap();
        // Old groups, new groups, and a new part.
        fold(&mut operator, &[(turn % 30, "key 7"), (1, "key 49"), (11, "key 0"), (2, "late comer"), (95, "key 1")]);
        turn += 1;
    }
    assert!(turn > 10, "it took {turn} turns");
    stored.sort();
    assert_eq!(stored, expected);
    let again: Vec<i64> = cut(&mut operator).iter().map(|(part, ..)| part.0).collect();
    assert!(again.contains(&90) && again.contains(&0), "what came meanwhile belongs to the next cut: {again:?}");
}

#[test]
fn panes_survive_storage_and_partials_of_two_threads_merge() {
    let plan = plan(WindowKind::Hop { slide: 10, size: 20, offset: 0 });
    let mut first = WindowOperator::new(plan.clone(), i64::MIN).unwrap();
    let prepared = first.prepare(&batch(&[(5, "a"), (12, "a"), (15, "b")])).unwrap();
    first.fold(&prepared, &[i64::MIN; 3], &mut Vec::new()).unwrap();
    let stored = cut(&mut first);
    assert_eq!(stored.len(), 3);
    assert!(cut(&mut first).is_empty(), "nothing changed since");

    let mut second = WindowOperator::new(plan.clone(), i64::MIN).unwrap();
    for (part, key, value) in &stored {
        second.restore(*part, &panes(key, value), false).unwrap();
    }
    // The same panes once more, as if another thread had held them.
    for (part, key, value) in &stored {
        second.restore(*part, &panes(key, value), true).unwrap();
    }
    let Firing { fired, retired, .. } = second.take_fired(i64::MAX).unwrap();
    let mut made = Rows::new();
    fired.iter().for_each(|window| collect(&plan, window.end, &window.partial, &mut made));
    let row = |start, key: &str, count| ((start, start + 20, key.to_owned()), count);
    assert_eq!(made, Rows::from([row(-10, "a", 2), row(0, "a", 4), row(0, "b", 2), row(10, "a", 2), row(10, "b", 2)]));
    assert_eq!(retired.len(), 2, "both stored slices are to be deleted");
}

#[test]
fn a_part_that_left_memory_is_whole_in_the_store() {
    let plan = plan(WindowKind::Tumble { size: 30, offset: 0 });
    let mut operator = WindowOperator::new(plan.clone(), i64::MIN).unwrap();
    let layout = std::sync::Arc::new(Layout::of(&plan.aggregates).unwrap());
    let mut store: BTreeMap<(crate::window::PartKey, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let fold = |operator: &mut WindowOperator, rows: &[(i64, &str)]| {
        let prepared = operator.prepare(&batch(rows)).unwrap();
        operator.fold(&prepared, &vec![i64::MIN; rows.len()], &mut Vec::new()).unwrap();
    };
    let mut drain = |operator: &mut WindowOperator| {
        while operator.is_pending() {
            let written = operator.drain(2, |part, key, value, how| {
                let place = (part, key.to_vec());
                let before = store.get(&place).cloned();
                let before = before.filter(|_| how == Written::Delta);
                let values = before.iter().map(Vec::as_slice).chain([value]);
                store.insert(place, sum(&layout, values).unwrap());
            });
            written.unwrap();
        }
    };
    fold(&mut operator, &[(1, "a"), (2, "b"), (3, "c"), (31, "a")]);
    operator.cut(false);
    drain(&mut operator);
    fold(&mut operator, &[(4, "a")]);
    operator.cut(true);
    // While it leaves, rows begin the part anew.
    fold(&mut operator, &[(5, "a"), (6, "new"), (32, "b")]);
    drain(&mut operator);
    assert_eq!(operator.spilled().len(), 2);
    assert_eq!(operator.next_end(), Some(30));
    operator.cut(false);
    drain(&mut operator);
    fold(&mut operator, &[(7, "a"), (33, "new")]);
    let firing = operator.take_fired(40).unwrap();
    assert_eq!((firing.fired.len(), firing.stored.as_slice()), (0, [(0, 30)].as_slice()));
    operator.cut(false);
    drain(&mut operator);
    assert_eq!((operator.size(), operator.next_end()), ((0, 0), Some(60)));
    let mut rows = Rows::new();
    for end in [30, 60] {
        let mut slice = Slice::new(&plan).unwrap();
        for ((_, key), value) in store.iter().filter(|((part, _), _)| part.1 == end) {
            slice.restore(&panes(key, value), false).unwrap();
        }
        collect(&plan, end, &slice, &mut rows);
    }
    let row = |start, key: &str, count| ((start, start + 30, key.to_owned()), count);
    let first = [row(0, "a", 4), row(0, "b", 1), row(0, "c", 1), row(0, "new", 1)];
    assert_eq!(rows, first.into_iter().chain([row(30, "a", 1), row(30, "b", 1), row(30, "new", 1)]).collect());
}
