//! `./dev bench`: loads topics into a real broker once, then runs floors, the engine and its peers in interleaved rounds, each as a whole
//! process, and reports what a record costs, as a ratio to the floor of the same round.
//!
//! It measures; what a figure means is said in `benches/NOTES.md`.

mod answers;
mod book;
mod flames;
mod heaps;
mod large;
mod latency;
mod machine;
mod measure;
mod peers;
mod plot;
mod report;
mod rounds;
mod sinks;
mod state;
mod systems;
mod tap;
mod topics;
mod whole_job;

use aqueduct_tests::services::{Kafka, skipped};
use book::Book;
use clap::Parser;
use peers::Peer;
use rounds::Bench;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use systems::{OWN, System, WHOLE_JOB};
use topics::{Codec, Kind, Spread};

/// Compare the engine with the bare client, a hand-written program and its peers. Writes RESULTS.md, results.json and results.svg.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; each runs every system once, in another order.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Records of the long run, in millions; the short one has a fifth of it. Slow peers get less.
    #[arg(long, default_value_t = 5.0)]
    millions: f64,
    /// Labels, one set of topics for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [10_u64, 100_000])]
    keys: Vec<u64>,
    /// How records spread over labels.
    #[arg(long, value_delimiter = ',', default_value = "uniform")]
    spread: Vec<Spread>,
    /// Bytes of a record; 0 is as generated, about 190.
    #[arg(long, value_delimiter = ',', default_values_t = [0_usize])]
    bytes: Vec<usize>,
    /// How the broker stores the records.
    #[arg(long, value_delimiter = ',', default_value = "none")]
    codec: Vec<Codec>,
    /// Reading threads of the engine and of the peers.
    #[arg(long, default_value_t = 1)]
    parallelism: u32,
    /// Three rounds of two million records, floors and engine only: minutes.
    #[arg(long)]
    quick: bool,
    /// The peers too; they are fetched once, from Maven Central and PyPI.
    #[arg(long)]
    peers: bool,
    /// Only these, such as raw,query,w3,flink-heap; the raw client is always there.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    /// Instead of rounds: the smallest heap with which Flink finishes.
    #[arg(long)]
    heaps: bool,
    /// Instead of rounds: a flame graph of each workload of the engine, in `flames/`.
    #[arg(long)]
    flames: bool,
    /// Instead of rounds: what state of so many keys costs, without a broker; its runs read eight times as many records.
    #[arg(long)]
    state: bool,
    /// Instead of rounds: what rows cost in single sinks (W6), beside programs that write them by hand.
    #[arg(long)]
    sinks: bool,
    /// Instead of rounds: that so many keys, more than memory holds, give the right rows in 4 GiB.
    #[arg(long)]
    large: bool,
    /// Instead of rounds: how soon the main job's windows are seen in each sink.
    #[arg(long)]
    latency: bool,
    /// Loads for that, per cent of what the job can do.
    #[arg(long, value_delimiter = ',', default_values_t = [20_u32, 50, 80])]
    loads: Vec<u32>,
    /// Seconds at each load.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Minutes after which a run is given up.
    #[arg(long, default_value_t = 30)]
    limit: u64,
    /// Print the report, write nothing.
    #[arg(long)]
    dry: bool,
    /// Where RESULTS.md, results.json and results.svg are.
    #[arg(long, default_value = env!("CARGO_MANIFEST_DIR"))]
    folder: PathBuf,
}

impl Arguments {
    fn complete(mut self) -> Arguments {
        if self.quick {
            self.rounds = self.rounds.min(3);
            self.millions = self.millions.min(2.0);
        }
        self
    }

