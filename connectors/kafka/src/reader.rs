//! One reader: a consumer of its own, a queue for each partition, drained in turn on the engine's thread.
//!
//! It knows when a bounded partition ends and what to do about errors in the place of messages; decoding is `decode`'s.

use crate::client::{create, renew_login, serve};
use crate::context::Context;
use crate::decode::{Decoder, Part};
use crate::errors::{self, Complaint};
use crate::native::{Bell, Consumer, Messages, PartitionQueue, cached_watermarks};
use crate::offsets::{self, Offsets, Point};
use crate::options::SourceOptions;
use aqueduct_core::{
    Error, ErrorKind, FailPoints, Read, ReadBudget, Result, SourceReader, SourceSpec, SplitId, SplitLag, SplitStart,
};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the client's events (tokens, errors) are served.
const SERVE_EVERY: Duration = Duration::from_millis(200);
/// After a quiet time the first records are given this long to become a batch.
const LINGER: Duration = Duration::from_millis(10);
/// Fetched and not yet read, over all partitions of a reader.
const QUEUED_KBYTES: usize = 16 * 1024;
/// ... but never less for one partition.
const QUEUED_KBYTES_LEAST: usize = 1024;

/// How long failed logins are put down to a token that ran out.
const LOGIN_PATIENCE: Duration = Duration::from_secs(60);
/// Failures further apart than this do not belong together; the client tries again every 10 seconds at most.
const LOGIN_APART: Duration = Duration::from_secs(30);

/// Reads some partitions.
pub(crate) struct KafkaReader {
    table: String,
    points: FailPoints,
    // Before the consumer: queues go first.
    lanes: Vec<Lane>,
    consumer: Option<Arc<Consumer>>,
    bell: Arc<Bell>,
    decoder: Decoder,
    /// Where bounded partitions end.
    stops: Offsets,
    bounded: bool,
    turn: usize,
    served: Instant,
    logins: Logins,
}

/// Failed logins of a reader that has been logged in before.
#[derive(Debug, Default)]
struct Logins {
    /// The first and the last of a row of failures.
    failing: Option<(Instant, Instant)>,
}

impl Logins {
    /// Takes in one more failure. True when they have come for so long that no renewal of a token explains them.
    fn give_up(&mut self, now: Instant) -> bool {
        let first = match self.failing {
            Some((first, last)) if now.duration_since(last) < LOGIN_APART => first,
            _ => now,
        };
        self.failing = Some((first, now));
        now.duration_since(first) >= LOGIN_PATIENCE
    }
}

/// One partition.
#[derive(Debug)]
struct Lane {
    split: SplitId,
    queue: PartitionQueue,
    /// The next record to return.
    next: i64,
    /// As `next`, but also beyond transaction markers at the end; for the lag.
    position: i64,
    stop: Option<i64>,
    state: LaneState,
    /// Told once the messages before it have been returned.
    trouble: Option<Complaint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LaneState {
    Open,
    /// At its end, which is still to be told.
    Ending,
    Ended,
}

impl KafkaReader {
    pub(crate) fn new(
        spec: &SourceSpec,
        options: &SourceOptions,
        splits: Vec<SplitStart>,
        stops: Offsets,
    ) -> Result<Self> {
        let decoder = Decoder::new(&spec.table, &spec.columns, options)?;
        let config = options.properties.config(&defaults(spec, splits.len()), &fixed());
        let context = Context::new(format!("{}: reader", spec.table), &options.properties);
        let consumer: Arc<Consumer> = Arc::new(create(&config, context, &spec.table)?);
        let mut reader = Self {
            table: spec.table.clone(),
            points: spec.fail_points.clone(),
            lanes: Vec::new(),
            consumer: Some(consumer),
            bell: Arc::default(),
            decoder,
            stops,
            bounded: options.bounded,
            turn: 0,
            served: Instant::now(),
            logins: Logins::default(),
        };
        reader.assign(splits)?;
        Ok(reader)
    }

    fn consumer(&self) -> Result<&Arc<Consumer>> {
        self.consumer
            .as_ref()
            .ok_or_else(|| Error::bug(format!("table '{}': a closed Kafka reader was asked to read", self.table)))
    }

    fn lane(&self, start: &SplitStart) -> Result<Lane> {
        let SplitStart { split, offset } = start;
        let queue = PartitionQueue::split(self.consumer()?, &split.topic, split.partition, &self.bell);
        let queue =
            queue.ok_or_else(|| Error::bug(format!("table '{}': librdkafka has no queue for {split}", self.table)))?;
        let stop = if self.bounded { Some(self.stops.get(split).copied().unwrap_or(offset.0)) } else { None };
        let state = if stop.is_some_and(|stop| offset.0 >= stop) { LaneState::Ending } else { LaneState::Open };
        Ok(Lane { split: split.clone(), queue, next: offset.0, position: offset.0, stop, state, trouble: None })
    }

    fn serve(&mut self, now: Instant) {
        if now.duration_since(self.served) >= SERVE_EVERY {
            self.served = now;
            if let Some(consumer) = &self.consumer {
                serve(consumer);
            }
        }
    }

