//! What is wrong with a job's SQL, and where: a position, a message, and what works instead.
//!
//! Problems carry positions of the text as the user wrote it (before variables were put in). Secret values never reach
//! this file: the planner sees marks in their place, and the marks are shown as `***`.

use crate::text::hide_marks;
use std::fmt;

/// A place in the job's text, counted in characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The character in the line.
    pub column: u64,
}

impl Position {
    /// The beginning of the text.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl From<sqlparser::tokenizer::Location> for Position {
    fn from(at: sqlparser::tokenizer::Location) -> Self {
        Self { line: at.line, column: at.column }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Position,
    /// What.
    pub message: String,
    /// What works instead.
    pub help: Option<String>,
}

/// The result of a step of the planner.
pub(crate) type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    pub(crate) fn new(at: impl Into<Position>, message: impl AsRef<str>) -> Self {
        Self { at: at.into(), message: hide_marks(message.as_ref()), help: None }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(hide_marks(help.as_ref()));
        self
    }
}

/// Why a job's SQL cannot be planned. Shown as `file:line:column: message`, with a help line below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    file: String,
    problems: Vec<Problem>,
}

impl SqlError {
    pub(crate) fn new(file: &str, problems: Vec<Problem>) -> Self {
        Self { file: file.to_string(), problems }
    }

    /// What is wrong, in the order of the text; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}:{}: {}", self.file, problem.at.line, problem.at.column, problem.message)?;
            if let Some(help) = &problem.help {
                write!(f, "\n  help: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SqlError {}

impl From<SqlError> for aqueduct_core::Error {
    fn from(error: SqlError) -> Self {
        aqueduct_core::Error::config(error.to_string())
    }
}
