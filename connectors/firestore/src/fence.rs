//! The fence document: who may write, and what has been written. Decisions only; calls are made in `sink`.

use crate::config::Config;
use crate::id::plain_id;
use aqueduct_core::{Claimed, Epoch, Error, Generation, JobName, Lineage, Result, ShardId, SinkSpec, Standing};
use gcloud_sdk::google::firestore::v1::precondition::ConditionType;
use gcloud_sdk::google::firestore::v1::value::ValueType;
use gcloud_sdk::google::firestore::v1::{Document, Precondition, Value, Write, write::Operation};
use gcloud_sdk::prost_types::Timestamp;

const COLLECTION: &str = "aqueduct_cursors";

/// What the document holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) job: String,
    pub(crate) shard: i64,
    pub(crate) sink: String,
    pub(crate) lineage: i64,
    pub(crate) generation: i64,
    /// The last epoch that is whole.
    pub(crate) epoch: i64,
    /// The epoch that is being written in chunks; 0 when there is none.
    pub(crate) pending_epoch: i64,
    /// How many of its documents are written.
    pub(crate) pending_documents: i64,
    /// Where and how they were written; with other options a pending epoch begins anew.
    pub(crate) target: String,
    /// Counts openings: a write that changes nothing would not change the update time either.
    pub(crate) opened: i64,
}

/// The fence's resource name.
pub(crate) fn name(config: &Config, claimed: &Claimed, spec: &SinkSpec) -> String {
    name_of(config, &claimed.job, claimed.shard, spec)
}

/// The same for any job.
pub(crate) fn name_of(config: &Config, job: &JobName, shard: ShardId, spec: &SinkSpec) -> String {
    let id = plain_id(&format!("{job}-s{shard}-{}", spec.table));
    config.location.document(COLLECTION, &id)
}

/// A write that is always refused: of a document that nobody makes, under the condition that it was written in the first second
/// of 1970. Whoever may not write is told so instead.
pub(crate) fn refused_write(config: &Config) -> Write {
    let name = config.location.document(COLLECTION, "aqueduct-check");
    let document = Document { name, ..Document::default() };
    let never = ConditionType::UpdateTime(Timestamp { seconds: 1, nanos: 0 });
    Write {
        operation: Some(Operation::Update(document)),
        current_document: Some(Precondition { condition_type: Some(never) }),
        ..Write::default()
    }
}

/// What the fence says about where epochs go.
pub(crate) fn target(config: &Config) -> String {
    format!("{} {} {:?}", config.collection, config.delimiter, config.timestamps)
}

impl Fence {
    /// Reads the document. A field that is missing or of another type is named.
    pub(crate) fn read(document: &Document) -> Result<Self> {
        let damaged = |field: &str| {
            Error::data(format!(
                "the fence document {} has no usable field '{field}'; repair or remove it",
                document.name
            ))
        };
        let value = |field: &str| document.fields.get(field).and_then(|value| value.value_type.clone());
        let number = |field: &str| match value(field) {
            Some(ValueType::IntegerValue(number)) => Ok(number),
            _ => Err(damaged(field)),
        };
        let text = |field: &str| match value(field) {
            Some(ValueType::StringValue(text)) => Ok(text),
            _ => Err(damaged(field)),
        };
        Ok(Self {
            job: text("job")?,
            shard: number("shard")?,
            sink: text("sink")?,
            lineage: number("lineage")?,
            generation: number("generation")?,
            epoch: number("epoch")?,
            pending_epoch: number("pending_epoch")?,
            pending_documents: number("pending_documents")?,
            target: text("target")?,
            opened: number("opened")?,
        })
    }

    /// The write of the whole document, valid only if nobody wrote it since `seen` (`None`: if it does not exist).
    pub(crate) fn write(&self, name: &str, seen: Option<Timestamp>) -> Write {
        let number = |value: i64| Value { value_type: Some(ValueType::IntegerValue(value)) };
        let text = |value: &str| Value { value_type: Some(ValueType::StringValue(value.to_owned())) };
        let fields = [
            ("job", text(&self.job)),
            ("shard", number(self.shard)),
            ("sink", text(&self.sink)),
            ("lineage", number(self.lineage)),
            ("generation", number(self.generation)),
            ("epoch", number(self.epoch)),
            ("pending_epoch", number(self.pending_epoch)),
            ("pending_documents", number(self.pending_documents)),
            ("target", text(&self.target)),
            ("opened", number(self.opened)),
        ];
        let fields = fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
        let condition = seen.map_or(ConditionType::Exists(false), ConditionType::UpdateTime);
        Write {
            operation: Some(Operation::Update(Document { name: name.to_owned(), fields, ..Document::default() })),
            current_document: Some(Precondition { condition_type: Some(condition) }),
            ..Write::default()
        }
    }

