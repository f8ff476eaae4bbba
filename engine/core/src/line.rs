//! Where a lineage comes from, and what that means to a sink which has served its ancestors.
//!
//! A lineage that was cut from an older one (rewind, savepoint, damage) shares that one's epochs up to the cut. So a sink
//! goes on after what it has of them: nothing that it holds is delivered again, nothing that it lacks is left out. Pure
//! data and one decision; who reads and writes the external system is the sink.

use crate::{Epoch, Generation, JobName, Lineage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An older line of epochs, of this job or of the one that a savepoint was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Whose.
    pub job: JobName,
    /// Which.
    pub lineage: Lineage,
    /// The last epoch that it shares with the younger one.
    pub shared: Epoch,
}

/// The ancestors of a lineage; empty for one that began with nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// The nearest first.
    pub ancestors: Vec<Ancestor>,
    /// Table name to what the sink of that table had applied when the line was cut, where that is known. A sink at another
    /// address, which knows no ancestor, begins there.
    pub delivered: BTreeMap<String, Epoch>,
}

/// What the external system of a sink holds about one lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose.
    pub job: JobName,
    /// Which.
    pub lineage: Lineage,
    /// The newest owner that has opened the sink.
    pub generation: Generation,
    /// Everything up to it is applied.
    pub epoch: Epoch,
}

/// What a reader of the sink's table sees when the rows of an epoch come once more under a new lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeated {
    /// The same as before: rows are replaced by their key, or by the ledger's word.
    #[default]
    Replaced,
    /// Every row twice.
    Twice,
}

/// The answer to [`crate::Sink::survey`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// One entry per lineage that the external system knows, in any order.
    pub standings: Vec<Standing>,
    /// What repeated rows come to.
    pub repeated: Repeated,
    /// The same for a person, as the end of a sentence that begins with the epochs' numbers: `rows are written over the ones there`.
    pub words: String,
}

impl Line {
    /// The line of a lineage that is cut from lineage `lineage` of `job` after epoch `shared`; `self` is that one's own line.
    #[must_use]
    pub fn cut(&self, job: &JobName, lineage: Lineage, shared: Epoch) -> Line {
        let nearest = Ancestor { job: job.clone(), lineage, shared };
        let older = self.ancestors.iter().map(|older| Ancestor { shared: older.shared.min(shared), ..older.clone() });
        // A sink that was never opened for this line still begins where this line had it begin.
        Line { ancestors: std::iter::once(nearest).chain(older).collect(), delivered: self.delivered.clone() }
    }

    /// Where a sink begins that has not been opened for this lineage: after what it has of the nearest ancestor it knows; at
    /// another address after what had been delivered at the cut, as far as that is known, else after the cut.
    pub fn begin(&self, table: &str, standings: &[Standing]) -> Epoch {
        let Some(nearest) = self.ancestors.first() else { return Epoch::ZERO };
        let known = self.ancestors.iter().find_map(|ancestor| {
            let own = |standing: &&Standing| standing.job == ancestor.job && standing.lineage == ancestor.lineage;
            standings.iter().find(own).map(|standing| standing.epoch.min(ancestor.shared))
        });
        let elsewhere = || self.delivered.get(table).copied().unwrap_or(nearest.shared).min(nearest.shared);
        known.unwrap_or_else(elsewhere)
    }

    /// Where a sink stands for lineage `lineage` of `job`, whose line this is: where it is, or where it would begin.
    pub fn cursor(&self, job: &JobName, lineage: Lineage, table: &str, standings: &[Standing]) -> Epoch {
        let own = standings.iter().find(|standing| standing.job == *job && standing.lineage == lineage);
        own.map_or_else(|| self.begin(table, standings), |own| own.epoch)
    }

    /// The names of other jobs among the ancestors, each once: their cursors lie under other keys.
    pub fn other_jobs(&self, own: &JobName) -> Vec<JobName> {
        let mut names: Vec<JobName> = Vec::new();
        for ancestor in &self.ancestors {
            if ancestor.job != *own && !names.contains(&ancestor.job) {
                names.push(ancestor.job.clone());
            }
        }
        names
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
