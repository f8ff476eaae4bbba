//! The target table: what the catalog says about it, whether the job's columns fit, and how to create it.
//!
//! Checked when the sink opens, so that a job that cannot write does not start to read.

use crate::client::Client;
use crate::config::Config;
use crate::error::{Failure, statement as failed};
use crate::statement::quote;
use crate::types::{self, Wire};
use aqueduct_core::{Error, Hurdle, Result, SinkSpec};
use sqlx::Row;

/// Serialises `CREATE TABLE IF NOT EXISTS`, which on its own fails when two sessions race. Any fixed number.
pub(crate) const DDL_LOCK: i64 = 0x6171_7565_6475_6374;

/// A column of an existing table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The type as SQL writes it, such as `numeric(10,2)`.
    pub(crate) sql_type: String,
    /// The internal name of the type, below any domain.
    pub(crate) base: String,
    /// The type below any domain as SQL writes it.
    pub(crate) base_sql: String,
    pub(crate) is_enum: bool,
    pub(crate) not_null: bool,
    /// A default or an identity: an INSERT may leave it out.
    pub(crate) has_default: bool,
    /// `GENERATED ALWAYS`: an INSERT must leave it out.
    pub(crate) generated: bool,
}

/// An existing table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// The column sets of the unique indexes that `ON CONFLICT` can use.
    pub(crate) unique: Vec<Vec<String>>,
}

impl Table {
    /// `"schema"."table"`
    pub(crate) fn qualified(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }
}

/// A column of the job, ready for statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) wire: Wire,
    pub(crate) base: String,
    pub(crate) base_sql: String,
}

/// Columns whose types cannot be sent, before any connection.
pub(crate) fn check_types(spec: &SinkSpec) -> Result<()> {
    for column in &spec.columns {
        if Wire::of(&column.data_type).is_none() {
            return Err(Error::config(format!(
                "table '{}': column '{}' has the type {}, which 'postgres' cannot take; CAST it in the INSERT",
                spec.table, column.name, column.sql_type
            )));
        }
    }
    Ok(())
}

/// The statement that creates the table as the job needs it.
pub(crate) fn create_statement(config: &Config, spec: &SinkSpec) -> String {
    let mut lines: Vec<String> = Vec::with_capacity(spec.columns.len() + 1);
    for (index, column) in spec.columns.iter().enumerate() {
        let sql_type = types::ddl(&column.data_type).unwrap_or_else(|| "text".into());
        let required = if !column.nullable || spec.primary_key.contains(&index) { " NOT NULL" } else { "" };
        lines.push(format!("{} {sql_type}{required}", quote(&column.name)));
    }
    if !spec.primary_key.is_empty() {
        lines.push(format!("PRIMARY KEY ({})", key_list(spec)));
    }
    format!("CREATE TABLE IF NOT EXISTS {} ({})", wanted(config), lines.join(", "))
}

/// Finds the table, creates it if that is wished, and checks it. The result has one target per column of the job.
pub(crate) async fn prepare(client: &mut Client, config: &Config, spec: &SinkSpec) -> Result<(Table, Vec<Target>)> {
    let mut table = find(client, config, spec).await?;
    if table.is_none() && config.create_table {
        let create = create_statement(config, spec);
        let doing = format!("table '{}': {create}", spec.table);
        create_under_lock(client, &create).await.map_err(|failure| failed(&config.address, &doing, failure))?;
        table = find(client, config, spec).await?;
    }
    let table = table.ok_or_else(|| missing(config, spec))?;
    let targets = fit(client, config, spec, &table).await?;
    Ok((table, targets))
}

/// The table, if there is one of this name.
pub(crate) async fn find(client: &mut Client, config: &Config, spec: &SinkSpec) -> Result<Option<Table>> {
    let doing = format!("table '{}': reading the catalog", spec.table);
    match load(client, config).await.map_err(|failure| failed(&config.address, &doing, failure))? {
        Some((table, kind)) if kind != "r" && kind != "p" => {
            let found = table.qualified();
            Err(Error::config(format!("table '{}': {found} is not a table (a view?)", spec.table)).at(Hurdle::Fit))
        }
        found => Ok(found.map(|(table, _)| table)),
    }
}

