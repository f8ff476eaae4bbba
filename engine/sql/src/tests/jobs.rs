//! The jobs of this project, planned: what they compute is a golden text. `UPDATE_GOLDEN=1` writes it anew.

use crate::testing::{Given, plan_with};
use crate::{Overrides, explain};
use aqueduct_plan::JobPlan;
use std::collections::{BTreeMap, BTreeSet};

fn text(job: &str) -> String {
    let path = format!("{}/../../jobs/{job}/job.sql", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the job is there")
}

fn planned(job: &str, variables: &Given, overrides: Overrides) -> JobPlan {
    match plan_with(&text(job), variables, overrides) {
        Ok(plan) => plan,
        Err(error) => panic!("{error}"),
    }
}

fn golden(name: &str, found: &str) {
    let path = format!("{}/src/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).expect("the golden file can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the golden file is there");
    assert_eq!(
        found, expected,
        "the plan of {name} has changed; a changed id of a query makes old checkpoints unusable"
    );
}

fn replace(table: &str, options: &[(&str, &str)]) -> BTreeMap<String, BTreeMap<String, String>> {
    let options = options.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
    BTreeMap::from([(table.to_string(), options)])
}

fn addresses() -> Given {
    Given::values([
        ("KAFKA_BROKERS", "b-1:9094"),
        ("KAFKA_CA", "/etc/ca.pem"),
        ("POSTGRES_URL", "postgres://db/analytics"),
        ("POSTGRES_PASSWORD", "${file:/run/secrets/postgres}"),
        ("FIRESTORE_PROJECT", "shop"),
        ("RESULTS_BUCKET", "gs://bucket/analytics"),
    ])
    .file("/run/secrets/postgres", "hunter2\n")
}

#[test]
fn image_metrics_on_real_addresses() {
    let plan = planned("image-metrics", &addresses(), Overrides::default());
    golden("image-metrics", &explain(&plan));
    assert_eq!((plan.queries.len(), plan.inserts.len()), (1, 5));
    let source = &plan.sources[0].spec.options;
    assert_eq!(source.get("topic"), Some("product-images.processed"));
    assert_eq!(source.get("properties.security.protocol"), Some("SSL"));
    assert_eq!(source.get("properties.ssl.ca.location"), Some("/etc/ca.pem"));
    assert_eq!(source.get("properties.ssl.key.location"), None);
    assert_eq!(plan.sinks[0].spec.options.get("password"), Some("hunter2"));
}

#[test]
fn image_metrics_on_a_bare_machine() {
    let overrides = Overrides {
        replace: replace("product_images", &[("connector", "datagen"), ("template", "product-images")]),
        skip: ["analytics_metrics", "metrics_documents", "results_bucket", "results_topic"].map(String::from).into(),
    };
    let plan = planned("image-metrics", &Given::default(), overrides);
    golden("image-metrics-embedded", &explain(&plan));
    assert_eq!(plan.sinks[0].spec.options.get("path"), Some("results"));
}

#[test]
fn the_window_is_a_variable() {
    let mut variables = addresses();
    variables.values.insert("WINDOW_MINUTES".into(), "5".into());
    let plan = planned("image-metrics", &variables, Overrides::default());
    let window = plan.queries[0].window.as_ref().expect("a window");
    assert_eq!(window.kind.slice(), 300_000);
}

#[test]
fn payments() {
    let plan = planned("payments", &addresses(), Overrides::default());
    golden("payments", &explain(&plan));
    assert_eq!((plan.sources.len(), plan.queries.len(), plan.sinks.len(), plan.inserts.len()), (2, 2, 2, 4));
}

#[test]
fn job_files_name_tables_that_exist() {
    for job in ["image-metrics", "payments"] {
        let path = format!("{}/../../jobs/{job}/job.toml", env!("CARGO_MANIFEST_DIR"));
        let toml = std::fs::read_to_string(path).expect("the job file is there");
        let sql = text(job);
        let skipped =
            toml.lines().filter(|line| line.starts_with("skip")).flat_map(|line| line.split('"').skip(1).step_by(2));
        let replaced =
            toml.lines().filter_map(|line| line.split_once(".tables.")).map(|(_, rest)| rest.trim_end_matches(']'));
        let named: BTreeSet<&str> = skipped.chain(replaced).collect();
        assert!(!named.is_empty());
        for table in named {
            assert!(sql.contains(&format!("CREATE TABLE {table} (")), "{job}: {table}");
        }
    }
}
