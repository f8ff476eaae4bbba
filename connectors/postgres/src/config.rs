//! The options of a Postgres table, checked. It opens no connection and reads no file.

use aqueduct_core::{Error, Options, Result};
use sqlx::postgres::PgSslMode;
use std::fmt;
use std::time::Duration;

const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// A password: it can be used, not printed.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text, for the driver only.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a database is and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// A name, an IP address, or the folder of a unix socket (begins with `/`).
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) username: String,
    pub(crate) password: Option<Secret>,
}

/// `user@host:port/database`, for messages.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.username, self.host, self.port, self.database)
    }
}

/// How the connection is protected; paths of PEM files.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) mode: PgSslMode,
    pub(crate) root_cert: Option<String>,
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<String>,
}

/// Everything that the options say.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) address: Address,
    pub(crate) tls: Tls,
    /// The schema, if `table-name` names one; else the search path decides.
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
    pub(crate) create_table: bool,
    pub(crate) max_rows: usize,
    pub(crate) connect_timeout: Duration,
}

impl Config {
    /// Reads the options. Errors name table and option, never a password.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let url = Url::parse(options.require("url")?).map_err(|why| url_error(options, &why))?;
        let username = options.get("username").map(str::to_owned).or(url.username).ok_or_else(|| {
            Error::config(format!("table '{}' needs the option 'username', or a user in 'url'", options.table()))
        })?;
        let password = options.get("password").map(str::to_owned).or(url.password).map(Secret);
        let database = url.database.unwrap_or_else(|| username.clone());
        let default_mode = url.ssl_mode.unwrap_or("prefer");
        let tls = tls(options, default_mode)?;
        let (schema, table) = table_name(options)?;
        let max_rows =
            options.number("sink.buffer-flush.max-rows", 5000_usize, "a number of rows from 1 to 1000000")?;
        if !(1..=1_000_000).contains(&max_rows) {
            let given = options.get("sink.buffer-flush.max-rows").unwrap_or_default();
            return Err(options.invalid("sink.buffer-flush.max-rows", given, "a number of rows from 1 to 1000000"));
        }
        Ok(Self {
            address: Address { host: url.host, port: url.port, database, username, password },
            tls,
            schema,
            table,
            create_table: options.bool("sink.create-table", false)?,
            max_rows,
            connect_timeout: options.duration("connect.timeout")?.unwrap_or(Duration::from_secs(20)),
        })
    }
}

/// Flink's users write `schema.table`; names are taken as they are, case included.
fn table_name(options: &Options) -> Result<(Option<String>, String)> {
    let name = options.get("table-name").unwrap_or(options.table());
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        [table] if !table.is_empty() => Ok((None, (*table).to_owned())),
        [schema, table] if !schema.is_empty() && !table.is_empty() => {
            Ok((Some((*schema).to_owned()), (*table).to_owned()))
        }
        _ => Err(options.invalid("table-name", name, "a table or schema.table")),
    }
}

fn tls(options: &Options, default_mode: &'static str) -> Result<Tls> {
    let path = |key: &str| options.get(key).map(str::to_owned);
    let (root_cert, cert, key) = (path("ssl-root-cert"), path("ssl-cert"), path("ssl-key"));
    if cert.is_some() != key.is_some() {
        let table = options.table();
        return Err(Error::config(format!(
            "table '{table}': the options 'ssl-cert' and 'ssl-key' are given together or not at all"
        )));
    }
    let mode = match options.one_of("sslmode", default_mode, SSL_MODES)? {
        "disable" => PgSslMode::Disable,
        "allow" => PgSslMode::Allow,
        // As in libpq: who names a root wants it to be checked.
        "require" if root_cert.is_some() => PgSslMode::VerifyCa,
        "require" => PgSslMode::Require,
        "verify-ca" => PgSslMode::VerifyCa,
        "verify-full" => PgSslMode::VerifyFull,
        _ => PgSslMode::Prefer,
    };
    Ok(Tls { mode, root_cert, cert, key })
}

/// The url may hold a password: the message does not repeat it.
fn url_error(options: &Options, why: &str) -> Error {
    let table = options.table();
    Error::config(format!(
        "table '{table}': option 'url' is not usable: {why}; it must look like postgres://host:5432/database"
    ))
}

/// The parts of a connection url. Own code, because the driver's parser takes what is missing from the environment and
/// prints what it does not know.
#[derive(Debug, Default)]
struct Url {
    host: String,
    port: u16,
    username: Option<String>,
    password: Option<String>,
    database: Option<String>,
    ssl_mode: Option<&'static str>,
}

impl Url {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let text = text.strip_prefix("jdbc:").unwrap_or(text);
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or("it does not begin with postgres:// or jdbc:postgresql://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut url = Url { port: 5432, ..Url::default() };
        let location = match authority.rsplit_once('@') {
            None => authority,
            Some((user, location)) => {
                let (name, password) = user.split_once(':').map_or((user, None), |(name, word)| (name, Some(word)));
                url.username = filled(decode(name)?);
                url.password = password.map(decode).transpose()?;
                location
            }
        };
        url.locate(location)?;
        url.database = filled(decode(path)?);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            url.parameter(key, decode(value)?)?;
        }
        match url.host.is_empty() {
            true => Err("it names no host".into()),
            false => Ok(url),
        }
    }

    fn locate(&mut self, location: &str) -> std::result::Result<(), String> {
        // An IPv6 address has colons of its own, so it stands in brackets.
        let (host, port) = match location.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => location.split_once(':').map_or((location, None), |(host, port)| (host, Some(port))),
        };
        if host.contains(',') {
            return Err("several hosts are not supported: name the primary".into());
        }
        self.host = decode(host)?;
        if let Some(port) = port.filter(|port| !port.is_empty()) {
            self.port = port.parse().map_err(|_| format!("'{port}' is not a port"))?;
        }
        Ok(())
    }

    fn parameter(&mut self, key: &str, value: String) -> std::result::Result<(), String> {
        match key {
            "user" => self.username = filled(value),
            "password" => self.password = Some(value),
            "host" => self.host = value,
            "port" => self.port = value.parse().map_err(|_| format!("'{value}' is not a port"))?,
            "dbname" => self.database = filled(value),
            "sslmode" => {
                let known = SSL_MODES.iter().find(|mode| mode.eq_ignore_ascii_case(&value));
                self.ssl_mode = Some(known.ok_or_else(|| format!("sslmode is one of: {}", SSL_MODES.join(", ")))?);
            }
            // Named by the session itself.
            "ApplicationName" | "application_name" => {}
            _ => {
                return Err(format!(
                    "the parameter '{key}' is not known (known: user, password, host, port, dbname, sslmode)"
                ));
            }
        }
        Ok(())
    }
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Percent-decoding.
fn decode(text: &str) -> std::result::Result<String, String> {
    let broken = || "it holds a broken percent-escape".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok()).ok_or_else(broken)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| broken())?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
