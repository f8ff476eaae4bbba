//! The contract of `Sink` over the parts: open takes the fence, apply commits chunk after chunk behind it.

use crate::client::Firestore;
use crate::config::Config;
use crate::database::{Database, Service};
use crate::error::{Failure, call as failed};
use crate::fence::{self, Fence};
use crate::{rows, value};
use aqueduct_core::{
    Claimed, CommitPermit, Cursor, Epoch, Error, Hurdle, JobName, Line, Repeated, Result, SealedEpoch, ShardId, Sink,
    SinkSpec, Standing, Survey,
};
use async_trait::async_trait;
use gcloud_sdk::google::firestore::v1::{CommitResponse, Write};
use gcloud_sdk::prost::Message;
use gcloud_sdk::prost_types::Timestamp;
use std::sync::Arc;

/// A collection in Firestore.
#[derive(Debug)]
pub(crate) struct FirestoreSink {
    config: Config,
    spec: SinkSpec,
    service: Arc<dyn Service>,
    /// The ancestors of the lineage that is opened.
    line: Line,
    /// None before `open` and after any error.
    session: Option<Session>,
}

/// How often the fence is looked at again when somebody else writes it at the same moment.
const TRIES: usize = 4;

/// A claim that has been taken.
#[derive(Debug)]
struct Session {
    database: Box<dyn Database>,
    claimed: Claimed,
    fence_name: String,
    /// As it stands, as far as this owner knows, and when it was written.
    fence: Fence,
    seen: Timestamp,
}

impl FirestoreSink {
    /// Checks options and types; connects to nothing.
    pub(crate) fn new(spec: &SinkSpec) -> Result<Self> {
        value::check_types(spec)?;
        let config = Config::new(spec)?;
        let service = Arc::new(Firestore(config.clone()));
        Ok(Self { config, spec: spec.clone(), service, line: Line::default(), session: None })
    }

    /// The same over another service than the options'.
    pub(crate) fn over(spec: &SinkSpec, service: Arc<dyn Service>) -> Result<Self> {
        Ok(Self { service, ..Self::new(spec)? })
    }

    async fn claim(&self, claimed: &Claimed) -> Result<Session> {
        for _ in 0..TRIES {
            if let Some(session) = self.try_claim(claimed).await? {
                return Ok(session);
            }
        }
        Err(Error::retry(format!(
            "table '{}': taking the fence {}: somebody else wrote it at the same moment, {TRIES} times; is the job running twice?",
            self.spec.table,
            fence::name(&self.config, claimed, &self.spec)
        )))
    }

    /// `None`: somebody wrote the fence between the look at it and the taking. Who that is decides the next look.
    async fn try_claim(&self, claimed: &Claimed) -> Result<Option<Session>> {
        let table = &self.spec.table;
        let points = &self.spec.fail_points;
        let database = self.service.connect().await.map_err(|error| error.context(format!("table '{table}'")))?;
        let fence_name = fence::name(&self.config, claimed, &self.spec);
        let (found, seen) = self.read_fence(database.as_ref(), &fence_name).await?;
        points.hit("sink.firestore.after-fence-read");
        let mut mine = fence::decide_open(found.as_ref(), claimed, &self.spec, fence::target(&self.config))?;
        if found.as_ref().is_none_or(|found| found.lineage < mine.lineage) {
            mine.epoch = signed(self.begin(database.as_ref(), claimed, found.as_ref()).await?.0)?;
        }
        let doing = format!("table '{table}': taking the fence {fence_name}");
        let response = match database.commit(vec![mine.write(&fence_name, seen)]).await {
            Ok(response) => response,
            // A missing database says NOT_FOUND, too.
            Err(failure) if failure.is_refusal() && !(found.is_none() && is_missing(&failure)) => return Ok(None),
            Err(failure) => return Err(failed(&self.config.location, &doing, failure)),
        };
        points.hit("sink.firestore.after-claim");
        let seen = written(&response, &doing)?;
        Ok(Some(Session { database, claimed: claimed.clone(), fence_name, fence: mine, seen }))
    }

