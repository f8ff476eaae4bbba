//! The cursor table: how an owner claims a sink, and how a transaction passes the fence.
//!
//! Decisions are pure functions over the rows that were read; this file never commits on its own what an epoch brings.

use crate::client::Client;
use crate::config::Config;
use crate::error::{Failure, statement as failed};
use crate::statement::quote;
use crate::table::{Table, create_under_lock};
use aqueduct_core::{Claimed, Cursor, Epoch, Error, Generation, Lineage, Result, SinkSpec};
use sqlx::{AssertSqlSafe, Row};

const NAME: &str = "aqueduct_cursor";

/// The generation of a lineage that a newer one has left behind: no owner has a higher one.
const LEFT_BEHIND: i64 = i64::MAX;

/// One row of the cursor table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) lineage: i64,
    pub(crate) epoch: i64,
    pub(crate) generation: i64,
}

/// Whose row it is, as the table's types have it.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    job: String,
    lineage: i64,
    shard: i64,
    sink: String,
    generation: i64,
}

impl Key {
    pub(crate) fn new(claimed: &Claimed, spec: &SinkSpec) -> Result<Self> {
        // The highest number is taken: it marks lineages that were left behind.
        let generation = i64::try_from(claimed.generation.0).ok().filter(|&generation| generation < LEFT_BEHIND);
        Ok(Self {
            job: claimed.job.as_str().to_owned(),
            lineage: claimed.lineage.0.into(),
            shard: claimed.shard.0.into(),
            sink: spec.table.clone(),
            generation: generation.ok_or_else(|| {
                Error::bug(format!("generation {} does not fit the cursor table", claimed.generation))
            })?,
        })
    }
}

/// The statements over one cursor table.
#[derive(Debug, Clone)]
pub(crate) struct CursorTable {
    /// `"schema"."aqueduct_cursor"`
    qualified: String,
}

impl CursorTable {
    /// Beside `table`; created when it is missing.
    pub(crate) async fn prepare(client: &mut Client, config: &Config, spec: &SinkSpec, table: &Table) -> Result<Self> {
        let qualified = format!("{}.{NAME}", quote(&table.schema));
        let create = create_statement(&qualified);
        let doing = format!("table '{}': {create}", spec.table);
        let on_error = |failure| failed(&config.address, &doing, failure);
        // CREATE TABLE IF NOT EXISTS asks for the right to create even where nothing is to be created.
        let sql = "SELECT to_regclass($1) IS NOT NULL AS there";
        let rows = client.rows(sqlx::query(sql).bind(qualified.clone())).await.map_err(on_error)?;
        let there = rows.first().and_then(|row| row.try_get::<bool, _>("there").ok()).unwrap_or(false);
        if !there {
            create_under_lock(client, &create).await.map_err(on_error)?;
        }
        Ok(Self { qualified })
    }

    /// Takes the fence for the claim and returns the cursor of its lineage. Waits for a transaction in flight.
    pub(crate) async fn claim(&self, client: &mut Client, config: &Config, key: &Key) -> Result<Cursor> {
        let doing = format!("table '{}': claiming {}", key.sink, self.qualified);
        let on_error = |failure| failed(&config.address, &doing, failure);
        let entries = self.claim_rows(client, key).await.map_err(on_error)?;
        let epoch = match decide_claim(key, &entries) {
            Ok(epoch) => epoch,
            Err(error) => {
                client.batch("ROLLBACK".into()).await.map_err(on_error)?;
                return Err(error);
            }
        };
        self.claim_write(client, key).await.map_err(on_error)?;
        client.batch("COMMIT".into()).await.map_err(on_error)?;
        Ok(Cursor(epoch))
    }

