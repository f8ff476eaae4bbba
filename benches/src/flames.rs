//! Flame graphs of the engine: where a workload's CPU time goes, one SVG per workload and kind of topic in `flames/`.
//!
//! `perf` takes the samples, inferno draws them; a machine without one of them is passed over loudly.

use crate::rounds::Bench;
use crate::systems::{System, end_of};
use crate::topics::Kind;
use aqueduct_tests::services::daemon::Scratch;
use aqueduct_tests::services::{cache_dir, skipped};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Samples a second: a prime, so that nothing periodic is met again and again.
const FREQUENCY: &str = "199";

/// A program of inferno; `./dev bench --flames` installs it.
fn inferno(name: &str) -> PathBuf {
    cache_dir().join("inferno/bin").join(name)
}

/// What is put before a command so that its samples are in `data`.
fn sampler(data: &Path) -> Vec<OsString> {
    // Frame pointers are not kept in a release: stacks are unwound from what is copied of them.
    let fixed = ["perf", "record", "--quiet", "-F", FREQUENCY, "--call-graph", "dwarf,16384", "-o"].map(OsString::from);
    fixed.into_iter().chain([data.into(), "--".into()]).collect()
}

impl Bench<'_> {
    /// Runs each workload of the engine once over the long topic and writes its flame graph into `folder`.
    ///
    /// # Errors
    /// A run or `perf` failed, or a file cannot be written.
    pub(crate) fn flames(&self, kind: Kind, systems: &[System], folder: &Path) -> Result<(), String> {
        if Command::new("perf").arg("--version").output().is_err() {
            skipped("perf", "it is not installed: no flame graphs are made");
            return Ok(());
        }
        if !inferno("inferno-flamegraph").exists() {
            skipped(
                "inferno",
                "./dev bench --flames installs it from the registry of crates: no flame graphs are made",
            );
            return Ok(());
        }
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for system in systems.iter().filter(|system| matches!(system, System::Aqueduct(_))) {
            let name = format!("{}-{}", system.id(), kind.title().replace([' ', ','], ""));
            let svg = folder.join(format!("{name}.svg"));
            let scratch = Scratch::new("bench-flames");
            let data = scratch.path().join("perf.data");
            self.run_by(*system, kind, sampler(&data))?;
            draw(&data, &format!("{}, {}", system.id(), kind.title()), &svg)?;
            eprintln!("{}", svg.display());
        }
        Ok(())
    }
}

/// The samples in `data` as a flame graph.
fn draw(data: &Path, title: &str, svg: &Path) -> Result<(), String> {
    let [script, folded] = ["script", "folded"].map(|name| data.with_extension(name));
    let mut told = Command::new("perf");
    told.args(["script", "--no-inline", "-i"]).arg(data);
    write(told, &script)?;
    let mut collapse = Command::new(inferno("inferno-collapse-perf"));
    collapse.arg(&script);
    write(collapse, &folded)?;
    let mut graph = Command::new(inferno("inferno-flamegraph"));
    // Frames that are too narrow to be seen only make the file large.
    graph.args(["--title", title, "--minwidth", "0.3"]).arg(&folded);
    write(graph, svg)
}

/// Runs a command; what it prints goes to `file`.
fn write(mut command: Command, file: &Path) -> Result<(), String> {
    let errors = file.with_extension("errors");
    let create = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
    command.stdout(create(file)?).stderr(create(&errors)?);
    let ended = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    let text = end_of(&errors);
    let _ = std::fs::remove_file(&errors);
    if ended.success() { Ok(()) } else { Err(format!("{command:?}: {ended}\n{text}")) }
}
