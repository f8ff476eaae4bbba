//! Cutting epochs once more where they were cut before: after damage a job goes on from an older checkpoint, and the epochs
//! that sinks may already have must come out the same.
//!
//! While a cut is repeated, no split is read beyond the offset that its record tells. A window's contents depend on the
//! rows before the cut alone, so the same offsets and the same fired windows give the same results.

use aqueduct_checkpoint::Cut;
use aqueduct_core::{
    DeadLetter, Error, Offset, RawRecord, RawRecords, Read, ReadBudget, Result, SourceBatch, SourceReader, SplitId,
    SplitLag, SplitStart,
};
use aqueduct_plan::{JobPlan, QueryInput};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How far each split may be read.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Nothing is held back any more.
    free: AtomicBool,
    /// Per table and split; one that is not named may not be read.
    at: Mutex<BTreeMap<(String, SplitId), i64>>,
}

impl Limits {
    /// Up to the first cut that is to be repeated, if there is one.
    pub(crate) fn up_to(first: Option<&Cut>) -> Option<Arc<Self>> {
        let limits = Self::default();
        limits.set(first?);
        Some(Arc::new(limits))
    }

    /// Up to a cut.
    pub(crate) fn set(&self, cut: &Cut) {
        let limits = cut.splits.iter().map(|state| ((state.source.clone(), state.split.clone()), state.next.0));
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = limits.collect();
    }

    /// From now on everything may be read.
    pub(crate) fn lift(&self) {
        self.free.store(true, Ordering::SeqCst);
    }

    /// `None`: no limit.
    fn of(&self, place: &(String, SplitId)) -> Option<i64> {
        if self.free.load(Ordering::SeqCst) {
            return None;
        }
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        Some(at.get(place).copied().unwrap_or(i64::MIN))
    }
}

/// Per source: windows up to here fire with the cut.
pub(crate) fn fire_up_to(plan: &JobPlan, cut: &Cut) -> Vec<i64> {
    let of_source = |source: usize| {
        let queries = plan.queries.iter().filter(move |query| query.input == QueryInput::Source(source));
        queries.filter_map(|query| cut.queries.get(&query.id)).map(|state| state.fired_up_to.0).max()
    };
    (0..plan.sources.len()).map(|source| of_source(source).unwrap_or(i64::MIN)).collect()
}

/// Fails when an epoch that was cut again has other results than before.
pub(crate) fn compare(plan: &JobPlan, cut: &Cut, rows: &BTreeMap<String, u64>) -> Result<()> {
    for (index, sink) in plan.sinks.iter().enumerate() {
        let table = &sink.spec.table;
        let (now, before) = (rows.get(table).copied().unwrap_or(0), cut.rows.get(table).copied().unwrap_or(0));
        if now == before {
            continue;
        }
        let reads_exits = plan
            .inserts
            .iter()
            .filter(|insert| insert.sink == index)
            .any(|insert| matches!(plan.queries[insert.query].input, QueryInput::System(_)));
        if reads_exits {
            // How many late rows and dead letters are kept is bounded by thread; they are counted all the same.
            tracing::warn!(table, epoch = %cut.epoch, now, before, "an epoch that was cut again keeps another number of exits");
            continue;
        }
        return Err(Error::data(format!(
            "epoch {} was cut again after damage and gives {now} rows for '{table}' instead of {before}: the input no longer holds \
             what it held. Nothing was delivered; restore the damaged files from a copy, or accept that rows come again: \
             `aqueduct rewind`",
            cut.epoch
        )));
    }
    Ok(())
}

/// A reader of one split that stops at the limit.
pub(crate) struct Held {
    inner: Box<dyn SourceReader>,
    place: (String, SplitId),
    next: i64,
    limits: Arc<Limits>,
    /// What was read beyond the limit.
    rest: Option<SourceBatch>,
}

impl Held {
    pub(crate) fn new(inner: Box<dyn SourceReader>, table: &str, start: &SplitStart, limits: Arc<Limits>) -> Self {
        let place = (table.to_owned(), start.split.clone());
        Self { inner, place, next: start.offset.0, limits, rest: None }
    }
}

impl SourceReader for Held {
    fn read(&mut self, budget: ReadBudget) -> Result<Read> {
        let limit = self.limits.of(&self.place);
        if limit.is_some_and(|limit| self.next >= limit) {
            std::thread::sleep(budget.max_wait.min(Duration::from_millis(20)));
            return Ok(Read::Empty);
        }
        let batch = match self.rest.take() {
            Some(batch) => batch,
            None => match self.inner.read(budget)? {
                Read::Batch(batch) => batch,
                other => return Ok(other),
            },
        };
        // Splits that were added later are read without a limit: they are not looked for while one is set.
        let limit = limit.filter(|limit| batch.split == self.place.1 && batch.next.0 > *limit);
        let batch = match limit {
            None => batch,
            Some(limit) => {
                let (head, rest) = split(batch, self.next, limit);
                self.rest = Some(rest);
                head
            }
        };
        if batch.split == self.place.1 {
            self.next = batch.next.0;
        }
        Ok(Read::Batch(batch))
    }

    fn assign(&mut self, splits: Vec<SplitStart>) -> Result<()> {
        self.inner.assign(splits)
    }

    fn lag(&self) -> Vec<SplitLag> {
        let held = self.rest.as_ref().map_or(0, |rest| rest.offsets.len() as u64);
        let mut lags = self.inner.lag();
        for lag in lags.iter_mut().filter(|lag| lag.split == self.place.1) {
            lag.records = lag.records.map(|records| records + held);
        }
        lags
    }

    fn close(&mut self) {
        self.inner.close();
    }
}

/// The records below `limit`, and the others. `from` is where the batch begins.
fn split(batch: SourceBatch, from: i64, limit: i64) -> (SourceBatch, SourceBatch) {
    let rows = batch.offsets.partition_point(|offset| *offset < limit);
    let dead = batch.dead.partition_point(|letter| letter.offset < limit);
    let raw = Arc::new(Mutex::new(batch.raw));
    let mut offsets = batch.offsets;
    let late_offsets = offsets.split_off(rows);
    let mut letters = batch.dead;
    let late_letters: Vec<DeadLetter> = letters.split_off(dead);
    // What is neither a row nor a dead letter was passed over.
    let passed = u64::try_from(limit - from).unwrap_or(0).saturating_sub((rows + dead) as u64).min(batch.skipped);
    let head = SourceBatch {
        split: batch.split.clone(),
        rows: batch.rows.slice(0, rows),
        offsets,
        dead: letters,
        next: Offset(limit),
        skipped: passed,
        raw: Box::new(Shifted { raw: raw.clone(), by: 0 }),
    };
    let rest = SourceBatch {
        split: batch.split,
        rows: batch.rows.slice(rows, batch.rows.num_rows() - rows),
        offsets: late_offsets,
        dead: late_letters,
        next: batch.next,
        skipped: batch.skipped - passed,
        raw: Box::new(Shifted { raw, by: rows }),
    };
    (head, rest)
}

/// The records behind a part of a batch.
#[derive(Debug)]
struct Shifted {
    raw: Arc<Mutex<Box<dyn RawRecords>>>,
    by: usize,
}

impl RawRecords for Shifted {
    fn raw(&self, row: usize) -> RawRecord {
        self.raw.lock().unwrap_or_else(PoisonError::into_inner).raw(row + self.by)
    }
}

#[cfg(test)]
#[path = "repeat_tests.rs"]
mod tests;
