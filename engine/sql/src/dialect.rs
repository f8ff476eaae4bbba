//! Flink's dialect for sqlparser: backquotes, `TABLE t` as an argument, named arguments, `KEY 'k' VALUE v`.
//!
//! It only says what can be parsed; what is refused is decided in `check`.

use sqlparser::ast::{Expr, Query, Select, SelectFlavor, SelectItem, SetExpr, TableFactor, TableWithJoins};
use sqlparser::ast::{GroupByExpr, WildcardAdditionalOptions, helpers::attached_token::AttachedToken};
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// The dialect.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FlinkDialect;

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        true
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let [first, second] = parser.peek_tokens_ref();
        let is_table =
            matches!(&first.token, Token::Word(word) if word.keyword == Keyword::TABLE && word.quote_style.is_none());
        if is_table && matches!(second.token, Token::Word(_)) {
            parser.next_token();
            return Some(parse_table_argument(parser));
        }
        None
    }
}

/// `TABLE t` as an argument stands for `(SELECT * FROM t)`.
fn parse_table_argument(parser: &mut Parser) -> Result<Expr, ParserError> {
    let select_token = AttachedToken(parser.peek_token());
    let name = parser.parse_object_name(false)?;
    if parser.peek_keyword(Keyword::PARTITION) || parser.peek_keyword(Keyword::ORDER) {
        let found = parser.peek_token();
        return parser.expected(
            "',' after the table (only SESSION windows take PARTITION BY, and they are not supported)",
            found,
        );
    }
    let relation = TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    };
    let select = Select {
        select_token,
        optimizer_hints: vec![],
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: vec![TableWithJoins { relation, joins: vec![] }],
        lateral_views: vec![],
        prewhere: None,
        selection: None,
        connect_by: vec![],
        group_by: GroupByExpr::Expressions(vec![], vec![]),
        cluster_by: vec![],
        distribute_by: vec![],
        sort_by: vec![],
        having: None,
        named_window: vec![],
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    };
    Ok(Expr::Subquery(Box::new(query_of(SetExpr::Select(Box::new(select))))))
}

/// A query that is only a body.
pub(crate) fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    }
}
