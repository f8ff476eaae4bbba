//! README against the code: every option, setting and metric stands there, with its default.

use crate::{connectors, metrics, settings};

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    std::fs::read_to_string(path).expect("README.md is at the project's root")
}

/// The rows that README's tables lack.
fn lacking(text: &str, rows: impl IntoIterator<Item = String>) -> Vec<String> {
    rows.into_iter().filter(|row| !text.contains(row.as_str())).collect()
}

#[test]
fn every_option_is_in_the_table_of_its_connector() {
    let readme = readme();
    for connector in connectors::all() {
        let head = format!("**`{}`**", connector.name());
        let from = readme.find(&head).unwrap_or_else(|| panic!("README has no part {head}"));
        let rest = &readme[from + head.len()..];
        let part = &rest[..rest.find("\n**`").or_else(|| rest.find("\n## ")).unwrap_or(rest.len())];
        let rows = connector.options().iter().map(|option| {
            let default = option.default.map(|value| format!("`{value}`")).unwrap_or_default();
            let star = if option.prefix { "*" } else { "" };
            format!("\n| `{}{star}` | {default} | ", option.key)
        });
        assert_eq!(lacking(part, rows), [""; 0], "README, {head}");
        let listed = part.matches("\n| `").count();
        assert_eq!(listed, connector.options().len(), "README lists options of {head} that do not exist");
    }
}

#[test]
fn every_setting_is_in_its_table() {
    let rows = settings::SETTINGS.iter().map(|def| {
        let default = match def.default.strip_prefix('(') {
            Some(words) => words.trim_end_matches(')').to_owned(),
            None => format!("`{}`", def.default),
        };
        format!("\n| `{}` | {default} | ", def.key)
    });
    assert_eq!(lacking(&readme(), rows), [""; 0], "README, Settings");
}

#[test]
fn every_metric_is_in_its_table() {
    let readme = readme();
    let rows = metrics::METRICS.iter().map(|(name, kind, help)| format!("\n| `{name}` | {kind} | {help} |"));
    assert_eq!(lacking(&readme, rows), [""; 0], "README, Metrics");
    let listed = readme.matches("\n| `aqueduct_").count() + readme.matches("\n| `process_").count();
    assert_eq!(listed, metrics::METRICS.len(), "README lists metrics that do not exist");
}

#[test]
fn every_exit_code_is_in_its_table() {
    let codes = [0, 1, 2, 3, 4, 5, crate::signals::INTERRUPTED];
    assert_eq!(lacking(&readme(), codes.map(|code| format!("\n| {code} | "))), [""; 0], "README, Exit codes");
}

#[test]
fn the_job_in_the_readme_is_sound() {
    let readme = readme();
    let sql = readme.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("README shows a job");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    std::fs::write(folder.path().join("secrets/password"), "not-a-password\n").unwrap();
    std::fs::write(folder.path().join("job.sql"), sql).unwrap();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let values = crate::cli::ValueArgs {
        variables: vec![set("KAFKA_BROKERS", "b1:9094"), set("DATABASE_URL", "postgres://me@10.0.0.3/analytics")],
        config: vec![set("pipeline.name", "readme")],
        ..Default::default()
    };
    let planned = crate::job::prepare_at(folder.path(), &values).unwrap();
    connectors::sources(&planned.plan, &planned.connectors, &aqueduct_core::FailPoints::default()).unwrap();
    connectors::sinks(&planned.plan, &planned.connectors, &aqueduct_core::FailPoints::default()).unwrap();
    assert!(planned.warnings.is_empty(), "{:?}", planned.warnings);
}
