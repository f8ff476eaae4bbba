//! Statements and clauses that do not exist here, each with what works instead.
//!
//! Constructs inside of queries are refused in `check`.

use crate::error::{Position, Problem};
use crate::statement::Tokens;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Refuses a statement by its first word.
pub(crate) fn statement(tokens: &Tokens, first: &str) -> Problem {
    let (construct, help) = match first {
        "SELECT" | "WITH" => (
            "a SELECT that goes nowhere",
            "write INSERT INTO table SELECT ...; a table with 'connector' = 'print' shows rows",
        ),
        "VALUES" => ("VALUES", "a job reads from tables; the 'datagen' connector makes rows for trials"),
        "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" => {
            (first, "a table with PRIMARY KEY ... NOT ENFORCED is upserted by INSERT INTO")
        }
        "DROP" | "ALTER" => (first, "a job is the whole text: leave the statement out, or change the CREATE"),
        "USE" => ("USE", "there are no catalogs and databases: a table's name is one word"),
        "SHOW" | "DESCRIBE" | "DESC" | "EXPLAIN" => (first, "use the commands 'aqueduct check' and 'aqueduct explain'"),
        "ADD" | "REMOVE" | "LOAD" | "UNLOAD" => {
            (first, "functions and connectors are built in; there are no jars and modules")
        }
        "ANALYZE" | "CALL" | "COMPILE" | "EXECUTE" | "STOP" | "BEGIN" => {
            (first, "write the INSERT statements alone, or between EXECUTE STATEMENT SET BEGIN and END")
        }
        _ => {
            return Problem::new(
                tokens.start(),
                format!("this is not the beginning of a statement: {}", shown(tokens)),
            )
            .help(
                "statements: SET, RESET, CREATE TABLE, CREATE VIEW, INSERT INTO, EXECUTE STATEMENT SET BEGIN ... END",
            );
        }
    };
    Problem::new(tokens.start(), format!("{construct} is not supported")).help(help)
}

/// Refuses `CREATE kind`.
pub(crate) fn create(tokens: &Tokens, kind: &str, at: Position) -> Problem {
    let help = match kind {
        "FUNCTION" | "SYSTEM" => "use the built-in functions and CASE; user-defined functions are not supported yet",
        "CATALOG" | "DATABASE" => "declare every table in the job by CREATE TABLE; a table's name is one word",
        "MATERIALIZED" => {
            "write CREATE TABLE for the target and INSERT INTO it; a CREATE VIEW that several inserts use is computed once"
        }
        "MODEL" => "models are not supported",
        "OR" => "a job is the whole text: write CREATE TABLE or CREATE VIEW once",
        _ => "supported: CREATE [TEMPORARY] TABLE, CREATE [TEMPORARY] VIEW",
    };
    let shown = if kind == "OR" { "OR REPLACE" } else { kind };
    let at = if kind.is_empty() { tokens.start() } else { at };
    Problem::new(at, format!("CREATE {shown} is not supported")).help(help)
}

/// Refuses what stands after the end of a statement.
pub(crate) fn trailing(tokens: &Tokens, next: &TokenWithSpan) -> Problem {
    let at: Position = next.span.start.into();
    let word = match &next.token {
        Token::Word(word) => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    match word.as_str() {
        "INSERT" | "INTO" | "CREATE" | "SET" | "END" => {
            Problem::new(at, format!("{word} begins before the statement above has ended"))
                .help("end the statement with ';'")
        }
        "MATCH_RECOGNIZE" => {
            Problem::new(at, "MATCH_RECOGNIZE is not supported").help("filter and aggregate in windows")
        }
        _ => Problem::new(at, format!("'{}' is not expected here", next.token))
            .help(format!("the statement that begins in line {} is complete before it", tokens.start().line)),
    }
}

fn shown(tokens: &Tokens) -> String {
    tokens.tokens.iter().take(3).map(|token| token.token.to_string()).collect::<Vec<_>>().join(" ")
}
