//! Folding batches into slices, the late rule, and handing over what fires.
//!
//! The late rule makes results a function of the splits' logs: a row is late for a window iff the window's last
//! millisecond is not after the greatest watermark value over the rows BEFORE it in its own split, or if the window has
//! already fired. Windows share slices, so a row that is late for some of its windows goes to a slice part of its own,
//! named by the first window end that may still see it: (slice start, first open end).

use super::argument::Argument;
use super::keys::{KeyCodec, KeyColumns};
use super::layout::Layout;
use super::panes::{Packed, Panes};
use super::slice::Slice;
use super::sliding::Sliding;
use super::spill::{Spilled, Written};
use aqueduct_core::{Error, Result};
use aqueduct_plan::{WindowAggregate, WindowKind};
use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use datafusion::physical_expr::PhysicalExpr;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Slice start and the first window end that may read this part of the slice.
pub(crate) type PartKey = (i64, i64);

/// A batch with all expressions of the operator evaluated: folding it cannot fail on a row any more.
#[derive(Debug)]
pub(crate) struct Prepared {
    times: TimestampMillisecondArray,
    keys: KeyColumns,
    arguments: Vec<Argument>,
}

/// A row that came after its last window had closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateMark {
    /// Row of the folded batch.
    pub(crate) row: usize,
    /// The window that it came latest for.
    pub(crate) window_start: i64,
    /// Its end.
    pub(crate) window_end: i64,
    /// The row's event time.
    pub(crate) event_time: i64,
}

/// This thread's part of a window that fires.
#[derive(Debug)]
pub(crate) struct Fired {
    /// End of the window.
    pub(crate) end: i64,
    /// Keys and partial accumulators.
    pub(crate) partial: Slice,
}

/// What fires with a cut.
#[derive(Debug, Default)]
pub(crate) struct Firing {
    /// Windows from memory, earliest first.
    pub(crate) fired: Vec<Fired>,
    /// Windows whose panes are in the state store, or on their way to it: their only part, which opens for rows where they end.
    pub(crate) stored: Vec<PartKey>,
    /// Parts that nothing needs any more and that the state store holds.
    pub(crate) retired: Vec<PartKey>,
}

/// The window aggregation of one query on one thread.
#[derive(Debug)]
pub(crate) struct WindowOperator {
    plan: WindowAggregate,
    codec: KeyCodec,
    layout: Arc<Layout>,
    parts: BTreeMap<PartKey, Slice>,
    /// Parts with panes of the last cut that are not written down yet.
    pending: Vec<PartKey>,
    /// Parts that are in the state store, for want of room.
    spilled: Spilled,
    /// What overlapping windows share; unused where every slice belongs to one window.
    sliding: Sliding,
    /// Windows whose last millisecond is at most this have fired.
    fired_up_to: i64,
    groups: Vec<u32>,
    scratch: Packed,
    /// Row lists per slice part of the batch at hand; kept to reuse the buffers.
    assigned: Vec<(PartKey, Vec<u32>)>,
}

fn evaluate(expr: &dyn PhysicalExpr, batch: &RecordBatch) -> Result<ArrayRef> {
    crate::stage::evaluate(expr, batch)
}

impl WindowOperator {
    /// An operator without state. `fired_up_to` comes from the checkpoint.
    pub(crate) fn new(plan: WindowAggregate, fired_up_to: i64) -> Result<Self> {
        let codec = KeyCodec::of(&plan)?;
        // Fails here, at the start, when an aggregate is not supported.
        let layout = Arc::new(Layout::of(&plan.aggregates)?);
        Ok(Self {
            plan,
            codec,
            layout,
            parts: BTreeMap::new(),
            pending: Vec::new(),
            spilled: Spilled::default(),
            sliding: Sliding::default(),
            fired_up_to,
            groups: Vec::new(),
            scratch: Packed::default(),
            assigned: Vec::new(),
        })
    }