    /// Where a lineage begins that was never opened here.
    async fn begin(&self, database: &dyn Database, claimed: &Claimed, found: Option<&Fence>) -> Result<Epoch> {
        let mut standings: Vec<Standing> = found.into_iter().map(|fence| fence.standing(&claimed.job)).collect();
        for job in self.line.other_jobs(&claimed.job) {
            let name = fence::name_of(&self.config, &job, claimed.shard, &self.spec);
            let (found, _) = self.read_fence(database, &name).await?;
            standings.extend(found.map(|fence| fence.standing(&job)));
        }
        Ok(self.line.begin(&self.spec.table, &standings))
    }

    /// The fence as it stands, and since when.
    async fn read_fence(&self, database: &dyn Database, name: &str) -> Result<(Option<Fence>, Option<Timestamp>)> {
        let doing = format!("table '{}': reading the fence {name}", self.spec.table);
        let document =
            database.get(name.to_owned()).await.map_err(|failure| failed(&self.config.location, &doing, failure))?;
        match document {
            None => Ok((None, None)),
            Some(document) => {
                let fence =
                    Fence::read(&document).map_err(|error| error.context(format!("table '{}'", self.spec.table)))?;
                Ok((Some(fence), document.update_time))
            }
        }
    }

    async fn write(&self, session: &mut Session, permit: &CommitPermit, epoch: &SealedEpoch) -> Result<()> {
        let (after, number) = (signed(epoch.after.0.0)?, signed(permit.epoch().0)?);
        if session.fence.epoch != after {
            return Err(Error::retry(format!(
                "table '{}': the cursor stands at epoch {} instead of {after}; open again to go on from there",
                self.spec.table, session.fence.epoch
            )));
        }
        let entries = rows::arrange(&epoch.batches, &self.config, &self.spec)?;
        let mut done = session.fence.done(number, entries.len());
        let doing = format!("table '{}': epoch {number}", self.spec.table);
        let points = &self.spec.fail_points;
        loop {
            let (documents, next) = self.chunk(&entries, done, epoch);
            done = next;
            let fence = session.fence.advanced(number, done, entries.len());
            let mut writes = vec![fence.write(&session.fence_name, Some(session.seen))];
            writes.extend(documents);
            points.hit("sink.firestore.before-commit");
            let response = match session.database.commit(writes).await {
                Ok(response) => response,
                Err(failure) if failure.is_refusal() => return Err(self.refusal(session, &doing, failure).await),
                // It worked when the session began: opening again brings a new token, or says that this one is refused too.
                Err(failure) if failure.code() == Some(tonic::Code::Unauthenticated) => {
                    return Err(Error::retry(format!(
                        "{doing}: firestore {}: the token is refused: connecting again with a new one",
                        self.config.location
                    ))
                    .at(Hurdle::Authenticate));
                }
                Err(failure) => return Err(failed(&self.config.location, &doing, failure)),
            };
            session.seen = written(&response, &doing)?;
            session.fence = fence;
            if done >= entries.len() {
                points.hit("sink.firestore.after-commit");
                return Ok(());
            }
            points.hit("sink.firestore.between-chunks");
        }
    }

    /// The writes from `done` on that fit one commit, and where the next chunk begins. At least one, if there is any.
    fn chunk(&self, entries: &[rows::Entry], done: usize, epoch: &SealedEpoch) -> (Vec<Write>, usize) {
        let (mut writes, mut bytes, mut next) = (Vec::new(), 0, done);
        for entry in entries.iter().skip(done).take(self.config.max_documents) {
            let write = rows::write(entry, &epoch.batches, &self.config, &self.spec);
            bytes += write.encoded_len() + 8;
            if bytes > self.config.max_bytes && !writes.is_empty() {
                break;
            }
            writes.push(write);
            next += 1;
        }
        (writes, next)
    }

