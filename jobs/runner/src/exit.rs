//! How the process ends: exit codes by error kind, the error on stderr, and what a panic does.
//!
//! It does not decide what an error is; kinds come from the rooms.

use crate::secrets;
use aqueduct_core::{Error, ErrorKind};
use std::error::Error as _;
use std::io::{IsTerminal, Write};

/// The exit code of a kind; 0 is "done".
pub(crate) fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Bug => 1,
        ErrorKind::FixConfig => 2,
        ErrorKind::FixData => 3,
        ErrorKind::Retry => 4,
        ErrorKind::Fenced => 5,
    }
}

/// What the operator does next, in one line.
pub(crate) fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Bug => "the engine broke one of its own rules; please report it with the lines above",
        ErrorKind::FixConfig => "change the job, its settings or the environment, then start again",
        ErrorKind::FixData => "look at the data named above, then start again",
        ErrorKind::Retry => "a dependency is unreachable or busy; the same command may work later",
        ErrorKind::Fenced => "a newer owner runs this job; do not start this one again",
    }
}

/// Writes the error to stderr for a person, and as a log line for a machine when stderr is not a terminal.
pub(crate) fn report(error: &Error) -> u8 {
    let kind = error.kind();
    let message = secrets::hide(error.message());
    let cause = error.source().map(|cause| secrets::hide(&cause.to_string())).filter(|cause| !message.contains(cause));
    if !std::io::stderr().is_terminal() {
        tracing::error!(kind = ?kind, exit_code = code(kind), cause = cause.as_deref(), "{message}");
    }
    let mut out = format!("error: {message}\n");
    if let (ErrorKind::Bug, Some(cause)) = (kind, &cause) {
        out.push_str(&format!("  cause: {cause}\n"));
    }
    out.push_str(&format!("  exit code {}: {}\n", code(kind), advice(kind)));
    // Nothing can be done when stderr is gone.
    drop(std::io::stderr().write_all(out.as_bytes()));
    code(kind)
}

/// Writes to stdout. A reader that went away (`| head`) is no failure.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// A panic on any thread ends the process with code 1: a job that lost one of its threads must not look alive.
/// Nothing is lost by it: the next start goes on from the newest checkpoint.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let what = info
            .payload()
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| info.payload().downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown".to_owned());
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let error = Error::bug(format!("thread '{thread}' panicked at {place}: {what}"));
        std::process::exit(i32::from(report(&error)));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "ends its process; the next test starts it"]
    fn panicking_child() {
        install_panic_hook();
        let thread = std::thread::Builder::new().name("reader-7".to_owned()).spawn(|| panic!("lost an invariant"));
        drop(thread.unwrap().join());
    }

    #[test]
    fn a_panic_on_any_thread_ends_the_process_with_1() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["exit::tests::panicking_child", "--exact", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(1), "{err}");
        assert!(err.contains("error: thread 'reader-7' panicked at") && err.contains("lost an invariant"), "{err}");
    }

    #[test]
    fn each_kind_has_its_own_code() {
        let kinds =
            [ErrorKind::Bug, ErrorKind::FixConfig, ErrorKind::FixData, ErrorKind::Retry, ErrorKind::Fenced].map(code);
        assert_eq!(kinds, [1, 2, 3, 4, 5]);
    }
}
