//! Tests of the settings' names, values and defaults.

use super::*;

fn job(toml: &str) -> JobFile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("job.sql"), "").unwrap();
    std::fs::write(path.join("job.toml"), toml).unwrap();
    JobFile::load(&path).unwrap()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn failure(pairs: &[(&str, &str)]) -> String {
    parse(&map(pairs), &job("")).unwrap_err().message().to_owned()
}

#[test]
fn nothing_set_gives_the_defaults() {
    let parsed = parse(&BTreeMap::new(), &job("")).unwrap();
    assert_eq!(parsed.runtime.job.as_str(), "counts");
    assert_eq!(parsed.runtime.checkpoint_interval, Duration::from_secs(10));
    assert_eq!(parsed.runtime.checkpoint_min_pause, Duration::from_secs(1));
    assert_eq!(parsed.runtime.retained_checkpoints, 3);
    assert_eq!(parsed.runtime.max_backlog_bytes, 256 << 20);
    assert_eq!(parsed.runtime.discovery_interval, Some(Duration::from_secs(30)));
    assert!(parsed.runtime.parallelism >= 1);
    assert!(parsed.checkpoint_dir.ends_with("/.aqueduct/checkpoints") && parsed.checkpoint_dir.starts_with('/'));
    assert!(parsed.warnings.is_empty());
}

#[test]
fn values_are_parsed_and_older_names_are_known() {
    let given = map(&[
        ("pipeline.name", "minutes"),
        ("parallelism.default", "3"),
        ("state.checkpoints.dir", "gs://b/check/"),
        ("aqueduct.discovery.interval", "0"),
    ]);
    let parsed = parse(&given, &job("")).unwrap();
    assert_eq!((parsed.runtime.job.as_str(), parsed.runtime.parallelism), ("minutes", 3));
    assert_eq!(parsed.checkpoint_dir, "gs://b/check");
    assert_eq!(parsed.runtime.discovery_interval, None);
    assert_eq!(canonical("state.checkpoints.dir"), "execution.checkpointing.dir");
}

#[test]
fn unknown_settings_are_refused_with_the_nearest_name() {
    let message = failure(&[("execution.checkpoint.interval", "5 s")]);
    assert!(message.contains("did you mean 'execution.checkpointing.interval'?"), "{message}");
    assert!(failure(&[("zzz", "1")]).contains("--help"));
    let with_line = job("[settings]\n\"paralellism.default\" = 1\n");
    let message = parse(&with_line.settings, &with_line).unwrap_err().message().to_owned();
    assert!(message.contains("job.toml, line 2") && message.contains("'parallelism.default'"), "{message}");
}

#[test]
fn values_that_do_not_fit_are_named() {
    assert!(failure(&[("parallelism.default", "0")]).contains("'parallelism.default' = '0'"));
    assert!(failure(&[("parallelism.default", "5000")]).contains("from 1 to 1024"));
    assert!(failure(&[("execution.checkpointing.interval", "soon")]).contains("a duration such as"));
    assert!(failure(&[("execution.checkpointing.interval", "0 s")]).contains("longer than 0"));
    assert!(failure(&[("aqueduct.outbox.max-bytes", "many")]).contains("a size such as"));
    assert!(failure(&[("pipeline.name", "a b")]).contains("pipeline.name 'a b'"));
}

#[test]
fn flinks_other_settings_are_taken_unless_they_would_change_results() {
    let given = map(&[
        ("state.backend.type", "rocksdb"),
        ("table.local-time-zone", "UTC"),
        ("taskmanager.memory.process.size", "1g"),
    ]);
    let parsed = parse(&given, &job("")).unwrap();
    assert_eq!(parsed.warnings.len(), 2, "{:?}", parsed.warnings);
    assert!(failure(&[("table.local-time-zone", "Europe/Berlin")]).contains("all times are UTC"));
    assert!(failure(&[("execution.runtime-mode", "batch")]).contains("remove it or set it to 'streaming'"));
}

#[test]
fn sizes_are_flinks() {
    assert_eq!(parse_bytes("64 mb"), Some(64 << 20));
    assert_eq!(parse_bytes("1g"), Some(1 << 30));
    assert_eq!(parse_bytes("12"), Some(12));
    assert_eq!(parse_bytes("1 x"), None);
}

#[test]
fn each_key_is_listed_once() {
    let mut keys: Vec<&str> =
        SETTINGS.iter().flat_map(|def| std::iter::once(def.key).chain(def.aliases.iter().copied())).collect();
    keys.extend(FOREIGN.iter().map(|(key, _)| *key));
    let before = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), before);
    assert!(help().contains("execution.checkpointing.interval = 10 s"));
}
