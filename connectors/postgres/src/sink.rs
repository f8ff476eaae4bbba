//! The contract of `Sink` over the parts: open claims, apply is one transaction, any error ends the session.

use crate::config::Config;
use crate::cursor::{self, Heritage};
use crate::error::{connecting, statement as failed};
use crate::rows;
use crate::server::Server;
use crate::session::{Boundary, Database, Key, Names, Session};
use crate::table;
use aqueduct_core::{
    Claimed, CommitPermit, Cursor, Error, JobName, Line, Repeated, Result, SealedEpoch, ShardId, Sink, SinkSpec,
    Standing, Survey,
};
use async_trait::async_trait;
use std::sync::Arc;

/// A table in Postgres.
#[derive(Debug)]
pub(crate) struct PostgresSink {
    config: Arc<Config>,
    spec: SinkSpec,
    database: Arc<dyn Database>,
    /// The ancestors of the lineage that is opened.
    line: Line,
    /// None before `open` and after any error.
    open: Option<Open>,
}

/// What `open` found out, and the session.
#[derive(Debug)]
struct Open {
    session: Box<dyn Session>,
    names: Names,
    claimed: Claimed,
    key: Key,
}

impl PostgresSink {
    /// Checks options and types; connects to nothing.
    pub(crate) fn new(spec: &SinkSpec) -> Result<Self> {
        table::check_types(spec)?;
        let config = Arc::new(Config::new(&spec.options)?);
        let database = Arc::new(Server::new(Arc::clone(&config), spec));
        Ok(Self { config, spec: spec.clone(), database, line: Line::default(), open: None })
    }

    /// The same over another database than the options'.
    pub(crate) fn over(spec: &SinkSpec, database: Arc<dyn Database>) -> Result<Self> {
        Ok(Self { database, ..Self::new(spec)? })
    }

    async fn connect(&self, claimed: &Claimed) -> Result<(Open, Cursor)> {
        let key = cursor::key(claimed, &self.spec)?;
        let points = &self.spec.fail_points;
        let mut session = self.session(&claimed.job).await?;
        let names = session.prepare().await?;
        points.hit("sink.postgres.before-claim");
        let mut others = Vec::new();
        for job in self.line.other_jobs(&claimed.job) {
            others.extend(self.standings(session.as_mut(), &job, claimed.shard).await?);
        }
        let heritage = Heritage { line: &self.line, others };
        let at = cursor::claim(session.as_mut(), &names, &self.config, &key, &heritage, points).await?;
        points.hit("sink.postgres.after-claim");
        tracing::info!(
            table = %self.spec.table,
            target = %names.target,
            postgres = %self.config.address,
            epoch = at.0.0,
            "postgres sink is open"
        );
        Ok((Open { session, names, claimed: claimed.clone(), key }, at))
    }

    async fn session(&self, job: &JobName) -> Result<Box<dyn Session>> {
        self.database.connect(job.as_str()).await.map_err(|failure| {
            let table = &self.spec.table;
            connecting(&self.config.address, failure).context(format!("table '{table}'"))
        })
    }

    async fn standings(&self, session: &mut dyn Session, job: &JobName, shard: ShardId) -> Result<Vec<Standing>> {
        let entries = session.entries(job.as_str(), shard.0.into()).await.map_err(|failure| {
            failed(
                &self.config.address,
                &format!("table '{}': reading the cursors of job '{job}'", self.spec.table),
                failure,
            )
        })?;
        Ok(entries.iter().map(|entry| cursor::standing(job, entry)).collect())
    }

    /// One transaction. After an error the caller drops the session, and the server rolls back.
    async fn write(&self, open: &mut Open, permit: &CommitPermit, epoch: &SealedEpoch) -> Result<()> {
        let Open { session, names, key, .. } = open;
        let session = session.as_mut();
        let (after, number) = (signed(epoch.after.0.0)?, signed(permit.epoch().0)?);
        rows::check(&epoch.batches, &self.spec)?;
        let places = rows::arrange(&epoch.batches, &self.spec.primary_key, &self.spec)?;
        let doing = format!("table '{}': epoch {number}", self.spec.table);
        let on_error = |failure| failed(&self.config.address, &doing, failure);
        let points = &self.spec.fail_points;
        session.transaction(Boundary::Begin).await.map_err(on_error)?;
        points.hit("sink.postgres.after-begin");
        if !cursor::pass(session, key, after, number).await.map_err(on_error)? {
            session.transaction(Boundary::Rollback).await.map_err(on_error)?;
            return Err(cursor::refusal(session, names, &self.config, key, after).await);
        }
        points.hit("sink.postgres.after-fence");
        for places in places.chunks(self.config.max_rows) {
            let columns = rows::gather(&epoch.batches, places, &self.spec)?;
            session.insert(&columns).await.map_err(on_error)?;
        }
        points.hit("sink.postgres.before-commit");
        session.transaction(Boundary::Commit).await.map_err(on_error)?;
        points.hit("sink.postgres.after-commit");
        Ok(())
    }
}

#[async_trait]
impl Sink for PostgresSink {
    async fn open(&mut self, claimed: &Claimed) -> Result<Cursor> {
        // An old session may hold a transaction whose end is unknown: its socket closes, and the server decides.
        self.open = None;
        let (open, cursor) = self.connect(claimed).await?;
        self.open = Some(open);
        Ok(cursor)
    }

    async fn apply(&mut self, permit: CommitPermit, epoch: &SealedEpoch) -> Result<Cursor> {
        let table = &self.spec.table;
        let mut open = self
            .open
            .take()
            .ok_or_else(|| Error::retry(format!("table '{table}': the sink is not open; open it first")))?;
        if *permit.claimed() != open.claimed || permit.epoch() <= epoch.after.0 {
            return Err(Error::bug(format!(
                "table '{table}': the permit (epoch {}, generation {}) is not the claim's (generation {}, after epoch {})",
                permit.epoch(),
                permit.claimed().generation,
                open.claimed.generation,
                epoch.after.0
            )));
        }
        // On an error the session is dropped here: its socket closes, and nothing can reuse an open transaction.
        self.write(&mut open, &permit, epoch).await?;
        self.open = Some(open);
        Ok(Cursor(permit.epoch()))
    }

    fn follow(&mut self, line: &Line) {
        self.line = line.clone();
    }

    async fn survey(&mut self, job: &JobName, shard: ShardId) -> Result<Survey> {
        let mut session = self.session(job).await?;
        let standings = self.standings(session.as_mut(), job, shard).await?;
        session.close().await;
        let (repeated, words) = if self.spec.primary_key.is_empty() {
            (Repeated::Twice, "rows are inserted a second time (the table has no primary key)")
        } else {
            (Repeated::Replaced, "rows are written over the ones with the same key")
        };
        Ok(Survey { standings, repeated, words: words.to_owned() })
    }

    async fn look(&mut self, job: &JobName, shard: ShardId) -> Result<Vec<String>> {
        let mut session = self.session(job).await?;
        session.look().await?;
        // Reads the cursors too.
        self.standings(session.as_mut(), job, shard).await?;
        session.close().await;
        Ok(Vec::new())
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            open.session.close().await;
        }
        Ok(())
    }
}

fn signed(epoch: u64) -> Result<i64> {
    i64::try_from(epoch).map_err(|_| Error::bug(format!("epoch {epoch} does not fit the cursor table")))
}
