//! One found value to one scalar. Nothing is appended here.

use super::column::Context;
use super::fault::{Fault, Outcome};
use super::literal::{Literal, is_integer_text, short_integer};
use super::scan::{Kind, Span, unescape};
use super::time::{parse_date, parse_time_of_day, parse_timestamp};
use arrow::datatypes::TimeUnit;

/// The characters of a text value, with its escapes resolved; `None` for every other kind of value.
#[inline]
fn text<'t>(span: Span, context: &'t mut Context<'_>) -> Option<&'t str> {
    match span.kind {
        Kind::Text => Some(span.of(context.document)),
        Kind::Escaped => {
            context.scratch.clear();
            unescape(span.of(context.document), context.scratch);
            // Resolving escapes of checked text yields whole characters only.
            Some(std::str::from_utf8(context.scratch).unwrap_or_default())
        }
        _ => None,
    }
}

/// An integer: a number without fraction (`12`, `12.0`, `1e3`), or text of digits with an optional minus.
#[inline]
pub(super) fn integer<T: TryFrom<i64>>(span: Span, context: &mut Context<'_>, sql_type: &str) -> Outcome<T> {
    let document = context.document;
    let literal = match span.kind {
        Kind::Number => span.of(document),
        _ => match text(span, context) {
            Some(text) if is_integer_text(text) => text,
            _ => return Err(Fault::expected(sql_type, span, document)),
        },
    };
    let value = match short_integer(literal) {
        Some(value) => value,
        None => long_integer(literal, span, document, sql_type)?,
    };
    T::try_from(value).map_err(|_| Fault::range(literal, sql_type))
}

#[cold]
fn long_integer(literal: &str, span: Span, document: &str, sql_type: &str) -> Outcome<i64> {
    let Some(parsed) = Literal::parse(literal) else { return Err(Fault::expected(sql_type, span, document)) };
    match parsed.scaled(0) {
        Some((_, false)) => Err(Fault::expected(sql_type, span, document)),
        Some((value, true)) => i64::try_from(value).map_err(|_| Fault::range(literal, sql_type)),
        None => Err(Fault::range(literal, sql_type)),
    }
}

/// A decimal as an integer of 10^-`scale`, rounded half up; a number, or text that reads as one.
pub(super) fn decimal(span: Span, context: &mut Context<'_>, sql_type: &str, size: (u8, u8)) -> Outcome<i128> {
    let document = context.document;
    let (precision, scale) = size;
    let literal = match span.kind {
        Kind::Number => Some(span.of(document)),
        _ => text(span, context),
    };
    let parsed = literal.and_then(Literal::parse).ok_or_else(|| Fault::expected(sql_type, span, document))?;
    match parsed.scaled(scale) {
        Some((value, _)) if value.unsigned_abs() < 10_u128.pow(u32::from(precision)) => Ok(value),
        _ => Err(Fault::range(span.of(document), sql_type)),
    }
}

/// A floating-point number; a number, or text that reads as one. Never infinite, never NaN.
pub(super) fn float<T: std::str::FromStr>(
    span: Span,
    context: &mut Context<'_>,
    sql_type: &str,
    finite: fn(&T) -> bool,
) -> Outcome<T> {
    let document = context.document;
    let literal = match span.kind {
        Kind::Number => Some(span.of(document)),
        _ => text(span, context).filter(|text| Literal::parse(text).is_some()),
    };
    let value = literal.and_then(|literal| literal.parse::<T>().ok());
    let value = value.ok_or_else(|| Fault::expected(sql_type, span, document))?;
    if finite(&value) { Ok(value) } else { Err(Fault::range(span.of(document), sql_type)) }
}

/// `true` or `false`, also as text.
pub(super) fn boolean(span: Span, context: &mut Context<'_>, sql_type: &str) -> Outcome<bool> {
    let document = context.document;
    match (span.kind, text(span, context)) {
        (Kind::True, _) | (_, Some("true")) => Ok(true),
        (Kind::False, _) | (_, Some("false")) => Ok(false),
        _ => Err(Fault::expected(sql_type, span, document)),
    }
}

/// Bytes from base64 text, appended to `out`.
pub(super) fn bytes(span: Span, context: &mut Context<'_>, sql_type: &str, out: &mut Vec<u8>) -> Outcome<()> {
    let document = context.document;
    let Some(text) = text(span, context) else { return Err(Fault::expected(sql_type, span, document)) };
    if super::decode_base64(text, out) { Ok(()) } else { Err(Fault::text(text, "is not base64")) }
}

/// How timestamps of a column are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimestampShape {
    pub(super) unit: TimeUnit,
    pub(super) utc: bool,
    /// Values are cut to multiples of this many units: the column's precision may be coarser than Arrow's unit.
    pub(super) cut: i64,
}

/// A timestamp from text; `None` for empty text.
#[inline]
pub(super) fn timestamp(
    span: Span,
    context: &mut Context<'_>,
    sql_type: &str,
    shape: TimestampShape,
) -> Outcome<Option<i64>> {
    let (document, format) = (context.document, context.format);
    let Some(text) = text(span, context) else { return Err(no_timestamp(span, document, sql_type)) };
    if text.is_empty() {
        return Ok(None);
    }
    let moment = parse_timestamp(text, format, shape.utc).map_err(|ends| Fault::text(text, ends))?;
    let value = moment.in_unit(shape.unit).ok_or_else(|| Fault::range(text, sql_type))?;
    Ok(Some(if shape.cut > 1 { value - value.rem_euclid(shape.cut) } else { value }))
}

#[cold]
fn no_timestamp(span: Span, document: &str, sql_type: &str) -> Fault {
    let fault = Fault::expected(&format!("{sql_type} as text"), span, document);
    if span.kind != Kind::Number {
        return fault;
    }
    fault.advice("for epoch milliseconds declare the field as BIGINT and use TO_TIMESTAMP_LTZ(field, 3)")
}

/// Days since 1970 from text; `None` for empty text.
pub(super) fn date(span: Span, context: &mut Context<'_>, sql_type: &str) -> Outcome<Option<i32>> {
    from_text(span, context, sql_type, parse_date)
}

/// Milliseconds since midnight from text, cut to a multiple of `cut`; `None` for empty text.
pub(super) fn time(span: Span, context: &mut Context<'_>, sql_type: &str, cut: i32) -> Outcome<Option<i32>> {
    Ok(from_text(span, context, sql_type, parse_time_of_day)?.map(|value| value - value % cut))
}

fn from_text(
    span: Span,
    context: &mut Context<'_>,
    sql_type: &str,
    parse: fn(&str) -> Result<i32, &'static str>,
) -> Outcome<Option<i32>> {
    let document = context.document;
    match text(span, context) {
        None => Err(Fault::expected(sql_type, span, document)),
        Some("") => Ok(None),
        Some(text) => parse(text).map(Some).map_err(|ends| Fault::text(text, ends)),
    }
}

/// The number between parentheses in `TIMESTAMP_LTZ(3)`.
pub(super) fn precision_of(sql_type: &str) -> Option<u32> {
    let (_, rest) = sql_type.split_once('(')?;
    rest.split_once(')')?.0.trim().parse().ok()
}
