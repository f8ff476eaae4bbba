//! Logical expressions as physical ones, simplified, over a named schema.

use crate::error::{Position, Problem, Result};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Makes physical expressions over one schema.
pub(super) struct Physical {
    schema: Arc<DFSchema>,
    simplifier: ExprSimplifier,
}

impl Physical {
    pub(super) fn over(schema: &Schema) -> Result<Self> {
        let schema = Arc::new(DFSchema::try_from(schema.clone()).map_err(|error| bug(&error))?);
        let context = SimplifyContext::builder().with_schema(Arc::clone(&schema)).build();
        Ok(Self { schema, simplifier: ExprSimplifier::new(context) })
    }

    pub(super) fn expr(&self, expr: &Expr) -> Result<Arc<dyn PhysicalExpr>> {
        let simple = self.simplifier.simplify(expr.clone()).map_err(|error| bug(&error))?;
        let simple = simple.transform_up(|node| Ok(self.shifted(node))).map_err(|error| bug(&error))?.data;
        create_physical_expr(&simple, &self.schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
            .map_err(|error| bug(&error))
    }

    /// A UTC timestamp plus or minus an interval of a fixed length, as a duration: Arrow adds durations as integers, and
    /// intervals by way of a calendar, row by row.
    fn shifted(&self, node: Expr) -> Transformed<Expr> {
        let Expr::BinaryExpr(binary) = &node else { return Transformed::no(node) };
        if !matches!(binary.op, Operator::Plus | Operator::Minus) || !self.is_utc_millis(&binary.left) {
            return Transformed::no(node);
        }
        let Expr::Literal(literal, _) = binary.right.as_ref() else { return Transformed::no(node) };
        let Some(millis) = fixed_millis(literal) else { return Transformed::no(node) };
        let right = Expr::Literal(ScalarValue::DurationMillisecond(Some(millis)), None);
        Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(binary.left.clone(), binary.op, Box::new(right))))
    }

    fn is_utc_millis(&self, expr: &Expr) -> bool {
        match expr.get_type(self.schema.as_ref()) {
            Ok(DataType::Timestamp(TimeUnit::Millisecond, None)) => true,
            Ok(DataType::Timestamp(TimeUnit::Millisecond, Some(zone))) => matches!(&*zone, "UTC" | "+00:00"),
            _ => false,
        }
    }

    pub(super) fn exprs<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        exprs.into_iter().map(|expr| self.expr(expr)).collect()
    }

    /// All conditions as one.
    pub(super) fn filter(&self, conditions: &[Expr]) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        conjunction(conditions.iter().cloned()).map(|all| self.expr(&all)).transpose()
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.inner())
    }

    pub(super) fn df_schema(&self) -> &DFSchema {
        &self.schema
    }
}

/// The length of an interval in milliseconds, where every one of its kind is equally long and no digit is lost.
fn fixed_millis(literal: &ScalarValue) -> Option<i64> {
    let (days, millis) = match literal {
        ScalarValue::IntervalMonthDayNano(Some(interval))
            if interval.months == 0 && interval.nanoseconds % 1_000_000 == 0 =>
        {
            (interval.days, interval.nanoseconds / 1_000_000)
        }
        ScalarValue::IntervalDayTime(Some(interval)) => (interval.days, i64::from(interval.milliseconds)),
        _ => return None,
    };
    (i64::from(days) * 86_400_000).checked_add(millis)
}

/// Adds the names of the columns in `exprs`.
pub(super) fn columns_of<'e>(exprs: impl IntoIterator<Item = &'e Expr>, used: &mut BTreeSet<String>) {
    for expr in exprs {
        // The closure never fails.
        let _ = expr.apply(|node| {
            if let Expr::Column(column) = node {
                used.insert(column.name.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
}

/// What the checks before should have found.
pub(super) fn bug(error: &DataFusionError) -> Problem {
    Problem::new(Position::START, format!("a checked expression cannot be computed: {}", error.strip_backtrace()))
        .help("rewrite the expressions of the job one by one to find it")
}
