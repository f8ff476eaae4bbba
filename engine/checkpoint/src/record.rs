//! What is written to the log: one record per slot, with a format version and a checksum.
//!
//! A record is two lines of JSON, so that a person can read it with any tool: a header with format version, length and
//! CRC-32 of the second line, and the record itself. Where records lie and what follows from them is not decided here.

mod origin;

pub use origin::{Cut, Origin, Owner, Why};

use crate::protocol::Slot;
use aqueduct_core::{Epoch, EventTime, Generation, Lineage, Offset, ShardId, SourceIdentity, SplitId, Watermark};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The newest version that is read. Older versions stay readable; newer ones are refused by name.
pub const FORMAT: u32 = 2;

/// What claims and commits are written as: a program that knows no other version reads them.
const PLAIN: u32 = 1;

/// Everything that one epoch is made of. Immutable once its record is created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitBody {
    /// The epoch; always the one after the epoch committed before.
    pub epoch: Epoch,
    /// When the epoch was sealed, in milliseconds since 1970.
    pub sealed_at_ms: i64,
    /// Where every split stands.
    pub splits: Vec<SplitState>,
    /// Table name to what must not change under it.
    pub source_identity: BTreeMap<String, SourceIdentity>,
    /// Query id to what its state means.
    pub queries: BTreeMap<String, QueryState>,
    /// Where every record went, up to this epoch; the runtime's own shape.
    pub ledger: serde_json::Value,
    /// The files of the state store.
    pub state_files: Vec<BlobRef>,
    /// The results sealed with this epoch.
    pub outbox: Vec<OutboxSegment>,
    /// True when the input has ended: nothing comes after this epoch.
    pub finished: bool,
}

/// Where a split stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitState {
    /// The table that reads it.
    pub source: String,
    /// The split.
    pub split: SplitId,
    /// The next record to read.
    pub next: Offset,
    /// Its watermark.
    pub watermark: Watermark,
}

/// What the state of a query means, so that a restore into another plan can be refused with names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryState {
    /// The view's name, for people.
    pub name: String,
    /// Human-readable parts: keys, aggregates, window.
    pub fingerprint: Vec<String>,
    /// Windows that end up to here have fired.
    pub fired_up_to: EventTime,
}

/// An immutable object, named by its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// The caller's name for it, such as the file's name in the state folder.
    pub name: String,
    /// SHA-256 of the contents, hex.
    pub sha256: String,
    /// Length of the contents.
    pub bytes: u64,
    /// Where it lies, relative to the shard's folder, so that a copied folder stays whole. Made by `put_blob` only.
    pub object: String,
}

/// The results of one epoch for one sink, in order of `sequence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxSegment {
    /// The sink's table.
    pub sink: String,
    /// Rows in it.
    pub rows: u64,
    /// The rows.
    pub blob: BlobRef,
    /// Its place among the segments of this epoch and sink.
    pub sequence: u32,
}

impl CommitBody {
    /// Every blob that this epoch needs.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        self.state_files.iter().chain(self.outbox.iter().map(|segment| &segment.blob))
    }
}

/// What a slot of the log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A new owner: every lower generation is out from here on.
    Claim {
        /// The slot of the newest commit before this claim; `None` before the first one.
        newest_commit: Option<Slot>,
        /// Slots after the newest readable commit that could not be read when this claim was made. The epoch that it names may
        /// not be the newest one: nobody goes on from it in this lineage.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        damaged: Vec<Slot>,
        /// Who it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Owner>,
    },
    /// An epoch.
    Commit {
        /// What it is made of.
        body: Box<CommitBody>,
    },
    /// The first record of a lineage that was cut from another one. Format version 2: a program that does not know it would
    /// begin with nothing.
    Rewind {
        /// All that it begins with.
        origin: Box<Origin>,
    },
}

/// One slot of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Where it belongs: a record found in another slot is damage.
    pub slot: Slot,
    /// Tells this very write from every other one.
    pub put_id: String,
    /// The owner that wrote it.
    pub generation: Generation,
    /// The line of epochs.
    pub lineage: Lineage,
    /// The shard.
    pub shard: ShardId,
    /// What it says.
    #[serde(flatten)]
    pub kind: Kind,
}

impl Record {
    /// The newest commit up to this record, when the record itself says so: the slot that holds it.
    pub(crate) fn newest_commit(&self) -> Option<Slot> {
        match &self.kind {
            Kind::Commit { .. } => Some(self.slot),
            Kind::Claim { newest_commit, .. } => *newest_commit,
            Kind::Rewind { origin } => (!origin.commits.is_empty()).then_some(self.slot),
        }
    }

    /// The commits in this record, ascending.
    pub(crate) fn commits(&self) -> &[CommitBody] {
        match &self.kind {
            Kind::Commit { body } => std::slice::from_ref(body),
            Kind::Claim { .. } => &[],
            Kind::Rewind { origin } => &origin.commits,
        }
    }

    /// The same, taken out.
    pub(crate) fn into_commits(self) -> Vec<CommitBody> {
        match self.kind {
            Kind::Commit { body } => vec![*body],
            Kind::Claim { .. } => Vec::new(),
            Kind::Rewind { origin } => origin.commits,
        }
    }

    fn format(&self) -> u32 {
        if matches!(self.kind, Kind::Rewind { .. }) { FORMAT } else { PLAIN }
    }

    /// The bytes of the record.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        encode_as(self.format(), self)
    }
}

/// The object that closes the slots below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundary {
    /// Slots below this one are closed for ever.
    pub slot: Slot,
    /// Tells this very write from every other one.
    pub put_id: String,
    /// Who closed them.
    pub generation: Generation,
    /// The closed slots that stay in place: claims, on which stalled owners run aground.
    pub claims: Vec<Slot>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    crc32: String,
    bytes: usize,
}

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Cut, changed, or never ours.
    #[error("is damaged ({0})")]
    Damaged(String),
    /// Written by a later program.
    #[error("has format version {found}, this program reads up to {FORMAT}")]
    TooNew {
        /// The version it carries.
        found: u32,
    },
}

/// The bytes of a boundary, or of a record as [`Record::encode`] gives them unless it begins a lineage.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    encode_as(PLAIN, value)
}

/// The same with another version in the header.
pub(crate) fn encode_as<T: Serialize>(format: u32, value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_vec(value)?;
    let header = Header { format, crc32: format!("{:08x}", crc32fast::hash(&body)), bytes: body.len() };
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&body);
    bytes.push(b'\n');
    Ok(bytes)
}

/// The record or boundary in `bytes`.
pub fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Unreadable> {
    let damaged = |why: String| Unreadable::Damaged(why);
    let split = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(|| damaged("no header line".to_owned()))?;
    let header: Header =
        serde_json::from_slice(&bytes[..split]).map_err(|error| damaged(format!("unreadable header: {error}")))?;
    if header.format > FORMAT {
        return Err(Unreadable::TooNew { found: header.format });
    }
    let body = bytes[split + 1..].strip_suffix(b"\n").unwrap_or(&bytes[split + 1..]);
    if body.len() != header.bytes {
        return Err(damaged(format!("{} bytes instead of {}", body.len(), header.bytes)));
    }
    let crc32 = format!("{:08x}", crc32fast::hash(body));
    if crc32 != header.crc32 {
        return Err(damaged(format!("CRC-32 {crc32} instead of {}", header.crc32)));
    }
    serde_json::from_slice(body).map_err(|error| damaged(format!("unreadable body: {error}")))
}

#[cfg(test)]
mod tests;
