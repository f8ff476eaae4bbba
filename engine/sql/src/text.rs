//! Variables in a job's text: `${NAME}`, `${NAME:-default}` and `${file:PATH}` are put in, and positions in the
//! result are
//! led back to the text as it was written.
//!
//! A value that stands in a text literal or a quoted name is escaped, so that a quote in a password ends nothing.
//! Secrets (`${file:PATH}`, `${secret:PROVIDER:NAME}`) and variables without a value are not put in: a mark takes their place,
//! and whoever needs the value resolves the mark. So a secret can reach an option, and never an error or a plan. Those of
//! secret managers stay references here: planning asks nobody.

use crate::error::{Position, Problem, Result};
use crate::{Variables, names};

const SECRET: char = '\u{E000}';
const MISSING: char = '\u{E001}';
const END: char = '\u{E002}';

/// A variable that nobody gave.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    pub(crate) name: String,
    pub(crate) at: Position,
}

/// The text with its variables put in.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) text: String,
    /// Beginnings of what was copied or put in, ascending.
    pieces: Vec<Piece>,
    /// Index of the first character of each line of `text`.
    lines: Vec<usize>,
    /// The position of each character that was written, and of the end.
    written: Vec<Position>,
    missing: Vec<Missing>,
    /// `file:PATH` or `secret:PROVIDER:NAME`.
    secrets: Vec<(String, Position)>,
}

/// A literal with its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) value: String,
    /// The same with references in the place of secrets, when there are any.
    pub(crate) written: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    out: usize,
    raw: usize,
    copied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    Literal,
    Name,
    LineComment,
    BlockComment,
}

struct Scan<'a> {
    raw: Vec<char>,
    at: usize,
    out: Vec<char>,
    prepared: Prepared,
    variables: &'a dyn Variables,
}

/// Puts the variables in.
pub(crate) fn prepare(raw: &str, variables: &dyn Variables) -> Result<Prepared> {
    let raw: Vec<char> = raw.chars().map(|c| if is_mark(c) { '\u{FFFD}' } else { c }).collect();
    let prepared = Prepared {
        text: String::new(),
        pieces: vec![Piece { out: 0, raw: 0, copied: true }],
        lines: vec![0],
        written: positions(&raw),
        missing: Vec::new(),
        secrets: Vec::new(),
    };
    let mut scan = Scan { raw, at: 0, out: Vec::new(), prepared, variables };
    scan.run()?;
    let mut prepared = scan.prepared;
    prepared.lines.extend(scan.out.iter().enumerate().filter(|(_, c)| **c == '\n').map(|(index, _)| index + 1));
    prepared.text = scan.out.into_iter().collect();
    Ok(prepared)
}

fn positions(raw: &[char]) -> Vec<Position> {
    let mut at = Position::START;
    let mut positions = Vec::with_capacity(raw.len() + 1);
    for c in raw {
        positions.push(at);
        at = if *c == '\n' {
            Position { line: at.line + 1, column: 1 }
        } else {
            Position { line: at.line, column: at.column + 1 }
        };
    }
    positions.push(at);
    positions
}

fn is_mark(c: char) -> bool {
    matches!(c, SECRET | MISSING | END)
}

/// Shows marks as `***`.
pub(crate) fn hide_marks(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match c {
            SECRET | MISSING => {
                inside = true;
                shown.push_str("***");
            }
            END => inside = false,
            c if !inside => shown.push(c),
            _ => {}
        }
    }
    shown
}

/// True when a literal holds a secret or a variable without a value.
pub(crate) fn has_marks(text: &str) -> bool {
    text.contains(is_mark)
}

/// The indexes of the variables without a value in `text`.
pub(crate) fn missing_in(text: &str) -> Vec<usize> {
    marks(text).filter(|(kind, _)| *kind == MISSING).map(|(_, index)| index).collect()
}

fn marks(text: &str) -> impl Iterator<Item = (char, usize)> + '_ {
    text.char_indices().filter(|(_, c)| matches!(*c, SECRET | MISSING)).filter_map(|(start, kind)| {
        let digits = text[start + kind.len_utf8()..].split(END).next()?;
        Some((kind, digits.parse().ok()?))
    })
}

