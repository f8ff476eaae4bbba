//! Expressions: which forms and which function calls exist.

use super::{Check, Clause};
use crate::cast_type::cast_type;
use crate::error::{Problem, Result};
use crate::functions::WALL_TIME;
use crate::{names, rewrite};
use sqlparser::ast::{
    AccessExpr, CastKind, CeilFloorKind, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgOperator, FunctionArgumentClause, FunctionArguments, Interval, Spanned, Subscript, Value, VisitMut,
    VisitorMut,
};
use std::ops::ControlFlow;

struct Visit<'a, 'b> {
    check: &'a Check<'b>,
    clause: Clause,
    /// How many aggregates are open.
    inside: usize,
    found: bool,
}

/// Checks and rewrites `expr`; true when it holds an aggregate.
pub(crate) fn check_expr(check: &Check<'_>, expr: &mut Expr, clause: Clause) -> Result<bool> {
    let mut visit = Visit { check, clause, inside: 0, found: false };
    match VisitMut::visit(expr, &mut visit) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(visit.found),
    }
}

impl VisitorMut for Visit<'_, '_> {
    type Break = Problem;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Problem> {
        let checked = match expr {
            Expr::Function(function) => self.call(function),
            other => self.form(other),
        };
        match checked {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => ControlFlow::Break(problem),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Problem> {
        if let Expr::Function(function) = expr
            && self.is_aggregate(function)
        {
            self.inside -= 1;
        }
        rewrite::expr(expr);
        ControlFlow::Continue(())
    }
}

impl Visit<'_, '_> {
    fn is_aggregate(&self, function: &Function) -> bool {
        rewrite::name_of(function).is_some_and(|name| self.check.functions.is_aggregate(&name))
    }

    fn form(&self, expr: &Expr) -> Result<()> {
        let (what, help) = match expr {
            Expr::Subquery(_)
            | Expr::Exists { .. }
            | Expr::InSubquery { .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. } => {
                ("a subquery in an expression", "compute it in a view, or filter with IN (value, ...)")
            }
            Expr::Cast { kind, data_type, .. } => return self.cast(kind, data_type, expr),
            Expr::TypedString(literal) => return self.cast(&CastKind::Cast, &literal.data_type, expr),
            Expr::Interval(interval) => return self.interval(interval, expr),
            Expr::Extract { field, .. } => return self.extract(field, expr),
            Expr::Floor { field, .. } => return self.floor(field, expr),
            Expr::Ceil { field: CeilFloorKind::DateTimeField(unit), .. } if *unit != DateTimeField::NoDateTime => {
                ("CEIL(time TO unit)", "write FLOOR(time TO unit) + INTERVAL '1' HOUR")
            }
            Expr::CompoundFieldAccess { access_chain, .. } => return self.access(access_chain, expr),
            Expr::Array(_) | Expr::Map(_) | Expr::Struct { .. } | Expr::Dictionary(_) | Expr::Named { .. } => (
                "an array, map or row constructor",
                "write the values as columns, or as JSON by JSON_OBJECT(KEY 'k' VALUE v, ...)",
            ),
            Expr::Tuple(_) => ("a row of values", "compare the columns one by one"),
            Expr::ILike { .. } => ("ILIKE", "write LOWER(x) LIKE 'pattern'"),
            Expr::SimilarTo { .. } | Expr::RLike { .. } => ("SIMILAR TO", "write REGEXP(x, 'expression') or LIKE"),
            Expr::AtTimeZone { .. } => ("AT TIME ZONE", "times are in UTC; add an INTERVAL"),
            Expr::Convert { .. } => ("CONVERT", "write CAST(x AS type)"),
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
                ("GROUPING SETS, CUBE and ROLLUP", "write one insert per grouping")
            }
            Expr::Value(value) => match &value.value {
                Value::Placeholder(_) => ("a placeholder", "write ${NAME} for a variable"),
                _ => return Ok(()),
            },
            Expr::JsonAccess { .. }
            | Expr::IsNormalized { .. }
            | Expr::Collate { .. }
            | Expr::MatchAgainst { .. }
            | Expr::Lambda(_)
            | Expr::Prior(_)
            | Expr::OuterJoin(_)
            | Expr::MemberOf(_)
            | Expr::Prefixed { .. }
            | Expr::InUnnest { .. } => {
                ("this form of an expression", "see the list of functions and operators in the documentation")
            }
            _ => return Ok(()),
        };
        let words: &[&str] = match expr {
            Expr::Subquery(_) | Expr::InSubquery { .. } => &["IN", "SELECT"],
            Expr::Exists { .. } => &["EXISTS"],
            _ => &["SELECT"],
        };
        Err(Problem::new(self.check.at(expr.span(), words), format!("{what} is not supported")).help(help))
    }

    fn cast(&self, kind: &CastKind, data_type: &sqlparser::ast::DataType, expr: &Expr) -> Result<()> {
        let at = self.check.at(expr.span(), &["CAST", "TRY_CAST"]);
        if !matches!(kind, CastKind::Cast | CastKind::TryCast) {
            return Err(Problem::new(at, "this form of a cast is not supported")
                .help("write CAST(x AS type) or TRY_CAST(x AS type)"));
        }
        match cast_type(data_type) {
            Ok(_) => Ok(()),
            Err(help) => {
                Err(Problem::new(at, format!("a cast to {data_type} is not supported")).help(format!("works: {help}")))
            }
        }
    }

    fn interval(&self, interval: &Interval, expr: &Expr) -> Result<()> {
        let at = self.check.at(expr.span(), &["INTERVAL"]);
        let text = matches!(interval.value.as_ref(), Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
        if !text || interval.leading_field.is_none() {
            return Err(Problem::new(at, "an INTERVAL needs its number in quotes, and a unit")
                .help("write INTERVAL '5' SECOND"));
        }
        if interval.last_field.is_some() {
            return Err(Problem::new(at, "INTERVAL with two units (such as MINUTE TO SECOND) is not supported")
                .help("write it in its smallest unit, such as INTERVAL '90' SECOND"));
        }
        Ok(())
    }

    fn extract(&self, field: &DateTimeField, expr: &Expr) -> Result<()> {
        use DateTimeField as F;
        match field {
            F::Year
            | F::Quarter
            | F::Month
            | F::Week(None)
            | F::Day
            | F::Dow
            | F::Doy
            | F::DayOfWeek
            | F::DayOfYear
            | F::Hour
            | F::Minute
            | F::Second
            | F::Millisecond
            | F::Microsecond
            | F::Epoch => Ok(()),
            other => Err(Problem::new(
                self.check.at(expr.span(), &["EXTRACT"]),
                format!("EXTRACT({other} FROM ...) is not supported"),
            )
            .help("parts: YEAR, QUARTER, MONTH, WEEK, DAY, DOW, DOY, HOUR, MINUTE, SECOND, MILLISECOND, EPOCH")),
        }
    }

    fn floor(&self, field: &CeilFloorKind, expr: &Expr) -> Result<()> {
        use DateTimeField as F;
        match field {
            CeilFloorKind::DateTimeField(
                F::NoDateTime
                | F::Year
                | F::Quarter
                | F::Month
                | F::Week(None)
                | F::Day
                | F::Hour
                | F::Minute
                | F::Second,
            ) => Ok(()),
            _ => Err(Problem::new(self.check.at(expr.span(), &["FLOOR"]), "this form of FLOOR is not supported")
                .help("FLOOR(number), or FLOOR(time TO unit) with YEAR, MONTH, WEEK, DAY, HOUR, MINUTE or SECOND")),
        }
    }

    fn access(&self, chain: &[AccessExpr], expr: &Expr) -> Result<()> {
        let slice = chain.iter().any(|access| matches!(access, AccessExpr::Subscript(Subscript::Slice { .. })));
        if slice {
            return Err(Problem::new(self.check.at(expr.span(), &["SELECT"]), "a slice of an array is not supported")
                .help("array[n] reads one element, counted from 1"));
        }
        Ok(())
    }

    fn call(&mut self, function: &Function) -> Result<()> {
        let at = self.check.at(function.name.span(), &["SELECT"]);
        let shown = function.name.to_string().to_ascii_uppercase();
        let Some(name) = rewrite::name_of(function) else {
            return Err(Problem::new(at, format!("there is no function {shown}")).help("a function's name is one word"));
        };
        if let Some((message, help)) = foreign(&name, function) {
            return Err(Problem::new(at, message).help(help));
        }
        if function.over.is_some() {
            return Err(Problem::new(at, format!("{shown}(...) OVER (...) is not supported"))
                .help("aggregate in windows: FROM TABLE(TUMBLE(...)) GROUP BY window_start, window_end, ..."));
        }
        self.arguments(function, &name, &shown, at)?;
        if WALL_TIME.contains(&name.as_str()) {
            return self.wall_time(&shown, at);
        }
        if !self.check.functions.is_aggregate(&name) {
            if function.filter.is_some() {
                return Err(Problem::new(
                    at,
                    format!("FILTER (WHERE ...) belongs to an aggregate, and {shown} is none"),
                )
                .help("aggregates: COUNT, SUM, MIN, MAX, AVG"));
            }
            if self.check.functions.is_callable(&name) {
                return Ok(());
            }
            return Err(Problem::new(at, format!("there is no function {shown}"))
                .help(unknown_function(&name, self.check.functions.names())));
        }
        if !matches!(self.clause, Clause::Select | Clause::Having) {
            let clause = match self.clause {
                Clause::Where => "WHERE",
                Clause::GroupBy => "GROUP BY",
                Clause::Watermark => "a watermark",
                _ => "a computed column",
            };
            return Err(Problem::new(at, format!("the aggregate {shown} cannot stand in {clause}"))
                .help("put it into the SELECT list, and conditions on it into HAVING"));
        }
        if self.inside > 0 {
            return Err(Problem::new(at, format!("the aggregate {shown} stands inside of another aggregate"))
                .help("aggregate once per window"));
        }
        self.inside += 1;
        self.found = true;
        Ok(())
    }

    fn wall_time(&self, shown: &str, at: crate::error::Position) -> Result<()> {
        let why = format!("{shown} cannot stand here: results must not depend on when they are computed");
        let help = "use it in the outermost SELECT list, where it is the time at which results are sealed; or use the event time";
        if self.clause != Clause::Select || self.inside > 0 {
            return Err(Problem::new(at, why).help(help));
        }
        Ok(())
    }

    fn arguments(&self, function: &Function, name: &str, shown: &str, at: crate::error::Position) -> Result<()> {
        let refuse =
            |what: &str, help: &str| Err(Problem::new(at, format!("{shown}: {what} is not supported")).help(help));
        if !function.within_group.is_empty()
            || function.null_treatment.is_some()
            || !matches!(function.parameters, FunctionArguments::None)
        {
            return refuse(
                "WITHIN GROUP, IGNORE NULLS and parameters",
                "aggregates: COUNT, SUM, MIN, MAX, AVG with FILTER (WHERE ...)",
            );
        }
        let FunctionArguments::List(list) = &function.args else { return Ok(()) };
        if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
            return Err(Problem::new(at, format!("{shown}(DISTINCT ...) is not supported yet")).help(
                "GROUP BY window_start, window_end and the column, and count the rows when you read the results",
            ));
        }
        let json = name == "json_object";
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::JsonNullClause(_) if json => {}
                _ => return refuse("a clause inside of the parentheses", "write the plain arguments"),
            }
        }
        for argument in &list.args {
            let pair = matches!(argument, FunctionArg::ExprNamed { operator: FunctionArgOperator::Value, .. });
            if json != pair {
                let help = if json {
                    "write JSON_OBJECT(KEY 'k' VALUE v, ...)"
                } else {
                    "write the arguments in their order, without names"
                };
                return refuse("this form of arguments", help);
            }
        }
        Ok(())
    }
}

