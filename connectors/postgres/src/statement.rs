//! The text of the INSERT. It holds names and types only; values travel as parameters.

use crate::table::{Table, Target};

/// An identifier as SQL writes it.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `INSERT INTO t (...) SELECT ... FROM UNNEST($1::..., ...) ON CONFLICT (key) DO UPDATE SET ...`; `key` holds indexes
/// into `targets`. One array parameter per column, so that the text does not depend on the number of rows.
pub(crate) fn insert(table: &Table, targets: &[Target], key: &[usize]) -> String {
    let names: Vec<String> = targets.iter().map(|target| quote(&target.name)).collect();
    let values: Vec<String> = (1..=targets.len())
        .zip(targets)
        .map(|(place, target)| target.wire.value(&format!("u.c{place}"), &target.base, &target.base_sql))
        .collect();
    let parameters: Vec<String> = (1..=targets.len())
        .zip(targets)
        .map(|(place, target)| format!("${place}::{}", target.wire.parameter()))
        .collect();
    let columns: Vec<String> = (1..=targets.len()).map(|place| format!("c{place}")).collect();
    let mut sql = format!(
        "INSERT INTO {} ({}) SELECT {} FROM UNNEST({}) AS u({})",
        table.qualified(),
        names.join(", "),
        values.join(", "),
        parameters.join(", "),
        columns.join(", ")
    );
    if !key.is_empty() {
        let keys: Vec<&str> = key.iter().map(|&index| names[index].as_str()).collect();
        let updates: Vec<String> = (0..names.len())
            .filter(|index| !key.contains(index))
            .map(|index| format!("{0} = EXCLUDED.{0}", names[index]))
            .collect();
        let action =
            if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", updates.join(", ")) };
        sql.push_str(&format!(" ON CONFLICT ({}) DO {action}", keys.join(", ")));
    }
    sql
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
