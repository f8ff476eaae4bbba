//! One run of the whole shard: processes are started, struck, started again; faults stop; the run comes to its end, and
//! what every sink holds is compared with the oracle.

use super::backends::postgres::Snapshot;
use super::input::Input;
use super::job::{self, Shape};
use super::judge::Judge;
use super::schedule::{Scheduler, Step};
use super::services::Services;
use super::verdict::verdict;
use super::world::World;
use aqueduct_core::{ErrorKind, Result};
use aqueduct_plan::JobPlan;
use aqueduct_runtime::{JobState, StatusBoard, StatusSnapshot};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// After the faults have stopped, the run may take so much simulated time.
const PATIENCE_MS: u64 = 2 * 3_600_000;
/// No run needs so many steps.
const MOST_STEPS: u64 = 6_000_000;
/// Owners at once.
const MOST_OWNERS: usize = 3;
/// Faults that a process may rightly refuse to go on after: damage that it must not guess about.
const REFUSABLE: &[&str] = &["store.corrupt-read", "store.blob-not-visible", "source.recreated", "source.truncated"];

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What two runs of the seed must agree on.
    pub fingerprint: u64,
    /// What is wrong; empty when all is well.
    pub wrong: Vec<String>,
    /// The end of the trace.
    pub trace: Vec<String>,
    /// Injected faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Processes that were started.
    pub processes: u32,
    /// The newest epoch.
    pub epochs: u64,
    /// Records in the input.
    pub records: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Steps of the scheduler.
    pub steps: u64,
}

type Outcomes = Arc<Mutex<BTreeMap<u32, Result<StatusSnapshot>>>>;

/// Runs one seed. `planted` is the name of a bug that a simulated service shows on purpose; `echo` prints the trace.
pub fn run(plan: &JobPlan, seed: u64, planted: Option<&'static str>, echo: bool) -> Report {
    let world = World::new(seed, planted);
    if echo {
        world.echo();
    }
    let input = Arc::new(Input::new(seed));
    let folder = scratch();
    let mut run = Run {
        services: Services::new(&world, plan, input.clone()),
        scheduler: Scheduler::new(world.clone()),
        judge: Judge::new(world.clone()),
        shape: Shape::new(seed),
        outcomes: Outcomes::default(),
        stops: BTreeMap::new(),
        begun: BTreeMap::new(),
        restart_at: Some(0),
        folder: folder.as_ref().map(|folder| folder.path().to_owned()).unwrap_or_default(),
        done: None,
        calm_at: None,
        backup: None,
        refused: false,
        world,
        plan,
    };
    if folder.is_err() {
        run.world.violation("there is no folder for temporary files".to_owned());
    }
    run.play();
    let mut wrong: Vec<String> = run.world.broken().into_iter().collect();
    if wrong.is_empty() && !run.refused {
        wrong = verdict(&input, &run.services, run.done.as_ref());
    }
    run.report(seed, wrong, &input)
}

/// Memory, where there is a folder in memory: RocksDB flushes each epoch, and nothing here outlives the run.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("aqueduct-sim-");
        builder
    };
    if memory.is_dir() { builder().tempdir_in(memory) } else { builder().tempdir() }
}

struct Run<'a> {
    world: World,
    plan: &'a JobPlan,
    services: Services,
    scheduler: Scheduler,
    judge: Judge,
    shape: Shape,
    outcomes: Outcomes,
    stops: BTreeMap<u32, watch::Sender<bool>>,
    /// When each process began.
    begun: BTreeMap<u32, u64>,
    restart_at: Option<u64>,
    folder: PathBuf,
    /// The status of a process that came to the end of the input after the faults had stopped.
    done: Option<StatusSnapshot>,
    calm_at: Option<u64>,
    /// A backup of the Postgres, in runs that restore one.
    backup: Option<Snapshot>,
    /// Postgres was set back, and the job refused to go on without epochs that are no longer kept.
    refused: bool,
}

