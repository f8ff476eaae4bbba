//! What a lineage that was cut from another one begins with: one record holds it all, so that it begins whole or not at all.
//!
//! How blobs come to it is decided elsewhere.

use super::{CommitBody, QueryState, SplitState};
use aqueduct_core::{Epoch, JobName, Line, Lineage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a lineage was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Why {
    /// An operator went back to an older epoch.
    Rewind,
    /// The newest checkpoint could not be read.
    Damage {
        /// What could not be read, in words.
        what: String,
    },
    /// A savepoint.
    Savepoint {
        /// Its unique id.
        id: String,
        /// Where it lay.
        url: String,
    },
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Rewind => f.write_str("rewind"),
            Why::Damage { .. } => f.write_str("damage"),
            Why::Savepoint { url, .. } => write!(f, "savepoint {url}"),
        }
    }
}

/// An epoch of an ancestor as it was cut, so that it can be sealed once more with the same contents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Its number.
    pub epoch: Epoch,
    /// When it was sealed: wall-clock columns repeat it.
    pub sealed_at_ms: i64,
    /// Where every split stood.
    pub splits: Vec<SplitState>,
    /// Query id to what had fired.
    pub queries: BTreeMap<String, QueryState>,
    /// Table name to rows sealed for it.
    pub rows: BTreeMap<String, u64>,
    /// The input had ended.
    pub finished: bool,
}

impl Cut {
    /// The cut of a commit.
    pub fn of(body: &CommitBody) -> Self {
        let mut rows = BTreeMap::new();
        for segment in &body.outbox {
            *rows.entry(segment.sink.clone()).or_insert(0) += segment.rows;
        }
        Self {
            epoch: body.epoch,
            sealed_at_ms: body.sealed_at_ms,
            splits: body.splits.clone(),
            queries: body.queries.clone(),
            rows,
            finished: body.finished,
        }
    }
}

/// The beginning of a lineage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The job that it was cut from.
    pub from_job: JobName,
    /// The lineage that it was cut from.
    pub from_lineage: Lineage,
    /// The last epoch that both share; [`Epoch::ZERO`] begins with nothing.
    pub from_epoch: Epoch,
    /// Why.
    #[serde(flatten)]
    pub why: Why,
    /// The ancestors, for the sinks.
    pub line: Line,
    /// The shared epochs that are kept, ascending; only the last one, `from_epoch`, has state files.
    pub commits: Vec<CommitBody>,
    /// Epochs after `from_epoch` that sinks may already have, ascending: they are sealed again with the same cuts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeats: Vec<Cut>,
}

impl Origin {
    /// Ids of the savepoints that this lineage descends from directly.
    pub fn savepoint(&self) -> Option<&str> {
        match &self.why {
            Why::Savepoint { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// Who took a shard, for people and for the question whether it is still alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// Where it answers HTTP, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
}
