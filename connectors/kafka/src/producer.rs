//! The writing half of a sink: opens behind the fence, writes an epoch and its cursor in one transaction.
//!
//! A writer that has failed once is broken for good: its transaction may have been committed or not, and only a new producer
//! (which ends the old one's transactions) and a stable read of the cursor can tell. What brokers and clients do stands
//! behind the border of `broker`.

use crate::broker::{Broker, Failure, Identity, Link, Records, Step, Trouble, Way};
use crate::cursor::{self, Stored};
use crate::errors::{self, Complaint};
use crate::options::{Guarantee, SinkOptions};
use crate::rows::Rows;
use crate::transactions;
use aqueduct_core::{Claimed, Cursor, Epoch, Error, ErrorKind, FailPoints, JobName, Line, Result, ShardId, Standing};
use arrow::record_batch::RecordBatch;
use rdkafka::error::RDKafkaErrorCode as Code;
use std::sync::Arc;
use std::time::Duration;

/// How long the look before the fence is taken may take.
const EARLY_LOOK: Duration = Duration::from_secs(2);
/// A transaction that a dead process left open can hold the cursor back until the broker ends it.
const STABLE: Duration = Duration::from_secs(30);
/// How often the cursor is handed to a transaction.
const TRIES: usize = 3;

/// What a writer is made from.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) table: String,
    pub(crate) options: SinkOptions,
    pub(crate) rows: Arc<Rows>,
    pub(crate) points: FailPoints,
    /// The ancestors of the lineage that is opened.
    pub(crate) line: Line,
}

/// An open writer.
pub(crate) struct Writer {
    plan: Plan,
    claimed: Claimed,
    identity: Identity,
    link: Box<dyn Link>,
    cursor: Epoch,
    broken: bool,
}

impl Writer {
    /// Connects, takes the fence and finds the cursor.
    pub(crate) async fn open(broker: &dyn Broker, plan: Plan, claimed: &Claimed) -> Result<(Self, Cursor)> {
        let identity = Identity {
            job: claimed.job.as_str().to_owned(),
            group: cursor::group(&claimed.job, claimed.shard, &plan.table),
            transactional_id: transactional_id(&plan, claimed),
        };
        let others = other_cursors(broker, &plan, claimed, &identity).await?;
        let link = broker.connect(&identity).await?;
        let mut writer = Self { plan, claimed: claimed.clone(), identity, link, cursor: Epoch::ZERO, broken: false };
        match writer.take_fence(&others).await {
            Ok(cursor) => Ok((writer, cursor)),
            Err(error) => {
                writer.close().await;
                Err(error)
            }
        }
    }

    /// Ends the transaction that an older process may have left open, and keeps that process from committing it.
    pub(crate) async fn end_older(broker: &dyn Broker, plan: &Plan, job: &JobName, shard: ShardId) -> Result<()> {
        let Some(transactional_id) = transactions::transactional_id(&plan.options, job, shard, &plan.table) else {
            return Ok(());
        };
        let group = cursor::group(job, shard, &plan.table);
        let identity = Identity { job: job.as_str().to_owned(), group, transactional_id };
        let mut link = broker.connect(&identity).await?;
        let ended = match link.produce().await {
            Ok(()) => link.step(Step::Init).await.map_err(|failure| cannot_begin(&plan.table, &identity, failure)),
            Err(error) => Err(error),
        };
        link.close().await;
        ended
    }

    async fn take_fence(&mut self, others: &[Standing]) -> Result<Cursor> {
        let transactional = self.plan.options.guarantee == Guarantee::ExactlyOnce;
        // Before `init_transactions`, so that a process that is too old does not disturb the owner. A predecessor that died
        // inside a transaction keeps the cursor unstable until `init_transactions` ends that transaction: waiting for it
        // here would wait for the broker's time-out, so no answer is an answer too. The read below decides.
        match self.stored(EARLY_LOOK).await {
            Ok(stored) => Stored::check(stored, &self.claimed, &self.plan.table)?,
            Err(error) if error.kind() == ErrorKind::Retry && transactional => {
                tracing::info!(table = self.plan.table, "a transaction of an earlier process is still open; ending it");
            }
            Err(error) => return Err(error),
        }
        self.link.produce().await?;
        if transactional {
            self.plan.points.hit("sink.kafka.before-init");
            self.link
                .step(Step::Init)
                .await
                .map_err(|failure| cannot_begin(&self.plan.table, &self.identity, failure))?;
            self.plan.points.hit("sink.kafka.after-init");
        }
        let stored = self.stored(STABLE).await?;
        Stored::check(stored, &self.claimed, &self.plan.table)?;
        let cursor = Stored::cursor_of(stored, &self.claimed, &self.plan.table, &self.plan.line, others);
        self.cursor = cursor.0;
        if stored != Some(Stored::of(&self.claimed, cursor.0)) {
            // The fence of this generation must outlive this process: an older one that opens later reads it here.
            self.write(cursor.0, &[]).await?;
        }
        Ok(cursor)
    }

