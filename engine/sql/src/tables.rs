//! Tables with checked columns, options and watermark: what `CREATE TABLE` means.
//!
//! Which of the columns a job reads is decided in `assemble`.

use crate::check::{Check, Clause};
use crate::context::Context;
use crate::ddl::{ColumnDdlKind, TableDdl, TypeDdl, WatermarkDdl, sql_name};
use crate::diagnose::df_problem;
use crate::error::{Position, Problem, Result};
use crate::options::TableOptions;
use crate::{names, print};
use aqueduct_core::{ColumnKind, TableColumn};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column as DfColumn, DFSchema};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, cast};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use sqlparser::ast::{self, Ident};
use std::sync::Arc;

/// A table of the job.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) event_time: Option<EventTime>,
    pub(crate) options: TableOptions,
    pub(crate) primary_key: Vec<String>,
    pub(crate) partitioned_by: Vec<String>,
}

/// A column as queries see it.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    pub(crate) kind: Kind,
}

/// Where its values come from.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// The record's value.
    Physical { sql_type: String },
    /// The connector, as column `raw`, delivered as `delivered`.
    Metadata { raw: String, key: String, delivered: DataType, sql_type: String, is_virtual: bool },
    /// An expression over physical and raw metadata columns.
    Computed(Expr),
}

/// The watermark.
#[derive(Debug, Clone)]
pub(crate) struct EventTime {
    pub(crate) column: String,
    /// Over the columns as queries see them.
    pub(crate) watermark: Expr,
    pub(crate) text: String,
}

impl Table {
    /// What queries see.
    pub(crate) fn schema(&self) -> SchemaRef {
        schema_of(&self.columns)
    }

    /// The physical columns, for connectors.
    pub(crate) fn declared(&self) -> Vec<TableColumn> {
        self.columns.iter().filter_map(Column::physical).collect()
    }
}

impl Column {
    /// The column for connectors, if it is a field of the value.
    pub(crate) fn physical(&self) -> Option<TableColumn> {
        let Kind::Physical { sql_type } = &self.kind else { return None };
        Some(TableColumn {
            name: self.name.clone(),
            data_type: self.data_type.clone(),
            nullable: self.nullable,
            sql_type: sql_type.clone(),
            kind: ColumnKind::Physical,
        })
    }

    /// The column for connectors, if they deliver it.
    pub(crate) fn delivered(&self) -> Option<TableColumn> {
        match &self.kind {
            Kind::Metadata { raw, key, delivered, sql_type, .. } => Some(TableColumn {
                name: raw.clone(),
                data_type: delivered.clone(),
                nullable: true,
                sql_type: sql_type.clone(),
                kind: ColumnKind::Metadata(key.clone()),
            }),
            _ => self.physical(),
        }
    }

    /// Its expression over the delivered columns, unless it is one of them.
    pub(crate) fn computed(&self) -> Option<Expr> {
        match &self.kind {
            Kind::Physical { .. } => None,
            Kind::Metadata { raw, .. } if *raw == self.name => None,
            Kind::Metadata { raw, .. } => Some(cast(column(raw), self.data_type.clone())),
            Kind::Computed(expr) => Some(expr.clone()),
        }
    }
}

/// A column by its name alone.
pub(crate) fn column(name: &str) -> Expr {
    Expr::Column(DfColumn::new_unqualified(name))
}

fn schema_of(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, column.data_type.clone(), column.nullable);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// Checks everything of a table but its use.
pub(crate) fn resolve(
    ddl: &TableDdl,
    options: TableOptions,
    check: &Check<'_>,
    context: &Context<'_>,
) -> Result<Table> {
    let mut columns = Vec::with_capacity(ddl.columns.len());
    for written in &ddl.columns {
        match &written.kind {
            ColumnDdlKind::Physical(declared) => columns.push(physical(&written.name, declared)),
            ColumnDdlKind::Metadata { declared, key, key_at, is_virtual } => {
                columns.push(metadata(&written.name, declared, key, (*key_at).into(), *is_virtual, &options)?);
            }
            ColumnDdlKind::Computed(_) => {}
        }
    }
    let delivered = columns.len();
    for written in &ddl.columns {
        if let ColumnDdlKind::Computed(expr) = &written.kind {
            let computed = computed(&written.name, expr, &columns, check, context)?;
            columns.push(computed);
        }
    }
    // Queries see the columns in the order in which they were written.
    let position = |column: &Column| ddl.columns.iter().position(|written| written.name.value == column.name);
    let all_delivered = delivered == columns.len();
    if !all_delivered {
        columns.sort_by_key(|column| position(column));
    }
    let event_time =
        ddl.watermark.as_ref().map(|watermark| event_time(watermark, &columns, check, context)).transpose()?;
    let known = |names: &[Ident], clause: &str| known_columns(names, clause, &columns);
    Ok(Table {
        name: ddl.name.value.clone(),
        primary_key: known(&ddl.primary_key, "PRIMARY KEY")?,
        partitioned_by: known(&ddl.partitioned_by, "PARTITIONED BY")?,
        columns,
        event_time,
        options,
    })
}

fn known_columns(names: &[Ident], clause: &str, columns: &[Column]) -> Result<Vec<String>> {
    let mut known: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let physical = columns.iter().filter(|column| matches!(column.kind, Kind::Physical { .. }));
        if !physical.clone().any(|column| column.name == name.value) {
            return Err(Problem::new(
                name.span.start,
                format!("{clause}: the table has no physical column '{}'", name.value),
            )
            .help(names::suggest(&name.value, "columns", physical.map(|column| column.name.as_str()))));
        }
        if known.contains(&name.value) {
            return Err(Problem::new(name.span.start, format!("{clause}: the column '{}' stands twice", name.value))
                .help("keep one"));
        }
        known.push(name.value.clone());
    }
    Ok(known)
}

