//! The writing client of a sink: opens behind the fence, writes an epoch and its cursor in one transaction.
//!
//! Everything here blocks. A writer that has failed once is broken for good: its transaction may have been committed or
//! not, and only a new producer (which ends the old one's transactions) and a stable read of the cursor can tell.

use crate::client::{check_brokers, create, partitions, questions, topic_metadata};
use crate::context::Context;
use crate::cursor::{self, Stored};
use crate::errors::{self, Complaint};
use crate::native::Consumer;
use crate::options::{Guarantee, SinkOptions};
use crate::rows::Rows;
use aqueduct_core::{Claimed, Cursor, Epoch, Error, ErrorKind, Result};
use arrow::record_batch::RecordBatch;
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the transaction coordinator may take to take us in: it may have to end another producer's transaction first.
const INIT: Duration = Duration::from_secs(60);
/// How long the look before the fence is taken may take.
const EARLY_LOOK: Duration = Duration::from_secs(2);
/// How long the offsets of a transaction may take.
const OFFSETS: Duration = Duration::from_secs(30);

/// An open writer.
pub(crate) struct Writer {
    table: String,
    options: SinkOptions,
    rows: Arc<Rows>,
    claimed: Claimed,
    group: String,
    metadata: ConsumerGroupMetadata,
    producer: ThreadedProducer<Context>,
    consumer: Arc<Consumer>,
    cursor: Epoch,
    broken: bool,
}

impl Writer {
    /// Connects, takes the fence and finds the cursor.
    pub(crate) fn open(
        table: &str,
        options: &SinkOptions,
        rows: Arc<Rows>,
        claimed: &Claimed,
    ) -> Result<(Self, Cursor)> {
        let group = cursor::group(claimed, table);
        let consumer = Self::connect(table, options, &group)?;
        // Before `init_transactions`, so that a process that is too old does not disturb the owner. A predecessor that died
        // inside a transaction keeps the cursor unstable until `init_transactions` ends that transaction: waiting for it
        // here would wait for the broker's time-out, so no answer is an answer too. The read below decides.
        match cursor::read_within(EARLY_LOOK, &consumer, table, &group, &options.topic) {
            Ok(stored) => Stored::check(stored, claimed, table)?,
            Err(error) if error.kind() == ErrorKind::Retry && options.guarantee == Guarantee::ExactlyOnce => {
                tracing::info!(table, "a transaction of an earlier process is still open; ending it");
            }
            Err(error) => return Err(error),
        }
        let context = Context::new(format!("{table}: producer"), &options.properties);
        let fixed = fixed(table, options, claimed);
        let producer: ThreadedProducer<Context> =
            create(&options.properties.config(&defaults(table, options, claimed), &fixed), context, table)?;
        if options.guarantee == Guarantee::ExactlyOnce {
            // From its success on, every older producer of this id is refused, and nothing of theirs is pending.
            producer.init_transactions(INIT).map_err(|error| {
                errors::failure(&format!("table '{table}': the Kafka transactions cannot begin"), error)
            })?;
        }
        let stored = cursor::read(&consumer, table, &group, &options.topic)?;
        Stored::check(stored, claimed, table)?;
        let cursor = Stored::cursor_of(stored, claimed);
        let metadata = consumer
            .group_metadata()
            .ok_or_else(|| Error::bug(format!("table '{table}': a consumer without a group")))?;
        let mut writer = Self {
            table: table.to_owned(),
            options: options.clone(),
            rows,
            claimed: claimed.clone(),
            group,
            metadata,
            producer,
            consumer,
            cursor: cursor.0,
            broken: false,
        };
        if stored != Some(Stored::of(claimed, cursor.0)) {
            // The fence of this generation must outlive this process: an older one that opens later reads it here.
            writer.write(cursor.0, &[])?;
        }
        Ok((writer, cursor))
    }

    fn connect(table: &str, options: &SinkOptions, group: &str) -> Result<Arc<Consumer>> {
        let fixed = [
            ("group.id", group.to_owned()),
            ("enable.auto.commit", "false".to_owned()),
            ("auto.offset.reset", "error".to_owned()),
            ("isolation.level", "read_committed".to_owned()),
        ];
        let consumer = questions(&options.properties, table, "cursor", &fixed)?;
        let metadata = topic_metadata(&consumer, &options.properties, table, &options.topic, crate::client::CONNECT)?;
        partitions(&metadata, table, &options.topic)?;
        check_brokers(&metadata, &options.properties, table, &options.topic)?;
        Ok(consumer)
    }

