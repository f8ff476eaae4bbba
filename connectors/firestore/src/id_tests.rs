//! Holds `id.rs` to what it says.

use super::*;
use std::collections::BTreeMap;

fn id(values: &[&str]) -> String {
    document_id(values.iter().copied(), "_")
}

#[test]
fn ordinary_keys_read_as_they_are() {
    assert_eq!(id(&["2026-01-01T00:00:00Z", "thumb_small"]), "2026-01-01T00:00:00Z_thumb_small");
    assert_eq!(id(&["größe"]), "größe");
}

#[test]
fn special_characters_are_encoded() {
    assert_eq!(id(&["a/b"]), "a%2Fb");
    assert_eq!(id(&["50%", "x"]), "50%25_x");
    assert_eq!(id(&["a_b", "c_d"]), "a%5Fb_c_d");
    assert_eq!(document_id(["a-", "-b"].into_iter(), "--"), "a%2D---b");
    assert_eq!(document_id(["aéb", "c"].into_iter(), "é"), "a%C3%A9béc");
}

#[test]
fn reserved_ids_are_bent() {
    for (value, expected) in
        [("", "%"), (".", "%2E"), ("..", "%2E%2E"), ("__x__", "%5F_x__"), ("____", "%5F___"), ("__x", "__x")]
    {
        assert_eq!(id(&[value]), expected);
    }
    assert_eq!(plain_id("job-s0-a/b"), "job-s0-a%2Fb");
}

#[test]
fn different_keys_have_different_ids() {
    let parts = ["", "_", "__", "a", "a_", "_a", "%", "%5F", "%2E", ".", "..", "/", "%2F", "a_b", "-"];
    let mut seen: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    for first in parts {
        for second in parts {
            if let Some(other) = seen.insert(id(&[first, second]), (first, second)) {
                panic!("{other:?} and {:?} share an id", (first, second));
            }
        }
    }
    let mut single: BTreeMap<String, &str> = BTreeMap::new();
    for part in parts {
        assert_eq!(single.insert(id(&[part]), part), None, "{part}");
    }
}
