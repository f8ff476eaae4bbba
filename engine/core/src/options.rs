//! `WITH ('key' = 'value')` options: what a connector accepts, and typed access to what was given.
//!
//! Unknown keys are found by the planner, with positions, from [`OptionDef`]; values are parsed here. No defaults of any
//! connector live here.

use crate::secrets::put_in;
use crate::{Error, Result, Secrets};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One option that a connector accepts.
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    /// The key, such as `topic`. With `prefix` it ends with a dot and stands for every key below it (`properties.`).
    pub key: &'static str,
    /// True when `key` is a prefix.
    pub prefix: bool,
    /// The value used when the option is absent, for documentation; `None` when there is none.
    pub default: Option<&'static str>,
    /// One sentence for `--help` and the documents.
    pub help: &'static str,
}

impl OptionDef {
    /// An option without a default.
    pub const fn new(key: &'static str, help: &'static str) -> Self {
        Self { key, prefix: false, default: None, help }
    }

    /// An option with a default.
    pub const fn with_default(key: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { key, prefix: false, default: Some(default), help }
    }

    /// Every key that begins with `key`.
    pub const fn prefix(key: &'static str, help: &'static str) -> Self {
        Self { key, prefix: true, default: None, help }
    }
}

/// The options of one table. Keys are lower-case as in Flink; secrets are never printed.
#[derive(Clone, Default)]
pub struct Options {
    table: String,
    values: BTreeMap<String, String>,
    /// The values that hold secrets as they were written, with `${file:PATH}` or `${secret:...}` in the place of each.
    written: BTreeMap<String, String>,
    secrets: Option<Arc<dyn Secrets>>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may hold resolved secrets: names only.
        f.debug_struct("Options").field("table", &self.table).field("keys", &self.values.keys()).finish()
    }
}

impl Options {
    /// The options of `table`.
    pub fn new(table: impl Into<String>, values: BTreeMap<String, String>) -> Self {
        Self { table: table.into(), values, ..Self::default() }
    }

    /// Says which values hold secrets, and how they were written.
    #[must_use]
    pub fn with_references(mut self, written: BTreeMap<String, String>) -> Self {
        self.written = written;
        self
    }

    /// Says who reads secrets.
    pub fn attach(&mut self, secrets: Arc<dyn Secrets>) {
        self.secrets = Some(secrets);
    }

    /// True when a value holds a secret that can be read again.
    pub fn has_secrets(&self) -> bool {
        self.secrets.is_some() && !self.written.is_empty()
    }

    /// The same with every secret in its place. What has been read before stays.
    pub fn resolved(&self) -> Result<Options> {
        self.read(false, |value| value.contains("${secret:"))
    }

    /// The same with every secret as it is now; `None` when none has changed.
    pub fn renewed(&self) -> Result<Option<Options>> {
        let renewed = self.read(true, |_| true)?;
        Ok((renewed.values != self.values).then_some(renewed))
    }

    fn read(&self, anew: bool, wanted: impl Fn(&str) -> bool) -> Result<Options> {
        let mut found = self.clone();
        let Some(secrets) = &self.secrets else { return Ok(found) };
        for (key, written) in &self.written {
            if self.values.get(key).is_some_and(|value| wanted(value)) {
                let value = put_in(written, |reference| secrets.read(reference, anew));
                let value = value.map_err(|error| error.context(format!("table '{}', option '{key}'", self.table)))?;
                found.values.insert(key.clone(), value);
            }
        }
        Ok(found)
    }

    /// The table that the options belong to.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The value as text; an empty value counts as absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value, or an error that names the option and the table.
    pub fn require(&self, key: &str) -> Result<&str> {
        self.get(key)
            .ok_or_else(|| Error::config(format!("table '{}' needs the option '{key}' in WITH (...)", self.table)))
    }

    /// `true` or `false`.
    pub fn bool(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(self.invalid(key, text, "true or false")),
        }
    }

    /// A number that parses as `T`; `expected` describes it in the error.
    pub fn number<T: std::str::FromStr>(&self, key: &str, default: T, expected: &str) -> Result<T> {
        match self.get(key) {
            None => Ok(default),
            Some(text) => text.trim().replace('_', "").parse().map_err(|_| self.invalid(key, text, expected)),
        }
    }

    /// A duration in Flink's spelling: `500 ms`, `10 s`, `10s`, `5 min`, `1 h`, `1 d`; a bare number is milliseconds.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        match self.get(key) {
            None => Ok(None),
            Some(text) => parse_duration(text)
                .map(Some)
                .ok_or_else(|| self.invalid(key, text, "a duration such as '500 ms', '10 s' or '5 min'")),
        }
    }

    /// One of `allowed`, compared without case.
    pub fn one_of(&self, key: &str, default: &'static str, allowed: &[&'static str]) -> Result<&'static str> {
        match self.get(key) {
            None => Ok(default),
            Some(text) => allowed
                .iter()
                .copied()
                .find(|choice| choice.eq_ignore_ascii_case(text))
                .ok_or_else(|| self.invalid(key, text, &format!("one of: {}", allowed.join(", ")))),
        }
    }

    /// The options below `prefix`, with the prefix cut off.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter_map(move |(key, value)| key.strip_prefix(prefix).map(|rest| (rest, value.as_str())))
    }

    /// The error for a value that does not fit. The value is shown: do not call it for secrets.
    pub fn invalid(&self, key: &str, value: &str, expected: &str) -> Error {
        Error::config(format!(
            "table '{}': option '{key}' = '{value}' is not usable: it must be {expected}",
            self.table
        ))
    }
}

/// Parses Flink's durations: a number and an optional unit (`ns`, `us`, `ms`, `s`, `min`, `h`, `d` and their long names).
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let number: u64 = text[..digits].replace('_', "").parse().ok()?;
    let nanos: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    };
    Some(Duration::from_nanos(number.checked_mul(nanos)?))
}
