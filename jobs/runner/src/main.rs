//! The `aqueduct` binary: the only place where the engine meets connectors, settings and people.
//!
//! This file starts a verb and turns its end into an exit code; everything else has a file of its own.

mod cli;
mod clock;
mod connect;
mod connect_out;
mod connectors;
#[cfg(test)]
mod docs_tests;
mod exit;
mod fail_points;
mod http;
mod human;
mod identity;
mod job;
mod job_file;
mod logs;
mod look;
mod metrics;
mod owner;
mod panel;
mod process;
mod quarantine;
mod query;
mod render;
mod rewind_cmd;
mod run;
#[cfg(test)]
mod samples;
mod savepoint_cmd;
mod secrets;
mod settings;
mod signals;
mod state_cmd;
mod state_dir;
mod status_cmd;
mod stop_cmd;
mod summary;
mod table_out;
mod target;
mod txn_cmd;
mod variables;
mod verify_cmd;

use aqueduct_core::{Error, Result};
use clap::Parser;
use cli::{Cli, Verb};
use std::future::Future;

/// Threads of Rust, RocksDB and librdkafka allocate and free across each other; the system's allocator keeps what they free.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in mimalloc 3's list of options, which its binding does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() {
    // Freed pages go back at once and huge pages are off (the crate's feature `no_thp`): memory is what is in use, and does not
    // creep up with the number of batches. Measured: benches/NOTES.md, "Memory".
    // SAFETY: a plain setter of a number; no other thread runs yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
    identity::prepare();
    exit::install_panic_hook();
    let code = match start(Cli::parse().verb) {
        Ok(()) => 0,
        Err(error) => exit::report(&error),
    };
    identity::end();
    let _ = std::io::Write::flush(&mut std::io::stdout());
    // At once, and without the exit handlers of the C and C++ libraries: their threads still run, and cleaning up under them
    // was seen to end a finished job with "double free". Threads that wait for a dead broker must not hold the process either.
    // SAFETY: ends the process; nothing of ours is left to run.
    unsafe { libc::_exit(i32::from(code)) };
}

fn start(verb: Verb) -> Result<()> {
    if !matches!(verb, Verb::Run(_)) {
        logs::init(logs::default_format(), None, true);
    }
    // `run` says itself when, behind its own log; `check --connect` makes a line of its table of it.
    if !matches!(verb, Verb::Run(_) | Verb::Check(_) | Verb::Explain(_) | Verb::Status(_)) {
        identity::begin()?;
    }
    match verb {
        Verb::Run(args) => run::run(&args),
        Verb::Check(args) if args.connect => wait(connect::run(args)),
        Verb::Check(args) => look::check(&args.job),
        Verb::Explain(args) => look::explain(&args),
        Verb::Status(args) => wait(status_cmd::run(args)),
        Verb::Query(args) => wait(query::run(args)),
        Verb::State(verb) => wait(state_cmd::run(verb)),
        Verb::Savepoint(args) => wait(savepoint_cmd::run(args)),
        Verb::Stop(args) => wait(stop_cmd::run(args)),
        Verb::Rewind(args) => wait(rewind_cmd::run(args)),
        Verb::Txn(verb) => wait(txn_cmd::run(verb)),
        #[cfg(feature = "fail-points")]
        Verb::FailPoints => {
            fail_points::list();
            Ok(())
        }
    }
}

fn wait(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::bug(format!("cannot start the asynchronous runtime: {error}")))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}
