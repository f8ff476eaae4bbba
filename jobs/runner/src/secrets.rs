//! The values of `${file:PATH}` that this process has read, so that none of them can leave it in a message.
//!
//! The last line of defence: rooms do not print secrets on purpose, but an option's value stands in the error about it.

use std::sync::{Mutex, PoisonError};

static KNOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Shorter texts would be found inside ordinary words.
const SHORTEST: usize = 4;

/// From now on `hide` knows the value.
pub(crate) fn remember(value: &str) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if value.len() >= SHORTEST && !known.iter().any(|one| one == value) {
        known.push(value.to_owned());
        // A secret may hold another one: the longer goes first.
        known.sort_by_key(|one| std::cmp::Reverse(one.len()));
    }
}

/// The text with every known secret as `***`.
pub(crate) fn hide(text: &str) -> String {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_hidden() {
        remember("swordfish");
        remember("swordfish-2");
        remember("x");
        assert_eq!(hide("password swordfish-2, then swordfish; x"), "password ***, then ***; x");
    }
}