/// Functions that Flink has, or has had, and the engine has not, with what works instead.
fn foreign(name: &str, function: &Function) -> Option<(String, &'static str)> {
    let upper = name.to_ascii_uppercase();
    let message = format!("{upper} is not supported");
    let window = ["tumble_", "hop_", "session_", "cumulate_"].iter().any(|prefix| name.starts_with(prefix));
    if window {
        return Some((message, "select window_start, window_end or window_time from TABLE(TUMBLE(...))"));
    }
    let help = match name {
        "tumble" | "hop" | "cumulate" | "session" | "descriptor" => {
            "windows stand in FROM: TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"
        }
        "row_number" | "rank" | "dense_rank" | "ntile" | "lag" | "lead" | "percent_rank" | "cume_dist" => {
            "MIN and MAX in a window find extremes; rank when you read the results"
        }
        "first_value"
        | "last_value"
        | "listagg"
        | "collect"
        | "stddev_pop"
        | "stddev_samp"
        | "var_pop"
        | "var_samp"
        | "approx_count_distinct"
        | "variance"
        | "stddev"
        | "array_agg"
        | "string_agg"
        | "median" => "aggregates: COUNT, SUM, MIN, MAX, AVG with FILTER (WHERE ...)",
        "rand" | "rand_integer" | "uuid" | "random" => {
            "results must be the same at each replay: derive the value from columns"
        }
        "current_date" | "current_time" | "localtime" | "localtimestamp" => {
            "CAST(CURRENT_TIMESTAMP AS DATE) in the outermost SELECT list, or the event time"
        }
        "unix_timestamp" if rewrite::arguments(function).is_empty() => {
            return Some((
                "UNIX_TIMESTAMP() without arguments is not supported: results must not depend on when they are computed".into(),
                "UNIX_TIMESTAMP(text[, pattern]) converts a text; CURRENT_TIMESTAMP is the time of the seal",
            ));
        }
        "json_value" | "json_query" | "json_exists" | "json_array" | "json_string" => {
            "declare the fields as columns (ROW<...> for nested ones); JSON_OBJECT writes JSON"
        }
        "length" | "len" => "CHAR_LENGTH(text)",
        _ => return None,
    };
    Some((message, help))
}

fn unknown_function<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> String {
    match names::nearest(name, all) {
        Some(near) => format!("did you mean {}?", near.to_ascii_uppercase()),
        None => "see the list of functions in the documentation; user-defined functions are not supported yet".into(),
    }
}
