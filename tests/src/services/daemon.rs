//! A child process that cannot outlive the test: its group is killed on drop, at exit, and by the kernel when we are killed.
//!
//! It knows nothing of any particular service.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

/// A running service process.
#[derive(Debug)]
pub struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command` in a process group of its own, with output to `log` (appended).
    pub fn spawn(name: &'static str, mut command: Command, log: &Path) -> Daemon {
        let open = || File::options().create(true).append(true).open(log).expect("the log's folder exists");
        command.stdin(Stdio::null()).stdout(open()).stderr(open()).process_group(0);
        let us = std::process::id();
        // SAFETY: only async-signal-safe calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid() as u32 != us { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
            });
        }
        let program = command.get_program().to_owned();
        let child =
            spawn_from_lasting_thread(command).unwrap_or_else(|e| panic!("{name}: cannot start {program:?}: {e}"));
        remember(Leftover::Group(child.id()));
        Daemon { name, child, log: log.to_owned() }
    }

    /// Polls `ready` until it is true; panics with the end of the log when the process ends or the time is over.
    pub fn wait_until(&mut self, within: Duration, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().expect("the child is ours");
            if ended.is_some() || start.elapsed() > within {
                panic!(
                    "{} is not ready after {:?} ({ended:?}); its log ends with:\n{}",
                    self.name,
                    start.elapsed(),
                    self.log_tail()
                );
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// The process id, which is also the id of its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL to the whole group.
    pub fn kill(&mut self) {
        kill_group(self.child.id(), libc::SIGKILL);
        let _ = self.child.wait();
        forget(&Leftover::Group(self.child.id()));
    }

    /// A signal to the main process.
    pub fn signal(&self, signal: i32) {
        // SAFETY: plain system call; the child has not been waited for, so the id is its own.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Waits for the process to end by itself; `None` when it has not ended in time.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return Some(status);
            }
            if start.elapsed() > within {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that it has written.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The error that it has ended with, and what to do about it.
    pub fn last_words(&self) -> String {
        self.log().lines().skip_while(|line| !line.starts_with("error:")).collect::<Vec<_>>().join("\n")
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder that is removed on drop, at exit, or by the next test run on this machine.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty folder that other users may pass through (services may run as another user).
    pub fn new(name: &str) -> Scratch {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        static SWEEP: std::sync::Once = std::sync::Once::new();
        SWEEP.call_once(sweep);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("{PREFIX}{}-{name}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
        remember(Leftover::Folder(dir.clone()));
        Scratch(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_folder(&self.0);
        forget(&Leftover::Folder(self.0.clone()));
    }
}

/// A port of 127.0.0.1 that nobody listens on, outside the range from which the kernel takes ports for outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let seed = std::process::id().wrapping_mul(7919);
    for _ in 0..10_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 15_000 + (seed.wrapping_add(step.wrapping_mul(13)) % 17_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on 127.0.0.1");
}

/// True when something accepts connections there.
pub fn listens(port: u16) -> bool {
    std::net::TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(500)).is_ok()
}

/// Runs a tool to its end; panics with its output when it fails.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{:?}: {e} (./dev test installs it)", command.get_program()));
    let said = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed ({}):\n{}", output.status, said());
    output.stdout
}

const PREFIX: &str = "aqueduct-test-";

/// The kernel's death signal fires when the *thread* that forked is gone, and tests run on threads that come and go:
/// so every child is born of one thread that stays until the process ends.
fn spawn_from_lasting_thread(command: Command) -> std::io::Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static NURSERY: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = mpsc::channel();
    nursery.lock().expect("nobody panics with it").send((command, reply)).expect("the thread never ends");
    answer.recv().expect("the thread always answers")
}

/// What is left to clean up when the process ends with services in statics.
#[derive(Debug, PartialEq)]
enum Leftover {
    Group(u32),
    Folder(PathBuf),
}

static LEFTOVERS: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

fn remember(leftover: Leftover) {
    static AT_EXIT: std::sync::Once = std::sync::Once::new();
    // SAFETY: the handler is a plain function without arguments.
    AT_EXIT.call_once(|| {
        let registered = unsafe { libc::atexit(clean_up) };
        assert_eq!(registered, 0, "the C library takes one more handler");
    });
    LEFTOVERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(leftover);
}

fn forget(leftover: &Leftover) {
    LEFTOVERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|known| known != leftover);
}

extern "C" fn clean_up() {
    let Ok(mut leftovers) = LEFTOVERS.try_lock() else { return };
    for leftover in leftovers.iter() {
        if let Leftover::Group(id) = leftover {
            kill_group(*id, libc::SIGKILL);
        }
    }
    for leftover in leftovers.drain(..) {
        if let Leftover::Folder(dir) = leftover {
            remove_folder(&dir);
        }
    }
}

/// Children of a killed service (PostgreSQL's have groups of their own) may still write for a moment: tried a few times.
fn remove_folder(dir: &Path) {
    for _ in 0..40 {
        match std::fs::remove_dir_all(dir) {
            Ok(()) => return,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return,
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn kill_group(id: u32, signal: i32) {
    // SAFETY: plain system call; ids of groups are forgotten once their leader has been waited for.
    unsafe { libc::kill(-(id as i32), signal) };
}

/// Removes the folders of test processes that were killed.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner =
            name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).and_then(|id| id.parse::<u32>().ok());
        if owner.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
