//! Where `${NAME}` and `${file:PATH}` come from: `--set`, then `[variables]` of job.toml, then the environment.
//!
//! It finds values; putting them into the job's text, and defaults (`${NAME:-default}`), are the planner's. No value is
//! ever printed: it may be a password.

use crate::{job_file::JobFile, secrets};
use aqueduct_core::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The variables of one job.
pub(crate) struct JobVariables {
    given: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
    folder: PathBuf,
    environment: fn(&str) -> Option<String>,
}

impl std::fmt::Debug for JobVariables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobVariables").field("given", &self.given.keys()).field("file", &self.file.keys()).finish()
    }
}

impl JobVariables {
    /// The variables of `job`, with those given on the command line above them.
    pub(crate) fn new(job: &JobFile, given: BTreeMap<String, String>) -> Self {
        let environment = |name: &str| std::env::var(name).ok();
        Self { given, file: job.variables.clone(), folder: job.folder.clone(), environment }
    }

    /// True when some source gives the name a value that is not empty: orchestrators pass empty values for "not set".
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.lookup(name).is_some_and(|value| !value.is_empty())
    }

    fn lookup(&self, name: &str) -> Option<String> {
        self.given.get(name).or_else(|| self.file.get(name)).cloned().or_else(|| (self.environment)(name))
    }

    /// Warns of names in `--set` that the job never mentions: almost always a typing error.
    pub(crate) fn unused(&self, job: &JobFile) -> Vec<String> {
        let mentioned = |name: &str| {
            job.variables.contains_key(name)
                || job.when_unset.contains_key(name)
                || [format!("${{{name}}}"), format!("${{{name}:")]
                    .iter()
                    .any(|form| job.text.contains(form) || job.toml_text.contains(form))
        };
        self.given
            .keys()
            .filter(|name| !mentioned(name))
            .map(|name| format!("--set {name}: the job does not use a variable of this name"))
            .collect()
    }

    /// Puts values into a text of job.toml, by the same forms as in SQL: `${NAME}`, `${NAME:-default}`, `${file:PATH}`.
    pub(crate) fn fill(&self, text: &str, place: &str) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            out.push_str(&rest[..start]);
            let inner = &rest[start + 2..];
            let end = closing(inner)
                .ok_or_else(|| Error::config(format!("{place}: a '${{' has no closing '}}' after it: add one")))?;
            out.push_str(&self.resolve(&inner[..end], place)?);
            rest = &inner[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn resolve(&self, inner: &str, place: &str) -> Result<String> {
        use aqueduct_sql::Variables as _;
        if let Some(path) = inner.strip_prefix("file:") {
            let path = self.fill(path, place)?;
            return self.file(&path).map_err(|error| {
                Error::config(format!("{place}: cannot read the file of '${{file:{path}}}': {error}"))
            });
        }
        if inner.starts_with("secret:") {
            return Err(Error::config(format!(
                "{place}: '${{{inner}}}' is for the options of tables in job.sql; here take '${{file:PATH}}', or a variable in [variables]"
            )));
        }
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let value = self.lookup(name).filter(|value| default.is_none() || !value.is_empty());
        match (value, default) {
            (Some(value), _) => Ok(value),
            (None, Some(default)) => self.fill(default, place),
            (None, None) => Err(Error::config(format!(
                "{place}: the variable '{name}' has no value: pass --set {name}=VALUE, put it under [variables] in \
                 job.toml, or set it in the environment"
            ))),
        }
    }
}

impl aqueduct_sql::Variables for JobVariables {
    fn get(&self, name: &str) -> Option<String> {
        self.lookup(name)
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        secrets::read_file(&self.folder.join(path))
    }
}

/// The place of the brace that closes a variable whose inside begins `text`; a default may hold variables too.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => (),
        }
    }
    None
}

/// Parses `NAME=VALUE` of `--set`.
pub(crate) fn parse_set(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits {
        return Err(format!(
            "'{name}' is not a variable's name: take letters, digits and '_' (settings go to --config)"
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
#[path = "variables_tests.rs"]
mod tests;
