//! Flink-dialect SQL to a checked [`JobPlan`].
//!
//! ```text
//! text (variables) ─▶ statement (cut, parse) ─▶ check, rewrite ─▶ DataFusion's SQL planner (context, window)
//!                            │ ddl                                        │ logical plans
//!                            ▼                                            ▼
//!                     tables, options                 lower (stages, windows, aggregates) ─▶ assemble (JobPlan)
//! ```
//!
//! It knows connectors only by what they say of themselves, opens nothing and runs nothing. Whatever it does not
//! support it
//! refuses, with a position and with what works instead; nothing is silently ignored.

mod assemble;
mod cast_type;
mod check;
mod context;
mod ddl;
mod diagnose;
mod dialect;
mod error;
mod explain;
mod fingerprint;
mod functions;
mod insert;
mod lower;
mod names;
mod options;
mod planner;
mod print;
mod refuse;
mod rewrite;
mod statement;
mod tables;
mod text;
mod window;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use error::{Position, Problem, SqlError};
pub use explain::explain;

use aqueduct_core::Connector;
use aqueduct_plan::JobPlan;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A job to be planned.
pub struct PlanRequest<'a> {
    /// The file's name, for messages.
    pub file: &'a str,
    /// The SQL.
    pub text: &'a str,
    /// The connectors that tables can name.
    pub connectors: &'a [Arc<dyn Connector>],
    /// Where `${NAME}` and `${file:PATH}` come from.
    pub variables: &'a dyn Variables,
    /// What the job file changes in tables.
    pub overrides: Overrides,
    /// Settings of the job file and the command line; they win over `SET` in the text.
    pub settings: BTreeMap<String, String>,
    /// The job's name, for the sources' client ids.
    pub job: &'a str,
}

impl std::fmt::Debug for PlanRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Options and settings may hold secrets.
        f.debug_struct("PlanRequest").field("file", &self.file).field("job", &self.job).finish_non_exhaustive()
    }
}

/// Values for the job's text.
pub trait Variables {
    /// The value of `${name}`. A value of the form `${file:PATH}` or `${secret:PROVIDER:NAME}` is a secret.
    fn get(&self, name: &str) -> Option<String>;

    /// The contents of the file of `${file:path}`.
    fn file(&self, path: &str) -> std::io::Result<String>;
}

/// What a job file changes in the tables of the text.
#[derive(Clone, Default)]
pub struct Overrides {
    /// Table to the options that take the place of all options in its `WITH (...)`.
    pub replace: BTreeMap<String, BTreeMap<String, String>>,
    /// Tables whose inserts are left out; variables that only they use need no value.
    pub skip: BTreeSet<String>,
}

impl std::fmt::Debug for Overrides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overrides").field("replace", &self.replace.keys()).field("skip", &self.skip).finish()
    }
}

/// Plans a job, or says what is wrong with its text.
pub fn plan(request: &PlanRequest<'_>) -> Result<JobPlan, SqlError> {
    planner::plan(request).map_err(|problems| SqlError::new(request.file, problems))
}
