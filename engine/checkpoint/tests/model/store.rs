//! The object store: creates that lie, lists that may be old, and the book of what has counted.

use crate::config::{Config, Safeguard};
use crate::invariants::Invariant;
use crate::state::{Flight, Id, Kind, Log, Record, SLOTS, State};
use aqueduct_checkpoint::protocol::{Last, Slot, Tail, tail_after};
use aqueduct_core::{Generation, Lineage};
use std::sync::LazyLock;

/// What may go wrong with a request that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It is applied; the reply is an error.
    ReplyLost,
    /// It is not applied; the reply is an error, or "exists" (S3's 409).
    NotApplied,
    /// The reply is an error; it may be applied at any later moment.
    Late,
    /// It is applied, and may be applied once more at any later moment.
    Twice,
}

impl Fault {
    pub(crate) const ALL: [Fault; 5] = [Fault::None, Fault::ReplyLost, Fault::NotApplied, Fault::Late, Fault::Twice];

    /// Those that the state's budget allows.
    pub(crate) fn allowed(state: &State) -> &'static [Fault] {
        const ALL: &[Fault] = &Fault::ALL;
        if state.faults > 0 { ALL } else { &ALL[..1] }
    }

    pub(crate) fn spend(self, state: &mut State) {
        state.faults -= u8::from(self != Fault::None);
    }
}

/// Text of a number; the protocol compares text.
pub(crate) fn text(id: Id) -> &'static str {
    static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| (0..0x2000).map(|id| format!("{id:05}")).collect());
    &TEXTS[usize::from(id)]
}

/// The id of a write.
pub(crate) fn id(process: usize, incarnation: u8, tries: u8, slot: u8, line: u8) -> Id {
    1 + Id::from(slot)
        + 16 * (Id::from(tries & 3) + 4 * (Id::from(incarnation & 7) + 8 * (process as Id + 4 * Id::from(line))))
}

/// Writes under way that a state may hold; more are not sent.
const FLIGHTS: usize = 2;

impl State {
    pub(crate) fn send(&mut self, flight: Flight) -> bool {
        if self.flights.len() >= FLIGHTS {
            return false;
        }
        self.flights.push(flight);
        self.flights.sort_unstable();
        true
    }

    /// Create-if-absent; whether it landed.
    pub(crate) fn create(&mut self, line: u8, slot: u8, record: Record) -> bool {
        let log = self.log(line);
        let at = usize::from(slot);
        if log.slots[at].is_some() {
            return false;
        }
        log.slots[at] = Some(record);
        log.folder = true;
        if slot < log.boundary {
            return true;
        }
        match log.history[at] {
            Some(counted) if counted == record => {}
            Some(_) => self.breaks(Invariant::I1),
            None => {
                self.log(line).history[at] = Some(record);
                self.judge_order(line, slot, record);
            }
        }
        true
    }

    /// What has just begun to count must follow what counted before.
    fn judge_order(&mut self, line: u8, slot: u8, record: Record) {
        let log = &self.logs[usize::from(line)];
        let before: Vec<Record> = log.history[..usize::from(slot)].iter().flatten().copied().collect();
        let claimed = before.iter().filter(|record| matches!(record.kind, Kind::Claim { .. }));
        let newest_claim = claimed.map(|record| record.generation).max();
        let last_commit = before.iter().rev().find_map(|record| match record.kind {
            Kind::Commit { epoch, .. } => Some((epoch, record.id)),
            Kind::Claim { .. } | Kind::Rewind { .. } => None,
        });
        let base = log.base();
        let gap = before.len() < usize::from(slot);
        match record.kind {
            // The copy that a new lineage goes on from is written before slot 0.
            Kind::Commit { .. } if line > 0 && slot == 1 && newest_claim.is_none() => {}
            Kind::Rewind { .. } => {}
            // Only the first line begins with nothing.
            Kind::Claim { .. } if line > 0 && slot == 0 => self.breaks(Invariant::I6),
            Kind::Claim { .. } => {
                if gap || newest_claim.is_some_and(|newest| newest >= record.generation) {
                    self.breaks(Invariant::I1);
                }
            }
            Kind::Commit { epoch, from, .. } => {
                if gap || newest_claim != Some(record.generation) {
                    self.breaks(Invariant::I1);
                }
                if last_commit.unwrap_or((base, 0)) != (epoch - 1, from) {
                    self.breaks(Invariant::I6);
                }
            }
        }
    }

    /// A create with a fault: what the client is told (`Ok` or an error) and whether the error says "exists". `None` where the
    /// fault cannot happen.
    pub(crate) fn put(&mut self, line: u8, slot: u8, record: Record, fault: Fault) -> Option<Reply> {
        fault.spend(self);
        let copy = Flight::Record { line, slot, record };
        let free = self.logs[usize::from(line)].slots[usize::from(slot)].is_none();
        match fault {
            Fault::None => Some(if self.create(line, slot, record) { Reply::Done } else { Reply::Exists }),
            // On a taken slot these look like a clean refusal.
            _ if !free => None,
            Fault::ReplyLost => {
                self.create(line, slot, record);
                Some(Reply::Exists)
            }
            Fault::NotApplied => Some(Reply::Unknown),
            Fault::Late => self.send(copy).then_some(Reply::Unknown),
            Fault::Twice => {
                self.create(line, slot, record);
                self.send(copy).then_some(Reply::Done)
            }
        }
    }

    /// What the tail looks like to a probe that begins at `start`.
    pub(crate) fn probe(&self, line: u8, start: u8) -> Tail {
        let log = &self.logs[usize::from(line)];
        let (mut tail, mut slot) = (Tail::Empty, usize::from(start));
        while let Some(record) = log.slots.get(slot).copied().flatten() {
            let last = match record.kind {
                Kind::Claim { newest } => Last::Claim { newest_commit: newest.map(|slot| Slot(slot.into())) },
                Kind::Commit { .. } => Last::Commit,
                Kind::Rewind { .. } => Last::Rewind,
            };
            tail = tail_after(Slot(slot as u64), Generation(record.generation.into()), last);
            slot += 1;
        }
        tail
    }

    /// The boundary as a list shows it: 0 is none.
    pub(crate) fn listed_boundaries(&self, config: &Config, line: u8) -> impl Iterator<Item = Slot> + use<> {
        let log = &self.logs[usize::from(line)];
        let (now, before) = (log.boundary, log.boundary_before);
        let fresh = config.has(Safeguard::FreshBoundaries);
        let listed = if fresh { [before, now] } else { [before, before] };
        listed.into_iter().filter(|slot| *slot > 0).map(|slot| Slot(slot.into()))
    }

    /// Lineages that exist for a claimant.
    pub(crate) fn lineages(&self, config: &Config) -> Vec<Lineage> {
        let by_record = config.has(Safeguard::LineageLast);
        let exists = |log: &Log| if by_record { log.slots[0].is_some() } else { log.folder };
        let found = self.logs.iter().enumerate().filter(|(_, log)| exists(log));
        found.map(|(line, _)| Lineage(line as u32 + 1)).collect()
    }

    /// Lineages that have a folder.
    pub(crate) fn folders(&self) -> Vec<Lineage> {
        let found = self.logs.iter().enumerate().filter(|(_, log)| log.folder);
        found.map(|(line, _)| Lineage(line as u32 + 1)).collect()
    }

    /// True when a slot lies beyond what the model holds.
    pub(crate) fn beyond(slot: u64) -> bool {
        slot >= SLOTS as u64
    }
}

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    /// "It exists"; perhaps because our own write landed.
    Exists,
    /// An error without a meaning.
    Unknown,
}
