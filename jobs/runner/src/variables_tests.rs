//! Tests of the order in which variables are looked up.

use super::*;
use aqueduct_sql::Variables as _;

fn variables(given: &[(&str, &str)], file: &[(&str, &str)]) -> JobVariables {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    JobVariables {
        given: map(given),
        file: map(file),
        folder: std::env::temp_dir(),
        environment: |name| (name == "ENV" || name == "BOTH").then(|| "environment".to_owned()),
    }
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_the_environment() {
    let all = variables(&[("A", "set"), ("BOTH", "set")], &[("A", "file"), ("B", "file"), ("BOTH", "file")]);
    assert_eq!(all.get("A").as_deref(), Some("set"));
    assert_eq!(all.get("B").as_deref(), Some("file"));
    assert_eq!(all.get("BOTH").as_deref(), Some("set"));
    assert_eq!(all.get("ENV").as_deref(), Some("environment"));
    assert_eq!(all.get("NONE"), None);
}

#[test]
fn an_empty_value_counts_as_not_set() {
    assert!(!variables(&[("A", "")], &[]).is_set("A"));
    assert!(!variables(&[("ENV", "")], &[]).is_set("ENV"), "an empty --set hides the environment");
    assert!(variables(&[("A", "x")], &[]).is_set("A"));
}

#[test]
fn values_are_put_into_settings() {
    let all = variables(&[("A", "x"), ("EMPTY", "")], &[]);
    assert_eq!(all.fill("gs://${A}/${B:-y}${EMPTY:-z}", "here").unwrap(), "gs://x/yz");
    assert_eq!(all.fill("${B:-${C:-${A}}}/c", "here").unwrap(), "x/c");
    let message = all.fill("${NONE}", "job.toml").unwrap_err().message().to_owned();
    assert!(message.contains("job.toml: the variable 'NONE' has no value: pass --set NONE=VALUE"), "{message}");
    assert!(all.fill("${A", "job.toml").is_err());
}

#[test]
fn files_are_relative_to_the_job_and_lose_their_last_newline() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "pass word\n").unwrap();
    let mut all = variables(&[], &[]);
    all.folder = folder.path().to_owned();
    assert_eq!(all.fill("${file:secret}", "here").unwrap(), "pass word");
    let message = all.fill("${file:missing}", "here").unwrap_err().message().to_owned();
    assert!(message.starts_with("here: cannot read the file of '${file:missing}'"), "{message}");
}

#[test]
fn a_set_is_a_name_and_a_value() {
    assert_eq!(parse_set("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
    assert!(parse_set("A").is_err());
    assert!(parse_set("execution.checkpointing.interval=1 s").unwrap_err().contains("--config"));
}

#[test]
fn values_are_not_shown() {
    let text = format!("{:?}", variables(&[("PASSWORD", "geheim")], &[("B", "geheim")]));
    assert!(text.contains("PASSWORD") && !text.contains("geheim"));
}
