//! `CREATE TABLE` in Flink's dialect: columns of three kinds, the watermark, keys and options.
//!
//! It reads syntax; whether connectors, options and expressions exist is checked in `tables`.

mod types;

pub(crate) use types::{parse_type, sql_name, unit_of};

use crate::error::{Problem, Result};
use crate::statement::{Tokens, parse_problem, table_name};
use arrow::datatypes::DataType;
use sqlparser::ast::{Expr, Ident};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// A table as written.
#[derive(Debug, Clone)]
pub(crate) struct TableDdl {
    pub(crate) name: Ident,
    pub(crate) columns: Vec<ColumnDdl>,
    pub(crate) watermark: Option<WatermarkDdl>,
    pub(crate) primary_key: Vec<Ident>,
    pub(crate) partitioned_by: Vec<Ident>,
    pub(crate) options: Vec<OptionDdl>,
}

/// A column as written.
#[derive(Debug, Clone)]
pub(crate) struct ColumnDdl {
    pub(crate) name: Ident,
    pub(crate) kind: ColumnDdlKind,
}

/// Which kind of column.
#[derive(Debug, Clone)]
pub(crate) enum ColumnDdlKind {
    Physical(TypeDdl),
    Metadata { declared: TypeDdl, key: String, key_at: Location, is_virtual: bool },
    Computed(Box<Expr>),
}

/// A type as written, and as Arrow's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeDdl {
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    pub(crate) text: String,
}

/// `WATERMARK FOR column AS expr`
#[derive(Debug, Clone)]
pub(crate) struct WatermarkDdl {
    pub(crate) column: Ident,
    pub(crate) expr: Expr,
    pub(crate) at: Location,
}

/// `'key' = 'value'`; the value may hold marks of variables and secrets.
#[derive(Debug, Clone)]
pub(crate) struct OptionDdl {
    pub(crate) key: String,
    pub(crate) key_at: Location,
    pub(crate) value: String,
    pub(crate) value_at: Location,
}

/// The index of the token after `WITH` of the options: variables without a value are looked at later from there on.
pub(crate) fn options_at(tokens: &[TokenWithSpan]) -> usize {
    let is_with = |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::WITH && word.quote_style.is_none());
    let opens = |index: usize| tokens.get(index + 1).is_some_and(|token| token.token == Token::LParen);
    (0..tokens.len()).find(|index| is_with(&tokens[*index]) && opens(*index)).unwrap_or(tokens.len())
}

/// `ROW<a ARRAY<INT>>` ends with a `>>` that is two tokens here.
pub(crate) fn split_shifts(tokens: &mut Vec<TokenWithSpan>) {
    let mut index = 0;
    while index < tokens.len() {
        if tokens[index].token == Token::ShiftRight {
            tokens[index].token = Token::Gt;
            let mut second = tokens[index].clone();
            second.span.start.column += 1;
            tokens.insert(index + 1, second);
        }
        index += 1;
    }
}

/// Reads a table from its name on.
pub(crate) fn parse_table(parser: &mut Parser, tokens: &Tokens) -> Result<TableDdl> {
    let problem = |error: ParserError| parse_problem(&error, tokens);
    let name = table_name(parser, tokens)?;
    let mut table = TableDdl {
        name,
        columns: vec![],
        watermark: None,
        primary_key: vec![],
        partitioned_by: vec![],
        options: vec![],
    };
    refuse_as_and_like(parser)?;
    parser.expect_token(&Token::LParen).map_err(problem)?;
    loop {
        parse_element(parser, tokens, &mut table)?;
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen).map_err(problem)?;
    comment(parser, tokens)?;
    if word_is(parser, 0, "DISTRIBUTED") {
        return Err(Problem::new(here(parser), "DISTRIBUTED BY is not supported").help("leave it out"));
    }
    if parser.parse_keyword(Keyword::PARTITIONED) {
        parser.expect_keyword(Keyword::BY).map_err(problem)?;
        table.partitioned_by = names_in_parens(parser, tokens)?;
    }
    refuse_as_and_like(parser)?;
    if parser.parse_keyword(Keyword::WITH) {
        parser.expect_token(&Token::LParen).map_err(problem)?;
        while parser.peek_token_ref().token != Token::RParen {
            table.options.push(parse_option(parser, tokens)?);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen).map_err(problem)?;
    }
    refuse_as_and_like(parser)?;
    Ok(table)
}

fn refuse_as_and_like(parser: &Parser) -> Result<()> {
    if parser.peek_keyword(Keyword::AS) {
        return Err(Problem::new(here(parser), "CREATE TABLE ... AS SELECT is not supported")
            .help("declare the columns, then write INSERT INTO table SELECT ..."));
    }
    if parser.peek_keyword(Keyword::LIKE) {
        return Err(Problem::new(here(parser), "CREATE TABLE ... LIKE is not supported")
            .help("write the columns and options out"));
    }
    Ok(())
}

