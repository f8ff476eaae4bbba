//! Delivery, and the two kinds of sinks: one that changes fence, rows and cursor in one step, and one of created objects.

use crate::act::Act;
use crate::config::{Config, Safeguard, SinkKind};
use crate::invariants::Invariant;
use crate::owner::miss;
use crate::state::{Flight, Id, Kind, LEFT_BEHIND, Process, Stage, State, Step};
use crate::store::Fault;
use aqueduct_checkpoint::protocol::{Backlog, NextSlot, cursor_in_lineage, judge_cursor};
use aqueduct_core::Epoch;

pub(crate) fn steps(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let process = &state.processes[p];
    match (process.stage, process.delivery) {
        (Stage::OpenSink, _) | (_, Step::Unknown) => open(config, state, p, out),
        (Stage::ListSink, _) | (_, Step::Reclaimed) => list(config, state, p, out),
        (Stage::Backlog, _) | (_, Step::Reopened) => backlog(config, state, p, out),
        (_, Step::Idle) if config.sink != SinkKind::None && process.cursor < process.known.head => {
            let mut next = state.clone();
            match state.check_owner(&process.known).0 {
                NextSlot::StillOwner => next.process(p).delivery = Step::Checked,
                _ => next.end(p, Stage::Fenced),
            }
            out.push((Act::of(p, "looks whether it still owns, for epoch", process.cursor + 1), next));
        }
        (_, Step::Checked) => load(config, state, p, out),
        (_, Step::Loaded) if config.sink == SinkKind::Ledger => {
            let mut next = state.clone();
            if config.has(Safeguard::SinkFence) && fenced(state, p) {
                next.end(p, Stage::Fenced);
            } else if state.sink.cursor[usize::from(process.known.line)] > process.cursor {
                next.process(p).delivery = Step::Unknown;
            } else {
                next.process(p).delivery = Step::Listed;
            }
            out.push((Act::of(p, "lists the sink's claims for epoch", process.cursor + 1), next));
        }
        (_, Step::Loaded | Step::Listed) => apply(config, state, p, out),
        _ => {}
    }
}

/// Whether a newer owner has opened the sink.
fn fenced(state: &State, p: usize) -> bool {
    let known = &state.processes[p].known;
    state.sink.newest > known.line || state.sink.generation[usize::from(known.line)] > known.generation
}

/// Takes the fence; with a table that tells the cursor in the same step.
fn open(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let mut next = state.clone();
    let known = state.processes[p].known;
    if config.has(Safeguard::SinkFence) && fenced(state, p) {
        next.end(p, Stage::Fenced);
    } else {
        let line = usize::from(known.line);
        next.sink.newest = next.sink.newest.max(known.line);
        next.sink.generation[line] = next.sink.generation[line].max(known.generation);
        next.sink.generation[..line].fill(LEFT_BEHIND);
        if config.sink == SinkKind::Table {
            opened(&mut next, p);
        } else if state.processes[p].stage == Stage::OpenSink {
            next.process(p).stage = Stage::ListSink;
        } else {
            next.process(p).delivery = Step::Reclaimed;
        }
    }
    out.push((Act::of(p, "opens the sink as generation", known.generation), next));
}

fn list(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let mut next = state.clone();
    if config.has(Safeguard::SinkFence) && fenced(state, p) {
        next.end(p, Stage::Fenced);
    } else {
        opened(&mut next, p);
    }
    out.push((Act::of(p, "lists the sink's entries as generation", state.processes[p].known.generation), next));
}

/// The sink has told its cursor.
fn opened(next: &mut State, p: usize) {
    let known = next.processes[p].known;
    let (stored, base) = (next.sink.cursor[usize::from(known.line)], next.logs[usize::from(known.line)].base());
    let cursor = cursor_in_lineage(Epoch(stored.into()), Epoch(base.into())).0 as u8;
    let process = next.process(p);
    let went_back = cursor < process.cursor;
    process.cursor = cursor;
    if matches!(process.stage, Stage::OpenSink | Stage::ListSink) {
        process.stage = Stage::Backlog;
    } else {
        process.delivery = if went_back { Step::Reopened } else { Step::Idle };
    }
}

