//! The end of a run: what every sink holds against what the oracle says.

use super::input::{BEGIN_MS, Input};
use super::oracle::{Counts, Expected, Totals, expected};
use super::services::{BUCKET_PATH, Services};
use super::table::Row;
use aqueduct_runtime::StatusSnapshot;
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything that is not as it must be.
pub fn verdict(input: &Input, services: &Services, status: Option<&StatusSnapshot>) -> Vec<String> {
    let right = expected(input);
    let mut wrong = Vec::new();
    for (table, rows) in services.totals() {
        wrong.extend(compare_totals(table, &right.totals, &rows));
    }
    match bucket_rows(services) {
        Ok(rows) => wrong.extend(compare_totals("bucket_totals", &right.totals, &rows)),
        Err(why) => wrong.push(why),
    }
    wrong.extend(compare_totals("hop_rows", &right.hops, &services.rows("hop_rows")));
    wrong.extend(compare_lists(&right, services));
    wrong.extend(compare_ledger(&right, services));
    if let Some(status) = status {
        wrong.extend(
            status
                .ledger
                .iter()
                .filter(|totals| !totals.closes())
                .map(|totals| format!("the status' ledger of '{}' does not close: {totals:?}", totals.query)),
        );
    }
    wrong
}

/// A number as the sink shows it.
pub fn number(row: &Row, column: &str) -> i64 {
    match row.get(column) {
        Some(Value::Number(number)) => number.as_i64().unwrap_or(i64::MIN),
        Some(Value::String(text)) => text.parse().unwrap_or(i64::MIN),
        _ => i64::MIN,
    }
}

fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn time(row: &Row, column: &str) -> i64 {
    let parsed = chrono::DateTime::parse_from_rfc3339(&text(row, column));
    parsed.map_or(i64::MIN, |at| at.timestamp_millis())
}

fn compare_totals(table: &str, right: &Totals, rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut found = Totals::new();
    for row in rows {
        let key = (time(row, "window_start"), text(row, "k"));
        let value = (number(row, "n"), number(row, "total"), time(row, "latest"));
        if found.insert(key.clone(), value).is_some() {
            wrong.push(format!("{table}: {} came twice", show(&key)));
        }
    }
    for (key, value) in right {
        match found.remove(key) {
            None => wrong.push(format!("{table}: {} is missing", show(key))),
            Some(there) if there != *value => {
                wrong.push(format!("{table}: {} is {there:?} instead of {value:?}", show(key)));
            }
            Some(_) => {}
        }
    }
    wrong.extend(found.keys().map(|key| format!("{table}: {} should not be there", show(key))));
    wrong
}

fn show((start, key): &(i64, String)) -> String {
    format!("window at {} s of {key}", (start - BEGIN_MS) / 1_000)
}

fn counted<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    items.fold(BTreeMap::new(), |mut all, item| {
        *all.entry(item).or_insert(0) += 1;
        all
    })
}

fn differ<T: Ord + std::fmt::Debug>(what: &str, right: &BTreeMap<T, u64>, found: &BTreeMap<T, u64>) -> Vec<String> {
    let missing = right.iter().filter(|(item, count)| found.get(item).unwrap_or(&0) < count);
    let extra = found.iter().filter(|(item, count)| right.get(item).unwrap_or(&0) < count);
    let missing = missing
        .map(|(item, count)| format!("{what}: {item:?} {} times instead of {count}", found.get(item).unwrap_or(&0)));
    let extra = extra
        .map(|(item, count)| format!("{what}: {item:?} {count} times instead of {}", right.get(item).unwrap_or(&0)));
    missing.chain(extra).collect()
}

fn compare_lists(right: &Expected, services: &Services) -> Vec<String> {
    let late = services.rows("late_rows");
    let late = counted(late.iter().map(|row| (text(row, "query"), number(row, "partition"), number(row, "offset"))));
    let dead = services.rows("dead_rows");
    let dead = counted(dead.iter().map(|row| (number(row, "partition"), number(row, "offset"))));
    let mut wrong = Vec::new();
    for (table, rows) in services.big() {
        let big = counted(rows.iter().map(|row| (text(row, "k"), number(row, "v"), time(row, "ts"))));
        wrong.extend(differ(table, &right.big, &big));
    }
    wrong.extend(differ("late_rows", &counted(right.late.iter().cloned()), &late));
    wrong.extend(differ("dead_rows", &counted(right.dead.iter().copied()), &dead));
    wrong
}

fn compare_ledger(right: &Expected, services: &Services) -> Vec<String> {
    let mut sums: BTreeMap<String, Counts> = BTreeMap::new();
    for row in services.rows("ledger_rows") {
        let sum = sums.entry(text(&row, "query")).or_default();
        sum.read += number(&row, "rows_read");
        sum.taken += number(&row, "rows_in_windows");
        sum.filtered += number(&row, "rows_filtered");
        sum.late += number(&row, "rows_late");
        sum.dead += number(&row, "rows_dead");
    }
    let mut wrong = Vec::new();
    for (query, counts) in &right.ledger {
        if sums.get(query) != Some(counts) {
            wrong.push(format!("ledger of {query}: {:?} instead of {counts:?}", sums.get(query)));
        }
    }
    wrong
}

/// The rows of the files that the bucket's ledger lists, read without the connector's reader.
fn bucket_rows(services: &Services) -> Result<Vec<Row>, String> {
    let contents = services.bucket.contents();
    let folder = format!("{BUCKET_PATH}/_committed/");
    let mut rows = Vec::new();
    for (path, bytes) in contents.iter().filter(|(path, _)| path.starts_with(&folder) && !path.contains("/claim-")) {
        let entry: Value = serde_json::from_slice(bytes).map_err(|error| format!("{path}: {error}"))?;
        for file in entry["files"].as_array().into_iter().flatten() {
            let name = file["path"].as_str().unwrap_or_default();
            let found = contents.get(&format!("{BUCKET_PATH}/{name}"));
            let found = found.ok_or_else(|| format!("{path} lists {name}, which is not there"))?;
            for line in found.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                rows.push(serde_json::from_slice(line).map_err(|error| format!("{name}: {error}"))?);
            }
        }
    }
    Ok(rows)
}
