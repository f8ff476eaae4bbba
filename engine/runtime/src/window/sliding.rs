//! Merging the slices of overlapping windows a few times each, instead of once per window that sees them.
//!
//! Two stacks, as for a queue: slices that came lately are merged into one running total; when the older run is used up, the
//! running slices become suffix totals (from a slice to the end of the run), once. Only every n-th slice gets a suffix total,
//! with n about the root of the slices in a window: a window is then a few slices, one suffix total and the running total,
//! and the totals do not take many times the memory of the slices. Everything here is derived from the slices and is never
//! stored; which rows are in a slice is not decided here.

use super::operator::PartKey;
use super::slice::Slice;
use aqueduct_core::Result;
use aqueduct_plan::{WindowAggregate, WindowKind};
use std::collections::{BTreeMap, BTreeSet};

/// The merged slices of the windows of one operator.
#[derive(Debug, Default)]
pub(super) struct Sliding {
    /// Slice start and everything from it to the end of the run; the oldest comes last, the newest slice is always among them.
    front: Vec<(i64, Slice)>,
    /// Everything newer than the run.
    back: Option<Slice>,
    /// Parts that no window has seen yet, by the first window end that sees them.
    unseen: BTreeSet<(i64, i64)>,
    /// Slices up to here (by start, included) belong to the run.
    front_up_to: i64,
}

impl Sliding {
    /// Notes a part that has come into being.
    pub(super) fn note(&mut self, (start, open_end): PartKey) {
        self.unseen.insert((open_end, start));
    }

    /// Everything that the window ending at `end` sees. Windows are asked for in ascending order of their ends, and a part
    /// takes no more rows once a window has seen it.
    pub(super) fn window(
        &mut self,
        end: i64,
        parts: &BTreeMap<PartKey, Slice>,
        plan: &WindowAggregate,
    ) -> Result<Slice> {
        let kind = plan.kind;
        let from = kind.start_of(end);
        self.take_in(end, from, parts)?;
        while self.front.last().is_some_and(|(start, _)| *start < from) {
            self.front.pop();
        }
        if self.front.is_empty() {
            self.turn(kind, end, from, parts)?;
        }
        let (total_from, mut whole) = match self.front.last() {
            Some((start, total)) => (*start, total.total()),
            None => (end, Slice::new(plan)?),
        };
        if let Some(back) = &self.back {
            whole.merge(back)?;
        }
        for (_, part) in seen(parts, from, total_from, end) {
            whole.merge(part)?;
        }
        Ok(whole)
    }

    /// Adds the parts that this window is the first to see.
    fn take_in(&mut self, end: i64, from: i64, parts: &BTreeMap<PartKey, Slice>) -> Result<()> {
        while let Some((open_end, start)) = self.unseen.first().copied().filter(|(open_end, _)| *open_end <= end) {
            self.unseen.pop_first();
            let Some(part) = parts.get(&(start, open_end)).filter(|_| start >= from) else { continue };
            if self.front.is_empty() {
                // The coming turn finds it among the parts.
                continue;
            }
            if start > self.front_up_to {
                match &mut self.back {
                    Some(back) => back.merge(part)?,
                    None => self.back = Some(part.total()),
                }
                continue;
            }
            // A part that opened late belongs to every total that begins at or before its slice.
            for (_, total) in self.front.iter_mut().filter(|(first, _)| *first <= start) {
                total.merge(part)?;
            }
        }
        Ok(())
    }

    /// Turns the running slices into suffix totals.
    fn turn(&mut self, kind: WindowKind, end: i64, from: i64, parts: &BTreeMap<PartKey, Slice>) -> Result<()> {
        self.back = None;
        let stride = ((end - from) / kind.slice()).isqrt().max(1);
        let mut total: Option<Slice> = None;
        let (mut slices, mut last) = (0, None);
        for ((start, _), part) in seen(parts, from, end, end).rev() {
            if last != Some(*start) {
                if let (Some(total), Some(last)) = (&total, last)
                    && (slices - 1) % stride == 0
                {
                    self.front.push((last, total.total()));
                }
                slices += 1;
                last = Some(*start);
            }
            match &mut total {
                Some(total) => total.merge(part)?,
                None => {
                    self.front_up_to = *start;
                    total = Some(part.total());
                }
            }
        }
        if let (Some(total), Some(last)) = (total, last)
            && (slices - 1) % stride == 0
        {
            self.front.push((last, total));
        }
        Ok(())
    }

    /// Bytes held beside the slices.
    pub(super) fn bytes(&self) -> usize {
        self.front.iter().map(|(_, total)| total.bytes()).sum::<usize>() + self.back.as_ref().map_or(0, Slice::bytes)
    }
}

/// The parts of the slices from `from` to before `to` that the window ending at `end` sees.
fn seen(
    parts: &BTreeMap<PartKey, Slice>,
    from: i64,
    to: i64,
    end: i64,
) -> impl DoubleEndedIterator<Item = (&PartKey, &Slice)> {
    parts.range((from, i64::MIN)..(to, i64::MIN)).filter(move |((_, open_end), _)| *open_end <= end)
}
