//! The Kafka source: which partitions there are, where each begins, where bounded ones end.
//!
//! Reading them is `reader`'s. The checkpoint's offsets are the truth; a group's committed ones only show progress.

use crate::client::{self, check_brokers, partitions, topic_metadata};
use crate::native::{Consumer, topic_ids};
use crate::offsets::{self, Offsets, Point};
use crate::options::{SourceOptions, Startup};
use crate::reader::KafkaReader;
use aqueduct_core::{Error, Offset, Result, Source, SourceIdentity, SourceReader, SourceSpec, SplitId, SplitStart};
use rdkafka::consumer::Consumer as _;
use std::sync::Arc;
use std::time::Duration;

/// How long one may wait for topic ids; they are a safety net, not a need.
const IDS: Duration = Duration::from_secs(5);

/// A table that reads topics.
pub(crate) struct KafkaSource {
    spec: SourceSpec,
    options: SourceOptions,
    consumer: Option<Arc<Consumer>>,
    splits: Vec<SplitId>,
    cluster: Option<String>,
    /// Where a new job begins in the splits of the first look, as asked for once.
    starts: Offsets,
    /// Where a bounded job ends, as asked for once.
    stops: Offsets,
    looked: bool,
}

impl KafkaSource {
    /// Checks the columns too, so that nothing is found out on the reading threads.
    pub(crate) fn new(spec: &SourceSpec, options: SourceOptions) -> Result<Self> {
        crate::decode::Decoder::new(&spec.table, &spec.columns, &options)?;
        Ok(Self {
            spec: spec.clone(),
            options,
            consumer: None,
            splits: Vec::new(),
            cluster: None,
            starts: Offsets::new(),
            stops: Offsets::new(),
            looked: false,
        })
    }

    fn table(&self) -> &str {
        &self.spec.table
    }

    /// The consumer for questions, made at the first of them.
    fn consumer(&mut self) -> Result<Arc<Consumer>> {
        if let Some(consumer) = &self.consumer {
            return Ok(Arc::clone(consumer));
        }
        // The same isolation as the readers: what they cannot see must not count as the end.
        let isolation = self.options.properties.get("isolation.level").unwrap_or("read_committed").to_owned();
        let fixed = [("enable.auto.commit", "false".to_owned()), ("isolation.level", isolation)];
        let consumer = client::questions(&self.options.properties, self.table(), "questions", &fixed)?;
        self.consumer = Some(Arc::clone(&consumer));
        Ok(consumer)
    }

    /// Every partition of every topic. The first look also goes to every broker.
    fn look(&self, consumer: &Consumer) -> Result<Vec<SplitId>> {
        let mut splits = Vec::new();
        for (at, topic) in self.options.topics.iter().enumerate() {
            let metadata = topic_metadata(consumer, &self.options.properties, self.table(), topic, client::CONNECT)?;
            if at == 0 && !self.looked {
                check_brokers(&metadata, &self.options.properties, self.table(), topic)?;
            }
            splits.extend(
                partitions(&metadata, self.table(), topic)?.into_iter().map(|id| SplitId::new(topic.clone(), id)),
            );
        }
        Ok(splits)
    }

    /// Cluster and topic ids: a topic that was recreated under its name has another one.
    fn identity(&mut self, consumer: &Consumer) -> SourceIdentity {
        if self.cluster.is_none() {
            self.cluster = consumer.client().fetch_cluster_id(IDS);
        }
        let ids = topic_ids(consumer, &self.options.topics, IDS);
        let topics = ids.into_iter().map(|(topic, id)| (format!("topic {topic}"), id));
        SourceIdentity(self.cluster.iter().map(|id| ("cluster".to_owned(), id.clone())).chain(topics).collect())
    }

