//! GROUP BY over a window as keys and aggregates with the types that accumulators take.

use super::chain::{Chain, mark, plain, refuse_wall_time, to_plain, unqualified, uses_window};
use super::{Aggregate, Key, Refusal, Window, aggregate_name, key_name};
use crate::functions::aggregate::{WindowAggregateUdf, accumulated, sql_name};
use crate::tables::column;
use crate::window::WINDOW_COLUMNS;
use crate::{ddl, print};
use aqueduct_plan::AggregateFunction;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{AggregateUDFImpl, Expr, ExprSchemable, cast, logical_plan};
use std::sync::Arc;

impl Chain<'_> {
    pub(super) fn aggregate(&mut self, node: &logical_plan::Aggregate) -> Result<(), Refusal> {
        if self.window.is_some() {
            return Err(Refusal::new(
                &["GROUP"],
                "an aggregation over an aggregation is not supported",
                "aggregate the source once per window; filters and projections over the result are fine",
            ));
        }
        let Some(_) = &self.pending else {
            return Err(Refusal::new(
                &["GROUP", "COUNT", "SUM", "MIN", "MAX", "AVG"],
                "GROUP BY without a window is not supported: its results would never be final",
                "aggregate over a window: FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, ...",
            ));
        };
        let input = node.input.schema();
        self.cut_if_shared(node.group_expr.iter().chain(&node.aggr_expr), input)?;
        let (mut keys, mut results) = (Vec::new(), Vec::new());
        let mut window_columns = [false; 3];
        for expr in &node.group_expr {
            let over = self.over_base(expr, input)?;
            if let Some(index) = WINDOW_COLUMNS.iter().position(|name| over == column(&mark(name))) {
                window_columns[index] = true;
                results.push(column(WINDOW_COLUMNS[index]));
            } else {
                results.push(column(&key_name(keys.len())));
                keys.push(self.key(expr, over)?);
            }
        }
        if !(window_columns[0] && window_columns[1]) {
            return Err(Refusal::new(
                &["GROUP"],
                "GROUP BY over a window must name window_start and window_end",
                "write GROUP BY window_start, window_end, and the other keys",
            ));
        }
        let mut aggregates = Vec::with_capacity(node.aggr_expr.len());
        for expr in &node.aggr_expr {
            let (aggregate, wanted) = self.one(expr, input)?;
            let result = column(&aggregate_name(aggregates.len()));
            results.push(if wanted == aggregate.output_type { result } else { cast(result, wanted) });
            aggregates.push(aggregate);
        }
        self.close_window(keys, aggregates)?;
        self.current = results;
        Ok(())
    }

    fn close_window(&mut self, keys: Vec<Key>, aggregates: Vec<Aggregate>) -> Result<(), Refusal> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let mut fields: Vec<FieldRef> =
            WINDOW_COLUMNS.iter().map(|name| Arc::new(Field::new(*name, pending.time_type.clone(), false))).collect();
        for (index, key) in keys.iter().enumerate() {
            fields.push(Arc::new(Field::new(key_name(index), key.data_type.clone(), key.nullable)));
        }
        for (index, aggregate) in aggregates.iter().enumerate() {
            let nullable = aggregate.function != AggregateFunction::Count;
            fields.push(Arc::new(Field::new(aggregate_name(index), aggregate.output_type.clone(), nullable)));
        }
        self.base = unqualified(fields.into_iter())?;
        self.window =
            Some(Window { kind: pending.kind, time: pending.time, time_type: pending.time_type, keys, aggregates });
        Ok(())
    }

    fn key(&self, written: &Expr, over: Expr) -> Result<Key, Refusal> {
        if uses_window(&over) {
            return Err(Refusal::new(
                &["GROUP"],
                "a key computed from window_start, window_end or window_time is not supported",
                "leave it out of GROUP BY and compute it in the SELECT list",
            ));
        }
        refuse_wall_time(&over, "GROUP BY")?;
        let given = over.get_type(&self.base)?;
        let data_type = plain(&given);
        if data_type.is_nested() || data_type == DataType::Null {
            return Err(Refusal::new(
                &["GROUP"],
                format!("GROUP BY does not take {}", ddl::sql_name(&data_type)),
                "group by its fields, or by CAST(x AS STRING)",
            ));
        }
        let nullable = over.nullable(&self.base)?;
        let name = match written {
            Expr::Column(column) => Some(column.name.clone()),
            Expr::Alias(alias) => Some(alias.name.clone()),
            _ => None,
        };
        Ok(Key { expr: to_plain(over, &given), data_type, nullable, name })
    }

    /// The aggregate, and the type that the query expects of it.
    fn one(&self, expr: &Expr, input: &DFSchema) -> Result<(Aggregate, DataType), Refusal> {
        let expr = match expr {
            Expr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        let Expr::AggregateFunction(call) = expr else {
            return Err(Refusal::new(
                &["SELECT"],
                format!("'{expr}' is not an aggregate"),
                "aggregates: COUNT, SUM, MIN, MAX, AVG",
            ));
        };
        let Some(udf) = call.func.inner().downcast_ref::<WindowAggregateUdf>() else {
            return Err(Refusal::new(
                &["SELECT"],
                format!("the aggregate {} is not supported", call.func.name()),
                "aggregates: COUNT, SUM, MIN, MAX, AVG",
            ));
        };
        if call.params.distinct || !call.params.order_by.is_empty() {
            return Err(Refusal::new(
                &["DISTINCT", "ORDER"],
                "DISTINCT and ORDER BY in an aggregate are not supported",
                "leave them out",
            ));
        }
        let Some(argument) = call.params.args.first() else {
            return Err(Refusal::new(&["SELECT"], "an aggregate without an argument", "write COUNT(*) or SUM(x)"));
        };
        let argument = self.over_base(argument, input)?;
        let filter = call.params.filter.as_ref().map(|filter| self.over_base(filter, input)).transpose()?;
        for part in std::iter::once(&argument).chain(&filter) {
            refuse_wall_time(part, "an aggregate")?;
            if uses_window(part) {
                return Err(Refusal::new(
                    &["SELECT"],
                    "an aggregate over window_start, window_end or window_time is not supported",
                    "they are the same for all rows of a group: use them beside the aggregate",
                ));
            }
        }
        self.typed(udf, argument, filter)
    }

    fn typed(
        &self,
        udf: &WindowAggregateUdf,
        argument: Expr,
        mut filter: Option<Expr>,
    ) -> Result<(Aggregate, DataType), Refusal> {
        let given = argument.get_type(&self.base)?;
        let wanted = udf.return_type(std::slice::from_ref(&given))?;
        let function = udf.function;
        let mut text = format!("{}({})", sql_name(function), print::expr(&argument));
        let mut kept = Some(argument.clone());
        if function == AggregateFunction::Count {
            let never_null =
                matches!(&argument, Expr::Literal(value, _) if !value.is_null()) || !argument.nullable(&self.base)?;
            if never_null {
                kept = None;
                text = "COUNT(*)".into();
            } else if accumulated(&given).is_none() {
                // Only whether there is a value matters: as a condition it works for every type.
                let present = argument.clone().is_not_null();
                filter = Some(filter.map_or(present.clone(), |filter| filter.and(present)));
                kept = None;
            }
        }
        if let Some(filter) = &filter {
            text.push_str(&format!(" FILTER (WHERE {})", print::expr(filter)));
        }
        let input_type = if kept.is_some() { accumulated(&given) } else { Some(DataType::Int64) };
        let Some(input_type) = input_type else {
            return Err(Refusal::new(
                &["SELECT"],
                format!("{} does not take {}", sql_name(function), ddl::sql_name(&given)),
                "CAST the argument",
            ));
        };
        let argument = kept.map(|expr| if given == input_type { expr } else { cast(expr, input_type.clone()) });
        let output_type = match (function, &input_type) {
            (AggregateFunction::Count, _) => DataType::Int64,
            (AggregateFunction::Min | AggregateFunction::Max, kept) => kept.clone(),
            (AggregateFunction::Sum, DataType::Decimal128(_, s)) => DataType::Decimal128(38, *s),
            (AggregateFunction::Avg, DataType::Decimal128(_, s)) => DataType::Decimal128(38, (*s).max(6)),
            (_, kept) => kept.clone(),
        };
        let aggregate = Aggregate { function, argument, input_type, filter, output_type, text, name: None };
        Ok((aggregate, plain(&wanted)))
    }
}
