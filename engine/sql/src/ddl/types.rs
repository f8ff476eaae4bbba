//! Flink's type names as Arrow types, and back.
//!
//! TIMESTAMP(p) is kept in milliseconds up to p = 3, in microseconds up to 6, in nanoseconds above.

use super::{TypeDdl, here, word_is};
use crate::error::{Problem, Result};
use crate::statement::{Tokens, parse_problem};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token};
use std::sync::Arc;

const KNOWN: &str = "STRING, VARCHAR(n), CHAR(n), BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DECIMAL(p, s), DATE, \
                     TIME, TIMESTAMP(p), TIMESTAMP_LTZ(p), BYTES, VARBINARY(n), ROW<...>, ARRAY<...>, MAP<k, v>";

/// Reads a type, with `NOT NULL`.
pub(crate) fn parse_type(parser: &mut Parser, tokens: &Tokens) -> Result<TypeDdl> {
    let at = here(parser);
    let token = parser.next_token();
    let Token::Word(word) = &token.token else {
        return Err(Problem::new(at, format!("expected a type, found {token}")).help(format!("types: {KNOWN}")));
    };
    let name = word.value.to_ascii_uppercase();
    let (data_type, text) = match name.as_str() {
        "ROW" => row(parser, tokens)?,
        "ARRAY" => {
            let element = in_angles(parser, tokens, |parser| parse_type(parser, tokens))?;
            let text = format!("ARRAY<{}>", written(&element));
            (DataType::List(Arc::new(Field::new("item", element.data_type, element.nullable))), text)
        }
        "MAP" => map(parser, tokens)?,
        _ => simple(parser, tokens, &name, at)?,
    };
    let mut nullable = true;
    if parser.peek_keyword(Keyword::NOT) && word_is(parser, 1, "NULL") {
        parser.next_token();
        parser.next_token();
        nullable = false;
    } else {
        let _ = parser.parse_keyword(Keyword::NULL);
    }
    Ok(TypeDdl { data_type, nullable, text })
}

fn written(declared: &TypeDdl) -> String {
    if declared.nullable { declared.text.clone() } else { format!("{} NOT NULL", declared.text) }
}

fn simple(parser: &mut Parser, tokens: &Tokens, name: &str, at: Location) -> Result<(DataType, String)> {
    let plain = |data_type: DataType, text: &str| Ok((data_type, text.to_string()));
    match name {
        "STRING" => plain(DataType::Utf8, "STRING"),
        "BOOLEAN" => plain(DataType::Boolean, "BOOLEAN"),
        "TINYINT" => plain(DataType::Int8, "TINYINT"),
        "SMALLINT" => plain(DataType::Int16, "SMALLINT"),
        "INT" | "INTEGER" => plain(DataType::Int32, "INT"),
        "BIGINT" => plain(DataType::Int64, "BIGINT"),
        "FLOAT" => plain(DataType::Float32, "FLOAT"),
        "DOUBLE" => {
            let _ = parser.parse_keyword(Keyword::PRECISION);
            plain(DataType::Float64, "DOUBLE")
        }
        "DATE" => plain(DataType::Date32, "DATE"),
        "BYTES" => plain(DataType::Binary, "BYTES"),
        "VARCHAR" | "CHAR" | "CHARACTER" => Ok((DataType::Utf8, with_length(parser, tokens, name)?)),
        "VARBINARY" | "BINARY" => Ok((DataType::Binary, with_length(parser, tokens, name)?)),
        "DECIMAL" | "DEC" | "NUMERIC" => decimal(parser, tokens, at),
        "TIME" => {
            let precision = numbers(parser, tokens)?;
            without_time_zone(parser);
            let text = precision.first().map_or("TIME".to_string(), |p| format!("TIME({p})"));
            Ok((DataType::Time32(TimeUnit::Millisecond), text))
        }
        "TIMESTAMP" | "TIMESTAMP_LTZ" => timestamp(parser, tokens, name, at),
        "MULTISET" | "RAW" | "INTERVAL" | "STRUCTURED" | "VARIANT" | "OBJECT" | "NULL" => {
            Err(Problem::new(at, format!("the type {name} is not supported")).help(format!("types: {KNOWN}")))
        }
        other => Err(Problem::new(at, format!("unknown type {other}")).help(crate::names::suggest(
            other,
            "types",
            KNOWN.split(", ").map(|t| t.split(['(', '<']).next().unwrap_or(t)),
        ))),
    }
}

fn with_length(parser: &mut Parser, tokens: &Tokens, name: &str) -> Result<String> {
    Ok(match numbers(parser, tokens)?.first() {
        Some(length) => format!("{name}({length})"),
        None => name.to_string(),
    })
}