    /// In the engine's words.
    pub(crate) fn standing(&self, job: &JobName) -> Standing {
        Standing {
            job: job.clone(),
            lineage: Lineage(u32::try_from(self.lineage).unwrap_or(u32::MAX)),
            generation: Generation(self.generation.unsigned_abs()),
            epoch: Epoch(u64::try_from(self.epoch).unwrap_or(0)),
        }
    }

    /// After documents up to `done` of `total` of `epoch`.
    pub(crate) fn advanced(&self, epoch: i64, done: usize, total: usize) -> Fence {
        let whole = done >= total;
        Fence {
            epoch: if whole { epoch } else { self.epoch },
            pending_epoch: if whole { 0 } else { epoch },
            pending_documents: if whole { 0 } else { i64::try_from(done).unwrap_or(i64::MAX) },
            ..self.clone()
        }
    }

    /// How many documents of `epoch` need not be written again.
    pub(crate) fn done(&self, epoch: i64, total: usize) -> usize {
        let done = usize::try_from(self.pending_documents).unwrap_or(0);
        if self.pending_epoch == epoch && done < total { done } else { 0 }
    }
}

/// The fence to write when `claimed` opens, given what stands there.
pub(crate) fn decide_open(found: Option<&Fence>, claimed: &Claimed, spec: &SinkSpec, target: String) -> Result<Fence> {
    let signed = |number: u64, what: &str| {
        i64::try_from(number)
            .map_err(|_| Error::bug(format!("table '{}': the {what} {number} is too large", spec.table)))
    };
    let fresh = Fence {
        job: claimed.job.as_str().to_owned(),
        shard: claimed.shard.0.into(),
        sink: spec.table.clone(),
        lineage: claimed.lineage.0.into(),
        generation: signed(claimed.generation.0, "generation")?,
        epoch: 0,
        pending_epoch: 0,
        pending_documents: 0,
        target,
        opened: 1,
    };
    let Some(found) = found else { return Ok(fresh) };
    if (&found.job, found.shard, &found.sink) != (&fresh.job, fresh.shard, &fresh.sink) {
        return Err(Error::config(format!(
            "table '{}': its fence document belongs to job '{}', shard {}, table '{}'; rename one job (pipeline.name)",
            spec.table, found.job, found.shard, found.sink
        )));
    }
    refuse_newer(found, &fresh)?;
    let opened = found.opened.wrapping_add(1);
    if found.lineage < fresh.lineage {
        return Ok(Fence { opened, ..fresh });
    }
    let same_target = found.target == fresh.target;
    Ok(Fence {
        epoch: found.epoch,
        pending_epoch: if same_target { found.pending_epoch } else { 0 },
        pending_documents: if same_target { found.pending_documents } else { 0 },
        opened,
        ..fresh
    })
}

/// What a refused commit means, given what stands there now.
pub(crate) fn decide_refusal(found: Option<&Fence>, mine: &Fence) -> Error {
    let Some(found) = found else {
        return Error::data(format!(
            "table '{}': the fence document of job '{}', shard {} has been removed while the job ran; \
             compare the collection with the checkpoints before starting again",
            mine.sink, mine.job, mine.shard
        ));
    };
    match refuse_newer(found, mine) {
        Err(fenced) => fenced,
        Ok(()) => Error::retry(format!(
            "table '{}': the fence was written since it was read (it stands at epoch {}); open again",
            mine.sink, found.epoch
        )),
    }
}

/// The cursor that the fence stands for.
pub(crate) fn cursor(fence: &Fence) -> Result<Epoch> {
    let epoch = u64::try_from(fence.epoch);
    epoch
        .map(Epoch)
        .map_err(|_| Error::data(format!("table '{}': its fence document holds the epoch {}", fence.sink, fence.epoch)))
}

fn refuse_newer(found: &Fence, mine: &Fence) -> Result<()> {
    if found.lineage > mine.lineage {
        return Err(Error::fenced(format!(
            "table '{}': lineage {} of job '{}' writes shard {} now; this is lineage {}",
            mine.sink, found.lineage, mine.job, mine.shard, mine.lineage
        )));
    }
    if found.lineage == mine.lineage && found.generation > mine.generation {
        return Err(Error::fenced(format!(
            "table '{}': generation {} of job '{}' writes shard {} now; this is generation {}",
            mine.sink, found.generation, mine.job, mine.shard, mine.generation
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "fence_tests.rs"]
mod tests;
