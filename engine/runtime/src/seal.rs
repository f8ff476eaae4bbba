//! From the threads' cuts to the contents of an epoch: merged windows, result rows per sink, panes to store.
//!
//! Pure computation: no store, no sink, no clock. The same cuts give the same epoch.

use crate::exits::{self, Counts, DeadRow, Exits, LedgerRow};
use crate::outbox::{Outbox, Segment};
use crate::progress::Cut;
use crate::stage;
use crate::window::{KeyCodec, Slice, result_rows};
use aqueduct_core::{DeadLetter, Error, ErrorKind, RawRecord, Result, SplitId};
use aqueduct_plan::{JobPlan, QueryInput, SystemTable};
use aqueduct_state::{PaneBatch, SliceKey, query_hash};
use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names and codecs that every seal needs.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) plan: Arc<JobPlan>,
    codecs: Vec<Option<KeyCodec>>,
    query_names: Vec<String>,
    source_names: Vec<String>,
    hashes: Vec<u64>,
}

/// The contents of an epoch.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Result rows, encoded, per sink of the plan.
    pub(crate) segments: Vec<Vec<Segment>>,
    /// Per query, for this epoch.
    pub(crate) counts: Vec<Counts>,
    /// Per query: windows that fired, result rows, and the greatest window end that fired.
    pub(crate) fired: Vec<FiredTotals>,
}

/// Some keys of a window that fires from the state store.
#[derive(Debug)]
pub(crate) struct StoredRows {
    pub(crate) end: i64,
    pub(crate) keys: Slice,
    /// No key of the window is left.
    pub(crate) last: bool,
}

/// What fired in one query.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FiredTotals {
    pub(crate) windows: u64,
    pub(crate) rows: u64,
    pub(crate) last_end: Option<i64>,
}

impl Sealing {
    /// For a plan.
    pub(crate) fn new(plan: Arc<JobPlan>) -> Result<Self> {
        let codec = |query: &aqueduct_plan::Query| query.window.as_ref().map(KeyCodec::of).transpose();
        Ok(Self {
            codecs: plan.queries.iter().map(codec).collect::<Result<Vec<_>>>()?,
            query_names: plan.queries.iter().map(|query| query.name.clone()).collect(),
            source_names: plan.sources.iter().map(|source| source.spec.table.clone()).collect(),
            hashes: plan.queries.iter().map(|query| query_hash(&query.id)).collect(),
            plan,
        })
    }

    /// Puts an epoch together. `cuts` are those of all threads; `stored`, per query, what fires from the state store.
    pub(crate) fn contents(
        &self,
        mut cuts: Vec<Cut>,
        stored: Vec<Vec<StoredRows>>,
        (shard, epoch, sealed_at_ms): (u32, u64, i64),
    ) -> Result<Contents> {
        cuts.sort_by_key(|cut| cut.worker);
        let queries = self.plan.queries.len();
        let mut counts = vec![Counts::default(); queries];
        let mut exits = Exits::default();
        for cut in &mut cuts {
            counts.iter_mut().zip(&cut.counts).for_each(|(into, from)| into.add(from));
            exits.late.append(&mut cut.exits.late);
            exits.dead.append(&mut cut.exits.dead);
        }
        let mut stored = stored.into_iter();
        let mut out: Vec<Outbox> = self.plan.sinks.iter().map(|_| Outbox::default()).collect();
        let mut fired = vec![FiredTotals::default(); queries];
        for query in 0..queries {
            let stored = stored.next().unwrap_or_default();
            if let QueryInput::Source(source) = self.plan.queries[query].input {
                let mut failed = Vec::new();
                // A window's rows go before the next window's are made: memory holds few of them at a time.
                self.query_rows(query, &mut cuts, stored, &mut fired[query], &mut |batch| {
                    failed.extend(self.insert(query, batch, sealed_at_ms, &mut out)?);
                    Ok(())
                })?;
                counts[query].dead += failed.len() as u64;
                counts[query].taken = counts[query].taken.saturating_sub(failed.len() as u64);
                exits.dead.extend(failed.into_iter().map(|letter| DeadRow { source, letter }));
            }
        }
        for table in SystemTable::ALL {
            self.system(table, &mut exits, &counts, (shard, epoch, sealed_at_ms), &mut out)?;
        }
        let segments = out.into_iter().map(Outbox::finish).collect::<Result<Vec<_>>>()?;
        Ok(Contents { segments, counts, fired })
    }

    /// What the cuts themselves change in the state store, taken out of them.
    pub(crate) fn panes(&self, cuts: &mut [Cut]) -> PaneBatch {
        let mut batch = PaneBatch::default();
        for cut in cuts {
            for (query, retired) in cut.retired.iter_mut().enumerate() {
                let slices = retired.drain(..).map(|(slice_start, min_end)| SliceKey {
                    query: self.hashes[query],
                    slice_start,
                    min_end,
                });
                batch.delete_slices.extend(slices);
            }
            batch.puts.append(&mut cut.changes);
        }
        batch
    }

