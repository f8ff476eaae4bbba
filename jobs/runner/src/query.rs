//! `aqueduct query`: SQL by DataFusion over the files that a job's filesystem sinks have committed.
//!
//! It reads only, and only the tables that the SQL names. How files become rows is the bucket connector's.

use crate::cli::{QueryArgs, ValueArgs};
use crate::job::{self, PlannedJob};
use crate::{exit, table_out};
use aqueduct_core::{Error, Result, SinkSpec, TableColumn};
use arrow::record_batch::RecordBatch;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The job that is asked when none is named and the current folder is none.
const DEFAULT_JOB: &str = "jobs/image-metrics";

/// The connector whose tables can be asked.
const CONNECTOR: &str = "filesystem";

/// The verb.
pub(crate) async fn run(args: QueryArgs) -> Result<()> {
    let (job, sql) = job_and_sql(&args.words)?;
    let batches = ask(&job, &args.values, &sql).await?;
    exit::say(&table_out::text(&batches, args.format)?);
    Ok(())
}

fn job_and_sql(words: &[String]) -> Result<(PathBuf, String)> {
    match words {
        [job, sql] => Ok((PathBuf::from(job), sql.clone())),
        [sql] if Path::new(sql).exists() && !sql.contains(char::is_whitespace) => {
            Err(Error::config(format!("'{sql}' is a job: write the question after it, in quotes")))
        }
        [sql] => {
            let here = Path::new("job.sql").is_file().then(|| PathBuf::from("."));
            let default = Path::new(DEFAULT_JOB).is_dir().then(|| PathBuf::from(DEFAULT_JOB));
            let job = here.or(default).ok_or_else(|| {
                Error::config(format!(
                    "which job? The current folder has no job.sql and there is no {DEFAULT_JOB}: write aqueduct query JOB \"SQL\""
                ))
            })?;
            Ok((job, sql.clone()))
        }
        _ => Err(Error::config("write aqueduct query [JOB] \"SQL\"")),
    }
}

/// The rows of the answer; at least one batch, so that its columns are known.
async fn ask(job: &Path, values: &ValueArgs, sql: &str) -> Result<Vec<RecordBatch>> {
    let planned = job::prepare_at(job, values)?;
    let context = context();
    register(&context, &planned, &tables_in(&context, sql)?).await?;
    // Asking must not write: no CREATE, INSERT, COPY or SET.
    let only_questions = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = context.sql_with_options(sql, only_questions).await.map_err(failed)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let mut batches = frame.collect().await.map_err(failed)?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

fn context() -> SessionContext {
    let mut config = SessionConfig::new();
    // Names as in the job, where case counts.
    config.options_mut().sql_parser.enable_ident_normalization = false;
    SessionContext::new_with_config(config)
}

fn tables_in(context: &SessionContext, sql: &str) -> Result<Vec<String>> {
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(failed)?;
    let references = state.resolve_table_references(&statement).map_err(failed)?;
    Ok(references.into_iter().map(|reference| reference.table().to_owned()).collect())
}

async fn register(context: &SessionContext, planned: &PlannedJob, names: &[String]) -> Result<()> {
    for name in names {
        // `information_schema` and the like: DataFusion says whether it knows them.
        if let Some(spec) = find(planned, name)? {
            let batches = aqueduct_bucket::reader::read_sink(spec).await?;
            let table = MemTable::try_new(TableColumn::schema(&spec.columns), vec![batches]).map_err(failed)?;
            context.register_table(TableReference::bare(name.as_str()), Arc::new(table)).map_err(failed)?;
        }
    }
    Ok(())
}

/// The table of that name, also when the case differs; `None` for names that no job has.
fn find<'a>(planned: &'a PlannedJob, name: &str) -> Result<Option<&'a SinkSpec>> {
    let sinks = &planned.plan.sinks;
    let found = sinks
        .iter()
        .find(|sink| sink.spec.table == name)
        .or_else(|| sinks.iter().find(|sink| sink.spec.table.eq_ignore_ascii_case(name)));
    let known = || {
        let names: Vec<&str> =
            sinks.iter().filter(|sink| sink.connector == CONNECTOR).map(|sink| sink.spec.table.as_str()).collect();
        names.join(", ")
    };
    match found {
        Some(sink) if sink.connector == CONNECTOR => Ok(Some(&sink.spec)),
        Some(sink) => Err(Error::config(format!(
            "table '{name}' goes to {}: ask it there; here the job's files can be asked: {}",
            sink.connector,
            known()
        ))),
        None => Err(Error::config(format!("job {} writes no table '{name}'; it has: {}", planned.name(), known()))),
    }
}

/// A question that cannot be answered is the asker's to change.
fn failed(error: DataFusionError) -> Error {
    let text = error.strip_backtrace();
    match error.find_root() {
        DataFusionError::Internal(_) => Error::bug(text),
        DataFusionError::ArrowError(_, _) | DataFusionError::Execution(_) => Error::data(text),
        _ => Error::config(text),
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
