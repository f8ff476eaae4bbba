//! A real server behind the border of `session`: the SQL of the cursor table, and rows as statements.
//!
//! It decides nothing: conditions come as data, and answers go back as they are.

use crate::client::Client;
use crate::config::Config;
use crate::encode;
use crate::error::{Failure, statement as failed};
use crate::login::Login;
use crate::look;
use crate::session::{Boundary, Change, Database, Entry, Key, Names, Only, Outcome, Session};
use crate::statement::{self, quote};
use crate::table::{self, Table, Target, create_under_lock};
use aqueduct_core::{Result, SinkSpec};
use arrow::array::ArrayRef;
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

const NAME: &str = "aqueduct_cursor";

/// The server of the options.
#[derive(Debug)]
pub(crate) struct Server {
    login: Login,
    spec: SinkSpec,
}

impl Server {
    pub(crate) fn new(config: Arc<Config>, spec: &SinkSpec) -> Self {
        Self { login: Login::new(config, &spec.options), spec: spec.clone() }
    }
}

/// A session with it.
#[derive(Debug)]
struct ServerSession {
    client: Client,
    config: Arc<Config>,
    spec: SinkSpec,
    /// `"schema"."aqueduct_cursor"`; empty before `prepare`, as the two below.
    cursor: String,
    targets: Vec<Target>,
    insert: String,
}

#[async_trait]
impl Database for Server {
    async fn connect(&self, job: &str) -> Outcome<Box<dyn Session>> {
        let (client, config) = self.login.connect(job).await?;
        Ok(Box::new(ServerSession {
            client,
            config,
            spec: self.spec.clone(),
            cursor: String::new(),
            targets: Vec::new(),
            insert: String::new(),
        }))
    }
}

impl ServerSession {
    async fn exists(&mut self, qualified: &str) -> Outcome<bool> {
        let sql = "SELECT to_regclass($1) IS NOT NULL AS there";
        let rows = self.client.rows(sqlx::query(sql).bind(qualified.to_owned())).await?;
        Ok(rows.first().and_then(|row| row.try_get::<bool, _>("there").ok()).unwrap_or(false))
    }

    /// The cursor table beside `table`; created when it is missing.
    async fn prepare_cursor(&mut self, table: &Table) -> Result<()> {
        let qualified = format!("{}.{NAME}", quote(&table.schema));
        let create = create_statement(&qualified);
        let doing = format!("table '{}': {create}", self.spec.table);
        let config = Arc::clone(&self.config);
        let on_error = |failure| failed(&config.address, &doing, failure);
        // CREATE TABLE IF NOT EXISTS asks for the right to create even where nothing is to be created.
        if !self.exists(&qualified).await.map_err(on_error)? {
            create_under_lock(&mut self.client, &create).await.map_err(on_error)?;
        }
        self.cursor = qualified;
        Ok(())
    }
}

#[async_trait]
impl Session for ServerSession {
    async fn prepare(&mut self) -> Result<Names> {
        let (table, targets) = table::prepare(&mut self.client, &self.config, &self.spec).await?;
        self.prepare_cursor(&table).await?;
        self.insert = statement::insert(&table, &targets, &self.spec.primary_key);
        self.targets = targets;
        Ok(Names { target: table.qualified(), cursor: self.cursor.clone() })
    }

    async fn look(&mut self) -> Result<()> {
        look::look(&mut self.client, &self.config, &self.spec, NAME).await
    }

    async fn transaction(&mut self, boundary: Boundary) -> Outcome<()> {
        let sql = match boundary {
            Boundary::Begin => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Boundary::Commit => "COMMIT",
            Boundary::Rollback => "ROLLBACK",
        };
        self.client.batch(sql.into()).await.map(|_| ())
    }

