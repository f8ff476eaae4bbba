//! Answers that must be told apart, and those that must not.

use super::*;

fn of(lines: &[&str]) -> Rows {
    let mut rows = Rows::default();
    lines.iter().for_each(|line| rows.add_line(line).unwrap());
    rows
}

const ONE: &str = "60000,small,2,30,10,60500,15";
const TWO: &str = "60000,large,1,7,7,61000,7";

#[test]
fn order_does_not_matter_and_everything_else_does() {
    assert_eq!(of(&[ONE, TWO]), of(&[TWO, ONE]));
    for other in [
        &[ONE] as &[&str],
        &[ONE, TWO, TWO],
        &[ONE, ONE],
        &[ONE, "120000,large,1,7,7,61000,7"],
        &[ONE, "60000,zoom,1,7,7,61000,7"],
        &[ONE, "60000,large,2,7,7,61000,7"],
        &[ONE, "60000,large,1,8,7,61000,7"],
        &[ONE, "60000,large,1,7,6,61000,7"],
        &[ONE, "60000,large,1,7,7,61001,7"],
        &[ONE, "60000,large,1,7,7,61000,8"],
    ] {
        assert_ne!(of(&[ONE, TWO]), of(other), "{other:?}");
    }
    assert!(Rows::default().add_line("60000,large,1,7,7,61000").is_err(), "a row with a column too few");
}

#[test]
fn files_of_json_are_the_same_rows() {
    let folder = std::env::temp_dir().join(format!("aqueduct-bench-answers-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("dt=1970-01-01")).unwrap();
    let json = "{\"window_start\":\"1970-01-01T00:01:00Z\",\"size_label\":\"small\",\"event_count\":2,\"total_bytes\":30,\
                \"least_bytes\":10,\"mean_bytes\":15,\"latest_event\":\"1970-01-01T00:01:00.500Z\"}\n";
    std::fs::write(folder.join("dt=1970-01-01/part-0"), json).unwrap();
    std::fs::write(folder.join(".part-1.inprogress"), json).unwrap();
    let found = json_folder(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, Ok(of(&[ONE])));
}
