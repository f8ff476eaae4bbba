//! The arguments of a windowing table function, by position or by name, as numbers.

use crate::error::{Problem, Result};
use crate::names;
use aqueduct_plan::WindowKind;
use sqlparser::ast::{
    DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Query, Spanned,
    UnaryOperator, Value,
};
use sqlparser::tokenizer::Location;

/// What stands in the parentheses.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) data: Query,
    pub(super) time: Expr,
    pub(super) kind: WindowKind,
}

/// Reads the arguments of `name`.
pub(super) fn read(name: &ObjectName, args: Vec<FunctionArg>) -> Result<Arguments> {
    let upper = name.to_string().to_ascii_uppercase();
    let at = name.span().start;
    let parameters: &[&str] = match upper.as_str() {
        "TUMBLE" => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
        "HOP" => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
        "CUMULATE" => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
        _ => {
            return Err(Problem::new(at, format!("there is no table function {upper}"))
                .help("TUMBLE, HOP and CUMULATE are supported"));
        }
    };
    let mut given = assign(&upper, at, parameters, args)?;
    let mut take = |parameter: &str| {
        let index = parameters.iter().position(|known| *known == parameter)?;
        given[index].take()
    };
    let form = match upper.as_str() {
        "TUMBLE" => "TUMBLE(TABLE t, DESCRIPTOR(ts), size [, offset])",
        "HOP" => "HOP(TABLE t, DESCRIPTOR(ts), slide, size [, offset])",
        _ => "CUMULATE(TABLE t, DESCRIPTOR(ts), step, size [, offset])",
    };
    let lacks = |what: &str| Problem::new(at, format!("{upper} has no {what}")).help(format!("write {form}"));
    let data = match take("DATA") {
        Some(Expr::Subquery(query)) => *query,
        _ => return Err(lacks("table")),
    };
    let time = descriptor(take("TIMECOL").ok_or_else(|| lacks("DESCRIPTOR(time column)"))?, at)?;
    let size = length(&take("SIZE").ok_or_else(|| lacks("size"))?, "size", at)?;
    let offset = take("OFFSET").map_or(Ok(0), |expr| millis(&expr, at))?;
    let kind = match upper.as_str() {
        "TUMBLE" => WindowKind::Tumble { size, offset },
        "HOP" => {
            WindowKind::Hop { slide: length(&take("SLIDE").ok_or_else(|| lacks("slide"))?, "slide", at)?, size, offset }
        }
        _ => WindowKind::Cumulate {
            step: length(&take("STEP").ok_or_else(|| lacks("step"))?, "step", at)?,
            size,
            offset,
        },
    };
    check_lengths(kind, at)?;
    Ok(Arguments { data, time, kind })
}

fn check_lengths(kind: WindowKind, at: Location) -> Result<()> {
    let (small, size, name, word) = match kind {
        WindowKind::Tumble { .. } => return Ok(()),
        WindowKind::Hop { slide, size, .. } => (slide, size, "HOP", "slide"),
        WindowKind::Cumulate { step, size, .. } => (step, size, "CUMULATE", "step"),
    };
    if size % small == 0 {
        return Ok(());
    }
    let hint = if small > size && small % size == 0 {
        format!("the {word} comes first: {name}(TABLE t, DESCRIPTOR(ts), {word}, size)")
    } else {
        format!("take a size that is a multiple of the {word}")
    };
    Err(Problem::new(at, format!("{name}: the size ({size} ms) is not a multiple of the {word} ({small} ms)"))
        .help(hint))
}

