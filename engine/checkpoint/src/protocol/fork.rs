//! How far a job goes back when its newest checkpoint cannot be read, without any sink losing or doubling a row.
//!
//! The new lineage restores epoch `to` and seals the epochs after it once more with the cuts that their records tell, so that
//! they come out the same: a sink that has them passes them over, a sink that lacks them gets them.

use aqueduct_core::Epoch;
use std::collections::BTreeMap;

/// An epoch whose record can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochFacts {
    /// Its number.
    pub epoch: Epoch,
    /// Every state file is whole.
    pub state: bool,
    /// Table name to whether every result sealed for it is whole; a table without results is not named.
    pub results: BTreeMap<String, bool>,
}

/// A sink as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkFacts {
    /// Its table.
    pub table: String,
    /// Everything up to here is applied.
    pub cursor: Epoch,
    /// Rows that come again stand there twice.
    pub twice: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForkPlan {
    /// Begin a lineage there.
    GoBack {
        /// The epoch whose state is restored.
        to: Epoch,
        /// The epochs that are sealed again as they were, ascending.
        repeats: Vec<Epoch>,
    },
    /// A sink holds rows of an epoch whose record is gone: they would stand there twice.
    WouldDouble {
        /// The sink's table.
        table: String,
        /// What it has applied.
        cursor: Epoch,
        /// The newest epoch whose record can be read.
        newest: Epoch,
    },
    /// No kept epoch can be restored.
    NothingReadable,
}

/// Decides. `kept` holds consecutive epochs, ascending, up to the newest readable record.
pub fn plan_fork(kept: &[EpochFacts], sinks: &[SinkFacts]) -> ForkPlan {
    let Some(newest) = kept.last().map(|facts| facts.epoch) else { return ForkPlan::NothingReadable };
    if let Some(sink) = sinks.iter().find(|sink| sink.twice && sink.cursor > newest) {
        return ForkPlan::WouldDouble { table: sink.table.clone(), cursor: sink.cursor, newest };
    }
    let delivers = |to: Epoch| {
        kept.iter().filter(|facts| facts.epoch <= to).all(|facts| {
            let lacks = |sink: &&SinkFacts| sink.cursor < facts.epoch;
            sinks.iter().filter(lacks).all(|sink| facts.results.get(&sink.table).copied().unwrap_or(true))
        })
    };
    let target = kept.iter().rev().find(|facts| facts.state && delivers(facts.epoch));
    let Some(to) = target.map(|facts| facts.epoch) else { return ForkPlan::NothingReadable };
    let furthest = sinks.iter().map(|sink| sink.cursor).max().unwrap_or(to).min(newest);
    let repeats = kept.iter().map(|facts| facts.epoch).filter(|epoch| *epoch > to && *epoch <= furthest).collect();
    ForkPlan::GoBack { to, repeats }
}

#[cfg(test)]
#[path = "fork_tests.rs"]
mod tests;