fn physical(name: &Ident, declared: &TypeDdl) -> Column {
    Column {
        name: name.value.clone(),
        data_type: declared.data_type.clone(),
        nullable: declared.nullable,
        kind: Kind::Physical { sql_type: declared.text.clone() },
    }
}

fn metadata(
    name: &Ident,
    declared: &TypeDdl,
    key: &str,
    key_at: Position,
    is_virtual: bool,
    options: &TableOptions,
) -> Result<Column> {
    let offered = options.connector.metadata();
    let Some(found) = offered.iter().find(|offered| offered.key == key) else {
        return Err(Problem::new(
            key_at,
            format!("the connector '{}' has no metadata '{key}'", options.connector.name()),
        )
        .help(names::suggest(key, "metadata", offered.iter().map(|offered| offered.key))));
    };
    if !arrow::compute::can_cast_types(&found.data_type, &declared.data_type) {
        let message =
            format!("the metadata '{key}' is {}, which cannot become {}", sql_name(&found.data_type), declared.text);
        return Err(Problem::new(name.span.start, message).help(format!("declare it {}", sql_name(&found.data_type))));
    }
    let raw = if found.data_type == declared.data_type { name.value.clone() } else { format!("$metadata.{key}") };
    Ok(Column {
        name: name.value.clone(),
        data_type: declared.data_type.clone(),
        // A connector may lack it for some records, whatever the job says.
        nullable: true,
        kind: Kind::Metadata {
            raw,
            key: key.to_string(),
            delivered: found.data_type.clone(),
            sql_type: declared.text.clone(),
            is_virtual,
        },
    })
}

fn computed(
    name: &Ident,
    written: &ast::Expr,
    columns: &[Column],
    check: &Check<'_>,
    context: &Context<'_>,
) -> Result<Column> {
    let (expr, schema) = plan(written, columns, Clause::Computed, check, context)?;
    let failed = |error| df_problem(&error, check.tokens);
    let data_type = expr.get_type(&schema).map_err(failed)?;
    let nullable = expr.nullable(&schema).map_err(failed)?;
    let kind = Kind::Computed(over_delivered(expr, columns).map_err(failed)?);
    Ok(Column { name: name.value.clone(), data_type, nullable, kind })
}

/// Puts the expressions of computed columns in the place of their names.
pub(crate) fn over_delivered(expr: Expr, columns: &[Column]) -> datafusion::common::Result<Expr> {
    let replaced = expr.transform_up(|node| {
        let found = match &node {
            Expr::Column(used) => columns.iter().find(|column| column.name == used.name).and_then(Column::computed),
            _ => None,
        };
        Ok(found.map_or_else(|| Transformed::no(node), Transformed::yes))
    })?;
    Ok(replaced.data)
}

/// An expression over columns, with its types made to fit.
fn plan(
    written: &ast::Expr,
    columns: &[Column],
    clause: Clause,
    check: &Check<'_>,
    context: &Context<'_>,
) -> Result<(Expr, DFSchema)> {
    let mut written = written.clone();
    check.expr(&mut written, clause)?;
    let schema =
        DFSchema::try_from(schema_of(columns).as_ref().clone()).map_err(|error| df_problem(&error, check.tokens))?;
    let planner = SqlToRel::new_with_options(context, Context::parser_options());
    let coerced = planner
        .sql_to_expr(written, &schema, &mut PlannerContext::new())
        .and_then(|expr| ExprSimplifier::new(SimplifyContext::default()).coerce(expr, &schema));
    match coerced {
        Ok(expr) => Ok((expr, schema)),
        Err(error) => Err(df_problem(&error, check.tokens)),
    }
}

fn event_time(
    written: &WatermarkDdl,
    columns: &[Column],
    check: &Check<'_>,
    context: &Context<'_>,
) -> Result<EventTime> {
    let name = &written.column.value;
    let at = written.column.span.start;
    let Some(column) = columns.iter().find(|column| column.name == *name) else {
        return Err(Problem::new(at, format!("WATERMARK FOR: the table has no column '{name}'")).help(names::suggest(
            name,
            "columns",
            columns.iter().map(|column| column.name.as_str()),
        )));
    };
    if !matches!(column.data_type, DataType::Timestamp(TimeUnit::Millisecond, _)) {
        let help = match column.data_type {
            DataType::Timestamp(..) => "declare the column TIMESTAMP(3) or TIMESTAMP_LTZ(3)",
            _ => "add a computed column, such as `ts AS TO_TIMESTAMP_LTZ(millis, 3)` or `ts AS TO_TIMESTAMP(text)`",
        };
        return Err(Problem::new(
            at,
            format!("the time column '{name}' is {}, not a TIMESTAMP in milliseconds", sql_name(&column.data_type)),
        )
        .help(help));
    }
    let (mut watermark, schema) = plan(&written.expr, columns, Clause::Watermark, check, context)?;
    let text = print::expr(&watermark);
    let data_type = watermark.get_type(&schema).map_err(|error| df_problem(&error, check.tokens))?;
    match &data_type {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {}
        DataType::Timestamp(_, zone) => {
            let millis = DataType::Timestamp(TimeUnit::Millisecond, zone.clone());
            watermark = cast(watermark, millis);
        }
        other => {
            return Err(Problem::new(written.at, format!("the watermark is {}, not a TIMESTAMP", sql_name(other)))
                .help(format!(
                    "write WATERMARK FOR {name} AS {name} - INTERVAL '5' SECOND",
                    name = names::quoted(name)
                )));
        }
    }
    Ok(EventTime { column: name.clone(), watermark, text })
}
