//! One session with the server, owned by the sink and by nobody else.
//!
//! Never a pool: a `begin()` that is cancelled inside sqlx's pool can hand an open transaction to the next user. Here a
//! session that met any error is dropped, which closes its socket; the server then rolls back what was open.

use crate::config::{Address, Config};
use crate::error::Failure;
use aqueduct_core::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgQueryResult, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, query::Query};
use std::time::Duration;

/// Longer than `statement_timeout`: the server ends a statement first; only a dead server or network comes this far.
const ANSWER_WITHIN: Duration = Duration::from_secs(75);

/// The server ends the open transaction of a stalled process before the successor that waits for its row gives up:
/// `lock_timeout` is the longer one. Keepalives find a client that is gone; sessions do not inherit what a role's settings
/// say about time zones.
const SESSION: &str = "SET statement_timeout = '60s'; SET lock_timeout = '30s'; \
    SET idle_in_transaction_session_timeout = '20s'; \
    SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
    SET TimeZone = 'UTC'; SET client_min_messages = 'warning'";

/// A statement with its arguments.
pub(crate) type Statement<'q> = Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// A connection in which every exchange has a deadline.
#[derive(Debug)]
pub(crate) struct Client {
    connection: PgConnection,
}

impl Client {
    /// Connects and sets the session up. No error shows the password.
    pub(crate) async fn connect(config: &Config, job: &str) -> std::result::Result<Self, Failure> {
        // The tree links two crypto libraries, so the TLS layer must be told which; an earlier choice stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = options(config, job).map_err(Failure::Told)?;
        // No transaction exists yet, so a connect that takes too long is simply dropped.
        let connection = match tokio::time::timeout(config.connect_timeout, options.connect()).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Failure::Silent(config.connect_timeout)),
        };
        let mut client = Self { connection };
        client.batch(SESSION.into()).await?;
        Ok(client)
    }

    /// Runs statements without arguments, separated by `;`. After an error the client must be dropped, as everywhere.
    pub(crate) async fn batch(&mut self, sql: String) -> std::result::Result<PgQueryResult, Failure> {
        within(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection)).await
    }

    /// Runs a statement and says how many rows it touched.
    pub(crate) async fn execute(&mut self, statement: Statement<'_>) -> std::result::Result<u64, Failure> {
        within(statement.execute(&mut self.connection)).await.map(|result| result.rows_affected())
    }

    /// Runs a query and brings all its rows.
    pub(crate) async fn rows(&mut self, statement: Statement<'_>) -> std::result::Result<Vec<PgRow>, Failure> {
        within(statement.fetch_all(&mut self.connection)).await
    }

    /// Says goodbye. The server needs no goodbye, so failures do not matter.
    pub(crate) async fn close(self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.connection.close()).await;
    }
}

/// Waits for an answer. Cutting a statement off is safe only because the caller drops the client on any error.
async fn within<T>(answer: impl Future<Output = sqlx::Result<T>>) -> std::result::Result<T, Failure> {
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::Silent(ANSWER_WITHIN)),
    }
}

fn options(config: &Config, job: &str) -> Result<PgConnectOptions> {
    let Address { host, port, database, username, password } = &config.address;
    let mut name = format!("aqueduct/{job}");
    // NAMEDATALEN - 1; the name is ASCII, because a job's name is.
    name.truncate(63);
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(*port)
        .username(username)
        .database(database)
        .application_name(&name)
        .ssl_mode(config.tls.mode)
        .disable_statement_logging();
    options = match host.starts_with('/') {
        true => options.socket(host),
        false => options.host(host),
    };
    if let Some(password) = password {
        options = options.password(password.reveal());
    }
    if let Some(path) = &config.tls.root_cert {
        options = options.ssl_root_cert_from_pem(pem("ssl-root-cert", path)?);
    }
    if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
        options =
            options.ssl_client_cert_from_pem(pem("ssl-cert", cert)?).ssl_client_key_from_pem(pem("ssl-key", key)?);
    }
    Ok(options)
}

/// Read here and not by the driver, so that the message names option and file.
fn pem(option: &str, path: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::config(format!("option '{option}': cannot read '{path}': {error}")).with_source(error)
    })?;
    match String::from_utf8_lossy(&bytes).contains("-----BEGIN ") {
        true => Ok(bytes),
        false => Err(Error::config(format!("option '{option}': '{path}' is not a PEM file"))),
    }
}
