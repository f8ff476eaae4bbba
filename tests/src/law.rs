//! The architecture's laws as functions over text, so that each can be shown to fail. Walking the tree and naming the
//! exceptions is the business of `tests/architecture.rs`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One `.rs` file: its path from the root, with `/`, and its text.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// `engine/core/src/lib.rs`
    pub path: String,
    /// All of it.
    pub text: String,
}

impl SourceFile {
    /// A file for a self-test.
    pub fn new(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), text: text.into() }
    }

    /// True for files that hold tests only: they may be longer and may play the checkpoint room's part.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let in_folder = |folder: &str| self.path.split('/').rev().skip(1).any(|part| part == folder);
        name == "tests.rs" || name.ends_with("_tests.rs") || in_folder("tests") || in_folder("conformance")
    }

    /// The code without comments and without the test module at the end.
    fn code(&self) -> String {
        let end = self.text.find("#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        let lines = self.text[..end].lines().map(|line| match line.find("//") {
            Some(at) if !line[..at].ends_with(':') => &line[..at],
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Which rooms a room may import. `*` is everything. A room that is not here may not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("engine/core", &[]),
    ("engine/plan", &["engine/core"]),
    ("engine/sql", &["engine/core", "engine/plan"]),
    ("engine/state", &["engine/core"]),
    ("engine/checkpoint", &["engine/core"]),
    ("engine/runtime", &["engine/core", "engine/plan", "engine/state", "engine/checkpoint"]),
    ("connectors/", &["engine/core"]),
    ("jobs/runner", &["*"]),
    ("tests", &["*"]),
    ("benches", &["*"]),
];

/// Crates that bring I/O, threads or a clock, and so have no place among the nouns.
const NOT_IN_CORE: &[&str] =
    &["tokio", "object_store", "rdkafka", "sqlx", "futures", "rocksdb", "datafusion", "tracing"];

/// Edges between our crates that the table does not allow; `metadata` is what `cargo metadata --no-deps` says.
pub fn forbidden_edges(metadata: &Value) -> Vec<String> {
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let packages = || metadata["packages"].as_array().into_iter().flatten();
    let room_at = |folder: &str| folder.strip_prefix(root).unwrap_or(folder).trim_start_matches('/').to_owned();
    let mut faults = Vec::new();
    for package in packages() {
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let room = room_at(manifest.trim_end_matches("/Cargo.toml"));
        let row = ARROWS.iter().find(|(name, _)| *name == room || (name.ends_with('/') && room.starts_with(name)));
        let Some((_, allowed)) = row else {
            faults.push(format!("{room}: no such room in the table of arrows"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default();
            let development = dependency["kind"] == "dev";
            if room == "engine/core" && !development && NOT_IN_CORE.contains(&name) {
                faults.push(format!("{room}: may not use {name}: arrow types only, no I/O, no clock"));
            }
            let Some(target) = dependency["path"].as_str().map(&room_at) else { continue };
            let widened = development && target == "engine/core";
            if !widened && !allowed.contains(&"*") && !allowed.contains(&target.as_str()) {
                faults.push(format!("{room}: may not import {target}"));
            }
            let conformance =
                dependency["features"].as_array().is_some_and(|features| features.iter().any(|f| f == "conformance"));
            if conformance && !development {
                faults.push(format!("{room}: the conformance suites may only be a dev-dependency"));
            }
        }
    }
    faults
}

/// What a room may not even mention: path prefix, words.
const UNSPEAKABLE: &[(&str, &[&str])] = &[
    ("engine/checkpoint/src/protocol", &["tokio", "object_store", "SystemTime", "Instant", "async fn"]),
    ("engine/core/src", &["tokio", "SystemTime", "Instant::now", "std::fs", "std::net"]),
];

/// Words that a room may not use, in code.
pub fn forbidden_words(file: &SourceFile) -> Vec<String> {
    let code = file.code();
    let rules = UNSPEAKABLE.iter().filter(|(prefix, _)| file.path.starts_with(prefix) && !file.is_test());
    let found = rules.flat_map(|(_, words)| words.iter()).filter(|word| code.contains(*word));
    found.map(|word| format!("{}: may not use {word}", file.path)).collect()
}

/// The permit to make an epoch visible is minted in one room only.
pub fn forged_permit(file: &SourceFile) -> Option<String> {
    let allowed = file.path.starts_with("engine/checkpoint/") || file.is_test() || file.path.starts_with("tests/");
    let mints = file.code().contains("CommitPermit::mint");
    (mints && !allowed).then(|| format!("{}: only engine/checkpoint mints a CommitPermit", file.path))
}

/// The longest a file may be.
pub const MAX_FILE_LINES: usize = 500;
/// The longest a function may be.
pub const MAX_FUNCTION_LINES: usize = 70;

/// Things that are too long: name (`path`, or `path::function`) and lines.
pub fn too_long(file: &SourceFile) -> Vec<(String, usize)> {
    let lines = file.text.lines().count();
    let mut long = Vec::new();
    if lines > MAX_FILE_LINES {
        long.push((file.path.clone(), lines));
    }
    if !file.is_test() {
        let functions = function_lengths(&file.code()).into_iter().filter(|(_, length)| *length > MAX_FUNCTION_LINES);
        long.extend(functions.map(|(name, length)| (format!("{}::{name}", file.path), length)));
    }
    long
}

/// Each function's name and length. Relies on rustfmt: a body ends with a brace at the depth of its `fn`.
fn function_lengths(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut lengths = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let end_of_head = lines[start..].iter().position(|line| line.trim_end().ends_with(['{', ';', '}']));
        let Some(head) = end_of_head.filter(|head| lines[start + head].trim_end().ends_with('{')) else { continue };
        let closing = format!("{indent}}}");
        let body = lines[start + head..].iter().position(|line| line.trim_end() == closing);
        lengths.push((name.to_owned(), head + body.unwrap_or(0) + 1));
    }
    lengths
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

/// Fail points that are passed and not registered, or registered and never passed, room by room. A room's registry is its
/// `const FAIL_POINTS`, and a point is passed by `.hit("name")`, with the name as a literal.
pub fn fail_point_faults(files: &[SourceFile]) -> Vec<String> {
    let mut rooms: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| !file.is_test() && !file.path.starts_with("tests/")) {
        let room: Vec<&str> = file.path.splitn(3, '/').take(2).collect();
        let (passed, registered) = rooms.entry(room.join("/")).or_default();
        let code = file.code();
        for (at, call) in code.match_indices(".hit(") {
            match literal(&code[at + call.len()..]) {
                Some(name) => drop(passed.insert(name.to_owned())),
                None => faults.push(format!("{}: a fail point without a literal name", file.path)),
            }
        }
        let registries = code.split("const FAIL_POINTS").skip(1).filter_map(|rest| rest.split("];").next());
        registered.extend(registries.flat_map(|list| list.split('"').skip(1).step_by(2)).map(str::to_owned));
    }
    let mut names = BTreeMap::new();
    for (room, (passed, registered)) in &rooms {
        faults.extend(passed.difference(registered).map(|name| format!("{room}: '{name}' is passed, not registered")));
        faults
            .extend(registered.difference(passed).map(|name| format!("{room}: '{name}' is registered, never passed")));
        let twice = registered.iter().filter_map(|name| Some((name, names.insert(name.clone(), room)?)));
        faults.extend(twice.map(|(name, other)| format!("{room}: '{name}' is a fail point of {other} too")));
    }
    faults
}

/// The text of the string that `code` begins with.
fn literal(code: &str) -> Option<&str> {
    code.trim_start().strip_prefix('"')?.split('"').next()
}

/// Every file says first what its duty is.
pub fn silent_opening(file: &SourceFile) -> Option<String> {
    let speaks = file.text.starts_with("//!") && file.text.lines().next().is_some_and(|line| line.len() > 10);
    (!speaks).then(|| format!("{}: does not open with its duty (//! ...)", file.path))
}

/// A connector (`kafka`) whose tests, in its own folder or among the integration tests, call no conformance suite.
pub fn untested_connector(connector: &str, files: &[SourceFile]) -> Option<String> {
    let own = format!("connectors/{connector}/");
    let import = format!("aqueduct_{connector}");
    let calls = |file: &SourceFile| file.text.contains("conformance::");
    let judged = files.iter().any(|file| {
        calls(file)
            && (file.path.starts_with(&own) || (file.path.starts_with("tests/tests/") && file.text.contains(&import)))
    });
    (!judged).then(|| format!("connectors/{connector}: no test calls the conformance suites of aqueduct-core"))
}

/// Paths of one machine, which mean nothing on another.
pub fn machine_paths(path: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file does not break its own law.
    let private = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let holds = |line: &str| private.iter().any(|private| begins_word(line, private));
    let found = text.lines().enumerate().filter(|(_, line)| holds(line));
    found.map(|(number, line)| format!("{path}:{}: a path of one machine: {}", number + 1, line.trim())).collect()
}

/// True where `path` stands as an absolute path, not as the tail of a longer one.
fn begins_word(line: &str, path: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    line.match_indices(path).any(|(at, _)| !before(at).is_some_and(|c| c.is_alphanumeric() || "._-})>*".contains(c)))
}
