//! A logical plan as a chain: source, stages, window aggregation, final projection. Still logical expressions.
//!
//! Projections are put into what stands above them, so that filters run first and nothing is computed that nobody
//! reads;
//! where that would compute an expression twice, a stage is cut instead. Everything is named by position, so that
//! renaming a
//! column does not change the identity of a query.

mod aggregate;
mod chain;

pub(crate) use chain::{Known, lower};

use crate::{ddl, print};
use aqueduct_plan::{AggregateFunction, SystemTable, WindowKind};
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;

/// Where the rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leaf {
    Table(String),
    System(SystemTable),
}

/// The chain of one insert.
#[derive(Debug, Clone)]
pub(crate) struct Lowered {
    pub(crate) leaf: Leaf,
    pub(crate) cuts: Vec<Cut>,
    /// After the cuts, before the window.
    pub(crate) filters: Vec<Expr>,
    pub(crate) window: Option<Window>,
    /// Over the window's results.
    pub(crate) result_filters: Vec<Expr>,
    /// The outermost projection, over the window's results or the last cut.
    pub(crate) project: Vec<Expr>,
    /// What `result_filters` and `project` are over.
    pub(crate) result: DFSchema,
    /// The view that people know the query by.
    pub(crate) view: Option<String>,
}

/// A filter and a projection that must be computed once.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    pub(crate) filters: Vec<Expr>,
    pub(crate) project: Vec<(String, Expr)>,
}

/// A window aggregation.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) kind: WindowKind,
    pub(crate) time: String,
    pub(crate) time_type: DataType,
    pub(crate) keys: Vec<Key>,
    pub(crate) aggregates: Vec<Aggregate>,
}

/// A key beside the window.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) expr: Expr,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    /// The name that the query gives it.
    pub(crate) name: Option<String>,
}

/// An aggregate.
#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    pub(crate) function: AggregateFunction,
    pub(crate) argument: Option<Expr>,
    pub(crate) input_type: DataType,
    pub(crate) filter: Option<Expr>,
    pub(crate) output_type: DataType,
    pub(crate) text: String,
    /// The name that the query gives it.
    pub(crate) name: Option<String>,
}

/// Why a plan does not fit into the chain. The planner finds the position by the first of `words`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) words: &'static [&'static str],
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Refusal {
    pub(crate) fn new(words: &'static [&'static str], message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { words, message: message.into(), help: help.into() }
    }
}

impl From<datafusion::common::DataFusionError> for Refusal {
    fn from(error: datafusion::common::DataFusionError) -> Self {
        Self::new(&[], error.strip_backtrace(), "this is an error of the planner: simplify the query, and report it")
    }
}

/// The name of the n-th key in expressions over the results.
pub(crate) fn key_name(index: usize) -> String {
    format!("$key{index}")
}

/// The name of the n-th aggregate in expressions over the results.
pub(crate) fn aggregate_name(index: usize) -> String {
    format!("$aggregate{index}")
}

impl Lowered {
    /// What the query computes, without the names that the job gives and without the final projection: equal texts
    /// are one query.
    pub(crate) fn identity(&self) -> String {
        let mut lines = vec![match &self.leaf {
            Leaf::Table(name) => format!("source {name}"),
            Leaf::System(table) => format!("system {}", table.name()),
        }];
        for cut in &self.cuts {
            lines.extend(cut.filters.iter().map(|filter| format!("filter {}", print::expr(filter))));
            lines.extend(cut.project.iter().map(|(name, expr)| format!("project {name} = {}", print::expr(expr))));
        }
        lines.extend(self.filters.iter().map(|filter| format!("filter {}", print::expr(filter))));
        if let Some(window) = &self.window {
            lines.push(format!("window {:?} on {}", window.kind, window.time));
            for key in &window.keys {
                lines.push(format!("key {} {}", print::expr(&key.expr), ddl::sql_name(&key.data_type)));
            }
            for aggregate in &window.aggregates {
                let argument = aggregate.argument.as_ref().map(print::expr).unwrap_or_default();
                let filter = aggregate.filter.as_ref().map(print::expr).unwrap_or_default();
                let types = (ddl::sql_name(&aggregate.input_type), ddl::sql_name(&aggregate.output_type));
                lines.push(format!(
                    "aggregate {:?}({argument}) filter ({filter}) {} {}",
                    aggregate.function, types.0, types.1
                ));
            }
        }
        lines.join("\n")
    }
}
