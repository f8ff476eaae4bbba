//! `aqueduct run`: puts plan, settings, connectors and stores together, starts the runtime and shows it.
//!
//! What the job computes and how it is kept safe is the engine's; here is only the life of the process around it.

use crate::cli::RunArgs;
use crate::clock::SystemClock;
use crate::job::PlannedJob;
use crate::state_dir::StateDir;
use crate::{connectors, exit, fail_points, http, identity, job, logs, owner, panel, process, signals, summary};
use aqueduct_bucket::store::{StoreOptions, open_store};
use aqueduct_checkpoint::{Place, SystemIds};
use aqueduct_core::{Error, Result};
use aqueduct_runtime::{Control, Environment, FromSavepoint, Job, JobState, StatusBoard, StatusSnapshot, TokioHost};
use indicatif::MultiProgress;
use object_store::{ObjectStore, path::Path};
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The verb.
pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let screen = wants_panel(args).then(panel::screen);
    logs::init(args.log_format.unwrap_or_else(logs::default_format), screen.clone(), false);
    let planned = job::prepare(&args.job)?;
    for warning in &planned.warnings {
        tracing::warn!("{warning}");
    }
    identity::begin()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Input is read on threads of the engine's own; these carry sinks and stores. Every thread holds pages of the
        // allocator's, emptied ones too: so there are few, those for blocking calls end soon, and a thread that waits gives
        // its empty pages back (by itself the allocator does so only as it allocates on). Measured: benches/NOTES.md, "Memory".
        .worker_threads(2)
        .max_blocking_threads(6)
        .thread_keep_alive(Duration::from_millis(250))
        // SAFETY: concerns the calling thread's own heap only.
        .on_thread_park(|| unsafe { libmimalloc_sys::mi_collect(false) })
        .thread_name("aqueduct-io")
        .build()
        .map_err(|error| Error::bug(format!("cannot start the asynchronous runtime: {error}")))?;
    let outcome = runtime.block_on(drive(args, planned, screen));
    // Readers of the job may still hold threads: do not wait for what no longer matters.
    runtime.shutdown_background();
    outcome
}

/// A panel draws over lines: it needs a terminal, and logs in JSON are for machines.
fn wants_panel(args: &RunArgs) -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    let json = args.log_format == Some(crate::cli::LogFormat::Json);
    !args.no_panel && !json && !dumb && std::io::stderr().is_terminal()
}

async fn drive(args: &RunArgs, planned: PlannedJob, screen: Option<MultiProgress>) -> Result<()> {
    let started = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let (stop, control) = (Arc::new(stop), Arc::new(Control::default()));
    signals::listen(Arc::clone(&stop))?;
    let board = Arc::new(StatusBoard::default());
    board.update(|snapshot| snapshot.job = planned.name().to_string());
    let mut bound = None;
    if let Some(given) = &args.http {
        let face = http::Face { board: Arc::clone(&board), control: Arc::clone(&control), stop };
        let at = http::serve(given, face).await?;
        tracing::info!(address = %at, "serving http://{at}/metrics /healthz /readyz /status");
        bound = Some(at.to_string());
    }
    announce(&planned);
    let state = StateDir::create(args.state_dir.as_deref(), planned.name())?;
    let savepoint = savepoint(args, &planned)?;
    let mut job = assemble(planned, &state)?;
    job.settings.other_input = args.allow_other_input;
    job.environment = Environment { owner: Some(owner::this(bound)), control, savepoint, ..job.environment };
    let (done, until) = watch::channel(false);
    let display = show(screen, Arc::clone(&board), until);

    // On a task of its own, so that a panic inside comes back as a value if the hook is ever taken away.
    let task = tokio::spawn(aqueduct_runtime::run(job, Arc::clone(&board), stopped));
    let outcome = task.await.unwrap_or_else(|error| Err(Error::bug(format!("the job's task broke: {error}"))));
    // The receiver lives in the display task, which waits for exactly this.
    let _ = done.send(true);
    drop(display.await);
    finish(outcome, &board, started, state)
}

