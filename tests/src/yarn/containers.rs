//! What runs in YARN's containers, found in the process table by the folder in which it works.
//!
//! It looks and sends signals; what must come of it is said by the tests.

use std::path::{Path, PathBuf};

/// A running copy of the program, in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its process.
    pub pid: u32,
    folder: PathBuf,
}

impl Program {
    /// The container's name.
    pub fn container(&self) -> String {
        let part = self.folder.iter().map(|part| part.to_string_lossy()).find(|part| part.starts_with("container_"));
        part.expect("it works in a container's folder").into_owned()
    }

    /// The number of the node on which it runs.
    pub fn node(&self) -> usize {
        let part = self.folder.iter().find_map(|part| part.to_str()?.strip_prefix("node-")?.parse().ok());
        part.expect("a container lies in a node's folder")
    }

    /// False when it has ended, also while nobody has asked for its end.
    pub fn lives(&self) -> bool {
        folder_of(self.pid).is_some_and(|folder| folder == self.folder)
    }

    /// A signal to the program alone.
    pub fn signal(&self, signal: i32) {
        assert!(self.lives(), "{self:?} has ended by itself");
        send(self.pid as i32, signal);
    }

    /// SIGKILL to everything in its container: shell, wrapper and program.
    pub fn kill_container(&self) {
        assert!(self.lives(), "{self:?} has ended by itself");
        // SAFETY: a plain system call.
        let group = unsafe { libc::getpgid(self.pid as i32) };
        assert!(group > 1, "a container has a group of its own");
        send(-group, libc::SIGKILL);
    }
}

/// The copies of the program that run for an application.
pub(super) fn programs(application: &str) -> Vec<Program> {
    let found = works_below(|folder| folder.contains(application)).into_iter();
    found.filter(|(pid, _)| name_of(*pid) == "aqueduct").map(|(pid, folder)| Program { pid, folder }).collect()
}

/// The processes of an application's master.
pub(super) fn masters(application: &str) -> Vec<u32> {
    let found = works_below(|folder| folder.contains(application)).into_iter();
    found.map(|(pid, _)| pid).filter(|pid| command_of(*pid).contains("distributedshell.ApplicationMaster")).collect()
}

/// SIGKILL to a process.
pub(super) fn kill(pid: u32) {
    send(pid as i32, libc::SIGKILL);
}

/// SIGKILL to everything that works for an application.
pub(super) fn kill_all_of(application: &str) {
    works_below(|folder| folder.contains(application)).into_iter().for_each(|(pid, _)| kill(pid));
}

/// SIGKILL to everything that works below a folder.
pub(super) fn kill_below(folder: &Path) {
    let folder = folder.display().to_string();
    let found = works_below(|other| other.starts_with(&folder)).into_iter();
    found.filter(|(pid, _)| *pid != std::process::id()).for_each(|(pid, _)| kill(pid));
}

fn send(target: i32, signal: i32) {
    // SAFETY: a plain system call. Who has ended meanwhile needs no signal.
    unsafe { libc::kill(target, signal) };
}

fn works_below(wanted: impl Fn(&str) -> bool) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let folders = pids.filter_map(|pid| Some((pid, folder_of(pid)?)));
    folders.filter(|(_, folder)| folder.to_str().is_some_and(&wanted)).collect()
}

/// A process that has ended and was not waited for has none.
fn folder_of(pid: u32) -> Option<PathBuf> {
    let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    // The kernel says so when a node has removed a container's folder already.
    let text = folder.to_str()?;
    Some(PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(text)))
}

fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn command_of(pid: u32) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).replace('\0', " ")
}
