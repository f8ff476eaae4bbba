//! Records of every kind are JSON that says what it should.

use super::*;

fn kind(spread: Spread, bytes: usize) -> Shape {
    Shape { records: 20_000, kind: Kind { keys: 1000, spread, bytes, codec: Codec::None } }
}

fn values(shape: Shape) -> Vec<serde_json::Value> {
    let values = Values::new(&shape);
    let mut out = Vec::new();
    for offset in 0..values.count(0) {
        let mut value = Vec::new();
        values.write(0, offset, &mut value);
        if shape.kind.bytes > 0 {
            assert!(value.len().abs_diff(shape.kind.bytes) <= 10, "{}", String::from_utf8_lossy(&value));
        }
        out.push(serde_json::from_slice(&value).unwrap());
    }
    out
}

#[test]
fn the_queried_fields_survive_another_size() {
    let plain = values(kind(Spread::Uniform, 0));
    for bytes in [150, 300, 1000] {
        for (value, plain) in values(kind(Spread::Uniform, bytes)).iter().zip(&plain) {
            for field in ["size_label", "size_bytes", "timestamp", "product_id", "format"] {
                assert_eq!(value[field], plain[field]);
            }
        }
    }
}

#[test]
fn zipf_prefers_the_first_labels() {
    let values = values(kind(Spread::Zipf, 0));
    let share = |rank: u64| {
        let label = RecordMaker::label(rank);
        values.iter().filter(|value| value["size_label"] == label.as_str()).count() as f64 / values.len() as f64
    };
    // Of 1,000 labels the first has 1 / 5.58 of all, the second 2^-1.1 of that.
    assert!((share(0) - 0.179).abs() < 0.02, "{}", share(0));
    assert!((share(1) - 0.0836).abs() < 0.02, "{}", share(1));
    assert!(share(900) < 0.005);
}

#[test]
fn answers_are_of_the_bytes_that_were_written() {
    let [one, two, other] =
        [kind(Spread::Uniform, 0), kind(Spread::Uniform, 300), kind(Spread::Zipf, 0)].map(|shape| shape.answers());
    assert_eq!(one, two);
    for question in [Question::Minutes, Question::Projection] {
        assert_ne!(one.to(question), other.to(question));
        assert!(one.to(question).count > 1000);
    }
    assert!(one.projection.count.abs_diff(4000) < 300, "a fifth of the records: {:?}", one.projection);
}
