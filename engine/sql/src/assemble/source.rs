//! A table as a source: the columns that the job reads, its computed columns, its watermark.

use super::physical::{Physical, columns_of};
use crate::error::{Position, Problem, Result};
use crate::print;
use crate::tables::{Table, column};
use aqueduct_core::{Options, SourceSpec, TableColumn};
use aqueduct_plan::{EventTimeSpec, SourceTable, Stage};
use arrow::datatypes::{Field, Schema};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Builds the source of `table`, reading `used` and what the watermark needs.
pub(super) fn build(table: &Table, used: &BTreeSet<String>, idle: Option<Duration>, job: &str) -> Result<SourceTable> {
    let mut used = used.clone();
    if let Some(event_time) = &table.event_time {
        used.insert(event_time.column.clone());
        columns_of([&event_time.watermark], &mut used);
    }
    let computed: Vec<_> = table
        .columns
        .iter()
        .filter(|column| used.contains(&column.name))
        .filter_map(|column| column.computed().map(|expr| (column, expr)))
        .collect();
    let mut needed = used.clone();
    columns_of(computed.iter().map(|(_, expr)| expr), &mut needed);
    let mut columns: Vec<TableColumn> = Vec::new();
    for delivered in table.columns.iter().filter_map(|column| column.delivered()) {
        if needed.contains(&delivered.name) && !columns.iter().any(|known| known.name == delivered.name) {
            columns.push(delivered);
        }
    }
    if columns.is_empty() {
        // Rows without columns cannot be counted.
        columns.extend(table.columns.iter().find_map(|column| column.delivered()));
    }
    let schema = TableColumn::schema(&columns);
    let physical = Physical::over(&schema)?;
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.extend(
        computed
            .iter()
            .map(|(column, _)| Arc::new(Field::new(&column.name, column.data_type.clone(), column.nullable))),
    );
    let output = Arc::new(Schema::new(fields));
    let project = if computed.is_empty() {
        None
    } else {
        let all: Vec<_> = columns
            .iter()
            .map(|delivered| column(&delivered.name))
            .chain(computed.iter().map(|(_, expr)| expr.clone()))
            .collect();
        Some(physical.exprs(&all)?)
    };
    let text = computed
        .iter()
        .map(|(column, expr)| format!("{} AS {}", crate::names::quoted(&column.name), print::expr(expr)))
        .collect();
    let event_time = event_time(table, &output, idle)?;
    Ok(SourceTable {
        connector: table.options.connector.name().to_string(),
        spec: SourceSpec {
            table: table.name.clone(),
            options: Options::new(&table.name, table.options.values.clone())
                .with_references(table.options.written.clone()),
            columns,
            declared: table.declared(),
            job: job.to_string(),
            fail_points: aqueduct_core::FailPoints::default(),
        },
        computed: Stage { filter: None, project, schema: output, text },
        event_time,
    })
}

fn event_time(table: &Table, output: &Schema, idle: Option<Duration>) -> Result<Option<EventTimeSpec>> {
    let Some(event_time) = &table.event_time else { return Ok(None) };
    let index =
        output.index_of(&event_time.column).map_err(|error| Problem::new(Position::START, error.to_string()))?;
    Ok(Some(EventTimeSpec {
        column: index,
        watermark: Physical::over(output)?.expr(&event_time.watermark)?,
        watermark_text: event_time.text.clone(),
        idle_timeout: table.options.idle_timeout.unwrap_or(idle),
        late_by_operator: table.options.late_by_operator,
    }))
}
