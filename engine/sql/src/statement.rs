//! The job's text as statements: split at `;`, statement sets opened, each one parsed or refused by its first words.
//!
//! It knows syntax only; names are looked up in `planner`.

use crate::ddl::{self, TableDdl};
use crate::dialect::FlinkDialect;
use crate::error::{Position, Problem, Result};
use crate::text::{CODE_MARK, Prepared, has_marks, missing_in};
use sqlparser::ast::{Ident, Query};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace, Word};

static DIALECT: FlinkDialect = FlinkDialect;

/// One statement, not yet parsed. Spans are positions of the written text.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// True between `BEGIN` and `END` of a statement set.
    in_set: bool,
}

/// A statement that does something.
#[derive(Debug)]
pub(crate) enum Statement {
    Set {
        key: String,
        value: String,
    },
    Reset {
        key: Option<String>,
    },
    CreateTable {
        table: Box<TableDdl>,
        if_not_exists: bool,
    },
    CreateView {
        name: Ident,
        columns: Vec<Ident>,
        query: Box<Query>,
        if_not_exists: bool,
    },
    Insert {
        table: Ident,
        columns: Vec<Ident>,
        query: Box<Query>,
    },
    /// An insert into a table that is left out.
    Skipped,
}

impl Tokens {
    /// Where the statement begins.
    pub(crate) fn start(&self) -> Position {
        self.tokens.first().map_or(Position::START, |token| token.span.start.into())
    }

    fn end(&self) -> Position {
        self.tokens.last().map_or(Position::START, |token| token.span.end.into())
    }

    /// The first of `words` in the statement.
    pub(crate) fn find(&self, words: &[&str]) -> Option<Position> {
        let found = |token: &&TokenWithSpan| matches!(&token.token, Token::Word(w) if words.iter().any(|word| w.value.eq_ignore_ascii_case(word)));
        self.tokens.iter().find(found).map(|token| token.span.start.into())
    }

    /// The first text literal with this content.
    pub(crate) fn find_text(&self, text: &str) -> Option<Position> {
        let found =
            |token: &&TokenWithSpan| matches!(&token.token, Token::SingleQuotedString(content) if content == text);
        self.tokens.iter().find(found).map(|token| token.span.start.into())
    }

    /// The first `word` behind the first `before`.
    pub(crate) fn find_after(&self, before: &str, word: &str) -> Option<Position> {
        let start = self.tokens.iter().position(|token| word_of(token) == before)?;
        let found = |token: &&TokenWithSpan| matches!(&token.token, Token::Word(w) if w.value == word);
        self.tokens[start..].iter().find(found).map(|token| token.span.start.into())
    }

    fn word(&self, index: usize) -> String {
        self.tokens.get(index).map(word_of).unwrap_or_default()
    }

    fn words_at(&self, index: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(step, word)| self.word(index + step) == *word)
    }

    fn at(&self, index: usize) -> Position {
        self.tokens.get(index).map_or_else(|| self.end(), |token| token.span.start.into())
    }

    /// Refuses variables without a value and secrets in what `parse` is about to read.
    fn check_marks(&self, until: usize, prepared: &Prepared) -> Result<()> {
        for token in &self.tokens[..until.min(self.tokens.len())] {
            let text = match &token.token {
                Token::Word(word) => {
                    if let Some(index) = word.value.find(CODE_MARK).map(|at| &word.value[at + CODE_MARK.len()..]) {
                        let digits: String = index.chars().take_while(char::is_ascii_digit).collect();
                        return Err(prepared.missing_problem(digits.parse().unwrap_or(0)));
                    }
                    &word.value
                }
                Token::SingleQuotedString(text) => text,
                _ => continue,
            };
            if let Some(index) = missing_in(text).first() {
                return Err(prepared.missing_problem(*index));
            }
            if has_marks(text) {
                return Err(Problem::new(
                    token.span.start,
                    "a secret (${file:PATH}, ${secret:...}) stands outside of WITH (...)",
                )
                .help("secrets are for the options of tables only; they never enter rows, settings or plans"));
            }
        }
        Ok(())
    }
}

