//! The law of the house: who may import whom, how long things may be, what every file must say. Each law is first shown
//! to catch a violation, then applied to the tree.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::law::{self, SourceFile};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is longer than the law allows, and how long at most. It may only shrink: an entry that is not needed any more
/// fails the test too.
const LONG: &[(&str, usize)] = &[];

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are a room of the workspace").to_owned()
}

/// Files below the root, without build output and hidden folders other than ours.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let skip = name == "target" || name == ".git" || name == ".aqueduct" || name == "results" || name == "demo";
            match entry.file_type().unwrap() {
                kind if kind.is_dir() && !skip => folders.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

fn sources() -> Vec<SourceFile> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    rust.map(|path| SourceFile::new(&relative(&path), &std::fs::read_to_string(&path).unwrap())).collect()
}

fn assert_none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "{} violations:\n{}", faults.len(), faults.join("\n"));
}

/// `cargo metadata` in small: packages by folder, their dependencies by (name, folder of ours, kind, features).
fn metadata(room: &str, dependency: Value) -> Value {
    json!({"workspace_root": "/r", "packages": [
        {"name": "x", "manifest_path": format!("/r/{room}/Cargo.toml"), "dependencies": [dependency]},
    ]})
}

#[test]
fn arrows_between_rooms_can_be_wrong() {
    let ours = |room: &str| json!({"name": "y", "path": format!("/r/{room}"), "kind": null, "features": []});
    for (from, to) in [
        ("engine/runtime", "connectors/kafka"),
        ("engine/sql", "connectors/kafka"),
        ("connectors/kafka", "engine/runtime"),
        ("connectors/kafka", "connectors/bucket"),
        ("engine/core", "engine/plan"),
        ("engine/state", "engine/plan"),
        ("attic", "engine/core"),
    ] {
        assert_eq!(law::forbidden_edges(&metadata(from, ours(to))).len(), 1, "{from} to {to}");
    }
    assert_none(law::forbidden_edges(&metadata("connectors/kafka", ours("engine/core"))));
    assert_none(law::forbidden_edges(&metadata("jobs/runner", ours("connectors/kafka"))));
    let tokio = json!({"name": "tokio", "kind": null, "features": []});
    assert_eq!(law::forbidden_edges(&metadata("engine/core", tokio)).len(), 1);
    let conformance =
        |kind: Value| json!({"name": "y", "path": "/r/engine/core", "kind": kind, "features": ["conformance"]});
    assert_eq!(law::forbidden_edges(&metadata("connectors/kafka", conformance(Value::Null))).len(), 1);
    assert_none(law::forbidden_edges(&metadata("connectors/kafka", conformance(json!("dev")))));
    let development = json!({"name": "y", "path": "/r/engine/runtime", "kind": "dev", "features": []});
    assert_eq!(law::forbidden_edges(&metadata("connectors/kafka", development)).len(), 1);
}

#[test]
fn arrows_between_rooms_are_law() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(metadata["packages"].as_array().unwrap().len() > 10);
    assert_none(law::forbidden_edges(&metadata));
}

#[test]
fn words_can_be_wrong() {
    let decides = |text| law::forbidden_words(&SourceFile::new("engine/checkpoint/src/protocol/claim.rs", text)).len();
    assert_eq!(decides("use tokio::time;\nlet now = SystemTime::now();"), 2);
    assert_eq!(decides("//! Imports neither tokio nor object_store.\nfn decide() {}"), 0);
    assert_eq!(decides("fn decide() {}\n\n#[cfg(test)]\nmod tests {\n    use tokio::test;\n}"), 0);
    assert_eq!(
        law::forbidden_words(&SourceFile::new("engine/checkpoint/src/store.rs", "use object_store::path;")).len(),
        0
    );
    assert_eq!(law::forbidden_words(&SourceFile::new("engine/core/src/x.rs", "use tokio::sync;")).len(), 1);
}

#[test]
fn the_protocol_is_pure_and_core_does_nothing() {
    assert_none(sources().iter().flat_map(law::forbidden_words));
}

#[test]
fn a_permit_can_be_forged() {
    let mint = "let permit = CommitPermit::mint(claimed, epoch);";
    assert!(law::forged_permit(&SourceFile::new("engine/runtime/src/sink.rs", mint)).is_some());
    assert!(law::forged_permit(&SourceFile::new("connectors/kafka/src/sink.rs", mint)).is_some());
    assert!(law::forged_permit(&SourceFile::new("engine/checkpoint/src/own.rs", mint)).is_none());
    assert!(law::forged_permit(&SourceFile::new("connectors/kafka/src/sink_tests.rs", mint)).is_none());
}

#[test]
fn permits_come_from_the_checkpoint_room() {
    assert_none(sources().iter().filter_map(law::forged_permit));
}