    async fn claim_rows(&self, client: &mut Client, key: &Key) -> std::result::Result<Vec<Entry>, Failure> {
        let table = &self.qualified;
        client.batch("BEGIN ISOLATION LEVEL READ COMMITTED".into()).await?;
        // Two lineages that open for the first time see no row of each other: the lock puts them in order.
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7))::text";
        client.rows(sqlx::query(lock).bind(format!("aqueduct {} {} {}", key.job, key.shard, key.sink))).await?;
        let sql = format!(
            "INSERT INTO {table} (job, lineage, shard, sink, epoch, generation) VALUES ($1, $2, $3, $4, 0, 0) \
             ON CONFLICT DO NOTHING"
        );
        let insert = sqlx::query(AssertSqlSafe(sql)).bind(&key.job).bind(key.lineage).bind(key.shard).bind(&key.sink);
        client.execute(insert).await?;
        let sql = format!(
            "SELECT lineage, epoch, generation FROM {table} WHERE job = $1 AND shard = $2 AND sink = $3 \
             ORDER BY lineage FOR UPDATE"
        );
        let select = sqlx::query(AssertSqlSafe(sql)).bind(&key.job).bind(key.shard).bind(&key.sink);
        let mut entries = Vec::new();
        for row in client.rows(select).await? {
            entries.push(Entry {
                lineage: row.try_get("lineage")?,
                epoch: row.try_get("epoch")?,
                generation: row.try_get("generation")?,
            });
        }
        Ok(entries)
    }

    async fn claim_write(&self, client: &mut Client, key: &Key) -> std::result::Result<(), Failure> {
        let sql = format!(
            "UPDATE {} SET generation = CASE WHEN lineage = $2 THEN $5 ELSE {LEFT_BEHIND} END, updated_at = now() \
             WHERE job = $1 AND shard = $3 AND sink = $4 AND lineage <= $2 \
             AND generation <> CASE WHEN lineage = $2 THEN $5 ELSE {LEFT_BEHIND} END",
            self.qualified
        );
        let update = sqlx::query(AssertSqlSafe(sql)).bind(&key.job).bind(key.lineage).bind(key.shard).bind(&key.sink);
        client.execute(update.bind(key.generation)).await.map(|_| ())
    }

    /// Inside a transaction: moves the cursor from `after` to `epoch`. False: the fence is shut, roll back.
    pub(crate) async fn pass(
        &self,
        client: &mut Client,
        key: &Key,
        after: i64,
        epoch: i64,
    ) -> std::result::Result<bool, Failure> {
        let sql = format!(
            "UPDATE {} SET epoch = $5, generation = $6, updated_at = now() \
             WHERE job = $1 AND lineage = $2 AND shard = $3 AND sink = $4 AND epoch = $7 AND generation <= $6",
            self.qualified
        );
        let update = sqlx::query(AssertSqlSafe(sql)).bind(&key.job).bind(key.lineage).bind(key.shard).bind(&key.sink);
        let rows = client.execute(update.bind(epoch).bind(key.generation).bind(after)).await?;
        Ok(rows == 1)
    }

    /// Why the fence was shut: reads the row, outside any transaction.
    pub(crate) async fn refusal(&self, client: &mut Client, config: &Config, key: &Key, after: i64) -> Error {
        let sql = format!(
            "SELECT lineage, epoch, generation FROM {} WHERE job = $1 AND lineage = $2 AND shard = $3 AND sink = $4",
            self.qualified
        );
        let select = sqlx::query(AssertSqlSafe(sql)).bind(&key.job).bind(key.lineage).bind(key.shard).bind(&key.sink);
        let entry = client.rows(select).await.and_then(|rows| match rows.first() {
            None => Ok(None),
            Some(row) => Ok(Some(Entry {
                lineage: row.try_get("lineage")?,
                epoch: row.try_get("epoch")?,
                generation: row.try_get("generation")?,
            })),
        });
        match entry {
            Ok(entry) => decide_refusal(key, after, entry),
            Err(failure) => {
                failed(&config.address, &format!("table '{}': reading {}", key.sink, self.qualified), failure)
            }
        }
    }
}

/// The statement that creates the cursor table.
fn create_statement(qualified: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {qualified} (job text NOT NULL, lineage bigint NOT NULL, shard bigint NOT NULL, \
         sink text NOT NULL, epoch bigint NOT NULL, generation bigint NOT NULL, \
         updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (job, shard, sink, lineage))"
    )
}

/// Whether the claim holds against the rows of the same job, shard and sink; its own row is among them.
pub(crate) fn decide_claim(key: &Key, entries: &[Entry]) -> Result<Epoch> {
    if let Some(newer) = entries.iter().find(|entry| entry.lineage > key.lineage) {
        return Err(left_behind(key, Some(newer.lineage)));
    }
    let own = entries.iter().find(|entry| entry.lineage == key.lineage);
    let own =
        own.ok_or_else(|| Error::bug(format!("table '{}': the cursor row just written is not there", key.sink)))?;
    if own.generation > key.generation {
        return Err(overtaken(key, own.generation));
    }
    let epoch = u64::try_from(own.epoch).map_err(|_| damaged(key, own.epoch))?;
    Ok(Epoch(epoch))
}

/// What a shut fence means: a newer owner, or a cursor that is not where the caller thought.
pub(crate) fn decide_refusal(key: &Key, after: i64, entry: Option<Entry>) -> Error {
    match entry {
        None => Error::data(format!(
            "table '{}': the cursor row of job '{}', lineage {}, shard {} has been removed while the job ran; \
             compare the table with the checkpoints before starting again",
            key.sink, key.job, key.lineage, key.shard
        )),
        Some(entry) if entry.generation > key.generation => overtaken(key, entry.generation),
        Some(entry) => Error::retry(format!(
            "table '{}': the cursor stands at epoch {} instead of {after}; open again to go on from there",
            key.sink, entry.epoch
        )),
    }
}

fn overtaken(key: &Key, generation: i64) -> Error {
    if generation == LEFT_BEHIND {
        return left_behind(key, None);
    }
    let (mine, newer) = (key.generation.unsigned_abs(), generation.unsigned_abs());
    Error::fenced(format!(
        "table '{}': generation {} of job '{}' writes shard {} now; this is generation {}",
        key.sink,
        Generation(newer),
        key.job,
        key.shard,
        Generation(mine)
    ))
}

fn left_behind(key: &Key, newer: Option<i64>) -> Error {
    let newer = newer.and_then(|lineage| u32::try_from(lineage).ok()).map(Lineage);
    let newer = newer.map_or("a newer lineage".to_owned(), |lineage| format!("lineage {lineage}"));
    Error::fenced(format!(
        "table '{}': {newer} of job '{}' writes shard {} now; this is lineage {}",
        key.sink, key.job, key.shard, key.lineage
    ))
}

fn damaged(key: &Key, epoch: i64) -> Error {
    Error::data(format!(
        "table '{}': the cursor table holds the epoch {epoch} for job '{}'; repair the row",
        key.sink, key.job
    ))
}

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;