impl Scan<'_> {
    fn run(&mut self) -> Result<()> {
        let mut within = Within::Code;
        while self.at < self.raw.len() {
            if self.starts("${") && !matches!(within, Within::LineComment | Within::BlockComment) {
                self.variable(within)?;
                continue;
            }
            let c = self.raw[self.at];
            within = match within {
                Within::Code if self.starts("--") => Within::LineComment,
                Within::Code if self.starts("/*") => {
                    self.copy();
                    Within::BlockComment
                }
                Within::Code if c == '\'' => Within::Literal,
                Within::Code if c == '`' => Within::Name,
                Within::Literal if c == '\'' => Within::Code,
                Within::Name if c == '`' => Within::Code,
                Within::LineComment if c == '\n' => Within::Code,
                Within::BlockComment if self.starts("*/") => {
                    self.copy();
                    Within::Code
                }
                other => other,
            };
            self.copy();
        }
        Ok(())
    }

    fn starts(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, c)| self.raw.get(self.at + index) == Some(&c))
    }

    fn copy(&mut self) {
        self.out.push(self.raw[self.at]);
        self.at += 1;
    }

    fn variable(&mut self, within: Within) -> Result<()> {
        let start = self.at;
        let end = closing(&self.raw, start + 2).ok_or_else(|| {
            Problem::new(self.prepared.written[start], "'${' is not closed").help("write ${NAME} or ${NAME:-default}")
        })?;
        let inner: String = self.raw[start + 2..end].iter().collect();
        let value = self.value(&inner, start, within)?;
        self.prepared.pieces.push(Piece { out: self.out.len(), raw: start, copied: false });
        let quote = match within {
            Within::Literal => Some('\''),
            Within::Name => Some('`'),
            _ => None,
        };
        for c in value.chars() {
            self.out.push(c);
            if Some(c) == quote {
                self.out.push(c);
            }
        }
        self.at = end + 1;
        self.prepared.pieces.push(Piece { out: self.out.len(), raw: self.at, copied: true });
        Ok(())
    }

    fn value(&mut self, inner: &str, start: usize, within: Within) -> Result<String> {
        let at = self.prepared.written[start];
        if is_reference(inner) {
            let reference = self.nested(inner, start)?;
            return self.secret(reference, at, within);
        }
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !names::is_variable(name) {
            return Err(Problem::new(at, format!("'${{{inner}}}' is not a variable"))
                .help("write ${NAME}, ${NAME:-default} or '${file:PATH}'; names are letters, digits, '_' and '.'"));
        }
        let given = self.variables.get(name).map(|value| value.replace(is_mark, "\u{FFFD}"));
        match (given, default) {
            (Some(value), default) if !value.is_empty() || default.is_none() => {
                match value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).filter(|rest| is_reference(rest))
                {
                    Some(reference) => self.secret(reference.to_string(), at, within),
                    None => Ok(value),
                }
            }
            (_, Some(default)) => self.nested(default, start),
            _ => {
                let index = self.prepared.missing.len();
                self.prepared.missing.push(Missing { name: name.to_string(), at });
                Ok(match within {
                    Within::Code => format!("{CODE_MARK}{index}"),
                    _ => format!("{MISSING}{index}{END}"),
                })
            }
        }
    }

    /// A default or a path may hold variables again; those must have a value.
    fn nested(&mut self, text: &str, start: usize) -> Result<String> {
        let chars: Vec<char> = text.chars().collect();
        let (mut out, mut at) = (String::new(), 0);
        while at < chars.len() {
            if chars[at] == '$' && chars.get(at + 1) == Some(&'{') {
                let position = self.prepared.written[start];
                let end = closing(&chars, at + 2).ok_or_else(|| Problem::new(position, "'${' is not closed"))?;
                let inner: String = chars[at + 2..end].iter().collect();
                out.push_str(&self.value(&inner, start, Within::Literal)?);
                at = end + 1;
            } else {
                out.push(chars[at]);
                at += 1;
            }
        }
        Ok(out)
    }

    fn secret(&mut self, reference: String, at: Position, within: Within) -> Result<String> {
        if within != Within::Literal {
            return Err(Problem::new(at, "a secret (${file:PATH}, ${secret:...}) stands outside a text literal")
                .help("write it between single quotes, as the value of an option in WITH (...)"));
        }
        let index = self.prepared.secrets.len();
        self.prepared.secrets.push((reference, at));
        Ok(format!("{SECRET}{index}{END}"))
    }
}

