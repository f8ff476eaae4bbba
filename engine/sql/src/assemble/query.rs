//! A lowered query as stages, window aggregation and the stages of its inserts.

use super::physical::{Physical, bug, columns_of};
use super::unique;
use crate::error::{Position, Problem, Result};
use crate::insert::{PlannedInsert, with_sealed_at};
use crate::lower::{Lowered, Window, aggregate_name, key_name};
use crate::tables::column;
use crate::window::WINDOW_COLUMNS;
use crate::{names, print};
use aqueduct_core::TableColumn;
use aqueduct_plan::{Aggregate, Query, QueryInput, SEALED_AT, Stage, WindowAggregate};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, ExprSchemable};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A query, and what its inserts need to know of it.
pub(super) struct Built<'a> {
    pub(super) query: Query,
    lowered: &'a Lowered,
    /// Names by position to the names that people see.
    shown: BTreeMap<String, String>,
}

/// Builds a query. `projections` are the expressions of all inserts that use it.
pub(super) fn build<'a>(
    lowered: &'a Lowered,
    (input, schema): (QueryInput, SchemaRef),
    projections: &[&Expr],
    id: String,
    name: String,
) -> Result<Built<'a>> {
    let (mut stages, mut schema) = (Vec::new(), schema);
    for cut in &lowered.cuts {
        let stage = cut_stage(cut, &schema)?;
        schema = Arc::clone(&stage.schema);
        stages.push(stage);
    }
    let (mut shown, mut window) = (BTreeMap::new(), None);
    let narrow = if lowered.window.is_some() { None } else { narrowed(&schema, projections) };
    if !lowered.filters.is_empty() || narrow.is_some() {
        let stage = last_stage(&lowered.filters, narrow, &schema)?;
        schema = Arc::clone(&stage.schema);
        stages.push(stage);
    }
    if let Some(lowered) = &lowered.window {
        shown = shown_names(lowered);
        let built = window_aggregate(lowered, &schema, &shown)?;
        schema = Arc::clone(&built.schema);
        window = Some(built);
    }
    let query = Query { id, name, input, stages, window, schema };
    Ok(Built { query, lowered, shown })
}

fn cut_stage(cut: &crate::lower::Cut, schema: &SchemaRef) -> Result<Stage> {
    let physical = Physical::over(schema)?;
    let mut fields = Vec::with_capacity(cut.project.len());
    for (name, expr) in &cut.project {
        let data_type = expr.get_type(physical.df_schema()).map_err(|error| bug(&error))?;
        let nullable = expr.nullable(physical.df_schema()).map_err(|error| bug(&error))?;
        fields.push(Field::new(name, data_type, nullable));
    }
    let mut text = filter_text(&cut.filters);
    text.extend(cut.project.iter().map(|(name, expr)| format!("{} = {}", names::quoted(name), print::expr(expr))));
    Ok(Stage {
        filter: physical.filter(&cut.filters)?,
        project: Some(physical.exprs(cut.project.iter().map(|(_, expr)| expr))?),
        schema: Arc::new(Schema::new(fields)),
        text,
    })
}

fn filter_text(filters: &[Expr]) -> Vec<String> {
    filters.iter().map(|filter| format!("filter {}", print::expr(filter))).collect()
}

/// The columns that are left of a stateless query, unless it is all of them.
fn narrowed(schema: &Schema, projections: &[&Expr]) -> Option<Vec<usize>> {
    let mut used = BTreeSet::new();
    columns_of(projections.iter().copied(), &mut used);
    let mut kept: Vec<usize> =
        (0..schema.fields().len()).filter(|index| used.contains(schema.field(*index).name())).collect();
    if kept.is_empty() {
        kept.push(0);
    }
    (kept.len() < schema.fields().len()).then_some(kept)
}

fn last_stage(filters: &[Expr], narrow: Option<Vec<usize>>, schema: &SchemaRef) -> Result<Stage> {
    let physical = Physical::over(schema)?;
    let mut text = filter_text(filters);
    let Some(kept) = narrow else {
        return Ok(Stage { filter: physical.filter(filters)?, project: None, schema: physical.schema(), text });
    };
    let kept_names: Vec<String> = kept.iter().map(|index| names::quoted(schema.field(*index).name())).collect();
    text.push(format!("keep {}", kept_names.join(", ")));
    let exprs: Vec<Expr> = kept.iter().map(|index| column(schema.field(*index).name())).collect();
    let fields: Vec<_> = kept.iter().map(|index| Arc::clone(&schema.fields()[*index])).collect();
    Ok(Stage {
        filter: physical.filter(filters)?,
        project: Some(physical.exprs(&exprs)?),
        schema: Arc::new(Schema::new(fields)),
        text,
    })
}

