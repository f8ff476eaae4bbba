//! `INSERT INTO`: which value goes into which column, and which types fit without a cast.
//!
//! Fits: the same type; a wider number (also DECIMAL into DECIMAL, rounded); numbers into DOUBLE; TIMESTAMP of any
//! precision,
//! with and without time zone; DATE into TIMESTAMP; literals that fit. Everything else needs a CAST in the job.

use crate::ddl::sql_name;
use crate::error::{Position, Problem, Result};
use crate::lower::Lowered;
use crate::names;
use crate::statement::Tokens;
use crate::tables::{Column, Kind, Table};
use aqueduct_core::{Connector, TableColumn};
use aqueduct_plan::SEALED_AT;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, cast, lit};
use sqlparser::ast::Ident;
use std::sync::Arc;

/// An insert with one expression per column of the sink.
pub(crate) struct PlannedInsert {
    pub(crate) table: String,
    pub(crate) lowered: Lowered,
    /// Over the query's result, with the types of `columns`.
    pub(crate) exprs: Vec<Expr>,
    pub(crate) columns: Vec<TableColumn>,
}

/// Puts the projection of a query into the columns of a table.
pub(crate) fn plan(
    table: &Table,
    target: &Ident,
    written: &[Ident],
    lowered: Lowered,
    positions: &[Position],
    tokens: &Tokens,
    connectors: &[&dyn Connector],
) -> Result<PlannedInsert> {
    check_writable(table, target, connectors)?;
    let columns: Vec<TableColumn> = table.declared();
    let order = order(&columns, target, written)?;
    let given = lowered.project.len();
    if given != order.len() {
        let names: Vec<&str> = order.iter().map(|index| columns[*index].name.as_str()).collect();
        return Err(Problem::new(
            target.span.start,
            format!("'{}' takes {} values here, the query has {given}", table.name, names.len()),
        )
        .help(format!("the columns are {}", names.join(", "))));
    }
    let schema = with_sealed_at(&lowered.result)?;
    let mut exprs: Vec<Option<Expr>> = vec![None; columns.len()];
    for (item, index) in order.iter().enumerate() {
        let column = &columns[*index];
        let expr = &lowered.project[item];
        let from = expr.get_type(&schema).map_err(|error| crate::diagnose::df_problem(&error, tokens))?;
        let at = positions.get(item).copied().filter(|at| at.line > 0).unwrap_or_else(|| target.span.start.into());
        let fitted = fit(expr, &from, &column.data_type).ok_or_else(|| {
            let message = format!(
                "the column '{}' of '{}' is {}, the value is {}",
                column.name,
                table.name,
                column.sql_type,
                sql_name(&from)
            );
            Problem::new(at, message).help(cast_help(&from, column))
        })?;
        exprs[*index] = Some(fitted);
    }
    let exprs = exprs
        .into_iter()
        .zip(&columns)
        .map(|(expr, column)| match expr {
            Some(expr) => Ok(expr),
            None if column.nullable => null(&column.data_type),
            None => Err(Problem::new(
                target.span.start,
                format!("the column '{}' of '{}' is NOT NULL and gets no value", column.name, table.name),
            )
            .help("name it in the column list, and select a value for it")),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(PlannedInsert { table: table.name.clone(), lowered, exprs, columns })
}

fn check_writable(table: &Table, target: &Ident, connectors: &[&dyn Connector]) -> Result<()> {
    if !table.options.connector.roles().sink {
        let sinks = connectors.iter().filter(|connector| connector.roles().sink).map(|connector| connector.name());
        let message = format!(
            "'{}' cannot be written: the connector '{}' only reads",
            table.name,
            table.options.connector.name()
        );
        return Err(Problem::new(target.span.start, message)
            .help(format!("connectors that write: {}", sinks.collect::<Vec<_>>().join(", "))));
    }
    let persisted = |column: &&Column| matches!(column.kind, Kind::Metadata { is_virtual: false, .. });
    if let Some(column) = table.columns.iter().find(persisted) {
        return Err(Problem::new(
            target.span.start,
            format!("'{}': writing the metadata column '{}' is not supported", table.name, column.name),
        )
        .help("declare it METADATA ... VIRTUAL, or leave it out"));
    }
    Ok(())
}

/// The index of the column of each value.
fn order(columns: &[TableColumn], target: &Ident, written: &[Ident]) -> Result<Vec<usize>> {
    if written.is_empty() {
        return Ok((0..columns.len()).collect());
    }
    let mut order = Vec::with_capacity(written.len());
    for name in written {
        let index = columns.iter().position(|column| column.name == name.value).ok_or_else(|| {
            Problem::new(name.span.start, format!("'{}' has no column '{}' to write", target.value, name.value))
                .help(names::suggest(&name.value, "columns", columns.iter().map(|column| column.name.as_str())))
        })?;
        if order.contains(&index) {
            return Err(
                Problem::new(name.span.start, format!("the column '{}' stands twice", name.value)).help("keep one")
            );
        }
        order.push(index);
    }
    Ok(order)
}

/// The result's schema followed by the time of the seal.
pub(crate) fn with_sealed_at(result: &DFSchema) -> Result<DFSchema> {
    let sealed = Field::new(SEALED_AT, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false);
    let fields: Vec<_> = result.fields().iter().cloned().chain([Arc::new(sealed)]).collect();
    DFSchema::try_from(Schema::new(fields)).map_err(|error| {
        Problem::new(Position::START, format!("the result has no usable schema: {}", error.strip_backtrace()))
    })
}

fn null(data_type: &DataType) -> Result<Expr> {
    let value = ScalarValue::try_from(data_type)
        .map_err(|error| Problem::new(Position::START, format!("no null of type {}: {error}", sql_name(data_type))))?;
    Ok(lit(value))
}

/// `expr` with the type `to`, if it may become that without a CAST in the job.
fn fit(expr: &Expr, from: &DataType, to: &DataType) -> Option<Expr> {
    if from == to {
        return Some(expr.clone());
    }
    if let Expr::Literal(value, _) = expr
        && let Some(value) = literal(value, from, to)
    {
        return Some(lit(value));
    }
    let wider = fits(from, to);
    wider.then(|| cast(expr.clone(), to.clone()))
}

/// A number that is written in the job may be narrower than its literal type.
fn literal(value: &ScalarValue, from: &DataType, to: &DataType) -> Option<ScalarValue> {
    let numbers = from.is_numeric() && to.is_numeric();
    if !(numbers || *from == DataType::Null) {
        return None;
    }
    let narrowed = value.cast_to(to).ok()?;
    if value.is_null() {
        return Some(narrowed);
    }
    let back = narrowed.cast_to(from).ok()?;
    let exact = back == *value || to.is_floating();
    exact.then_some(narrowed)
}

fn integer_digits(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        DataType::Int64 => 19,
        _ => return None,
    })
}

fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (T::Null, _) => true,
        (T::Utf8View | T::LargeUtf8, T::Utf8) | (T::BinaryView | T::LargeBinary, T::Binary) => true,
        (T::Timestamp(..) | T::Date32, T::Timestamp(..)) | (T::Timestamp(..), T::Date32) => {
            matches!(to, T::Timestamp(..))
        }
        (T::Time32(_) | T::Time64(_), T::Time32(_)) => true,
        (T::Float32, T::Float64) | (T::Decimal128(..), T::Float64 | T::Decimal128(..)) => true,
        (T::UInt8 | T::UInt16 | T::UInt32, T::Int64) => true,
        (integer, T::Float64) if integer_digits(integer).is_some() => true,
        (integer, T::Float32) => matches!(integer, T::Int8 | T::Int16),
        (integer, T::Decimal128(p, s)) => {
            integer_digits(integer).is_some_and(|digits| i16::from(*p) - i16::from(*s) >= i16::from(digits))
        }
        (small, large) => integer_digits(small).zip(integer_digits(large)).is_some_and(|(small, large)| small <= large),
    }
}

fn cast_help(from: &DataType, column: &TableColumn) -> String {
    let target = match column.data_type {
        DataType::Utf8 => "STRING".to_string(),
        _ => sql_name(&column.data_type),
    };
    if arrow::compute::can_cast_types(from, &column.data_type) && !from.is_nested() {
        format!("write CAST(... AS {target}), or declare the column {}", sql_name(from))
    } else {
        format!("select a {target} for it, or declare the column {}", sql_name(from))
    }
}
