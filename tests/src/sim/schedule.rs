//! The scheduler: runs the tasks of all processes one step at a time, in an order that the seed draws.
//!
//! A process is one incarnation of a shard's owner: all tasks that it started. It can freeze (none of its tasks runs, and
//! it does not notice) and crash (all of them are dropped where they wait). What it has sent to a simulated service is
//! the service's business and may still land.

use super::world::{Blow, World};
use aqueduct_core::{Host, Result, Task, Turn, Turns};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// How long a quiet reading thread waits before it looks again.
const QUIET: Duration = Duration::from_millis(20);
/// One step in so many may bring a crash, a freeze or a second owner outside of the marked pauses.
const STEPS_PER_BLOW: u64 = 300;

/// Process and task.
type Key = (u32, u64);
type Ready = Arc<Mutex<BTreeSet<Key>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Bell {
    key: Key,
    ready: Ready,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        lock(&self.ready).insert(self.key);
    }
}

/// The payload of the panic by which a fail point ends a process on the spot.
#[derive(Debug)]
pub struct DiedHere;

/// Ends the process that runs now, in the middle of what it does.
pub fn die(world: &World) -> ! {
    world.strike(Blow::Crash);
    // Without the panic hook: this is no failure.
    std::panic::resume_unwind(Box::new(DiedHere))
}

/// The host that a simulated process gives to the engine.
#[derive(Clone)]
pub struct SimHost {
    world: World,
    started: Arc<Mutex<Vec<Task>>>,
}

impl std::fmt::Debug for SimHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimHost")
    }
}

impl Host for SimHost {
    fn spawn(&self, task: Task) {
        lock(&self.started).push(task);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Task {
        let world = self.world.clone();
        Box::pin(async move {
            world.pause("blocking work").await;
            work();
            world.pause("blocking work, done").await;
        })
    }

    fn thread(&self, _: &str, mut turns: Box<dyn Turns>) -> Result<()> {
        let world = self.world.clone();
        self.spawn(Box::pin(async move {
            loop {
                match turns.turn(false) {
                    Turn::Busy => world.pause("reading thread").await,
                    Turn::Quiet => world.sleep(QUIET).await,
                    Turn::Done => return,
                }
            }
        }));
        Ok(())
    }

    fn sleep(&self, time: Duration) -> Task {
        Box::pin(self.world.sleep(time))
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.world.now_ms())
    }
}

struct Process {
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    started: Arc<Mutex<Vec<Task>>>,
    frozen_until: u64,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A task ran, or time passed.
    Went,
    /// The process ended by itself: its first task has come to its end.
    Ended(u32),
    /// The process was crashed.
    Crashed(u32),
    /// The dice ask for a second owner beside the running one.
    SecondOwner,
    /// Nothing is left that could happen.
    Stuck,
}

/// All processes of a run.
pub struct Scheduler {
    world: World,
    ready: Ready,
    processes: BTreeMap<u32, Process>,
    newest: u32,
    steps: u64,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("newest", &self.newest).finish_non_exhaustive()
    }
}

