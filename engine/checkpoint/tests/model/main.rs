//! Explores every interleaving of small histories of the claim log: owners, claimants and collectors that crash and stall, a
//! store and sinks that lie, an operator who goes back. The decisions are those of `aqueduct_checkpoint::protocol`, called and
//! not copied; the model adds the steps between them. A second part takes one safeguard away at a time and shows the shortest
//! history that then goes wrong.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

mod act;
mod collect;
mod config;
mod explore;
mod invariants;
mod owner;
mod rewind;
mod safe;
mod sink;
mod state;
mod store;
mod unsafe_without;
mod world;

use config::Config;
use explore::{Outcome, explore};
use std::io::Write;
use std::time::Instant;

/// Explores and tells what was found; straight to stderr, so that the counts show in the log of a passing run.
fn run(config: &Config) -> Outcome {
    let begun = Instant::now();
    let outcome = explore(config);
    let Outcome { states, unique, depth, broken } = &outcome;
    let without = if config.without.is_empty() { String::new() } else { format!(" without {:?}", config.without) };
    let mut text = format!(
        "model: {:<42} {states:>9} states, {unique:>8} unique, depth {depth:>3}, {:>5.1} s",
        format!("{}{without}", config.name),
        begun.elapsed().as_secs_f64()
    );
    match broken {
        None => text.push_str(": all laws hold\n"),
        Some(broken) => {
            text.push_str(&format!(": {} breaks after {} steps\n", broken.law, broken.trace.len()));
            for (number, step) in broken.trace.iter().enumerate() {
                text.push_str(&format!("    {:>2}  {step}\n", number + 1));
            }
        }
    }
    std::io::stderr().write_all(text.as_bytes()).unwrap();
    outcome
}
