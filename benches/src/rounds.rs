//! The rounds: every system once in each, in another order, with the topics that it needs. It keeps no figures of other days.

use crate::Arguments;
use crate::book::{Entry, Figures};
use crate::machine::Origin;
use crate::measure::Usage;
use crate::peers::Peer;
use crate::systems::{Place, System, WHOLE_JOB};
use crate::tap::Tap;
use crate::topics::{Answers, Codec, Kind, Question, Shape, Spread};
use aqueduct_tests::main_job;
use aqueduct_tests::services::daemon::Scratch;
use aqueduct_tests::services::{Kafka, Listener, unique};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that stays the same from round to round.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    kafka: &'a Kafka,
    homes: BTreeMap<Peer, PathBuf>,
    pub(crate) arguments: &'a Arguments,
    tap: Option<Tap>,
    loaded: RefCell<BTreeMap<Shape, Answers>>,
}

/// What one system did in one round, before there are ratios.
struct Sample {
    system: System,
    figures: Figures,
}

/// Records of a run that only shows when the first of them arrives.
const FIRST: Shape =
    Shape { records: 1000, kind: Kind { keys: 10, spread: Spread::Uniform, bytes: 0, codec: Codec::None } };

impl<'a> Bench<'a> {
    pub(crate) fn new(kafka: &'a Kafka, homes: BTreeMap<Peer, PathBuf>, arguments: &'a Arguments) -> Bench<'a> {
        let tap = Tap::open(kafka).map_err(|error| eprintln!("first records are not timed: {error}")).ok();
        Bench { kafka, homes, arguments, tap, loaded: RefCell::default() }
    }

    /// All rounds on one kind of topic. Who fails or answers wrongly is not run again.
    pub(crate) fn measure(&self, kind: Kind, systems: &[System]) -> Vec<Entry> {
        let mut voids: BTreeMap<System, String> = BTreeMap::new();
        let mut rounds: Vec<Vec<Sample>> = Vec::new();
        let systems: Vec<System> = systems.iter().copied().filter(|system| kind.keys <= system.most_keys()).collect();
        self.load_all(kind, &systems);
        for number in 0..self.arguments.rounds {
            let mut samples = Vec::new();
            for system in shuffled(&systems, number as u64) {
                if voids.contains_key(&system) {
                    continue;
                }
                match self.sample(kind, system) {
                    Ok(figures) => {
                        tell(kind, number, system, &figures);
                        samples.push(Sample { system, figures });
                    }
                    Err(why) => {
                        eprintln!("VOID: {} labels: {why}", kind.keys);
                        voids.insert(system, first_line(&why));
                    }
                }
            }
            add_ratios(&mut samples);
            rounds.push(samples);
        }
        systems.iter().map(|system| self.entry(kind, *system, &rounds, voids.remove(system))).collect()
    }

    /// A short run, a long one, and one that shows when the first record arrives.
    fn sample(&self, kind: Kind, system: System) -> Result<Figures, String> {
        let long = self.long(kind, system);
        let short = Shape { records: long.records / 5, kind };
        let first = self.first_record(system)?;
        let heap_mib = heap_mib(kind.keys);
        let (brief, whole) = (self.run(system, &short, heap_mib)?, self.run(system, &long, heap_mib)?);
        let millions = (long.records - short.records) as f64 / 1e6;
        let cpu_per_million = (whole.cpu.as_secs_f64() - brief.cpu.as_secs_f64()) / millions;
        Ok(Figures {
            cpu_per_million,
            start_cpu: brief.cpu.as_secs_f64() - cpu_per_million * short.records as f64 / 1e6,
            to_raw: None,
            to_query: None,
            records_per_second: long.records as f64 / whole.wall.as_secs_f64(),
            peak_mib: whole.peak_mib(),
            first_record: first,
            steal: brief.steal.max(whole.steal),
        })
    }

    pub(crate) fn long(&self, kind: Kind, system: System) -> Shape {
        Shape { records: (self.arguments.millions * 1e6) as i64 / system.divisor(), kind }
    }

    /// One run over one topic, which is loaded when it is needed for the first time.
    pub(crate) fn run(&self, system: System, shape: &Shape, heap_mib: u64) -> Result<Usage, String> {
        self.run_at(system, shape, heap_mib, Listener::Plain, Vec::new())
    }

    /// One run over the long topic, by another program.
    pub(crate) fn run_by(&self, system: System, kind: Kind, by: Vec<OsString>) -> Result<Usage, String> {
        self.run_at(system, &self.long(kind, system), heap_mib(kind.keys), Listener::Plain, by)
    }

    fn run_at(
        &self,
        system: System,
        shape: &Shape,
        heap_mib: u64,
        listener: Listener,
        by: Vec<OsString>,
    ) -> Result<Usage, String> {
        let expected = if system == WHOLE_JOB { Answers::default() } else { self.load(shape) };
        let scratch = Scratch::new("bench");
        let place = Place {
            aqueduct: main_job::binary(),
            kafka: self.kafka,
            listener,
            sink: unique("bench-rows"),
            folder: scratch.path().join("run"),
            parallelism: self.arguments.parallelism,
            heap_mib,
            home: if let System::Peer(peer) = system { self.homes.get(&peer).cloned() } else { None },
            limit: Duration::from_secs(self.arguments.limit * 60),
            by,
        };
        system.run(&place, shape, &expected)
    }

    /// Loads what the systems will need, so that nothing is loaded between two runs.
    fn load_all(&self, kind: Kind, systems: &[System]) {
        let longs: BTreeSet<Shape> =
            systems.iter().filter(|system| **system != WHOLE_JOB).map(|system| self.long(kind, *system)).collect();
        for long in longs {
            self.load(&Shape { records: long.records / 5, kind });
            self.load(&long);
        }
    }

    fn load(&self, shape: &Shape) -> Answers {
        if let Some(answers) = self.loaded.borrow().get(shape) {
            return *answers;
        }
        eprintln!("loading {}", shape.topic());
        shape.load(self.kafka);
        let answers = shape.answers();
        self.loaded.borrow_mut().insert(*shape, answers);
        answers
    }

    fn first_record(&self, system: System) -> Result<Option<f64>, String> {
        let Some(tap) = self.tap.as_ref().filter(|_| system != WHOLE_JOB) else { return Ok(None) };
        self.load(&FIRST);
        tap.take();
        let usage = self.run_at(system, &FIRST, heap_mib(FIRST.kind.keys), Listener::Proxied, Vec::new())?;
        Ok(tap.take().map(|seen| (seen - usage.begun).as_secs_f64()))
    }

    fn entry(&self, kind: Kind, system: System, rounds: &[Vec<Sample>], void: Option<String>) -> Entry {
        let own = rounds.iter().flat_map(|samples| samples.iter().filter(|sample| sample.system == system));
        Entry {
            kind,
            parallelism: self.arguments.parallelism,
            system: system.id().into(),
            title: system.title(),
            origin: Origin::here(),
            millions: self.long(kind, system).records as f64 / 1e6,
            heap_mib: heap_mib(kind.keys),
            rounds: own.map(|sample| sample.figures.clone()).collect(),
            void,
        }
    }
}

