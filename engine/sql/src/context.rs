//! What DataFusion's SQL planner asks for: tables, functions, types, and who plans windows and field access.
//!
//! It is a view of the tables and views that stand above the current statement; it holds no state of its own.

use crate::cast_type::FlinkTypes;
use crate::functions::{Functions, element};
use crate::window::WindowPlanner;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, DataFusionError, Result, TableReference, plan_err};
use datafusion::functions::core::get_field;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, PlannerResult, RawFieldAccessExpr, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, ExprSchemable, GetFieldAccess, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, TableType,
    WindowUDF, lit,
};
use datafusion::sql::planner::{NullOrdering, ParserOptions};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A table or view for DataFusion.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) schema: SchemaRef,
    /// The plan of a view.
    pub(crate) view: Option<LogicalPlan>,
}

impl TableSource for Relation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        if self.view.is_some() { TableType::View } else { TableType::Base }
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        self.view.as_ref().map(Cow::Borrowed)
    }
}

/// The planner's surroundings.
pub(crate) struct Context<'a> {
    pub(crate) functions: &'a Functions,
    pub(crate) relations: &'a HashMap<String, Relation>,
    config: ConfigOptions,
    expressions: Vec<Arc<dyn ExprPlanner>>,
    windows: Vec<Arc<dyn RelationPlanner>>,
    types: Arc<dyn TypePlanner>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(functions: &'a Functions, relations: &'a HashMap<String, Relation>) -> Self {
        Self {
            functions,
            relations,
            config: ConfigOptions::default(),
            expressions: vec![
                Arc::new(Access),
                Arc::new(datafusion::functions::core::planner::CoreFunctionPlanner::default()),
                Arc::new(datafusion::functions::datetime::planner::DatetimeFunctionPlanner),
                Arc::new(datafusion::functions::unicode::planner::UnicodeFunctionPlanner),
            ],
            windows: vec![Arc::new(WindowPlanner)],
            types: Arc::new(FlinkTypes),
        }
    }

    /// Names keep their case, decimals stay exact, texts are plain Utf8.
    pub(crate) fn parser_options() -> ParserOptions {
        ParserOptions {
            parse_float_as_decimal: true,
            enable_ident_normalization: false,
            support_varchar_with_length: true,
            enable_options_value_normalization: false,
            collect_spans: true,
            map_string_types_to_utf8view: false,
            default_null_ordering: NullOrdering::NullsMax,
        }
    }
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.relations.get(name.table()) {
            Some(relation) => Ok(Arc::new(relation.clone())),
            None => plan_err!("there is no table or view '{}'", name.table()),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expressions
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.windows
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar(name)
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate(name)
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.config
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.names().map(str::to_string).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// `row.field`, `map['key']` and `array[n]`.
#[derive(Debug)]
struct Access;

impl ExprPlanner for Access {
    fn plan_field_access(
        &self,
        raw: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = raw;
        let planned = match field_access {
            GetFieldAccess::NamedStructField { name } => get_field().call(vec![expr, lit(name)]),
            GetFieldAccess::ListIndex { key } => match expr.get_type(schema)? {
                DataType::Map(..) => get_field().call(vec![expr, *key]),
                _ => element().call(vec![expr, *key]),
            },
            GetFieldAccess::ListRange { .. } => {
                return Err(DataFusionError::Plan(
                    "a slice of an array is not supported; array[n] reads one element".into(),
                ));
            }
        };
        Ok(PlannerResult::Planned(planned))
    }
}
