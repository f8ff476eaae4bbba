//! Restarts in the middle, after which state is loaded beside the rows, against a plain computation window by window.

use super::operator::{PartKey, WindowOperator};
use super::operator_tests::{Random, Rows, batch, collect, panes, plan, windows};
use super::{Layout, Slice, Written, sum};
use aqueduct_plan::{WindowAggregate, WindowKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a state store holds.
type Store = BTreeMap<PartKey, BTreeMap<Vec<u8>, Vec<u8>>>;

/// A thread with its store and, after a restart, its loader.
struct Thread {
    plan: WindowAggregate,
    layout: Arc<Layout>,
    operator: WindowOperator,
    store: Store,
    /// What the loader has; `None` when nothing is being loaded.
    loaded: Option<BTreeMap<PartKey, Slice>>,
    fired_up_to: i64,
    made: Rows,
}

impl Thread {
    fn new(kind: WindowKind) -> Self {
        let plan = plan(kind);
        let layout = Arc::new(Layout::of(&plan.aggregates).unwrap());
        let operator = WindowOperator::new(plan.clone(), i64::MIN).unwrap();
        let (store, made) = (Store::new(), Rows::new());
        Self { plan, layout, operator, store, loaded: None, fired_up_to: i64::MIN, made }
    }

    /// Dies, and begins to load what the store holds.
    fn restart(&mut self) {
        let mut loaded = BTreeMap::new();
        for (part, stored) in &self.store {
            let mut slice = Slice::new(&self.plan).unwrap();
            stored.iter().for_each(|(key, value)| slice.restore(&panes(key, value), false).unwrap());
            loaded.insert(*part, slice);
        }
        self.operator = WindowOperator::new(self.plan.clone(), self.fired_up_to).unwrap();
        self.operator.load(self.store.keys().copied().collect());
        self.loaded = Some(loaded);
    }

    fn fold(&mut self, rows: &[(i64, &str)], before: &[i64]) {
        let prepared = self.operator.prepare(&batch(rows)).unwrap();
        self.operator.fold(&prepared, before, &mut Vec::new()).unwrap();
    }

    /// Cuts at a watermark; takes over what was loaded, if that is asked. What the cut holds is still to be written down.
    fn cut(&mut self, watermark: i64, take: bool) {
        let bound = self.operator.loading_from().map_or(i64::MAX, |end| end - 2);
        let up_to = watermark.min(bound);
        let firing = self.operator.take_fired(up_to).unwrap();
        self.fired_up_to = self.fired_up_to.max(up_to);
        for window in firing.fired {
            collect(&self.plan, window.end, &window.partial, &mut self.made);
        }
        assert!(firing.stored.is_empty(), "nothing is in the store for want of room");
        for part in firing.retired {
            assert!(self.store.remove(&part).is_some(), "{part:?} is not in the store");
        }
        self.operator.cut(false);
        if take && let Some(loaded) = self.loaded.take() {
            self.operator.take_loaded(loaded).unwrap();
        }
    }

    /// Writes some panes of the cut down, and gives the loader what is complete.
    fn write(&mut self, limit: usize) {
        let Self { operator, store, layout, .. } = self;
        let written = operator.drain(limit, |part, key, value, how| {
            let stored = store.entry(part).or_default();
            let before = stored.get(key).cloned().filter(|_| how == Written::Delta);
            let values = before.iter().map(Vec::as_slice).chain([value]);
            stored.insert(key.to_vec(), sum(layout, values).unwrap());
        });
        written.unwrap();
        for (part, slice) in operator.take_written() {
            let loaded = self.loaded.as_mut().expect("a delta for a loader that has ended");
            match loaded.get_mut(&part) {
                Some(there) => there.merge(&slice).unwrap(),
                None => assert!(loaded.insert(part, slice.stored_total()).is_none()),
            }
        }
    }
}

/// Random rows, cuts, restarts and takeovers; rows come also while a cut is written down.
fn against_definition(kind: WindowKind, seed: u64) -> usize {
    let mut random = Random(seed);
    let mut thread = Thread::new(kind);
    let (mut expected, mut takes) = (Rows::new(), 0);
    let (mut now, mut watermark) = (1_000_i64, i64::MIN);
    for _ in 0..80 {
        let (mut rows, mut before) = (Vec::new(), Vec::new());
        for _ in 0..random.below(12) {
            now += random.below(9) as i64;
            let at = now - random.below(70) as i64;
            let key = ["a", "b", "c", "d", "e"][random.below(5) as usize];
            for (start, end) in windows(kind, at).into_iter().filter(|(_, end)| end - 1 > watermark) {
                *expected.entry((start, end, key.to_owned())).or_default() += 1;
            }
            rows.push((at, key));
            before.push(watermark);
            watermark = watermark.max(at - 10);
        }
        thread.fold(&rows, &before);
        if thread.operator.is_pending() && random.below(2) == 0 {
            thread.write(1 + random.below(4) as usize);
            continue;
        }
        if random.below(3) == 0 {
            while thread.operator.is_pending() {
                thread.write(3);
            }
            let take = thread.loaded.is_some() && random.below(2) == 0;
            thread.cut(watermark, take);
            takes += usize::from(take);
            if random.below(4) == 0 {
                while thread.operator.is_pending() {
                    thread.write(100);
                }
                thread.restart();
            }
        }
    }
    // The end: what is loaded is taken over, then everything fires.
    for _ in 0..2 {
        while thread.operator.is_pending() {
            thread.write(5);
        }
        thread.cut(watermark, true);
    }
    while thread.operator.is_pending() {
        thread.write(5);
    }
    thread.cut(i64::MAX - 1, false);
    assert_eq!(thread.made, expected, "{kind:?} seed {seed}");
    assert_eq!(thread.store.len(), 0, "{kind:?} seed {seed}: parts are left in the store");
    takes
}

#[test]
fn restarts_that_load_beside_the_rows_change_nothing() {
    let mut takes = 0;
    for seed in 1..60 {
        takes += against_definition(WindowKind::Tumble { size: 30, offset: 0 }, seed);
        takes += against_definition(WindowKind::Tumble { size: 200, offset: 7 }, seed);
        takes += against_definition(WindowKind::Hop { slide: 10, size: 40, offset: 3 }, seed);
        takes += against_definition(WindowKind::Hop { slide: 2, size: 60, offset: 1 }, seed);
        takes += against_definition(WindowKind::Cumulate { step: 10, size: 40, offset: 5 }, seed);
    }
    assert!(takes > 300, "{takes} takeovers");
}

#[test]
fn a_window_does_not_fire_without_what_is_being_loaded() {
    let mut thread = Thread::new(WindowKind::Tumble { size: 30, offset: 0 });
    thread.fold(&[(5, "a")], &[i64::MIN]);
    thread.cut(i64::MIN, false);
    thread.write(10);
    thread.restart();
    assert_eq!(thread.operator.loading_from(), Some(30));
    let error = thread.operator.take_fired(29).unwrap_err();
    assert!(error.message().contains("still being loaded"), "{error}");
}
