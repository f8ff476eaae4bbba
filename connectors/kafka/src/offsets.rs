//! Questions about offsets, for many partitions at once: where partitions begin and end, what a group has committed.
//!
//! It only asks; what follows from the answers is `source`'s.

use crate::client::persist;
use crate::errors;
use crate::native::Consumer;
use aqueduct_core::{Result, SplitId};
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a question may take.
const ANSWER: Duration = Duration::from_secs(20);

/// An offset for each split.
pub(crate) type Offsets = BTreeMap<SplitId, i64>;

/// What to ask the leaders for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// The first record that is kept.
    First,
    /// Behind the last record that this client may see (with `read_committed`: behind the last stable one).
    End,
    /// The first record at or after a time in milliseconds; the end when there is none.
    Time(i64),
}

/// Asks the leaders.
pub(crate) fn ask(consumer: &Consumer, table: &str, splits: &[SplitId], point: Point) -> Result<Offsets> {
    if splits.is_empty() {
        return Ok(Offsets::new());
    }
    // ListOffsets takes the points as special times, and so does librdkafka's call.
    let offset = match point {
        Point::First => Offset::Beginning,
        Point::End => Offset::End,
        Point::Time(millis) => Offset::Offset(millis),
    };
    let mut asked = list(splits);
    // The list has an entry for each split and takes every offset above.
    asked.set_all_offsets(offset).expect("a representable offset");
    let what = format!("table '{table}': the offsets of {} cannot be asked for", names(splits));
    let answer = persist(consumer, ANSWER, &what, |slice| {
        let answer = consumer.offsets_for_times(asked.clone(), slice.max(Duration::from_secs(2)))?;
        // One leader that is just moving fails the call as a whole: ask again.
        answer.elements().iter().try_for_each(|element| element.error())?;
        Ok(answer)
    })?;
    let (mut found, mut beyond) = (Offsets::new(), Vec::new());
    for element in answer.elements() {
        let split = SplitId::new(element.topic(), element.partition());
        match element.offset() {
            Offset::Offset(offset) => {
                found.insert(split, offset);
            }
            _ => beyond.push(split),
        }
    }
    if !beyond.is_empty() && matches!(point, Point::Time(_)) {
        found.append(&mut ask(consumer, table, &beyond, Point::End)?);
    } else if let Some(split) = beyond.first() {
        return Err(aqueduct_core::Error::retry(format!(
            "table '{table}': the broker did not tell the offsets of {split}: try again"
        )));
    }
    Ok(found)
}

/// What the consumer's group has committed; splits without a commit are left out.
pub(crate) fn committed(consumer: &Consumer, table: &str, group: &str, splits: &[SplitId]) -> Result<Offsets> {
    let what = format!("table '{table}': the offsets of group '{group}' cannot be read");
    let answer = persist(consumer, ANSWER, &what, |slice| {
        let answer = consumer.committed_offsets(list(splits), slice.max(Duration::from_secs(2)))?;
        answer.elements().iter().try_for_each(|element| element.error())?;
        Ok(answer)
    })?;
    let known = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    let elements = answer.elements();
    let pairs = elements
        .iter()
        .filter_map(|element| Some((SplitId::new(element.topic(), element.partition()), known(element.offset())?)));
    Ok(pairs.collect())
}

/// Commits asynchronously; the answer comes to the context.
pub(crate) fn commit(consumer: &Consumer, table: &str, offsets: impl Iterator<Item = (SplitId, i64)>) {
    let mut list = TopicPartitionList::new();
    for (split, offset) in offsets {
        if let Err(error) = list.add_partition_offset(&split.topic, split.partition, Offset::Offset(offset)) {
            tracing::warn!(table, "progress of {split} cannot be shown: {}", errors::text_of(&error));
        }
    }
    if list.count() == 0 {
        return;
    }
    if let Err(error) = consumer.commit(&list, rdkafka::consumer::CommitMode::Async) {
        tracing::warn!(table, "progress cannot be shown as committed group offsets: {}", errors::text_of(&error));
    }
}

fn list(splits: &[SplitId]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(splits.len());
    for split in splits {
        list.add_partition(&split.topic, split.partition);
    }
    list
}

fn names(splits: &[SplitId]) -> String {
    match splits {
        [split] => split.to_string(),
        splits => format!("{} partitions (the first is {})", splits.len(), splits[0]),
    }
}