impl Run<'_> {
    fn play(&mut self) {
        let calm_at = 20_000 + self.world.draw(160_000);
        let give_up_at = calm_at + PATIENCE_MS;
        while self.world.broken().is_none() {
            let now = self.world.now_ms();
            if now >= calm_at && !self.world.is_calm() {
                self.world.calm_down();
                self.calm_at = Some(now);
            }
            if self.restart_at.is_some_and(|at| now >= at) {
                self.restart_at = None;
                self.start();
            }
            match self.scheduler.step() {
                Step::Went => {}
                Step::SecondOwner => self.second_owner(),
                Step::Crashed(number) => self.crashed(number),
                Step::Ended(number) => self.ended(number),
                Step::Stuck if self.restart_at.is_none() => {
                    self.world.violation("nothing can happen any more, and the job is not done".to_owned());
                }
                Step::Stuck => {}
            }
            self.weather();
            if self.refused || (self.done.is_some() && self.scheduler.living().is_empty()) {
                break;
            }
            if now > give_up_at || self.scheduler.steps() > MOST_STEPS {
                let left = self.scheduler.living();
                self.world.violation(format!("the run does not come to an end; processes {left:?} are left"));
            }
        }
        // What is still under way somewhere lands, and must change nothing.
        while self.world.broken().is_none() && self.world.pass_time() {}
        self.judge.look(&self.services);
    }

    /// What happens to the machine, not to a request.
    fn weather(&mut self) {
        if self.scheduler.steps().is_multiple_of(2_048) {
            self.judge.look(&self.services);
        }
        if self.world.draw(2_000) != 0 {
            return;
        }
        if self.world.fault("clock.jump") {
            let hour = 3_600_000;
            let by = self.world.draw(2 * hour) as i64 - hour as i64;
            self.world.jump_clock(by);
        }
        self.backups();
        if self.world.fault("process.stop-asked") {
            let living = self.scheduler.living();
            let at = self.world.draw(living.len() as u64) as usize;
            if let Some(stop) = living.get(at).and_then(|number| self.stops.get(number)) {
                let _ = stop.send(true);
            }
        }
    }

    /// Some runs set Postgres back to an older state of itself.
    fn backups(&mut self) {
        if !self.world.seed().is_multiple_of(8) || self.world.is_calm() {
            return;
        }
        match self.backup.take() {
            None => self.backup = Some(self.services.postgres.snapshot()),
            Some(backup) if self.world.draw(6) == 0 => {
                self.services.postgres.restore(backup);
                self.judge.forget_cursors();
            }
            Some(backup) => self.backup = Some(backup),
        }
    }

    fn start(&mut self) {
        let (stop, stopped) = watch::channel(false);
        let outcomes = self.outcomes.clone();
        let (world, services, shape, plan, folder) =
            (&self.world, &self.services, &self.shape, self.plan, &self.folder);
        services.topic.begun(self.judge.head() > 0);
        let number = self.scheduler.start(|number, host| {
            let job = job::process(world, services, shape, plan, host, folder.join(format!("p{number}")));
            Box::pin(async move {
                let outcome = match job {
                    Ok(job) => aqueduct_runtime::run(job, Arc::new(StatusBoard::default()), stopped).await,
                    Err(error) => Err(error),
                };
                outcomes.lock().unwrap_or_else(PoisonError::into_inner).insert(number, outcome);
            })
        });
        self.stops.insert(number, stop);
        self.begun.insert(number, self.world.now_ms());
    }

    fn restart_within(&mut self, ms: u64) {
        let after = self.world.draw(ms);
        self.restart_at = Some(self.world.now_ms() + after);
        // So that time moves there.
        self.world.later(Duration::from_millis(after), || {});
    }

    fn second_owner(&mut self) {
        if self.scheduler.living().len() < MOST_OWNERS {
            self.start();
        }
    }

    fn crashed(&mut self, number: u32) {
        self.clean(number);
        if self.scheduler.living().is_empty() {
            self.restart_within(4_000);
        }
    }

    fn clean(&mut self, number: u32) {
        self.judge.look(&self.services);
        self.stops.remove(&number);
        let _ = std::fs::remove_dir_all(self.folder.join(format!("p{number}")));
    }

    fn ended(&mut self, number: u32) {
        self.clean(number);
        let outcome = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        match outcome {
            Some(Ok(status)) => {
                self.world
                    .trace(format!("process {number} is done: {:?}, epoch {}", status.state, status.checkpoint.epoch));
                // The last word has a process that began in calm: what happened to a sink unseen is found at a start.
                let begun = self.begun.get(&number).copied().unwrap_or(0);
                if status.state == JobState::Finished && self.calm_at.is_some_and(|calm| begun >= calm) {
                    self.done = Some(status);
                    return;
                }
                if self.scheduler.living().is_empty() {
                    return self.restart_within(30_000);
                }
            }
            Some(Err(error)) => {
                self.world.trace(format!("process {number} gives up ({:?}): {}", error.kind(), error.message()));
                self.judge_error(number, error.kind(), error.message());
            }
            None => self.world.violation(format!("process {number} ended without an outcome")),
        }
        if self.scheduler.living().is_empty() && self.done.is_none() {
            self.restart_within(4_000);
        }
    }

    fn judge_error(&mut self, number: u32, kind: ErrorKind, message: &str) {
        if kind == ErrorKind::FixData && message.contains("set back") && self.world.last("postgres.restored").is_some()
        {
            self.refused = true;
            return;
        }
        let begun = self.begun.get(&number).copied().unwrap_or(0);
        let met = |kind: &&str| self.world.last(kind).is_some_and(|at| at >= begun);
        let expected = match kind {
            ErrorKind::Retry => true,
            ErrorKind::Fenced => self.begun.len() > 1,
            ErrorKind::FixData => REFUSABLE.iter().any(met),
            // A flipped bit in the header can make a record look like one of a later version.
            ErrorKind::FixConfig => met(&"store.corrupt-read"),
            ErrorKind::Bug => false,
        };
        if !expected {
            self.world.violation(format!("process {number} ended with {kind:?}: {message}"));
        }
    }

    fn report(self, seed: u64, wrong: Vec<String>, input: &Input) -> Report {
        Report {
            seed,
            fingerprint: self.world.fingerprint(),
            trace: self.world.tail(60),
            faults: self.world.faults(),
            processes: self.begun.len() as u32,
            epochs: self.judge.head(),
            records: input.len() as u64,
            simulated_ms: self.world.now_ms(),
            steps: self.scheduler.steps(),
            wrong,
        }
    }
}
