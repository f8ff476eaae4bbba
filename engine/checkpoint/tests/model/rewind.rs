//! An operator goes back to an older epoch: take the old lineage like an owner, copy the state, begin a new lineage last.

use crate::act::Act;
use crate::config::{Config, Safeguard, SinkKind};
use crate::state::{Id, Kind, LINES, Record, Stage, State, Step};
use crate::store::id;
use aqueduct_checkpoint::protocol::{NextSlot, next_lineage};

/// Every kept epoch below the head is a choice; `taken` is the world after the take-over.
pub(crate) fn choices(config: &Config, state: &State, taken: &State, p: usize, out: &mut Vec<(Act, State)>) {
    if state.rewinds == 0 {
        return;
    }
    let known = taken.processes[p].known;
    let log = &state.logs[usize::from(known.line)];
    let line = next_lineage(state.folders()).0 as u8 - 1;
    for to in log.base()..known.head {
        let Some(from) = kept(state, known.line, to) else { continue };
        let mut next = taken.clone();
        next.rewinds -= 1;
        let process = next.process(p);
        if config.has(Safeguard::NewLineage) {
            if usize::from(line) >= LINES {
                continue;
            }
            process.stage = Stage::RewindCopy { to, line };
        } else {
            (process.known.head, process.known.head_id) = (to, from);
            process.stage = if config.sink == SinkKind::None { Stage::Ready } else { Stage::OpenSink };
            process.delivery = if config.sink == SinkKind::None { Step::Idle } else { Step::Closed };
        }
        out.push((Act::of(p, "is an operator who goes back to epoch", to).unforced(), next));
    }
}

/// The commit of an epoch that can be gone back to; 0 stands for the beginning.
fn kept(state: &State, line: u8, epoch: u8) -> Option<Id> {
    let log = &state.logs[usize::from(line)];
    if epoch == log.base() && log.commit_of(epoch).is_none() {
        return Some(0);
    }
    let (slot, record) = log.commit_of(epoch)?;
    (slot >= log.boundary).then_some(record.id)
}

pub(crate) fn steps(state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let (known, incarnation) = (state.processes[p].known, state.processes[p].incarnation);
    let mut next = state.clone();
    match state.processes[p].stage {
        Stage::RewindCopy { to, line } => {
            let blobs = state.logs[usize::from(known.line)].blobs;
            let log = next.log(line);
            (log.blobs, log.folder) = (blobs, true);
            next.process(p).stage = Stage::RewindState { to, line };
            out.push((Act::of(p, "copies files into lineage", line + 1), next));
        }
        Stage::RewindState { to, line } => {
            let copied = match state.logs[usize::from(known.line)].commit_of(to) {
                Some((_, Record { kind: Kind::Commit { epoch, blob, .. }, .. })) => {
                    let id = id(p, incarnation, known.tries, 1, line);
                    let record =
                        Record { id, generation: known.generation, kind: Kind::Commit { epoch, from: 0, blob } };
                    next.create(line, 1, record)
                }
                _ => true,
            };
            if copied {
                next.process(p).stage = Stage::RewindCheck { to, line };
            } else {
                next.end(p, Stage::Down);
            }
            out.push((Act::of(p, "copies the commit of epoch", to), next));
        }
        Stage::RewindCheck { to, line } => {
            match state.check_owner(&known).0 {
                NextSlot::StillOwner => next.process(p).stage = Stage::RewindBegin { to, line },
                _ => next.end(p, Stage::Down),
            }
            out.push((Act::of(p, "looks whether it still owns lineage", known.line + 1), next));
        }
        Stage::RewindBegin { to, line } => {
            let id = id(p, incarnation, known.tries, 0, line);
            next.create(line, 0, Record { id, generation: known.generation, kind: Kind::Rewind { base: to } });
            next.end(p, Stage::Down);
            out.push((Act::of(p, "begins lineage", line + 1), next));
        }
        _ => {}
    }
}
