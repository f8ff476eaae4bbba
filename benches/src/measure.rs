//! Running a program as a whole process and asking the kernel what it cost. It does not know what the program does.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a process and everything that it started has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// From start to end.
    pub(crate) wall: Duration,
    /// The largest sum of resident sets of the processes that ran at one time, in bytes. Pages that two share count twice.
    pub(crate) peak_bytes: u64,
    /// The share of the machine's time that the hypervisor gave to others meanwhile.
    pub(crate) steal: f64,
    /// When it was started.
    pub(crate) begun: Instant,
    /// It ended with 0.
    pub(crate) success: bool,
}

impl Usage {
    /// [`Usage::peak_bytes`] in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.peak_bytes as f64 / f64::from(1 << 20)
    }
}

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Runs `command` to its end; what it prints goes to `log`. Killed with all that it started when `limit` is over, and itself when
/// this process ends.
///
/// # Errors
/// It could not be started.
pub(crate) fn run(command: &mut Command, log: &Path, limit: Duration) -> io::Result<Usage> {
    adopt_orphans();
    let file = File::create(log)?;
    let (stolen, begun) = (Ticks::now(), Instant::now());
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
    // SAFETY: one async-signal-safe call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let child = command.spawn()?;
    let group = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let over = AtomicBool::new(false);
    let (sum, peak) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(group, begun + limit, &over));
        let sum = wait_for_group(group);
        over.store(true, Ordering::Relaxed);
        (sum, watch.join().unwrap_or(0))
    });
    let sum = sum?;
    Ok(Usage {
        cpu: sum.cpu,
        wall: sum.ended - begun,
        peak_bytes: peak,
        steal: Ticks::now().stolen_since(&stolen),
        begun,
        success: sum.success,
    })
}

/// What `wait4` said of the processes of a group.
struct Sum {
    cpu: Duration,
    ended: Instant,
    success: bool,
}

/// Waits for the leader, then for every orphan of its group. Each tells of itself and of the children that it waited for.
fn wait_for_group(group: libc::pid_t) -> io::Result<Sum> {
    let (mut sum, success) = wait(group)?;
    // Who outlives the leader is a part of the run, such as a JVM that a Python program started and left.
    while let Ok((more, _)) = wait(-group) {
        sum.cpu += more.cpu;
        sum.ended = more.ended;
    }
    Ok(Sum { success, ..sum })
}

fn wait(which: libc::pid_t) -> io::Result<(Sum, bool)> {
    let mut status = 0;
    // SAFETY: plain data that the kernel fills in.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals; the group is ours and nobody else waits for its processes.
        if unsafe { libc::wait4(which, &raw mut status, 0, &raw mut usage) } > 0 {
            let success = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
            let cpu = time(usage.ru_utime) + time(usage.ru_stime);
            return Ok((Sum { cpu, ended: Instant::now(), success }, success));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The largest sum of resident sets in a group of processes until `over`; kills the group at the deadline.
fn watch(group: libc::pid_t, deadline: Instant, over: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !over.load(Ordering::Relaxed) {
        peak = peak.max(resident(group));
        if Instant::now() > deadline {
            // SAFETY: plain system call; the leader has not been waited for, or some of its group is still there.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        std::thread::sleep(LOOK);
    }
    peak
}

/// The sum of what the processes of a group hold now, or the most that one of them has ever held, if that is more. The kernel's
/// account of a process that has ended (`ru_maxrss`) is of no use here: it begins with what its parent held when it forked.
fn resident(group: libc::pid_t) -> u64 {
    let (mut sum, mut most) = (0, 0);
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path()) {
        let read = |name: &str| std::fs::read_to_string(process.join(name)).unwrap_or_default();
        let number = process.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
        let Some(pages) = number.then(|| resident_of(&read("stat"), group)).flatten() else { continue };
        sum += pages * 4096;
        most = most.max(high_water(&read("status")).unwrap_or(0));
    }
    sum.max(most)
}

/// `VmHWM` of `/proc/*/status`, in bytes.
fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Resident pages in a line of `/proc/*/stat`, if the process is of the group. The name can hold anything, so what counts comes
/// after the last parenthesis.
fn resident_of(stat: &str, group: libc::pid_t) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let own: libc::pid_t = fields.get(2)?.parse().ok()?;
    if own == group { fields.get(21)?.parse().ok() } else { None }
}

/// Orphans of our children become our children, so that what they cost is not lost.
fn adopt_orphans() {
    // SAFETY: plain system call.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

fn time(value: libc::timeval) -> Duration {
    Duration::new(u64::try_from(value.tv_sec).unwrap_or(0), u32::try_from(value.tv_usec).unwrap_or(0) * 1000)
}

/// The machine's time, as `/proc/stat` counts it.
struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    fn now() -> Ticks {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        let numbers: Vec<u64> = first.split_whitespace().skip(1).filter_map(|number| number.parse().ok()).collect();
        Ticks { all: numbers.iter().take(8).sum(), stolen: numbers.get(7).copied().unwrap_or(0) }
    }

    fn stolen_since(&self, before: &Ticks) -> f64 {
        (self.stolen - before.stolen) as f64 / (self.all - before.all).max(1) as f64
    }
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