    /// Where a new job begins in `splits`.
    fn ask_starts(&mut self, splits: &[SplitId]) -> Result<Offsets> {
        let consumer = self.consumer()?;
        let first = |some: &[SplitId]| offsets::ask(&consumer, &self.spec.table, some, Point::First);
        let mut found = match &self.options.startup {
            Startup::Earliest => Offsets::new(),
            Startup::Latest => offsets::ask(&consumer, self.table(), splits, Point::End)?,
            Startup::Timestamp(millis) => offsets::ask(&consumer, self.table(), splits, Point::Time(*millis))?,
            Startup::Specific(given) => {
                splits.iter().filter_map(|split| Some((split.clone(), *given.get(&split.partition)?))).collect()
            }
            Startup::Group => {
                let group = self.options.group.as_deref().unwrap_or_default();
                offsets::committed(&consumer, self.table(), group, splits)?
            }
        };
        // Where the mode says nothing, nothing may be lost.
        let rest: Vec<SplitId> = splits.iter().filter(|split| !found.contains_key(split)).cloned().collect();
        found.append(&mut first(&rest)?);
        Ok(found)
    }
}

impl Source for KafkaSource {
    fn discover(&mut self) -> Result<(Vec<SplitId>, SourceIdentity)> {
        let consumer = self.consumer()?;
        if self.options.bounded && self.looked {
            // The bound was taken at the first look; what comes later lies beyond it.
            return Ok((self.splits.clone(), self.identity(&consumer)));
        }
        let splits = self.look(&consumer)?;
        if self.options.bounded {
            self.stops = offsets::ask(&consumer, self.table(), &splits, Point::End)?;
        }
        self.splits.clone_from(&splits);
        self.looked = true;
        Ok((splits, self.identity(&consumer)))
    }

    fn start_of(&mut self, split: &SplitId, late_arrival: bool) -> Result<Offset> {
        if late_arrival {
            let consumer = self.consumer()?;
            let found = offsets::ask(&consumer, self.table(), std::slice::from_ref(split), Point::First)?;
            return Ok(Offset(found[split]));
        }
        if !self.starts.contains_key(split) {
            // One question for all of them: a round trip per partition adds up.
            let mut splits: Vec<SplitId> =
                self.splits.iter().filter(|known| !self.starts.contains_key(known)).cloned().collect();
            if !splits.contains(split) {
                splits.push(split.clone());
            }
            let mut found = self.ask_starts(&splits)?;
            self.starts.append(&mut found);
        }
        let start = self.starts.get(split).copied();
        start.map(Offset).ok_or_else(|| Error::bug(format!("table '{}': no start was found for {split}", self.table())))
    }

    fn reader(&mut self, splits: Vec<SplitStart>) -> Result<Box<dyn SourceReader>> {
        if self.options.bounded && !self.looked {
            self.discover()?;
        }
        // For `expected_records`: a checkpoint's offsets count, not the start-up mode.
        self.starts.extend(splits.iter().map(|start| (start.split.clone(), start.offset.0)));
        Ok(Box::new(KafkaReader::new(&self.spec, &self.options, splits, self.stops.clone())?))
    }

    fn publish_progress(&mut self, progress: &[SplitStart]) -> Result<()> {
        if self.options.group.is_some() {
            let consumer = self.consumer()?;
            self.spec.fail_points.hit("source.kafka.before-progress");
            offsets::commit(&consumer, self.table(), progress.iter().map(|at| (at.split.clone(), at.offset.0)));
            client::serve(&consumer);
            self.spec.fail_points.hit("source.kafka.after-progress");
        }
        Ok(())
    }

    fn bounded(&self) -> bool {
        self.options.bounded
    }

    fn expected_records(&self) -> Option<u64> {
        if !self.options.bounded || !self.looked {
            return None;
        }
        // Unknown starts are not counted rather than asked for; markers and deleted records make it an estimate anyway.
        let left = self
            .stops
            .iter()
            .map(|(split, stop)| self.starts.get(split).map(|start| (stop - start).max(0)))
            .sum::<Option<i64>>();
        left.and_then(|left| u64::try_from(left).ok())
    }
}