    /// Hands the result rows of a query to `take`: merged windows, earliest first, then those that fire from the state store; or
    /// the rows of a query without windows.
    fn query_rows(
        &self,
        query: usize,
        cuts: &mut [Cut],
        stored: Vec<StoredRows>,
        totals: &mut FiredTotals,
        take: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        for batch in cuts.iter_mut().flat_map(|cut| std::mem::take(&mut cut.rows[query])) {
            totals.rows += batch.num_rows() as u64;
            take(batch)?;
        }
        let mut windows: BTreeMap<i64, Vec<Slice>> = BTreeMap::new();
        for fired in cuts.iter_mut().flat_map(|cut| std::mem::take(&mut cut.fired[query])) {
            windows.entry(fired.end).or_default().push(fired.partial);
        }
        for (end, partials) in windows {
            let mut partials = partials.into_iter();
            let Some(mut merged) = partials.next() else { continue };
            partials.try_for_each(|more| merged.merge(&more))?;
            take(self.window_rows(query, end, &merged, totals)?)?;
            totals.windows += 1;
            totals.last_end = totals.last_end.max(Some(end));
        }
        for rows in stored {
            totals.windows += u64::from(rows.last);
            take(self.window_rows(query, rows.end, &rows.keys, totals)?)?;
        }
        Ok(())
    }

    /// The result rows of some keys of a window, counted.
    fn window_rows(&self, query: usize, end: i64, keys: &Slice, totals: &mut FiredTotals) -> Result<RecordBatch> {
        let plan = &self.plan.queries[query];
        let windowed = plan.window.as_ref().zip(self.codecs[query].as_ref());
        let (window, codec) =
            windowed.ok_or_else(|| Error::bug(format!("query '{}' has no windows, and one fires", plan.name)))?;
        let batch = result_rows(window, codec, end, keys)
            .map_err(|error| error.context(format!("query '{}', window ending at {end} ms", plan.name)))?;
        totals.rows += batch.num_rows() as u64;
        Ok(batch)
    }

    /// Runs the inserts of a query. Rows whose outermost expressions fail come back as dead letters.
    fn insert(
        &self,
        query: usize,
        batch: RecordBatch,
        sealed_at_ms: i64,
        out: &mut [Outbox],
    ) -> Result<Vec<DeadLetter>> {
        let mut failed = Vec::new();
        if batch.num_rows() == 0 {
            return Ok(failed);
        }
        let input = with_sealed_at(&batch, sealed_at_ms)?;
        for insert in self.plan.inserts.iter().filter(|insert| insert.query == query) {
            self.insert_rows(query, &insert.stage, input.clone(), &mut out[insert.sink], &mut failed)?;
        }
        Ok(failed)
    }

    fn insert_rows(
        &self,
        query: usize,
        step: &aqueduct_plan::Stage,
        input: RecordBatch,
        out: &mut Outbox,
        failed: &mut Vec<DeadLetter>,
    ) -> Result<()> {
        let rows = input.num_rows();
        match stage::apply(step, input.clone()) {
            Ok(batch) => out.push(&batch),
            Err(error) if error.kind() == ErrorKind::FixData && rows > 1 => {
                let half = rows / 2;
                self.insert_rows(query, step, input.slice(0, half), out, failed)?;
                self.insert_rows(query, step, input.slice(half, rows - half), out, failed)
            }
            Err(error) if error.kind() == ErrorKind::FixData => {
                let value = aqueduct_core::json::JsonEncoder::new(&input.schema(), Default::default()).map(|encoder| {
                    let mut text = Vec::new();
                    encoder.encode(&input, 0, &mut text);
                    text
                });
                failed.push(DeadLetter {
                    // The row is a result, not a record: it has no offset of its own.
                    split: SplitId::new(&self.query_names[query], -1),
                    offset: -1,
                    record: RawRecord { key: None, value: value.ok(), timestamp_ms: None },
                    reason: format!("query '{}': {}", self.query_names[query], error.message()),
                });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn system(
        &self,
        table: SystemTable,
        exits: &mut Exits,
        counts: &[Counts],
        (shard, epoch, sealed_at_ms): (u32, u64, i64),
        out: &mut [Outbox],
    ) -> Result<()> {
        let readers: Vec<usize> = (0..self.plan.queries.len())
            .filter(|query| self.plan.queries[*query].input == QueryInput::System(table))
            .collect();
        if readers.is_empty() {
            return Ok(());
        }
        let batch = match table {
            SystemTable::Late => {
                exits::late_batch(std::mem::take(&mut exits.late), &self.query_names, &self.source_names)?
            }
            SystemTable::DeadLetters => exits::dead_batch(std::mem::take(&mut exits.dead), &self.source_names)?,
            SystemTable::Ledger => exits::ledger_batch(&self.ledger_rows(counts), shard, epoch, sealed_at_ms)?,
        };
        for query in readers {
            let mut rows = batch.clone();
            for step in &self.plan.queries[query].stages {
                rows = stage::apply(step, rows)?;
            }
            let failed = self.insert(query, rows, sealed_at_ms, out)?;
            if let Some(letter) = failed.first() {
                return Err(Error::data(format!("an INSERT from {} fails: {}", table.name(), letter.reason)));
            }
        }
        Ok(())
    }

    fn ledger_rows(&self, counts: &[Counts]) -> Vec<LedgerRow<'_>> {
        let row = |(query, counts): (usize, &Counts)| match self.plan.queries[query].input {
            QueryInput::Source(source) if counts.read > 0 => {
                Some(LedgerRow { query: &self.query_names[query], source: &self.source_names[source], counts: *counts })
            }
            _ => None,
        };
        counts.iter().enumerate().filter_map(row).collect()
    }
}

/// The batch with the wall time of the seal as its last column.
fn with_sealed_at(batch: &RecordBatch, sealed_at_ms: i64) -> Result<RecordBatch> {
    let data_type = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(aqueduct_plan::SEALED_AT, data_type, false)));
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns.push(Arc::new(TimestampMillisecondArray::from_value(sealed_at_ms, batch.num_rows()).with_timezone("UTC")));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
