//! What every sink must hold in the end: a fold over the input, from the definitions of the job, sharing no code with the
//! engine.
//!
//! A row is late for a window iff the window's last millisecond is not after the greatest watermark of the rows before it
//! in its own partition. The watermark is the row's time minus two seconds.

use super::input::{DELAY_MS, Input, SLIDE_MS, Truth, WINDOW_MS};
use std::collections::{BTreeMap, BTreeSet};

/// Rows per window and key: count, sum, newest event time.
pub type Totals = BTreeMap<(i64, String), (i64, i64, i64)>;

/// Counts of a query over the whole input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records.
    pub read: i64,
    /// Rows that some window took, or that were passed on.
    pub taken: i64,
    /// Rows that a filter dropped, and tombstones.
    pub filtered: i64,
    /// Rows for which every window had closed.
    pub late: i64,
    /// Records that cannot be rows.
    pub dead: i64,
}

/// The right answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Tumbling windows.
    pub totals: Totals,
    /// Overlapping windows.
    pub hops: Totals,
    /// Rows that pass the filter: partition, offset are not in them, so equal rows are counted.
    pub big: BTreeMap<(String, i64, i64), u64>,
    /// Query (`totals` or `hops`), partition and offset.
    pub late: BTreeSet<(String, i64, i64)>,
    /// Partition and offset.
    pub dead: BTreeSet<(i64, i64)>,
    /// Per query.
    pub ledger: BTreeMap<String, Counts>,
}

/// Rows with at least this value pass the filter.
pub const BIG: i64 = 500;

/// Folds the input.
pub fn expected(input: &Input) -> Expected {
    let mut all = Expected::default();
    let mut counts = [Counts::default(); 3];
    for (number, partition) in input.partitions.iter().enumerate() {
        let mut reached = i64::MIN;
        for (offset, record) in partition.records.iter().enumerate() {
            let place = (number as i64, offset as i64);
            counts.iter_mut().for_each(|counts| counts.read += 1);
            match &record.truth {
                Truth::Dead => {
                    counts.iter_mut().for_each(|counts| counts.dead += 1);
                    all.dead.insert(place);
                }
                Truth::Skipped => counts.iter_mut().for_each(|counts| counts.filtered += 1),
                Truth::Row { at_ms, key, value } => {
                    let row = (*at_ms, key.as_str(), *value);
                    let tumble = windows(*at_ms, WINDOW_MS, reached);
                    let hop = windows(*at_ms, SLIDE_MS, reached);
                    for (query, name, open) in [(0, "totals", tumble), (1, "hops", hop)] {
                        if open.is_empty() {
                            counts[query].late += 1;
                            all.late.insert((name.to_owned(), place.0, place.1));
                        } else {
                            counts[query].taken += 1;
                        }
                        let into = if query == 0 { &mut all.totals } else { &mut all.hops };
                        open.into_iter().for_each(|start| add(into, start, row));
                    }
                    if *value >= BIG {
                        counts[2].taken += 1;
                        *all.big.entry((key.clone(), *value, *at_ms)).or_insert(0) += 1;
                    } else {
                        counts[2].filtered += 1;
                    }
                    reached = reached.max(at_ms - DELAY_MS);
                }
            }
        }
    }
    for (name, counts) in ["totals", "hops", "big"].into_iter().zip(counts) {
        all.ledger.insert(name.to_owned(), counts);
    }
    all
}

/// The windows of ten seconds that hold `at_ms`, one every `slide` ms, and have not closed.
fn windows(at_ms: i64, slide: i64, reached: i64) -> Vec<i64> {
    let newest = at_ms.div_euclid(slide) * slide;
    let starts = (0..WINDOW_MS / slide).map(|back| newest - back * slide);
    starts.filter(|start| start + WINDOW_MS > at_ms && start + WINDOW_MS - 1 > reached).collect()
}

fn add(into: &mut Totals, start: i64, (at_ms, key, value): (i64, &str, i64)) {
    let totals = into.entry((start, key.to_owned())).or_insert((0, 0, i64::MIN));
    totals.0 += 1;
    totals.1 += value;
    totals.2 = totals.2.max(at_ms);
}

#[cfg(test)]
mod tests {
    use super::super::input::{Partition, Record};
    use super::*;

    fn row(at_ms: i64, value: i64) -> Record {
        Record { bytes: None, truth: Truth::Row { at_ms, key: "a".to_owned(), value }, from_ms: 0 }
    }

    #[test]
    fn a_row_is_late_window_by_window() {
        let records =
            vec![row(1_000, 1), row(12_000, 600), row(9_000, 7), row(17_500, 1), row(4_000, 9), row(8_000, 3)];
        let partitions = vec![Partition { appears_ms: 0, records }];
        let found = expected(&Input { partitions, complete_ms: 0 });
        // 12,000 brings the watermark to 10,000: the window [0, 10,000) has closed. 17,500 brings it to 15,500.
        let count = |totals: &Totals, start| totals.get(&(start, "a".to_owned())).map(|totals| totals.0);
        assert_eq!(count(&found.totals, 0), Some(1));
        assert_eq!(count(&found.totals, 10_000), Some(2));
        // 9,000 still finds [5,000, 15,000) open; 4,000 and 8,000 find nothing.
        assert_eq!(count(&found.hops, 5_000), Some(2));
        assert_eq!(found.ledger["totals"], Counts { read: 6, taken: 3, late: 3, ..Counts::default() });
        assert_eq!(found.ledger["hops"], Counts { read: 6, taken: 4, late: 2, ..Counts::default() });
        assert_eq!(found.ledger["big"], Counts { read: 6, taken: 1, filtered: 5, ..Counts::default() });
    }
}
