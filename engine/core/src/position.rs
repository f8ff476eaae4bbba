//! Where things are: splits, offsets, epochs, generations, lineages, shards. Newtypes, so that one is never taken for another.
//!
//! It does not know how any of them is stored.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// The NEXT record to read in a split (for Kafka: the partition's next offset; for generated rows: the row number).
    Offset(i64)
}
number! {
    /// The number of a consistent cut of a shard; the first sealed epoch is 1.
    Epoch(u64)
}
number! {
    /// One incarnation of a shard's owner; each claim raises it by at least one. The first is 1.
    Generation(u64)
}
number! {
    /// A line of epochs that never repeats a number with other contents. Every rewind, fork or restore begins a new one.
    Lineage(u32)
}
number! {
    /// A complete little job over some of the source's splits. A one-process job is shard 0.
    ShardId(u32)
}

impl Epoch {
    /// The epoch before the first one: nothing sealed, nothing applied.
    pub const ZERO: Epoch = Epoch(0);

    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

/// A readable part of a source: `topic` (or file, or generator) and partition number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SplitId {
    /// The topic, file or generator name.
    pub topic: String,
    /// The partition in it; 0 where there is only one.
    pub partition: i32,
}

impl SplitId {
    /// A split of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// The name under which a job keeps its checkpoints and cursors: letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobName(String);

impl JobName {
    /// Checks that `name` can be part of a path, a document id and a transactional id.
    pub fn new(name: impl Into<String>) -> crate::Result<Self> {
        let name = name.into();
        let fits = !name.is_empty()
            && name.len() <= 128
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if fits {
            Ok(Self(name))
        } else {
            Err(crate::Error::config(format!(
                "pipeline.name '{name}' is not usable: take 1 to 128 letters, digits, '-', '_' or '.', beginning with a letter or digit"
            )))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