#[test]
fn a_fail_point_can_be_unknown_or_forgotten() {
    let found = |files: &[(&str, &str)]| {
        let files: Vec<SourceFile> = files.iter().map(|(path, text)| SourceFile::new(path, text)).collect();
        law::fail_point_faults(&files)
    };
    let registry = (
        "connectors/x/src/lib.rs",
        "const FAIL_POINTS: &[&str] = &[\n    \"sink.x.before\",\n    \"sink.x.after\",\n];",
    );
    let passes = "points.hit(\"sink.x.before\");\npoints.hit(\n    \"sink.x.after\",\n);";
    assert_none(found(&[registry, ("connectors/x/src/sink.rs", passes)]));
    let unknown = found(&[registry, ("connectors/x/src/sink.rs", &format!("{passes}\npoints.hit(\"sink.x.new\");"))]);
    assert_eq!(unknown, ["connectors/x: 'sink.x.new' is passed, not registered"]);
    let forgotten = found(&[registry, ("connectors/x/src/sink.rs", "points.hit(\"sink.x.after\");")]);
    assert_eq!(forgotten, ["connectors/x: 'sink.x.before' is registered, never passed"]);
    let elsewhere = found(&[registry, ("connectors/y/src/sink.rs", passes)]);
    assert_eq!(elsewhere.len(), 4, "another room's registry does not count: {elsewhere:?}");
    let hidden = found(&[registry, ("connectors/x/src/sink.rs", &format!("{passes}\npoints.hit(name);"))]);
    assert_eq!(hidden, ["connectors/x/src/sink.rs: a fail point without a literal name"]);
    assert_none(found(&[
        registry,
        ("connectors/x/src/sink.rs", passes),
        ("connectors/x/src/sink_tests.rs", "p.hit(\"t\");"),
    ]));
}

#[test]
fn fail_points_are_registered_and_passed() {
    assert_none(law::fail_point_faults(&sources()));
}

#[test]
fn length_can_be_too_much() {
    let body = "    let x = 1;\n".repeat(70);
    let long = format!(
        "//! Duty.\nimpl A {{\n    pub(crate) async fn long(\n        x: i32,\n    ) -> i32 {{\n{body}    }}\n    fn short(&self) {{}}\n}}\n"
    );
    let found = law::too_long(&SourceFile::new("engine/core/src/a.rs", &long));
    assert_eq!(found, [("engine/core/src/a.rs::long".to_owned(), 74)]);
    assert_eq!(law::too_long(&SourceFile::new("engine/core/src/a/tests.rs", &long)), []);
    let file = "//! Duty.\n".repeat(501);
    assert_eq!(
        law::too_long(&SourceFile::new("engine/core/src/b.rs", &file)),
        [("engine/core/src/b.rs".to_owned(), 501)]
    );
}

#[test]
fn files_and_functions_are_short() {
    let found: BTreeMap<String, usize> = sources().iter().flat_map(law::too_long).collect();
    let allowed: BTreeMap<&str, usize> = LONG.iter().copied().collect();
    let grown = found.iter().filter(|(name, lines)| allowed.get(name.as_str()).is_none_or(|most| *lines > most));
    let limits = format!("files {}, functions {}", law::MAX_FILE_LINES, law::MAX_FUNCTION_LINES);
    assert_none(grown.map(|(name, lines)| format!("{name}: {lines} lines (the law: {limits})")));
    let spent = allowed.iter().filter(|(name, most)| found.get(**name).is_none_or(|lines| lines < most));
    assert_none(spent.map(|(name, _)| format!("{name}: has become shorter: lower or remove its entry in LONG")));
}

#[test]
fn an_opening_can_be_silent() {
    assert!(law::silent_opening(&SourceFile::new("a.rs", "use x;\n")).is_some());
    assert!(law::silent_opening(&SourceFile::new("a.rs", "//! Stub.\n")).is_some());
    assert!(law::silent_opening(&SourceFile::new("a.rs", "//! Reads a topic; decodes nothing.\n")).is_none());
}

#[test]
fn every_file_opens_with_its_duty() {
    assert_none(sources().iter().filter_map(law::silent_opening));
}

#[test]
fn a_connector_can_lack_its_conformance_test() {
    let own = SourceFile::new("connectors/kafka/src/tests.rs", "aqueduct_core::conformance::sink::check(sink);");
    let other =
        SourceFile::new("tests/tests/kafka.rs", "use aqueduct_kafka::X;\nuse aqueduct_core::conformance::sink;");
    let wrong =
        SourceFile::new("tests/tests/bucket.rs", "use aqueduct_bucket::X;\nuse aqueduct_core::conformance::sink;");
    assert!(law::untested_connector("kafka", &[]).is_some());
    assert!(law::untested_connector("kafka", &[wrong]).is_some());
    assert!(law::untested_connector("kafka", &[own]).is_none());
    assert!(law::untested_connector("kafka", &[other]).is_none());
}

#[test]
fn every_connector_calls_the_conformance_suite() {
    let sources = sources();
    let connectors = std::fs::read_dir(root().join("connectors")).unwrap().flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = connectors.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(names.len() > 3, "{names:?}");
    assert_none(names.iter().filter_map(|name| law::untested_connector(name, &sources)));
}

#[test]
fn a_path_can_be_of_one_machine() {
    let found = |text: &str| law::machine_paths("x", text).len();
    assert_eq!(found(concat!("let dir = \"/wo", "rk/main\";")), 1);
    assert_eq!(found(concat!("cd /ro", "ot/x && ls")), 1);
    assert_eq!(found("see engine/homework/ and https://example.com/work/x, $HOME/.cache, ./work/x"), 0);
}

#[test]
fn no_path_is_of_one_machine() {
    let text = ["rs", "toml", "sql", "md", "json", "xml", "yml", "yaml", "sh"];
    let wanted = |path: &PathBuf| match path.extension() {
        Some(extension) => text.iter().any(|known| extension == *known),
        None => ["dev", "run"].iter().any(|name| path.ends_with(name)),
    };
    let readable = files()
        .into_iter()
        .filter(wanted)
        .filter_map(|path| Some((relative(&path), std::fs::read_to_string(path).ok()?)));
    assert_none(readable.flat_map(|(path, text)| law::machine_paths(&path, &text)));
}
