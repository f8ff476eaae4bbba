//! The world of one simulated run: its random numbers, fault dice, clock, timers and trace.
//!
//! One seed is one world. Everything that happens by chance asks here, and everything that waits waits here, so that the
//! same seed gives the same run. It knows nothing of stores, sources or sinks, and it does not choose which task runs
//! next: that is the scheduler's business (`schedule.rs`).

use super::random::{Random, mix, mix_text};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// So many lines of the trace are kept for the report of a failing seed; all of them count in the hash.
const KEPT_LINES: usize = 400;

/// What a timer does.
enum Timer {
    Wake(Waker),
    Run(Box<dyn FnOnce() + Send>),
}

/// What was asked of the process that is running now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// It ends here and now; what it has sent may still land.
    Crash,
    /// It stands still for so many milliseconds, and goes on as if nothing had been.
    Freeze(u64),
}

struct Inner {
    seed: u64,
    random: Random,
    now_ms: u64,
    /// Wall clock minus steady clock.
    wall_ahead_ms: i64,
    timers: BTreeMap<(u64, u64), Timer>,
    next_timer: u64,
    lines: VecDeque<String>,
    line_count: u64,
    hash: u64,
    /// Fault rates in thousandths, decided at the first use of each kind.
    rates: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    outages: BTreeMap<&'static str, Outage>,
    /// When each kind came last.
    last: BTreeMap<&'static str, u64>,
    calm: bool,
    planted: Option<&'static str>,
    incarnation: u32,
    blow: Option<Blow>,
    violation: Option<String>,
    echo: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Outage {
    until: u64,
    next_roll: u64,
}

/// A handle to the world; clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Mutex<Inner>>);

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World(seed {})", self.lock().seed)
    }
}