fn word_of(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(Word { value, quote_style: None, .. }) => value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// A parser over tokens.
pub(crate) fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&DIALECT).with_recursion_limit(150).with_tokens_with_locations(tokens)
}

/// The problem that sqlparser met, with its position taken out of the message.
pub(crate) fn parse_problem(error: &ParserError, tokens: &Tokens) -> Problem {
    let text = match error {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
        ParserError::RecursionLimitExceeded => "the expression is nested too deeply".to_string(),
    };
    let Some((message, place)) = text.rsplit_once(" at Line: ") else {
        return Problem::new(
            tokens.end(),
            text.replace("Expected: ", "expected ").replace("found: EOF", "found the end of the statement"),
        );
    };
    let (line, column) = place.split_once(", Column: ").unwrap_or((place, "1"));
    let at = Location::new(line.trim().parse().unwrap_or(1), column.trim().parse().unwrap_or(1));
    Problem::new(at, message.replace("Expected: ", "expected ").replace("found: ", "found "))
}

/// Cuts the text into statements.
pub(crate) fn split(prepared: &Prepared) -> Result<Vec<Tokens>> {
    let mut statements = Vec::new();
    let mut current = Vec::new();
    for token in rewrite(tokenize(prepared)?) {
        if token.token == Token::SemiColon {
            statements.push(std::mem::take(&mut current));
        } else {
            current.push(token);
        }
    }
    statements.push(current);
    open_sets(statements)
}

fn tokenize(prepared: &Prepared) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&DIALECT, &prepared.text)
        .tokenize_with_location()
        .map_err(|error| Problem::new(prepared.written(error.location), error.message.clone()))?;
    let mut kept = Vec::with_capacity(tokens.len());
    for token in tokens {
        let (start, end) = (prepared.written(token.span.start), prepared.written(token.span.end));
        match &token.token {
            Token::Whitespace(Whitespace::MultiLineComment(text)) if text.starts_with('+') => {
                return Err(Problem::new(start, "hints (/*+ ... */) are not supported")
                    .help("set options in WITH (...) of the table, or by SET 'key' = 'value'"));
            }
            Token::Whitespace(_) => continue,
            Token::DoubleQuotedString(text) => {
                return Err(Problem::new(start, format!("\"{text}\" is neither a name nor a text in Flink's SQL"))
                    .help("quote names with backquotes (`name`) and texts with single quotes ('text')"));
            }
            _ => {}
        }
        let span = Span::new(Location::new(start.line, start.column), Location::new(end.line, end.column));
        kept.push(TokenWithSpan::new(token.token, span));
    }
    Ok(kept)
}

/// Brings two spellings into ones that sqlparser reads: `TIMESTAMP(3) WITH LOCAL TIME ZONE`, and `KEY` in JSON_OBJECT.
fn rewrite(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut parens: Vec<bool> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let token = &tokens[index];
        let word = word_of(token);
        let after_comma = out.last().is_some_and(|last| matches!(last.token, Token::LParen | Token::Comma));
        match &token.token {
            Token::LParen => parens.push(out.last().map(word_of).as_deref() == Some("JSON_OBJECT")),
            Token::RParen => {
                parens.pop();
            }
            Token::Word(_) if word == "KEY" && after_comma && parens.last() == Some(&true) => {
                let next = tokens.get(index + 1);
                if next
                    .is_some_and(|next| word_of(next) != "VALUE" && !matches!(next.token, Token::Comma | Token::RParen))
                {
                    index += 1;
                    continue;
                }
            }
            Token::Word(_) if word == "WITH" && is_local_time_zone(&tokens[index..]) => {
                if let Some(stamp) = out.iter_mut().rev().take(4).find(|token| word_of(token) == "TIMESTAMP") {
                    stamp.token = Token::make_word("TIMESTAMP_LTZ", None);
                    index += 4;
                    continue;
                }
            }
            _ => {}
        }
        out.push(token.clone());
        index += 1;
    }
    out
}

fn is_local_time_zone(tokens: &[TokenWithSpan]) -> bool {
    tokens.len() >= 4
        && ["WITH", "LOCAL", "TIME", "ZONE"].iter().zip(tokens).all(|(word, token)| word_of(token) == *word)
}

