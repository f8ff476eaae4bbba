//! State that is read into memory beside the records, after a start from a checkpoint with much of it.
//!
//! Each reading thread has a loader, a thread of its own, which reads the thread's panes from a twin of the restored files. What
//! the thread folds meanwhile is a delta: it is added to what is stored with every cut, and goes to the loader, which adds it up,
//! too. Windows that need such state do not fire. When no loader has anything left to do, the threads take over what they have
//! loaded, all of them with the same cut, and everything is as if it had never been away. How state is folded is not known here.

use crate::load::Part;
use crate::progress::Event;
use crate::stored::merge;
use crate::window::{Panes, PartKey, Slice};
use crate::worker::caught;
use aqueduct_core::{Error, FailPoints, Result, Turn, Turns};
use aqueduct_plan::JobPlan;
use aqueduct_state::StateStore;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// How long a loader that has read everything waits for a delta.
const WAIT: Duration = Duration::from_millis(20);

/// Slices of a thread, by query.
type Slices = Vec<BTreeMap<PartKey, Slice>>;

/// What a thread has to load.
#[derive(Debug)]
pub(crate) struct Load {
    /// A twin of the restored files; removed when they have been read.
    pub(crate) folder: PathBuf,
    pub(crate) parts: Vec<Part>,
}

/// A slice that was written down as a delta.
struct Delta {
    query: usize,
    part: PartKey,
    slice: Slice,
}

/// What a loader and its reading thread have in common.
#[derive(Debug)]
pub(crate) struct Loading {
    slices: Mutex<Slices>,
    /// Everything has been read.
    read: AtomicBool,
    /// Deltas that the thread has written down, and those of them that have been added.
    given: AtomicU64,
    added: AtomicU64,
    /// Panes and bytes, by query.
    sizes: Vec<(AtomicU64, AtomicU64)>,
}

impl Loading {
    /// True when the thread can take over everything. That stays so until it cuts: only then are there deltas again.
    fn is_done(&self) -> bool {
        self.read.load(Ordering::SeqCst) && self.given.load(Ordering::SeqCst) == self.added.load(Ordering::SeqCst)
    }

    /// Panes of a query that are loaded, and their bytes.
    pub(crate) fn size(&self, query: usize) -> (u64, u64) {
        let number = |of: &AtomicU64| of.load(Ordering::Relaxed);
        self.sizes.get(query).map_or((0, 0), |(panes, bytes)| (number(panes), number(bytes)))
    }

    fn slices(&self) -> MutexGuard<'_, Slices> {
        self.slices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading thread's end.
pub(crate) struct Feed {
    shared: Arc<Loading>,
    deltas: Sender<Delta>,
}

impl Feed {
    /// A slice has been written down as a delta, to the last pane.
    pub(crate) fn give(&self, query: usize, part: PartKey, slice: Slice) {
        self.shared.given.fetch_add(1, Ordering::SeqCst);
        // A loader that is gone has told why, and that ends the job.
        let _ = self.deltas.send(Delta { query, part, slice });
    }

    /// Everything that was loaded, by query. The loader ends.
    pub(crate) fn take(self) -> Result<Slices> {
        if !self.shared.is_done() {
            return Err(Error::bug("state was to be taken over before it was loaded"));
        }
        Ok(std::mem::take(&mut *self.shared.slices()))
    }

    /// See [`Loading::size`].
    pub(crate) fn size(&self, query: usize) -> (u64, u64) {
        self.shared.size(query)
    }
}

/// Where the panes come from.
enum Base {
    Closed,
    Open(StateStore),
    Read,
}

/// A thread that loads.
pub(crate) struct Loader {
    plan: Arc<JobPlan>,
    base: Base,
    folder: PathBuf,
    /// What is left to read, the next one last.
    left: Vec<Part>,
    panes: Panes,
    deltas: Receiver<Delta>,
    shared: Arc<Loading>,
    events: UnboundedSender<Event>,
    points: FailPoints,
    /// Panes between two looks at what else there is to do.
    page: usize,
}

/// The loader of a thread, and the thread's end of it. A failure is told to `events`; it reads `page` panes at a time.
pub(crate) fn loader(
    plan: &Arc<JobPlan>,
    load: Load,
    events: UnboundedSender<Event>,
    (points, page): (&FailPoints, usize),
) -> (Loader, Feed) {
    let (queries, nothing) = (plan.queries.len(), load.parts.is_empty());
    let shared = Arc::new(Loading {
        slices: Mutex::new((0..queries).map(|_| BTreeMap::new()).collect()),
        read: AtomicBool::new(nothing),
        given: AtomicU64::new(0),
        added: AtomicU64::new(0),
        sizes: (0..queries).map(|_| Default::default()).collect(),
    });
    let (out, deltas) = channel();
    let loader = Loader {
        plan: plan.clone(),
        base: if nothing { Base::Read } else { Base::Closed },
        folder: load.folder,
        left: load.parts.into_iter().rev().collect(),
        panes: Panes::default(),
        deltas,
        shared: shared.clone(),
        events,
        points: points.clone(),
        page: page.max(1),
    };
    (loader, Feed { shared, deltas: out })
}

impl Turns for Loader {
    fn turn(&mut self, may_wait: bool) -> Turn {
        caught(format_args!("the thread that loads state"), || self.step(may_wait)).unwrap_or_else(|failure| {
            // The receiver is gone only when the job has ended already.
            let _ = self.events.send(Event::Failed(failure));
            Turn::Done
        })
    }
}

impl Loader {
    fn step(&mut self, may_wait: bool) -> Result<Turn> {
        let reading = !matches!(self.base, Base::Read);
        let delta = if reading || !may_wait {
            self.deltas.try_recv()
        } else {
            self.deltas.recv_timeout(WAIT).map_err(|error| match error {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            })
        };
        match delta {
            Ok(delta) => {
                self.add(delta)?;
                Ok(Turn::Busy)
            }
            Err(TryRecvError::Disconnected) => Ok(Turn::Done),
            Err(TryRecvError::Empty) if reading => {
                self.read()?;
                Ok(Turn::Busy)
            }
            Err(TryRecvError::Empty) => Ok(Turn::Quiet),
        }
    }