    async fn stored(&mut self, patience: Duration) -> Result<Option<Stored>> {
        let mark = self.link.stored(patience).await?;
        mark.map(|mark| Stored::read(&mark, &self.plan.table, &self.identity.group)).transpose()
    }

    /// Makes the rows of `epoch` visible and moves the cursor from `after` to it.
    pub(crate) async fn apply(&mut self, after: Epoch, epoch: Epoch, batches: &[RecordBatch]) -> Result<()> {
        if after != self.cursor || epoch <= after {
            return Err(Error::bug(format!(
                "table '{}': epoch {epoch} after {after} was to be applied, but the Kafka sink stands at {}",
                self.plan.table, self.cursor
            )));
        }
        self.write(epoch, batches).await
    }

    /// Writes the cursor again, so that the broker does not forget it.
    pub(crate) async fn renew(&mut self) -> Result<()> {
        self.write(self.cursor, &[]).await
    }

    /// Gives the clients back.
    pub(crate) async fn close(self) {
        self.link.close().await;
    }

    async fn write(&mut self, epoch: Epoch, batches: &[RecordBatch]) -> Result<()> {
        if self.broken {
            return Err(Error::retry(format!(
                "table '{}': the Kafka producer has failed before: open the sink again",
                self.plan.table
            )));
        }
        self.broken = true;
        let records = Records { rows: Arc::clone(&self.plan.rows), batches: batches.to_vec() };
        match self.plan.options.guarantee {
            Guarantee::ExactlyOnce => self.write_transaction(epoch, records).await?,
            Guarantee::AtLeastOnce | Guarantee::None => self.write_plain(epoch, records).await?,
        }
        self.broken = false;
        self.cursor = epoch;
        Ok(())
    }

    async fn write_transaction(&mut self, epoch: Epoch, records: Records) -> Result<()> {
        let points = self.plan.points.clone();
        if let Err(failure) = self.link.step(Step::Begin).await {
            return Err(self.failure("begin", epoch, failure).await);
        }
        points.hit("sink.kafka.after-begin");
        if let Err(failure) = self.link.send(records).await {
            return Err(self.failure("send a row of", epoch, failure).await);
        }
        points.hit("sink.kafka.after-produce");
        if let Err(failure) = self.mark_transaction(epoch).await {
            return Err(self.failure("write the cursor of", epoch, failure).await);
        }
        points.hit("sink.kafka.before-commit");
        if let Err(failure) = self.link.step(Step::Commit).await {
            return Err(self.failure("commit", epoch, failure).await);
        }
        points.hit("sink.kafka.after-commit");
        Ok(())
    }

