//! What went wrong in Postgres, as what the operator does next.
//!
//! Decided from the SQLSTATE, not from texts, which are translated and change. Texts are only passed on.

use crate::config::Address;
use aqueduct_core::{Error, ErrorKind, Hurdle};
use std::io;
use std::time::Duration;

/// What to do where nobody answers.
const NETWORK: &str =
    "check host and port in 'url', that the server runs, and that the network lets this machine through";

/// A failed exchange with the server.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The driver's or the server's own error.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The server did not answer in time. The connection must be dropped: the statement may still run.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// What no server was asked for: it says by itself what is wrong.
    #[error("{0}")]
    Told(Error),
}

impl Failure {
    /// Whether the server refuses user or password.
    pub(crate) fn is_refused_login(&self) -> bool {
        match self {
            Failure::Sql(sqlx::Error::Database(error)) => error.code().is_some_and(|state| state.starts_with("28")),
            _ => false,
        }
    }
}

/// What is done about a SQLSTATE.
pub(crate) fn kind_of(state: &str) -> ErrorKind {
    match state {
        // The database was dropped; waiting does not bring it back.
        "57P04" => ErrorKind::FixConfig,
        _ => match state.get(..2).unwrap_or_default() {
            // Password, user, database, schema; permissions, missing or changed objects, unknown features.
            "28" | "3D" | "3F" | "42" | "0A" | "26" => ErrorKind::FixConfig,
            // Values that do not fit, violated constraints, a trigger that raised, a key twice in a statement.
            "21" | "22" | "23" | "44" | "P0" => ErrorKind::FixData,
            // Connections, resources, locks, shutdown, deadlocks, a standby, I/O errors: may pass.
            _ => ErrorKind::Retry,
        },
    }
}

/// An error of connecting; `address` has no password in it.
pub(crate) fn connecting(address: &Address, failure: Failure) -> Error {
    let error = match failure {
        Failure::Sql(error) => error,
        Failure::Silent(_) => {
            return Error::retry(format!("postgres {address} cannot be reached: {failure}; {NETWORK}"))
                .at(Hurdle::Reach);
        }
        Failure::Told(error) => return error,
    };
    match &error {
        sqlx::Error::Database(database) => {
            let state = database.code().unwrap_or_default().into_owned();
            let next = match state.get(..2) {
                Some("28") => "; check 'username' and 'password', and the server's pg_hba.conf",
                Some("3D") => "; check the database in 'url'",
                _ => "",
            };
            let message = format!("postgres {address} refuses the connection: {} [{state}]{next}", database.message());
            let missing = state.starts_with("3D") || state == "42501";
            Error::new(kind_of(&state), message).at(if missing { Hurdle::Permit } else { Hurdle::Authenticate })
        }
        // The driver hands on failures of the TLS handshake as I/O errors of this kind.
        sqlx::Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => Error::config(format!(
            "postgres {address}: TLS failed: {cause}; check 'sslmode', 'ssl-root-cert' and the host name in 'url'"
        ))
        .at(Hurdle::Authenticate),
        sqlx::Error::Tls(cause) => Error::config(format!(
            "postgres {address}: TLS failed: {cause}; check 'sslmode', 'ssl-root-cert', 'ssl-cert' and 'ssl-key'"
        ))
        .at(Hurdle::Authenticate),
        sqlx::Error::Configuration(cause) => Error::config(format!("postgres {address}: {cause}")),
        other => Error::retry(format!("postgres {address} cannot be reached: {other}; {NETWORK}")).at(Hurdle::Reach),
    }
    .with_source(error)
}

/// An error of a statement. `doing` says which table and what for, such as `table 'x': epoch 7`.
pub(crate) fn statement(address: &Address, doing: &str, failure: Failure) -> Error {
    let error = match failure {
        Failure::Sql(error) => error,
        Failure::Silent(_) => return Error::retry(format!("{doing}: postgres {address}: {failure}")),
        Failure::Told(error) => return error.context(doing),
    };
    match &error {
        sqlx::Error::Database(database) => {
            let state = database.code().unwrap_or_default().into_owned();
            let detail =
                database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().and_then(|error| error.detail());
            let detail = detail.map(|detail| format!("; {detail}")).unwrap_or_default();
            let next = match state.as_str() {
                "42501" => format!("; grant it to '{}'", address.username),
                "42P01" => "; the table has gone since the job started".to_owned(),
                "42703" | "42804" | "42P10" => "; the table has changed since the job started".to_owned(),
                "26000" | "42P05" => "; a pooler in between must keep one session per client (session mode)".to_owned(),
                "25006" => "; the server is read-only (a standby?)".to_owned(),
                _ => String::new(),
            };
            let message = format!("{doing}: postgres {address}: {} [{state}]{detail}{next}", database.message());
            let error = Error::new(kind_of(&state), message);
            if state == "42501" { error.at(Hurdle::Permit) } else { error }
        }
        sqlx::Error::Encode(cause) => Error::data(format!("{doing}: a value cannot be sent to postgres: {cause}")),
        other => Error::retry(format!("{doing}: postgres {address}: {other}")),
    }
    .with_source(error)
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
