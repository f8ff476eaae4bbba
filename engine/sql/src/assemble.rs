//! From lowered inserts to the `JobPlan`: shared queries once, only the columns that are read, physical expressions.

mod physical;
mod query;
mod source;

use crate::error::{Position, Problem, Result};
use crate::lower::{Leaf, Lowered};
use crate::planner::Job;
use crate::{fingerprint, options};
use aqueduct_core::{Options, SinkSpec};
use aqueduct_plan::{Insert, JobPlan, QueryInput, SinkTable};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A distinct computation and the inserts that use it.
struct Shared<'a> {
    identity: String,
    lowered: &'a Lowered,
    inserts: Vec<usize>,
}

/// Builds the plan.
pub(crate) fn assemble(job: &Job<'_>) -> Result<JobPlan> {
    let shared = share(job);
    let idle = default_idle_timeout(&job.settings)?;
    let mut names: Vec<String> = Vec::new();
    for query in &shared {
        if let Leaf::Table(name) = &query.lowered.leaf
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    let mut sources = Vec::with_capacity(names.len());
    for name in &names {
        let used = used_columns(job, &shared, name);
        let Some(table) = job.tables.get(name) else { continue };
        sources.push(source::build(table, &used, idle, job.request.job)?);
    }
    let (mut queries, mut inserts) = (Vec::new(), BTreeMap::new());
    let (mut sinks, mut sink_names): (Vec<SinkTable>, Vec<String>) = (Vec::new(), Vec::new());
    for (index, shared) in shared.iter().enumerate() {
        let input = match &shared.lowered.leaf {
            Leaf::System(table) => (QueryInput::System(*table), table.schema()),
            Leaf::Table(name) => {
                let source = names.iter().position(|known| known == name).unwrap_or_default();
                (QueryInput::Source(source), std::sync::Arc::clone(&sources[source].computed.schema))
            }
        };
        let projections: Vec<_> = shared.inserts.iter().flat_map(|insert| job.inserts[*insert].exprs.iter()).collect();
        let first = &job.inserts[shared.inserts[0]].table;
        let name = unique(shared.lowered.view.as_ref().unwrap_or(first), |name| {
            queries.iter().any(|query: &aqueduct_plan::Query| query.name == name)
        });
        let built = query::build(shared.lowered, input, &projections, fingerprint::of(&shared.identity), name)?;
        for insert in &shared.inserts {
            inserts.insert(*insert, (index, built.insert(&job.inserts[*insert])?));
        }
        queries.push(built.query);
    }
    let mut ordered = Vec::with_capacity(inserts.len());
    for (insert, (query, stage)) in inserts {
        let table = &job.inserts[insert].table;
        let sink = sink_names.iter().position(|known| known == table).unwrap_or(sinks.len());
        if sink == sinks.len() {
            sink_names.push(table.clone());
            sinks.push(sink_table(job, insert)?);
        }
        ordered.push(Insert { sink, query, stage });
    }
    Ok(JobPlan { settings: job.settings.clone(), sources, queries, sinks, inserts: ordered })
}

fn share<'a>(job: &'a Job<'_>) -> Vec<Shared<'a>> {
    let mut shared: Vec<Shared<'a>> = Vec::new();
    for (index, insert) in job.inserts.iter().enumerate() {
        let identity = insert.lowered.identity();
        match shared.iter_mut().find(|known| known.identity == identity) {
            Some(known) => known.inserts.push(index),
            None => shared.push(Shared { identity, lowered: &insert.lowered, inserts: vec![index] }),
        }
    }
    shared
}

fn unique(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut unique = name.to_string();
    let mut number = 2;
    while taken(&unique) {
        unique = format!("{name}_{number}");
        number += 1;
    }
    unique
}

/// The columns of a table that queries read.
fn used_columns(job: &Job<'_>, shared: &[Shared<'_>], table: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for query in shared.iter().filter(|query| matches!(&query.lowered.leaf, Leaf::Table(name) if name == table)) {
        let lowered = query.lowered;
        if let Some(cut) = lowered.cuts.first() {
            physical::columns_of(cut.filters.iter().chain(cut.project.iter().map(|(_, expr)| expr)), &mut used);
            continue;
        }
        physical::columns_of(&lowered.filters, &mut used);
        match &lowered.window {
            Some(window) => {
                used.insert(window.time.clone());
                physical::columns_of(window.keys.iter().map(|key| &key.expr), &mut used);
                let aggregates = window.aggregates.iter();
                physical::columns_of(
                    aggregates.flat_map(|aggregate| aggregate.argument.iter().chain(&aggregate.filter)),
                    &mut used,
                );
            }
            None => {
                for insert in &query.inserts {
                    physical::columns_of(&job.inserts[*insert].exprs, &mut used);
                }
            }
        }
    }
    used
}

fn default_idle_timeout(settings: &BTreeMap<String, String>) -> Result<Option<Duration>> {
    let key = "table.exec.source.idle-timeout";
    match settings.get(key) {
        None => Ok(None),
        Some(text) => options::idle_timeout(text).ok_or_else(|| {
            Problem::new(Position::START, format!("'{key}' = '{text}' is not a duration"))
                .help("write a duration such as '30 s'; '0 ms' is never")
        }),
    }
}

fn sink_table(job: &Job<'_>, insert: usize) -> Result<SinkTable> {
    let insert = &job.inserts[insert];
    let Some(table) = job.tables.get(&insert.table) else {
        return Err(Problem::new(
            Position::START,
            format!("the table '{}' is gone; this is an error of the planner", insert.table),
        ));
    };
    let indexes = |names: &[String]| {
        names.iter().filter_map(|name| insert.columns.iter().position(|column| column.name == *name)).collect()
    };
    Ok(SinkTable {
        connector: table.options.connector.name().to_string(),
        spec: SinkSpec {
            table: table.name.clone(),
            options: Options::new(&table.name, table.options.values.clone())
                .with_references(table.options.written.clone()),
            columns: insert.columns.clone(),
            primary_key: indexes(&table.primary_key),
            partitioned_by: indexes(&table.partitioned_by),
            fail_points: aqueduct_core::FailPoints::default(),
        },
    })
}
