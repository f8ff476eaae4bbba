//! Names go out and come back unchanged.

use super::*;
use aqueduct_core::JobName;

fn claimed() -> Claimed {
    Claimed {
        job: JobName::new("image-metrics-L3-s1").unwrap(),
        lineage: Lineage(2),
        shard: ShardId(7),
        generation: Generation(5),
    }
}

#[test]
fn part_names_come_back() {
    let label = label(&claimed());
    assert_eq!(label, "image-metrics-L3-s1-L2-s7");
    assert_eq!(parse_label(&label), Some(("image-metrics-L3-s1", Lineage(2), ShardId(7))));
    let name = part(&label, Epoch(42), 3, "parquet");
    assert_eq!(name, "part-image-metrics-L3-s1-L2-s7-e000000000042-3.parquet");
    assert_eq!(parse_part(&name), Some((label.as_str(), Epoch(42))));
    for other in ["part-0.json", "part-x-e1-2.json", "data.json", "part-a-L1-s0-e12-x.json"] {
        assert_eq!(parse_part(other), None, "{other}");
    }
}

#[test]
fn ledger_names_sort_before_claims() {
    assert!(entry(Epoch(u64::MAX >> 24)) < claim(Generation(0)));
    assert!(entry(Epoch(9)) < entry(Epoch(10)));
    assert_eq!(parse_entry(&entry(Epoch(9))), Some(Epoch(9)));
    assert_eq!(parse_claim(&claim(Generation(9))), Some(Generation(9)));
    assert_eq!(parse_entry(&claim(Generation(9))), None);
    assert_eq!(parse_claim(&entry(Epoch(9))), None);
}

#[test]
fn folders_are_hives() {
    assert_eq!(hour_folder(Some(0)), "dt=1970-01-01/hour=00");
    assert_eq!(hour_folder(Some(-1)), "dt=1969-12-31/hour=23");
    assert_eq!(hour_folder(None), "dt=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__");
    assert_eq!(hour_folder(Some(i64::MAX)), hour_folder(None));
    for value in ["plain", "a/b=c:d%e", "größe", "", "2026-01-01T00:00:00Z"] {
        let text = folder("region", Some(value));
        assert!(!text.contains('/'), "{text}");
        let expected = (!value.is_empty()).then(|| value.to_owned());
        assert_eq!(parse_folder(&text), Some(("region".to_owned(), expected)), "{text}");
    }
    assert_eq!(folder("at", Some("10:00")), "at=10%3A00");
    assert_eq!(parse_folder("no-partition"), None);
}

#[test]
fn paths_are_joined_as_they_stand() {
    let root = Path::parse("a/b").unwrap();
    let object = under(&root, "at=10%3A00/x.json").unwrap();
    assert_eq!(object.as_ref(), "a/b/at=10%3A00/x.json");
    assert_eq!(relative(&root, &object), Some("at=10%3A00/x.json"));
    assert_eq!(relative(&Path::parse("a/bc").unwrap(), &object), None);
    assert_eq!(relative(&Path::ROOT, &object), Some("a/b/at=10%3A00/x.json"));
    assert_eq!(under(&root, "a//b").unwrap_err().kind(), aqueduct_core::ErrorKind::FixData);
}

#[test]
fn templates_are_checked() {
    let column = |name: &str| ["window_start", "size_label"].iter().position(|have| *have == name);
    let pieces = parse_template("analytics/{window_start}_{size_label}.json", column).unwrap();
    let text = |text: &str| NamePiece::Text(text.to_owned());
    assert_eq!(pieces, [text("analytics/"), NamePiece::Column(0), text("_"), NamePiece::Column(1), text(".json")]);
    assert!(parse_template("{label}.json", column).unwrap_err().contains("no column 'label'"));
    assert!(parse_template("{size_label.json", column).unwrap_err().contains("without"));
    assert!(parse_template("all.json", column).unwrap_err().contains("names no column"));
    assert!(parse_template("_committed/{size_label}", column).unwrap_err().contains("outside"));
}
