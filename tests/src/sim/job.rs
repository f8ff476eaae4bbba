//! The job of the simulation: its text through the real planner, and a process of it as the runner would put it together.

use super::random::Random;
use super::schedule::SimHost;
use super::services::Services;
use super::world::World;
use aqueduct_checkpoint::IdSource;
use aqueduct_core::{Clock, Connector, Error, FailPoints, Host, JobName, Result, Sink, Source};
use aqueduct_plan::JobPlan;
use aqueduct_runtime::{Environment, Job, OnDamage, Settings};
use aqueduct_sql::{Overrides, PlanRequest, Variables};
use object_store::path::Path as StorePath;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const TEXT: &str = include_str!("job.sql");

/// The job's name.
pub const NAME: &str = "simulated";

struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        Err(std::io::Error::new(std::io::ErrorKind::NotFound, path.to_owned()))
    }
}

/// Plans the job.
pub fn plan() -> Result<JobPlan> {
    let connectors: Vec<Arc<dyn Connector>> = Services::connectors();
    let request = PlanRequest {
        file: "job.sql",
        text: TEXT,
        connectors: &connectors,
        variables: &NoVariables,
        overrides: Overrides::default(),
        settings: BTreeMap::new(),
        job: NAME,
    };
    aqueduct_sql::plan(&request).map_err(Error::from)
}

/// The wall clock and the steady clock of the world.
#[derive(Debug)]
struct SimClock(World);

impl Clock for SimClock {
    fn wall_ms(&self) -> i64 {
        self.0.wall_ms()
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.0.now_ms())
    }
}

#[derive(Debug)]
struct SimIds(World);

impl IdSource for SimIds {
    fn put_id(&self) -> String {
        format!("{:016x}{:016x}", self.0.draw(u64::MAX), self.0.draw(u64::MAX))
    }
}

/// Settings of a run that do not change from process to process.
#[derive(Debug, Clone)]
pub struct Shape {
    interval: Duration,
    min_pause: Duration,
    retained: usize,
    backlog: u64,
    buffered: u64,
    collect_every: u64,
    panes_per_turn: usize,
    state_bytes: u64,
    fired_keys: usize,
    restore_bytes: u64,
}

impl Shape {
    /// The settings of a seed.
    pub fn new(seed: u64) -> Shape {
        let mut random = Random::new(seed ^ 0x5e77);
        Shape {
            interval: Duration::from_millis(300 + random.below(4_000)),
            min_pause: Duration::from_millis(20 + random.below(400)),
            retained: 1 + random.below(3) as usize,
            backlog: if random.below(4) == 0 { 3_000 } else { 1 << 20 },
            buffered: if random.below(4) == 0 { 2_000 } else { 1 << 20 },
            collect_every: 1 + random.below(8),
            panes_per_turn: if random.below(4) == 0 { 10_000 } else { 1 + random.below(5) as usize },
            // Of some seeds nearly everything leaves memory.
            state_bytes: if random.below(3) == 0 { 1_000 + random.below(4_000) } else { 1 << 30 },
            fired_keys: 1 + random.below(6) as usize,
            restore_bytes: if random.below(2) == 0 { 0 } else { u64::MAX },
        }
    }
}

/// A process of the job, ready to run on `host`.
pub fn process(
    world: &World,
    services: &Services,
    shape: &Shape,
    plan: &JobPlan,
    host: Arc<SimHost>,
    state: PathBuf,
) -> Result<Job> {
    let fail_points = fail_points(world);
    let sources: Vec<Box<dyn Source>> = plan.sources.iter().map(|table| services.topic.source(&table.spec)).collect();
    let sinks =
        plan.sinks.iter().map(|table| services.sink(table, &fail_points)).collect::<Result<Vec<Box<dyn Sink>>>>()?;
    let settings = Settings {
        job: JobName::new(NAME)?,
        // A restart at another parallelism moves panes between threads.
        parallelism: 1 + world.draw(3) as usize,
        checkpoint_interval: shape.interval,
        checkpoint_min_pause: shape.min_pause,
        max_backlog_bytes: shape.backlog,
        max_buffered_bytes: shape.buffered,
        max_kept_exits: usize::MAX,
        max_state_bytes: shape.state_bytes,
        max_restore_bytes: shape.restore_bytes,
        max_fired_keys: shape.fired_keys,
        max_fired_rows: shape.fired_keys,
        panes_per_turn: shape.panes_per_turn,
        panes_per_load: shape.panes_per_turn,
        discovery_interval: Some(Duration::from_millis(2_000)),
        retained_checkpoints: shape.retained,
        collect_every: shape.collect_every,
        on_damage: OnDamage::Refuse,
        other_input: false,
    };
    let environment = Environment {
        checkpoint_store: Arc::new(services.checkpoints.clone()),
        checkpoint_root: StorePath::from("checkpoints"),
        checkpoint_url: "simulated://checkpoints".to_owned(),
        state_dir: state,
        sources,
        sinks,
        clock: Arc::new(SimClock(world.clone())),
        fail_points,
        host: host as Arc<dyn Host>,
        ids: Arc::new(SimIds(world.clone())),
        settled_state: true,
        owner: None,
        control: Arc::default(),
        savepoint: None,
    };
    Ok(Job { plan: plan.clone(), settings, environment })
}

/// At a fail point a process may die on the spot.
pub fn fail_points(world: &World) -> FailPoints {
    let world = world.clone();
    FailPoints::new(move |name| {
        if world.draw(60) == 0 && world.fault("process.crash-at-fail-point") {
            world.trace(format!("crash at {name}"));
            super::schedule::die(&world);
        }
    })
}
