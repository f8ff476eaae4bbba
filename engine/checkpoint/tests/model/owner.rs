//! A process from its start to the end of its ownership: look, claim, read, seal, commit. What every answer means is asked of
//! the protocol.

use crate::act::Act;
use crate::config::{Config, Safeguard, SinkKind};
use crate::invariants::Invariant;
use crate::state::{Kind, Known, Process, Put, Record, Stage, State, Step};
use crate::store::{Fault, Reply, id, text};
use aqueduct_checkpoint::protocol::{
    BlobBook, ClaimJudgement, Found, Judgement, LineageJudgement, Look, Mine, Missing, NextSlot, Slot, Tail,
    greatest_boundary, judge_claim, judge_create, judge_lineage, judge_look, judge_missing, judge_next_slot,
    must_check_boundary, newest_lineage, plan_claim, probe_from, stands_after,
};
use aqueduct_core::{Generation, Lineage};
use std::sync::Arc;

/// The contents' hashes.
pub(crate) const CONTENTS: [&str; 2] = ["a", "b"];

/// The number of a blob's name, which is also its text.
pub(crate) fn blob_number(config: &Config, generation: u8, contents: usize, times: u32) -> u8 {
    let generation = if config.has(Safeguard::BlobNames) { generation } else { 0 };
    generation * 6 + contents as u8 * 3 + times.min(2) as u8
}

impl State {
    pub(crate) fn process(&mut self, process: usize) -> &mut Process {
        &mut self.processes[process]
    }

    /// The process ends; nothing of it is left but what is under way.
    pub(crate) fn end(&mut self, process: usize, stage: Stage) {
        let incarnation = self.processes[process].incarnation;
        self.processes[process] = Process { incarnation, stage, ..Process::default() };
        if stage == Stage::Alarm && !self.restored {
            self.breaks(Invariant::NoFalseAlarm);
        }
    }

    /// What the slots after the tail say about the owner, and the first free one.
    pub(crate) fn check_owner(&self, known: &Known) -> (NextSlot, u8) {
        let mut slot = known.tail + 1;
        loop {
            let found = match self.logs[usize::from(known.line)].slots.get(usize::from(slot)).copied().flatten() {
                None => Found::Absent,
                Some(record) => {
                    Found::Record { put_id: text(record.id), generation: Generation(record.generation.into()) }
                }
            };
            match judge_next_slot(Generation(known.generation.into()), found) {
                NextSlot::LookFurther => slot += 1,
                other => return (other, slot),
            }
        }
    }
}

/// Something that the log refers to is not there: an alarm, unless a newer owner has collected it.
pub(crate) fn miss(config: &Config, next: &mut State, p: usize) {
    let known = next.processes[p].known;
    let (found, slot) = next.check_owner(&known);
    let boundary = greatest_boundary(next.listed_boundaries(config, known.line));
    let missing = judge_missing(found, Slot(slot.into()), boundary);
    let fenced = config.has(Safeguard::LookBeforeAlarm) && missing != Missing::Damaged;
    next.end(p, if fenced { Stage::Fenced } else { Stage::Alarm });
}

