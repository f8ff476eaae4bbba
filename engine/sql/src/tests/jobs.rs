//! The jobs of this project, planned: what they compute is a golden text.

use crate::testing::{Given, plan_with};
use crate::{Overrides, explain};
use std::collections::{BTreeMap, BTreeSet};

fn folder(job: &str) -> String {
    format!("{}/../../jobs/{job}/job.sql", env!("CARGO_MANIFEST_DIR"))
}

fn text(job: &str) -> String {
    std::fs::read_to_string(folder(job)).expect("the job is there")
}

#[test]
fn image_metrics_on_real_addresses() {
    let variables = Given::values([
        ("KAFKA_BROKERS", "b-1:9094"),
        ("POSTGRES_URL", "postgres://db/analytics"),
        ("POSTGRES_PASSWORD", "${file:/run/secrets/postgres}"),
        ("FIRESTORE_PROJECT", "shop"),
        ("RESULTS_BUCKET", "gs://bucket/analytics"),
    ])
    .file("/run/secrets/postgres", "hunter2\n");
    let plan = plan_with(&text("image-metrics"), &variables, Overrides::default()).unwrap();
    println!("{}", explain(&plan));
}