    /// Retriable, but not resumable: again with the same arguments.
    async fn mark_transaction(&mut self, epoch: Epoch) -> std::result::Result<(), Failure> {
        let mark = Stored::of(&self.claimed, epoch).mark().map_err(Failure::Told)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.link.mark(mark.clone(), Way::InTransaction).await {
                Err(Failure::Client(trouble)) if trouble.retriable && tries < TRIES => {}
                outcome => return outcome,
            }
        }
    }

    /// Records first, then the cursor: a crash between the two repeats the epoch.
    async fn write_plain(&mut self, epoch: Epoch, records: Records) -> Result<()> {
        let stored = self.stored(STABLE).await?;
        Stored::check(stored, &self.claimed, &self.plan.table)?;
        if let Err(failure) = self.link.send(records).await {
            return Err(self.failure("send a row of", epoch, failure).await);
        }
        if let Err(failure) = self.link.flush().await {
            return Err(self.failure("deliver", epoch, failure).await);
        }
        let mark = Stored::of(&self.claimed, epoch).mark()?;
        match self.link.mark(mark, Way::Plainly).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(self.failure("write the cursor of", epoch, failure).await),
        }
    }

    /// What a failed step means: fenced, or to be opened again, or wrong for good.
    async fn failure(&mut self, step: &str, epoch: Epoch, failure: Failure) -> Error {
        let trouble = match failure {
            Failure::Told(error) => return error,
            Failure::Client(trouble) => *trouble,
        };
        let Trouble { own, fatal, undelivered, .. } = &trouble;
        if [Some(own), fatal.as_ref()].into_iter().flatten().any(|complaint| errors::fenced(complaint.code)) {
            return self.fence_verdict().await;
        }
        let (table, topic) = (&self.plan.table, &self.plan.options.topic);
        if let Some(complaint) = undelivered.clone() {
            if errors::fenced(complaint.code) {
                return self.fence_verdict().await;
            }
            let name = self.refused_name(&complaint);
            let what = format!("table '{table}': a row of epoch {epoch} was not taken by topic '{topic}'{name}");
            return described(&what, &complaint, trouble);
        }
        let reason = fatal.as_ref().unwrap_or(own).clone();
        let name = self.refused_name(&reason);
        let what = format!("table '{table}': cannot {step} epoch {epoch} in topic '{topic}'{name}");
        if errors::login_failed(reason.code) {
            // We were logged in a moment ago. Whether the login is wrong now is found out by opening again.
            return caused(Error::retry(format!("{what}: {reason}")), trouble);
        }
        described(&what, &reason, trouble)
    }

    /// Names that the broker does not repeat, where the right to them is missing.
    fn refused_name(&self, complaint: &Complaint) -> String {
        match complaint.code {
            Code::GroupAuthorizationFailed => format!(", group '{}'", self.identity.group),
            Code::TransactionalIdAuthorizationFailed => {
                format!(", transactional id '{}'", self.identity.transactional_id)
            }
            _ => String::new(),
        }
    }

    /// Another producer has taken our id. Only a newer owner may: an older one that came late is fenced by opening again.
    async fn fence_verdict(&mut self) -> Error {
        let stored = self.stored(STABLE).await;
        match stored.and_then(|stored| Stored::check(stored, &self.claimed, &self.plan.table)) {
            Err(error) => error,
            Ok(()) => Error::disputed(format!(
                "table '{}': another producer with the transactional id '{}' has come between, though the sink is ours: open it again",
                self.plan.table, self.identity.transactional_id
            )),
        }
    }
}

/// The outer error of `complaint`, with the client's own as its cause.
fn described(what: &str, complaint: &Complaint, trouble: Trouble) -> Error {
    caused(errors::describe(what, complaint), trouble)
}

fn caused(error: Error, trouble: Trouble) -> Error {
    match trouble.source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

fn cannot_begin(table: &str, identity: &Identity, failure: Failure) -> Error {
    match failure {
        Failure::Told(error) => error,
        Failure::Client(trouble) => {
            let id = &identity.transactional_id;
            let what = format!("table '{table}': the Kafka transactions cannot begin (transactional id '{id}')");
            described(&what, &trouble.own.clone(), *trouble)
        }
    }
}

fn transactional_id(plan: &Plan, claimed: &Claimed) -> String {
    transactions::transactional_id(&plan.options, &claimed.job, claimed.shard, &plan.table).unwrap_or_default()
}

/// What the sink holds under the names of other jobs among the ancestors.
async fn other_cursors(
    broker: &dyn Broker,
    plan: &Plan,
    claimed: &Claimed,
    identity: &Identity,
) -> Result<Vec<Standing>> {
    let mut standings = Vec::new();
    for job in plan.line.other_jobs(&claimed.job) {
        let group = cursor::group(&job, claimed.shard, &plan.table);
        let identity = Identity { group, ..identity.clone() };
        standings.extend(standing(broker, &identity, &plan.table, &job, STABLE).await?);
    }
    Ok(standings)
}

/// What the group of `identity` holds, as `job`'s; a transaction that holds it is waited for, at most for `patience`.
pub(crate) async fn standing(
    broker: &dyn Broker,
    identity: &Identity,
    table: &str,
    job: &JobName,
    patience: Duration,
) -> Result<Option<Standing>> {
    let mut link = broker.connect(identity).await?;
    let mark = link.stored(patience).await;
    link.close().await;
    let stored = mark?.map(|mark| Stored::read(&mark, table, &identity.group)).transpose()?;
    Ok(stored.map(|stored| stored.standing(job)))
}
