//! What a query must not contain, each refusal with its position, its name and what works instead.
//!
//! It walks the syntax tree before planning, so that DataFusion only meets what the engine can execute, and lets
//! `rewrite`
//! turn sugar into plain words on the way. Types and columns are the planner's.

mod calls;
mod relations;

pub(crate) use calls::check_expr;
pub(crate) use relations::Facts;

use crate::error::{Position, Problem, Result};
use crate::functions::Functions;
use crate::statement::Tokens;
use sqlparser::ast::{
    Expr, GroupByExpr, Ident, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned,
    WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Span;
use std::collections::HashMap;

/// Which clause an expression stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clause {
    Select,
    Where,
    GroupBy,
    Having,
    Computed,
    Watermark,
}

/// Walks one statement.
pub(crate) struct Check<'a> {
    pub(crate) functions: &'a Functions,
    pub(crate) tokens: &'a Tokens,
    /// What is known of a table or view; `None` when it does not exist.
    pub(crate) relation: &'a dyn Fn(&str) -> Option<Facts>,
    /// All tables and views, for "did you mean".
    pub(crate) relations: Vec<String>,
}

/// WITH-queries in scope.
type Scope = HashMap<String, Facts>;

impl Check<'_> {
    /// Checks and rewrites a query.
    pub(crate) fn query(&self, query: &mut Query) -> Result<Facts> {
        self.query_in(query, &Scope::new())
    }

    fn query_in(&self, query: &mut Query, outer: &Scope) -> Result<Facts> {
        let mut scope = outer.clone();
        if let Some(with) = &mut query.with {
            if with.recursive {
                return Err(Problem::new(self.find(&["RECURSIVE"]), "WITH RECURSIVE is not supported")
                    .help("write the steps as views"));
            }
            for cte in &mut with.cte_tables {
                let facts = self.query_in(&mut cte.query, &scope)?;
                scope.insert(cte.alias.name.value.clone(), facts);
            }
        }
        if query.order_by.is_some() {
            return Err(Problem::new(self.find(&["ORDER"]), "ORDER BY is not supported: the input does not end")
                .help("sort when you read the results; rows of one window arrive together"));
        }
        if query.limit_clause.is_some() || query.fetch.is_some() {
            return Err(Problem::new(
                self.find(&["LIMIT", "FETCH", "OFFSET"]),
                "LIMIT is not supported: the input does not end",
            )
            .help("filter with WHERE, or limit when you read the results"));
        }
        if !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || !query.pipe_operators.is_empty()
        {
            return Err(Problem::new(self.tokens.start(), "a clause at the end of this query is not supported")
                .help("a query is SELECT ... FROM ... [WHERE ...] [GROUP BY ...] [HAVING ...]"));
        }
        match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select, &scope),
            SetExpr::Query(inner) => self.query_in(inner, &scope),
            SetExpr::SetOperation { .. } => Err(Problem::new(
                self.find(&["UNION", "INTERSECT", "EXCEPT", "MINUS"]),
                "UNION, INTERSECT and EXCEPT are not supported",
            )
            .help("write one INSERT INTO per query: several inserts may go to the same table")),
            SetExpr::Values(_) => Err(Problem::new(self.find(&["VALUES"]), "VALUES is not supported")
                .help("a job reads from tables; the 'datagen' connector makes rows for trials")),
            _ => Err(Problem::new(self.tokens.start(), "this is not a query").help("write SELECT ... FROM ...")),
        }
    }

    fn select(&self, select: &mut Select, scope: &Scope) -> Result<Facts> {
        self.refuse_clauses(select)?;
        let from = self.from(select, scope)?;
        if let Some(condition) = &mut select.selection {
            self.expr(condition, Clause::Where)?;
        }
        let mut aggregates = false;
        for item in &mut select.projection {
            aggregates |= self.item(item)?;
        }
        let keys = match &mut select.group_by {
            GroupByExpr::All(_) => {
                return Err(
                    Problem::new(self.find(&["GROUP"]), "GROUP BY ALL is not supported").help("name the columns")
                );
            }
            GroupByExpr::Expressions(keys, modifiers) => {
                if !modifiers.is_empty() {
                    return Err(Problem::new(
                        self.find(&["GROUP"]),
                        "GROUP BY with ROLLUP, CUBE or TOTALS is not supported",
                    )
                    .help("write one insert per grouping"));
                }
                keys
            }
        };
        for key in keys.iter_mut() {
            self.legacy_window(key)?;
            if matches!(key, Expr::Value(_)) {
                return Err(Problem::new(
                    self.at(key.span(), &["GROUP"]),
                    "GROUP BY takes columns and expressions, not positions",
                )
                .help("write the column's name"));
            }
            self.expr(key, Clause::GroupBy)?;
        }
        let grouped = !keys.is_empty();
        if let Some(condition) = &mut select.having {
            aggregates |= self.expr(condition, Clause::Having)?;
        }
        self.facts(from, grouped, aggregates)
    }

    fn facts(&self, from: Facts, grouped: bool, aggregates: bool) -> Result<Facts> {
        if !grouped && !aggregates {
            return Ok(from);
        }
        let at = if grouped { self.find(&["GROUP"]) } else { self.find(&["COUNT", "SUM", "MIN", "MAX", "AVG"]) };
        if from.aggregated {
            return Err(Problem::new(at, "an aggregation over an aggregation is not supported")
                .help("aggregate the source once per window; filters and projections over the result are fine"));
        }
        if !from.windowed {
            let what = if grouped { "GROUP BY without a window" } else { "an aggregate without a window" };
            return Err(Problem::new(at, format!("{what} is not supported: its results would never be final")).help(
                "aggregate over a window: FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, ...",
            ));
        }
        Ok(Facts { aggregated: true, windowed: false })
    }

    fn refuse_clauses(&self, select: &Select) -> Result<()> {
        if select.distinct.is_some() {
            return Err(Problem::new(self.find(&["DISTINCT"]), "SELECT DISTINCT is not supported")
                .help("GROUP BY window_start, window_end and the columns gives the distinct rows of each window"));
        }
        if select.qualify.is_some() || !select.named_window.is_empty() {
            return Err(Problem::new(self.find(&["QUALIFY", "WINDOW"]), "WINDOW and QUALIFY are not supported")
                .help("aggregate in windows: FROM TABLE(TUMBLE(...)) GROUP BY window_start, window_end, ..."));
        }
        let others = [
            (select.top.is_some(), "TOP"),
            (select.into.is_some(), "INTO"),
            (!select.lateral_views.is_empty(), "LATERAL"),
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT"),
            (!select.cluster_by.is_empty(), "CLUSTER"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE"),
            (!select.sort_by.is_empty(), "SORT"),
            (select.value_table_mode.is_some(), "AS"),
            (select.exclude.is_some(), "EXCLUDE"),
        ];
        match others.iter().find(|(present, _)| *present) {
            None => Ok(()),
            Some((_, word)) => Err(Problem::new(self.find(&[word]), format!("{word} is not supported"))
                .help("a query is SELECT ... FROM ... [WHERE ...] [GROUP BY ...] [HAVING ...]")),
        }
    }

    /// True when the item holds an aggregate.
    fn item(&self, item: &mut SelectItem) -> Result<bool> {
        let alias = match item {
            SelectItem::Wildcard(options)
            | SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(_), options) => {
                return if plain(options) { Ok(false) } else { Err(self.wildcard_problem()) };
            }
            SelectItem::ExprWithAlias { expr, .. } => return self.expr(expr, Clause::Select),
            SelectItem::UnnamedExpr(expr) => {
                // `a.b` is named after its last part, as in Flink.
                let alias = match expr {
                    Expr::CompoundIdentifier(parts) => parts.last().cloned(),
                    _ => None,
                };
                let holds = self.expr(expr, Clause::Select)?;
                match alias {
                    None => return Ok(holds),
                    Some(alias) => alias,
                }
            }
            _ => return Err(self.wildcard_problem()),
        };
        if let SelectItem::UnnamedExpr(expr) = item {
            let alias = Ident { quote_style: Some('`'), ..alias };
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
        Ok(false)
    }

    fn wildcard_problem(&self) -> Problem {
        Problem::new(
            self.find(&["EXCEPT", "EXCLUDE", "REPLACE", "RENAME", "SELECT"]),
            "this form of a select item is not supported",
        )
        .help("write *, t.*, expression or expression AS name")
    }

    /// Checks and rewrites an expression; true when it holds an aggregate.
    pub(crate) fn expr(&self, expr: &mut Expr, clause: Clause) -> Result<bool> {
        check_expr(self, expr, clause)
    }

    fn legacy_window(&self, key: &Expr) -> Result<()> {
        if let Expr::Function(function) = key
            && let Some(name @ ("tumble" | "hop" | "session")) = crate::rewrite::name_of(function).as_deref()
        {
            let upper = name.to_ascii_uppercase();
            let message = format!("the old window syntax GROUP BY {upper}(...) is not supported");
            let help = match name {
                "tumble" => {
                    "write FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) ... GROUP BY window_start, window_end, ..."
                }
                "hop" => {
                    "write FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), slide, size)) ... GROUP BY window_start, window_end, ... (slide first)"
                }
                _ => "sessions are not supported; TUMBLE, HOP and CUMULATE are",
            };
            return Err(Problem::new(self.at(function.name.span(), &[name]), message).help(help));
        }
        Ok(())
    }

    /// The position of a span, or of the first of `words`, or of the statement.
    pub(crate) fn at(&self, span: Span, words: &[&str]) -> Position {
        if span.start.line == 0 { self.find(words) } else { span.start.into() }
    }

    pub(crate) fn find(&self, words: &[&str]) -> Position {
        self.tokens.find(words).unwrap_or_else(|| self.tokens.start())
    }
}

fn plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_ilike.is_none()
}
