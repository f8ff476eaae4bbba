//! The connectors that this binary knows: the one place where engine and connectors meet.

use aqueduct_core::{Connector, Error, FailPoints, Result, Sink, SinkSpec, Source, SourceSpec};
use aqueduct_plan::{JobPlan, SinkTable, SourceTable};
use std::sync::Arc;

/// All of them.
pub(crate) fn all() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(aqueduct_kafka::KafkaConnector),
        Arc::new(aqueduct_postgres::PostgresConnector),
        Arc::new(aqueduct_firestore::FirestoreConnector),
        Arc::new(aqueduct_bucket::FilesystemConnector),
        Arc::new(aqueduct_generate::DatagenConnector),
        Arc::new(aqueduct_generate::ReplayConnector),
        Arc::new(aqueduct_print::PrintConnector),
        Arc::new(aqueduct_print::BlackholeConnector),
    ]
}

/// One source per table that is read, in the plan's order. Checks every option; connects to nothing.
pub(crate) fn sources(
    plan: &JobPlan,
    known: &[Arc<dyn Connector>],
    points: &FailPoints,
) -> Result<Vec<Box<dyn Source>>> {
    plan.sources.iter().map(|table| source(table, known, points)).collect()
}

/// One of them.
pub(crate) fn source(
    table: &SourceTable,
    known: &[Arc<dyn Connector>],
    points: &FailPoints,
) -> Result<Box<dyn Source>> {
    let spec =
        SourceSpec { fail_points: points.clone(), options: table.spec.options.resolved()?, ..table.spec.clone() };
    named(known, &table.connector)?.source(&spec)
}

/// One sink per table that is written, in the plan's order. Checks every option; connects to nothing.
pub(crate) fn sinks(plan: &JobPlan, known: &[Arc<dyn Connector>], points: &FailPoints) -> Result<Vec<Box<dyn Sink>>> {
    plan.sinks.iter().map(|table| sink(table, known, points)).collect()
}

/// One of them.
pub(crate) fn sink(table: &SinkTable, known: &[Arc<dyn Connector>], points: &FailPoints) -> Result<Box<dyn Sink>> {
    let spec = SinkSpec { fail_points: points.clone(), options: table.spec.options.resolved()?, ..table.spec.clone() };
    named(known, &table.connector)?.sink(&spec)
}

/// The connector of a name that the planner knows.
pub(crate) fn named<'a>(known: &'a [Arc<dyn Connector>], name: &str) -> Result<&'a Arc<dyn Connector>> {
    let found = known.iter().find(|connector| connector.name() == name);
    found.ok_or_else(|| Error::bug(format!("the plan names a connector '{name}' that the planner was not given")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_flinks_and_each_is_there_once() {
        let mut names: Vec<&str> = all().iter().map(|connector| connector.name()).collect();
        names.sort_unstable();
        let wanted = ["blackhole", "datagen", "filesystem", "firestore", "kafka", "postgres", "print", "replay"];
        assert_eq!(names, wanted);
    }
}
