//! Tests of planning with the command line's values. The planner's own behaviour is tested where it lives.

use super::*;
use std::path::PathBuf;

const SQL: &str = "
SET 'pipeline.name' = 'counts-job';
CREATE TABLE events (
  ts TIMESTAMP_LTZ(3), label STRING, size BIGINT,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'datagen', 'number-of-rows' = '${ROWS:-10}');
CREATE TABLE counts (window_start TIMESTAMP_LTZ(3), label STRING, n BIGINT) WITH ('connector' = 'print');
INSERT INTO counts SELECT window_start, label, COUNT(*) FROM TABLE(
  TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, label;
";

struct Folder {
    _temp: tempfile::TempDir,
    path: PathBuf,
}

fn folder(sql: &str, toml: &str) -> Folder {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("counts");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("job.sql"), sql).unwrap();
    std::fs::write(path.join("job.toml"), toml).unwrap();
    Folder { _temp: temp, path }
}

fn config(pairs: &[(&str, &str)]) -> ValueArgs {
    let config = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ValueArgs { config, ..ValueArgs::default() }
}

#[test]
fn what_the_user_leaves_out_goes_to_the_quarantine() {
    let job = folder(SQL, "[settings]\nexecution.checkpointing.dir = '/data/check'\n");
    let planned = prepare_at(&job.path, &ValueArgs::default()).unwrap();
    assert_eq!(planned.name().as_str(), "counts-job");
    assert_eq!(planned.quarantined, SystemTable::ALL);
    assert_eq!(planned.quarantine_folder().as_deref(), Some("/data/check/counts-job"));
    assert_eq!((planned.own_plan.sinks.len(), planned.plan.sinks.len()), (1, 4));
    assert_eq!(planned.plan.sources.len(), 1);
    let late = planned.plan.sinks.iter().find(|sink| sink.spec.table == "aqueduct_quarantine_late").unwrap();
    assert_eq!(late.spec.options.get("path"), Some("/data/check/counts-job/quarantine/late"));
    connectors::sinks(&planned.plan, &planned.connectors, &aqueduct_core::FailPoints::default()).unwrap();
}

#[test]
fn an_insert_of_the_users_takes_the_place_of_the_quarantine() {
    let own = "CREATE TABLE bad (reason STRING) WITH ('connector' = 'blackhole');
               INSERT INTO bad SELECT reason FROM `aqueduct$dead_letters`;";
    let job = folder(&format!("{SQL}{own}"), "");
    let planned = prepare_at(&job.path, &ValueArgs::default()).unwrap();
    assert_eq!(planned.quarantined, [SystemTable::Late, SystemTable::Ledger]);
    let none = prepare_at(&job.path, &config(&[("aqueduct.quarantine.dir", "none")])).unwrap();
    assert!(none.quarantined.is_empty() && none.plan.sinks.len() == 2);
}

#[test]
fn the_command_line_wins_over_job_toml_and_that_over_set() {
    let job =
        folder(SQL, "[settings]\nparallelism.default = 2\n\"execution.checkpointing.interval\" = '${EVERY:-7 s}'\n");
    let planned = prepare_at(&job.path, &ValueArgs::default()).unwrap();
    assert_eq!(planned.settings.runtime.parallelism, 2);
    assert_eq!(planned.settings.runtime.checkpoint_interval.as_secs(), 7);
    let mut values = config(&[("pipeline.name", "other"), ("execution.checkpointing.interval", "3 s")]);
    values.parallelism = Some(5);
    values.checkpoint_dir = Some("gs://bucket/check".to_owned());
    let planned = prepare_at(&job.path, &values).unwrap();
    assert_eq!((planned.name().as_str(), planned.settings.runtime.parallelism), ("other", 5));
    assert_eq!(planned.settings.runtime.checkpoint_interval.as_secs(), 3);
    assert_eq!(planned.settings.checkpoint_dir, "gs://bucket/check");
}

#[test]
fn unused_variables_are_a_warning() {
    let job = folder(SQL, "");
    let values =
        ValueArgs { variables: vec![("RWOS".into(), "5".into()), ("ROWS".into(), "5".into())], ..Default::default() };
    let planned = prepare_at(&job.path, &values).unwrap();
    assert_eq!(planned.warnings.len(), 1);
    assert!(planned.warnings[0].contains("RWOS"));
}
