//! What the engine asks of the process that it lives in: tasks, threads, blocking work, waits. Only the contract: who
//! implements it brings the threads and the clock.
//!
//! The engine starts nothing and waits for nothing but through a [`Host`], so that the same code runs on many threads in
//! production and step by step, in simulated time, in a simulation.

use crate::Result;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A piece of work that can be waited for.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a turn of [`Turns`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Something was done; there may be more.
    Busy,
    /// There was nothing to do.
    Quiet,
    /// It is over; no further turn.
    Done,
}

/// Work that goes on turn by turn on a thread of its own.
pub trait Turns: Send {
    /// One turn. With `may_wait` it may block for some milliseconds where there is nothing to do; without, it never blocks
    /// and the caller sees to it that a quiet worker is not asked in a busy loop.
    fn turn(&mut self, may_wait: bool) -> Turn;
}

/// The process around the engine.
///
/// # Who implements
/// The checkpoint room has the one for production, over tokio and the system's threads; a simulation brings its own.
/// # Panics
/// Work that must not vanish with a panic catches it itself; the host only sees to it that a panic ends nothing else.
pub trait Host: Send + Sync + std::fmt::Debug {
    /// Starts a task that nobody waits for.
    fn spawn(&self, task: Task);

    /// Does work that may block. It begins now or when the returned task is first polled, and is done when that is.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Task;

    /// Starts a thread that takes turns until [`Turn::Done`]. Nobody joins it: one that hangs in a client library must
    /// not keep the process from ending.
    fn thread(&self, name: &str, turns: Box<dyn Turns>) -> Result<()>;

    /// Waits.
    fn sleep(&self, time: Duration) -> Task;

    /// Time since some fixed moment, never going back; for limits on waits.
    fn steady(&self) -> Duration;
}
