//! Records are pure functions, valid JSON unless broken on purpose, and hold the shares that were asked for.

use super::*;
use aqueduct_core::json::{TimestampFormat, parse_timestamp};
use aqueduct_core::{ColumnKind, Options, TableColumn};
use arrow::datatypes::{DataType, TimeUnit};
use serde_json::Value;

fn column(name: &str, data_type: DataType, sql_type: &str) -> TableColumn {
    TableColumn { name: name.into(), data_type, nullable: true, sql_type: sql_type.into(), kind: ColumnKind::Physical }
}

fn config(declared: &[TableColumn], options: &[(&str, &str)]) -> DatagenConfig {
    let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    DatagenConfig::new(&Options::new("t", options), declared).unwrap()
}

fn images(options: &[(&str, &str)]) -> RecordMaker {
    RecordMaker::new(&config(&[column("size_label", DataType::Utf8, "STRING")], options))
}

fn make(maker: &RecordMaker, partition: i32, offset: i64) -> (Vec<u8>, i64) {
    let mut value = Vec::new();
    let timestamp = maker.write(partition, offset, &mut value);
    (value, timestamp)
}

fn tree(maker: &RecordMaker, partition: i32, offset: i64) -> Value {
    let (value, _) = make(maker, partition, offset);
    serde_json::from_slice(&value).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&value)))
}

fn event_us(text: &str) -> i64 {
    parse_timestamp(text, TimestampFormat::Iso8601, true).unwrap().in_unit(TimeUnit::Microsecond).unwrap()
}

