//! `./dev bench`: loads topics into a real broker once, then runs floors and the engine in interleaved rounds, each as a whole
//! process, and reports CPU-seconds per million records as a ratio to the floor of the same round.
//!
//! It measures; what a figure means is said in `benches/NOTES.md`.

mod answers;
mod measure;
mod report;
mod systems;
mod topics;

use aqueduct_tests::main_job;
use aqueduct_tests::services::daemon::Scratch;
use aqueduct_tests::services::{Kafka, Listener};
use clap::Parser;
use report::{Round, Sample};
use systems::{Place, System};
use topics::Shape;

/// Compare the engine with the floors.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; each runs every system once, in another order.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Records of the long run, in millions; the short one has a fifth of it.
    #[arg(long, default_value_t = 5)]
    millions: i64,
    /// Labels, one set of topics for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [10_u64, 100_000])]
    keys: Vec<u64>,
    /// Reading threads of the engine.
    #[arg(long, default_value_t = 1)]
    parallelism: u32,
    /// Only systems whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Where the report goes; nothing is written without it.
    #[arg(long)]
    report: Option<std::path::PathBuf>,
}

const SYSTEMS: [System; 7] = [
    System::Raw,
    System::Touch,
    System::Query,
    System::Aqueduct("w0"),
    System::Aqueduct("w1"),
    System::Aqueduct("w3"),
    System::Aqueduct("w4"),
];

fn main() {
    let arguments = Arguments::parse();
    let kafka = Kafka::shared();
    let mut all = Vec::new();
    for keys in &arguments.keys {
        all.extend(measure_keys(&arguments, kafka, *keys));
    }
    let text = report::text(&all, &arguments.keys);
    print!("{text}");
    if let Some(path) = &arguments.report {
        std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn measure_keys(arguments: &Arguments, kafka: &Kafka, keys: u64) -> Vec<Round> {
    let long = Shape { records: arguments.millions * 1_000_000, keys };
    let short = Shape { records: long.records / 5, keys };
    for shape in [short, long] {
        eprintln!("loading {}", shape.topic());
        shape.load(kafka);
    }
    let expected = [short.minutes(), long.minutes()];
    let chosen = |system: &System| {
        *system == System::Raw || arguments.only.as_ref().is_none_or(|only| system.name().contains(only.as_str()))
    };
    let systems: Vec<System> = SYSTEMS.into_iter().filter(chosen).collect();
    let mut rounds = Vec::new();
    for round in 0..arguments.rounds {
        let mut samples = Vec::new();
        for turn in 0..systems.len() {
            // Another order each time, so that no system always follows the same one.
            let system = systems[(turn * 3 + round * 2) % systems.len()];
            if samples.iter().any(|sample: &Sample| sample.system == system) {
                continue;
            }
            samples.push(sample(arguments, kafka, system, [short, long], &expected));
        }
        for system in &systems {
            if !samples.iter().any(|sample| sample.system == *system) {
                samples.push(sample(arguments, kafka, *system, [short, long], &expected));
            }
        }
        rounds.push(Round { keys, number: round, samples });
    }
    rounds
}

fn sample(
    arguments: &Arguments,
    kafka: &Kafka,
    system: System,
    shapes: [Shape; 2],
    expected: &[topics::Rows; 2],
) -> Sample {
    let [short, long] = [0, 1].map(|at| {
        let scratch = Scratch::new("bench");
        let place = Place {
            aqueduct: main_job::binary(),
            brokers: kafka.bootstrap(Listener::Plain),
            folder: scratch.path().join("run"),
            parallelism: arguments.parallelism,
        };
        system.run(&place, shapes[at], &expected[at]).unwrap_or_else(|why| panic!("void: {why}"))
    });
    let millions = (shapes[1].records - shapes[0].records) as f64 / 1e6;
    let slope = (long.cpu.as_secs_f64() - short.cpu.as_secs_f64()) / millions;
    let start = short.cpu.as_secs_f64() - slope * shapes[0].records as f64 / 1e6;
    eprintln!(
        "{:>8} keys  {:<32} {slope:.3} CPU-s/M   start {start:.2} CPU-s   {:.2} M/s   peak {} MiB",
        shapes[1].keys,
        system.name(),
        shapes[1].records as f64 / 1e6 / long.wall.as_secs_f64(),
        long.peak_bytes >> 20
    );
    Sample {
        system,
        slope,
        start,
        wall: long.wall.as_secs_f64(),
        peak_mib: long.peak_bytes >> 20,
        records: shapes[1].records,
    }
}