    /// Evaluates keys, arguments and filters.
    pub(crate) fn prepare(&self, batch: &RecordBatch) -> Result<Prepared> {
        let times = batch.column(self.plan.time_column).as_primitive::<TimestampMillisecondType>().clone();
        let keys = self.plan.keys.iter().map(|key| evaluate(key.as_ref(), batch)).collect::<Result<Vec<_>>>()?;
        let keys = self.codec.columns(&keys)?;
        let arguments = self.layout.arguments(batch)?;
        Ok(Prepared { times, keys, arguments })
    }

    /// Folds a batch. `before[i]` is the greatest watermark value over the rows before row `i` in its own split (or what the
    /// late scope puts in its place). Returns how many rows entered at least one window; the others are added to `late`.
    pub(crate) fn fold(&mut self, batch: &Prepared, before: &[i64], late: &mut Vec<LateMark>) -> Result<u64> {
        let kind = self.plan.kind;
        let step = kind.slice();
        let mut assigned = std::mem::take(&mut self.assigned);
        assigned.iter_mut().for_each(|(_, rows)| rows.clear());
        let (mut used, mut last, mut taken) = (0_usize, usize::MAX, 0_u64);
        let mut slice = (i64::MAX, 0, 0);
        for (row, time) in batch.times.values().iter().enumerate() {
            // Closed are the windows with `end - 1 <= closed`.
            let closed = before[row].max(self.fired_up_to);
            // Neighbours mostly share a slice, and finding it costs a division.
            if *time < slice.0 || *time >= slice.0.saturating_add(step) {
                let start = kind.slice_start(*time);
                slice = (start, kind.first_end(start), kind.last_end(start));
            }
            let (start, first_end, last_end) = slice;
            if last_end.saturating_sub(1) <= closed {
                let window_start = kind.start_of(last_end);
                late.push(LateMark { row, window_start, window_end: last_end, event_time: *time });
                continue;
            }
            let open_end = if first_end.saturating_sub(1) > closed {
                first_end
            } else {
                first_end + ((closed + 1 - first_end) / step + 1) * step
            };
            taken += 1;
            let key = (start, open_end);
            if last >= used || assigned[last].0 != key {
                last = match assigned[..used].iter().position(|(known, _)| *known == key) {
                    Some(index) => index,
                    None => {
                        if used == assigned.len() {
                            assigned.push((key, Vec::new()));
                        }
                        assigned[used].0 = key;
                        used += 1;
                        used - 1
                    }
                };
            }
            assigned[last].1.push(row as u32);
        }
        for (key, rows) in &assigned[..used] {
            let slice = part(&mut self.parts, &mut self.sliding, &self.plan, *key)?;
            slice.delta |= slice.len() == 0 && self.spilled.contains(*key);
            slice.fold(&batch.keys, &batch.arguments, rows, &mut self.groups, &mut self.scratch)?;
        }
        self.assigned = assigned;
        Ok(taken)
    }

    /// The earliest end of a window that has rows and has not fired.
    pub(crate) fn next_end(&self) -> Option<i64> {
        let step = self.plan.kind.slice();
        // Parts are ordered by slice start; a later slice can only end later than the first one's first open end, unless
        // that part is read by windows that all fired already, which `take_fired` has removed.
        let open = |parts: &PartKey| parts.1.max(self.first_open(parts.1, step));
        self.parts.keys().chain(self.spilled.parts()).map(open).min()
    }

    fn first_open(&self, open_end: i64, step: i64) -> i64 {
        if open_end.saturating_sub(1) > self.fired_up_to {
            open_end
        } else {
            open_end + ((self.fired_up_to + 1 - open_end) / step + 1) * step
        }
    }

