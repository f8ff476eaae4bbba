//! `JobPlan`: the only handshake between SQL and the runtime.
//!
//! The planner fills it, the runtime executes it. It holds checked tables and DataFusion *physical* expressions whose
//! column indexes point into the schema named beside them. It neither parses nor executes anything.
//!
//! The way of a row through a query:
//!
//! ```text
//! source table ─▶ computed columns ─▶ stages (filter, project; on the reading thread) ─▶ window aggregate (optional)
//!      └ or a system table (late rows, dead letters, ledger)                                   │ at the seal of an epoch
//!                                          insert: stage (filter, project, casts) ◀─────────────┘ ─▶ sink table
//! ```

mod system;
mod window;

pub use system::SystemTable;
pub use window::{Aggregate, AggregateFunction, WindowAggregate, WindowKind};

use aqueduct_core::{SinkSpec, SourceSpec};
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The name of the column that carries the wall time of the seal, `Timestamp(Millisecond, "UTC")`, last in the input of
/// every insert's stage. `CURRENT_TIMESTAMP`, `NOW()` and `PROCTIME()` in the outermost projection become this column.
pub const SEALED_AT: &str = "$sealed_at";

/// A checked job.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// `SET 'key' = 'value'` and the settings of `job.toml` and `--set`, already merged; the runner parses them.
    pub settings: BTreeMap<String, String>,
    /// The tables that are read.
    pub sources: Vec<SourceTable>,
    /// Each distinct computation, once, however many inserts use it.
    pub queries: Vec<Query>,
    /// The tables that are written.
    pub sinks: Vec<SinkTable>,
    /// What goes where.
    pub inserts: Vec<Insert>,
}

/// A table that is read.
#[derive(Debug, Clone)]
pub struct SourceTable {
    /// The `connector` option.
    pub connector: String,
    /// What the connector is made from: only the referenced columns.
    pub spec: SourceSpec,
    /// Adds the computed columns: input is the schema of `spec.columns`, output is `spec.columns` followed by them.
    pub computed: Stage,
    /// Event time and watermark; `None` for a table without `WATERMARK FOR`.
    pub event_time: Option<EventTimeSpec>,
}

/// `WATERMARK FOR column AS watermark`.
#[derive(Debug, Clone)]
pub struct EventTimeSpec {
    /// Index of the time column in the output of `SourceTable::computed`; `Timestamp(Millisecond, _)`. A null is a dead letter.
    pub column: usize,
    /// Over the output of `SourceTable::computed`; yields `Timestamp(Millisecond, _)`.
    pub watermark: Arc<dyn PhysicalExpr>,
    /// The expression as the user wrote it, for `explain`.
    pub watermark_text: String,
    /// `scan.watermark.idle-timeout`, or the job's `table.exec.source.idle-timeout`; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// `scan.watermark.late-scope` = `operator`: lateness by the shard's watermark instead of the split's own.
    pub late_by_operator: bool,
}

/// A filter and a projection on whole batches. Both are optional; an empty `project` with `pass_all` keeps every column.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Keeps the rows for which it is true; evaluated first, over the input.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// The output columns over the input; `None` passes all columns through.
    pub project: Option<Vec<Arc<dyn PhysicalExpr>>>,
    /// The schema of the output.
    pub schema: SchemaRef,
    /// What it does, in SQL, for `explain`; one line per part.
    pub text: Vec<String>,
}

/// One computation.
#[derive(Debug, Clone)]
pub struct Query {
    /// Stable over edits that do not change its meaning: a hash of the normalised query, hex. Names the state.
    pub id: String,
    /// The view's name, or that of the first insert's table; for people.
    pub name: String,
    /// Where its rows come from.
    pub input: QueryInput,
    /// On the reading thread, in order.
    pub stages: Vec<Stage>,
    /// The window aggregation; `None` for a stateless query.
    pub window: Option<WindowAggregate>,
    /// The schema of the result: of the window aggregate, or of the last stage.
    pub schema: SchemaRef,
}

/// Where the rows of a query come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryInput {
    /// Index into [`JobPlan::sources`]; the rows of `SourceTable::computed`.
    Source(usize),
    /// A system table of the job; its rows come into being when an epoch is sealed.
    System(SystemTable),
}

/// A table that is written.
#[derive(Debug, Clone)]
pub struct SinkTable {
    /// The `connector` option.
    pub connector: String,
    /// What the connector is made from.
    pub spec: SinkSpec,
}

/// `INSERT INTO sink SELECT ... FROM query`.
#[derive(Debug, Clone)]
pub struct Insert {
    /// Index into [`JobPlan::sinks`].
    pub sink: usize,
    /// Index into [`JobPlan::queries`].
    pub query: usize,
    /// Input: the query's schema followed by [`SEALED_AT`]; output: exactly the sink's columns, cast.
    pub stage: Stage,
}