    /// Why a commit was refused: a newer owner, a lost race, or a fence that is gone.
    async fn refusal(&self, session: &Session, doing: &str, failure: Failure) -> Error {
        match self.read_fence(session.database.as_ref(), &session.fence_name).await {
            Ok((found, seen)) if seen != Some(session.seen) => fence::decide_refusal(found.as_ref(), &session.fence),
            // The fence is as we left it: contention, or something else that was not there.
            Ok(_) if failure.code() == Some(tonic::Code::Aborted) => failed(&self.config.location, doing, failure),
            Ok(_) => Error::retry(format!("{doing}: firestore {}: {failure}", self.config.location)),
            Err(error) => error,
        }
    }
}

#[async_trait]
impl Sink for FirestoreSink {
    async fn open(&mut self, claimed: &Claimed) -> Result<Cursor> {
        self.session = None;
        let session = self.claim(claimed).await?;
        let cursor = Cursor(fence::cursor(&session.fence)?);
        tracing::info!(table = %self.spec.table, database = %self.config.location, collection = %self.config.collection,
            epoch = cursor.0.0, "firestore sink is open");
        self.session = Some(session);
        Ok(cursor)
    }

    async fn apply(&mut self, permit: CommitPermit, epoch: &SealedEpoch) -> Result<Cursor> {
        let table = &self.spec.table;
        let mut session = self
            .session
            .take()
            .ok_or_else(|| Error::retry(format!("table '{table}': the sink is not open; open it first")))?;
        if *permit.claimed() != session.claimed || permit.epoch() <= epoch.after.0 {
            return Err(Error::bug(format!(
                "table '{table}': the permit (epoch {}, generation {}) is not the claim's (generation {}, after epoch {})",
                permit.epoch(),
                permit.claimed().generation,
                session.claimed.generation,
                epoch.after.0
            )));
        }
        // After an error the fence may stand elsewhere than we think: the session ends, open reads it.
        self.write(&mut session, &permit, epoch).await?;
        self.session = Some(session);
        Ok(Cursor(permit.epoch()))
    }

    fn follow(&mut self, line: &Line) {
        self.line = line.clone();
    }

    async fn survey(&mut self, job: &JobName, shard: ShardId) -> Result<Survey> {
        let table = &self.spec.table;
        let database = self.service.connect().await.map_err(|error| error.context(format!("table '{table}'")))?;
        let name = fence::name_of(&self.config, job, shard, &self.spec);
        let (found, _) = self.read_fence(database.as_ref(), &name).await?;
        let standings = found.into_iter().map(|fence| fence.standing(job)).collect();
        let words = "documents are written over the ones with the same id".to_owned();
        Ok(Survey { standings, repeated: Repeated::Replaced, words })
    }

    async fn look(&mut self, job: &JobName, shard: ShardId) -> Result<Vec<String>> {
        self.survey(job, shard).await?;
        let (table, location) = (&self.spec.table, &self.config.location);
        let doing = format!("table '{table}': asking for the right to write");
        let database = self.service.connect().await.map_err(|error| error.context(format!("table '{table}'")))?;
        match database.commit(vec![fence::refused_write(&self.config)]).await {
            Err(failure) if failure.is_refusal() && !failure.is_missing_database() => Ok(Vec::new()),
            Err(failure) => Err(failed(location, &doing, failure)),
            Ok(_) => Err(Error::data(format!(
                "{doing}: firestore {location} wrote a document in spite of a condition that does not hold: the fence cannot work \
                 there; is it the emulator's newest version?"
            ))
            .at(Hurdle::Fit)),
        }
    }

    async fn close(&mut self) -> Result<()> {
        self.session = None;
        Ok(())
    }
}

/// When the first write, the fence's, took effect.
fn written(response: &CommitResponse, doing: &str) -> Result<Timestamp> {
    let first = response.write_results.first().and_then(|result| result.update_time);
    first
        .ok_or_else(|| Error::retry(format!("{doing}: the answer does not say when the fence was written; open again")))
}

fn is_missing(failure: &Failure) -> bool {
    failure.code() == Some(tonic::Code::NotFound)
}

fn signed(epoch: u64) -> Result<i64> {
    i64::try_from(epoch).map_err(|_| Error::bug(format!("epoch {epoch} does not fit the fence document")))
}