/// What a JVM's heap may grow to in the rounds: plenty, so that it does not pay for collecting garbage.
fn heap_mib(keys: u64) -> u64 {
    match keys {
        0..=10_000 => 1536,
        10_001..=100_000 => 4096,
        _ => 8192,
    }
}

/// What is kept of a reason: logs speak of folders of one machine.
fn first_line(why: &str) -> String {
    why.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// The systems in an order that depends on the round only.
fn shuffled(systems: &[System], round: u64) -> Vec<System> {
    let mut order = systems.to_vec();
    order.sort_by_key(|system| {
        let mut hasher = DefaultHasher::new();
        (round, system.id()).hash(&mut hasher);
        hasher.finish()
    });
    order
}

/// To the bare client, and to the hand-written program that answers the same.
fn add_ratios(samples: &mut [Sample]) {
    let cost = |samples: &[Sample], system: System| {
        samples.iter().find(|sample| sample.system == system).map(|sample| sample.figures.cpu_per_million)
    };
    let costs = [System::Raw, System::Query, System::Project].map(|system| cost(samples, system));
    for sample in samples {
        let [raw, query, project] = costs.map(|floor| floor.map(|floor| sample.figures.cpu_per_million / floor));
        sample.figures.to_raw = raw;
        sample.figures.to_query = if sample.system.question() == Some(Question::Projection) { project } else { query };
    }
}

fn tell(kind: Kind, number: usize, system: System, figures: &Figures) {
    let first = figures.first_record.map_or(String::new(), |seconds| format!("   first record {seconds:.2} s"));
    eprintln!(
        "round {number}  {:>8} labels  {:<14} {:.3} CPU-s/M   start {:.2} CPU-s   {:.2} M/s   peak {:.0} MiB{first}",
        kind.keys,
        system.id(),
        figures.cpu_per_million,
        figures.start_cpu,
        figures.records_per_second / 1e6,
        figures.peak_mib
    );
}

#[cfg(test)]
#[path = "rounds_tests.rs"]
mod tests;
