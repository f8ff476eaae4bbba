//! A look at the server that changes nothing: whether the target and the cursor table are there and fit, or may be created.
//!
//! What fits is decided in `table`; here it is only asked, and nothing is created.

use crate::client::Client;
use crate::config::Config;
use crate::error::statement as failed;
use crate::statement::quote;
use crate::table::{self, may_not};
use aqueduct_core::{Error, Hurdle, Result, SinkSpec};
use sqlx::Row;

/// What the cursor's statements need.
const RIGHTS: &[&str] = &["SELECT", "INSERT", "UPDATE"];

/// Fails with what a start would fail with. `cursor` is the name of the cursor table.
pub(crate) async fn look(client: &mut Client, config: &Config, spec: &SinkSpec, cursor: &str) -> Result<()> {
    refuse_standby(client, config, spec).await?;
    let (schema, creates) = match table::find(client, config, spec).await? {
        Some(found) => {
            table::fit(client, config, spec, &found).await?;
            (Some(found.schema), false)
        }
        None if config.create_table => (config.schema.clone(), true),
        None => return Err(table::missing(config, spec)),
    };
    let doing = format!("table '{}': looking for {cursor}", spec.table);
    let on_error = |failure| failed(&config.address, &doing, failure);
    let sql = "SELECT s.name::text AS schema, to_regclass(quote_ident(s.name) || '.' || $2)::text AS cursor, \
        has_schema_privilege(s.name, 'CREATE') AS may_create FROM (SELECT coalesce($1, current_schema())::name AS name) s";
    let rows = client.rows(sqlx::query(sql).bind(schema).bind(cursor.to_owned())).await.map_err(on_error)?;
    let (schema, known, may_create) = rows
        .first()
        .and_then(|row| {
            let schema: Option<String> = row.try_get("schema").ok()?;
            let known: Option<String> = row.try_get("cursor").ok()?;
            let may_create: Option<bool> = row.try_get("may_create").ok()?;
            Some((schema?, known, may_create.unwrap_or(false)))
        })
        .ok_or_else(|| {
            Error::config(format!(
                "table '{}': postgres {}: the search path names no schema that exists; write 'table-name' = 'schema.table'",
                spec.table, config.address
            ))
            .at(Hurdle::Permit)
        })?;
    if (creates || known.is_none()) && !may_create {
        return Err(may_not(
            config,
            spec,
            &format!("create tables in the schema {schema}"),
            &["CREATE"],
            &format!("SCHEMA {}", quote(&schema)),
        ));
    }
    let Some(known) = known else { return Ok(()) };
    let sql = "SELECT p FROM unnest($2::text[]) AS p WHERE NOT has_table_privilege($1::regclass, p)";
    let rights: Vec<String> = RIGHTS.iter().map(|right| (*right).to_owned()).collect();
    let lacking = client.rows(sqlx::query(sql).bind(known.clone()).bind(rights)).await.map_err(on_error)?;
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(may_not(config, spec, &format!("use {known}"), RIGHTS, &known)),
    }
}

async fn refuse_standby(client: &mut Client, config: &Config, spec: &SinkSpec) -> Result<()> {
    let doing = format!("table '{}': looking at the server", spec.table);
    let sql = "SELECT current_setting('transaction_read_only') = 'on' AS read_only";
    let rows = client.rows(sqlx::query(sql)).await.map_err(|failure| failed(&config.address, &doing, failure))?;
    match rows.first().is_some_and(|row| row.try_get("read_only").unwrap_or(false)) {
        false => Ok(()),
        true => Err(Error::config(format!(
            "table '{}': postgres {} is read-only (a standby?); name the primary in 'url'",
            spec.table, config.address
        ))
        .at(Hurdle::Permit)),
    }
}