/// One expression per parameter.
fn assign(upper: &str, at: Location, parameters: &[&str], args: Vec<FunctionArg>) -> Result<Vec<Option<Expr>>> {
    let mut given: Vec<Option<Expr>> = parameters.iter().map(|_| None).collect();
    let mut named = false;
    for (position, argument) in args.into_iter().enumerate() {
        let place = match argument.span().start {
            start if start.line == 0 => at,
            start => start,
        };
        let (index, value) = match argument {
            FunctionArg::Unnamed(value) if !named => (position, value),
            FunctionArg::Unnamed(_) => {
                return Err(Problem::new(
                    place,
                    format!("{upper}: an argument without a name follows one with a name"),
                )
                .help("name all of them, or none"));
            }
            FunctionArg::Named { name, arg, .. } => {
                named = true;
                (parameter(upper, &name.value, parameters, name.span.start)?, arg)
            }
            FunctionArg::ExprNamed { name, arg, .. } => {
                named = true;
                (parameter(upper, &name.to_string(), parameters, name.span().start)?, arg)
            }
        };
        let FunctionArgExpr::Expr(value) = value else {
            return Err(Problem::new(place, format!("{upper} does not take '*'")).help("write TABLE t"));
        };
        let Some(slot) = given.get_mut(index) else {
            return Err(Problem::new(place, format!("{upper} takes at most {} arguments", parameters.len()))
                .help(format!("they are {}", parameters.join(", "))));
        };
        if slot.replace(value).is_some() {
            return Err(Problem::new(place, format!("{upper}: {} is given twice", parameters[index])).help("keep one"));
        }
    }
    Ok(given)
}

fn parameter(upper: &str, name: &str, parameters: &[&str], at: Location) -> Result<usize> {
    let found = parameters.iter().position(|known| known.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        Problem::new(at, format!("{upper} has no argument '{name}'")).help(names::suggest(
            name,
            "arguments",
            parameters.iter().copied(),
        ))
    })
}

fn descriptor(expr: Expr, at: Location) -> Result<Expr> {
    let wrong =
        || Problem::new(at, "the time column is not written as DESCRIPTOR(column)").help("write DESCRIPTOR(ts)");
    let Expr::Function(Function { name, args: FunctionArguments::List(mut list), .. }) = expr else {
        return Err(wrong());
    };
    if !name.to_string().eq_ignore_ascii_case("DESCRIPTOR") || list.args.len() != 1 {
        return Err(wrong());
    }
    match list.args.pop() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(
            column @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)),
        ))) => Ok(column),
        _ => Err(wrong()),
    }
}

fn length(expr: &Expr, what: &str, at: Location) -> Result<i64> {
    match millis(expr, at)? {
        length if length > 0 => Ok(length),
        length => Err(Problem::new(at, format!("the {what} of a window must be positive, it is {length} ms"))
            .help("write INTERVAL '1' MINUTE")),
    }
}

/// An interval of a fixed length as milliseconds.
pub(crate) fn millis(expr: &Expr, at: Location) -> Result<i64> {
    let wrong = |message: String| {
        Problem::new(at, message).help("write INTERVAL '1' MINUTE; units: DAY, HOUR, MINUTE, SECOND, MILLISECOND")
    };
    match expr {
        Expr::Nested(inner) => millis(inner, at),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => millis(expr, at).map(|length| -length),
        Expr::Interval(interval) if interval.last_field.is_none() => {
            let Expr::Value(value) = interval.value.as_ref() else {
                return Err(wrong(format!("'{expr}' is not an interval")));
            };
            let text = match &value.value {
                Value::SingleQuotedString(text) => text.trim(),
                Value::Number(..) => return Err(wrong(format!("the number of '{expr}' needs quotes"))),
                _ => return Err(wrong(format!("'{expr}' is not an interval"))),
            };
            use DateTimeField as F;
            let unit: i64 = match interval.leading_field {
                Some(F::Week(None) | F::Weeks) => 7 * 86_400_000,
                Some(F::Day | F::Days) => 86_400_000,
                Some(F::Hour | F::Hours) => 3_600_000,
                Some(F::Minute | F::Minutes) => 60_000,
                Some(F::Second | F::Seconds) => 1_000,
                Some(F::Millisecond | F::Milliseconds) => 1,
                _ => return Err(wrong(format!("'{expr}' has no fixed length"))),
            };
            scaled(text, unit).ok_or_else(|| wrong(format!("'{expr}' is not a whole number of milliseconds")))
        }
        other => Err(wrong(format!("'{other}' is not an interval"))),
    }
}

/// `text` times `unit`; the text may have a fraction of seconds.
fn scaled(text: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let whole: i64 = whole.parse().ok()?;
    let mut total = whole.checked_mul(unit)?;
    if !fraction.is_empty() {
        let digits: i64 =
            fraction.parse().ok().filter(|_| fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit()))?;
        let scale = 10i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = digits.checked_mul(unit)?;
        if part % scale != 0 {
            return None;
        }
        total = if negative { total.checked_sub(part / scale)? } else { total.checked_add(part / scale)? };
    }
    Some(total)
}