/// The error for a table that is not there and is not to be created.
pub(crate) fn missing(config: &Config, spec: &SinkSpec) -> Error {
    Error::config(format!(
        "table '{}': postgres {} has no table {}; set 'sink.create-table' = 'true' or run: {};",
        spec.table,
        config.address,
        wanted(config),
        create_statement(config, spec)
    ))
    .at(Hurdle::Permit)
}

/// Checks rights and columns of a table that is there.
pub(crate) async fn fit(client: &mut Client, config: &Config, spec: &SinkSpec, table: &Table) -> Result<Vec<Target>> {
    check_privileges(client, config, spec, table).await?;
    check(spec, table)
}

/// Creates something under a lock that all sinks share. Locks of a transaction end with it, also behind a pooler.
pub(crate) async fn create_under_lock(client: &mut Client, create: &str) -> std::result::Result<(), Failure> {
    client.batch(format!("BEGIN; SELECT pg_advisory_xact_lock({DDL_LOCK}); {create}; COMMIT")).await.map(|_| ())
}

/// Compares the job's columns with the table's. All differences are told at once.
pub(crate) fn check(spec: &SinkSpec, table: &Table) -> Result<Vec<Target>> {
    let mut wrong = Vec::new();
    let mut targets = Vec::with_capacity(spec.columns.len());
    for column in &spec.columns {
        let Some(found) = table.columns.iter().find(|found| found.name == column.name) else {
            wrong.push(missing_column(table, column));
            continue;
        };
        // Types that cannot be sent were refused when the sink was made.
        let Some(wire) = Wire::of(&column.data_type) else { continue };
        if found.generated {
            wrong.push(format!("column '{}' is GENERATED ALWAYS: leave it out of the job's table", column.name));
        } else if !wire.fits(&found.base, found.is_enum) {
            wrong.push(format!(
                "column '{}' is {} in the job and {} in postgres (expected {})",
                column.name,
                column.sql_type,
                found.sql_type,
                wire.targets().join(" or ")
            ));
        }
        let (base, base_sql) = (found.base.clone(), found.base_sql.clone());
        targets.push(Target { name: column.name.clone(), wire, base, base_sql });
    }
    for found in &table.columns {
        let written = spec.columns.iter().any(|column| column.name == found.name);
        if !written && found.not_null && !found.has_default && !found.generated {
            wrong.push(format!("column '{}' is NOT NULL without a default and is not in the job's table", found.name));
        }
    }
    wrong.extend(check_key(spec, table));
    if wrong.is_empty() {
        return Ok(targets);
    }
    let wrong = wrong.join("; ");
    Err(Error::config(format!("table '{}' does not fit {}: {wrong}", spec.table, table.qualified())).at(Hurdle::Fit))
}

fn missing_column(table: &Table, column: &aqueduct_core::TableColumn) -> String {
    let sql_type = types::ddl(&column.data_type).unwrap_or_else(|| "text".into());
    let other_case = table.columns.iter().find(|found| found.name.eq_ignore_ascii_case(&column.name));
    match other_case {
        Some(found) => format!("column '{}' is missing (there is '{}': case counts)", column.name, found.name),
        None => format!(
            "column '{}' is missing (ALTER TABLE {} ADD COLUMN {} {sql_type})",
            column.name,
            table.qualified(),
            quote(&column.name)
        ),
    }
}

/// `ON CONFLICT` needs a unique index on exactly the columns of the PRIMARY KEY.
fn check_key(spec: &SinkSpec, table: &Table) -> Option<String> {
    let mut key: Vec<&str> = spec.primary_key.iter().map(|&index| spec.columns[index].name.as_str()).collect();
    key.sort_unstable();
    let matches = |unique: &Vec<String>| {
        let mut unique: Vec<&str> = unique.iter().map(String::as_str).collect();
        unique.sort_unstable();
        unique == key
    };
    if key.is_empty() || table.unique.iter().any(matches) {
        return None;
    }
    let found: Vec<String> = table.unique.iter().map(|columns| format!("({})", columns.join(", "))).collect();
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Some(format!(
        "PRIMARY KEY ({}) needs a unique index on exactly these columns, found: {found} \
         (CREATE UNIQUE INDEX ON {} ({}))",
        spec.primary_key.iter().map(|&index| spec.columns[index].name.as_str()).collect::<Vec<_>>().join(", "),
        table.qualified(),
        key_list(spec)
    ))
}

