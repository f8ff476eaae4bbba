//! What a test does to the machine itself: small disks, little memory, a wrong clock, a network of its own that loses packets,
//! system calls that fail.
//!
//! Each needs rights or packages that may be missing: then the test is passed over loudly, by name.

use crate::services::daemon::Scratch;
use crate::services::skipped;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// True when this process may mount file systems and make network namespaces.
pub fn is_root() -> bool {
    // SAFETY: reads this process's id.
    unsafe { libc::geteuid() == 0 }
}

/// True when a program runs and is content.
pub fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A file system of its own, in memory and of a fixed size; unmounted on drop.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
    _scratch: Scratch,
}

impl SmallDisk {
    /// So many MiB, or `None` after saying that this machine does not let us.
    pub fn try_new(mib: u32) -> Option<SmallDisk> {
        let scratch = Scratch::new("small-disk");
        let folder = scratch.path().join("disk");
        std::fs::create_dir(&folder).expect("the scratch folder can be written");
        let path = folder.to_str().expect("scratch folders have plain names");
        let size = format!("size={mib}m,mode=0777");
        if !is_root() || !works("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", path]) {
            skipped("a small disk (mount -t tmpfs)", "run as root, where file systems may be mounted");
            return None;
        }
        Some(SmallDisk { folder, _scratch: scratch })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.filler()).expect("the disk takes a file");
        for size in [1 << 20, 4096, 1] {
            while file.write(&vec![1; size]).is_ok_and(|count| count == size) {}
        }
    }

    /// Frees what [`SmallDisk::fill`] took.
    pub fn free(&self) {
        let _ = std::fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that still has a file open must not keep the mount.
        works("umount", &["-l", self.folder.to_str().unwrap_or_default()]);
    }
}

/// Little memory: processes that enter it together get no more than so much, and are killed by the kernel when they want it.
#[derive(Debug)]
pub struct LittleMemory(PathBuf);

impl LittleMemory {
    /// So many MiB, or `None` after saying that this machine does not let us.
    pub fn try_new(mib: u64) -> Option<LittleMemory> {
        let name = format!("aqueduct-{}-{mib}", std::process::id());
        // Version 1 of control groups, then version 2.
        for (root, file) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let folder = Path::new(root).join(&name);
            if std::fs::create_dir(&folder).is_ok() {
                let group = LittleMemory(folder);
                if std::fs::write(group.0.join(file), (mib << 20).to_string()).is_ok() {
                    return Some(group);
                }
            }
        }
        skipped("a limit of memory (control groups)", "run as root, where control groups may be made");
        None
    }

    /// From now on there is no more than what is used already.
    pub fn tighten(&self) {
        let first = [("memory.usage_in_bytes", "memory.limit_in_bytes"), ("memory.current", "memory.max")];
        let (used, limit) = first
            .map(|(used, limit)| (self.0.join(used), self.0.join(limit)))
            .into_iter()
            .find(|(used, _)| used.exists())
            .expect("a control group says what is used");
        // A limit below what cannot be given back is refused.
        let used = || std::fs::read_to_string(&used).expect("it can be read").trim().to_owned();
        while std::fs::write(&limit, used()).is_err() {}
    }

    /// What runs a program inside.
    pub fn wrapper(&self) -> Vec<String> {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.0.display());
        ["sh", "-c", &enter].map(str::to_owned).to_vec()
    }
}

impl Drop for LittleMemory {
    fn drop(&mut self) {
        // Processes leave a group when they have been waited for.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// A network namespace with nothing but a loopback device.
#[derive(Debug)]
pub struct Network(String);

impl Network {
    /// A new one, or `None` after saying that this machine does not let us.
    pub fn try_new() -> Option<Network> {
        let name = crate::services::unique("aqueduct");
        if !is_root() || !works("ip", &["netns", "add", &name]) {
            skipped("a network namespace (ip netns)", "run as root, with iproute2");
            return None;
        }
        let network = Network(name);
        // Entering one mounts; a root folder that is no mount of its own (chroot) refuses that.
        if !network.does("ip", &["link", "set", "lo", "up"]) {
            skipped("a network namespace (ip netns exec)", "run outside of a changed root folder");
            return None;
        }
        Some(network)
    }

    /// Runs a program inside; true when it is content.
    pub fn does(&self, program: &str, arguments: &[&str]) -> bool {
        works("ip", &[&["netns", "exec", &self.0, program], arguments].concat())
    }

    /// So many packets of a hundred are lost, at random; false where the kernel or `iptables` cannot do it.
    pub fn loses(&self, percent: u32) -> bool {
        let probability = format!("0.{percent:02}");
        let rule = ["-A", "INPUT", "-m", "statistic", "--mode", "random", "--probability", &probability, "-j", "DROP"];
        self.does("iptables", &rule)
    }

    /// What runs a program inside.
    pub fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.0].map(str::to_owned).to_vec()
    }

    /// The namespace's file.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        works("ip", &["netns", "del", &self.0]);
    }
}

/// The library that lies about the time, or `None` after saying that it is missing.
pub fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    if found.is_none() {
        skipped("libfaketime", "apt-get install faketime");
    }
    found
}

/// A library for `LD_PRELOAD`, made from C by the system's compiler.
pub fn shared_library(source: &str, folder: &Path) -> Option<PathBuf> {
    let (text, library) = (folder.join("preload.c"), folder.join("preload.so"));
    std::fs::write(&text, source).expect("the scratch folder can be written");
    let paths = [&library, &text].map(|path| path.to_str().expect("scratch folders have plain names"));
    if !works("cc", &["-shared", "-fPIC", "-O1", "-o", paths[0], paths[1], "-ldl"]) {
        skipped("a C compiler", "apt-get install gcc libc6-dev");
        return None;
    }
    Some(library)
}
