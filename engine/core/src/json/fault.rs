//! Why a value does not fit its column, in words for the person who reads dead letters.

use super::scan::{Kind, Span};

/// Values are cut to so many characters in messages.
const SHOWN: usize = 40;

/// A reason and the path of field names that leads to it.
#[derive(Debug)]
pub(super) struct Fault {
    path: String,
    reason: String,
}

pub(super) type Outcome<T> = Result<T, Fault>;

impl Fault {
    pub(super) fn new(reason: String) -> Self {
        Self { path: String::new(), reason }
    }

    /// `expected BIGINT, found text 'abc'`
    #[cold]
    pub(super) fn expected(sql_type: &str, span: Span, document: &str) -> Self {
        Self::new(format!("expected {sql_type}, found {}", found(span, document)))
    }

    /// `'12x' is not a date such as 2026-01-31`; `ends` completes the sentence.
    #[cold]
    pub(super) fn text(text: &str, ends: &str) -> Self {
        Self::new(format!("'{}' {ends}", cut(text)))
    }

    /// `300 is out of range for TINYINT`
    #[cold]
    pub(super) fn range(text: &str, sql_type: &str) -> Self {
        Self::new(format!("{} is out of range for {sql_type}", cut(text)))
    }

    /// Adds the next step.
    pub(super) fn advice(mut self, advice: &str) -> Self {
        self.reason.push_str("; ");
        self.reason.push_str(advice);
        self
    }

    /// Puts the field's name before the path. Names that begin with `[` are indexes; items have no name of their own.
    pub(super) fn within(mut self, name: &str) -> Self {
        if name.is_empty() {
            return self;
        }
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path.insert_str(0, dot);
        self.path.insert_str(0, name);
        self
    }

    /// `path: reason`
    pub(super) fn into_message(self) -> String {
        format!("{}: {}", self.path, self.reason)
    }
}

/// What stands in the text: `text 'abc'`, `number 1.5`, `an object`.
fn found(span: Span, document: &str) -> String {
    match span.kind {
        Kind::Text | Kind::Escaped => format!("text '{}'", cut(span.of(document))),
        Kind::Number => format!("number {}", cut(span.of(document))),
        Kind::Object => "an object".to_owned(),
        Kind::Array => "an array".to_owned(),
        Kind::True => "true".to_owned(),
        Kind::False => "false".to_owned(),
        Kind::Null => "null".to_owned(),
        Kind::Missing => "nothing".to_owned(),
    }
}

/// The first characters of a value.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
