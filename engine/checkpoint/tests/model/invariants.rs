//! What must hold in every reachable state (I1 to I6), and what must stay reachable from it (I7).
//!
//! Some are seen in a state, others in the step that breaks them; such a step leaves a bit in the state.

use crate::config::{Config, SinkKind};
use crate::state::{EPOCHS, Kind, LINES, State, Step};

/// The laws, by the names of the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invariant {
    /// One valid record per lineage and slot; a commit's generation is that of the claim before it; whoever takes a record for
    /// won has the one that counts.
    I1,
    /// The sink holds the fold of the commits up to its cursor, and nothing of a lineage that was left behind.
    I2,
    /// Cursors never go back, unless the sink is set back.
    I3,
    /// Everything that a retained commit needs exists, and what a sink still needs is retained.
    I4,
    /// No sink is ahead of the durable log.
    I5,
    /// Each commit goes on exactly where the one before it stopped.
    I6,
    /// When faults stop, every epoch is still sealed and delivered.
    I7,
    /// Nobody calls a healthy log damaged.
    NoFalseAlarm,
}

impl Invariant {
    pub(crate) const ALL: &'static [Invariant] = &[
        Invariant::I1,
        Invariant::I2,
        Invariant::I3,
        Invariant::I4,
        Invariant::I5,
        Invariant::I6,
        Invariant::I7,
        Invariant::NoFalseAlarm,
    ];

    pub(crate) fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl State {
    /// A step broke a law.
    pub(crate) fn breaks(&mut self, invariant: Invariant) {
        self.broken |= invariant.bit();
    }
}

/// The first law of the run that does not hold.
pub(crate) fn broken(config: &Config, state: &State) -> Option<Invariant> {
    config.invariants.iter().copied().find(|invariant| {
        state.broken & invariant.bit() != 0
            || match invariant {
                Invariant::I2 => !sink_is_a_fold(config, state),
                Invariant::I4 => !closure_is_whole(config, state),
                Invariant::I5 => sink_is_ahead(config, state),
                _ => false,
            }
    })
}

fn sink_is_a_fold(config: &Config, state: &State) -> bool {
    if config.sink == SinkKind::None {
        return true;
    }
    (0..LINES).all(|line| {
        let log = &state.logs[line];
        (1..EPOCHS as u8).all(|epoch| {
            let row = state.sink.rows[line][usize::from(epoch)];
            let counts = log.commit_of(epoch).map_or(0, |(_, record)| record.id);
            if epoch > log.base() && epoch <= state.sink.cursor[line] { row == counts } else { row == 0 }
        })
    })
}

fn sink_is_ahead(config: &Config, state: &State) -> bool {
    config.sink != SinkKind::None && (0..LINES).any(|line| state.sink.cursor[line] > state.logs[line].head())
}

fn closure_is_whole(config: &Config, state: &State) -> bool {
    (0..LINES).all(|line| {
        let log = &state.logs[line];
        let kept = log.history.iter().enumerate().filter_map(|(slot, record)| Some((slot, (*record)?)));
        let whole = kept.clone().all(|(slot, record)| match record.kind {
            Kind::Commit { blob, .. } => {
                slot < usize::from(log.boundary) || (log.slots[slot] == Some(record) && log.blobs & (1 << blob) != 0)
            }
            // Claims stay also below the boundary: stalled owners run aground on them.
            Kind::Claim { .. } | Kind::Rewind { .. } => log.slots[slot] == Some(record),
        });
        let owed = if config.sink == SinkKind::None || state.restored {
            u8::MAX
        } else {
            state.sink.cursor[line].max(log.base())
        };
        let kept_for_sink = kept.clone().all(|(slot, record)| match record.kind {
            Kind::Commit { epoch, .. } => epoch <= owed || slot >= usize::from(log.boundary),
            Kind::Claim { .. } | Kind::Rewind { .. } => true,
        });
        whole && kept_for_sink
    })
}

/// Everything is sealed and delivered: what must stay reachable.
pub(crate) fn settled(config: &Config, state: &State) -> bool {
    state.processes.iter().any(|process| {
        let delivered = config.sink == SinkKind::None || process.cursor == config.epochs;
        matches!(process.delivery, Step::Idle) && process.known.head == config.epochs && delivered
    })
}