fn open_sets(statements: Vec<Vec<TokenWithSpan>>) -> Result<Vec<Tokens>> {
    let mut opened: Option<Position> = None;
    let mut all = Vec::new();
    for tokens in statements {
        let mut tokens = Tokens { tokens, in_set: opened.is_some() };
        if tokens.words_at(0, &["EXECUTE", "STATEMENT", "SET", "BEGIN"])
            || tokens.words_at(0, &["BEGIN", "STATEMENT", "SET"])
        {
            if opened.is_some() {
                return Err(Problem::new(tokens.start(), "a statement set begins inside of another one")
                    .help("write END; before it"));
            }
            opened = Some(tokens.start());
            let words = if tokens.word(0) == "EXECUTE" { 4 } else { 3 };
            tokens.tokens.drain(..words);
            tokens.in_set = true;
        } else if tokens.words_at(0, &["END"]) && tokens.tokens.len() == 1 {
            if opened.take().is_none() {
                return Err(Problem::new(tokens.start(), "END without a statement set")
                    .help("begin it with EXECUTE STATEMENT SET BEGIN"));
            }
            continue;
        }
        if !tokens.tokens.is_empty() {
            all.push(tokens);
        }
    }
    match opened {
        Some(at) => Err(Problem::new(at, "the statement set has no END;").help("write END; after the last INSERT")),
        None => Ok(all),
    }
}

/// Parses one statement. `skip` names the tables whose inserts are left out.
pub(crate) fn parse(tokens: &Tokens, prepared: &Prepared, skip: &dyn Fn(&str) -> bool) -> Result<Statement> {
    let first = tokens.word(0);
    if tokens.in_set && first != "INSERT" {
        return Err(
            Problem::new(tokens.start(), "a statement set holds INSERT statements only").help("move it above the set")
        );
    }
    match first.as_str() {
        "SET" => parse_set(tokens, prepared),
        "RESET" => parse_reset(tokens, prepared),
        "INSERT" => parse_insert(tokens, prepared, skip),
        "CREATE" => parse_create(tokens, prepared, skip),
        _ => Err(crate::refuse::statement(tokens, &first)),
    }
}

fn parse_set(tokens: &Tokens, prepared: &Prepared) -> Result<Statement> {
    tokens.check_marks(usize::MAX, prepared)?;
    let texts: Vec<&Token> = tokens.tokens[1..].iter().map(|token| &token.token).collect();
    match texts.as_slice() {
        [Token::SingleQuotedString(key), Token::Eq, Token::SingleQuotedString(value)] => {
            Ok(Statement::Set { key: key.clone(), value: value.clone() })
        }
        _ => Err(Problem::new(tokens.start(), "this SET cannot be read").help("write SET 'key' = 'value';")),
    }
}

fn parse_reset(tokens: &Tokens, prepared: &Prepared) -> Result<Statement> {
    tokens.check_marks(usize::MAX, prepared)?;
    match tokens.tokens[1..].iter().map(|token| &token.token).collect::<Vec<_>>().as_slice() {
        [] => Ok(Statement::Reset { key: None }),
        [Token::SingleQuotedString(key)] => Ok(Statement::Reset { key: Some(key.clone()) }),
        _ => Err(Problem::new(tokens.start(), "this RESET cannot be read").help("write RESET 'key'; or RESET;")),
    }
}

