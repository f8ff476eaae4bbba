//! What a record costs, in instructions, which no neighbour on the machine changes: a job may become dearer by a twentieth, no more.
//!
//! The program reads records from a file under valgrind, few and then more of them, and the difference is divided by the number of
//! records: the start is out. Kafka's client, sinks and checkpoints are out too: what is counted is decoding, filters and windows.
//! `benches/instructions.json` holds what was counted last. AQUEDUCT_INSTRUCTIONS=write writes it anew, after a gain or a price that
//! is worth paying.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_generate::records::RecordMaker;
use aqueduct_tests::main_job::{binary, generator, workspace};
use aqueduct_tests::services::daemon::Scratch;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FEW: i64 = 10_000;
const MANY: i64 = 40_000;
/// A loss above this share fails.
const TOLERANCE: f64 = 0.05;

/// Name, labels, and the query over the view `images`.
const WORKLOADS: &[(&str, u64, &str)] = &[
    (
        "count",
        10,
        "SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE images, DESCRIPTOR(at), INTERVAL '1' MINUTE)) \
      GROUP BY window_start, window_end",
    ),
    ("five aggregates, 10 labels", 10, FIVE),
    ("five aggregates, 50,000 labels", 50_000, FIVE),
    (
        "hop",
        10,
        "SELECT window_start, COUNT(*) FROM TABLE(HOP(TABLE images, DESCRIPTOR(at), INTERVAL '10' SECOND, INTERVAL '1' MINUTE)) \
      GROUP BY window_start, window_end, size_label",
    ),
];

const FIVE: &str = "SELECT window_start, COUNT(*), SUM(size_bytes), MIN(size_bytes), AVG(size_bytes), MAX(at) \
     FROM TABLE(TUMBLE(TABLE images, DESCRIPTOR(at), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, size_label";

#[test]
fn a_record_costs_no_more_instructions_than_before() {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED: valgrind is missing, so that instructions are not counted (apt-get install valgrind)");
        return;
    }
    let known = workspace().join("benches/instructions.json");
    let before: BTreeMap<String, f64> =
        serde_json::from_slice(&std::fs::read(&known).unwrap_or(b"{}".to_vec())).unwrap();
    let counted: BTreeMap<String, f64> = WORKLOADS
        .iter()
        .map(|(name, labels, query)| ((*name).to_owned(), per_record(*labels, query).round()))
        .collect();
    let mut faults = Vec::new();
    for (name, now) in &counted {
        let then = before.get(name).copied();
        println!("{name}: {now} instructions per record, {then:?} before");
        match then {
            Some(then) if *now <= then * (1.0 + TOLERANCE) => {}
            _ => faults.push(format!("{name}: {now} instructions per record instead of {then:?}")),
        }
    }
    if std::env::var("AQUEDUCT_INSTRUCTIONS").is_ok_and(|wish| wish == "write") {
        std::fs::write(&known, serde_json::to_string_pretty(&counted).unwrap() + "\n").unwrap();
        return;
    }
    assert!(
        faults.is_empty(),
        "{}\nIf that is right, run this test with AQUEDUCT_INSTRUCTIONS=write and say in the commit what it buys",
        faults.join("\n")
    );
}

fn per_record(labels: u64, query: &str) -> f64 {
    let folder = Scratch::new("instructions");
    let [few, many] = [FEW, MANY].map(|records| run(&job(folder.path(), labels, query, records)));
    (many - few) / (MANY - FEW) as f64
}

/// A job that reads so many records of a file, and drops its results.
fn job(folder: &Path, labels: u64, query: &str, records: i64) -> PathBuf {
    let mut config = generator(records, 7);
    (config.key_cardinality, config.partitions, config.idle_partitions) = (labels, 1, 0);
    let (maker, mut lines) = (RecordMaker::new(&config), Vec::new());
    for offset in 0..records {
        maker.write(0, offset, &mut lines);
        lines.push(b'\n');
    }
    let folder = folder.join(records.to_string());
    std::fs::create_dir_all(folder.join("input")).unwrap();
    std::fs::write(folder.join("input/records.jsonl"), lines).unwrap();
    let columns = query.split(" FROM ").next().unwrap().matches(',').count();
    let types = ["TIMESTAMP_LTZ(3)", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "TIMESTAMP_LTZ(3)"];
    let mut sql = String::from(
        "CREATE TABLE images (size_label STRING, size_bytes BIGINT, `timestamp` TIMESTAMP_LTZ(3), at AS `timestamp`, \
         WATERMARK FOR at AS at - INTERVAL '5' SECOND) \
         WITH ('connector' = 'filesystem', 'path' = 'input', 'format' = 'json');\nCREATE TABLE results (",
    );
    for (place, of) in types.iter().take(columns + 1).enumerate() {
        write!(sql, "{}c{place} {of}", if place == 0 { "" } else { ", " }).unwrap();
    }
    write!(sql, ") WITH ('connector' = 'blackhole');\nINSERT INTO results {query};\n").unwrap();
    std::fs::write(folder.join("job.sql"), sql).unwrap();
    folder
}

/// All instructions of a run.
fn run(folder: &Path) -> f64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]).arg(binary());
    command.args(["run", ".", "-p", "1", "--no-panel", "-D", "execution.checkpointing.interval=1 h"]);
    command.args(["-D", "execution.checkpointing.min-pause=1 h"]);
    let output = command.current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let refs = said.lines().find_map(|line| line.split(" refs:").nth(1)).expect("cachegrind tells the instructions");
    refs.trim().replace(',', "").parse().unwrap()
}
