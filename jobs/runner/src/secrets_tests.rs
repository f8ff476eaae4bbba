//! Hiding, references, files and fields. What managers say is tested on stand-ins, from outside.

use super::*;

#[test]
fn what_was_read_is_hidden() {
    remember("swordfish");
    remember("swordfish-2");
    remember("x");
    assert_eq!(hide("password swordfish-2, then swordfish; x"), "password ***, then ***; x");
}

#[test]
fn a_file_is_read_anew_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), true);
    std::fs::write(folder.path().join("pw"), "first-word\n").unwrap();
    assert_eq!(store.read("file:pw", false).unwrap(), "first-word");
    std::fs::write(folder.path().join("pw"), "second-word\r\n").unwrap();
    assert_eq!(store.read("file:pw", true).unwrap(), "second-word");
    assert_eq!(hide("first-word second-word"), "*** ***");
    let error = store.read("file:none", true).unwrap_err();
    assert!(error.message().contains("'none' cannot be read"), "{error}");
}

#[test]
fn fields_of_json_secrets() {
    let text = r#"{"username": "ann", "password": "p-w-d-1", "port": 5432}"#;
    assert_eq!(field_of(text, "password").unwrap(), "p-w-d-1");
    assert_eq!(field_of(text, "port").unwrap(), "5432");
    let error = field_of(text, "pass").unwrap_err();
    assert!(error.message().contains("username, password, port") && !error.message().contains("p-w-d-1"), "{error}");
    assert!(field_of("plain", "x").unwrap_err().message().contains("no JSON object"));
}

#[test]
fn an_offline_store_checks_references_only() {
    let store = Store::new(Path::new("."), true);
    assert_eq!(store.read("secret:aws:name", false).unwrap(), "not-read");
    for (wrong, part) in [
        ("secret:azure:x", "gcp: or aws:"),
        ("secret:gcp:my-secret", "projects/PROJECT/secrets/NAME"),
        ("secret:gcp:projects/p/locations/l/secrets/s", "projects/PROJECT/secrets/NAME"),
        ("secret:aws:", "its name is missing"),
        ("secret:aws:name#", "after '#'"),
    ] {
        let error = store.read(wrong, false).unwrap_err();
        assert!(error.message().contains(part), "{wrong}: {error}");
    }
}
