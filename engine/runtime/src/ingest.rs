//! One batch of one split, from decoded rows to slices, result rows, late rows and dead letters.
//!
//! A row whose expressions cannot be computed must not stop the job: everything is evaluated before anything is changed,
//! and a batch that fails is halved until the failing row stands alone; that row becomes a dead letter. Order within the
//! split is kept, because the late rule looks at the rows before.

use crate::exits::{DeadRow, LateRow};
use crate::stage;
use crate::window::{LateMark, Prepared};
use crate::worker::Worker;
use aqueduct_core::{DeadLetter, Error, ErrorKind, Result, SourceBatch};
use aqueduct_plan::{EventTimeSpec, QueryInput};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use std::sync::atomic::Ordering;

/// A batch with everything computed and nothing changed yet.
struct Computed {
    /// For each computed row, its row in the source batch.
    origin: Vec<u32>,
    /// Rows of the source batch without event time.
    timeless: Vec<u32>,
    /// For each computed row, the greatest watermark value before it.
    before: Vec<i64>,
    /// The split's watermark after the batch.
    reached: i64,
    queries: Vec<ComputedQuery>,
}

struct ComputedQuery {
    query: usize,
    /// For each kept row, its index in `origin`; `None` when all rows were kept.
    kept: Option<Vec<u32>>,
    filtered: u64,
    work: Work,
}

enum Work {
    Window(Prepared),
    Rows(RecordBatch),
}

impl Worker {
    /// Takes a batch that a reader brought.
    pub(crate) fn take_batch(&mut self, source: usize, mut batch: SourceBatch) -> Result<()> {
        let at = self.splits.iter().position(|s| s.progress.source == source && s.progress.split == batch.split);
        let at = at.ok_or_else(|| {
            let table = &self.plan.sources[source].spec.table;
            Error::bug(format!("table '{table}' brought rows of {}, which this thread does not read", batch.split))
        })?;
        let dead = std::mem::take(&mut batch.dead);
        let records = batch.rows.num_rows() as u64 + dead.len() as u64 + batch.skipped;
        self.source_counts[source].records += records;
        self.source_counts[source].skipped += batch.skipped;
        self.count(source, |counts| {
            counts.read += records;
            counts.filtered += batch.skipped;
        });
        for letter in dead {
            self.dead_letter(source, letter);
        }
        self.ingest(source, at, &batch, 0, batch.rows.num_rows())?;
        let now = self.clock.steady();
        let state = &mut self.splits[at];
        state.progress.next = batch.next;
        state.progress.idle = false;
        state.last_data = now;
        self.publish();
        Ok(())
    }

    fn count(&mut self, source: usize, change: impl Fn(&mut crate::exits::Counts)) {
        for (index, query) in self.plan.queries.iter().enumerate() {
            if query.input == QueryInput::Source(source) {
                change(&mut self.counts[index]);
                change(&mut self.totals[index]);
            }
        }
    }

    fn dead_letter(&mut self, source: usize, letter: DeadLetter) {
        self.source_counts[source].dead += 1;
        self.count(source, |counts| counts.dead += 1);
        self.exits.dead(DeadRow { source, letter }, self.max_kept_exits);
    }

    fn reject(&mut self, source: usize, batch: &SourceBatch, row: usize, reason: String) {
        let letter =
            DeadLetter { split: batch.split.clone(), offset: batch.offsets[row], record: batch.raw.raw(row), reason };
        self.dead_letter(source, letter);
    }

