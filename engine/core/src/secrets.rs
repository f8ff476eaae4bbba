//! Where the values of secrets come from, as the runner tells it to tables: by reference, and again when they have changed.
//!
//! It reads nothing itself, and no value is ever shown by it.

use crate::{Error, Result};

/// Reads secrets.
///
/// # Who implements
/// The runner: files, and the clouds' secret managers.
/// # Blocking
/// A read may block for some seconds; tasks call it where they may block.
pub trait Secrets: Send + Sync {
    /// The value behind a reference: `file:PATH` or `secret:PROVIDER:NAME`. With `anew` it is the value of this moment, else it may be
    /// one that was read before. Errors name the reference and never a value.
    fn read(&self, reference: &str, anew: bool) -> Result<String>;
}

/// The beginnings of references, in `${...}`.
const KINDS: [&str; 2] = ["${file:", "${secret:"];

/// The text with a value in the place of each `${file:...}` and `${secret:...}`.
pub(crate) fn put_in(text: &str, mut read: impl FnMut(&str) -> Result<String>) -> Result<String> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = KINDS.iter().filter_map(|kind| rest.find(kind)).min() {
        out.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let end = inside.find('}').ok_or_else(|| Error::config("a reference to a secret has no '}' at its end"))?;
        out.push_str(&read(&inside[..end])?);
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