/// The next steps of a process before and while it owns, without collecting and delivering.
pub(crate) fn steps(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    match state.processes[p].stage {
        Stage::Down => start(config, state, p, out),
        Stage::ListLineages => {
            let mut next = state.clone();
            let line = newest_lineage(state.lineages(config)).0 as u8 - 1;
            next.process(p).known.line = line;
            next.process(p).stage = look_at_log(config);
            out.push((Act::of(p, "lists lineages and goes on in", line + 1), next));
        }
        Stage::ListBoundary => {
            let mut next = state.clone();
            let boundary = greatest_boundary(state.listed_boundaries(config, state.processes[p].known.line));
            let boundary = boundary.map(|slot| slot.0 as u8);
            next.process(p).stage = Stage::Probe { boundary };
            out.push((Act::of(p, "lists boundaries and sees", boundary.unwrap_or(0)), next));
        }
        Stage::Probe { boundary } => probe(config, state, p, boundary, out),
        Stage::Create(put) => create(config, state, p, put, out),
        Stage::ReadBack(put) => {
            let mut next = state.clone();
            let found = state.logs[usize::from(state.processes[p].known.line)].slots[usize::from(put.slot)];
            after_reading(config, &mut next, p, put, found);
            out.push((Act::of(p, "reads back slot", put.slot), next));
        }
        Stage::Limit { put, found } => {
            let mut next = state.clone();
            let boundary = greatest_boundary(state.listed_boundaries(config, state.processes[p].known.line));
            judge(config, &mut next, p, put, found, boundary);
            out.push((Act::of(p, "reads the boundary for slot", put.slot), next));
        }
        Stage::ListLineagesAgain => {
            let mut next = state.clone();
            let known = state.processes[p].known;
            let newest = newest_lineage(state.lineages(config));
            match judge_lineage(Lineage(u32::from(known.line) + 1), newest) {
                LineageJudgement::Current => next.process(p).stage = Stage::TakeOver,
                LineageJudgement::LeftBehind { .. } => look_again(config, &mut next, p),
            }
            out.push((Act::of(p, "lists lineages again and sees", newest.0 as u8), next));
        }
        Stage::TakeOver => take_over(config, state, p, out),
        Stage::Ready => seal(config, state, p, out),
        _ => {}
    }
}

fn start(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    // Processes are alike: the first start goes by order.
    if p > 0 && state.processes[p - 1].incarnation == 0 {
        return;
    }
    let mut next = state.clone();
    next.process(p).incarnation += 1;
    next.process(p).stage = first_look(config);
    out.push((Act::of(p, "starts as incarnation", state.processes[p].incarnation + 1), next));
}

fn first_look(config: &Config) -> Stage {
    if config.rewinds > 0 { Stage::ListLineages } else { look_at_log(config) }
}

/// Where nobody collects there is no boundary to read.
fn look_at_log(config: &Config) -> Stage {
    if config.collects { Stage::ListBoundary } else { Stage::Probe { boundary: None } }
}

/// Lists the log (perhaps an old list), probes for the tail, and plans the claim.
fn probe(config: &Config, state: &State, p: usize, boundary: Option<u8>, out: &mut Vec<(Act, State)>) {
    let known = state.processes[p].known;
    let log = &state.logs[usize::from(known.line)];
    let listed = (0..log.slots.len() as u8).filter(|slot| log.slots[usize::from(*slot)].is_some());
    let mut lists: Vec<Option<u8>> = vec![log.newest_slot()];
    if config.stale_lists {
        lists = listed.map(Some).collect();
        lists.push(None);
    }
    for newest in lists {
        let (newest_slot, boundary_slot) =
            (newest.map(|slot| Slot(slot.into())), boundary.map(|slot| Slot(slot.into())));
        let tail = state.probe(known.line, probe_from(newest_slot, boundary_slot).0 as u8);
        let mut next = state.clone();
        let process = next.process(p);
        process.stage = match judge_look(tail, newest_slot, boundary_slot) {
            Look::Again => look_at_log(config),
            Look::Done if !config.has(Safeguard::ClaimBeforeRead) && !known.early => {
                read_early(log, tail, &mut process.known);
                look_at_log(config)
            }
            Look::Done => {
                let plan = plan_claim(tail);
                if State::beyond(plan.slot.0 + 1) {
                    continue;
                }
                let newest = plan.newest_commit.map(|slot| slot.0 as u8);
                let id = id(p, process.incarnation, known.tries, plan.slot.0 as u8, known.line);
                let record = Record { id, generation: plan.generation.0 as u8, kind: Kind::Claim { newest } };
                Stage::Create(Put { slot: plan.slot.0 as u8, record, attempts: 0 })
            }
        };
        out.push((Act::of(p, "lists the log and probes from slot", newest.or(boundary).unwrap_or(0)), next));
    }
}