fn decimal(parser: &mut Parser, tokens: &Tokens, at: Location) -> Result<(DataType, String)> {
    let given = numbers(parser, tokens)?;
    let precision = given.first().copied().unwrap_or(10);
    let scale = given.get(1).copied().unwrap_or(0);
    if !(1..=38).contains(&precision) || scale > precision {
        return Err(Problem::new(at, format!("DECIMAL({precision}, {scale}) does not exist"))
            .help("precision is 1 to 38, and scale 0 to the precision"));
    }
    let (p, s) = (u8::try_from(precision).unwrap_or(38), i8::try_from(scale).unwrap_or(0));
    Ok((DataType::Decimal128(p, s), format!("DECIMAL({precision}, {scale})")))
}

fn timestamp(parser: &mut Parser, tokens: &Tokens, name: &str, at: Location) -> Result<(DataType, String)> {
    let precision = numbers(parser, tokens)?.first().copied().unwrap_or(6);
    if precision > 9 {
        return Err(Problem::new(at, format!("{name}({precision}) does not exist")).help("precision is 0 to 9"));
    }
    if parser.peek_keyword(Keyword::WITH) && word_is(parser, 1, "TIME") {
        return Err(Problem::new(at, "TIMESTAMP WITH TIME ZONE is not supported")
            .help("use TIMESTAMP_LTZ(3), a moment in time, or TIMESTAMP(3), a reading of a clock"));
    }
    without_time_zone(parser);
    let unit = unit_of(precision);
    let zone = (name == "TIMESTAMP_LTZ").then(|| "UTC".into());
    Ok((DataType::Timestamp(unit, zone), format!("{name}({precision})")))
}

/// The unit that keeps so many digits of a second.
pub(crate) fn unit_of(precision: u64) -> TimeUnit {
    match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn without_time_zone(parser: &mut Parser) {
    if word_is(parser, 0, "WITHOUT") && word_is(parser, 1, "TIME") {
        parser.next_token();
        parser.next_token();
        parser.next_token();
    }
}

fn numbers(parser: &mut Parser, tokens: &Tokens) -> Result<Vec<u64>> {
    let problem = |error: ParserError| parse_problem(&error, tokens);
    let mut given = Vec::new();
    if parser.consume_token(&Token::LParen) {
        given = parser.parse_comma_separated(Parser::parse_literal_uint).map_err(problem)?;
        parser.expect_token(&Token::RParen).map_err(problem)?;
    }
    Ok(given)
}

fn in_angles<T>(parser: &mut Parser, tokens: &Tokens, inner: impl FnOnce(&mut Parser) -> Result<T>) -> Result<T> {
    let problem = |error: ParserError| parse_problem(&error, tokens);
    parser.expect_token(&Token::Lt).map_err(problem)?;
    let value = inner(parser)?;
    parser.expect_token(&Token::Gt).map_err(problem)?;
    Ok(value)
}

fn row(parser: &mut Parser, tokens: &Tokens) -> Result<(DataType, String)> {
    let problem = |error: ParserError| parse_problem(&error, tokens);
    let close = if parser.consume_token(&Token::LParen) {
        Token::RParen
    } else {
        parser.expect_token(&Token::Lt).map_err(problem)?;
        Token::Gt
    };
    let (mut fields, mut texts) = (Vec::new(), Vec::new());
    loop {
        let name = parser.parse_identifier().map_err(problem)?;
        let declared = parse_type(parser, tokens)?;
        if matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_)) {
            parser.next_token();
        }
        texts.push(format!("{} {}", crate::names::quoted(&name.value), written(&declared)));
        fields.push(Field::new(name.value, declared.data_type, declared.nullable));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&close).map_err(problem)?;
    Ok((DataType::Struct(Fields::from(fields)), format!("ROW<{}>", texts.join(", "))))
}

fn map(parser: &mut Parser, tokens: &Tokens) -> Result<(DataType, String)> {
    let (key, value) = in_angles(parser, tokens, |parser| {
        let key = parse_type(parser, tokens)?;
        parser.expect_token(&Token::Comma).map_err(|error| parse_problem(&error, tokens))?;
        Ok((key, parse_type(parser, tokens)?))
    })?;
    let text = format!("MAP<{}, {}>", key.text, written(&value));
    let entries =
        Fields::from(vec![Field::new("key", key.data_type, false), Field::new("value", value.data_type, true)]);
    Ok((DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false), text))
}

/// The SQL name of an Arrow type, for messages, `explain` and the names of queries.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".into(),
        DataType::Timestamp(unit, zone) => {
            let precision = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            format!("{}({precision})", if zone.is_some() { "TIMESTAMP_LTZ" } else { "TIMESTAMP" })
        }
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".into(),
        DataType::List(element) => format!("ARRAY<{}>", sql_name(element.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("MAP<{}, {}>", sql_name(fields[0].data_type()), sql_name(fields[1].data_type()))
            }
            other => format!("MAP<{other}>"),
        },
        DataType::Struct(fields) => {
            let inner: Vec<String> = fields
                .iter()
                .map(|field| format!("{} {}", crate::names::quoted(field.name()), sql_name(field.data_type())))
                .collect();
            format!("ROW<{}>", inner.join(", "))
        }
        other => other.to_string(),
    }
}
