//! Laws of [`crate::Source`] and [`crate::SourceReader`], one function per law; a broken law panics with its name.
//!
//! Each law makes its sources with a closure, which must hand out new sources over the SAME records each time. Sources
//! with dead letters in their records test more. For sources that do not end, "the whole" is what is there when the lag is
//! zero and nothing comes. No records are made here.

use crate::json::text_value;
use crate::{DeadLetter, Offset, RawRecord, Read, ReadBudget, Source, SourceBatch, SourceReader, SplitId, SplitStart};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Makes a new source over the same records.
pub type Make<'a> = &'a mut dyn FnMut() -> Box<dyn Source>;

/// Reads in a row that may bring nothing before a reader counts as stuck.
const PATIENCE: usize = 600;

/// One record as it was read: its offset, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The record's own offset.
    pub offset: i64,
    /// The columns as text (`NULL` for null), or `dead: ` and the reason.
    pub text: String,
    /// The bytes behind it.
    pub raw: RawRecord,
}

/// What a reader brought, by split, in the order of reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Rows and dead letters, merged by offset.
    pub records: BTreeMap<SplitId, Vec<Seen>>,
    /// The offset after the last batch of each split.
    pub next: BTreeMap<SplitId, Offset>,
    /// Splits whose end was told.
    pub ended: BTreeSet<SplitId>,
}

impl Collected {
    /// All records of all splits.
    pub fn count(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    /// Takes in a batch, after checking that it goes on where the batch before it ended.
    pub fn add(&mut self, batch: SourceBatch) {
        let split = batch.split.clone();
        assert!(!self.ended.contains(&split), "{split}: a batch came after the split's end");
        let begin = self.next.get(&split).map_or(i64::MIN, |offset| offset.0);
        let records = seen(&batch);
        for pair in records.windows(2) {
            assert!(
                pair[0].offset < pair[1].offset,
                "{split}: offsets {} and {} in one batch",
                pair[0].offset,
                pair[1].offset
            );
        }
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            assert!(first.offset >= begin, "{split}: offset {} came after a batch that ended at {begin}", first.offset);
            assert!(
                last.offset < batch.next.0,
                "{split}: offset {} is not before `next` = {}",
                last.offset,
                batch.next
            );
        }
        assert!(batch.next.0 > begin, "{split}: `next` stays at {begin}");
        self.next.insert(split.clone(), batch.next);
        self.records.entry(split).or_default().extend(records);
    }
}

/// The records of a batch, in order, after checking that its parts fit together.
pub fn seen(batch: &SourceBatch) -> Vec<Seen> {
    let split = &batch.split;
    assert_eq!(batch.rows.num_rows(), batch.offsets.len(), "{split}: as many offsets as rows");
    let row = |(row, &offset): (usize, &i64)| {
        let text = |column: &arrow::array::ArrayRef| text_value(column.as_ref(), row).unwrap_or("NULL".to_owned());
        let text = batch.rows.columns().iter().map(text).collect::<Vec<_>>().join(" | ");
        Seen { offset, text, raw: batch.raw.raw(row) }
    };
    let dead = |letter: &DeadLetter| {
        assert_eq!(&letter.split, split, "a dead letter names its split");
        assert!(!letter.reason.is_empty(), "{split}: the dead letter at {} has a reason", letter.offset);
        Seen { offset: letter.offset, text: format!("dead: {}", letter.reason), raw: letter.record.clone() }
    };
    let mut records: Vec<Seen> = batch.offsets.iter().enumerate().map(row).chain(batch.dead.iter().map(dead)).collect();
    records.sort_by_key(|record| record.offset);
    records
}

/// Every split with the offset at which a job begins that knows nothing.
pub fn starts(source: &mut dyn Source) -> Vec<SplitStart> {
    let (splits, _) = source.discover().expect("discover works");
    let start = |split: SplitId| {
        let offset = source.start_of(&split, false).expect("every split has a start");
        SplitStart { split, offset }
    };
    splits.into_iter().map(start).collect()
}

/// A budget that waits long enough for a service on the same machine.
pub fn budget(max_records: usize) -> ReadBudget {
    ReadBudget { max_records, max_wait: Duration::from_millis(50) }
}