fn read_early(log: &crate::state::Log, tail: Tail, known: &mut Known) {
    known.early = true;
    let newest = if let Tail::At { newest_commit, .. } = tail { newest_commit } else { None };
    let record = newest.and_then(|slot| log.slots[slot.0 as usize]);
    if let Some(Record { id, kind: Kind::Commit { epoch, .. }, .. }) = record {
        (known.head, known.head_id) = (epoch, id);
    }
}

fn is_claim(put: &Put) -> bool {
    matches!(put.record.kind, Kind::Claim { .. })
}

fn create(config: &Config, state: &State, p: usize, mut put: Put, out: &mut Vec<(Act, State)>) {
    put.attempts = (put.attempts + 1).min(2);
    let line = state.processes[p].known.line;
    for &fault in Fault::allowed(state) {
        let mut next = state.clone();
        let Some(reply) = next.put(line, put.slot, put.record, fault) else { continue };
        match reply {
            Reply::Done => after_reading(config, &mut next, p, put, Some(put.record)),
            _ if config.has(Safeguard::ReadBack) => next.process(p).stage = Stage::ReadBack(put),
            Reply::Unknown => after_reading(config, &mut next, p, put, None),
            // Somebody else's, it thinks: so it must be a newer owner's.
            Reply::Exists => {
                let other = Record { id: 0, generation: put.record.generation + 1, kind: put.record.kind };
                after_reading(config, &mut next, p, put, Some(other));
            }
        }
        let what = if is_claim(&put) { "creates its claim in slot" } else { "creates its commit in slot" };
        out.push((Act::of(p, what, put.slot).with(fault), next));
    }
}

fn after_reading(config: &Config, next: &mut State, p: usize, put: Put, found: Option<Record>) {
    if config.collects && config.has(Safeguard::Boundary) && must_check_boundary(is_claim(&put), put.attempts.into()) {
        next.process(p).stage = Stage::Limit { put, found };
    } else {
        judge(config, next, p, put, found, None);
    }
}

fn judge(config: &Config, next: &mut State, p: usize, put: Put, found: Option<Record>, boundary: Option<Slot>) {
    // Without put ids only the generation tells whose record it is.
    let name = |record: &Record| if config.has(Safeguard::PutId) { record.id } else { record.generation.into() };
    let generation = Generation(put.record.generation.into());
    let mine = Mine { slot: Slot(put.slot.into()), put_id: text(name(&put.record)), generation };
    let read = found.as_ref().map(|record| (text(name(record)), Generation(record.generation.into())));
    let judgement = judge_create(mine, stands_after(mine, false, read), boundary);
    if is_claim(&put) {
        match judge_claim(judgement) {
            ClaimJudgement::Owned => {
                won(next, p, put);
                next.process(p).stage = if config.rewinds > 0 { Stage::ListLineagesAgain } else { Stage::TakeOver };
            }
            ClaimJudgement::LookAgain => look_again(config, next, p),
            ClaimJudgement::RetrySameSlot => next.process(p).stage = Stage::Create(put),
        }
        return;
    }
    match judgement {
        Judgement::Won => {
            won(next, p, put);
            let process = next.process(p);
            process.stage = Stage::Ready;
            if let Kind::Commit { epoch, blob, .. } = put.record.kind {
                (process.known.head, process.known.head_id) = (epoch, put.record.id);
                Arc::make_mut(&mut process.book).committed([text(blob.into())]);
            }
        }
        Judgement::Fenced { .. } | Judgement::BehindBoundary => next.end(p, Stage::Fenced),
        Judgement::Lost { .. } => next.end(p, Stage::Alarm),
        Judgement::RetrySameSlot => next.process(p).stage = Stage::Create(put),
    }
}