impl Scheduler {
    /// Without processes.
    pub fn new(world: World) -> Scheduler {
        Scheduler { world, ready: Ready::default(), processes: BTreeMap::new(), newest: 0, steps: 0 }
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Living processes.
    pub fn living(&self) -> Vec<u32> {
        self.processes.keys().copied().collect()
    }

    /// Starts a process; `main` makes its first task, whose end is the end of the process.
    pub fn start(&mut self, main: impl FnOnce(u32, Arc<SimHost>) -> Task) -> u32 {
        self.newest += 1;
        let number = self.newest;
        let started = Arc::new(Mutex::new(Vec::new()));
        let host = Arc::new(SimHost { world: self.world.clone(), started: started.clone() });
        self.world.trace(format!("process {number} starts"));
        self.world.enter(number);
        let first = main(number, host);
        self.world.enter(0);
        let mut process = Process { tasks: BTreeMap::new(), next_task: 0, started, frozen_until: 0 };
        process.tasks.insert(0, first);
        process.next_task = 1;
        self.processes.insert(number, process);
        lock(&self.ready).insert((number, 0));
        self.adopt(number);
        number
    }

    /// Ends a process where it stands.
    pub fn crash(&mut self, number: u32) {
        if let Some(process) = self.processes.remove(&number) {
            self.world.trace(format!("process {number} crashes"));
            self.bury(process);
        }
    }

    fn bury(&mut self, process: Process) {
        // Dropped outside of any process: what a destructor asks for is not the dead one's.
        self.world.enter(0);
        for (_, task) in process.tasks {
            drop(task);
        }
        lock(&process.started).clear();
        lock(&self.ready).retain(|(number, _)| self.processes.contains_key(number));
    }

    /// Tasks that were started during the last step become part of their process.
    fn adopt(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        for task in lock(&process.started).drain(..) {
            let key = (number, process.next_task);
            process.tasks.insert(process.next_task, task);
            process.next_task += 1;
            lock(&self.ready).insert(key);
        }
    }

    /// One task runs until it waits, or time passes.
    pub fn step(&mut self) -> Step {
        self.steps += 1;
        let now = self.world.now_ms();
        let processes = &self.processes;
        let mut ready = lock(&self.ready);
        // Wakers outlive their tasks and processes.
        let able = |(number, task): &&Key| {
            processes.get(number).is_some_and(|it| it.frozen_until <= now && it.tasks.contains_key(task))
        };
        let able: Vec<Key> = ready.iter().filter(able).copied().collect();
        // Slow machines exist: time may pass although there is work.
        if able.is_empty() || (self.world.next_timer().is_some() && self.world.draw(50) == 0) {
            drop(ready);
            return if self.world.pass_time() { Step::Went } else { Step::Stuck };
        }
        let key = able[self.world.draw(able.len() as u64) as usize];
        ready.remove(&key);
        drop(ready);
        if let Some(step) = self.blow_of_fate(key.0) {
            lock(&self.ready).insert(key);
            return step;
        }
        self.poll(key)
    }

    fn blow_of_fate(&mut self, number: u32) -> Option<Step> {
        if self.world.draw(STEPS_PER_BLOW) != 0 {
            return None;
        }
        if self.world.fault("process.crash") {
            self.crash(number);
            return Some(Step::Crashed(number));
        }
        if self.world.fault("process.freeze") {
            let long = 100 + self.world.draw(90_000);
            self.freeze(number, long);
            return Some(Step::Went);
        }
        self.world.fault("process.second-owner").then_some(Step::SecondOwner)
    }

    fn freeze(&mut self, number: u32, long: u64) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.frozen_until = self.world.now_ms() + long;
            self.world.trace(format!("process {number} freezes for {long} ms"));
            // So that there is something to wait for.
            self.world.later(Duration::from_millis(long), || {});
        }
    }

    fn poll(&mut self, key: Key) -> Step {
        let (number, task) = key;
        let Some(process) = self.processes.get_mut(&number) else { return Step::Went };
        let Some(mut running) = process.tasks.remove(&task) else { return Step::Went };
        let waker = Waker::from(Arc::new(Bell { key, ready: self.ready.clone() }));
        self.world.enter(number);
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut Context::from_waker(&waker))));
        self.world.enter(0);
        let blow = self.world.take_blow();
        match polled {
            Ok(Poll::Ready(())) => drop(running),
            Ok(Poll::Pending) => {
                process.tasks.insert(task, running);
            }
            Err(payload) if payload.is::<DiedHere>() => {
                drop(running);
                self.crash(number);
                return Step::Crashed(number);
            }
            Err(payload) => {
                let text = payload.downcast_ref::<String>().cloned();
                let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                self.world.violation(format!("a task panicked: {}", text.unwrap_or_default()));
                return Step::Went;
            }
        }
        match blow {
            Some(Blow::Crash) => {
                self.crash(number);
                return Step::Crashed(number);
            }
            Some(Blow::Freeze(long)) => self.freeze(number, long),
            None => {}
        }
        self.adopt(number);
        let over = self.processes.get(&number).is_some_and(|process| !process.tasks.contains_key(&0));
        if over && let Some(process) = self.processes.remove(&number) {
            self.world.trace(format!("process {number} ends"));
            self.bury(process);
            return Step::Ended(number);
        }
        Step::Went
    }
}
