//! A job on disk: a folder with `job.sql` and, if wanted, `job.toml`; or a lone `.sql` file.
//!
//! It reads and checks the files; what their contents mean is decided by the planner and by `settings`.

use crate::variables::JobVariables;
use aqueduct_core::{Error, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a job's files say.
pub(crate) struct JobFile {
    /// The name that the job has unless `pipeline.name` is set: of its folder, or of its file.
    pub(crate) name: String,
    /// `${file:...}` is relative to it.
    pub(crate) folder: PathBuf,
    /// Path of the SQL, for messages.
    pub(crate) sql_path: String,
    /// The SQL.
    pub(crate) text: String,
    /// Path of job.toml, for messages.
    pub(crate) toml_path: String,
    /// job.toml as it stands; empty without one.
    pub(crate) toml_text: String,
    /// `[variables]`
    pub(crate) variables: BTreeMap<String, String>,
    /// `[settings]`
    pub(crate) settings: BTreeMap<String, String>,
    /// `[when-unset.NAME]`
    pub(crate) when_unset: BTreeMap<String, WhenUnset>,
}

impl std::fmt::Debug for JobFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The contents may hold passwords.
        f.debug_struct("JobFile").field("name", &self.name).field("sql_path", &self.sql_path).finish_non_exhaustive()
    }
}

/// What changes in the job when a variable has no value: how one job runs on real addresses and on none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WhenUnset {
    /// Inserts into these tables are left out.
    pub(crate) skip: BTreeSet<String>,
    /// Table to the `WITH` options that take the place of those in the job.
    pub(crate) tables: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    #[serde(default)]
    variables: toml::Table,
    #[serde(default)]
    settings: toml::Table,
    #[serde(default, rename = "when-unset")]
    when_unset: BTreeMap<String, TomlWhenUnset>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlWhenUnset {
    #[serde(default)]
    skip: Vec<String>,
    #[serde(default)]
    tables: BTreeMap<String, toml::Table>,
}

impl JobFile {
    /// Reads the job at `path`.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let (sql, folder) = locate(path)?;
        let text = read(&sql)?;
        let toml = folder.join("job.toml");
        let whole_folder = path.is_dir();
        let toml_text = if whole_folder && toml.exists() { read(&toml)? } else { String::new() };
        let toml_path = toml.display().to_string();
        let parsed: TomlFile = toml::from_str(&toml_text)
            .map_err(|error| Error::config(format!("{toml_path} is not usable: {}", error.to_string().trim_end())))?;
        let name =
            if whole_folder { folder_name(&folder) } else { sql.file_stem().map(|s| s.to_string_lossy().into_owned()) };
        let name = name.ok_or_else(|| {
            Error::config(format!("the job at {} has no name of its own: set pipeline.name", path.display()))
        })?;
        let mut when_unset = BTreeMap::new();
        for (variable, part) in parsed.when_unset {
            let mut tables = BTreeMap::new();
            for (table, options) in part.tables {
                tables.insert(table, flatten(options, &toml_path)?);
            }
            when_unset.insert(variable, WhenUnset { skip: part.skip.into_iter().collect(), tables });
        }
        Ok(Self {
            name,
            folder,
            sql_path: sql.display().to_string(),
            text,
            variables: flatten(parsed.variables, &toml_path)?,
            settings: flatten(parsed.settings, &toml_path)?,
            toml_path,
            toml_text,
            when_unset,
        })
    }

    /// The changes of all `[when-unset.NAME]` whose variable has no value, with the variables in their options filled in.
    pub(crate) fn overrides(&self, variables: &JobVariables) -> Result<aqueduct_sql::Overrides> {
        let mut replace: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut skip = BTreeSet::new();
        for (name, part) in self.when_unset.iter().filter(|(name, _)| !variables.is_set(name)) {
            skip.extend(part.skip.iter().cloned());
            for (table, options) in &part.tables {
                let mut filled = BTreeMap::new();
                for (key, value) in options {
                    let place = format!("{}, [when-unset.{name}.tables.{table}] {key}", self.toml_path);
                    filled.insert(key.clone(), variables.fill(value, &place)?);
                }
                if replace.get(table).is_some_and(|other| *other != filled) {
                    return Err(Error::config(format!(
                        "{}: two [when-unset] sections that apply now replace the options of table '{table}', and \
                         differ: keep one of them",
                        self.toml_path
                    )));
                }
                replace.insert(table.clone(), filled);
            }
        }
        Ok(aqueduct_sql::Overrides { replace, skip })
    }

    /// The line of job.toml that names `key`, for messages.
    pub(crate) fn toml_line(&self, key: &str) -> Option<usize> {
        let last = key.rsplit('.').next().unwrap_or(key);
        let holds = |wanted: &str| self.toml_text.lines().position(|line| line.contains(wanted)).map(|at| at + 1);
        holds(key).or_else(|| holds(last))
    }
}

fn locate(path: &Path) -> Result<(PathBuf, PathBuf)> {
    if path.is_dir() {
        let sql = path.join("job.sql");
        if !sql.is_file() {
            return Err(Error::config(format!(
                "the folder {} holds no job.sql: a job is a folder with job.sql and, if \
                 wanted, job.toml; or a .sql file",
                path.display()
            )));
        }
        return Ok((sql, path.to_owned()));
    }
    if path.is_file() {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return Ok((path.to_owned(), folder.to_owned()));
    }
    Err(Error::config(format!("there is no job at {}: name a folder with job.sql, or a .sql file", path.display())))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::config(format!("cannot read {}: {error}", path.display())))
}

fn folder_name(folder: &Path) -> Option<String> {
    let whole = folder.canonicalize().ok()?;
    whole.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// `a.b = 1` and `"a.b" = 1` mean the same here, although they differ in TOML: keys with dots are Flink's habit.
fn flatten(table: toml::Table, file: &str) -> Result<BTreeMap<String, String>> {
    fn walk(prefix: &str, table: toml::Table, file: &str, out: &mut BTreeMap<String, String>) -> Result<()> {
        for (key, value) in table {
            let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Datetime(time) => time.to_string(),
                toml::Value::Table(inner) => {
                    walk(&key, inner, file, out)?;
                    continue;
                }
                toml::Value::Array(_) => {
                    return Err(Error::config(format!("{file}: '{key}' is a list: give one text, such as 'a;b'")));
                }
            };
            if out.insert(key.clone(), text).is_some() {
                return Err(Error::config(format!("{file}: '{key}' is given twice: keep one")));
            }
        }
        Ok(())
    }
    let mut out = BTreeMap::new();
    walk("", table, file, &mut out)?;
    Ok(out)
}

#[cfg(test)]
#[path = "job_file_tests.rs"]
mod tests;