    fn ingest(&mut self, source: usize, split: usize, batch: &SourceBatch, from: usize, rows: usize) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        match self.compute(source, split, batch, from, rows) {
            Ok(computed) => self.commit(source, split, batch, computed),
            Err(error) if error.kind() == ErrorKind::FixData && rows > 1 => {
                self.ingest(source, split, batch, from, rows / 2)?;
                self.ingest(source, split, batch, from + rows / 2, rows - rows / 2)
            }
            Err(error) if error.kind() == ErrorKind::FixData => {
                self.reject(source, batch, from, error.message().to_owned());
                Ok(())
            }
            Err(error) => Err(error.context(format!("{} offset {}", batch.split, batch.offsets[from]))),
        }
    }

    /// Evaluates everything for some rows of the batch, changing nothing.
    fn compute(&self, source: usize, split: usize, batch: &SourceBatch, from: usize, rows: usize) -> Result<Computed> {
        let table = &self.plan.sources[source];
        let whole = from == 0 && rows == batch.rows.num_rows();
        let input = if whole { batch.rows.clone() } else { batch.rows.slice(from, rows) };
        let mut full = stage::apply(&table.computed, input)?;
        let mut origin: Vec<u32> = (from as u32..(from + rows) as u32).collect();
        let mut timeless = Vec::new();
        let mut reached = self.splits[split].progress.reached;
        let mut before = vec![i64::MIN; rows];
        if let Some(spec) = &table.event_time {
            if full.column(spec.column).null_count() > 0 {
                let timed = arrow::compute::is_not_null(full.column(spec.column))?;
                timeless = origin.iter().zip(timed.values()).filter(|(_, timed)| !timed).map(|(row, _)| *row).collect();
                origin = select(&origin, &timed);
                full = arrow::compute::filter_record_batch(&full, &timed)?;
            }
            before.truncate(origin.len());
            reached = self.watermarks(source, spec, &full, reached, &mut before)?;
        }
        let mut queries = Vec::new();
        for (index, query) in self.plan.queries.iter().enumerate() {
            if query.input == QueryInput::Source(source) {
                queries.push(self.compute_query(index, full.clone())?);
            }
        }
        Ok(Computed { origin, timeless, before, reached, queries })
    }

    /// Fills `before` and returns the greatest watermark value including this batch.
    fn watermarks(
        &self,
        source: usize,
        spec: &EventTimeSpec,
        full: &RecordBatch,
        reached: i64,
        before: &mut [i64],
    ) -> Result<i64> {
        let marks: ArrayRef = stage::evaluate(spec.watermark.as_ref(), full)?;
        let marks = marks.as_primitive_opt::<TimestampMillisecondType>();
        let marks = marks.ok_or_else(|| Error::bug("the watermark expression does not yield TIMESTAMP(3)"))?;
        let mut running = reached;
        let (whole, values) = (marks.null_count() == 0, marks.values());
        for (row, (slot, value)) in before.iter_mut().zip(values).enumerate() {
            *slot = running;
            if whole || marks.is_valid(row) {
                running = running.max(*value);
            }
        }
        if spec.late_by_operator {
            let shard = self.job.watermarks[source].load(Ordering::Relaxed);
            before.iter_mut().for_each(|slot| *slot = shard);
        }
        Ok(running)
    }

    fn compute_query(&self, index: usize, full: RecordBatch) -> Result<ComputedQuery> {
        let query = &self.plan.queries[index];
        let (mut rows, mut kept, mut filtered) = (full, None, 0_u64);
        for step in &query.stages {
            if let Some(mask) = stage::kept(step, &rows)? {
                let dropped = rows.num_rows() - mask.true_count();
                if dropped > 0 {
                    filtered += dropped as u64;
                    let all: Vec<u32> = kept.take().unwrap_or_else(|| (0..rows.num_rows() as u32).collect());
                    kept = Some(select(&all, &mask));
                    rows = arrow::compute::filter_record_batch(&rows, &mask)?;
                }
            }
            rows = stage::project(step, rows)?;
        }
        let work = match &self.operators[index] {
            Some(operator) => Work::Window(operator.prepare(&rows)?),
            None => Work::Rows(rows),
        };
        Ok(ComputedQuery { query: index, kept, filtered, work })
    }

    /// Changes state by a computed batch.
    fn commit(&mut self, source: usize, split: usize, batch: &SourceBatch, computed: Computed) -> Result<()> {
        for row in computed.timeless {
            let column = self.time_column(source);
            self.reject(source, batch, row as usize, format!("{column}: the event time is missing"));
        }
        for part in computed.queries {
            let (taken, late) = match part.work {
                Work::Rows(rows) => {
                    let taken = rows.num_rows() as u64;
                    if taken > 0 {
                        self.rows_bytes += rows.get_array_memory_size() as u64;
                        self.rows[part.query].push(rows);
                    }
                    (taken, Vec::new())
                }
                Work::Window(prepared) => {
                    let narrowed: Vec<i64>;
                    let before = match &part.kept {
                        Some(kept) => {
                            narrowed = kept.iter().map(|row| computed.before[*row as usize]).collect();
                            &narrowed
                        }
                        None => &computed.before,
                    };
                    let mut late = Vec::new();
                    let operator = self.operators[part.query].as_mut().expect("a window was prepared by this operator");
                    (operator.fold(&prepared, before, &mut late)?, late)
                }
            };
            for counts in [&mut self.counts[part.query], &mut self.totals[part.query]] {
                counts.taken += taken;
                counts.filtered += part.filtered;
                counts.late += late.len() as u64;
            }
            for mark in late {
                let row = part.kept.as_ref().map_or(mark.row, |kept| kept[mark.row] as usize);
                self.keep_late(source, part.query, batch, computed.origin[row] as usize, &mark)?;
            }
        }
        self.splits[split].progress.reached = computed.reached;
        Ok(())
    }

    fn time_column(&self, source: usize) -> String {
        let table = &self.plan.sources[source];
        let column = table.event_time.as_ref().map(|spec| table.computed.schema.field(spec.column).name().clone());
        column.unwrap_or_default()
    }

    fn keep_late(
        &mut self,
        source: usize,
        query: usize,
        batch: &SourceBatch,
        row: usize,
        mark: &LateMark,
    ) -> Result<()> {
        let mut json = Vec::new();
        self.encoders[source].encode(&batch.rows, row, &mut json);
        let late = LateRow {
            query,
            source,
            topic: batch.split.topic.clone(),
            partition: batch.split.partition,
            offset: batch.offsets[row],
            event_time: mark.event_time,
            window_start: mark.window_start,
            window_end: mark.window_end,
            row: String::from_utf8_lossy(&json).into_owned(),
        };
        self.exits.late(late, self.max_kept_exits);
        Ok(())
    }
}

fn select(rows: &[u32], mask: &BooleanArray) -> Vec<u32> {
    rows.iter().enumerate().filter(|(index, _)| mask.value(*index)).map(|(_, row)| *row).collect()
}
