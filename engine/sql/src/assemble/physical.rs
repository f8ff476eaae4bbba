//! Logical expressions as physical ones, simplified, over a named schema.

use crate::error::{Position, Problem, Result};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::conjunction;
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
        create_physical_expr(&simple, &self.schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
            .map_err(|error| bug(&error))
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
