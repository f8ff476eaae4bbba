//! `./dev sim [SEED]`: a campaign of seeds with progress and totals, or one seed with its whole trace.
//!
//! `AQUEDUCT_SEEDS` is how many (1,000), `AQUEDUCT_FIRST_SEED` where they begin, `AQUEDUCT_SIM_THREADS` how many at once.

use aqueduct_tests::sim::campaign::{Totals, campaign, failure};
use aqueduct_tests::sim::{job, run};
use std::process::ExitCode;
use std::time::Instant;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() -> ExitCode {
    match std::env::args().nth(1) {
        None => many(),
        Some(text) => match text.parse() {
            Ok(seed) => one(seed),
            Err(_) => {
                eprintln!("'{text}' is no seed: give a number, or nothing for a campaign");
                ExitCode::from(2)
            }
        },
    }
}

fn one(seed: u64) -> ExitCode {
    let plan = match job::plan() {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let report = run::run(&plan, seed, None, true);
    if report.wrong.is_empty() {
        println!("seed {seed}: all sinks are exact; {} steps, fingerprint {:016x}", report.steps, report.fingerprint);
        return ExitCode::SUCCESS;
    }
    for wrong in &report.wrong {
        println!("  {wrong}");
    }
    println!("seed {seed} fails");
    ExitCode::FAILURE
}

fn many() -> ExitCode {
    let (first, seeds) = (number("AQUEDUCT_FIRST_SEED", 1), number("AQUEDUCT_SEEDS", 1_000));
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let threads = number("AQUEDUCT_SIM_THREADS", cores) as usize;
    let begun = Instant::now();
    let every = (seeds / 20).max(1);
    let told = |totals: &Totals| {
        if totals.seeds.is_multiple_of(every) {
            let took = begun.elapsed().as_secs();
            println!("{} of {seeds} seeds, {} failed, {took} s", totals.seeds, totals.failed.len());
        }
    };
    match campaign(first..first + seeds, threads, number("AQUEDUCT_MOST_FAILURES", 5) as usize, &told) {
        Ok(totals) => {
            totals.failed.iter().for_each(|report| println!("\n{}", failure(report)));
            println!("\n{}in {} s", totals.text(), begun.elapsed().as_secs());
            if totals.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