fn key_list(spec: &SinkSpec) -> String {
    spec.primary_key.iter().map(|&index| quote(&spec.columns[index].name)).collect::<Vec<_>>().join(", ")
}

/// The table as the options name it, quoted.
fn wanted(config: &Config) -> String {
    match &config.schema {
        Some(schema) => format!("{}.{}", quote(schema), quote(&config.table)),
        None => quote(&config.table),
    }
}

const FIND: &str = "SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, \
    c.relkind::text AS kind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)";

const COLUMNS: &str = "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS sql_type, \
    b.typname::text AS base, format_type(b.oid, NULL) AS base_sql, b.typtype::text = 'e' AS is_enum, \
    (a.attnotnull OR t.typnotnull) AS not_null, \
    (a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL) AS has_default, \
    (a.attgenerated <> '' OR a.attidentity = 'a') AS generated \
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
    JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
    WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const UNIQUE: &str = "SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, place) \
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
    WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns \
    FROM pg_index i WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indimmediate \
    AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY i.indisprimary DESC, i.indexrelid";

/// The table and its `relkind`, if it exists.
/// The schema of the table, if there is such a table.
pub(crate) async fn schema(client: &mut Client, config: &Config) -> std::result::Result<Option<String>, Failure> {
    let found = client.rows(sqlx::query(FIND).bind(wanted(config))).await?;
    Ok(found.first().map(|found| found.try_get("schema")).transpose()?)
}

async fn load(client: &mut Client, config: &Config) -> std::result::Result<Option<(Table, String)>, Failure> {
    let found = client.rows(sqlx::query(FIND).bind(wanted(config))).await?;
    let Some(found) = found.first() else { return Ok(None) };
    let oid: i64 = found.try_get("oid")?;
    let mut columns = Vec::new();
    for row in client.rows(sqlx::query(COLUMNS).bind(oid)).await? {
        columns.push(Column {
            name: row.try_get("name")?,
            sql_type: row.try_get("sql_type")?,
            base: row.try_get("base")?,
            base_sql: row.try_get("base_sql")?,
            is_enum: row.try_get("is_enum")?,
            not_null: row.try_get("not_null")?,
            has_default: row.try_get("has_default")?,
            generated: row.try_get("generated")?,
        });
    }
    let mut unique = Vec::new();
    for row in client.rows(sqlx::query(UNIQUE).bind(oid)).await? {
        unique.push(row.try_get("columns")?);
    }
    let table = Table { schema: found.try_get("schema")?, name: found.try_get("name")?, columns, unique };
    Ok(Some((table, found.try_get("kind")?)))
}

/// Grants may be per column, so any column counts.
async fn check_privileges(client: &mut Client, config: &Config, spec: &SinkSpec, table: &Table) -> Result<()> {
    let needed: &[&str] = if spec.primary_key.is_empty() { &["INSERT"] } else { &["INSERT", "UPDATE", "SELECT"] };
    let sql = "SELECT p FROM unnest($2::text[]) AS p WHERE NOT has_any_column_privilege($1::regclass, p)";
    let names: Vec<String> = needed.iter().map(|name| (*name).to_owned()).collect();
    let doing = format!("table '{}': reading the privileges on {}", spec.table, table.qualified());
    let on_error = |failure| failed(&config.address, &doing, failure);
    let rows = client.rows(sqlx::query(sql).bind(table.qualified()).bind(names)).await.map_err(on_error)?;
    if rows.is_empty() {
        return Ok(());
    }
    Err(may_not(config, spec, &format!("write {}", table.qualified()), needed, &table.qualified()))
}

/// The user lacks `rights` on something, and how to give them.
pub(crate) fn may_not(config: &Config, spec: &SinkSpec, what: &str, rights: &[&str], on: &str) -> Error {
    let user = &config.address.username;
    Error::config(format!(
        "table '{}': the user '{user}' may not {what} at postgres {}; run: GRANT {} ON {on} TO {};",
        spec.table,
        config.address,
        rights.join(", "),
        quote(user)
    ))
    .at(Hurdle::Permit)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
