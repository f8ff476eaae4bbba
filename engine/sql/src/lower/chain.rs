//! The walk from the leaf of a logical plan to its top.

use super::{Cut, Leaf, Lowered, Refusal, Window};
use crate::functions::is_sealed_at;
use crate::tables::column;
use crate::window::{WINDOW_COLUMNS, WindowNode};
use aqueduct_plan::{SEALED_AT, SystemTable, WindowKind};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, lit};
use std::sync::Arc;

/// What the walk knows of the job.
pub(crate) struct Known<'a> {
    /// The time column of a table.
    pub(crate) event_time: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) is_view: &'a dyn Fn(&str) -> bool,
}

/// The state of the walk.
pub(super) struct Chain<'a> {
    known: Known<'a>,
    pub(super) leaf: Option<Leaf>,
    /// The current columns, over `base`.
    pub(super) current: Vec<Expr>,
    /// What expressions are over: the table, the last cut, or the window's results.
    pub(super) base: DFSchema,
    cuts: Vec<Cut>,
    filters: Vec<Expr>,
    pub(super) pending: Option<Pending>,
    pub(super) window: Option<Window>,
    result_filters: Vec<Expr>,
    /// The time column's name in `base`.
    event_time: Option<String>,
    view: Option<String>,
    named: bool,
}

/// A window that waits for its GROUP BY.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) kind: WindowKind,
    pub(super) time: String,
    pub(super) time_type: DataType,
}

/// Lowers the plan of one insert.
pub(crate) fn lower(plan: &LogicalPlan, known: Known<'_>) -> Result<Lowered, Refusal> {
    let mut chain = Chain {
        known,
        leaf: None,
        current: Vec::new(),
        base: DFSchema::empty(),
        cuts: Vec::new(),
        filters: Vec::new(),
        pending: None,
        window: None,
        result_filters: Vec::new(),
        event_time: None,
        view: None,
        named: false,
    };
    chain.walk(plan)?;
    if chain.pending.is_some() {
        return Err(Refusal::new(
            &["TUMBLE", "HOP", "CUMULATE"],
            "a window function without GROUP BY is not supported",
            "add GROUP BY window_start, window_end, ...",
        ));
    }
    let project = chain.current.iter().cloned().map(seal).collect::<Result<Vec<_>, _>>()?;
    let Some(leaf) = chain.leaf else {
        return Err(Refusal::new(&["SELECT"], "the query reads nothing", "add FROM table"));
    };
    Ok(Lowered {
        leaf,
        cuts: chain.cuts,
        filters: chain.filters,
        window: chain.window,
        result_filters: chain.result_filters,
        project,
        result: chain.base,
        view: chain.view,
    })
}