fn parse_insert(tokens: &Tokens, prepared: &Prepared, skip: &dyn Fn(&str) -> bool) -> Result<Statement> {
    if tokens.word(1) == "OVERWRITE" {
        return Err(Problem::new(tokens.at(1), "INSERT OVERWRITE is not supported").help("write INSERT INTO"));
    }
    if tokens.word(1) != "INTO" {
        return Err(Problem::new(tokens.at(1), "expected INTO after INSERT").help("write INSERT INTO table SELECT ..."));
    }
    let mut parser = parser(tokens.tokens[2..].to_vec());
    let problem = |error: ParserError| parse_problem(&error, tokens);
    let table = table_name(&mut parser, tokens)?;
    if skip(&table.value) {
        return Ok(Statement::Skipped);
    }
    tokens.check_marks(usize::MAX, prepared)?;
    if parser.peek_keyword(Keyword::PARTITION) {
        return Err(Problem::new(parser.peek_token_ref().span.start, "INSERT ... PARTITION (...) is not supported")
            .help("select the partition columns like all others; PARTITIONED BY of the table says which they are"));
    }
    let mut columns = Vec::new();
    if parser.peek_token_ref().token == Token::LParen && !is_query(&parser.peek_nth_token_ref(1).token) {
        columns =
            parser.parse_parenthesized_column_list(sqlparser::parser::IsOptional::Mandatory, false).map_err(problem)?;
    }
    if parser.peek_keyword(Keyword::VALUES) {
        return Err(Problem::new(parser.peek_token_ref().span.start, "INSERT ... VALUES is not supported").help(
            "a job reads from tables: INSERT INTO t SELECT ... FROM s; the 'datagen' connector makes rows for trials",
        ));
    }
    let query = parser.parse_query().map_err(problem)?;
    at_end(&parser, tokens)?;
    Ok(Statement::Insert { table, columns, query })
}

fn is_query(token: &Token) -> bool {
    matches!(token, Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES) && word.quote_style.is_none())
        || *token == Token::LParen
}

fn parse_create(tokens: &Tokens, prepared: &Prepared, skip: &dyn Fn(&str) -> bool) -> Result<Statement> {
    let temporary = usize::from(tokens.word(1) == "TEMPORARY");
    let kind = tokens.word(1 + temporary);
    let if_not_exists = tokens.words_at(2 + temporary, &["IF", "NOT", "EXISTS"]);
    let body = 2 + temporary + if if_not_exists { 3 } else { 0 };
    match kind.as_str() {
        "TABLE" => {
            let mut rest = tokens.tokens.get(body..).unwrap_or_default().to_vec();
            let name = rest.first().map(|token| match &token.token {
                Token::Word(word) => word.value.clone(),
                _ => String::new(),
            });
            if !name.as_deref().is_some_and(skip) {
                tokens.check_marks(ddl::options_at(&tokens.tokens), prepared)?;
            }
            ddl::split_shifts(&mut rest);
            let mut parser = parser(rest);
            let table = Box::new(ddl::parse_table(&mut parser, tokens)?);
            at_end(&parser, tokens)?;
            Ok(Statement::CreateTable { table, if_not_exists })
        }
        "VIEW" => {
            tokens.check_marks(usize::MAX, prepared)?;
            let mut parser = parser(tokens.tokens.get(body..).unwrap_or_default().to_vec());
            parse_view(&mut parser, tokens, if_not_exists)
        }
        _ => Err(crate::refuse::create(tokens, &kind, tokens.at(1 + temporary))),
    }
}

fn parse_view(parser: &mut Parser, tokens: &Tokens, if_not_exists: bool) -> Result<Statement> {
    let problem = |error: ParserError| parse_problem(&error, tokens);
    let name = table_name(parser, tokens)?;
    let mut columns = Vec::new();
    if parser.consume_token(&Token::LParen) {
        loop {
            columns.push(parser.parse_identifier().map_err(problem)?);
            ddl::comment(parser, tokens)?;
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen).map_err(problem)?;
    }
    ddl::comment(parser, tokens)?;
    parser.expect_keyword(Keyword::AS).map_err(problem)?;
    let query = parser.parse_query().map_err(problem)?;
    at_end(parser, tokens)?;
    Ok(Statement::CreateView { name, columns, query, if_not_exists })
}

/// A table's name: one word.
pub(crate) fn table_name(parser: &mut Parser, tokens: &Tokens) -> Result<Ident> {
    let name = parser.parse_identifier().map_err(|error| parse_problem(&error, tokens))?;
    if parser.peek_token_ref().token == Token::Period {
        return Err(Problem::new(name.span.start, "catalogs and databases are not supported")
            .help("a table's name is one word, such as `orders`"));
    }
    Ok(name)
}

fn at_end(parser: &Parser, tokens: &Tokens) -> Result<()> {
    let next = parser.peek_token_ref();
    if next.token == Token::EOF {
        return Ok(());
    }
    Err(crate::refuse::trailing(tokens, next))
}
