//! From a path and the command line's values to a checked plan with settings.
//!
//! No side effects: files are read, nothing is connected to or written.

use crate::cli::{JobArgs, ValueArgs};
use crate::job_file::JobFile;
use crate::settings::{self, RunSettings};
use crate::variables::JobVariables;
use crate::{connectors, quarantine, secrets};
use aqueduct_core::{Connector, JobName, Result, Secrets};
use aqueduct_plan::{JobPlan, SystemTable};
use aqueduct_sql::{PlanRequest, SqlError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A job that could run.
pub(crate) struct PlannedJob {
    /// The plan, quarantine included.
    pub(crate) plan: JobPlan,
    /// The plan of what the user wrote, for `explain`.
    pub(crate) own_plan: JobPlan,
    /// Parsed settings.
    pub(crate) settings: RunSettings,
    /// The connectors that the plan was made with.
    pub(crate) connectors: Vec<Arc<dyn Connector>>,
    /// System tables that go to the quarantine folder.
    pub(crate) quarantined: Vec<SystemTable>,
    /// Things that are allowed and almost surely not meant.
    pub(crate) warnings: Vec<String>,
    /// Where the job's files lie.
    folder: PathBuf,
}

/// Plans the job that `args` names.
pub(crate) fn prepare(args: &JobArgs) -> Result<PlannedJob> {
    prepare_at(&args.job, &args.values)
}

/// Plans the job at `path`.
pub(crate) fn prepare_at(path: &Path, values: &ValueArgs) -> Result<PlannedJob> {
    let file = JobFile::load(path)?;
    let variables = JobVariables::new(&file, values.variables.iter().cloned().collect());
    let given = merged_settings(&file, &variables, values)?;
    let connectors = connectors::all();
    let request = Request { file: &file, variables: &variables, settings: &given, connectors: &connectors };

    // The first plan tells what `SET` says (the job's name, the checkpoint folder) and what the user has left out.
    let first = request.plan(&file.text, default_name(&file, &given))?;
    let mut settings = settings::parse(&first.settings, &file)?;
    if let Some(every) = discovery_of_tables(&first)? {
        settings.runtime.discovery_interval = Some(every).filter(|every| !every.is_zero());
    }
    let job = &settings.runtime.job;
    let quarantined = if settings.quarantine_dir.is_some() { quarantine::missing(&first) } else { Vec::new() };
    let extra = settings.quarantine_dir.as_ref().map(|folder| {
        quarantine::statements(&quarantined, &format!("{folder}/{job}"), settings.checkpoint_endpoint.as_deref())
    });
    let own_plan =
        if job.as_str() == default_name(&file, &given) { first } else { request.plan(&file.text, job.as_str())? };
    let mut plan = match extra.filter(|text| !text.is_empty()) {
        Some(text) => request.plan(&format!("{}{text}", file.text), job.as_str())?,
        None => own_plan.clone(),
    };
    attach(&mut plan, secrets::Store::new(&file.folder, false));
    let mut warnings = variables.unused(&file);
    warnings.extend(settings.warnings.iter().cloned());
    let folder = file.folder.clone();
    Ok(PlannedJob { plan, own_plan, settings, connectors, quarantined, warnings, folder })
}

/// Says to every table who reads its secrets.
fn attach(plan: &mut JobPlan, store: secrets::Store) {
    let store: Arc<dyn Secrets> = Arc::new(store);
    plan.sources.iter_mut().for_each(|table| table.spec.options.attach(Arc::clone(&store)));
    plan.sinks.iter_mut().for_each(|table| table.spec.options.attach(Arc::clone(&store)));
}

/// Flink's tables say themselves how often new partitions are looked for; the most eager one decides for all.
fn discovery_of_tables(plan: &JobPlan) -> Result<Option<Duration>> {
    let mut least: Option<Duration> = None;
    for source in &plan.sources {
        if let Some(every) = source.spec.options.duration("scan.topic-partition-discovery.interval")? {
            // 0 is "never", the least eager of all.
            least = Some(least.map_or(every, |known| {
                if known.is_zero() {
                    every
                } else if every.is_zero() {
                    known
                } else {
                    known.min(every)
                }
            }));
        }
    }
    Ok(least)
}

struct Request<'a> {
    file: &'a JobFile,
    variables: &'a JobVariables,
    settings: &'a BTreeMap<String, String>,
    connectors: &'a [Arc<dyn Connector>],
}

impl Request<'_> {
    fn plan(&self, text: &str, job: &str) -> Result<JobPlan> {
        let request = PlanRequest {
            file: &self.file.sql_path,
            text,
            connectors: self.connectors,
            variables: self.variables,
            overrides: self.file.overrides(self.variables)?,
            settings: self.settings.clone(),
            job,
        };
        aqueduct_sql::plan(&request).map_err(|error: SqlError| error.into())
    }
}

/// The name before `SET 'pipeline.name'` is known.
fn default_name<'a>(file: &'a JobFile, given: &'a BTreeMap<String, String>) -> &'a str {
    given.get("pipeline.name").unwrap_or(&file.name)
}

/// `-D`, `--parallelism` and `--checkpoint-dir` over `[settings]`, under their newest names.
fn merged_settings(file: &JobFile, variables: &JobVariables, values: &ValueArgs) -> Result<BTreeMap<String, String>> {
    let mut merged = BTreeMap::new();
    for (key, value) in &file.settings {
        let filled = variables.fill(value, &format!("{}, [settings] {key}", file.toml_path))?;
        merged.insert(settings::canonical(key).to_owned(), filled);
    }
    for (key, value) in &values.config {
        merged.insert(settings::canonical(key).to_owned(), value.clone());
    }
    if let Some(threads) = values.parallelism {
        merged.insert("parallelism.default".to_owned(), threads.to_string());
    }
    if let Some(folder) = &values.checkpoint_dir {
        merged.insert("execution.checkpointing.dir".to_owned(), folder.clone());
    }
    Ok(merged)
}

impl PlannedJob {
    /// From now on secret managers are not asked: only what names their secrets is checked.
    pub(crate) fn offline(&mut self) {
        attach(&mut self.plan, secrets::Store::new(&self.folder, true));
    }

    /// The job's name.
    pub(crate) fn name(&self) -> &JobName {
        &self.settings.runtime.job
    }

    /// Where quarantine and ledger lie, for messages.
    pub(crate) fn quarantine_folder(&self) -> Option<String> {
        let folder = self.settings.quarantine_dir.as_ref()?;
        (!self.quarantined.is_empty()).then(|| format!("{folder}/{}", self.name()))
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