impl Chain<'_> {
    fn walk(&mut self, plan: &LogicalPlan) -> Result<(), Refusal> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan.table_name.table(), &scan.projected_schema),
            LogicalPlan::SubqueryAlias(alias) => {
                self.walk(&alias.input)?;
                let name = alias.alias.table();
                if (self.known.is_view)(name) && !(self.window.is_some() && self.named) {
                    self.view = Some(name.to_string());
                    self.named = self.window.is_some();
                }
                Ok(())
            }
            LogicalPlan::Projection(projection) => {
                self.walk(&projection.input)?;
                self.project(&projection.expr, projection.input.schema())
            }
            LogicalPlan::Filter(filter) => {
                self.walk(&filter.input)?;
                self.filter(&filter.predicate, filter.input.schema())
            }
            LogicalPlan::Aggregate(aggregate) => {
                self.walk(&aggregate.input)?;
                self.aggregate(aggregate)
            }
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<WindowNode>() {
                Some(node) => {
                    self.walk(&node.input)?;
                    self.open_window(node)
                }
                None => Err(unsupported(plan)),
            },
            other => Err(unsupported(other)),
        }
    }

    fn scan(&mut self, table: &str, schema: &DFSchema) -> Result<(), Refusal> {
        let system = SystemTable::ALL.into_iter().find(|system| system.name() == table);
        self.event_time = if system.is_some() { None } else { (self.known.event_time)(table) };
        self.leaf = Some(system.map_or_else(|| Leaf::Table(table.to_string()), Leaf::System));
        self.current = schema.fields().iter().map(|field| column(field.name())).collect();
        self.base = unqualified(schema.fields().iter().cloned())?;
        Ok(())
    }

    /// `expr` over `base` instead of over the current columns.
    pub(super) fn over_base(&self, expr: &Expr, input: &DFSchema) -> Result<Expr, Refusal> {
        let replaced = expr.clone().transform_up(|node| match node {
            Expr::Column(used) => {
                let index = input.index_of_column(&used)?;
                Ok(Transformed::yes(self.current[index].clone()))
            }
            Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(replaced.data)
    }

    fn project(&mut self, exprs: &[Expr], input: &DFSchema) -> Result<(), Refusal> {
        if self.window.is_none() {
            self.cut_if_shared(exprs.iter(), input)?;
        }
        let mut next = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let over = self.over_base(expr, input)?;
            if let Expr::Alias(alias) = expr {
                self.name_result(&over, &alias.name);
            }
            next.push(over);
        }
        self.current = next;
        Ok(())
    }

    fn filter(&mut self, predicate: &Expr, input: &DFSchema) -> Result<(), Refusal> {
        let predicate = self.over_base(predicate, input)?;
        refuse_wall_time(&predicate, "a condition")?;
        let conditions = split_conjunction_owned(predicate);
        if self.window.is_some() {
            self.result_filters.extend(conditions);
            return Ok(());
        }
        if conditions.iter().any(uses_window) {
            return Err(Refusal::new(
                &["WHERE"],
                "a condition on window_start, window_end or window_time before GROUP BY is not supported",
                "put it into HAVING, or filter the view that aggregates",
            ));
        }
        self.filters.extend(conditions);
        Ok(())
    }

    fn open_window(&mut self, node: &WindowNode) -> Result<(), Refusal> {
        let time = self.over_base(&node.time, node.input.schema())?;
        let expected = self.event_time.clone();
        let name = match (&time, &expected) {
            (Expr::Column(used), Some(expected)) if used.name == *expected => expected.clone(),
            (_, Some(expected)) => {
                return Err(Refusal::new(
                    &["DESCRIPTOR"],
                    "the column in DESCRIPTOR(...) is not the time column of the table",
                    format!(
                        "windows go by the column of WATERMARK FOR, which is '{expected}'; a view must pass it through unchanged"
                    ),
                ));
            }
            (_, None) => {
                return Err(Refusal::new(
                    &["DESCRIPTOR"],
                    "a window needs a time column with a watermark, and this table has none",
                    "add WATERMARK FOR ts AS ts - INTERVAL '5' SECOND to its CREATE TABLE",
                ));
            }
        };
        let time_type = time.get_type(&self.base)?;
        self.current.extend(WINDOW_COLUMNS.iter().map(|name| column(&mark(name))));
        // The marks need types, too, until GROUP BY takes them away.
        let marks = WINDOW_COLUMNS.iter().map(|name| Arc::new(Field::new(mark(name), time_type.clone(), false)));
        self.base = unqualified(self.base.fields().iter().cloned().chain(marks))?;
        self.pending = Some(Pending { kind: node.kind, time: name, time_type });
        Ok(())
    }

    /// Ends a stage if one of the current columns is an expression that would be computed twice.
    pub(super) fn cut_if_shared<'e>(
        &mut self,
        exprs: impl Iterator<Item = &'e Expr>,
        input: &DFSchema,
    ) -> Result<(), Refusal> {
        let mut uses = vec![0usize; self.current.len()];
        for expr in exprs {
            expr.apply(|node| {
                if let Expr::Column(used) = node {
                    uses[input.index_of_column(used)?] += 1;
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let shared = uses.iter().zip(&self.current).any(|(uses, expr)| *uses > 1 && !cheap(expr));
        if !shared {
            return Ok(());
        }
        self.cut(&uses)
    }

    fn cut(&mut self, uses: &[usize]) -> Result<(), Refusal> {
        let stage = self.cuts.len();
        let (mut project, mut fields): (Vec<(String, Expr)>, Vec<FieldRef>) = (Vec::new(), Vec::new());
        let time = self.event_time.clone().map(|name| column(&name));
        let wanted: Vec<Expr> = self
            .current
            .iter()
            .zip(uses)
            .filter(|(expr, uses)| **uses > 0 && !uses_window(expr))
            .map(|(expr, _)| expr.clone())
            .collect();
        for expr in wanted.into_iter().chain(time.clone()) {
            if project.iter().any(|(_, known)| *known == expr) {
                continue;
            }
            refuse_wall_time(&expr, "an expression that others build on")?;
            let name = format!("$stage{stage}_{}", project.len());
            let expr_type = plain(&expr.get_type(&self.base)?);
            fields.push(Arc::new(Field::new(&name, expr_type.clone(), expr.nullable(&self.base)?)));
            project.push((name, expr));
        }
        let renamed = |expr: &Expr| project.iter().find(|(_, known)| known == expr).map(|(name, _)| column(name));
        for (index, expr) in self.current.iter_mut().enumerate() {
            if uses[index] == 0 && !uses_window(expr) {
                *expr = lit(ScalarValue::Null);
            } else if let Some(name) = renamed(expr) {
                *expr = name;
            }
        }
        let time_name =
            time.and_then(|time| renamed(&time)).and_then(|expr| expr.try_as_col().map(|column| column.name.clone()));
        if let (Some(pending), Some(name)) = (&mut self.pending, &time_name) {
            pending.time.clone_from(name);
            let marks =
                WINDOW_COLUMNS.iter().map(|name| Arc::new(Field::new(mark(name), pending.time_type.clone(), false)));
            fields.extend(marks);
        }
        self.event_time = time_name;
        let project = project
            .into_iter()
            .map(|(name, expr)| {
                let data_type = expr.get_type(&self.base)?;
                Ok((name, to_plain(expr, &data_type)))
            })
            .collect::<Result<Vec<_>, Refusal>>()?;
        self.cuts.push(Cut { filters: std::mem::take(&mut self.filters), project });
        self.base = unqualified(fields.into_iter())?;
        Ok(())
    }

    /// Takes a name that the query gives to a key or aggregate.
    fn name_result(&mut self, over: &Expr, name: &str) {
        let Some(window) = &mut self.window else { return };
        if name.starts_with('$') {
            return;
        }
        let inner = match over {
            Expr::Cast(cast) => cast.expr.as_ref(),
            other => other,
        };
        let Expr::Column(used) = inner else { return };
        for (index, key) in window.keys.iter_mut().enumerate() {
            if used.name == super::key_name(index) {
                key.name.get_or_insert_with(|| name.to_string());
            }
        }
        for (index, aggregate) in window.aggregates.iter_mut().enumerate() {
            if used.name == super::aggregate_name(index) {
                aggregate.name.get_or_insert_with(|| name.to_string());
            }
        }
    }
}

/// The name of a window column before GROUP BY.
pub(super) fn mark(name: &str) -> String {
    format!("$before.{name}")
}

/// True when the expression uses a window column before GROUP BY.
pub(super) fn uses_window(expr: &Expr) -> bool {
    expr.exists(|node| Ok(matches!(node, Expr::Column(used) if used.name.starts_with("$before.")))).unwrap_or(false)
}

pub(super) fn refuse_wall_time(expr: &Expr, place: &str) -> Result<(), Refusal> {
    if expr.exists(|node| Ok(is_sealed_at(node)))? {
        return Err(Refusal::new(
            &["CURRENT_TIMESTAMP", "NOW", "PROCTIME", "CURRENT_ROW_TIMESTAMP"],
            format!("CURRENT_TIMESTAMP reaches {place}: results must not depend on when they are computed"),
            "use it in the outermost SELECT list, where it is the time at which results are sealed; or use the event time",
        ));
    }
    Ok(())
}

/// Puts the column of the seal's time in the place of `CURRENT_TIMESTAMP`.
fn seal(expr: Expr) -> Result<Expr, Refusal> {
    let replaced = expr.transform_up(|node| {
        Ok(if is_sealed_at(&node) { Transformed::yes(column(SEALED_AT)) } else { Transformed::no(node) })
    })?;
    Ok(replaced.data)
}

/// Columns, literals and what only looks into them may be computed again.
fn cheap(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Cast(Cast { expr, .. }) => cheap(expr),
        Expr::ScalarFunction(call) => {
            is_sealed_at(expr) || call.func.name() == "get_field" && call.args.iter().all(cheap)
        }
        _ => false,
    }
}

/// The type without views and dictionaries.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        other => other.clone(),
    }
}

/// `expr` cast to its plain type, if it is not.
pub(crate) fn to_plain(expr: Expr, data_type: &DataType) -> Expr {
    let wanted = plain(data_type);
    if wanted == *data_type { expr } else { datafusion::logical_expr::cast(expr, wanted) }
}

pub(super) fn unqualified(fields: impl Iterator<Item = FieldRef>) -> Result<DFSchema, Refusal> {
    Ok(DFSchema::try_from(Schema::new(fields.collect::<Vec<_>>()))?)
}

fn unsupported(plan: &LogicalPlan) -> Refusal {
    let shown = plan.display().to_string();
    let name = shown.split([':', ' ']).next().unwrap_or_default().to_string();
    Refusal::new(
        &["SELECT"],
        format!("the step '{name}' of this query is not supported"),
        "a query is SELECT ... FROM ... [WHERE ...] [GROUP BY ...] [HAVING ...]",
    )
}
