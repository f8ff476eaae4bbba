//! Panes from an opened state store into the threads' operators.
//!
//! The number of threads may differ from the one that wrote the panes: each stored pane goes to thread `worker mod threads`,
//! where partials of one key merge. Readers of their own hand the panes over, each some key groups: the panes of one key come
//! in the order in which they are stored, so that a restore always gives the same state. Where the store comes from is not known
//! here.

use crate::window::{Panes, WindowOperator};
use aqueduct_core::{Error, Result};
use aqueduct_plan::JobPlan;
use aqueduct_state::{KEY_GROUPS, PaneKey, Share, SliceKey, StateStore, query_hash};
use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};

/// Blocks of panes that wait to be taken over.
const WAITING: usize = 16;

/// Panes of one slice part, of one writing thread.
struct Block {
    query: usize,
    slice: SliceKey,
    worker: u16,
    panes: Panes,
    /// Takes the panes back when they are taken over: memory that comes and goes costs more than what is done with it.
    back: Sender<Panes>,
}

impl Block {
    fn is_of(&self, pane: &PaneKey) -> bool {
        self.slice == pane.slice() && self.worker == pane.worker
    }
}

/// What all reading threads look at.
#[derive(Clone, Copy)]
struct Scan<'a> {
    state: &'a StateStore,
    without: &'a BTreeSet<SliceKey>,
    queries: &'a HashMap<u64, usize>,
    threads: usize,
    /// Readers per thread.
    readers: u16,
}

impl Scan<'_> {
    fn query(&self, pane: &PaneKey) -> Result<usize> {
        self.queries.get(&pane.query).copied().ok_or_else(|| {
            Error::data("the state files hold panes of a query that the commit record does not name; restore an older checkpoint")
        })
    }
}

/// More readers than this find a disk busy.
const MOST_READERS: usize = 4;

/// Puts every pane into its operator (per thread and query), but for those of some slices. Returns the old places of panes that
/// moved: they are written again under their new ones.
///
/// # Errors
/// The store is damaged, or holds panes that the plan does not know.
pub(crate) fn load(
    plan: &JobPlan,
    state: &StateStore,
    without: &BTreeSet<SliceKey>,
    operators: &mut [Vec<Option<WindowOperator>>],
) -> Result<Vec<PaneKey>> {
    let queries = plan.queries.iter().enumerate().map(|(index, query)| (query_hash(&query.id), index)).collect();
    let threads = operators.len();
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let readers = (cores / threads.max(1)).clamp(1, MOST_READERS) as u16;
    let scan = Scan { state, without, queries: &queries, threads, readers };
    let threads = thread::scope(|scope| {
        let threads = operators.iter_mut().enumerate();
        let fills = threads.map(|(thread, mine)| spawn(scope, "restore-fill", move || fill(scan, thread, mine)));
        let running: Vec<_> = fills.collect();
        running.into_iter().map(|running| outcome(running?)).collect::<Vec<_>>()
    });
    let moved = threads.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(moved.into_iter().flatten().collect())
}

/// Fills one thread's operators.
fn fill(scan: Scan<'_>, thread: usize, operators: &mut [Option<WindowOperator>]) -> Result<Vec<PaneKey>> {
    thread::scope(|scope| {
        let (send, receive) = sync_channel(WAITING);
        let readers = (0..scan.readers).map(|reader| {
            let send = send.clone();
            spawn(scope, "restore-read", move || read(scan, thread, reader, &send))
        });
        let readers = readers.collect::<Result<Vec<_>>>()?;
        drop(send);
        // Where taking over fails, the channel closes, and reading ends.
        take_over(thread, receive, operators)?;
        let moved = readers.into_iter().map(outcome).collect::<Result<Vec<_>>>()?;
        Ok(moved.into_iter().flatten().collect())
    })
}

fn take_over(thread: usize, blocks: Receiver<Block>, operators: &mut [Option<WindowOperator>]) -> Result<()> {
    for mut block in blocks {
        let operator = operators[block.query].as_mut();
        let operator = operator.ok_or_else(|| Error::data("the state files hold panes of a query without windows"))?;
        let part = (block.slice.slice_start, block.slice.min_end);
        operator.restore(part, &block.panes, usize::from(block.worker) != thread)?;
        block.panes.clear();
        // A reader that has ended needs none.
        let _ = block.back.send(block.panes);
    }
    Ok(())
}

/// Reads a reader's share of one thread's panes. Returns the places of those that another thread wrote.
fn read(scan: Scan<'_>, thread: usize, reader: u16, send: &SyncSender<Block>) -> Result<Vec<PaneKey>> {
    let mut moved = Vec::new();
    let mut last: Option<Block> = None;
    let (back, empty) = channel();
    let mine = |worker: u16| usize::from(worker) % scan.threads == thread;
    let from = |reader: u16| KEY_GROUPS * reader / scan.readers;
    let share = Share { without: scan.without, whose: &mine, groups: from(reader)..from(reader + 1) };
    scan.state.scan(&share, &mut |pane, value| {
        if last.as_ref().is_none_or(|block| !block.is_of(pane) || block.panes.is_full()) {
            let (query, slice, worker) = (scan.query(pane)?, pane.slice(), pane.worker);
            let (panes, back) = (empty.try_recv().unwrap_or_default(), back.clone());
            if let Some(full) = last.replace(Block { query, slice, worker, panes, back }) {
                hand_over(full, send)?;
            }
        }
        if let Some(block) = &mut last {
            block.panes.push(&pane.key, value);
        }
        if usize::from(pane.worker) != thread {
            moved.push(pane.clone());
        }
        Ok(())
    })?;
    last.map_or(Ok(()), |block| hand_over(block, send))?;
    Ok(moved)
}

/// Nobody sees this error: the one who closed the channel tells why.
fn hand_over(block: Block, send: &SyncSender<Block>) -> Result<()> {
    send.send(block).map_err(|_| Error::bug("panes are read that nobody takes over"))
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    thread.map_err(|error| Error::retry(format!("no thread to restore with: {error}")).with_source(error))
}

/// A thread's result; its panic goes on here.
fn outcome<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