impl World {
    /// The world of a seed. `planted` names a bug that a simulated backend shows on purpose ([`World::planted`]).
    pub fn new(seed: u64, planted: Option<&'static str>) -> World {
        World(Arc::new(Mutex::new(Inner {
            seed,
            random: Random::new(seed),
            now_ms: 0,
            wall_ahead_ms: 1_767_225_600_000,
            timers: BTreeMap::new(),
            next_timer: 0,
            lines: VecDeque::new(),
            line_count: 0,
            hash: mix(seed),
            rates: BTreeMap::new(),
            faults: BTreeMap::new(),
            outages: BTreeMap::new(),
            last: BTreeMap::new(),
            calm: false,
            planted,
            incarnation: 0,
            blow: None,
            violation: None,
            echo: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A simulated crash unwinds through whatever holds the lock; the contents are whole at every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.lock().seed
    }

    /// Prints every line of the trace as it comes.
    pub fn echo(&self) {
        self.lock().echo = true;
    }

    // --- chance -------------------------------------------------------------------------------------------------------

    /// A number in `0..below`; 0 for `below` = 0.
    pub fn draw(&self, below: u64) -> u64 {
        self.lock().random.below(below)
    }

    /// True in `per_mille` of 1,000 cases.
    pub fn chance(&self, per_mille: u64) -> bool {
        self.draw(1000) < per_mille
    }

    /// Rolls the dice for a fault of this kind and counts it when it comes: `store.reply-lost`, `postgres.commit-unknown`.
    /// Each run draws its own rate per kind, often none at all, so that some runs meet one kind of fault alone and others
    /// all of them together. After [`World::calm_down`] no fault comes any more.
    pub fn fault(&self, kind: &'static str) -> bool {
        let mut inner = self.lock();
        if inner.calm {
            return false;
        }
        let rate = inner.rate(kind);
        if inner.random.below(1000) >= rate {
            return false;
        }
        inner.note(kind);
        drop(inner);
        self.trace(format!("fault {kind}"));
        true
    }

    /// True while something is down as a whole. However often it is asked, the dice of [`World::fault`] are rolled once in
    /// four simulated seconds; an outage lasts between 0.1 and 40 of them.
    pub fn outage(&self, kind: &'static str) -> bool {
        let mut inner = self.lock();
        let now = inner.now_ms;
        let Outage { until, next_roll } = inner.outages.get(kind).copied().unwrap_or_default();
        if until > now {
            inner.last.insert(kind, now);
            return true;
        }
        if next_roll > now {
            return false;
        }
        inner.outages.insert(kind, Outage { until, next_roll: now + 4_000 });
        drop(inner);
        if !self.fault(kind) {
            return false;
        }
        let lasts = if self.chance(200) { self.draw(40_000) } else { self.draw(2_000) } + 100;
        self.lock().outages.insert(kind, Outage { until: now + lasts, next_roll: now + lasts + 4_000 });
        true
    }

    /// Counts something that was injected without the dice of [`World::fault`].
    pub fn count(&self, kind: &'static str) {
        self.lock().note(kind);
        self.trace(format!("fault {kind}"));
    }

    /// When a fault of this kind came last, or was still going on.
    pub fn last(&self, kind: &str) -> Option<u64> {
        self.lock().last.get(kind).copied()
    }

    /// How many faults of which kind came.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.lock().faults.clone()
    }

    /// No more faults: the run goes on to its end. Outages end too.
    pub fn calm_down(&self) {
        let mut inner = self.lock();
        inner.calm = true;
        inner.outages.clear();
        drop(inner);
        self.trace("the faults stop".to_owned());
    }

    /// Whether the faults have stopped.
    pub fn is_calm(&self) -> bool {
        self.lock().calm
    }

    /// True when this run shows the bug of that name on purpose. Simulated backends ask, and then answer as a faulty
    /// implementation would have made them answer.
    pub fn planted(&self, bug: &str) -> bool {
        self.lock().planted == Some(bug)
    }

    // --- time ---------------------------------------------------------------------------------------------------------

    /// Steady milliseconds since the run began.
    pub fn now_ms(&self) -> u64 {
        self.lock().now_ms
    }

    /// The wall clock, which may jump.
    pub fn wall_ms(&self) -> i64 {
        let inner = self.lock();
        inner.now_ms as i64 + inner.wall_ahead_ms
    }

    /// Moves the wall clock, forward or backward.
    pub fn jump_clock(&self, by_ms: i64) {
        self.lock().wall_ahead_ms += by_ms;
        self.trace(format!("the wall clock jumps by {by_ms} ms"));
    }

    /// Waits for simulated time to pass. A wait of zero lets every other task run first.
    pub fn sleep(&self, time: Duration) -> Sleep {
        let at = self.now_ms() + time.as_millis() as u64;
        Sleep { world: self.clone(), at, timer: None, yielded: false }
    }

    /// A point at which anything may happen: other tasks run, time passes, the process freezes for long, or it dies here.
    /// `point` names it in the trace when something out of the ordinary does.
    pub async fn pause(&self, point: &'static str) {
        let wait = match self.draw(100) {
            0..60 => 0,
            60..90 => self.draw(5),
            90..99 => self.draw(50),
            _ => self.draw(2_000),
        };
        if self.incarnation() != 0 {
            // Seldom enough that every rate lets some work be done between two blows.
            if self.draw(30) == 0 && self.fault("process.crash-in-io") {
                self.trace(format!("crash at {point}"));
                self.strike(Blow::Crash);
            } else if self.draw(60) == 0 && self.fault("process.freeze-in-io") {
                let long = 500 + self.draw(120_000);
                self.trace(format!("freeze at {point} for {long} ms"));
                self.strike(Blow::Freeze(long));
            }
        }
        self.sleep(Duration::from_millis(wait)).await;
    }

    /// Runs something later, whatever becomes of the process that asked for it: a write that is still under way lands.
    pub fn later(&self, after: Duration, what: impl FnOnce() + Send + 'static) {
        let mut inner = self.lock();
        let at = inner.now_ms + after.as_millis() as u64;
        inner.add_timer(at, Timer::Run(Box::new(what)));
    }

    /// The time of the next timer, if one is set.
    pub fn next_timer(&self) -> Option<u64> {
        self.lock().timers.keys().next().map(|(at, _)| *at)
    }

    /// Moves time to the next timer and lets it act; false when there is none.
    pub fn pass_time(&self) -> bool {
        let mut inner = self.lock();
        let Some(((at, _), timer)) = inner.timers.pop_first() else { return false };
        inner.now_ms = inner.now_ms.max(at);
        drop(inner);
        match timer {
            Timer::Wake(waker) => waker.wake(),
            Timer::Run(what) => what(),
        }
        true
    }

    // --- processes ----------------------------------------------------------------------------------------------------

    /// The process incarnation that is running now, counted from 1; 0 outside of any.
    pub fn incarnation(&self) -> u32 {
        self.lock().incarnation
    }

    /// For the scheduler: who runs now.
    pub fn enter(&self, incarnation: u32) {
        self.lock().incarnation = incarnation;
    }

    /// Asks for something to happen to the process that runs now, as soon as it waits.
    pub fn strike(&self, blow: Blow) {
        self.lock().blow = Some(blow);
    }

    /// For the scheduler: what was asked for.
    pub fn take_blow(&self) -> Option<Blow> {
        self.lock().blow.take()
    }

    /// Says that a law was broken; the run fails with the first one.
    pub fn violation(&self, what: String) {
        let what = without_hashes(&what);
        self.trace(format!("VIOLATION {what}"));
        self.lock().violation.get_or_insert(what);
    }

    /// The first broken law.
    pub fn broken(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    // --- trace --------------------------------------------------------------------------------------------------------

    /// Adds a line to the trace. Nothing in it may differ between two runs of a seed: no hash of a RocksDB file, no
    /// address, no real time.
    pub fn trace(&self, line: String) {
        let mut inner = self.lock();
        let line = format!("{:>9} p{} {}", inner.now_ms, inner.incarnation, without_hashes(&line));
        inner.hash = mix_text(inner.hash, &line);
        inner.line_count += 1;
        if inner.echo {
            eprintln!("{line}");
        }
        if inner.lines.len() == KEPT_LINES {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
    }

    /// The newest lines of the trace.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        let inner = self.lock();
        inner.lines.iter().skip(inner.lines.len().saturating_sub(lines)).cloned().collect()
    }

    /// What two runs of a seed must agree on: the whole trace, the time, and how the dice stand.
    pub fn fingerprint(&self) -> u64 {
        let inner = self.lock();
        mix(inner.hash ^ mix(inner.now_ms) ^ inner.random.state() ^ mix(inner.line_count))
    }
}

impl Inner {
    fn note(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_insert(0) += 1;
        self.last.insert(kind, self.now_ms);
    }

    fn rate(&mut self, kind: &'static str) -> u64 {
        // From the seed and the name, not from the stream: a new kind does not change the others.
        let seed = self.seed;
        *self.rates.entry(kind).or_insert_with(|| match mix_text(mix(seed ^ 0xfa17), kind) % 10 {
            0..4 => 0,
            4..6 => 3,
            6..8 => 15,
            8 => 50,
            _ => 150,
        })
    }

    fn add_timer(&mut self, at: u64, timer: Timer) -> (u64, u64) {
        self.next_timer += 1;
        let key = (at, self.next_timer);
        self.timers.insert(key, timer);
        key
    }
}

/// Hashes of RocksDB's files differ from run to run; a message that names one does not count as another message.
fn without_hashes(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut run = String::new();
    for letter in line.chars().chain([' ']) {
        if letter.is_ascii_hexdigit() && !letter.is_ascii_uppercase() {
            run.push(letter);
            continue;
        }
        let hash = run.len() == 8 || run.len() == 64;
        out.push_str(if hash { "#" } else { &run });
        run.clear();
        out.push(letter);
    }
    out.pop();
    out
}

/// A wait for simulated time; see [`World::sleep`].
#[derive(Debug)]
pub struct Sleep {
    world: World,
    at: u64,
    timer: Option<(u64, u64)>,
    yielded: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        let mut inner = self.world.lock();
        if inner.now_ms >= at && self.yielded {
            drop(inner);
            self.timer = None;
            return Poll::Ready(());
        }
        if inner.now_ms >= at {
            drop(inner);
            self.yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let waker = Timer::Wake(context.waker().clone());
        let key = match self.timer {
            Some(key) => {
                inner.timers.insert(key, waker);
                key
            }
            None => inner.add_timer(at, waker),
        };
        drop(inner);
        self.timer = Some(key);
        self.yielded = true;
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer.take() {
            self.world.lock().timers.remove(&key);
        }
    }
}