    /// Failures of the whole client that waiting does not heal.
    fn lasting_trouble(&mut self, now: Instant) -> Result<()> {
        renew_login(self.consumer()?);
        for complaint in self.consumer()?.context().take_complaints() {
            // A missing right on the group only hides progress: nobody joins it.
            if complaint.kind() != ErrorKind::FixConfig || complaint.code == Code::GroupAuthorizationFailed {
                continue;
            }
            // Sessions with an older token live on; when they end, reading waits.
            if errors::token_missing(&complaint) {
                continue;
            }
            if errors::login_failed(complaint.code) && !self.logins.give_up(now) {
                continue;
            }
            return Err(errors::describe(&format!("table '{}': the Kafka connection failed", self.table), &complaint));
        }
        Ok(())
    }

    fn read_lane(&mut self, at: usize, budget: ReadBudget) -> Result<Option<Read>> {
        let lane = &mut self.lanes[at];
        if let Some(trouble) = lane.trouble.clone() {
            return Err(self.trouble(at, &trouble));
        }
        match lane.state {
            LaneState::Ended => return Ok(None),
            LaneState::Ending => {
                lane.state = LaneState::Ended;
                return Ok(Some(Read::SplitEnd(lane.split.clone())));
            }
            LaneState::Open => {}
        }
        let messages = lane.queue.drain(budget.max_records.max(1));
        if messages.len() == 0 {
            return Ok(None);
        }
        lane.notice(&messages);
        let part = Part { split: &lane.split, from: lane.next, stop: lane.stop };
        let batch = self
            .decoder
            .batch(messages, &part)
            .map_err(|error| error.context(format!("table '{}', {}", self.table, lane.split)))?;
        if let Some(batch) = batch {
            if let Some(consumer) = &self.consumer {
                consumer.context().logged_in();
            }
            lane.next = batch.next.0;
            lane.position = lane.position.max(lane.next);
            if lane.stop.is_some_and(|stop| lane.next >= stop) {
                lane.state = LaneState::Ending;
            }
            return Ok(Some(Read::Batch(batch)));
        }
        // No message, but perhaps a notice that ends the partition or explains why nothing comes.
        if lane.state == LaneState::Ending || lane.trouble.is_some() { self.read_lane(at, budget) } else { Ok(None) }
    }

    /// The error for a partition, with what there is now where that helps.
    fn trouble(&self, at: usize, trouble: &Complaint) -> Error {
        let lane = &self.lanes[at];
        let place = format!("table '{}', topic '{}', partition {}", self.table, lane.split.topic, lane.split.partition);
        match trouble.code {
            Code::LogTruncation => Error::data(cut_short(&place, lane.next)),
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::NoOffset => self.out_of_range(lane, &place),
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => Error::config(format!(
                "{place}: it does not exist on this cluster: check the option 'topic' and whether the topic was deleted"
            )),
            _ if trouble.kind() == ErrorKind::FixConfig => errors::describe(&place, trouble),
            // Damaged batches, unknown compression: going on would jump over records in silence.
            _ => {
                Error::data(format!("{place}, at or after offset {}: the records cannot be read: {trouble}", lane.next))
            }
        }
    }

    fn out_of_range(&self, lane: &Lane, place: &str) -> Error {
        let range = self.consumer().and_then(|consumer| {
            let ask = |point| offsets::ask(consumer, &self.table, std::slice::from_ref(&lane.split), point);
            Ok((ask(Point::First)?[&lane.split], ask(Point::End)?[&lane.split]))
        });
        Error::data(match range {
            // It was asked for when it was not there: the log has grown past it since.
            Ok((first, end)) if (first..=end).contains(&lane.next) => cut_short(place, lane.next),
            Ok((first, end)) => {
                gone(place, lane.next, &format!("it holds offsets {first} to {end} (the end is excluded) now"))
            }
            Err(error) => gone(place, lane.next, &format!("which offsets it holds is not known ({})", error.message())),
        })
    }
}

fn cut_short(place: &str, next: i64) -> String {
    format!(
        "{place}: the log was cut short below offset {next} and written again (an unclean election, or a broker with an older disk): \
         records that were read are no longer there, others stand in their place; restore the topic, or start the job anew from \
         where you accept the difference"
    )
}

fn gone(place: &str, next: i64, range: &str) -> String {
    format!(
        "{place}: offset {next} is not there any more: {range}; records were deleted (retention) or the topic was recreated; raise \
         the topic's retention, or start the job anew from where you accept the gap"
    )
}

impl Lane {
    /// Reads the notices among `messages`: ends and errors.
    fn notice(&mut self, messages: &Messages) {
        for index in 0..messages.len() {
            let message = messages.get(index);
            if message.is_record() {
                continue;
            }
            let Some((code, text)) = message.error() else { continue };
            match code {
                Code::PartitionEOF => {
                    self.position = self.position.max(message.offset());
                    // Everything before it came before it, so the tail is only transaction markers.
                    if self.stop.is_some_and(|stop| message.offset() >= stop) {
                        self.state = LaneState::Ending;
                    }
                }
                code if errors::passes(code) => tracing::debug!(split = %self.split, "Kafka: {text}"),
                code => {
                    self.trouble.get_or_insert(Complaint { code, text });
                }
            }
        }
    }

