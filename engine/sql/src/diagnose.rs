//! DataFusion's errors as problems with a position and, where a name is unknown, the nearest one.

use crate::error::{Position, Problem};
use crate::names;
use crate::statement::Tokens;
use crate::window::ProblemError;
use datafusion::common::{Column, DataFusionError, SchemaError, Span};

/// The problem behind an error that came up while a statement was planned.
pub(crate) fn df_problem(error: &DataFusionError, tokens: &Tokens) -> Problem {
    let (root, span) = root(error, None);
    if let DataFusionError::External(external) = root
        && let Some(ProblemError(problem)) = external.downcast_ref::<ProblemError>()
    {
        return problem.clone();
    }
    if let DataFusionError::SchemaError(schema, _) = root {
        return schema_problem(schema, span, tokens);
    }
    let text = root.strip_backtrace();
    let text = text
        .trim_start_matches("Error during planning: ")
        .trim_start_matches("This feature is not implemented: ")
        .trim_start_matches("Execution error: ");
    if let Some(name) = text.strip_prefix("Field ").and_then(|rest| rest.strip_suffix(" not found in struct")) {
        return Problem::new(find(tokens, name), format!("there is no field '{name}' in this ROW"))
            .help("the fields are those of the column's type in CREATE TABLE");
    }
    let at = span.map_or_else(|| mentioned(text, tokens), |span| position(&span));
    Problem::new(at, sentence(text))
}

fn root(error: &DataFusionError, span: Option<Span>) -> (&DataFusionError, Option<Span>) {
    match error {
        DataFusionError::Context(_, inner) => root(inner, span),
        DataFusionError::Diagnostic(diagnostic, inner) => root(inner, span.or(diagnostic.span)),
        DataFusionError::Shared(inner) => root(inner, span),
        DataFusionError::Collection(all) => match all.first() {
            Some(first) => root(first, span),
            None => (error, span),
        },
        other => (other, span),
    }
}

fn schema_problem(schema: &SchemaError, span: Option<Span>, tokens: &Tokens) -> Problem {
    let place = |column: &Column| {
        let own = column.spans().first().or(span);
        own.map_or_else(|| find(tokens, &column.name), |span| position(&span))
    };
    match schema {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let qualified = field.relation.as_ref().map(|relation| format!(" of '{relation}'")).unwrap_or_default();
            let all = valid_fields.iter().map(|field| field.name.as_str()).filter(|name| !name.starts_with('$'));
            Problem::new(place(field), format!("there is no column '{}'{qualified}", field.name)).help(names::suggest(
                &field.name,
                "columns",
                all,
            ))
        }
        SchemaError::AmbiguousReference { field } => {
            Problem::new(place(field), format!("the column '{}' is ambiguous", field.name))
                .help("give one of the two another name (expression AS name), or write the table's name before it")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Problem::new(
                span.map_or_else(|| find(tokens, name), |span| position(&span)),
                format!("two columns are named '{name}'"),
            )
            .help("give one of them another name: expression AS name")
        }
    }
}

fn position(span: &Span) -> Position {
    Position { line: span.start.line, column: span.start.column }
}

fn find(tokens: &Tokens, name: &str) -> Position {
    tokens.find(&[name]).unwrap_or_else(|| tokens.start())
}

/// Where a word that the message puts in quotes stands in the statement.
fn mentioned(text: &str, tokens: &Tokens) -> Position {
    let quoted = text.split(['\'', '"', '`']).skip(1).step_by(2);
    let called = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.len() > 3 && word.chars().any(|c| c == '_' || c.is_uppercase()));
    quoted
        .filter(|word| !word.is_empty())
        .find_map(|word| tokens.find(&[word]).or_else(|| tokens.find_text(word)))
        .or_else(|| called.into_iter().find_map(|word| tokens.find(&[word])))
        .unwrap_or_else(|| tokens.start())
}

/// The first sentence, in the type names of SQL, without the advice that belongs to DataFusion.
fn sentence(text: &str) -> String {
    let first = text.lines().next().unwrap_or(text).trim_end_matches('.');
    let types = [
        ("Utf8View", "STRING"),
        ("Utf8", "STRING"),
        ("Int64", "BIGINT"),
        ("Int32", "INT"),
        ("Int16", "SMALLINT"),
        ("Int8", "TINYINT"),
        ("Float64", "DOUBLE"),
        ("Float32", "FLOAT"),
        ("Decimal128", "DECIMAL"),
        ("Date32", "DATE"),
        ("Timestamp(ms, \"UTC\")", "TIMESTAMP_LTZ(3)"),
        ("Timestamp(ms)", "TIMESTAMP(3)"),
    ];
    types.iter().fold(first.to_string(), |text, (arrow, sql)| text.replace(arrow, sql))
}