/// The process takes its record for the one that counts: so it has to.
fn won(next: &mut State, p: usize, put: Put) {
    let line = next.processes[p].known.line;
    if next.logs[usize::from(line)].history[usize::from(put.slot)] != Some(put.record) {
        next.breaks(Invariant::I1);
    }
    let known = &mut next.process(p).known;
    known.tail = put.slot;
    if is_claim(&put) {
        (known.generation, known.known_from) = (put.record.generation, put.slot);
    }
}

fn look_again(config: &Config, next: &mut State, p: usize) {
    let tries = next.processes[p].known.tries + 1;
    if tries > 3 {
        // It gives up with exit code 4 and may be started again.
        return next.end(p, Stage::Down);
    }
    next.process(p).known = Known { tries, ..Known::default() };
    next.process(p).stage = first_look(config);
}

/// Reads what the claim entitles to; or the claim was an operator's, who wants to go back to an older epoch.
fn take_over(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let mut next = state.clone();
    let known = state.processes[p].known;
    let log = &state.logs[usize::from(known.line)];
    let newest = match log.history[usize::from(known.tail)].map(|record| record.kind) {
        Some(Kind::Claim { newest }) => newest,
        _ => None,
    };
    let read = newest.map(|slot| (slot, log.slots[usize::from(slot)]));
    let process = next.process(p);
    (process.known.floor, process.known.claims) = (log.boundary, log.closed_claims);
    if !known.early {
        (process.known.head, process.known.head_id) = (log.base(), 0);
    }
    match read {
        None => {}
        Some((slot, Some(Record { id, kind: Kind::Commit { epoch, blob, .. }, .. }))) => {
            process.known.known_from = slot;
            if !known.early {
                (process.known.head, process.known.head_id) = (epoch, id);
            }
            let contents = CONTENTS[usize::from(blob % 6 / 3)];
            process.book = Arc::new(BlobBook::new([(contents, 1, text(blob.into()))]));
        }
        Some(_) => miss(config, &mut next, p),
    }
    if next.processes[p].stage == Stage::TakeOver {
        crate::rewind::choices(config, state, &next, p, out);
        let process = next.process(p);
        process.known.early = false;
        process.known.tries = 0;
        process.stage = if config.sink == SinkKind::None { Stage::Ready } else { Stage::OpenSink };
        process.delivery = if config.sink == SinkKind::None { Step::Idle } else { Step::Closed };
    }
    out.push((Act::of(p, "takes over; the newest epoch is", next.processes[p].known.head), next));
}

/// Seals the next epoch: its state file is put, or reused, and the commit is made ready.
fn seal(config: &Config, state: &State, p: usize, out: &mut Vec<(Act, State)>) {
    let Process { known, incarnation, .. } = &state.processes[p];
    if known.head >= config.epochs || State::beyond(u64::from(known.tail) + 1) {
        return;
    }
    for (contents, hash) in CONTENTS.iter().enumerate().take(config.contents.into()) {
        let mut next = state.clone();
        let (line, slot) = (known.line, known.tail + 1);
        let book = Arc::make_mut(&mut next.process(p).book);
        let reused = book.reuse(hash, 1).and_then(|object| object.parse::<u8>().ok());
        let blob = reused.unwrap_or_else(|| {
            let times = book.times_given_up(hash);
            let blob = blob_number(config, known.generation, contents, times);
            book.learn(hash, 1, text(blob.into()));
            blob
        });
        if reused.is_none() {
            next.log(line).blobs |= 1 << blob;
        }
        let id = id(p, *incarnation, known.tries, slot, line);
        let kind = Kind::Commit { epoch: known.head + 1, from: known.head_id, blob };
        let record = Record { id, generation: known.generation, kind };
        next.process(p).stage = Stage::Create(Put { slot, record, attempts: 0 });
        out.push((Act::of(p, "puts the state of epoch", known.head + 1), next));
    }
}
