//! `TUMBLE`, `HOP` and `CUMULATE` in FROM, as a node of DataFusion's logical plan.
//!
//! The node only adds `window_start`, `window_end` and `window_time` to the schema; which rows fall into which
//! windows is
//! decided by the runtime from the plan's `WindowKind`.

mod arguments;

use crate::error::Problem;
use aqueduct_plan::WindowKind;
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result, plan_err};
use datafusion::logical_expr::logical_plan::Extension;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};
use sqlparser::ast::{self, FunctionArg, FunctionArguments, ObjectName, Spanned, TableAlias, TableFactor};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The columns that a window adds, in order.
pub(crate) const WINDOW_COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// A windowing table function over its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowNode {
    pub(crate) kind: WindowKind,
    pub(crate) time: Expr,
    pub(crate) input: LogicalPlan,
    schema: DFSchemaRef,
}

impl WindowNode {
    fn new(kind: WindowKind, time: Expr, input: LogicalPlan) -> Result<Self> {
        let data_type = match time.get_type(input.schema())? {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone),
            other => return plan_err!("windows need a TIMESTAMP column, not {}", crate::ddl::sql_name(&other)),
        };
        let mut fields: Vec<_> =
            input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
        fields.extend(WINDOW_COLUMNS.iter().map(|name| (None, Arc::new(Field::new(*name, data_type.clone(), false)))));
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Self { kind, time, input, schema: Arc::new(schema) })
    }
}

impl Hash for WindowNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind, &self.time, &self.input).hash(state);
    }
}

impl PartialOrd for WindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for WindowNode {
    fn name(&self) -> &'static str {
        "Window"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Window: {:?} on {}", self.kind, self.time)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (exprs.pop(), inputs.pop()) {
            (Some(time), Some(input)) => Self::new(self.kind, time, input),
            _ => plan_err!("a window needs a time column and an input"),
        }
    }
}

/// Plans the window functions in FROM.
#[derive(Debug)]
pub(crate) struct WindowPlanner;

impl RelationPlanner for WindowPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (name, args, alias) = match relation {
            TableFactor::Table { name, args: Some(args), alias, .. } => (name, args.args, alias),
            TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } => match function.args {
                FunctionArguments::List(list) => (function.name, list.args, alias),
                _ => return plan_err!("{} needs arguments", function.name),
            },
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let plan = plan_window(&name, args, context)?;
        let alias: Option<TableAlias> = alias;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn plan_window(
    name: &ObjectName,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let external = |problem: Problem| DataFusionError::External(Box::new(ProblemError(problem)));
    let parsed = arguments::read(name, args).map_err(external)?;
    let factor = TableFactor::Derived { lateral: false, subquery: Box::new(parsed.data), alias: None, sample: None };
    let input = context.plan(unwrap_table(factor))?;
    for column in WINDOW_COLUMNS {
        if input.schema().has_column_with_unqualified_name(column) {
            let problem = Problem::new(name.span().start, format!("the input has a column '{column}' already"))
                .help("rename it in the input: a window adds window_start, window_end and window_time");
            return Err(external(problem));
        }
    }
    let time = context.sql_to_expr(parsed.time, input.schema())?;
    let node = WindowNode::new(parsed.kind, time, input)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// `TABLE t` became `(SELECT * FROM t)`: planned as `t` itself, its columns keep their qualifier.
fn unwrap_table(factor: TableFactor) -> TableFactor {
    if let TableFactor::Derived { subquery, .. } = &factor
        && let ast::SetExpr::Select(select) = subquery.body.as_ref()
        && subquery.with.is_none()
        && select.selection.is_none()
        && matches!(select.projection.as_slice(), [ast::SelectItem::Wildcard(_)])
        && matches!(&select.group_by, ast::GroupByExpr::Expressions(keys, _) if keys.is_empty())
        && let [only] = select.from.as_slice()
        && matches!(only.relation, TableFactor::Table { args: None, .. })
    {
        return only.relation.clone();
    }
    factor
}

/// A problem on its way through DataFusion.
#[derive(Debug)]
pub(crate) struct ProblemError(pub(crate) Problem);

impl fmt::Display for ProblemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ProblemError {}
