//! What may stand in FROM: one table, view, query or windowing table function.

use super::{Check, Scope};
use crate::error::{Problem, Result};
use crate::names;
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Query, Select, Spanned, TableFactor,
};

/// What matters about a relation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its rows are results of an aggregation.
    pub(crate) aggregated: bool,
    /// Its rows carry windows and wait for GROUP BY.
    pub(crate) windowed: bool,
}

impl Check<'_> {
    pub(super) fn from(&self, select: &mut Select, scope: &Scope) -> Result<Facts> {
        let joined = |at| {
            Problem::new(at, "joins are not supported").help(
                "write results that belong together by one GROUP BY, or join the result tables when you read them",
            )
        };
        match select.from.as_mut_slice() {
            [] => Err(Problem::new(
                self.at(select.select_token.0.span, &["SELECT"]),
                "SELECT without FROM is not supported",
            )
            .help("a job reads from tables")),
            [only] if only.joins.is_empty() => self.factor(&mut only.relation, scope),
            [only] => {
                let words = ["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL"];
                // A table may be unknown, too; the join is the greater news.
                let _ = only;
                Err(joined(self.find(&words)))
            }
            [_, second, ..] => Err(joined(self.at(second.relation.span(), &["FROM"]))),
        }
    }

    fn factor(&self, factor: &mut TableFactor, scope: &Scope) -> Result<Facts> {
        let at = self.at(factor.span(), &["FROM"]);
        match factor {
            TableFactor::Table { name, args: Some(args), .. } => {
                let name = name.clone();
                self.windowing(&name, &mut args.args, scope)
            }
            TableFactor::Table { name, version, sample, with_hints, partitions, .. } => {
                if version.is_some() {
                    return Err(Problem::new(
                        self.find(&["FOR"]),
                        "FOR SYSTEM_TIME AS OF (a lookup join) is not supported",
                    )
                    .help("join the result tables when you read them"));
                }
                if sample.is_some() || !with_hints.is_empty() || !partitions.is_empty() {
                    return Err(Problem::new(at, "samples, hints and partitions of a table are not supported")
                        .help("filter with WHERE"));
                }
                self.table(name, scope)
            }
            TableFactor::TableFunction {
                expr: Expr::Function(Function { name, args: FunctionArguments::List(list), .. }),
                ..
            } => {
                let name = name.clone();
                self.windowing(&name, &mut list.args, scope)
            }
            TableFactor::Derived { lateral: false, subquery, sample: None, .. } => self.query_in(subquery, scope),
            TableFactor::NestedJoin { .. } => Err(Problem::new(self.find(&["JOIN"]), "joins are not supported").help(
                "write results that belong together by one GROUP BY, or join the result tables when you read them",
            )),
            TableFactor::UNNEST { .. } => {
                Err(Problem::new(at, "UNNEST is not supported").help("array[n] and map['key'] read single elements"))
            }
            TableFactor::MatchRecognize { .. } => {
                Err(Problem::new(self.find(&["MATCH_RECOGNIZE"]), "MATCH_RECOGNIZE is not supported")
                    .help("filter and aggregate in windows"))
            }
            TableFactor::TableFunction { .. } | TableFactor::Function { .. } | TableFactor::Derived { .. } => {
                Err(Problem::new(at, "LATERAL and table functions are not supported")
                    .help("TUMBLE, HOP and CUMULATE are the table functions"))
            }
            _ => Err(Problem::new(at, "this cannot stand in FROM")
                .help("write a table, a view, (SELECT ...) or TABLE(TUMBLE(...))")),
        }
    }

    fn table(&self, name: &ObjectName, scope: &Scope) -> Result<Facts> {
        let [part] = name.0.as_slice() else {
            return Err(Problem::new(
                self.at(name.span(), &["FROM"]),
                format!("'{name}': catalogs and databases are not supported"),
            )
            .help("a table's name is one word"));
        };
        let text = part.as_ident().map(|ident| ident.value.clone()).unwrap_or_default();
        let known = scope.get(&text).copied().or_else(|| (self.relation)(&text));
        known.ok_or_else(|| {
            let all = self.relations.iter().map(String::as_str).chain(scope.keys().map(String::as_str));
            Problem::new(self.at(name.span(), &["FROM"]), format!("there is no table or view '{text}'"))
                .help(names::suggest(&text, "tables and views above this line", all))
        })
    }

    fn windowing(&self, name: &ObjectName, args: &mut [FunctionArg], scope: &Scope) -> Result<Facts> {
        let at = self.at(name.span(), &["TABLE", "FROM"]);
        let upper = name.to_string().to_ascii_uppercase();
        match upper.as_str() {
            "TUMBLE" | "HOP" | "CUMULATE" => {}
            "SESSION" => {
                return Err(Problem::new(at, "SESSION windows are not supported yet")
                    .help("TUMBLE, HOP and CUMULATE are; a HOP with a small slide often serves"));
            }
            _ => {
                return Err(Problem::new(at, format!("there is no table function '{name}'")).help(names::suggest(
                    &upper,
                    "table functions",
                    ["TUMBLE", "HOP", "CUMULATE"],
                )));
            }
        }
        let Some(data) = data_of(args) else {
            return Err(Problem::new(at, format!("{upper} needs a table as its first argument"))
                .help(format!("write TABLE({upper}(TABLE t, DESCRIPTOR(ts), ...))")));
        };
        let facts = self.query_in(data, scope)?;
        if facts.aggregated {
            return Err(Problem::new(at, "a window over the results of an aggregation is not supported")
                .help("aggregate the source once; write a second view over the source for the other window"));
        }
        if facts.windowed {
            return Err(Problem::new(at, "a window over a window is not supported").help("keep one of the two"));
        }
        Ok(Facts { aggregated: false, windowed: true })
    }
}

/// The query behind `TABLE t`, `(SELECT ...)` or `DATA => ...`.
pub(crate) fn data_of(args: &mut [FunctionArg]) -> Option<&mut Query> {
    args.iter_mut().find_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Subquery(query)))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(Expr::Subquery(query)), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(Expr::Subquery(query)), .. } => Some(query.as_mut()),
        _ => None,
    })
}