    /// Takes out every window whose last millisecond is at most `up_to`, and the slice parts that nothing needs any more. From now
    /// on rows for these windows are late.
    pub(crate) fn take_fired(&mut self, up_to: i64) -> Result<Firing> {
        let kind = self.plan.kind;
        let step = kind.slice();
        let mut firing = Firing::default();
        if self.loading_from().is_some_and(|end| end.saturating_sub(1) <= up_to) {
            return Err(Error::bug("a window was to fire whose state is still being loaded"));
        }
        let over = |(_, open_end): &PartKey| open_end.saturating_sub(1) <= up_to;
        // A part in the store belongs to one window alone.
        for part in self.spilled.parts().iter().copied().filter(over).collect::<Vec<_>>() {
            if let Some(slice) = self.parts.remove(&part) {
                self.spilled.leave(part, slice);
            }
            self.spilled.forget(part);
            firing.stored.push(part);
        }
        let mut ends = BTreeSet::new();
        for (start, open_end) in self.parts.keys() {
            let mut end = self.first_open(*open_end, step);
            let last = kind.last_end(*start);
            while end <= last && end.saturating_sub(1) <= up_to {
                ends.insert(end);
                end += step;
            }
        }
        for end in ends {
            firing.fired.push(Fired { end, partial: self.gather(end, &mut firing.retired)? });
        }
        self.fired_up_to = self.fired_up_to.max(up_to);
        Ok(firing)
    }

    /// Everything that the window ending at `end` sees. Parts that no later window sees go with it.
    fn gather(&mut self, end: i64, retired: &mut Vec<PartKey>) -> Result<Slice> {
        let kind = self.plan.kind;
        let shared = if overlaps(kind) { Some(self.sliding.window(end, &self.parts, &self.plan)?) } else { None };
        let gone: Vec<PartKey> =
            self.parts.keys().take_while(|(start, _)| kind.last_end(*start) <= end).copied().collect();
        let mut whole: Option<Slice> = None;
        for key in gone {
            let Some(slice) = self.parts.remove(&key) else { continue };
            if slice.stored {
                retired.push(key);
            }
            match &mut whole {
                _ if shared.is_some() || key.0 < kind.start_of(end) => {}
                None => whole = Some(slice),
                Some(into) => into.merge(&slice)?,
            }
        }
        match shared.or(whole) {
            Some(whole) => Ok(whole),
            None => Slice::new(&self.plan),
        }
    }

    /// Adds stored panes of a slice part, which is made when it is missing.
    pub(crate) fn restore(&mut self, at: PartKey, panes: &Panes, changed: bool) -> Result<()> {
        part(&mut self.parts, &mut self.sliding, &self.plan, at)?.restore(panes, changed)
    }

    /// Parts that other threads, or an earlier process, have in the state store.
    pub(crate) fn learn_spilled(&mut self, parts: &BTreeSet<PartKey>) {
        self.spilled.learn(parts);
    }

    /// Parts that are in the state store.
    pub(crate) fn spilled(&self) -> &BTreeSet<PartKey> {
        self.spilled.parts()
    }

    /// Parts that are being loaded: rows of theirs are folded into deltas until [`WindowOperator::take_loaded`].
    pub(crate) fn load(&mut self, parts: BTreeSet<PartKey>) {
        self.spilled.load(parts);
    }

    /// The end of the first window that needs a part that is being loaded.
    pub(crate) fn loading_from(&self) -> Option<i64> {
        let step = self.plan.kind.slice();
        self.spilled.loading().iter().map(|(_, open_end)| self.first_open(*open_end, step)).min()
    }

    /// Takes over everything that was loaded, right behind a cut: the deltas of that cut are added while they are written down.
    pub(crate) fn take_loaded(&mut self, mut loaded: BTreeMap<PartKey, Slice>) -> Result<()> {
        for part in self.spilled.loaded() {
            if let Entry::Vacant(missing) = loaded.entry(part) {
                missing.insert(Slice::new(&self.plan)?.stored_total());
            }
        }
        for (part, mut slice) in loaded {
            // What moved here, or is a delta still, is stored too.
            slice.stored = true;
            if overlaps(self.plan.kind) {
                self.sliding.note(part);
            }
            if self.parts.insert(part, slice).is_some() {
                return Err(Error::bug(format!("the slice at {} ms was loaded and is there", part.0)));
            }
        }
        Ok(())
    }

    /// Deltas of parts that are being loaded, which have been written down.
    pub(crate) fn take_written(&mut self) -> Vec<(PartKey, Slice)> {
        self.spilled.take_written()
    }

