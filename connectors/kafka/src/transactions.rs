//! What stands open on a results topic, and the end of what a dead process of ours left there. Everything here blocks.
//!
//! The client library cannot list the transactions of a cluster. What can be known: the topic's last stable offset against
//! its end (records between them wait for some transaction, whose-ever it is), and our own cursor. What can be done: take our
//! own transactional id, which ends whatever was open under it; a transaction of somebody else is left alone.

use crate::client::{CONNECT, create, partitions, persist, questions, topic_metadata};
use crate::context::Context;
use crate::cursor::{self, Stored};
use crate::errors::{self, Complaint};
use crate::native::Consumer;
use crate::options::{Guarantee, SinkOptions};
use aqueduct_core::{Error, ErrorKind, JobName, Result, ShardId, SinkSpec, Standing};
use rdkafka::consumer::Consumer as _;
use rdkafka::producer::{BaseProducer, Producer as _};
use std::sync::Arc;
use std::time::Duration;

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(15);
/// How long ending a transaction may take.
const INIT: Duration = Duration::from_secs(60);
/// A cursor that a transaction holds is not waited for.
const CURSOR: Duration = Duration::from_secs(3);

/// A partition of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionEnds {
    /// Its number.
    pub partition: i32,
    /// Readers of committed records see everything before it.
    pub last_stable: i64,
    /// The end.
    pub high: i64,
}

impl PartitionEnds {
    /// Records (and markers) that committed readers cannot see yet.
    pub fn unstable(&self) -> u64 {
        u64::try_from(self.high - self.last_stable).unwrap_or(0)
    }
}

/// A sink's topic as it stands.
#[derive(Debug, Clone)]
pub struct Transactions {
    /// The job's table.
    pub table: String,
    /// Its topic.
    pub topic: String,
    /// The id that the sink's producer takes; `None` without exactly-once.
    pub transactional_id: Option<String>,
    /// Every partition.
    pub partitions: Vec<PartitionEnds>,
    /// The sink's cursor; `None` where it never wrote.
    pub cursor: Option<Standing>,
    /// A transaction holds the cursor: ours is open, or is being ended.
    pub cursor_is_held: bool,
}

impl Transactions {
    /// Records that committed readers cannot see yet, over all partitions.
    pub fn unstable(&self) -> u64 {
        self.partitions.iter().map(PartitionEnds::unstable).sum()
    }
}

/// Two clients that see different ends of the same topic.
pub(crate) struct Ends {
    table: String,
    topic: String,
    partitions: Vec<i32>,
    stable: Arc<Consumer>,
    plain: Arc<Consumer>,
}

impl Ends {
    pub(crate) fn connect(table: &str, options: &SinkOptions) -> Result<Self> {
        let client = |level: &str| {
            let fixed = [("isolation.level", level.to_owned()), ("enable.auto.commit", "false".to_owned())];
            questions(&options.properties, table, level, &fixed)
        };
        let (stable, plain) = (client("read_committed")?, client("read_uncommitted")?);
        let metadata = topic_metadata(&stable, &options.properties, table, &options.topic, CONNECT)?;
        let partitions = partitions(&metadata, table, &options.topic)?;
        Ok(Self { table: table.to_owned(), topic: options.topic.clone(), partitions, stable, plain })
    }

    pub(crate) fn read(&self) -> Result<Vec<PartitionEnds>> {
        let what = format!("table '{}': the ends of topic '{}' cannot be read", self.table, self.topic);
        let end = |consumer: &Consumer, partition| {
            let ends = persist(consumer, ANSWER, &what, |slice| {
                consumer.fetch_watermarks(&self.topic, partition, slice.max(Duration::from_secs(2)))
            })?;
            Ok::<i64, Error>(ends.1)
        };
        let of = |partition: &i32| {
            // The stable end first: the other one can only have grown since.
            let (last_stable, high) = (end(&self.stable, *partition)?, end(&self.plain, *partition)?);
            Ok(PartitionEnds { partition: *partition, last_stable, high })
        };
        self.partitions.iter().map(of).collect()
    }
}

/// Looks at the topic of a sink. Changes nothing.
pub fn look(spec: &SinkSpec, job: &JobName, shard: ShardId) -> Result<Transactions> {
    let options = SinkOptions::parse(spec)?;
    let ends = Ends::connect(&spec.table, &options)?;
    let group = cursor::group(job, shard, &spec.table);
    let fixed = [("group.id", group.clone()), ("enable.auto.commit", "false".to_owned())];
    let consumer = questions(&options.properties, &spec.table, "cursor", &fixed)?;
    let (mark, cursor_is_held) = match cursor::read(CURSOR, &consumer, &spec.table, &group, &options.topic) {
        Ok(mark) => (mark, false),
        Err(error) if error.kind() == ErrorKind::Retry => (None, true),
        Err(error) => return Err(error),
    };
    let stored = mark.map(|mark| Stored::read(&mark, &spec.table, &group)).transpose()?;
    Ok(Transactions {
        table: spec.table.clone(),
        topic: options.topic.clone(),
        transactional_id: transactional_id(&options, job, shard, &spec.table),
        partitions: ends.read()?,
        cursor: stored.map(|stored| stored.standing(job)),
        cursor_is_held,
    })
}

/// Ends whatever is open under the sink's own transactional id, and fences the producer that has it: a living owner opens its
/// sink again. Waits until readers can pass.
pub fn abort(spec: &SinkSpec, job: &JobName, shard: ShardId) -> Result<String> {
    let options = SinkOptions::parse(spec)?;
    let id = transactional_id(&options, job, shard, &spec.table).ok_or_else(|| {
        Error::config(format!("table '{}' writes without transactions: there is nothing to end", spec.table))
    })?;
    let context = Context::new(format!("{}: abort", spec.table), &options.properties);
    let fixed = [("transactional.id", id.clone()), ("enable.idempotence", "true".to_owned())];
    let producer: BaseProducer<Context> = create(&options.properties.config(&[], &fixed), context, &spec.table)?;
    producer.init_transactions(INIT).map_err(|error| {
        let complaint = Complaint { code: errors::code_of(&error), text: errors::text_of(&error) };
        let what = format!("table '{}': transactional id '{id}' cannot be taken", spec.table);
        errors::describe(&what, &complaint).with_source(error)
    })?;
    Ok(id)
}

/// The id of a sink's producer.
pub(crate) fn transactional_id(options: &SinkOptions, job: &JobName, shard: ShardId, table: &str) -> Option<String> {
    // No lineage and no generation in it: the fence must hold between them.
    let prefix = options.id_prefix.as_deref().unwrap_or(job.as_str());
    (options.guarantee == Guarantee::ExactlyOnce).then(|| format!("{prefix}-{shard}-{table}"))
}