fn shown_names(window: &Window) -> BTreeMap<String, String> {
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    let mut taken: Vec<String> =
        WINDOW_COLUMNS.iter().map(|name| (*name).to_string()).chain([SEALED_AT.to_string()]).collect();
    let mut add = |position: String, wanted: String| {
        let name = unique(&wanted, |name| taken.iter().any(|other| other == name));
        taken.push(name.clone());
        shown.insert(position, name);
    };
    for (index, key) in window.keys.iter().enumerate() {
        add(key_name(index), key.name.clone().unwrap_or_else(|| print::expr(&key.expr)));
    }
    for (index, aggregate) in window.aggregates.iter().enumerate() {
        add(aggregate_name(index), aggregate.name.clone().unwrap_or_else(|| aggregate.text.clone()));
    }
    shown
}

fn window_aggregate(window: &Window, input: &SchemaRef, shown: &BTreeMap<String, String>) -> Result<WindowAggregate> {
    let physical = Physical::over(input)?;
    let time_column = input.index_of(&window.time).map_err(|error| Problem::new(Position::START, error.to_string()))?;
    let name = |position: String| shown.get(&position).cloned().unwrap_or(position);
    let mut fields: Vec<Field> =
        WINDOW_COLUMNS.iter().map(|name| Field::new(*name, window.time_type.clone(), false)).collect();
    for (index, key) in window.keys.iter().enumerate() {
        fields.push(Field::new(name(key_name(index)), key.data_type.clone(), key.nullable));
    }
    let mut aggregates = Vec::with_capacity(window.aggregates.len());
    for (index, aggregate) in window.aggregates.iter().enumerate() {
        let nullable = aggregate.function != aqueduct_plan::AggregateFunction::Count;
        fields.push(Field::new(name(aggregate_name(index)), aggregate.output_type.clone(), nullable));
        aggregates.push(Aggregate {
            function: aggregate.function,
            argument: aggregate.argument.as_ref().map(|expr| physical.expr(expr)).transpose()?,
            input_type: aggregate.input_type.clone(),
            filter: aggregate.filter.as_ref().map(|expr| physical.expr(expr)).transpose()?,
            output_type: aggregate.output_type.clone(),
            text: aggregate.text.clone(),
        });
    }
    Ok(WindowAggregate {
        kind: window.kind,
        time_column,
        keys: physical.exprs(window.keys.iter().map(|key| &key.expr))?,
        aggregates,
        schema: Arc::new(Schema::new(fields)),
        key_text: window.keys.iter().map(|key| print::expr(&key.expr)).collect(),
    })
}

impl Built<'_> {
    /// The stage of one insert.
    pub(super) fn insert(&self, insert: &PlannedInsert) -> Result<Stage> {
        let result = DFSchema::try_from(self.query.schema.as_ref().clone()).map_err(|error| bug(&error))?;
        let physical = Physical::over(with_sealed_at(&result)?.as_arrow())?;
        // Another insert may have given the query its names, but positions are the same in both.
        let filters: Vec<Expr> =
            insert.lowered.result_filters.iter().map(|expr| self.with_shown_names(expr)).collect::<Result<_>>()?;
        let exprs: Vec<Expr> = insert.exprs.iter().map(|expr| self.with_shown_names(expr)).collect::<Result<_>>()?;
        let mut text = filter_text(&filters);
        text.extend(
            insert
                .columns
                .iter()
                .zip(&exprs)
                .map(|(column, expr)| format!("{} = {}", names::quoted(&column.name), print::expr(expr))),
        );
        debug_assert!(self.lowered.window.is_some() == insert.lowered.window.is_some(), "shared queries are alike");
        Ok(Stage {
            filter: physical.filter(&filters)?,
            project: Some(physical.exprs(&exprs)?),
            schema: TableColumn::schema(&insert.columns),
            text,
        })
    }

    fn with_shown_names(&self, expr: &Expr) -> Result<Expr> {
        let renamed = expr.clone().transform_up(|node| {
            let name = match &node {
                Expr::Column(used) => self.shown.get(&used.name),
                _ => None,
            };
            Ok(match name {
                Some(name) => Transformed::yes(column(name)),
                None => Transformed::no(node),
            })
        });
        Ok(renamed.map_err(|error| bug(&error))?.data)
    }
}
