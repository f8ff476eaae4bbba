//! The contract of `Sink` over the parts: open claims, apply is one transaction, any error ends the session.

use crate::client::Client;
use crate::config::Config;
use crate::cursor::{CursorTable, Key};
use crate::error::statement as failed;
use crate::table::{self, Target};
use crate::{encode, rows, statement};
use aqueduct_core::{Claimed, CommitPermit, Cursor, Error, Result, SealedEpoch, Sink, SinkSpec};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use sqlx::AssertSqlSafe;

/// A table in Postgres.
#[derive(Debug)]
pub(crate) struct PostgresSink {
    config: Config,
    spec: SinkSpec,
    /// None before `open` and after any error.
    session: Option<Session>,
}

/// What `open` found out, and the connection.
#[derive(Debug)]
struct Session {
    client: Client,
    claimed: Claimed,
    key: Key,
    cursor: CursorTable,
    targets: Vec<Target>,
    insert: String,
}

impl PostgresSink {
    /// Checks options and types; connects to nothing.
    pub(crate) fn new(spec: &SinkSpec) -> Result<Self> {
        table::check_types(spec)?;
        Ok(Self { config: Config::new(&spec.options)?, spec: spec.clone(), session: None })
    }

    async fn connect(&self, claimed: &Claimed) -> Result<(Session, Cursor)> {
        let key = Key::new(claimed, &self.spec)?;
        let mut client = Client::connect(&self.config, claimed.job.as_str()).await.map_err(|error| {
            let table = &self.spec.table;
            error.context(format!("table '{table}'"))
        })?;
        let (table, targets) = table::prepare(&mut client, &self.config, &self.spec).await?;
        let cursor = CursorTable::prepare(&mut client, &self.config, &self.spec, &table).await?;
        let at = cursor.claim(&mut client, &self.config, &key).await?;
        let insert = statement::insert(&table, &targets, &self.spec.primary_key);
        tracing::info!(
            table = %self.spec.table,
            target = %table.qualified(),
            postgres = %self.config.address,
            epoch = at.0.0,
            "postgres sink is open"
        );
        Ok((Session { client, claimed: claimed.clone(), key, cursor, targets, insert }, at))
    }

    /// One transaction. After an error the caller drops the session, and the server rolls back.
    async fn write(&self, session: &mut Session, permit: &CommitPermit, epoch: &SealedEpoch) -> Result<()> {
        let (after, number) = (signed(epoch.after.0.0)?, signed(permit.epoch().0)?);
        rows::check(&epoch.batches, &self.spec)?;
        let places = rows::arrange(&epoch.batches, &self.spec.primary_key, &self.spec)?;
        let doing = format!("table '{}': epoch {number}", self.spec.table);
        let on_error = |failure| failed(&self.config.address, &doing, failure);
        session.client.batch("BEGIN ISOLATION LEVEL READ COMMITTED".into()).await.map_err(on_error)?;
        let passed = session.cursor.pass(&mut session.client, &session.key, after, number).await.map_err(on_error)?;
        if !passed {
            session.client.batch("ROLLBACK".into()).await.map_err(on_error)?;
            return Err(session.cursor.refusal(&mut session.client, &self.config, &session.key, after).await);
        }
        for places in places.chunks(self.config.max_rows) {
            self.insert(session, &epoch.batches, places, &doing).await?;
        }
        session.client.batch("COMMIT".into()).await.map_err(on_error)?;
        Ok(())
    }

    async fn insert(
        &self,
        session: &mut Session,
        batches: &[RecordBatch],
        places: &[rows::Place],
        doing: &str,
    ) -> Result<()> {
        let columns = rows::gather(batches, places, &self.spec)?;
        let arguments = encode::arguments(&columns, &session.targets).map_err(|error| error.context(doing))?;
        let insert = sqlx::query_with(AssertSqlSafe(session.insert.clone()), arguments);
        let result = session.client.execute(insert).await;
        result.map(|_| ()).map_err(|failure| failed(&self.config.address, doing, failure))
    }
}

#[async_trait]
impl Sink for PostgresSink {
    async fn open(&mut self, claimed: &Claimed) -> Result<Cursor> {
        // An old session may hold a transaction whose end is unknown: its socket closes, and the server decides.
        self.session = None;
        let (session, cursor) = self.connect(claimed).await?;
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
        // On an error the session is dropped here: its socket closes, and nothing can reuse an open transaction.
        self.write(&mut session, &permit, epoch).await?;
        self.session = Some(session);
        Ok(Cursor(permit.epoch()))
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(session) = self.session.take() {
            session.client.close().await;
        }
        Ok(())
    }
}

fn signed(epoch: u64) -> Result<i64> {
    i64::try_from(epoch).map_err(|_| Error::bug(format!("epoch {epoch} does not fit the cursor table")))
}