/// The inside of `${file:PATH}` or `${secret:...}`.
fn is_reference(inner: &str) -> bool {
    inner.starts_with("file:") || inner.starts_with("secret:")
}

/// What stands for a variable without a value outside of literals: a word, so that the text can still be split.
pub(crate) const CODE_MARK: &str = "aqueduct_missing_variable_";

fn closing(text: &[char], from: usize) -> Option<usize> {
    let mut depth = 0;
    for (index, c) in text.iter().enumerate().skip(from) {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(index),
            '}' => depth -= 1,
            '\n' => return None,
            _ => {}
        }
    }
    None
}

impl Prepared {
    /// Where a place of the prepared text was written.
    pub(crate) fn written(&self, at: sqlparser::tokenizer::Location) -> Position {
        let line = usize::try_from(at.line).unwrap_or(1).max(1) - 1;
        let column = usize::try_from(at.column).unwrap_or(1).max(1) - 1;
        let out = self.lines.get(line).copied().unwrap_or(0) + column;
        let piece = self.pieces.partition_point(|piece| piece.out <= out).saturating_sub(1);
        let piece = self.pieces[piece];
        let raw = if piece.copied { piece.raw + (out - piece.out) } else { piece.raw };
        self.written[raw.min(self.written.len() - 1)]
    }

    /// The problem that a variable without a value is.
    pub(crate) fn missing_problem(&self, index: usize) -> Problem {
        let missing = &self.missing[index.min(self.missing.len().saturating_sub(1))];
        Problem::new(missing.at, format!("the variable {} has no value", missing.name)).help(format!(
            "give it with --set {name}=VALUE, under [variables] in job.toml, or in the environment; or write a default: \
             ${{{name}:-VALUE}}",
            name = missing.name
        ))
    }

    /// The text of a literal with its secret files read. One newline at the end of a file is left out.
    pub(crate) fn resolve(&self, literal: &str, variables: &dyn Variables) -> Result<Resolved> {
        if let Some(index) = missing_in(literal).first() {
            return Err(self.missing_problem(*index));
        }
        let (mut out, mut written, mut rest) = (String::new(), String::new(), literal);
        while let Some(start) = rest.find(SECRET) {
            out.push_str(&rest[..start]);
            written.push_str(&rest[..start]);
            let after = &rest[start + SECRET.len_utf8()..];
            let end = after.find(END).unwrap_or(after.len());
            let (reference, at) =
                after[..end].parse().ok().and_then(|index: usize| self.secrets.get(index)).ok_or_else(|| {
                    Problem::new(
                        Position::START,
                        "a secret lost its place in the text; this is an error of the planner",
                    )
                })?;
            written.push_str(&format!("${{{reference}}}"));
            match reference.strip_prefix("file:") {
                Some(path) => out.push_str(&read_file(path, *at, variables)?),
                None => out.push_str(&format!("${{{reference}}}")),
            }
            rest = after.get(end + END.len_utf8()..).unwrap_or("");
        }
        out.push_str(rest);
        written.push_str(rest);
        Ok(Resolved { value: out, written: literal.contains(SECRET).then_some(written) })
    }
}

fn read_file(path: &str, at: Position, variables: &dyn Variables) -> Result<String> {
    let secret = variables.file(path).map_err(|error| {
        Problem::new(at, format!("the secret file '{path}' cannot be read: {error}"))
            .help("check the path and who may read it; paths are relative to the job's folder")
    })?;
    let trimmed = secret.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
    Ok(trimmed.unwrap_or(&secret).to_owned())
}

#[cfg(test)]
mod tests;