    /// What was asked for, without what is unknown.
    fn systems(&self) -> Result<Vec<System>, String> {
        if self.systems.is_empty() {
            let peers = if self.peers { &Peer::ALL[..] } else { &[] };
            return Ok(OWN.into_iter().chain(peers.iter().map(|peer| System::Peer(*peer))).collect());
        }
        let mut found = vec![System::Raw];
        for name in &self.systems {
            let known = OWN.into_iter().chain([WHOLE_JOB]).map(System::id).chain(Peer::ALL.map(Peer::id));
            let system = System::find(name).ok_or_else(|| {
                let known: Vec<&str> = known.collect();
                format!("no system {name}; there are {}", known.join(", "))
            })?;
            if !found.contains(&system) {
                found.push(system);
            }
        }
        Ok(found)
    }

    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for keys in &self.keys {
            for spread in &self.spread {
                for bytes in &self.bytes {
                    kinds.extend(self.codec.iter().map(|codec| Kind {
                        keys: *keys,
                        spread: *spread,
                        bytes: *bytes,
                        codec: *codec,
                    }));
                }
            }
        }
        kinds
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse().complete();
    match run(&arguments) {
        Ok(voids) if voids.is_empty() => ExitCode::SUCCESS,
        Ok(voids) => {
            eprintln!("void:\n{}", voids.join("\n"));
            ExitCode::from(1)
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// Measures and writes after each kind of topic, so that a run that is broken off keeps what it has. Returns what was void.
fn run(arguments: &Arguments) -> Result<Vec<String>, String> {
    let mut book = Book::read(&arguments.folder.join("results.json"))?;
    if measure_apart(arguments, &mut book)? {
        return Ok(Vec::new());
    }
    let wanted = arguments.systems()?;
    let homes = fetch(&wanted);
    let there = |system: &System| !matches!(system, System::Peer(peer) if !homes.contains_key(peer));
    let systems: Vec<System> = wanted.into_iter().filter(there).collect();
    let bench = Bench::new(Kafka::shared(), homes, arguments);
    let mut voids = Vec::new();
    for kind in arguments.kinds() {
        if arguments.flames {
            bench.flames(kind, &systems, &arguments.folder.join("flames"))?;
        } else if arguments.heaps {
            for heap in bench.least_heaps(kind, &systems) {
                book.put_heap(heap);
            }
        } else {
            for entry in bench.measure(kind, &systems) {
                voids.extend(entry.void.as_ref().map(|why| format!("{} labels: {why}", kind.keys)));
                book.put(entry);
            }
        }
        if !arguments.dry {
            write(arguments, &book)?;
        }
    }
    print!("{}", report::text(&book));
    Ok(voids)
}

/// What is measured instead of rounds, if anything is; written as soon as it is there.
fn measure_apart(arguments: &Arguments, book: &mut Book) -> Result<bool, String> {
    let keep = |book: &Book| if arguments.dry { Ok(()) } else { write(arguments, book) };
    if arguments.state {
        for keys in &arguments.keys {
            book.put_state(state::measure(*keys, arguments)?);
            keep(book)?;
        }
    } else if arguments.large {
        for keys in &arguments.keys {
            book.put_large(large::measure(*keys, arguments)?);
            keep(book)?;
        }
    } else if arguments.sinks {
        sinks::measure(arguments)?.into_iter().for_each(|entry| book.put_sink(entry));
        keep(book)?;
    } else if arguments.latency {
        latency::measure(arguments)?.into_iter().for_each(|entry| book.put_latency(entry));
        keep(book)?;
    } else {
        return Ok(false);
    }
    print!("{}", report::text(book));
    Ok(true)
}

/// Where the peers' programs are; who cannot be had is named and left out.
fn fetch(systems: &[System]) -> BTreeMap<Peer, PathBuf> {
    let mut homes = BTreeMap::new();
    for system in systems {
        let System::Peer(peer) = system else { continue };
        match peer.fetch() {
            Ok(home) => drop(homes.insert(*peer, home)),
            Err(why) => skipped(peer.title(), &why),
        }
    }
    homes
}

fn write(arguments: &Arguments, book: &Book) -> Result<(), String> {
    let put = |name: &str, text: String| {
        let path = arguments.folder.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    book.write(&arguments.folder.join("results.json"))?;
    put("RESULTS.md", report::text(book))?;
    plot::svg(book).map_or(Ok(()), |svg| put("results.svg", svg))
}
