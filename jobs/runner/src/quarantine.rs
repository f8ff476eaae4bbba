//! Late rows, dead letters and the ledger of a job that sends them nowhere: they are kept beside the checkpoints.
//!
//! It only writes SQL that is planned with the job's own; delivery is the same as for results. `aqueduct.quarantine.dir`
//! moves or ends it.

use aqueduct_plan::{JobPlan, QueryInput, SystemTable};
use arrow::datatypes::DataType;
use std::fmt::Write;

/// What the tables' names begin with.
const PREFIX: &str = "aqueduct_quarantine_";

/// True for a table that this file has made.
pub(crate) fn is_ours(table: &str) -> bool {
    table.starts_with(PREFIX)
}

/// The system tables that no insert of the user's reads.
pub(crate) fn missing(plan: &JobPlan) -> Vec<SystemTable> {
    let used = |table: SystemTable| {
        plan.inserts.iter().any(|insert| plan.queries[insert.query].input == QueryInput::System(table))
    };
    SystemTable::ALL.into_iter().filter(|table| !used(*table)).collect()
}

/// Tables below `folder` and inserts into them, as text to put behind the job's. `endpoint` as for the checkpoints.
pub(crate) fn statements(tables: &[SystemTable], folder: &str, endpoint: Option<&str>) -> String {
    let mut out = String::new();
    for table in tables {
        let name = format!("{PREFIX}{}", short(*table));
        let schema = table.schema();
        let columns: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| format!("  `{}` {}", field.name(), sql_type(field.data_type())))
            .collect();
        let names: Vec<String> = schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
        let endpoint = endpoint.map(|at| format!(", 'endpoint' = {}", quoted(at))).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n;\nCREATE TABLE `{name}` (\n{}\n) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = {}, \
             'sink.partition-time-column' = '{}'{endpoint});\nINSERT INTO `{name}` SELECT {} FROM `{}`;\n",
            columns.join(",\n"),
            quoted(&format!("{folder}/{}", place(*table))),
            time_column(*table),
            names.join(", "),
            table.name(),
        );
    }
    out
}

/// Where a table's files lie below the quarantine folder.
fn place(table: SystemTable) -> &'static str {
    match table {
        SystemTable::Late => "quarantine/late",
        SystemTable::DeadLetters => "quarantine/dead_letters",
        SystemTable::Ledger => "ledger",
    }
}

fn short(table: SystemTable) -> &'static str {
    match table {
        SystemTable::Late => "late",
        SystemTable::DeadLetters => "dead_letters",
        SystemTable::Ledger => "ledger",
    }
}

/// Late rows and dead letters carry times of any age, and folders by them would each hold a handful of rows.
fn time_column(table: SystemTable) -> &'static str {
    match table {
        SystemTable::Late | SystemTable::DeadLetters => "none",
        SystemTable::Ledger => "sealed_at",
    }
}

fn sql_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Int64 => "BIGINT",
        DataType::Binary => "BYTES",
        DataType::Timestamp(_, _) => "TIMESTAMP_LTZ(3)",
        _ => "STRING",
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_gets_its_columns_and_an_insert() {
        let text = statements(&SystemTable::ALL, "/data/it's/job", Some("http://127.0.0.1:9"));
        for part in [
            "CREATE TABLE `aqueduct_quarantine_late`",
            "`window_end` TIMESTAMP_LTZ(3)",
            "'path' = '/data/it''s/job/quarantine/dead_letters'",
            "`value` BYTES",
            "'sink.partition-time-column' = 'sealed_at', 'endpoint' = 'http://127.0.0.1:9');",
            "FROM `aqueduct$ledger`;",
        ] {
            assert!(text.contains(part), "{part}\nis missing in\n{text}");
        }
        assert!(statements(&[], "x", None).is_empty());
        assert!(is_ours("aqueduct_quarantine_late") && !is_ours("metrics"));
    }

    #[test]
    fn every_type_of_the_system_tables_has_a_name() {
        for table in SystemTable::ALL {
            for field in table.schema().fields() {
                let is_text = field.data_type() == &DataType::Utf8;
                assert_eq!(sql_type(field.data_type()) == "STRING", is_text, "{}", field.name());
            }
        }
    }
}