    fn add(&mut self, Delta { query, part, slice }: Delta) -> Result<()> {
        let mut slices = self.shared.slices();
        match slices[query].get_mut(&part) {
            Some(there) => there.merge(&slice)?,
            None => {
                slices[query].insert(part, slice.stored_total());
            }
        }
        drop(slices);
        self.measure();
        self.shared.added.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Reads a page, or opens or closes the files.
    fn read(&mut self) -> Result<()> {
        let store = match &self.base {
            Base::Open(store) => store,
            _ => {
                self.base = Base::Open(StateStore::read_dir(&self.folder, merge(&self.plan))?);
                return Ok(());
            }
        };
        let Some(part) = self.left.last_mut() else {
            self.base = Base::Read;
            // Only links; what is left of them goes with the job's folder.
            let _ = std::fs::remove_dir_all(&self.folder);
            self.shared.read.store(true, Ordering::SeqCst);
            return Ok(());
        };
        let mut slices = self.shared.slices();
        let slice = match slices[part.query].entry(part.key()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let window = self.plan.queries[part.query].window.as_ref();
                let window = window.ok_or_else(|| Error::bug("a query without windows has state"))?;
                entry.insert(Slice::new(window)?)
            }
        };
        let moved = part.moved;
        let more = part.read(store, self.page, &mut self.panes, |panes| slice.restore(panes, moved))?;
        drop(slices);
        if !more {
            self.left.pop();
        }
        self.measure();
        self.points.hit("runtime.loading.page");
        Ok(())
    }

    fn measure(&self) {
        for (slices, (panes, bytes)) in self.shared.slices().iter().zip(&self.shared.sizes) {
            panes.store(slices.values().map(|slice| slice.len() as u64).sum(), Ordering::Relaxed);
            bytes.store(slices.values().map(|slice| slice.bytes() as u64).sum(), Ordering::Relaxed);
        }
    }
}

fn sum(left: (u64, u64), right: (u64, u64)) -> (u64, u64) {
    (left.0 + right.0, left.1 + right.1)
}

/// The coordinator's view: all threads' loaders.
pub(crate) struct Loads {
    threads: Vec<Arc<Loading>>,
    /// Per source: nothing after this fires while state is loaded.
    bounds: Vec<i64>,
    /// Steady time.
    began: Duration,
}

impl Loads {
    /// Of these threads, if there are any. `bounds` tells per source up to where windows need no such state.
    pub(crate) fn of(feeds: &[Feed], bounds: Vec<i64>, began: Duration) -> Option<Self> {
        let threads: Vec<_> = feeds.iter().map(|feed| feed.shared.clone()).collect();
        (!threads.is_empty()).then_some(Self { threads, bounds, began })
    }

    /// True when all threads can take over what is loaded. Asked between two cuts, when the last one has been written down.
    pub(crate) fn are_done(&self) -> bool {
        self.threads.iter().all(|thread| thread.is_done())
    }

    /// The watermark of a source, as far as windows may fire.
    pub(crate) fn bound(&self, source: usize) -> i64 {
        self.bounds[source]
    }

    /// Panes of a query that are loaded, and their bytes.
    pub(crate) fn size_of(&self, query: usize) -> (u64, u64) {
        self.threads.iter().map(|thread| thread.size(query)).fold((0, 0), sum)
    }

    /// The same of all queries.
    pub(crate) fn size(&self) -> (u64, u64) {
        let queries = self.threads.first().map_or(0, |thread| thread.sizes.len());
        (0..queries).map(|query| self.size_of(query)).fold((0, 0), sum)
    }

    /// How long ago it began.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }
}
