//! Running a program as a whole process and asking the kernel what it cost. It does not know what the program does.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a process and everything that it started and waited for has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// From start to end.
    pub(crate) wall: Duration,
    /// The largest resident set of one process of the tree, in bytes.
    pub(crate) peak_bytes: u64,
    /// It ended with 0.
    pub(crate) success: bool,
}

/// Runs `command` to its end; what it prints goes to `log`.
///
/// # Errors
/// It could not be started.
pub(crate) fn run(command: &mut Command, log: &Path) -> io::Result<Usage> {
    let file = File::create(log)?;
    let begun = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
    let mut status = 0;
    // SAFETY: plain data that the kernel fills in.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let id = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    loop {
        // SAFETY: both pointers are to live locals; the child is ours and nobody else waits for it.
        let waited = unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) };
        if waited == id {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(Usage {
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        wall: begun.elapsed(),
        peak_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        success: libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
    })
}

fn time(value: libc::timeval) -> Duration {
    Duration::new(u64::try_from(value.tv_sec).unwrap_or(0), u32::try_from(value.tv_usec).unwrap_or(0) * 1000)
}
