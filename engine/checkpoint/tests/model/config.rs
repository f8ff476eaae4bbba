//! What a run explores: how many of everything, which faults, and which safeguard is taken away.

use crate::invariants::Invariant;

/// What the results go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinkKind {
    /// Nowhere: the log alone.
    None,
    /// A database: fence, rows and cursor change in one atomic step.
    Table,
    /// A bucket: objects are only created; claims and entries are listed.
    Ledger,
}

/// A safeguard of the protocol that a run can do without, to see what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safeguard {
    /// After a refused create the slot is read. Without: the reply is believed.
    ReadBack,
    /// What was read back is compared by put id. Without: by generation.
    PutId,
    /// State is read after the claim is known to be ours. Without: before it.
    ClaimBeforeRead,
    /// After a create that may have met a collected slot the boundary is read. Without: it is not.
    Boundary,
    /// The sink refuses lower generations and other cursors. Without: it applies what comes.
    SinkFence,
    /// The sink refuses owners of left-behind lineages and lower generations. Without: it looks at the cursor only.
    SinkGeneration,
    /// A sink that is ahead of the log, or behind what is kept, is refused. Without: delivery goes on from the head.
    CursorCheck,
    /// Going back begins a new lineage. Without: epochs begin again in the old one.
    NewLineage,
    /// The record that makes a lineage exist is its last one. Without: it is the first.
    LineageLast,
    /// Blobs lie under the generation that wrote them. Without: under their contents alone.
    BlobNames,
    /// The boundary moves before anything is deleted. Without: after it.
    BoundaryFirst,
    /// An owner that misses a file looks whether it is still the owner before it calls the checkpoint damaged.
    LookBeforeAlarm,
    /// Not a safeguard of ours but of the store: boundaries are listed as they are. Without: a list may be old.
    FreshBoundaries,
}

/// A run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    pub(crate) processes: usize,
    /// Epochs until the input ends.
    pub(crate) epochs: u8,
    /// Lies of store and sink, in all.
    pub(crate) faults: u8,
    /// Crashes, in all; each process may start again.
    pub(crate) crashes: u8,
    /// So many different contents a state file can have: contents come back.
    pub(crate) contents: u8,
    pub(crate) collects: bool,
    /// Lists of the log may be old.
    pub(crate) stale_lists: bool,
    pub(crate) sink: SinkKind,
    /// Times that an operator goes back to an older epoch.
    pub(crate) rewinds: u8,
    /// Times that the sink is set back to an older state.
    pub(crate) restores: u8,
    pub(crate) without: &'static [Safeguard],
    /// What must hold.
    pub(crate) invariants: &'static [Invariant],
}

impl Config {
    /// Two processes, two epochs, nothing goes wrong.
    pub(crate) const QUIET: Config = Config {
        name: "quiet",
        processes: 2,
        epochs: 2,
        faults: 0,
        crashes: 0,
        contents: 1,
        collects: false,
        stale_lists: false,
        sink: SinkKind::None,
        rewinds: 0,
        restores: 0,
        without: &[],
        invariants: Invariant::ALL,
    };

    /// Whether a safeguard is in place.
    pub(crate) fn has(&self, safeguard: Safeguard) -> bool {
        !self.without.contains(&safeguard)
    }
}