#[test]
fn a_record_does_not_depend_on_what_was_made_before() {
    let options =
        [("malformed-fraction", "0.1"), ("disorder", "5 s"), ("time-format", "mixed"), ("missing-fraction", "0.2")];
    let (first, second) = (images(&options), images(&options));
    let forward: Vec<_> = (0..500).map(|offset| make(&first, 2, offset)).collect();
    let backward: Vec<_> = (0..500).rev().map(|offset| make(&second, 2, offset)).collect();
    assert!(forward.iter().eq(backward.iter().rev()));
    let others = [make(&first, 1, 7), make(&images(&[("seed", "2")]), 2, 7)];
    assert!(others.iter().all(|other| *other != forward[7]));
    let mut appended = b"before".to_vec();
    first.write(2, 3, &mut appended);
    assert_eq!(&appended[6..], forward[3].0);
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_every_version() {
    let (value, timestamp) = make(&images(&[]), 1, 12);
    assert_eq!(String::from_utf8(value).unwrap(), GOLDEN);
    assert_eq!(timestamp, 1_767_225_600_000 + 12 * 4 + 1);
}

const GOLDEN: &str = concat!(
    r#"{"image_id":"img-33a64b1d","product_id":91613,"bucket":"shop-images","key":"p/91613/thumbnail","#,
    r#""format":"avif","width":150,"height":112,"size_label":"thumbnail","size_bytes":8457,"timestamp":"2026-01-01T00:00:00.049Z"}"#
);

#[test]
fn pictures_are_json_of_about_two_hundred_bytes() {
    let maker = images(&[("key-cardinality", "12")]);
    let mut labels = std::collections::BTreeSet::new();
    let mut bytes = 0;
    for offset in 0..2_000 {
        let (value, timestamp) = make(&maker, 3, offset);
        bytes += value.len();
        let tree = tree(&maker, 3, offset);
        assert_eq!(tree.as_object().unwrap().len(), 10);
        let label = tree["size_label"].as_str().unwrap();
        assert_eq!(tree["key"], format!("p/{}/{label}", tree["product_id"]));
        assert!(tree["size_bytes"].as_u64().unwrap() >= 1_000);
        assert_eq!(event_us(tree["timestamp"].as_str().unwrap()), timestamp * 1_000);
        labels.insert(label.to_owned());
    }
    assert_eq!(labels, (0..12).map(RecordMaker::label).collect());
    assert!((180..230).contains(&(bytes / 2_000)), "{} bytes", bytes / 2_000);
}

#[test]
fn shares_come_out_as_asked_for() {
    let options = [
        ("late-fraction", "0.01"),
        ("malformed-fraction", "0.02"),
        ("missing-fraction", "0.1"),
        ("text-number-fraction", "0.3"),
        ("disorder", "5 s"),
    ];
    let maker = images(&options);
    let (mut late, mut missing, mut text, mut back) = (0, 0, 0, 0);
    let mut malformed = std::collections::HashMap::new();
    const COUNT: i64 = 100_000;
    for offset in 0..COUNT {
        let outline = maker.outline(0, offset);
        let delay = outline.produced_us - outline.event_us;
        assert_eq!(outline.produced_us, 1_767_225_600_000_000 + offset * 4_000);
        if outline.late {
            late += 1;
            assert_eq!(delay, 65_000_000);
        } else {
            assert!((0..=5_000_000).contains(&delay) && delay % 1_000 == 0);
            back += delay;
        }
        if let Some(malformed_as) = outline.malformed {
            *malformed.entry(malformed_as).or_insert(0) += 1;
            continue;
        }
        let tree = tree(&maker, 0, offset);
        missing += i32::from(tree.get("size_label").is_none());
        text += i32::from(tree.get("size_bytes").is_some_and(Value::is_string));
        assert_eq!(event_us(tree["timestamp"].as_str().unwrap()), outline.event_us);
    }
    assert!((900..1_100).contains(&late), "{late} late");
    assert!((9_400..10_200).contains(&missing), "{missing} missing");
    assert!((25_500..27_500).contains(&text), "{text} as text");
    assert!((2_450_000..2_550_000).contains(&(back / COUNT)), "{} us back", back / COUNT);
    assert!(Malformed::ALL.iter().all(|kind| (250..420).contains(&malformed[kind])), "{malformed:?}");
}

#[test]
fn broken_records_are_broken_in_the_way_that_was_drawn() {
    let maker = images(&[("malformed-fraction", "1"), ("missing-fraction", "0.5")]);
    let mut seen = std::collections::HashSet::new();
    for offset in 0..600 {
        let (value, _) = make(&maker, 0, offset);
        let parsed = serde_json::from_slice::<Value>(&value);
        let kind = maker.outline(0, offset).malformed.unwrap();
        seen.insert(kind);
        match kind {
            Malformed::Truncated => assert!(!value.is_empty() && parsed.is_err()),
            Malformed::EmptyValue => assert!(value.is_empty()),
            Malformed::BrokenUtf8 => assert!(std::str::from_utf8(&value).is_err()),
            Malformed::WrongType => assert_eq!(parsed.unwrap()["size_bytes"], "n/a"),
            Malformed::NoTime => assert!(parsed.unwrap().get("timestamp").is_none()),
            Malformed::EmptyTime => assert_eq!(parsed.unwrap()["timestamp"], ""),
        }
    }
    assert_eq!(seen.len(), 6);
}

#[test]
fn one_option_does_not_shift_what_another_one_draws() {
    let (calm, wild) = (images(&[]), images(&[("malformed-fraction", "0.5"), ("late-fraction", "0.5")]));
    for offset in 0..200 {
        if wild.outline(0, offset).malformed.is_none() {
            let (mut calm, mut wild) = (tree(&calm, 0, offset), tree(&wild, 0, offset));
            calm["timestamp"].take();
            wild["timestamp"].take();
            assert_eq!(calm, wild);
        }
    }
}

#[test]
fn mixed_times_are_the_same_moments_in_other_words() {
    for step in ["1 ms", "7 us", "400 ms"] {
        let maker = images(&[("time-format", "mixed"), ("time-step", step), ("disorder", "2 s")]);
        let mut spellings = std::collections::BTreeSet::new();
        for offset in 0..1_000 {
            let tree = tree(&maker, 0, offset);
            let text = tree["timestamp"].as_str().unwrap();
            assert_eq!(event_us(text), maker.outline(0, offset).event_us, "{text}");
            spellings.insert(text[19..].replace(|c: char| c.is_ascii_digit(), "0"));
        }
        assert!(spellings.len() >= 5, "{spellings:?}");
    }
}

#[test]
fn payments_are_json() {
    let declared =
        [column("currency", DataType::Utf8, "STRING"), column("amount", DataType::Decimal128(10, 2), "DECIMAL(10, 2)")];
    let maker = RecordMaker::new(&config(&declared, &[("key-cardinality", "11")]));
    let trees: Vec<Value> = (0..500).map(|offset| tree(&maker, 0, offset)).collect();
    assert!(trees.iter().all(|tree| tree["amount"].as_f64().unwrap() > 0.0 && tree.as_object().unwrap().len() == 8));
    assert!(trees.iter().any(|tree| tree["currency"] == "X10") && trees.iter().any(|tree| tree["currency"] == "EUR"));
}

#[test]
fn columns_follow_their_rules() {
    let utc = Some("UTC".into());
    let declared = [
        column("id", DataType::Int64, "BIGINT"),
        column("n\"1", DataType::Int32, "INT"),
        column("small", DataType::Int8, "TINYINT"),
        column("any", DataType::Int64, "BIGINT"),
        column("price", DataType::Decimal128(6, 2), "DECIMAL(6, 2)"),
        column("ratio", DataType::Float64, "DOUBLE"),
        column("flag", DataType::Boolean, "BOOLEAN"),
        column("key", DataType::Utf8, "STRING"),
        column("hex", DataType::Utf8, "STRING"),
        column("raw", DataType::Binary, "BYTES"),
        column("at", DataType::Timestamp(TimeUnit::Millisecond, utc), "TIMESTAMP_LTZ(3)"),
        column("day", DataType::Date32, "DATE"),
        column("clock", DataType::Time32(TimeUnit::Millisecond), "TIME"),
    ];
    let options = [
        ("fields.id.kind", "sequence"),
        ("fields.id.start", "100"),
        ("fields.n\"1.min", "-5"),
        ("fields.n\"1.max", "5"),
        ("fields.price.min", "-1.5"),
        ("fields.price.max", "1.5"),
        ("fields.hex.length", "20"),
        ("fields.raw.length", "4"),
        ("key-cardinality", "3"),
        ("partitions", "2"),
    ];
    let maker = RecordMaker::new(&config(&declared, &options));
    for offset in 0..300 {
        let tree = tree(&maker, 1, offset);
        assert_eq!(tree["id"], 100 + offset * 2 + 1);
        assert!(
            (-5..=5).contains(&tree["n\"1"].as_i64().unwrap()) && i8::try_from(tree["small"].as_i64().unwrap()).is_ok()
        );
        assert!(tree["any"].is_i64() && tree["flag"].is_boolean());
        assert!(
            (-1.5..=1.5).contains(&tree["price"].as_f64().unwrap())
                && (0.0..1.0).contains(&tree["ratio"].as_f64().unwrap())
        );
        assert!(["key-0", "key-1", "key-2"].contains(&tree["key"].as_str().unwrap()));
        assert_eq!((tree["hex"].as_str().unwrap().len(), tree["raw"].as_str().unwrap().len()), (20, 8));
        assert_eq!(event_us(tree["at"].as_str().unwrap()), maker.outline(1, offset).event_us);
        assert_eq!((&tree["day"], &tree["clock"]), (&Value::from("2026-01-01"), &Value::from("00:00:00")));
    }
}