    /// Makes the rows of `epoch` visible and moves the cursor from `after` to it.
    pub(crate) fn apply(&mut self, after: Epoch, epoch: Epoch, batches: &[RecordBatch]) -> Result<()> {
        if after != self.cursor || epoch <= after {
            return Err(Error::bug(format!(
                "table '{}': epoch {epoch} after {after} was to be applied, but the Kafka sink stands at {}",
                self.table, self.cursor
            )));
        }
        self.write(epoch, batches)
    }

    /// Writes the cursor again, so that the broker does not forget it.
    pub(crate) fn renew(&mut self) -> Result<()> {
        self.write(self.cursor, &[])
    }

    fn write(&mut self, epoch: Epoch, batches: &[RecordBatch]) -> Result<()> {
        if self.broken {
            return Err(Error::retry(format!(
                "table '{}': the Kafka producer has failed before: open the sink again",
                self.table
            )));
        }
        self.broken = true;
        self.producer.context().forget();
        match self.options.guarantee {
            Guarantee::ExactlyOnce => self.write_transaction(epoch, batches)?,
            Guarantee::AtLeastOnce | Guarantee::None => self.write_plain(epoch, batches)?,
        }
        self.broken = false;
        self.cursor = epoch;
        Ok(())
    }

    fn write_transaction(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<()> {
        let offsets = Stored::of(&self.claimed, epoch).offsets(&self.options.topic)?;
        self.producer.begin_transaction().map_err(|error| self.failure("begin", epoch, error))?;
        self.send(epoch, batches)?;
        self.send_offsets(&offsets).map_err(|error| self.failure("write the cursor of", epoch, error))?;
        self.producer
            .commit_transaction(self.options.transaction_timeout)
            .map_err(|error| self.failure("commit", epoch, error))
    }

    /// Retriable, but not resumable: again with the same arguments.
    fn send_offsets(&self, offsets: &rdkafka::TopicPartitionList) -> KafkaResult<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.producer.send_offsets_to_transaction(offsets, &self.metadata, OFFSETS) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && tries < 3 => {}
                outcome => return outcome,
            }
        }
    }

    /// Records first, then the cursor: a crash between the two repeats the epoch.
    fn write_plain(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<()> {
        let stored = cursor::read(&self.consumer, &self.table, &self.group, &self.options.topic)?;
        Stored::check(stored, &self.claimed, &self.table)?;
        self.send(epoch, batches)?;
        // A little more than the records' own time, after which each of them has an outcome.
        let patience = self.options.message_timeout + Duration::from_secs(5);
        self.producer.flush(patience).map_err(|error| self.failure("deliver", epoch, error))?;
        if let Some(complaint) = self.producer.context().undelivered() {
            return Err(self.undelivered(epoch, &complaint));
        }
        let offsets = Stored::of(&self.claimed, epoch).offsets(&self.options.topic)?;
        crate::client::serve(&self.consumer);
        self.consumer
            .commit(&offsets, CommitMode::Sync)
            .map_err(|error| self.failure("write the cursor of", epoch, error))
    }

    fn send(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<()> {
        let deadline = Instant::now() + self.options.transaction_timeout;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for batch in batches {
            for row in 0..batch.num_rows() {
                let keyed = self.rows.key(batch, row, &mut key);
                self.rows.value(batch, row, &mut value);
                let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.options.topic).payload(&value);
                if keyed {
                    record = record.key(&key);
                }
                self.send_one(epoch, record, deadline)?;
            }
        }
        Ok(())
    }

    fn send_one(&self, epoch: Epoch, mut record: BaseRecord<'_, [u8], [u8]>, deadline: Instant) -> Result<()> {
        loop {
            let error = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    record = back;
                    if let Some(complaint) = self.producer.context().undelivered() {
                        return Err(self.undelivered(epoch, &complaint));
                    }
                    if Instant::now() < deadline {
                        // The producer's own thread takes the deliveries in meanwhile.
                        std::thread::sleep(Duration::from_millis(2));
                        continue;
                    }
                    KafkaError::MessageProduction(Code::QueueFull)
                }
                Err((error, _)) => error,
            };
            return Err(self.failure("send a row of", epoch, error));
        }
    }

    fn undelivered(&self, epoch: Epoch, complaint: &Complaint) -> Error {
        if errors::fenced(complaint.code) {
            return self.fence_verdict();
        }
        errors::describe(
            &format!("table '{}': a row of epoch {epoch} was not taken by topic '{}'", self.table, self.options.topic),
            complaint,
        )
    }

    /// What a failed step means: fenced, or to be opened again, or wrong for good.
    fn failure(&self, step: &str, epoch: Epoch, error: KafkaError) -> Error {
        let fatal = self.producer.client().fatal_error().map(|(code, text)| Complaint { code, text });
        let own = Complaint { code: errors::code_of(&error), text: errors::text_of(&error) };
        if [Some(&own), fatal.as_ref()].into_iter().flatten().any(|complaint| errors::fenced(complaint.code)) {
            return self.fence_verdict();
        }
        if let Some(complaint) = self.producer.context().undelivered() {
            return self.undelivered(epoch, &complaint).with_source(error);
        }
        let what = format!("table '{}': cannot {step} epoch {epoch} in topic '{}'", self.table, self.options.topic);
        let reason = fatal.as_ref().unwrap_or(&own);
        if errors::login_failed(reason.code) {
            // We were logged in a moment ago. Whether the login is wrong now is found out by opening again.
            return Error::retry(format!("{what}: {reason}")).with_source(error);
        }
        errors::describe(&what, reason).with_source(error)
    }

    /// Another producer has taken our id. Only a newer owner may: an older one that came late is fenced by opening again.
    fn fence_verdict(&self) -> Error {
        let stored = cursor::read(&self.consumer, &self.table, &self.group, &self.options.topic);
        match stored.and_then(|stored| Stored::check(stored, &self.claimed, &self.table)) {
            Err(error) => error,
            Ok(()) => Error::retry(format!(
                "table '{}': another producer with the transactional id '{}' has come between, though the sink is ours: open it again",
                self.table,
                transactional_id(&self.table, &self.options, &self.claimed)
            )),
        }
    }
}

