//! Whole runs of the binary on generated rows and local folders: to the end, stopped, continued, watched and asked.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Job, finish};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Rows without end, slowly enough to be stopped in the middle.
fn endless() -> Job {
    Job::counts("").edit("'number-of-rows' = '20000'", "'rows-per-second' = '20000'")
}

fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().expect("kill runs");
    assert!(done.success());
}

#[test]
fn a_bounded_job_runs_to_its_end_and_its_results_can_be_asked() {
    let job = Job::counts("");
    // Many checkpoints: whatever a seal could lose would be missing in the sums below.
    let often = ["-D", "execution.checkpointing.interval=20 ms", "-D", "execution.checkpointing.min-pause=5 ms"];
    let done = job.aqueduct(&[&["run", "counts", "-p", "2"], often.as_slice()].concat());
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("counts finished") && done.out.contains("20,000"), "{}", done.out);
    assert!(done.out.contains('✓') && !done.out.contains('✗'), "{}", done.out);
    for line in done.err.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "logs are JSON lines where no terminal is: {line}");
    }
    let asked = Instant::now();
    let answer = job.aqueduct(&["query", "counts", "SELECT sum(events) AS n FROM counts_local", "--format", "csv"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(5));
    let in_windows: u64 = answer.out.lines().nth(1).unwrap().parse().unwrap();
    let ledger = job.aqueduct(&[
        "query",
        "counts",
        "SELECT sum(rows_read) AS r, sum(rows_in_windows) AS w FROM aqueduct_quarantine_ledger",
        "--format",
        "csv",
    ]);
    assert_eq!(ledger.out, format!("r,w\n20000,{in_windows}\n"), "{ledger:?}");
    let left: Vec<_> = std::fs::read_dir(job.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("aqueduct-state")), "{left:?}");
}

#[test]
fn a_checkpoint_can_be_looked_into() {
    let job = Job::counts("");
    assert_eq!(job.aqueduct(&["run", "counts"]).code, 0);
    let list = job.aqueduct(&["state", "list"]);
    assert!(list.code == 0 && list.out.contains("counts  lineage 1"), "{list:?}");
    let show = job.aqueduct(&["state", "show", "counts"]);
    assert!(show.code == 0 && show.out.contains("next offset"), "{show:?}");
    let verify = job.aqueduct(&["state", "verify"]);
    assert!(verify.code == 0 && verify.out.contains("restorable: epoch 1"), "{verify:?}");
}

#[test]
fn a_stopped_job_exits_with_0_and_goes_on() {
    let job = endless();
    let arguments = ["run", "counts", "-D", "execution.checkpointing.interval=500 ms"];
    for turn in 0..2 {
        let child = job.start(&arguments);
        std::thread::sleep(Duration::from_secs(3));
        signal(&child, "TERM");
        let done = finish(child);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.out.contains("counts stopped") && !done.out.contains('✗'), "{}", done.out);
        assert_eq!(done.out.contains("went on from the checkpoint"), turn == 1, "{}", done.out);
    }
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let job = endless();
    let child = job.start(&["run", "counts"]);
    std::thread::sleep(Duration::from_secs(2));
    // Close together, so that the first has no time to bring the job to its end.
    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(20));
    signal(&child, "INT");
    let done = finish(child);
    assert!(done.code == 130 || done.code == 0, "{done:?}");
}

/// As YARN does it: the group gets a SIGTERM, and the wrapper in it hands its own on.
#[test]
fn a_sigterm_that_is_delivered_twice_still_stops_well() {
    let job = endless();
    let child = job.start(&["run", "counts"]);
    std::thread::sleep(Duration::from_secs(3));
    signal(&child, "TERM");
    std::thread::sleep(Duration::from_millis(20));
    signal(&child, "TERM");
    let done = finish(child);
    assert!(done.code == 0 && done.out.contains("counts stopped"), "{done:?}");
}

#[test]
fn a_running_job_is_watched_over_http() {
    let job = endless();
    let mut child = job.start(&["run", "counts", "--http", "127.0.0.1:0"]);
    let mut log = BufReader::new(child.stderr.take().expect("stderr is piped"));
    let mut line = String::new();
    while !line.contains("serving http://") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the job ended before it served");
    }
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    let at = parsed["address"].as_str().unwrap().to_owned();
    // Somebody has to read on, or the job would wait for its log.
    let rest = std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    until(&at, "/readyz", "ready\n");
    until(&at, "/metrics", "aqueduct_source_records_total{job=\"counts\",table=\"events\"} ");
    assert!(get(&at, "/healthz").ends_with("ok\n"));
    let status = job.aqueduct(&["status", &at]);
    assert!(status.code == 0 && status.out.contains("counts  running"), "{status:?}");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    rest.join().unwrap().unwrap();
}

fn until(at: &str, path: &str, part: &str) {
    let start = Instant::now();
    loop {
        let answer = get(at, path);
        if answer.starts_with("HTTP/1.0 200") && answer.contains(part) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{path} never said {part}: {answer}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn get(at: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(at).expect("the job listens");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_taken_port_is_a_configuration_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let done = Job::counts("").aqueduct(&["run", "counts", "--http", &at]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("cannot listen on"), "{done:?}");
}