/// Reads a reader to its end (or, for a source without one, until the lag is zero and nothing comes).
pub fn drain(reader: &mut dyn SourceReader, bounded: bool, max_records: usize) -> Collected {
    let mut collected = Collected::default();
    let mut empty = 0;
    loop {
        match reader.read(budget(max_records)).expect("read works") {
            Read::Batch(batch) => {
                let records = batch.offsets.len() + batch.dead.len();
                assert!(records <= max_records, "{records} records came, {max_records} were asked for");
                empty = 0;
                collected.add(batch);
            }
            Read::SplitEnd(split) => {
                assert!(bounded, "{split}: an unbounded source told the end of a split");
                assert!(collected.ended.insert(split.clone()), "{split}: its end was told twice");
            }
            Read::End => return collected,
            Read::Empty => {
                empty += 1;
                let done = reader.lag().iter().all(|lag| lag.records == Some(0));
                if !bounded && done {
                    return collected;
                }
                assert!(empty < PATIENCE, "nothing came for {empty} reads; lag: {:?}", reader.lag());
            }
        }
    }
}

/// Opens a new source at `from` and reads it to its end.
pub fn read_from(make: Make<'_>, from: Vec<SplitStart>, max_records: usize) -> Collected {
    let mut source = make();
    source.discover().expect("discover works");
    let bounded = source.bounded();
    let mut reader = source.reader(from).expect("a reader opens");
    let collected = drain(reader.as_mut(), bounded, max_records);
    reader.close();
    collected
}

/// Everything, from the start.
pub fn read_all(make: Make<'_>, max_records: usize) -> Collected {
    let from = starts(make().as_mut());
    read_from(make, from, max_records)
}

/// Law: the batches of a split are consecutive and in order, within the budget, and their size changes nothing.
pub fn batches_are_consecutive_at_any_size(make: Make<'_>) {
    let whole = read_all(make, 4_096);
    assert!(whole.count() > 0, "the suite needs records");
    for max_records in [1, 7, 100] {
        assert_eq!(read_all(make, max_records).records, whole.records, "read {max_records} at a time");
    }
}

/// Law: opened in the middle, a split gives exactly the rest, rows and dead letters alike.
pub fn reopening_gives_the_rest(make: Make<'_>) {
    let whole = read_all(make, 4_096);
    for (split, records) in &whole.records {
        let places = [0, 1, records.len() / 3, records.len() / 2, records.len().saturating_sub(1)];
        let dead = records.iter().position(|record| record.text.starts_with("dead: "));
        for place in places.into_iter().chain(dead).filter(|&place| place < records.len()) {
            let offset = Offset(records[place].offset);
            let rest = read_from(make, vec![SplitStart { split: split.clone(), offset }], 13);
            assert_eq!(rest.records.get(split), Some(&records[place..].to_vec()), "{split} opened at {offset}");
            assert_eq!(rest.records.len(), 1, "only {split} was asked for");
        }
        let end = whole.next[split];
        let rest = read_from(make, vec![SplitStart { split: split.clone(), offset: end }], 13);
        assert_eq!(rest.count(), 0, "{split} opened at its end");
    }
}

/// Law: readers of disjoint splits, read in turn, give together what one reader gives.
pub fn disjoint_readers_give_the_whole(make: Make<'_>) {
    let whole = read_all(make, 4_096);
    let mut source = make();
    let from = starts(source.as_mut());
    let bounded = source.bounded();
    let part = |remainder: usize| {
        from.iter()
            .enumerate()
            .filter(move |(index, _)| index % 2 == remainder)
            .map(|(_, start)| start.clone())
            .collect()
    };
    let (even, odd): (Vec<_>, Vec<_>) = (part(0), part(1));
    let mut left = source.reader(even).expect("a reader opens");
    let mut right = source.reader(odd).expect("a second reader opens");
    // A few reads in turn while both are open, then each to its end.
    let mut both = Collected::default();
    for _ in 0..4 {
        for reader in [&mut left, &mut right] {
            match reader.read(budget(5)).expect("read works") {
                Read::Batch(batch) => both.add(batch),
                Read::SplitEnd(split) => assert!(both.ended.insert(split), "an end was told twice"),
                Read::Empty | Read::End => {}
            }
        }
    }
    for reader in [&mut left, &mut right] {
        let rest = drain(reader.as_mut(), bounded, 64);
        for (split, records) in rest.records {
            both.records.entry(split).or_default().extend(records);
        }
        reader.close();
    }
    assert_eq!(both.records, whole.records);
}

/// Law: splits that are assigned later are read as if they had been there from the beginning.
pub fn assigned_splits_are_read(make: Make<'_>) {
    let whole = read_all(make, 4_096);
    let mut source = make();
    let mut from = starts(source.as_mut());
    let bounded = source.bounded();
    let later = from.split_off(from.len() / 2);
    let mut reader = source.reader(from).expect("a reader opens");
    reader.assign(later).expect("assign works");
    assert_eq!(drain(reader.as_mut(), bounded, 50).records, whole.records);
}