/// Deliver from the cursor on, or refuse.
fn backlog(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let mut next = state.clone();
    let &Process { known, cursor, stage, .. } = &state.processes[p];
    let log = &state.logs[usize::from(known.line)];
    let oldest = log.history[usize::from(log.boundary)..].iter().flatten().find_map(|record| match record.kind {
        Kind::Commit { epoch, .. } => Some(epoch),
        Kind::Claim { .. } | Kind::Rewind { .. } => None,
    });
    let gone = oldest.map_or(0, |oldest| oldest.saturating_sub(1)).max(log.base());
    match judge_cursor(Epoch(cursor.into()), Epoch(known.head.into()), Epoch(gone.into())) {
        Backlog::SinkAhead | Backlog::Hole { .. } if config.has(Safeguard::CursorCheck) => miss(config, &mut next, p),
        _ => {
            next.process(p).delivery = Step::Idle;
            if stage == Stage::Backlog {
                next.process(p).stage = Stage::Ready;
            }
        }
    }
    out.push((Act::of(p, "goes on after epoch", cursor), next));
}

/// Reads record and rows of the next epoch. Missing ones are an alarm, or somebody newer has collected them.
fn load(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let mut next = state.clone();
    let (known, epoch) = (state.processes[p].known, state.processes[p].cursor + 1);
    let log = &state.logs[usize::from(known.line)];
    let there = log.commit_of(epoch).is_some_and(|(slot, record)| match record.kind {
        Kind::Commit { blob, .. } => log.slots[usize::from(slot)] == Some(record) && log.blobs & (1 << blob) != 0,
        Kind::Claim { .. } | Kind::Rewind { .. } => false,
    });
    if there {
        next.process(p).delivery = Step::Loaded;
    } else {
        miss(config, &mut next, p);
    }
    out.push((Act::of(p, "reads the rows of epoch", epoch), next));
}

fn apply(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let process = &state.processes[p];
    let (known, after) = (process.known, process.cursor);
    // The head's rows are still in memory.
    let read = state.logs[usize::from(known.line)].commit_of(after + 1).map_or(0, |(_, record)| record.id);
    let id = if after + 1 == known.head && known.head_id != 0 { known.head_id } else { read };
    let flight = Flight::Apply { line: known.line, generation: known.generation, after, id };
    for &fault in Fault::allowed(state) {
        let mut next = state.clone();
        fault.spend(&mut next);
        match fault {
            Fault::None => match next.arrive(config, flight) {
                Applied::Yes => {
                    let process = next.process(p);
                    (process.cursor, process.delivery) = (after + 1, Step::Idle);
                }
                Applied::NotHere => next.process(p).delivery = Step::Unknown,
                Applied::Fenced => next.end(p, Stage::Fenced),
                Applied::Foreign => next.end(p, Stage::Alarm),
            },
            Fault::ReplyLost => {
                next.arrive(config, flight);
                next.process(p).delivery = Step::Unknown;
            }
            Fault::NotApplied => next.process(p).delivery = Step::Unknown,
            Fault::Late if next.send(flight) => next.process(p).delivery = Step::Unknown,
            Fault::Late | Fault::Twice => continue,
        }
        out.push((Act::of(p, "applies epoch", after + 1).with(fault), next));
    }
}

/// What the sink said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Yes,
    /// It stands elsewhere.
    NotHere,
    Fenced,
    /// The object exists with other contents.
    Foreign,
}

impl State {
    /// An epoch reaches the sink, now or late.
    pub(crate) fn arrive(&mut self, config: &Config, flight: Flight) -> Applied {
        let Flight::Apply { line, generation, after, id } = flight else { return Applied::NotHere };
        let (at, epoch) = (usize::from(line), after + 1);
        if config.sink == SinkKind::Ledger {
            return self.arrive_ledger(at, epoch, id);
        }
        let checks_cursor = config.has(Safeguard::SinkFence);
        let checks_generation = checks_cursor && config.has(Safeguard::SinkGeneration);
        if checks_generation && self.sink.generation[at] > generation {
            return Applied::Fenced;
        }
        if checks_cursor && self.sink.cursor[at].max(self.logs[at].base()) != after {
            return Applied::NotHere;
        }
        if line < self.sink.newest {
            // Rows of a lineage that was left behind are written over those of the new one.
            self.breaks(Invariant::I2);
        }
        if epoch < self.sink.cursor[at] {
            self.breaks(Invariant::I3);
        }
        self.sink.rows[at][usize::from(epoch)] = id;
        self.sink.cursor[at] = epoch;
        Applied::Yes
    }

    /// Objects are created only; the entry makes the epoch count.
    fn arrive_ledger(&mut self, at: usize, epoch: u8, id: Id) -> Applied {
        let row = &mut self.sink.rows[at][usize::from(epoch)];
        if *row != 0 && *row != id {
            return Applied::Foreign;
        }
        *row = id;
        self.sink.cursor[at] = self.sink.cursor[at].max(epoch);
        Applied::Yes
    }
}
