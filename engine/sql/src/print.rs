//! Expressions as SQL: what `explain` shows, and what the identity of a query is made of.
//!
//! The text must stay the same over versions of DataFusion, because checkpoints are found by it: a changed form needs a
//! reason, and the golden tests show it.

use crate::functions::json;
use crate::{ddl, functions, names};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Case, InList, Like, ScalarFunction};
use datafusion::logical_expr::{Between, Expr, Operator};

/// `expr` in SQL.
pub(crate) fn expr(expr: &Expr) -> String {
    match expr {
        Expr::Alias(alias) => self::expr(&alias.expr),
        Expr::Column(column) if column.name == aqueduct_plan::SEALED_AT => "CURRENT_TIMESTAMP".into(),
        Expr::Column(column) => names::quoted(&column.name),
        Expr::Literal(value, _) => literal(value),
        Expr::BinaryExpr(binary) => {
            format!("{} {} {}", operand(&binary.left), operator(binary.op), operand(&binary.right))
        }
        Expr::Like(like) => like_text(like),
        Expr::Not(inner) => format!("NOT {}", operand(inner)),
        Expr::IsNotNull(inner) => format!("{} IS NOT NULL", operand(inner)),
        Expr::IsNull(inner) => format!("{} IS NULL", operand(inner)),
        Expr::IsTrue(inner) => format!("{} IS TRUE", operand(inner)),
        Expr::IsFalse(inner) => format!("{} IS FALSE", operand(inner)),
        Expr::IsUnknown(inner) => format!("{} IS UNKNOWN", operand(inner)),
        Expr::IsNotTrue(inner) => format!("{} IS NOT TRUE", operand(inner)),
        Expr::IsNotFalse(inner) => format!("{} IS NOT FALSE", operand(inner)),
        Expr::IsNotUnknown(inner) => format!("{} IS NOT UNKNOWN", operand(inner)),
        Expr::Negative(inner) => format!("-{}", operand(inner)),
        Expr::Between(between) => between_text(between),
        Expr::Case(case) => case_text(case),
        Expr::Cast(cast) => format!("CAST({} AS {})", self::expr(&cast.expr), ddl::sql_name(cast.field.data_type())),
        Expr::TryCast(cast) => {
            format!("TRY_CAST({} AS {})", self::expr(&cast.expr), ddl::sql_name(cast.field.data_type()))
        }
        Expr::ScalarFunction(call) => call_text(call),
        Expr::AggregateFunction(call) => {
            let arguments: Vec<String> = call.params.args.iter().map(self::expr).collect();
            format!("{}({})", call.func.name().to_ascii_uppercase(), arguments.join(", "))
        }
        Expr::InList(list) => in_text(list),
        other => other.to_string(),
    }
}

