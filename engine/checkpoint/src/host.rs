//! The production host: tasks and waits of tokio, threads of the operating system. It decides nothing.

use aqueduct_core::{Error, Host, Result, Task, Turn, Turns};
use std::time::{Duration, Instant};

/// Tasks on the tokio runtime that the caller is in, threads of the system, real time since it was made.
#[derive(Debug, Clone, Copy)]
pub struct TokioHost {
    start: Instant,
}

impl Default for TokioHost {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Host for TokioHost {
    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Task {
        let running = tokio::task::spawn_blocking(work);
        // A panic is the work's own to tell.
        Box::pin(async move { drop(running.await) })
    }

    fn thread(&self, name: &str, mut turns: Box<dyn Turns>) -> Result<()> {
        let work = move || while turns.turn(true) != Turn::Done {};
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        spawned.map(drop).map_err(|error| {
            Error::retry(format!("the thread '{name}' cannot be started: {error}; look at the limits on threads"))
                .with_source(error)
        })
    }

    fn sleep(&self, time: Duration) -> Task {
        Box::pin(tokio::time::sleep(time))
    }

    fn steady(&self) -> Duration {
        self.start.elapsed()
    }
}
