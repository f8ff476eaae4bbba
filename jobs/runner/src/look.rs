//! `aqueduct check` and `aqueduct explain`: what a job would do, without doing it.

use crate::cli::JobArgs;
use crate::human::{Align, table};
use crate::job::{self, PlannedJob};
use crate::{connectors, exit, quarantine};
use aqueduct_core::Result;

/// Plans, parses all settings, and makes every source and sink, which checks their options.
pub(crate) fn check(args: &JobArgs) -> Result<()> {
    let mut planned = job::prepare(args)?;
    planned.offline();
    connectors::sources(&planned.plan, &planned.connectors, &aqueduct_core::FailPoints::default())?;
    connectors::sinks(&planned.plan, &planned.connectors, &aqueduct_core::FailPoints::default())?;
    for warning in &planned.warnings {
        eprintln!("warning: {warning}");
    }
    exit::say(&report(&planned));
    Ok(())
}

/// Prints the plan as a tree.
pub(crate) fn explain(args: &JobArgs) -> Result<()> {
    let planned = job::prepare(args)?;
    let mut text = format!("{}\n", aqueduct_sql::explain(&planned.own_plan).trim_end());
    if let Some(folder) = planned.quarantine_folder() {
        text.push_str(&format!("\n{}\n", kept(&planned, &folder)));
    }
    exit::say(&text);
    Ok(())
}

fn kept(planned: &PlannedJob, folder: &str) -> String {
    let names: Vec<&str> = planned.quarantined.iter().map(|table| table.name()).collect();
    format!("{} have no INSERT: they are kept under {folder}", names.join(", "))
}

fn report(planned: &PlannedJob) -> String {
    let settings = &planned.settings;
    let mut rows = Vec::new();
    for source in &planned.plan.sources {
        rows.push(vec!["source".to_owned(), source.spec.table.clone(), source.connector.clone()]);
    }
    for query in planned.own_plan.queries.iter() {
        let how = if query.window.is_some() { "windows" } else { "row by row" };
        rows.push(vec!["query".to_owned(), query.name.clone(), how.to_owned()]);
    }
    for sink in planned.plan.sinks.iter().filter(|sink| !quarantine::is_ours(&sink.spec.table)) {
        rows.push(vec!["sink".to_owned(), sink.spec.table.clone(), sink.connector.clone()]);
    }
    let mut out = format!("ok: job {}\n\n", planned.name());
    out.push_str(&table(&[("", Align::Left), ("table", Align::Left), ("", Align::Left)], &rows));
    out.push_str(&format!(
        "\n  checkpoints every {:?} in {}, {} threads\n",
        settings.runtime.checkpoint_interval, settings.checkpoint_dir, settings.runtime.parallelism
    ));
    if let Some(folder) = planned.quarantine_folder() {
        out.push_str(&format!("  {}\n", kept(planned, &folder)));
    }
    out
}
