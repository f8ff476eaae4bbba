//! Document ids: the texts of the primary key, joined; two different keys never give the same id.
//!
//! Values without special characters stay as they are, so that `2026-01-01T00:00:00Z_thumbnail` is what people expect.

/// Firestore's limit, in bytes.
pub(crate) const MAX_BYTES: usize = 1_500;

/// Joins the values of a key. `/` and `%` are percent-encoded, and in all values but the last the delimiter's first
/// character too; ids that Firestore reserves (`.`, `..`, `__x__`, the empty one) are bent the same way.
pub(crate) fn document_id<'a>(values: impl ExactSizeIterator<Item = &'a str>, delimiter: &str) -> String {
    let mut id = String::new();
    let last = values.len().saturating_sub(1);
    for (index, value) in values.enumerate() {
        if index > 0 {
            id.push_str(delimiter);
        }
        let special = if index < last { delimiter.chars().next() } else { None };
        for character in value.chars() {
            match character {
                '/' | '%' => encode(character, &mut id),
                _ if Some(character) == special => encode(character, &mut id),
                _ => id.push(character),
            }
        }
    }
    unreserved(id)
}

/// The same care for a single text, such as the name of a fence.
pub(crate) fn plain_id(text: &str) -> String {
    document_id([text].into_iter(), "")
}

fn encode(character: char, id: &mut String) {
    let mut bytes = [0; 4];
    for byte in character.encode_utf8(&mut bytes).bytes() {
        id.push_str(&format!("%{byte:02X}"));
    }
}

fn unreserved(id: String) -> String {
    match id.as_str() {
        // No encoded value holds a bare '%'.
        "" => "%".into(),
        "." => "%2E".into(),
        ".." => "%2E%2E".into(),
        _ if id.len() >= 4 && id.starts_with("__") && id.ends_with("__") => format!("%5F{}", &id[1..]),
        _ => id,
    }
}

#[cfg(test)]
#[path = "id_tests.rs"]
mod tests;
