//! Tests of variables in the text.

use super::{hide_marks, missing_in, prepare};
use crate::testing::Given;
use sqlparser::tokenizer::Location;

fn put_in(text: &str, variables: &Given) -> String {
    prepare(text, variables).unwrap().text
}

#[test]
fn values_are_put_in_where_they_stand() {
    let given = Given::values([("A", "1"), ("Q", "it's `x`"), ("E", "")]);
    assert_eq!(put_in("${A} '${A}' `${A}`", &given), "1 '1' `1`");
    assert_eq!(put_in("'${Q}' `${Q}` ${Q}", &given), "'it''s `x`' `it's ``x``` it's `x`");
    assert_eq!(put_in("${B:-2} ${B:-} ${E:-3} ${E} ${B:-${A}} ${B:-a}b", &given), "2  3  1 ab");
    assert_eq!(put_in("-- ${B}\n/* ${B} ' */ 'a''${A}' -- it's ${", &given), "-- ${B}\n/* ${B} ' */ 'a''1' -- it's ${");
    assert_eq!(put_in("$A {A} $ {A}", &given), "$A {A} $ {A}");
}

#[test]
fn positions_lead_back_to_the_written_text() {
    let given = Given::values([("LONG", "one\ntwo three"), ("X", "")]);
    let prepared = prepare("a ${LONG} b\nc ${X}d", &given).unwrap();
    assert_eq!(prepared.text, "a one\ntwo three b\nc d");
    let at = |line, column| {
        let position = prepared.written(Location { line, column });
        (position.line, position.column)
    };
    assert_eq!((at(1, 1), at(1, 3), at(2, 5)), ((1, 1), (1, 3), (1, 3)));
    assert_eq!((at(2, 11), at(3, 1), at(3, 3)), ((1, 11), (2, 1), (2, 7)));
}

#[test]
fn missing_variables_and_secrets_are_marks() {
    let given = Given::default().file("p", "word\r\n").file("two", "a\n\n");
    let prepared = prepare("'${NONE}' '${file:p}' '${file:two}'", &given).unwrap();
    let literals: Vec<&str> = prepared.text.split('\'').skip(1).step_by(2).collect();
    assert_eq!(missing_in(literals[0]), [0]);
    assert_eq!(hide_marks(literals[1]), "***");
    assert_eq!(prepared.resolve(literals[1], &given).unwrap().value, "word");
    assert_eq!(prepared.resolve(literals[2], &given).unwrap().value, "a\n");
    assert_eq!(prepared.resolve("plain", &given).unwrap().value, "plain");
    assert!(prepared.resolve(literals[0], &given).unwrap_err().message.contains("NONE"));
}

#[test]
fn marks_in_the_text_are_no_marks() {
    let forged = "'\u{E000}0\u{E002}'";
    let given = Given::values([("F", forged)]).file("p", "secret");
    let prepared = prepare(&format!("{forged} '${{F}}' '${{file:p}}'"), &given).unwrap();
    let literals: Vec<&str> = prepared.text.split('\'').filter(|text| text.contains('\u{FFFD}')).collect();
    assert_eq!(literals.len(), 2);
    assert!(literals.iter().all(|text| !prepared.resolve(text, &given).unwrap().value.contains("secret")));
}
