//! Looks that may take as long as a broker or the store is silent: for new splits, and at the claim. Each is a task of its own, so
//! that the coordinator goes on sealing, and hears of failures and of a request to stop.
//!
//! They change nothing: what a look found is taken by the coordinator.

use crate::fits::same_input;
use crate::host::{self, Answer};
use crate::start::{SharedSource, Started, with_source};
use aqueduct_checkpoint::ShardReader;
use aqueduct_core::{Error, ErrorKind, Host, Result, Source, SourceIdentity, SourceReader, SplitId, SplitStart};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a look for new splits is called in a message.
pub(crate) const LOOKING: &str = "looking for new partitions";
/// What a look at the claim is called in a message.
pub(crate) const CHECKING: &str = "looking at the claim";

/// A new split on its way to a thread.
pub(crate) struct Found {
    pub(crate) source: usize,
    pub(crate) thread: usize,
    pub(crate) start: SplitStart,
    /// Set for a thread that does not read this source yet.
    pub(crate) reader: Option<Box<dyn SourceReader>>,
}

/// A thread as a look sees it: how many splits it has, and which sources it reads.
struct Share {
    splits: usize,
    reads: BTreeSet<usize>,
}

/// A source as a look sees it.
struct Known {
    table: String,
    source: SharedSource,
    identity: SourceIdentity,
    splits: BTreeSet<SplitId>,
}

/// Looks for splits that nobody reads yet and chooses the thread with the fewest for each. A source that does not answer is asked
/// again at the next look; one that has become another input (deleted and made again) is an error of the data: it would be
/// read on at the old offsets.
pub(crate) fn for_splits(started: &Started) -> Answer<Vec<Found>> {
    let host = started.host.clone();
    let mut shares: Vec<Share> =
        started.threads.iter().map(|thread| Share { splits: thread.splits, reads: thread.reads.clone() }).collect();
    let known: Vec<Known> = started
        .sources
        .iter()
        .zip(&started.plan.sources)
        .zip(&started.known)
        .map(|((source, table), splits)| {
            let table = table.spec.table.clone();
            let identity = started.identity.get(&table).cloned().unwrap_or_default();
            Known { table, source: source.clone(), identity, splits: splits.clone() }
        })
        .collect();
    let look = async move {
        let mut found = Vec::new();
        for (index, known) in known.into_iter().enumerate() {
            let (starts, identity) = match new_splits(host.as_ref(), &known).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::warn!(error = %error, "new partitions could not be looked for; trying again later");
                    continue;
                }
            };
            same_input(&known.table, &known.identity, &identity)?;
            for start in starts {
                found.push(given(host.as_ref(), &mut shares, (index, &known.source), start).await?);
            }
        }
        Ok(found)
    };
    host::start(started.host.as_ref(), LOOKING, look)
}

/// Where the splits that nobody reads yet begin, and what the source says of itself.
async fn new_splits(host: &dyn Host, known: &Known) -> Result<(Vec<SplitStart>, SourceIdentity)> {
    let read = known.splits.clone();
    let look = move |source: &mut dyn Source| {
        let (found, identity) = source.discover()?;
        let new = found.into_iter().filter(|split| !read.contains(split));
        let starts = new.map(|split| source.start_of(&split, true).map(|offset| SplitStart { split, offset }));
        Ok((starts.collect::<Result<_>>()?, identity))
    };
    with_source(host, &known.source, look).await
}

/// A new split for the thread with the fewest, with a reader if that thread needs one.
async fn given(
    host: &dyn Host,
    shares: &mut [Share],
    (index, source): (usize, &SharedSource),
    start: SplitStart,
) -> Result<Found> {
    let (thread, share) = shares
        .iter_mut()
        .enumerate()
        .min_by_key(|(_, share)| share.splits)
        .ok_or_else(|| Error::bug("the job has no threads"))?;
    share.splits += 1;
    let mut reader = None;
    if share.reads.insert(index) {
        let starts = vec![start.clone()];
        reader = Some(with_source(host, source, move |source| source.reader(starts)).await?);
    }
    Ok(Found { source: index, thread, start, reader })
}

/// Sees whether the shard is still ours. Only a newer owner is an error; a silent store is not.
pub(crate) fn at_claim(host: &Arc<dyn Host>, log: ShardReader) -> Answer<()> {
    let check = async move {
        match log.check_owner().await {
            Err(error) if error.kind() == ErrorKind::Fenced => Err(error),
            _ => Ok(()),
        }
    };
    host::start(host.as_ref(), CHECKING, check)
}
