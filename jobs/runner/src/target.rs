//! Which job a verb is about: by its files, or by its name and checkpoint folder.
//!
//! Nothing is claimed or written here.

use crate::cli::{TargetArgs, ValueArgs};
use crate::{job, run, settings};
use aqueduct_checkpoint::Place;
use aqueduct_core::{Error, JobName, Result};
use std::path::Path;

/// A job's checkpoints.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: JobName,
    /// As people know it.
    pub(crate) url: String,
    pub(crate) place: Place,
    pub(crate) endpoint: Option<String>,
    /// `execution.checkpointing.savepoint-dir`, when it is set.
    pub(crate) savepoint_dir: Option<String>,
}

impl Target {
    pub(crate) fn of(args: &TargetArgs) -> Result<Self> {
        Self::named(&args.job, &args.values)
    }

    /// `job` is a path when something is there.
    pub(crate) fn named(job: &str, values: &ValueArgs) -> Result<Self> {
        let path = Path::new(job);
        if path.join("job.sql").exists() || path.extension().is_some_and(|extension| extension == "sql") {
            let planned = job::prepare_at(path, values)?;
            let settings = &planned.settings;
            let (url, endpoint) = (settings.checkpoint_dir.clone(), settings.checkpoint_endpoint.clone());
            return Self::open(planned.name().clone(), url, endpoint, settings.savepoint_dir.clone());
        }
        let name = JobName::new(job).map_err(|error| {
            error.context(format!("'{job}' is neither a folder with job.sql, nor a .sql file, nor the name of a job"))
        })?;
        let value = |key: &str| {
            let given = values.config.iter().rev().find(|(given, _)| settings::canonical(given) == key);
            given.map(|(_, value)| value.clone())
        };
        let url = values.checkpoint_dir.clone().or_else(|| value("execution.checkpointing.dir"));
        let url = settings::folder("--checkpoint-dir", url.as_deref().unwrap_or(".aqueduct/checkpoints"))?;
        let savepoint_dir = value("execution.checkpointing.savepoint-dir");
        Self::open(name, url, value("aqueduct.checkpoints.endpoint"), savepoint_dir)
    }

    fn open(name: JobName, url: String, endpoint: Option<String>, savepoint_dir: Option<String>) -> Result<Self> {
        let (store, root) = run::open_checkpoints(&url, endpoint.clone(), false)
            .map_err(|error| error.context("name the job's checkpoint folder with --checkpoint-dir"))?;
        Ok(Self { name, url, place: Place::new(store, root), endpoint, savepoint_dir })
    }

    /// Fails for a job that has no checkpoint here.
    pub(crate) fn nothing(&self) -> Error {
        Error::config(format!(
            "job '{}' has no checkpoint in {}: check its name and --checkpoint-dir (aqueduct state list)",
            self.name, self.url
        ))
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
