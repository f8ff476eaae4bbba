//! Batches are cut at a limit without losing a row, a dead letter or what was passed over.

use super::*;
use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use std::collections::VecDeque;

#[derive(Debug)]
struct Raw(Vec<i64>);

impl RawRecords for Raw {
    fn raw(&self, row: usize) -> RawRecord {
        RawRecord { key: None, value: Some(self.0[row].to_string().into_bytes()), timestamp_ms: None }
    }
}

fn batch(offsets: &[i64], dead: &[i64], next: i64, skipped: u64) -> SourceBatch {
    let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(offsets.to_vec())) as _)]).unwrap();
    let letter = |offset: &i64| DeadLetter {
        split: SplitId::new("t", 0),
        offset: *offset,
        record: RawRecord::default(),
        reason: "broken".to_owned(),
    };
    SourceBatch {
        split: SplitId::new("t", 0),
        rows,
        offsets: offsets.to_vec(),
        dead: dead.iter().map(letter).collect(),
        next: Offset(next),
        skipped,
        raw: Box::new(Raw(offsets.to_vec())),
    }
}

struct Batches(VecDeque<SourceBatch>);

impl SourceReader for Batches {
    fn read(&mut self, _: ReadBudget) -> Result<Read> {
        Ok(self.0.pop_front().map_or(Read::End, Read::Batch))
    }

    fn assign(&mut self, _: Vec<SplitStart>) -> Result<()> {
        Ok(())
    }

    fn lag(&self) -> Vec<SplitLag> {
        Vec::new()
    }

    fn close(&mut self) {}
}

fn cut(next: i64) -> Cut {
    Cut {
        epoch: aqueduct_core::Epoch(1),
        sealed_at_ms: 0,
        splits: vec![aqueduct_checkpoint::record::SplitState {
            source: "table".to_owned(),
            split: SplitId::new("t", 0),
            next: Offset(next),
            watermark: aqueduct_core::Watermark::Ended,
        }],
        queries: BTreeMap::new(),
        rows: BTreeMap::new(),
        finished: false,
    }
}

fn read(held: &mut Held) -> Option<(Vec<i64>, Vec<i64>, i64, u64)> {
    match held.read(ReadBudget { max_records: 10, max_wait: Duration::ZERO }).unwrap() {
        Read::Batch(batch) => {
            let values = batch.rows.column(0).as_primitive::<Int64Type>().values().to_vec();
            assert_eq!(values, batch.offsets, "rows and offsets run in parallel");
            for (row, offset) in batch.offsets.iter().enumerate() {
                assert_eq!(batch.raw.raw(row).value.unwrap(), offset.to_string().into_bytes());
            }
            let dead = batch.dead.iter().map(|letter| letter.offset).collect();
            Some((batch.offsets, dead, batch.next.0, batch.skipped))
        }
        _ => None,
    }
}

#[test]
fn a_batch_is_cut_at_every_offset() {
    // 10, 12 and 15 are rows, 11 and 14 dead letters, 13 and 16 were passed over.
    for limit in 10..=17 {
        let limits = Arc::new(Limits::default());
        limits.set(&cut(limit));
        let inner = Batches(VecDeque::from([batch(&[10, 12, 15], &[11, 14], 17, 2)]));
        let start = SplitStart { split: SplitId::new("t", 0), offset: Offset(10) };
        let mut held = Held::new(Box::new(inner), "table", &start, limits.clone());
        let (mut rows, mut dead, mut skipped) = (Vec::new(), Vec::new(), 0);
        while let Some((more, letters, next, passed)) = read(&mut held) {
            assert!(next <= limit && more.iter().chain(&letters).all(|offset| *offset < limit), "limit {limit}");
            rows.extend(more);
            dead.extend(letters);
            skipped += passed;
        }
        let below = |offsets: &[i64]| offsets.iter().copied().filter(|offset| *offset < limit).collect::<Vec<_>>();
        assert_eq!((rows.clone(), dead.clone()), (below(&[10, 12, 15]), below(&[11, 14])), "limit {limit}");
        assert_eq!(skipped, below(&[13, 16]).len() as u64, "limit {limit}");
        limits.lift();
        while let Some((more, letters, _, passed)) = read(&mut held) {
            rows.extend(more);
            dead.extend(letters);
            skipped += passed;
        }
        assert_eq!((rows, dead, skipped), (vec![10, 12, 15], vec![11, 14], 2), "limit {limit}");
    }
}

#[test]
fn a_split_that_the_cut_does_not_name_is_not_read() {
    let limits = Arc::new(Limits::default());
    limits.set(&cut(17));
    let start = SplitStart { split: SplitId::new("t", 1), offset: Offset(0) };
    let inner = Batches(VecDeque::from([batch(&[0], &[], 1, 0)]));
    let mut held = Held::new(Box::new(inner), "table", &start, limits.clone());
    assert_eq!(read(&mut held), None);
    limits.lift();
    assert!(read(&mut held).is_some());
}
