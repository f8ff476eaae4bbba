//! Holds `config.rs` to what it says.

use super::*;
use aqueduct_core::ErrorKind;
use aqueduct_core::conformance::sink::spec;

#[test]
fn defaults_are_the_documented_ones() {
    let config = Config::new(&spec("analytics_metrics", &[("project-id", "acme")], true)).unwrap();
    assert_eq!(config.location.to_string(), "projects/acme/databases/(default)");
    assert_eq!(
        (config.collection.as_str(), config.delimiter.as_str(), config.max_documents),
        ("analytics_metrics", "_", 499)
    );
    assert_eq!((config.emulator, config.timestamps), (None, TimestampFormat::Iso));
    assert_eq!(config.location.document("c", "a_b"), "projects/acme/databases/(default)/documents/c/a_b");
}

#[test]
fn the_emulator_may_be_given_as_an_address() {
    for host in ["127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080/"] {
        let config = Config::new(&spec("t", &[("project-id", "p"), ("emulator-host", host)], true)).unwrap();
        assert_eq!(config.emulator.as_deref(), Some("127.0.0.1:8080"));
    }
}

#[test]
fn errors_name_table_and_option() {
    let project = ("project-id", "p");
    for (options, part) in [
        (vec![], "'project-id'"),
        (vec![("project-id", "a/b")], "'project-id' = 'a/b'"),
        (vec![project, ("collection", "a/b")], "'collection' = 'a/b'"),
        (vec![project, ("emulator-host", "localhost")], "host:port"),
        (vec![project, ("sink.max-writes-per-commit", "500")], "1 to 499"),
        (vec![project, ("timestamp-format", "unix")], "one of: iso, native"),
        (vec![project, ("request.timeout", "soon")], "'request.timeout' = 'soon'"),
    ] {
        let error = Config::new(&spec("metrics", &options, true)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixConfig);
        assert!(error.message().contains(part) && error.message().contains("'metrics'"), "{error}");
    }
    let error = Config::new(&spec("metrics", &[project], false)).unwrap_err();
    assert!(error.message().contains("PRIMARY KEY"), "{error}");
}

#[test]
fn a_delimiter_that_ids_cannot_hold_is_refused() {
    let mut two_keys = spec("metrics", &[("project-id", "p"), ("document-id.key-delimiter", "/")], true);
    two_keys.primary_key = vec![0, 1];
    assert!(Config::new(&two_keys).unwrap_err().message().contains("'document-id.key-delimiter' = '/'"));
}