/// Law (bounded sources): the end comes after the end of every split was told once, and is told again when asked again.
pub fn the_end_comes_after_every_split(make: Make<'_>) {
    let mut source = make();
    assert!(source.bounded(), "this law is for bounded sources");
    let from = starts(source.as_mut());
    let splits: BTreeSet<SplitId> = from.iter().map(|start| start.split.clone()).collect();
    let mut reader = source.reader(from).expect("a reader opens");
    let collected = drain(reader.as_mut(), true, 1_000);
    assert_eq!(collected.ended, splits, "every split's end is told");
    assert!(matches!(reader.read(budget(10)), Ok(Read::End)), "the end is told again");
    if let Some(expected) = source.expected_records() {
        assert!(expected >= collected.count() as u64, "more records came than were expected");
    }
}

/// Law: the lag never grows while nothing is added, counts what is left, and ends at zero.
pub fn lag_falls_to_zero(make: Make<'_>) {
    let mut source = make();
    let from = starts(source.as_mut());
    let bounded = source.bounded();
    let mut reader = source.reader(from).expect("a reader opens");
    let total = |reader: &dyn SourceReader| reader.lag().iter().map(|lag| lag.records).sum::<Option<u64>>();
    let (mut before, mut empty) = (total(reader.as_ref()), 0);
    loop {
        let read = reader.read(budget(10)).expect("read works");
        let now = total(reader.as_ref());
        if let (Some(before), Some(now)) = (before, now) {
            let records =
                if let Read::Batch(batch) = &read { batch.offsets.len() + batch.dead.len() } else { 0 } as u64;
            assert!(now + records <= before, "lag {before} became {now} by reading {records} records");
        }
        before = now.or(before);
        empty = if matches!(read, Read::Empty) { empty + 1 } else { 0 };
        assert!(empty < PATIENCE, "nothing came for {empty} reads");
        if matches!(read, Read::End) || (!bounded && matches!(read, Read::Empty) && now == Some(0)) {
            break;
        }
    }
    assert_eq!(total(reader.as_ref()), Some(0), "nothing is left at the end");
}

/// Law: dead letters carry split, offset, raw bytes and a reason. The records must hold at least one.
pub fn dead_letters_are_complete(make: Make<'_>) {
    let whole = read_all(make, 100);
    let dead = whole.records.values().flatten().filter(|record| record.text.starts_with("dead: "));
    let mut count = 0;
    for letter in dead {
        assert!(
            letter.raw.value.is_some() || letter.raw.key.is_some(),
            "the dead letter at {} has no bytes",
            letter.offset
        );
        count += 1;
    }
    assert!(count > 0, "the suite needs at least one record that cannot be decoded");
}

/// Law: splits and identity are the same at each discovery, by the same source and by a new one.
pub fn identity_is_stable(make: Make<'_>) {
    let mut source = make();
    let first = source.discover().expect("discover works");
    assert_eq!(source.discover().expect("discover works again"), first);
    assert_eq!(make().discover().expect("discover works in a new source"), first);
    for split in &first.0 {
        let start = source.start_of(split, false).expect("every split has a start");
        assert_eq!(source.start_of(split, false).expect("it can be asked again"), start);
        assert!(source.start_of(split, true).expect("late arrivals begin somewhere") <= start || !source.bounded());
    }
}

/// Law: a reader can be closed twice, also before it has read anything.
pub fn close_is_idempotent(make: Make<'_>) {
    let mut source = make();
    let from = starts(source.as_mut());
    let mut fresh = source.reader(from.clone()).expect("a reader opens");
    fresh.close();
    fresh.close();
    let mut used = source.reader(from).expect("a reader opens after another was closed");
    used.read(budget(1)).expect("read works");
    used.close();
    used.close();
}

/// The laws of every source whose records hold at least one dead letter.
pub fn every_law(make: Make<'_>) {
    batches_are_consecutive_at_any_size(make);
    reopening_gives_the_rest(make);
    disjoint_readers_give_the_whole(make);
    assigned_splits_are_read(make);
    lag_falls_to_zero(make);
    dead_letters_are_complete(make);
    identity_is_stable(make);
    close_is_idempotent(make);
    if make().bounded() {
        the_end_comes_after_every_split(make);
    }
}
