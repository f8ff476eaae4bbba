//! Tasks and blocking work with an answer, over the host that the runtime is given. A panic comes back as an error.

use crate::worker::panic_text;
use aqueduct_core::{Error, Host, Result};
use futures::FutureExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// The answer of a task that runs on its own.
pub(crate) type Answer<T> = oneshot::Receiver<Result<T>>;

/// Starts a task whose answer can be waited for. `what` names it for a message: `sealing an epoch`.
pub(crate) fn start<T: Send + 'static>(
    host: &dyn Host,
    what: &'static str,
    task: impl Future<Output = Result<T>> + Send + 'static,
) -> Answer<T> {
    let (out, answer) = oneshot::channel();
    host.spawn(Box::pin(async move {
        let outcome = AssertUnwindSafe(task).catch_unwind().await;
        // Nobody listens only when the job has ended already.
        let _ = out.send(outcome.unwrap_or_else(|panic| Err(panicked(what, panic.as_ref()))));
    }));
    answer
}

/// Does work on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    host: &dyn Host,
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (out, answer) = oneshot::channel();
    let work = Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panicked(what, panic.as_ref()));
        let _ = out.send(outcome);
    });
    host.blocking(work).await;
    received(what, answer.await)?
}

/// What an answer says, or that there will be none.
pub(crate) fn received<T>(what: &'static str, answer: std::result::Result<T, oneshot::error::RecvError>) -> Result<T> {
    answer.map_err(|_| Error::bug(format!("{what} was given up; is the process ending?")))
}

fn panicked(what: &'static str, panic: &(dyn std::any::Any + Send)) -> Error {
    Error::bug(format!("{what} panicked: {}", panic_text(panic)))
}