/// Parenthesised where it could bind differently.
fn operand(expr: &Expr) -> String {
    let text = self::expr(expr);
    match expr {
        Expr::BinaryExpr(_)
        | Expr::Not(_)
        | Expr::Between(_)
        | Expr::InList(_)
        | Expr::Like(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::Negative(_) => format!("({text})"),
        Expr::Alias(alias) => operand(&alias.expr),
        _ => text,
    }
}

fn operator(op: Operator) -> String {
    match op {
        Operator::NotEq => "<>".into(),
        Operator::IsDistinctFrom => "IS DISTINCT FROM".into(),
        Operator::IsNotDistinctFrom => "IS NOT DISTINCT FROM".into(),
        other => other.to_string(),
    }
}

fn like_text(like: &Like) -> String {
    let not = if like.negated { "NOT " } else { "" };
    let escape = like.escape_char.map(|c| format!(" ESCAPE '{c}'")).unwrap_or_default();
    format!("{} {not}LIKE {}{escape}", operand(&like.expr), operand(&like.pattern))
}

fn between_text(between: &Between) -> String {
    let not = if between.negated { "NOT " } else { "" };
    format!("{} {not}BETWEEN {} AND {}", operand(&between.expr), operand(&between.low), operand(&between.high))
}

fn in_text(list: &InList) -> String {
    let not = if list.negated { "NOT " } else { "" };
    let items: Vec<String> = list.list.iter().map(expr).collect();
    format!("{} {not}IN ({})", operand(&list.expr), items.join(", "))
}

fn case_text(case: &Case) -> String {
    let mut text = String::from("CASE");
    if let Some(operand) = &case.expr {
        text.push_str(&format!(" {}", expr(operand)));
    }
    for (when, then) in &case.when_then_expr {
        text.push_str(&format!(" WHEN {} THEN {}", expr(when), expr(then)));
    }
    if let Some(other) = &case.else_expr {
        text.push_str(&format!(" ELSE {}", expr(other)));
    }
    text.push_str(" END");
    text
}

fn call_text(call: &ScalarFunction) -> String {
    let arguments: Vec<String> = call.args.iter().map(expr).collect();
    match (call.func.name(), call.args.as_slice()) {
        _ if functions::is_sealed_at(&Expr::ScalarFunction(call.clone())) => "CURRENT_TIMESTAMP".into(),
        ("get_field", [base, path @ ..]) => path.iter().fold(operand(base), |text, step| match step {
            Expr::Literal(ScalarValue::Utf8(Some(name)), _) => format!("{text}.{}", names::quoted(name)),
            other => format!("{text}[{}]", expr(other)),
        }),
        ("aqueduct_element", [_, _]) => format!("{}[{}]", arguments[0], arguments[1]),
        ("date_part", [Expr::Literal(ScalarValue::Utf8(Some(part)), _), _]) => {
            format!("EXTRACT({} FROM {})", part.to_ascii_uppercase(), arguments[1])
        }
        ("date_trunc", [Expr::Literal(ScalarValue::Utf8(Some(part)), _), _]) => {
            format!("FLOOR({} TO {})", arguments[1], part.to_ascii_uppercase())
        }
        (json::NAME, [Expr::Literal(ScalarValue::Utf8(Some(flags)), _), ..]) => {
            let pairs: Vec<String> =
                arguments[1..].chunks(2).map(|pair| format!("KEY {}", pair.join(" VALUE "))).collect();
            let absent = if flags.starts_with('a') { " ABSENT ON NULL" } else { "" };
            format!("JSON_OBJECT({}{absent})", pairs.join(", "))
        }
        (name, _) => format!("{}({})", name.to_ascii_uppercase(), arguments.join(", ")),
    }
}

fn literal(value: &ScalarValue) -> String {
    match value {
        value if value.is_null() => "NULL".into(),
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            interval_text(interval.months, interval.days, interval.nanoseconds)
        }
        ScalarValue::Boolean(Some(value)) => value.to_string().to_ascii_uppercase(),
        ScalarValue::Decimal128(Some(value), _, scale) => decimal_text(*value, *scale),
        number if number.data_type().is_numeric() => number.to_string(),
        other => format!("{} '{other}'", ddl::sql_name(&other.data_type())),
    }
}

fn decimal_text(value: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn interval_text(months: i32, days: i32, nanos: i64) -> String {
    let mut parts = Vec::new();
    if months != 0 {
        parts.push(format!("INTERVAL '{months}' MONTH"));
    }
    if days != 0 {
        parts.push(format!("INTERVAL '{days}' DAY"));
    }
    if nanos != 0 || parts.is_empty() {
        let units = [
            (3_600_000_000_000, "HOUR"),
            (60_000_000_000, "MINUTE"),
            (1_000_000_000, "SECOND"),
            (1_000_000, "MILLISECOND"),
        ];
        let (length, unit) = units.into_iter().find(|(length, _)| nanos % length == 0).unwrap_or((1, "NANOSECOND"));
        let (length, unit) = if nanos == 0 { (1_000_000_000, "SECOND") } else { (length, unit) };
        parts.push(format!("INTERVAL '{}' {unit}", nanos / length));
    }
    parts.join(" + ")
}

/// A length in milliseconds, short: `1 min`, `90 s`, `250 ms`.
pub(crate) fn length(millis: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| millis != 0 && millis % unit == 0) {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None => format!("{millis} ms"),
    }
}
