//! The binary from outside: help, checks, explanations, and errors with their exit codes.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Job, aqueduct};

#[test]
fn every_verb_has_help_with_examples() {
    let overview = aqueduct(&["--help"]);
    assert_eq!(overview.code, 0);
    for verb in ["run", "check", "explain", "status", "query", "state"] {
        assert!(overview.out.contains(verb), "{}", overview.out);
        let help = aqueduct(&[verb, "--help"]);
        assert_eq!(help.code, 0);
        assert!(
            help.out.contains("Examples:") && help.out.contains(&format!("aqueduct {verb}")),
            "{verb}: {}",
            help.out
        );
    }
    assert!(overview.out.contains("5  fenced"), "{}", overview.out);
    let run = aqueduct(&["run", "--help"]);
    assert!(run.out.contains("execution.checkpointing.interval = 10 s"), "{}", run.out);
}

#[test]
fn a_sound_job_is_checked_and_explained_without_side_effects() {
    let job = Job::counts("");
    let check = job.aqueduct(&["check", "counts"]);
    assert_eq!(check.code, 0, "{check:?}");
    assert!(check.out.starts_with("ok: job counts\n"), "{check:?}");
    assert!(check.out.contains("aqueduct$late, aqueduct$dead_letters, aqueduct$ledger have no INSERT"), "{check:?}");
    let explain = job.aqueduct(&["explain", "counts"]);
    assert_eq!(explain.code, 0, "{explain:?}");
    assert!(explain.out.contains("events") && explain.out.contains("counts_local"), "{explain:?}");
    assert!(!explain.out.contains("CREATE TABLE"), "the plan, not the text: {explain:?}");
    let mut left: Vec<_> = std::fs::read_dir(job.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["counts"], "check and explain write nothing");
}

#[test]
fn the_connections_of_a_bare_job_are_its_folders() {
    let job = Job::counts("");
    let check = job.aqueduct(&["check", "counts", "--connect", "--format", "json"]);
    assert_eq!(check.code, 0, "{check:?}");
    let found: serde_json::Value = serde_json::from_str(&check.out).unwrap();
    let names: Vec<_> = found["connections"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["counts_local", "checkpoints"], "generated records come from nowhere: {check:?}");
    let left: Vec<_> = std::fs::read_dir(job.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["counts"], "a look makes no folders");
    let idle = job.aqueduct(&["check", "counts", "--timeout", "5"]);
    assert!(idle.code == 2 && idle.err.contains("--connect"), "{idle:?}");
}

#[test]
fn the_jobs_of_the_project_need_no_address() {
    let jobs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in ["image-metrics", "payments"] {
        let done = aqueduct(&["check", &jobs.join(name).display().to_string()]);
        assert!(done.code == 0 && done.out.contains("datagen"), "{done:?}");
    }
}

/// What a wrong job says, and that it says it with exit code 2 from `check` as from `run`.
fn refused(job: &Job, extra: &[&str], parts: &[&str]) {
    for verb in ["check", "run"] {
        let mut arguments = vec![verb, "counts"];
        arguments.extend(extra);
        let done = job.aqueduct(&arguments);
        assert_eq!(done.code, 2, "{done:?}");
        for part in parts {
            assert!(done.err.contains(part), "'{part}' is missing in {done:?}");
        }
        assert!(done.err.contains("error: ") && done.err.contains("exit code 2: "), "{done:?}");
    }
}

#[test]
fn a_syntax_error_has_a_position() {
    let job = Job::counts("").edit("SELECT window_start", "SELEKT window_start");
    refused(&job, &[], &["job.sql:10:"]);
}

#[test]
fn an_unknown_option_is_named_with_the_nearest_one() {
    let job = Job::counts("").edit("'path'", "'paths'");
    refused(&job, &[], &["paths", "path", "counts_local"]);
}

#[test]
fn an_option_of_the_wrong_value_is_named() {
    let job = Job::counts("").edit("'format' = 'json'", "'format' = 'yaml'");
    refused(&job, &[], &["counts_local", "'format' = 'yaml'"]);
}

#[test]
fn an_unknown_setting_is_named_with_the_nearest_one() {
    let job = Job::counts("[settings]\nexecution.checkpointing.intervall = '5 s'\n");
    refused(
        &job,
        &[],
        &["unknown setting 'execution.checkpointing.intervall'", "line 2", "'execution.checkpointing.interval'?"],
    );
    let job = Job::counts("");
    refused(&job, &["-D", "paralelism.default=2"], &["did you mean 'parallelism.default'?"]);
    refused(&job, &["-D", "parallelism.default=two"], &["'parallelism.default' = 'two'"]);
}

#[test]
fn a_missing_variable_is_named() {
    let job = Job::counts("").edit("'results'", "'${RESULTS_FOLDER}'");
    refused(&job, &[], &["RESULTS_FOLDER"]);
    assert_eq!(job.aqueduct(&["check", "counts", "--set", "RESULTS_FOLDER=here"]).code, 0);
}

#[test]
fn an_unknown_key_of_job_toml_has_a_line() {
    refused(&Job::counts("[variables]\nA = '1'\n[variable]\n"), &[], &["job.toml", "line 3", "variable"]);
}

#[test]
fn secrets_are_not_printed() {
    let job = Job::counts("").edit("'format' = 'json'", "'format' = '${file:secret}'");
    std::fs::write(job.path().join("counts/secret"), "geheim\n").unwrap();
    for verb in ["check", "run", "explain"] {
        let done = job.aqueduct(&[verb, "counts"]);
        assert!(!done.err.contains("geheim") && !done.out.contains("geheim"), "{done:?}");
    }
}

#[test]
fn a_missing_job_is_a_configuration_error() {
    let done = aqueduct(&["check", "/nowhere/at/all"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("there is no job at /nowhere/at/all"), "{done:?}");
    assert_eq!(aqueduct(&["run"]).code, 2, "wrong usage is configuration too");
}

#[test]
fn nobody_listening_is_worth_another_try() {
    let done = aqueduct(&["status", "http://127.0.0.1:9"]);
    assert_eq!(done.code, 4);
    assert!(done.err.contains("--http") && done.err.contains("exit code 4"), "{done:?}");
}

#[test]
fn errors_are_log_lines_too_where_no_terminal_is() {
    let done = aqueduct(&["check", "/nowhere"]);
    let line = done.err.lines().find(|line| line.starts_with('{')).expect("a JSON line");
    assert!(line.contains("\"exit_code\":2") && line.contains("\"level\":\"ERROR\""), "{line}");
}
