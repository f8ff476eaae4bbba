//! The collector, step by step: look at the owner, decide, close the slots, sweep once, delete one by one.

use crate::act::Act;
use crate::config::{Config, Safeguard, SinkKind};
use crate::state::{Flight, Garbage, Kind, Known, Stage, State};
use crate::store::text;
use aqueduct_checkpoint::protocol::{CollectFacts, LogEntry, NextSlot, Said, Slot, leftovers, orphans, plan_collect};
use aqueduct_core::{Epoch, Generation};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) fn steps(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    match state.processes[p].stage {
        Stage::Ready if config.collects && state.processes[p].known.head > 0 => begin(config, state, p, out),
        Stage::Collect(garbage) => delete(config, state, p, garbage, out),
        Stage::Sweep(garbage) => sweep(state, p, garbage, out),
        _ => {}
    }
}

/// What is known of the log from the floor on; reads what is not known yet. A record that is missing because an older owner
/// has just collected it moves the floor.
fn entries(state: &State, known: &mut Known) -> Option<Vec<LogEntry>> {
    let log = &state.logs[usize::from(known.line)];
    while known.known_from > known.floor {
        let below = known.known_from - 1;
        if log.slots[usize::from(below)].is_some() {
            known.known_from = below;
        } else if log.boundary > below {
            known.floor = log.boundary;
            known.claims |= log.closed_claims;
            known.known_from = known.known_from.max(known.floor);
        } else {
            return None;
        }
    }
    let slots = known.floor..=known.tail;
    let entry = |slot: u8| {
        let said = match log.history[usize::from(slot)]?.kind {
            Kind::Commit { epoch, blob, .. } => {
                Said::Commit { epoch: Epoch(epoch.into()), blobs: BTreeSet::from([text(blob.into()).to_owned()]) }
            }
            Kind::Claim { .. } | Kind::Rewind { .. } => Said::Stays,
        };
        Some(LogEntry { slot: Slot(slot.into()), said })
    };
    Some(slots.filter_map(entry).collect())
}

fn begin(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let mut next = state.clone();
    let act = Act::of(p, "collects; its head is epoch", state.processes[p].known.head);
    if state.check_owner(&state.processes[p].known).0 != NextSlot::StillOwner {
        next.end(p, Stage::Fenced);
        return out.push((act, next));
    }
    let process = next.process(p);
    let Some(entries) = entries(state, &mut process.known) else {
        next.end(p, Stage::Alarm);
        return out.push((act, next));
    };
    let keep_after = if config.sink == SinkKind::None { process.known.head } else { process.cursor };
    let facts = CollectFacts {
        entries: &entries,
        keep_after: Epoch(keep_after.into()),
        retained: 1,
        pinned: process.book.pinned(),
    };
    let mut garbage = Garbage::default();
    if let Some(plan) = plan_collect(&facts) {
        Arc::make_mut(&mut process.book).give_up(&plan.blobs);
        garbage.boundary = Some(plan.boundary.0 as u8);
        garbage.claims = plan.claims.iter().fold(process.known.claims, |claims, slot| claims | 1 << slot.0);
        garbage.records = plan.records.iter().fold(0, |records, slot| records | 1 << slot.0);
        garbage.blobs = blobs(&plan.blobs);
    } else if process.known.swept {
        return;
    }
    process.stage =
        if process.known.swept || garbage.boundary.is_some() { Stage::Collect(garbage) } else { Stage::Sweep(garbage) };
    out.push((act, next));
}

fn blobs(names: &BTreeSet<String>) -> u64 {
    names.iter().filter_map(|name| name.parse::<u8>().ok()).fold(0, |blobs, blob| blobs | 1 << blob)
}

