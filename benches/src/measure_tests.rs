//! Real processes: what they cost is added up, whoever started them.

use super::*;

fn shell(script: &str, seconds: u64) -> Usage {
    let log = std::env::temp_dir().join(format!("aqueduct-bench-measure-{}-{}", std::process::id(), script.len()));
    let usage = run(Command::new("sh").args(["-c", script]), &log, Duration::from_secs(seconds));
    let _ = std::fs::remove_file(log);
    usage.unwrap()
}

/// About a tenth of a second of CPU on any machine of the last years, and more than none on all.
const WORK: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";

#[test]
fn an_orphan_is_a_part_of_the_run() {
    let with = shell(&format!("({WORK}) & exit 0"), 60);
    let without = shell("exit 0", 60);
    assert!(with.success && without.success);
    assert!(with.cpu > without.cpu * 3, "{with:?} {without:?}");
    assert!(with.wall > without.wall);
}

#[test]
fn memory_of_all_processes_counts() {
    // What is to be the end of its input, tail has to keep.
    let hold = "head -c 30000000 /dev/zero | tail -c 30000000 | (sleep 1; cat >/dev/null)";
    let (one, two) = (shell(hold, 60), shell(&format!("({hold}) & ({hold}) & wait"), 60));
    assert!(two.peak_bytes > one.peak_bytes + (20 << 20), "{one:?} {two:?}");
}

#[test]
fn a_run_without_end_is_killed() {
    let usage = shell("sleep 600 & wait", 1);
    assert!(!usage.success);
}

#[test]
fn a_name_can_look_like_numbers() {
    let line = "7 (a) 3 (b) S 1 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 6 1234 18446744073709551615";
    assert_eq!(resident_of(line, 42), Some(1234));
    assert_eq!(resident_of(line, 43), None);
}

#[test]
fn the_kernel_tells_the_most_that_a_process_held() {
    assert_eq!(high_water("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
    assert_eq!(high_water("Name:\tkthreadd\n"), None);
}

#[test]
fn what_we_hold_is_not_the_childs() {
    let ours = vec![1_u8; 100 << 20];
    assert!(shell("sleep 0.3", 60).peak_bytes < 50 << 20, "{}", ours.len());
}