fn finish(outcome: Result<StatusSnapshot>, board: &StatusBoard, started: Instant, state: StateDir) -> Result<()> {
    let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (snapshot, result) = match outcome {
        Ok(snapshot) => (snapshot, Ok(())),
        Err(error) => (board.snapshot(), Err(error)),
    };
    // A job that failed before it read anything has nothing to sum up.
    if result.is_ok() || snapshot.run_records > 0 {
        exit::say(&summary::text(&snapshot, elapsed, process::memory()));
    }
    if let (Ok(()), Some(open)) = (&result, unaccounted(&snapshot)) {
        return Err(open);
    }
    if result.is_ok() {
        tracing::info!(records = snapshot.run_records, epoch = snapshot.checkpoint.epoch, elapsed_ms = elapsed, "done");
        state.remove();
    }
    result
}

/// A finished job whose ledger does not close has lost or invented rows: that must not look like success.
fn unaccounted(snapshot: &StatusSnapshot) -> Option<Error> {
    let open = snapshot.ledger.iter().find(|totals| !totals.closes())?;
    (snapshot.state == JobState::Finished).then(|| {
        Error::bug(format!(
            "the ledger of query '{}' over '{}' does not close: see the table above",
            open.query, open.source
        ))
    })
}

fn announce(planned: &PlannedJob) {
    let settings = &planned.settings;
    tracing::info!(
        job = %planned.name(),
        parallelism = settings.runtime.parallelism,
        checkpoints = settings.checkpoint_dir,
        quarantine = planned.quarantine_folder(),
        sources = planned.plan.sources.len(),
        queries = planned.own_plan.queries.len(),
        sinks = planned.own_plan.sinks.len(),
        "starting"
    );
}

fn assemble(planned: PlannedJob, state: &StateDir) -> Result<Job> {
    let fail_points = fail_points::armed()?;
    let sources = connectors::sources(&planned.plan, &planned.connectors, &fail_points)?;
    let sinks = connectors::sinks(&planned.plan, &planned.connectors, &fail_points)?;
    let (checkpoint_store, checkpoint_root) =
        open_checkpoints(&planned.settings.checkpoint_dir, planned.settings.checkpoint_endpoint.clone(), true)?;
    let environment = Environment {
        checkpoint_store,
        checkpoint_root,
        checkpoint_url: planned.settings.checkpoint_dir.clone(),
        state_dir: state.path().to_owned(),
        sources,
        sinks,
        clock: Arc::new(SystemClock::new()),
        owner: None,
        control: Arc::default(),
        savepoint: None,
        fail_points,
        host: Arc::new(TokioHost::default()),
        ids: Arc::new(SystemIds),
        settled_state: false,
    };
    Ok(Job { plan: planned.plan, settings: planned.settings.runtime, environment })
}

/// The savepoint to begin with; its folder, or the _metadata in it.
fn savepoint(args: &RunArgs, planned: &PlannedJob) -> Result<Option<FromSavepoint>> {
    let Some(url) = &args.from_savepoint else { return Ok(None) };
    let url = url.trim_end_matches("/_metadata").trim_end_matches('/').to_owned();
    let (store, root) = open_checkpoints(&url, planned.settings.checkpoint_endpoint.clone(), false).map_err(|error| {
        error.context(format!(
            "--from-savepoint: there is no savepoint in {url}, name the folder that `aqueduct savepoint` printed (it holds _metadata)"
        ))
    })?;
    let place = Place { points: fail_points::armed()?, ..Place::new(store, root) };
    Ok(Some(FromSavepoint { place, url, confirmed: args.yes }))
}

/// The store of a checkpoint folder. A missing local folder is created only by a job, never by a look.
pub(crate) fn open_checkpoints(
    url: &str,
    endpoint: Option<String>,
    create: bool,
) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let options = StoreOptions { endpoint, fsync: true, create_folder: create, ..StoreOptions::default() };
    open_store(url, &options).map_err(|error| error.context("checkpoints"))
}

fn show(screen: Option<MultiProgress>, board: Arc<StatusBoard>, until: watch::Receiver<bool>) -> JoinHandle<()> {
    match screen {
        Some(screen) => tokio::spawn(panel::draw(screen, board, until)),
        None => tokio::spawn(panel::log(board, until)),
    }
}
