//! SIGTERM and SIGINT: the first asks the job to stop well, the second ends the process at once.
//!
//! A SIGTERM that comes right behind the first signal is the same wish, delivered twice: YARN and others signal a whole group of
//! processes, and a wrapper in that group hands its own signal on.

use aqueduct_core::{Error, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The exit code after a second signal, as shells expect it after an interrupt.
pub(crate) const INTERRUPTED: i32 = 130;

const TERMINATE: &str = "SIGTERM";

/// How long a SIGTERM still belongs to the signal before it.
const SAME_WISH: Duration = Duration::from_secs(2);

/// Begins to listen; `stop` turns true at the first signal.
pub(crate) fn listen(stop: Arc<watch::Sender<bool>>) -> Result<()> {
    let open = |kind| signal(kind).map_err(|error| Error::bug(format!("cannot listen to signals: {error}")));
    let (mut terminate, mut interrupt) = (open(SignalKind::terminate())?, open(SignalKind::interrupt())?);
    tokio::spawn(async move {
        let (name, first) = (next(&mut terminate, &mut interrupt).await, Instant::now());
        tracing::warn!("{name}: reading stops, what was read is sealed and delivered; a second signal ends at once");
        // Without a receiver the job has ended already.
        let _ = stop.send(true);
        let mut name = next(&mut terminate, &mut interrupt).await;
        while name == TERMINATE && first.elapsed() < SAME_WISH {
            name = next(&mut terminate, &mut interrupt).await;
        }
        tracing::warn!("{name} again: ending at once; the next start goes on from the newest checkpoint");
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => TERMINATE,
        _ = interrupt.recv() => "SIGINT",
    }
}