fn transactional_id(table: &str, options: &SinkOptions, claimed: &Claimed) -> String {
    // No lineage and no generation in it: the fence must hold between them.
    format!("{}-{}-{table}", options.id_prefix.as_deref().unwrap_or(claimed.job.as_str()), claimed.shard)
}

/// What the user may change.
fn defaults(table: &str, options: &SinkOptions, claimed: &Claimed) -> Vec<(&'static str, String)> {
    // Left alone, librdkafka waits nearly the transaction's time-out for an answer on a connection that is dead.
    let answer = Duration::from_secs(60).min(options.transaction_timeout.saturating_sub(Duration::from_millis(100)));
    vec![
        ("socket.timeout.ms", answer.as_millis().max(900).to_string()),
        ("client.id", format!("aqueduct-{}-{table}", claimed.job)),
        // As Java's clients place keys.
        ("partitioner", "murmur2_random".into()),
        ("queue.buffering.max.messages", "100000".into()),
        ("queue.buffering.max.kbytes", "32768".into()),
        ("socket.nagle.disable", "true".into()),
        ("socket.keepalive.enable", "true".into()),
        ("reconnect.backoff.max.ms", "3000".into()),
    ]
}

/// What the promise depends on.
fn fixed(table: &str, options: &SinkOptions, claimed: &Claimed) -> Vec<(&'static str, String)> {
    let millis = |time: Duration| time.as_millis().to_string();
    let mut fixed = vec![
        ("acks", "all".to_owned()),
        ("enable.idempotence", (options.guarantee != Guarantee::None).to_string()),
        ("message.timeout.ms", millis(options.message_timeout)),
        ("delivery.report.only.error", "true".to_owned()),
    ];
    if options.guarantee == Guarantee::ExactlyOnce {
        fixed.push(("transactional.id", transactional_id(table, options, claimed)));
        fixed.push(("transaction.timeout.ms", millis(options.transaction_timeout)));
    }
    fixed
}