    /// Cuts: every pane that changed until now is to be written down by [`WindowOperator::drain`], as it is now. To make `room`, all
    /// parts that can leave memory do so.
    pub(crate) fn cut(&mut self, room: bool) {
        let leaves = |part: &PartKey| (room && !overlaps(self.plan.kind)) || self.spilled.contains(*part);
        for part in self.parts.keys().copied().filter(leaves).collect::<Vec<_>>() {
            if let Some(slice) = self.parts.remove(&part) {
                self.spilled.leave(part, slice);
            }
        }
        self.pending = self.parts.iter_mut().filter_map(|(part, slice)| slice.cut().then_some(*part)).collect();
    }

    /// Hands up to `limit` panes of the cut to `write` (part, key, state); returns how many. Between two cuts everything of the
    /// first one is written down: until then no part may go.
    pub(crate) fn drain(
        &mut self,
        limit: usize,
        mut write: impl FnMut(PartKey, &[u8], &[u8], Written),
    ) -> Result<usize> {
        let mut written = self.spilled.drain(limit, &mut self.parts, &mut write)?;
        while written < limit
            && let Some(part) = self.pending.last().copied()
        {
            let Some(slice) = self.parts.get_mut(&part) else { break };
            written += slice.drain(limit - written, |key, value| write(part, key, value, Written::Whole));
            if !slice.is_pending() {
                self.pending.pop();
            }
        }
        Ok(written)
    }

    /// Whether panes of the cut are still to be written down.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty() || self.spilled.is_pending()
    }

    /// Bytes that could leave memory, or are about to.
    pub(crate) fn movable_bytes(&self) -> u64 {
        if overlaps(self.plan.kind) {
            return 0;
        }
        (self.spilled.bytes() + self.parts.values().map(Slice::bytes).sum::<usize>()) as u64
    }

    /// Panes in memory, and in how many parts of slices they lie.
    pub(crate) fn live(&self) -> (u64, u64) {
        (self.parts.values().map(|slice| slice.len() as u64).sum(), self.parts.len() as u64)
    }

    /// Live panes and the bytes that they take.
    pub(crate) fn size(&self) -> (u64, u64) {
        let slices: usize = self.parts.values().map(Slice::bytes).sum();
        (self.live().0, (self.sliding.bytes() + self.spilled.bytes() + slices) as u64)
    }
}

/// True when a slice belongs to more than one window: then it cannot leave memory.
pub(crate) fn overlaps(kind: WindowKind) -> bool {
    !matches!(kind, WindowKind::Tumble { .. })
}

/// A slice part, made when it is missing.
fn part<'a>(
    parts: &'a mut BTreeMap<PartKey, Slice>,
    sliding: &mut Sliding,
    plan: &WindowAggregate,
    key: PartKey,
) -> Result<&'a mut Slice> {
    match parts.entry(key) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => {
            if overlaps(plan.kind) {
                sliding.note(key);
            }
            Ok(entry.insert(Slice::new(plan)?))
        }
    }
}

/// The result rows of a window, from all threads' partials merged: the schema of [`WindowAggregate::schema`].
pub(crate) fn result_rows(plan: &WindowAggregate, codec: &KeyCodec, end: i64, merged: &Slice) -> Result<RecordBatch> {
    let (keys, results) = merged.finish(codec, &plan.aggregates)?;
    let rows = merged.len();
    let start = plan.kind.start_of(end);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(3 + keys.len() + results.len());
    for (field, value) in plan.schema.fields().iter().zip([start, end, end - 1]) {
        // The same number in every zone; a cast would ask a calendar for each row.
        let DataType::Timestamp(TimeUnit::Millisecond, zone) = field.data_type() else {
            return Err(Error::bug(format!("column '{}' of a window is {}", field.name(), field.data_type())));
        };
        let column = TimestampMillisecondArray::from_value(value, rows).with_timezone_opt(zone.clone());
        columns.push(Arc::new(column));
    }
    columns.extend(keys);
    columns.extend(results);
    Ok(RecordBatch::try_new(plan.schema.clone(), columns)?)
}