/// Closes the slots, if that is still to be done, otherwise deletes one more object; at the end the owner goes on.
fn delete(config: &Config, state: &State, p: usize, garbage: Garbage, out: &mut Vec<(Act, State)>) {
    let first = config.has(Safeguard::BoundaryFirst);
    let left = garbage.records != 0 || garbage.blobs != 0;
    if let Some(boundary) = garbage.boundary.filter(|_| first || !left) {
        return out.push((Act::of(p, "creates the boundary", boundary), close(state, p, boundary, garbage)));
    }
    let line = state.processes[p].known.line;
    for slot in (0..16).filter(|slot| garbage.records & (1 << slot) != 0) {
        let mut next = state.clone();
        next.log(line).slots[slot] = None;
        next.process(p).stage = go_on(Garbage { records: garbage.records & !(1 << slot), ..garbage });
        out.push((Act::of(p, "deletes record", slot as u8), next));
    }
    // Records go first, so that a blob is never missing under a record.
    for blob in (0..64).filter(|blob| garbage.records == 0 && garbage.blobs & (1 << blob) != 0) {
        let mut next = state.clone();
        next.log(line).blobs &= !(1 << blob);
        next.process(p).stage = go_on(Garbage { blobs: garbage.blobs & !(1 << blob), ..garbage });
        let act = Act::of(p, "deletes blob", blob);
        if state.faults > 0 && next.send(Flight::Blob { line, blob }) {
            let mut twice = next.clone();
            next.flights = state.flights.clone();
            twice.faults -= 1;
            out.push((act.with(crate::store::Fault::Twice), twice));
        }
        out.push((act, next));
    }
}

fn go_on(garbage: Garbage) -> Stage {
    let done = garbage.boundary.is_none() && garbage.records == 0 && garbage.blobs == 0;
    if done { Stage::Ready } else { Stage::Collect(garbage) }
}

fn close(state: &State, p: usize, boundary: u8, garbage: Garbage) -> State {
    let mut next = state.clone();
    let log = next.log(state.processes[p].known.line);
    if boundary > log.boundary {
        log.boundary_before = log.boundary;
        (log.boundary, log.closed_claims) = (boundary, garbage.claims);
    }
    let process = next.process(p);
    process.known.floor = process.known.floor.max(boundary);
    process.known.known_from = process.known.known_from.max(boundary);
    process.known.claims |= garbage.claims;
    let rest = Garbage { boundary: None, ..garbage };
    process.stage = if process.known.swept { go_on(rest) } else { Stage::Sweep(rest) };
    next
}

/// Looks for what earlier owners left: records in closed slots, blobs that no commit needs.
fn sweep(state: &State, p: usize, mut garbage: Garbage, out: &mut Vec<(Act, State)>) {
    let mut next = state.clone();
    let act = Act::of(p, "looks for leftovers as generation", state.processes[p].known.generation);
    let process = next.process(p);
    let Some(entries) = entries(state, &mut process.known) else {
        next.end(p, Stage::Alarm);
        return out.push((act, next));
    };
    let known = process.known;
    let log = &state.logs[usize::from(known.line)];
    let claims: BTreeSet<Slot> = (0..16).filter(|slot| known.claims & (1 << slot) != 0).map(Slot).collect();
    let found = (0..log.slots.len()).filter(|slot| log.slots[*slot].is_some()).map(|slot| Slot(slot as u64));
    for slot in leftovers(found, Slot(known.floor.into()), &claims) {
        garbage.records |= 1 << slot.0;
    }
    let mut needed: BTreeSet<String> = process.book.pinned().clone();
    for entry in entries {
        if let Said::Commit { blobs, .. } = entry.said {
            needed.extend(blobs);
        }
    }
    let found = (0..64_u16).filter(|blob| log.blobs & (1 << blob) != 0);
    let named = found.map(|blob| (text(blob).to_owned(), Generation(u64::from(blob / 6))));
    garbage.blobs |= blobs(&orphans(named, &needed, Generation(known.generation.into())));
    process.known.swept = true;
    process.stage = go_on(garbage);
    out.push((act, next));
}
