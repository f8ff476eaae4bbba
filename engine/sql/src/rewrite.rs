//! Sugar of Flink's dialect in words that DataFusion plans: `IFNULL`, `MOD`, `HOUR`, `JSON_OBJECT`, `FLOOR(x TO
//! HOUR)` and others.
//!
//! It works on one expression whose parts have been rewritten already, and never fails: what cannot be rewritten has
//! been refused by `check`, or is planned as it stands.

use crate::functions::json;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, JsonNullClause,
    ObjectName, Value, helpers::attached_token::AttachedToken,
};
use sqlparser::tokenizer::Span;

/// Rewrites `expr` in place.
pub(crate) fn expr(expr: &mut Expr) {
    let replaced = match expr {
        Expr::Function(function) => function_call(function),
        Expr::Extract { field, expr, .. } => Some(part(&field_name(field), (**expr).clone(), Span::empty())),
        Expr::Floor { expr, field: CeilFloorKind::DateTimeField(unit) } if *unit != DateTimeField::NoDateTime => {
            Some(call("date_trunc", vec![text(&field_name(unit)), (**expr).clone()], Span::empty()))
        }
        _ => None,
    };
    if let Some(replaced) = replaced {
        *expr = replaced;
    }
}

/// The single name of a function, in lower case.
pub(crate) fn name_of(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.to_ascii_lowercase()),
        _ => None,
    }
}

/// The plain arguments of a call.
pub(crate) fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let plain = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    list.args.iter().filter_map(plain).collect()
}

fn function_call(function: &mut Function) -> Option<Expr> {
    let name = name_of(function)?;
    let span = function.name.0.first().and_then(|part| part.as_ident()).map_or(Span::empty(), |ident| ident.span);
    if name == "count" {
        count_rows(function);
        return None;
    }
    if name == "json_object" {
        return Some(json_object(function, span));
    }
    let given: Vec<Expr> = arguments(function).into_iter().cloned().collect();
    let rest = |expressions: &[Expr]| expressions.to_vec();
    match (name.as_str(), given.as_slice()) {
        ("ifnull", [_, _]) => Some(call("coalesce", given, span)),
        ("ceiling", [_]) => Some(call("ceil", given, span)),
        ("sign", [_]) => Some(call("signum", given, span)),
        ("truncate", [_] | [_, _]) => Some(call("trunc", given, span)),
        ("regexp", [_, _]) => Some(call("regexp_like", given, span)),
        ("regexp_replace", [_, _, _]) => Some(call("regexp_replace", [rest(&given), vec![text("g")]].concat(), span)),
        ("instr", [_, _]) => Some(call("strpos", given, span)),
        ("locate", [part, whole]) => Some(call("strpos", vec![whole.clone(), part.clone()], span)),
        ("mod", [left, right]) => Some(binary(left.clone(), BinaryOperator::Modulo, right.clone())),
        ("if", [condition, yes, no]) => Some(case(condition, yes, no)),
        ("to_date", [value]) => Some(cast(CastKind::TryCast, value.clone(), DataType::Date)),
        ("from_unixtime", [seconds]) => Some(from_unixtime(seconds, text("yyyy-MM-dd HH:mm:ss"), span)),
        ("from_unixtime", [seconds, pattern]) => Some(from_unixtime(seconds, pattern.clone(), span)),
        ("year" | "quarter" | "month" | "week" | "hour" | "minute" | "second", [value]) => {
            Some(part(&name, value.clone(), span))
        }
        ("dayofmonth", [value]) => Some(part("day", value.clone(), span)),
        ("dayofweek", [value]) => Some(part("dow", value.clone(), span)),
        ("dayofyear", [value]) => Some(part("doy", value.clone(), span)),
        _ => None,
    }
}

/// `COUNT(*)` counts a constant.
fn count_rows(function: &mut Function) {
    if let FunctionArguments::List(list) = &mut function.args {
        for argument in &mut list.args {
            if matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Wildcard)) {
                *argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(number("1")));
            }
        }
    }
}

fn json_object(function: &Function, span: Span) -> Expr {
    let FunctionArguments::List(list) = &function.args else { return call(json::NAME, vec![text("n")], span) };
    let absent = FunctionArgumentClause::JsonNullClause(JsonNullClause::AbsentOnNull);
    let mut flags = String::from(if list.clauses.contains(&absent) { "a" } else { "n" });
    let mut pairs = Vec::new();
    for argument in &list.args {
        if let FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(value), .. } = argument {
            let nested = matches!(value, Expr::Function(inner) if name_of(inner).as_deref() == Some(json::NAME));
            flags.push(if nested { 'j' } else { 'v' });
            pairs.push(name.clone());
            pairs.push(value.clone());
        }
    }
    call(json::NAME, [vec![text(&flags)], pairs].concat(), span)
}

/// A part of a time as BIGINT, as in Flink. Weeks begin on Sunday, which is day 1.
fn part(field: &str, value: Expr, span: Span) -> Expr {
    let number_of = cast(CastKind::Cast, call("date_part", vec![text(field), value], span), DataType::BigInt(None));
    if field == "dow" { binary(number_of, BinaryOperator::Plus, number("1")) } else { number_of }
}

fn field_name(field: &DateTimeField) -> String {
    match field {
        DateTimeField::DayOfWeek => "dow".into(),
        DateTimeField::DayOfYear => "doy".into(),
        other => other.to_string().to_ascii_lowercase(),
    }
}

fn from_unixtime(seconds: &Expr, pattern: Expr, span: Span) -> Expr {
    let seconds = cast(CastKind::Cast, seconds.clone(), DataType::BigInt(None));
    call("date_format", vec![call("to_timestamp_ltz", vec![seconds, number("0")], span), pattern], span)
}

fn case(condition: &Expr, yes: &Expr, no: &Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition: condition.clone(), result: yes.clone() }],
        else_result: Some(Box::new(no.clone())),
    }
}

fn cast(kind: CastKind, expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind, expr: Box::new(expr), data_type, array: false, format: None }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
    Expr::Nested(Box::new(Expr::BinaryOp { left: nested(left), op, right: nested(right) }))
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_string()).with_empty_span())
}

fn number(value: &str) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).with_empty_span())
}

fn call(name: &str, arguments: Vec<Expr>, span: Span) -> Expr {
    let args = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident { value: name.to_string(), quote_style: None, span }]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