    fn lag(&self, consumer: &Consumer) -> Option<u64> {
        if self.state != LaneState::Open {
            return Some(0);
        }
        let (_, high) = cached_watermarks(consumer, &self.split.topic, self.split.partition)?;
        let end = self.stop.map_or(high, |stop| stop.min(high));
        Some(u64::try_from(end - self.position).unwrap_or(0))
    }
}

impl SourceReader for KafkaReader {
    fn read(&mut self, budget: ReadBudget) -> Result<Read> {
        let start = Instant::now();
        let deadline = start + budget.max_wait;
        let mut now = start;
        let mut linger = Duration::ZERO;
        loop {
            self.serve(now);
            self.bell.reset();
            let lanes = self.lanes.len();
            for step in 0..lanes {
                let at = (self.turn + step) % lanes;
                if let Some(read) = self.read_lane(at, budget)? {
                    self.turn = (at + 1) % lanes;
                    return Ok(read);
                }
            }
            if self.bounded && self.lanes.iter().all(|lane| lane.state == LaneState::Ended) {
                return Ok(Read::End);
            }
            now = Instant::now();
            self.lasting_trouble(now)?;
            if now >= deadline {
                return Ok(Read::Empty);
            }
            if self.bell.wait((deadline - now).min(SERVE_EVERY)) && linger.is_zero() {
                // Brokers answer with the little that just came; a moment later it is a batch.
                linger = LINGER.min(deadline.saturating_duration_since(Instant::now()));
                std::thread::sleep(linger);
            }
            now = Instant::now();
        }
    }

    fn assign(&mut self, splits: Vec<SplitStart>) -> Result<()> {
        let mut list = TopicPartitionList::with_capacity(splits.len());
        let mut lanes = Vec::with_capacity(splits.len());
        for start in &splits {
            if self.lanes.iter().chain(&lanes).any(|lane| lane.split == start.split) {
                return Err(Error::bug(format!("table '{}': {} was assigned twice", self.table, start.split)));
            }
            let lane = self.lane(start)?;
            if lane.state == LaneState::Open {
                let added = list.add_partition_offset(
                    &start.split.topic,
                    start.split.partition,
                    KafkaOffset::Offset(start.offset.0),
                );
                added.map_err(|error| {
                    Error::bug(format!("{} cannot start at offset {}: {error}", start.split, start.offset))
                })?;
            }
            lanes.push(lane);
        }
        // The queues were split off first: see `PartitionQueue::split`.
        if list.count() > 0 {
            self.points.hit("source.kafka.before-assign");
            let assigned = self.consumer()?.incremental_assign(&list);
            assigned.map_err(|error| {
                Error::bug(format!("table '{}': librdkafka refuses the partitions: {error}", self.table))
            })?;
            self.points.hit("source.kafka.after-assign");
        }
        self.lanes.append(&mut lanes);
        Ok(())
    }

    fn lag(&self) -> Vec<SplitLag> {
        let records = |lane: &Lane| self.consumer.as_ref().and_then(|consumer| lane.lag(consumer));
        self.lanes.iter().map(|lane| SplitLag { split: lane.split.clone(), records: records(lane) }).collect()
    }

    fn close(&mut self) {
        self.lanes.clear();
        // Batches that are still on their way hold it a little longer.
        self.consumer = None;
    }
}

/// What the user may change.
fn defaults(spec: &SourceSpec, splits: usize) -> Vec<(&'static str, String)> {
    // With split queues librdkafka counts this for each partition.
    let queued = (QUEUED_KBYTES / splits.max(1)).max(QUEUED_KBYTES_LEAST);
    vec![
        ("client.id", format!("aqueduct-{}-{}", spec.job, spec.table)),
        // Assigning needs a group's name, though nobody joins it.
        ("group.id", format!("aqueduct-{}", spec.job)),
        ("isolation.level", "read_committed".into()),
        ("queued.max.messages.kbytes", queued.to_string()),
        // Bytes decide, not the number of messages; and a full queue is looked at again soon, not after a second.
        ("queued.min.messages", "10000000".into()),
        ("fetch.queue.backoff.ms", "10".into()),
        // Small answers cost the broker and us more than these milliseconds.
        ("fetch.wait.max.ms", "100".into()),
        ("fetch.min.bytes", "32768".into()),
        ("fetch.max.bytes", (16 << 20).to_string()),
        ("socket.keepalive.enable", "true".into()),
        ("reconnect.backoff.max.ms", "3000".into()),
    ]
}

/// What the promise depends on.
fn fixed() -> Vec<(&'static str, String)> {
    vec![
        ("enable.auto.commit", "false".into()),
        ("enable.auto.offset.store", "false".into()),
        ("auto.offset.reset", "error".into()),
        ("enable.partition.eof", "true".into()),
        // Backpressure may keep us from polling for as long as a sink is down.
        ("max.poll.interval.ms", "86400000".into()),
    ]
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