fn parse_element(parser: &mut Parser, tokens: &Tokens, table: &mut TableDdl) -> Result<()> {
    let problem = |error: ParserError| parse_problem(&error, tokens);
    if word_is(parser, 0, "WATERMARK") && word_is(parser, 1, "FOR") {
        let at = here(parser);
        if table.watermark.is_some() {
            return Err(Problem::new(at, "a table has one watermark").help("keep one WATERMARK FOR"));
        }
        parser.next_token();
        parser.next_token();
        let column = parser.parse_identifier().map_err(problem)?;
        if parser.peek_token_ref().token == Token::Period {
            return Err(Problem::new(here(parser), "WATERMARK FOR takes a column of the table, not a nested field")
                .help("add a computed column, such as `ts AS a.b`, and name it here"));
        }
        parser.expect_keyword(Keyword::AS).map_err(problem)?;
        let expr = parser.parse_expr().map_err(problem)?;
        table.watermark = Some(WatermarkDdl { column, expr, at });
        return Ok(());
    }
    if parser.peek_keyword(Keyword::CONSTRAINT) {
        parser.next_token();
        parser.parse_identifier().map_err(problem)?;
    }
    if parser.peek_keyword(Keyword::PRIMARY)
        && word_is(parser, 1, "KEY")
        && parser.peek_nth_token_ref(2).token == Token::LParen
    {
        let at = here(parser);
        parser.next_token();
        parser.next_token();
        let key = names_in_parens(parser, tokens)?;
        not_enforced(parser)?;
        return set_key(table, key, at);
    }
    if parser.peek_keyword(Keyword::UNIQUE) {
        return Err(Problem::new(here(parser), "UNIQUE is not supported").help("write PRIMARY KEY (...) NOT ENFORCED"));
    }
    parse_column(parser, tokens, table)
}

fn set_key(table: &mut TableDdl, key: Vec<Ident>, at: Location) -> Result<()> {
    if !table.primary_key.is_empty() {
        return Err(Problem::new(at, "a table has one primary key").help("write PRIMARY KEY (a, b) NOT ENFORCED once"));
    }
    table.primary_key = key;
    Ok(())
}

fn not_enforced(parser: &mut Parser) -> Result<()> {
    if parser.parse_keyword(Keyword::NOT) && parser.parse_keyword(Keyword::ENFORCED) {
        return Ok(());
    }
    Err(Problem::new(here(parser), "PRIMARY KEY needs NOT ENFORCED: the engine does not check uniqueness")
        .help("write PRIMARY KEY (...) NOT ENFORCED"))
}

fn parse_column(parser: &mut Parser, tokens: &Tokens, table: &mut TableDdl) -> Result<()> {
    let problem = |error: ParserError| parse_problem(&error, tokens);
    let name = parser.parse_identifier().map_err(problem)?;
    if let Some(other) = table.columns.iter().find(|column| column.name.value == name.value) {
        let first = other.name.span.start;
        return Err(Problem::new(name.span.start, format!("the column '{}' is declared twice", name.value))
            .help(format!("the first one is in line {}, column {}", first.line, first.column)));
    }
    if parser.parse_keyword(Keyword::AS) {
        let expr = parser.parse_expr().map_err(problem)?;
        comment(parser, tokens)?;
        table.columns.push(ColumnDdl { name, kind: ColumnDdlKind::Computed(Box::new(expr)) });
        return Ok(());
    }
    let declared = parse_type(parser, tokens)?;
    let mut kind = ColumnDdlKind::Physical(declared.clone());
    loop {
        if word_is(parser, 0, "METADATA") {
            parser.next_token();
            let (mut key, mut key_at) = (name.value.clone(), name.span.start);
            if parser.parse_keyword(Keyword::FROM) {
                key_at = here(parser);
                key = text(parser, tokens, "a metadata key, such as 'offset'")?;
            }
            let is_virtual = word_is(parser, 0, "VIRTUAL");
            if is_virtual {
                parser.next_token();
            }
            kind = ColumnDdlKind::Metadata { declared: declared.clone(), key, key_at, is_virtual };
        } else if parser.peek_keyword(Keyword::PRIMARY) {
            let at = here(parser);
            parser.next_token();
            parser.expect_keyword(Keyword::KEY).map_err(problem)?;
            not_enforced(parser)?;
            set_key(table, vec![name.clone()], at)?;
        } else if !comment(parser, tokens)? {
            break;
        }
    }
    table.columns.push(ColumnDdl { name, kind });
    Ok(())
}

fn parse_option(parser: &mut Parser, tokens: &Tokens) -> Result<OptionDdl> {
    let key_at = here(parser);
    let key = text(parser, tokens, "an option, such as 'connector' = 'kafka'")?;
    parser.expect_token(&Token::Eq).map_err(|error| parse_problem(&error, tokens))?;
    let value_at = here(parser);
    let value = text(parser, tokens, "the option's value in single quotes")?;
    Ok(OptionDdl { key, key_at, value, value_at })
}

fn text(parser: &mut Parser, tokens: &Tokens, what: &str) -> Result<String> {
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text) => Ok(text),
        _ => match parser.expected::<()>(what, token) {
            Err(error) => Err(parse_problem(&error, tokens)),
            Ok(()) => Err(Problem::new(tokens.start(), what)),
        },
    }
}

/// Passes over `COMMENT 'text'`; true if there was one.
pub(crate) fn comment(parser: &mut Parser, tokens: &Tokens) -> Result<bool> {
    if !parser.parse_keyword(Keyword::COMMENT) {
        return Ok(false);
    }
    text(parser, tokens, "the comment in single quotes")?;
    Ok(true)
}

fn names_in_parens(parser: &mut Parser, tokens: &Tokens) -> Result<Vec<Ident>> {
    parser
        .parse_parenthesized_column_list(sqlparser::parser::IsOptional::Mandatory, false)
        .map_err(|error| parse_problem(&error, tokens))
}

/// Where the next token stands.
pub(crate) fn here(parser: &Parser) -> Location {
    parser.peek_token_ref().span.start
}

/// True when the `n`th next token is the unquoted word.
pub(crate) fn word_is(parser: &Parser, n: usize, word: &str) -> bool {
    matches!(&parser.peek_nth_token_ref(n).token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}
