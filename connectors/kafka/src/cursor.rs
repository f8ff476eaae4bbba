//! The sink's cursor: an offset in a private group whose metadata says which claim wrote it.
//!
//! The group is `aqueduct.<job>.<shard>.<table>`, the partition is 0 of the sink's topic, the offset is the epoch, the metadata
//! is `L<lineage>;g<generation>`. Reading is stable (it waits for open transactions); writing is the producer's.

use crate::broker::Mark;
use crate::client::persist;
use crate::native::Consumer;
use aqueduct_core::{Claimed, Cursor, Epoch, Error, Generation, JobName, Line, Lineage, Result, ShardId, Standing};
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

/// The group of a sink.
pub(crate) fn group(job: &JobName, shard: ShardId, table: &str) -> String {
    format!("aqueduct.{job}.{shard}.{table}")
}

/// A cursor as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) lineage: Lineage,
    pub(crate) generation: Generation,
    pub(crate) epoch: Epoch,
}

impl Stored {
    /// What `claimed` writes at `epoch`.
    pub(crate) fn of(claimed: &Claimed, epoch: Epoch) -> Self {
        Self { lineage: claimed.lineage, generation: claimed.generation, epoch }
    }

    /// Where the claim's lineage stands. One that was never opened begins where `line` says, given what the sink has of its
    /// ancestors: another lineage's epochs say nothing else. `others` stand under the names of other jobs.
    pub(crate) fn cursor_of(
        stored: Option<Stored>,
        claimed: &Claimed,
        table: &str,
        line: &Line,
        others: &[Standing],
    ) -> Cursor {
        match stored {
            Some(stored) if stored.lineage == claimed.lineage => Cursor(stored.epoch),
            older => {
                let own = older.map(|stored| stored.standing(&claimed.job));
                let standings: Vec<Standing> = own.into_iter().chain(others.iter().cloned()).collect();
                Cursor(line.begin(table, &standings))
            }
        }
    }

    /// In the engine's words.
    pub(crate) fn standing(self, job: &JobName) -> Standing {
        Standing { job: job.clone(), lineage: self.lineage, generation: self.generation, epoch: self.epoch }
    }

    /// Fails when a newer owner has written: a later lineage, or a higher generation of the same one.
    pub(crate) fn check(stored: Option<Stored>, claimed: &Claimed, table: &str) -> Result<()> {
        match stored {
            Some(stored) if (stored.lineage, stored.generation) > (claimed.lineage, claimed.generation) => {
                Err(Error::fenced(format!(
                    "table '{table}': the Kafka sink belongs to generation {} of lineage {} now, this process is generation {} of lineage {}: \
                 it must stop",
                    stored.generation, stored.lineage, claimed.generation, claimed.lineage
                )))
            }
            _ => Ok(()),
        }
    }

    fn metadata(self) -> String {
        format!("L{};g{}", self.lineage, self.generation)
    }

    fn parse(offset: i64, metadata: &str) -> Option<Self> {
        let (lineage, generation) = metadata.strip_prefix('L')?.split_once(";g")?;
        let epoch = Epoch(u64::try_from(offset).ok()?);
        Some(Self { lineage: Lineage(lineage.parse().ok()?), generation: Generation(generation.parse().ok()?), epoch })
    }

    /// As brokers take it.
    pub(crate) fn mark(self) -> Result<Mark> {
        let offset = i64::try_from(self.epoch.0)
            .map_err(|_| Error::bug(format!("epoch {} does not fit an offset", self.epoch)))?;
        Ok(Mark { offset, metadata: self.metadata() })
    }

    /// As brokers gave it.
    pub(crate) fn read(mark: &Mark, table: &str, group: &str) -> Result<Self> {
        let Mark { offset, metadata } = mark;
        Self::parse(*offset, metadata).ok_or_else(|| {
            Error::config(format!(
                "table '{table}': group '{group}' holds offset {offset} with '{metadata}', which no sink of this engine wrote: delete the \
                 group's offset, or rename the job"
            ))
        })
    }
}

/// The list to be committed.
pub(crate) fn offsets(mark: &Mark, topic: &str) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic, 0);
    element
        .set_offset(Offset::Offset(mark.offset))
        .map_err(|error| Error::bug(format!("epoch {} is no offset: {error}", mark.offset)))?;
    element.set_metadata(&mark.metadata);
    Ok(list)
}

/// Reads the cursor of the consumer's group, for at most `patience`.
pub(crate) fn read(
    patience: Duration,
    consumer: &Consumer,
    table: &str,
    group: &str,
    topic: &str,
) -> Result<Option<Mark>> {
    let what = format!("table '{table}': the sink's cursor in group '{group}' cannot be read");
    let answer = persist(consumer, patience, &what, |slice| {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        let answer = consumer.committed_offsets(asked, slice.max(Duration::from_secs(2)))?;
        // An unstable offset (a transaction is being ended) is an error here, and is asked for again.
        answer.elements().iter().try_for_each(|element| element.error())?;
        Ok(answer)
    })?;
    let elements = answer.elements();
    let Some(element) = elements.first() else { return Ok(None) };
    let Offset::Offset(offset) = element.offset() else { return Ok(None) };
    Ok(Some(Mark { offset, metadata: element.metadata().to_owned() }))
}

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;
