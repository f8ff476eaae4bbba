//! The outer storey of errors: one type whose kind names what the operator does next.
//!
//! Crates keep their own detailed enums inside and map every variant to one of these kinds at their border. This file
//! does not print or log anything.

use crate::Hurdle;
use std::fmt;

/// What the reader of an error does next. The runner maps each kind to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A dependency is unreachable or busy: trying the same thing later may work (exit code 4).
    Retry,
    /// The job, its options or the environment must be changed first (exit code 2).
    FixConfig,
    /// Stored or incoming data must be looked at first (exit code 3).
    FixData,
    /// A newer owner holds the shard: stop, do not retry (exit code 5).
    Fenced,
    /// The engine broke one of its own rules (exit code 1).
    Bug,
}

/// An error with what happened and where in its message, and what to do next in its kind.
pub struct Error {
    kind: ErrorKind,
    message: String,
    hurdle: Option<Hurdle>,
    disputed: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything that crosses a crate border.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind`. `message` says what happened, where, and the next step.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hurdle: None, disputed: false, source: None }
    }

    /// Shorthand for [`ErrorKind::Retry`].
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retry, message)
    }

    /// [`ErrorKind::Retry`], because another process took hold of the thing at the same time. Who is right says the claim: the
    /// owner of the shard may try again at once.
    pub fn disputed(message: impl Into<String>) -> Self {
        Self { disputed: true, ..Self::retry(message) }
    }

    /// Shorthand for [`ErrorKind::FixConfig`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::FixConfig, message)
    }

    /// Shorthand for [`ErrorKind::FixData`].
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::FixData, message)
    }

    /// Shorthand for [`ErrorKind::Fenced`].
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }

    /// Shorthand for [`ErrorKind::Bug`].
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }

    /// Keeps the cause for logs; its text is not repeated in the message.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts where it happened in front of the message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Says how far the connection came that failed.
    #[must_use]
    pub fn at(mut self, hurdle: Hurdle) -> Self {
        self.hurdle = Some(hurdle);
        self
    }

    /// What the connection did not get past, where that is known.
    pub fn hurdle(&self) -> Option<Hurdle> {
        self.hurdle
    }

    /// What the operator does next.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it was made by [`Error::disputed`].
    pub fn is_disputed(&self) -> bool {
        self.disputed
    }

    /// What happened, where, and the next step.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        match &self.source {
            Some(cause) => write!(f, " (cause: {cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|cause| cause.as_ref() as &(dyn std::error::Error + 'static))
    }
}

impl From<arrow::error::ArrowError> for Error {
    /// Arrow kernels fail on values (overflow, a cast that does not fit): the data has to be looked at.
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::data(format!("a computation on the rows failed: {error}")).with_source(error)
    }
}

/// An error and its causes in one line; a cause that its effect already tells is left out. For errors of libraries, whose own
/// message alone often says little.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text
}
