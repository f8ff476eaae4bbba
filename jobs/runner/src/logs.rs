//! Logs to stderr by `tracing`: JSON lines for machines, text for people; `RUST_LOG` is honoured.
//!
//! stdout belongs to results and summaries.

use crate::cli::LogFormat;
use crate::secrets;
use indicatif::MultiProgress;
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The format when none is asked for.
pub(crate) fn default_format() -> LogFormat {
    if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json }
}

/// Starts logging. With a panel on `screen`, lines are written above it. `quiet` shows warnings only.
pub(crate) fn init(format: LogFormat, screen: Option<MultiProgress>, quiet: bool) {
    // librdkafka's and object_store's own lines are shown from warnings up.
    let default = if quiet || screen.is_some() { "warn" } else { "info,librdkafka=warn,object_store=warn,hyper=warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Stderr { screen });
    // A second call (in tests) finds the first one's subscriber; that is fine.
    drop(match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => builder.with_ansi(colours).with_target(false).try_init(),
    });
}

#[derive(Debug, Clone)]
struct Stderr {
    screen: Option<MultiProgress>,
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Each event comes in one piece.
        let text = secrets::hide(&String::from_utf8_lossy(bytes));
        match &self.screen {
            Some(screen) => screen.suspend(|| std::io::stderr().write_all(text.as_bytes())),
            None => std::io::stderr().write_all(text.as_bytes()),
        }
        .map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Stderr;

    fn make_writer(&'a self) -> Stderr {
        self.clone()
    }
}
