//! The whole world at one moment: the object store, the processes, the sink, what is under way, and what is left to go wrong.
//!
//! Plain data, small and comparable; what happens next is told elsewhere. Numbers are bytes here and become the protocol's
//! own types where a decision is asked.

use aqueduct_checkpoint::protocol::BlobBook;
use std::sync::Arc;

/// Slots of a log; a run that needs more is counted as cut.
pub(crate) const SLOTS: usize = 12;
/// Lineages.
pub(crate) const LINES: usize = 3;
/// Epochs and one.
pub(crate) const EPOCHS: usize = 5;

/// Names one write for ever: process, incarnation, attempt to claim, and slot. 0 is none.
pub(crate) type Id = u16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Claim { newest: Option<u8> },
    Commit { epoch: u8, from: Id, blob: u8 },
    Rewind { base: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) id: Id,
    pub(crate) generation: u8,
    pub(crate) kind: Kind,
}

/// One lineage in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Log {
    /// What lies in the store now.
    pub(crate) slots: [Option<Record>; SLOTS],
    /// What has counted, for ever; only invariants (and owners, for what they know already) look here.
    pub(crate) history: [Option<Record>; SLOTS],
    /// The greatest boundary; 0 is none.
    pub(crate) boundary: u8,
    /// Claims below it.
    pub(crate) closed_claims: u16,
    /// The boundary before it: what an old list shows.
    pub(crate) boundary_before: u8,
    /// Blobs that exist, by number.
    pub(crate) blobs: u64,
    /// Whether its folder exists.
    pub(crate) folder: bool,
}

impl Log {
    pub(crate) fn newest_slot(&self) -> Option<u8> {
        self.slots.iter().rposition(Option::is_some).map(|slot| slot as u8)
    }

    /// The commit that counts for an epoch: the last one in the log.
    pub(crate) fn commit_of(&self, wanted: u8) -> Option<(u8, Record)> {
        let mut found =
            self.history.iter().enumerate().rev().filter_map(|(slot, record)| Some((slot as u8, (*record)?)));
        found.find(|(_, record)| matches!(record.kind, Kind::Commit { epoch, .. } if epoch == wanted))
    }

    /// The newest epoch that counts.
    pub(crate) fn head(&self) -> u8 {
        let epochs = self.history.iter().rev().flatten().find_map(|record| match record.kind {
            Kind::Commit { epoch, .. } => Some(epoch),
            Kind::Claim { .. } | Kind::Rewind { .. } => None,
        });
        epochs.unwrap_or_else(|| self.base())
    }

    /// The epoch that this lineage was cut after.
    pub(crate) fn base(&self) -> u8 {
        match self.history[0].map(|record| record.kind) {
            Some(Kind::Rewind { base }) => base,
            _ => 0,
        }
    }
}

/// A create of a record, on its way to an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Put {
    pub(crate) slot: u8,
    pub(crate) record: Record,
    /// 1, or 2 for all further ones.
    pub(crate) attempts: u8,
}

/// What a collector has decided and not done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Garbage {
    /// Moves first.
    pub(crate) boundary: Option<u8>,
    pub(crate) claims: u16,
    pub(crate) records: u16,
    pub(crate) blobs: u64,
}

/// Where a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Stage {
    /// Not running; may be started (again).
    #[default]
    Down,
    /// Ended as fenced, exit code 5: nobody starts it again.
    Fenced,
    /// Ended with an alarm about damaged data, exit code 3: nobody starts it again.
    Alarm,
    ListLineages,
    ListBoundary,
    Probe {
        boundary: Option<u8>,
    },
    Create(Put),
    ReadBack(Put),
    /// The outcome of the create is known but for the boundary.
    Limit {
        put: Put,
        found: Option<Record>,
    },
    ListLineagesAgain,
    TakeOver,
    OpenSink,
    /// Sinks of created objects: the claim is written, the entries are not listed yet.
    ListSink,
    /// The sink's cursor is known.
    Backlog,
    Ready,
    Collect(Garbage),
    Sweep(Garbage),
    /// An operator's: the files of the new lineage, its slot 1, a look at the old one, its slot 0.
    RewindCopy {
        to: u8,
        line: u8,
    },
    RewindState {
        to: u8,
        line: u8,
    },
    RewindCheck {
        to: u8,
        line: u8,
    },
    RewindBegin {
        to: u8,
        line: u8,
    },
}

/// What an owner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Known {
    pub(crate) line: u8,
    pub(crate) generation: u8,
    pub(crate) tail: u8,
    pub(crate) head: u8,
    pub(crate) head_id: Id,
    /// Records from here to the tail are known.
    pub(crate) known_from: u8,
    pub(crate) floor: u8,
    /// Claims below the floor.
    pub(crate) claims: u16,
    pub(crate) swept: bool,
    /// Attempts to claim by this incarnation.
    pub(crate) tries: u8,
    /// A run without claim before read has read already.
    pub(crate) early: bool,
}

/// Where the delivery to the sink is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Step {
    #[default]
    Closed,
    Idle,
    /// The owner was checked.
    Checked,
    /// The rows are read.
    Loaded,
    /// Sinks of created objects: the claims were listed.
    Listed,
    /// The outcome is unknown: it has to be opened again.
    Unknown,
    /// As `Unknown`, and the claim is written again.
    Reclaimed,
    /// It is open, and stands before where it stood.
    Reopened,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Process {
    pub(crate) incarnation: u8,
    pub(crate) stage: Stage,
    pub(crate) known: Known,
    pub(crate) book: Arc<BlobBook>,
    pub(crate) delivery: Step,
    pub(crate) cursor: u8,
}

/// The sink: what each epoch of each lineage wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Sink {
    pub(crate) rows: [[Id; EPOCHS]; LINES],
    pub(crate) cursor: [u8; LINES],
    /// The greatest claim; `LEFT_BEHIND` after a newer lineage was opened.
    pub(crate) generation: [u8; LINES],
    /// The newest lineage that was opened.
    pub(crate) newest: u8,
}

/// No owner has this generation.
pub(crate) const LEFT_BEHIND: u8 = u8::MAX;

/// Something that may still arrive, whatever became of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Flight {
    Record { line: u8, slot: u8, record: Record },
    Blob { line: u8, blob: u8 },
    Apply { line: u8, generation: u8, after: u8, id: Id },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) logs: [Arc<Log>; LINES],
    pub(crate) processes: Vec<Process>,
    pub(crate) sink: Sink,
    pub(crate) flights: Vec<Flight>,
    pub(crate) faults: u8,
    pub(crate) crashes: u8,
    pub(crate) rewinds: u8,
    pub(crate) restores: u8,
    /// The sink was set back: a hole may be told.
    pub(crate) restored: bool,
    /// Invariants that a step broke, as bits.
    pub(crate) broken: u16,
}

impl State {
    pub(crate) fn log(&mut self, line: u8) -> &mut Log {
        Arc::make_mut(&mut self.logs[usize::from(line)])
    }
}
