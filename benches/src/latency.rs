//! How soon a result is visible: records that come by a timetable, the main job with all its sinks, and somebody who looks at each
//! sink all the time.
//!
//! The producer never waits for anybody: a record counts from the moment at which it should have been sent. What is measured is
//! the time from the moment at which the watermark passes a window's end to the moment at which its rows are seen in a sink.

mod eyes;
mod timetable;

use crate::book::LatencyEntry;
use crate::machine::Origin;
use crate::{Arguments, whole_job};
use aqueduct_generate::DatagenConfig;
use aqueduct_tests::main_job::{self, MainJob, Setup, Start};
use aqueduct_tests::stage::Stage;
use aqueduct_tests::watch::Watch;
use eyes::Seen;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use timetable::{Pace, Timetable};

const SEED: u64 = 71;
/// Records of the run that tells what the job can do at most.
const CAPACITY_RECORDS: i64 = 3_000_000;
/// Event time passes so many times as fast as time, so that a window of a minute ends every two seconds.
const EVENT_SPEED: i64 = 30;
/// Windows that end before this is over are not counted: everything is new to everybody.
const WARM_UP: Duration = Duration::from_secs(20);
/// What is under way at the end may take so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// At each load, per cent of what the job can do.
///
/// # Errors
/// A run failed, or a sink did not show a window.
pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<LatencyEntry>, String> {
    let capacity = capacity(arguments)?;
    eprintln!("the main job takes at most {:.0} thousand records a second", capacity / 1e3);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    for load in &arguments.loads {
        let rate = (capacity * f64::from(*load) / 100.0) as i64;
        let run = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(at_rate(rate, arguments))));
        let (sinks, windows) =
            run.map_err(|_| "latency: a service is missing, or the job failed (see above)".to_owned())?;
        for (sink, mut waits) in sinks {
            waits.sort_by(f64::total_cmp);
            let entry = LatencyEntry {
                load: *load,
                rate,
                sink: sink.to_owned(),
                windows,
                missing: windows - waits.len(),
                p50_ms: quantile(&waits, 0.5),
                p99_ms: quantile(&waits, 0.99),
                most_ms: waits.last().copied().unwrap_or(f64::NAN),
                parallelism: arguments.parallelism,
                origin: Origin::here(),
            };
            eprintln!(
                "{load} %  {sink:<10} {} windows, {} missing: p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
                entry.windows, entry.missing, entry.p50_ms, entry.p99_ms, entry.most_ms
            );
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Records per second of the main job over a topic that lies there, start-up taken out.
fn capacity(arguments: &Arguments) -> Result<f64, String> {
    let run = |records| whole_job::run(records, arguments.parallelism, Duration::from_secs(arguments.limit * 60));
    let (brief, whole) = (run(CAPACITY_RECORDS / 5)?, run(CAPACITY_RECORDS)?);
    Ok((CAPACITY_RECORDS - CAPACITY_RECORDS / 5) as f64 / (whole.wall - brief.wall).as_secs_f64())
}

type Waits = BTreeMap<&'static str, Vec<f64>>;

/// One run at so many records a second: milliseconds of waiting by sink, and how many windows there were.
async fn at_rate(rate: i64, arguments: &Arguments) -> (Waits, usize) {
    let seconds = i64::try_from(arguments.seconds).expect("a time");
    let generator = generator(rate, rate * seconds);
    let job = Arc::new(prepare(&generator).await);
    let mut start = Start { parallelism: arguments.parallelism, interval_ms: 10_000, ..Start::default() };
    // As it is without a setting.
    start.more.extend(["-D".to_owned(), "execution.checkpointing.min-pause=1 s".to_owned()]);
    let watch = Watch::on(&mut start);
    let mut run = job.start(&start);
    watch.until(&mut run, Duration::from_secs(60), "the start", |status| status["state"] == "running");
    let over = Arc::new(AtomicBool::new(false));
    let eyes = eyes::open(&job, &over);
    let pace = Pace { rate, begin: Instant::now() + Duration::from_millis(500) };
    let passed = Timetable::new(&generator, pace).send(&job.stage.kafka, &job.name);
    let counted: BTreeMap<i64, Instant> =
        passed.into_iter().filter(|(_, at)| at.duration_since(pace.begin) > WARM_UP).collect();
    let last = counted.keys().next_back().copied().unwrap_or(i64::MIN);
    let deadline = Instant::now() + PATIENCE;
    while eyes.iter().any(|eye| eye.seen.newest() < last) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    over.store(true, Ordering::Relaxed);
    let waits = eyes.into_iter().map(|eye| (eye.sink, waits(&counted, &eye.seen))).collect();
    run.signal(libc::SIGTERM);
    run.wait(Duration::from_secs(90));
    (waits, counted.len())
}

/// The main job without an end, and its empty topic.
async fn prepare(generator: &DatagenConfig) -> MainJob {
    let empty = DatagenConfig { number_of_rows: Some(0), ..generator.clone() };
    let setup = Setup { generator: empty, ..Setup::quick(0, SEED) };
    let job = MainJob::prepare_as(Stage::shared(), "bench-latency", &setup).await;
    job.edit("'scan.bounded.mode' = 'latest-offset',", "");
    job
}

/// Disorder and lateness as in life; every record can be read, so that the sender knows what the watermark is.
fn generator(rate: i64, records: i64) -> DatagenConfig {
    DatagenConfig {
        idle_partitions: 0,
        time_step_us: EVENT_SPEED * 1_000_000 / rate.max(1),
        malformed_fraction: 0.0,
        missing_fraction: 0.0,
        ..main_job::generator(records, SEED)
    }
}

fn waits(passed: &BTreeMap<i64, Instant>, seen: &Seen) -> Vec<f64> {
    let wait =
        |(window, at): (&i64, &Instant)| Some(seen.at(*window)?.saturating_duration_since(*at).as_secs_f64() * 1e3);
    passed.iter().filter_map(wait).collect()
}

/// Of sorted values; the next greater one.
fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let place = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
#[path = "latency_tests.rs"]
mod tests;
