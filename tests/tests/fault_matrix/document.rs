//! `RELIABILITY.md` against the sources: every row of the fault matrix has its line, and every test that it names exists.

use aqueduct_tests::main_job::workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rows of the matrix that one machine can be asked for.
const ROWS: std::ops::RangeInclusive<u32> = 1..=45;

fn document() -> String {
    std::fs::read_to_string(workspace().join("RELIABILITY.md")).expect("RELIABILITY.md lies at the root")
}

/// Per row of the matrix: the cells after its number (`| 7 | fault | how it is shown | what happens |`).
fn rows(text: &str) -> BTreeMap<u32, Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let numbered = |line: &str| {
        let mut cells = cells(line);
        let number = cells.first()?.parse().ok()?;
        cells.remove(0);
        (cells.len() == 3).then_some((number, cells))
    };
    text.lines().filter(|line| line.starts_with("| ")).filter_map(numbered).collect()
}

/// What stands in backticks and is a function's name.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    let plain = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    cell.split('`').skip(1).step_by(2).filter(plain)
}

/// Every function of the Rust sources.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            functions(&path, found);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let heads = text.lines().filter_map(|line| line.split_once("fn ")?.1.split_once(['(', '<']));
            found.extend(heads.map(|(name, _)| name.to_owned()));
        }
    }
}

fn known() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for room in ["engine", "connectors", "jobs", "tests"] {
        functions(&workspace().join(room), &mut found);
    }
    found
}

/// What is wrong with a document, given the functions that exist.
fn faults(text: &str, known: &BTreeSet<String>) -> Vec<String> {
    let rows = rows(text);
    let mut faults: Vec<String> =
        ROWS.filter(|row| !rows.contains_key(row)).map(|row| format!("row {row} has no line")).collect();
    let mut told = BTreeSet::new();
    for (row, cells) in &rows {
        if cells.iter().any(|cell| cell.len() < 8) {
            faults.push(format!("row {row} says too little: {cells:?}"));
        }
        for name in names(&cells[1]) {
            told.insert(name.to_owned());
            if !known.contains(name) {
                faults.push(format!("row {row} names `{name}`, which no source has"));
            }
            let number =
                name.strip_prefix("row_").and_then(|rest| rest.get(..2)).and_then(|digits| digits.parse().ok());
            if number.is_some_and(|number: u32| number != *row) {
                faults.push(format!("row {row} names `{name}`, which is another row's"));
            }
        }
    }
    let numbered = known.iter().filter(|name| name.starts_with("row_") && name.as_bytes()[4].is_ascii_digit());
    faults.extend(numbered.filter(|name| !told.contains(*name)).map(|name| format!("nobody names the test `{name}`")));
    faults
}

#[test]
fn a_document_can_be_wrong() {
    let known = BTreeSet::from(["row_01_a_kill".to_owned(), "row_02_other".to_owned(), "some_test".to_owned()]);
    let line = |row: u32, test: &str| format!("| {row} | what goes wrong | `{test}` | what happens then |\n");
    let mut text: String = ROWS.map(|row| line(row, "some_test")).collect();
    text = text.replace(&line(1, "some_test"), &line(1, "row_01_a_kill"));
    text = text.replace(&line(2, "some_test"), &line(2, "row_02_other"));
    assert_eq!(faults(&text, &known), Vec::<String>::new());
    let wrong = text.replace(&line(7, "some_test"), "").replace(&line(9, "some_test"), &line(9, "no_such_test"));
    let wrong = wrong.replace(&line(2, "row_02_other"), &line(2, "row_01_a_kill"));
    let expected = [
        "row 7 has no line",
        "row 2 names `row_01_a_kill`, which is another row's",
        "row 9 names `no_such_test`, which no source has",
        "nobody names the test `row_02_other`",
    ];
    assert_eq!(faults(&wrong, &known), expected);
}

#[test]
fn every_row_has_a_line_and_every_test_exists() {
    let faults = faults(&document(), &known());
    assert!(faults.is_empty(), "RELIABILITY.md:\n{}", faults.join("\n"));
}