    async fn lock_entries(&mut self, key: &Key) -> Outcome<Vec<Entry>> {
        let table = &self.cursor;
        // Two lineages that open for the first time see no row of each other: the lock puts them in order.
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7))::text";
        let name = format!("aqueduct {} {} {}", key.job, key.shard, key.sink);
        self.client.rows(sqlx::query(lock).bind(name)).await?;
        let sql = format!(
            "INSERT INTO {table} (job, lineage, shard, sink, epoch, generation) VALUES ($1, $2, $3, $4, 0, 0) \
             ON CONFLICT DO NOTHING"
        );
        let insert = sqlx::query(AssertSqlSafe(sql)).bind(&key.job).bind(key.lineage).bind(key.shard).bind(&key.sink);
        self.client.execute(insert).await?;
        let sql = format!(
            "SELECT lineage, epoch, generation FROM {table} WHERE job = $1 AND shard = $2 AND sink = $3 \
             ORDER BY lineage FOR UPDATE"
        );
        let select = sqlx::query(AssertSqlSafe(sql)).bind(&key.job).bind(key.shard).bind(&key.sink);
        self.client.rows(select).await?.iter().map(entry).collect()
    }

    async fn entry(&mut self, key: &Key) -> Outcome<Option<Entry>> {
        let sql = format!(
            "SELECT lineage, epoch, generation FROM {} WHERE job = $1 AND lineage = $2 AND shard = $3 AND sink = $4",
            self.cursor
        );
        let select = sqlx::query(AssertSqlSafe(sql)).bind(&key.job).bind(key.lineage).bind(key.shard).bind(&key.sink);
        self.client.rows(select).await?.first().map(entry).transpose()
    }

    async fn entries(&mut self, job: &str, shard: i64) -> Outcome<Vec<Entry>> {
        let Some(schema) = table::schema(&mut self.client, &self.config).await? else { return Ok(Vec::new()) };
        let cursor = format!("{}.{NAME}", quote(&schema));
        if !self.exists(&cursor).await? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT lineage, epoch, generation FROM {cursor} WHERE job = $1 AND shard = $2 AND sink = $3 ORDER BY lineage"
        );
        let select = sqlx::query(AssertSqlSafe(sql)).bind(job.to_owned()).bind(shard).bind(self.spec.table.clone());
        self.client.rows(select).await?.iter().map(entry).collect()
    }

    async fn update(&mut self, key: &Key, change: &Change) -> Outcome<bool> {
        let sql = update_statement(&self.cursor, change);
        let mut update = sqlx::query(AssertSqlSafe(sql))
            .bind(&key.job)
            .bind(change.lineage)
            .bind(key.shard)
            .bind(&key.sink)
            .bind(change.generation);
        if let Some(epoch) = change.epoch {
            update = update.bind(epoch);
        }
        for only in &change.only {
            update = match only {
                Only::At(number) | Only::UpTo(number) => update.bind(*number),
            };
        }
        Ok(self.client.execute(update).await? == 1)
    }

    async fn insert(&mut self, columns: &[ArrayRef]) -> Outcome<()> {
        let arguments = encode::arguments(columns, &self.targets).map_err(Failure::Told)?;
        let insert = sqlx::query_with(AssertSqlSafe(self.insert.clone()), arguments);
        self.client.execute(insert).await.map(|_| ())
    }

    async fn close(self: Box<Self>) {
        self.client.close().await;
    }
}

fn entry(row: &PgRow) -> Outcome<Entry> {
    Ok(Entry { lineage: row.try_get("lineage")?, epoch: row.try_get("epoch")?, generation: row.try_get("generation")? })
}

/// The statement that creates the cursor table.
fn create_statement(qualified: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {qualified} (job text NOT NULL, lineage bigint NOT NULL, shard bigint NOT NULL, \
         sink text NOT NULL, epoch bigint NOT NULL, generation bigint NOT NULL, \
         updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (job, shard, sink, lineage))"
    )
}

/// The statement of a change; parameters in the order of [`Session::update`].
fn update_statement(qualified: &str, change: &Change) -> String {
    let epoch = if change.epoch.is_some() { ", epoch = $6" } else { "" };
    let first = if change.epoch.is_some() { 7 } else { 6 };
    let mut sql = format!(
        "UPDATE {qualified} SET generation = $5{epoch}, updated_at = now() \
         WHERE job = $1 AND lineage = $2 AND shard = $3 AND sink = $4"
    );
    for (place, only) in (first..).zip(&change.only) {
        sql.push_str(&match only {
            Only::At(_) => format!(" AND epoch = ${place}"),
            Only::UpTo(_) => format!(" AND generation <= ${place}"),
        });
    }
    sql
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
