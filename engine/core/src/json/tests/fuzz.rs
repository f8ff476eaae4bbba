//! Random records against serde_json: the same values, and the same verdict on what is JSON at all.

use super::*;
use crate::json::value_to_json;
use serde_json::{Map, Value};

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn text(&mut self) -> String {
        let pool = ['a', 'Z', '0', ' ', '"', '\\', '/', '\n', '\u{1}', '\u{7f}', 'é', '€', '😀', '\u{ffff}', '{', ','];
        (0..self.below(20)).map(|_| pool[self.below(pool.len() as u64) as usize]).collect()
    }

    fn float(&mut self) -> f64 {
        let bits = f64::from_bits(self.next());
        if bits.is_finite() { bits } else { 0.5 }
    }

    fn value(&mut self, depth: u64) -> Value {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => Value::from((self.next() as i64) >> self.below(64)),
            3 => Value::from(self.float()),
            4 => Value::from(self.text()),
            5 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => Value::Object((0..self.below(4)).map(|_| (self.text(), self.value(depth - 1))).collect()),
        }
    }

    /// JSON text of a tree with random blanks and random escapes.
    fn write(&mut self, value: &Value, out: &mut String) {
        self.blanks(out);
        match value {
            Value::String(text) => self.write_text(text, out),
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    self.write(item, out);
                }
                self.blanks(out);
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (index, (name, member)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    self.blanks(out);
                    self.write_text(name, out);
                    self.blanks(out);
                    out.push(':');
                    self.write(member, out);
                }
                self.blanks(out);
                out.push('}');
            }
            plain => out.push_str(&plain.to_string()),
        }
        self.blanks(out);
    }

    fn blanks(&mut self, out: &mut String) {
        if self.below(4) == 0 {
            (0..self.below(3)).for_each(|_| out.push([' ', '\n', '\t', '\r'][self.below(4) as usize]));
        }
    }

    fn write_text(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            if character < ' ' || matches!(character, '"' | '\\') || self.below(8) == 0 {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                out.push(character);
            }
        }
        out.push('"');
    }
}

fn columns() -> Vec<TableColumn> {
    let part = |data_type| Arc::new(Field::new("item", data_type, true));
    let row =
        DataType::Struct(vec![Field::new("x", DataType::Int64, true), Field::new("é", DataType::Utf8, true)].into());
    vec![
        column("b", "BOOLEAN"),
        column("i", "BIGINT"),
        column("f", "DOUBLE"),
        column("s", "STRING"),
        typed("list", DataType::List(part(DataType::Utf8)), ""),
        typed("row", row, ""),
        typed("map", map_type(DataType::Float64), ""),
    ]
}

/// A tree whose declared fields have the declared types (or are null or missing), between others.
fn record(random: &mut Random) -> Map<String, Value> {
    let mut fields: Vec<(String, Value)> = vec![
        ("b".into(), Value::Bool(random.below(2) == 0)),
        ("i".into(), Value::from(random.next() as i64)),
        ("f".into(), Value::from(random.float())),
        ("s".into(), Value::from(random.text())),
        ("list".into(), (0..random.below(4)).map(|_| Value::from(random.text())).collect()),
        ("row".into(), serde_json::json!({ "é": random.text(), "x": random.next() as i64 >> 40 })),
        (
            "map".into(),
            Value::Object((0..random.below(4)).map(|_| (random.text(), Value::from(random.float()))).collect()),
        ),
    ];
    for _ in 0..random.below(4) {
        fields.push((format!("other{}", random.text()), random.value(3)));
    }
    let mut mixed = Map::new();
    while !fields.is_empty() {
        let (name, value) = fields.swap_remove(random.below(fields.len() as u64) as usize);
        match random.below(10) {
            0 => {}
            1 => drop(mixed.insert(name, Value::Null)),
            _ => drop(mixed.insert(name, value)),
        }
    }
    mixed
}

#[test]
fn typed_columns_agree_with_serde_json() {
    let mut random = Random(0x5EED);
    let columns = columns();
    let mut decoder = JsonDecoder::new(&columns, JsonOptions::default()).unwrap();
    for _ in 0..300 {
        let records: Vec<Map<String, Value>> = (0..40).map(|_| record(&mut random)).collect();
        for record in &records {
            let mut text = String::new();
            random.write(&Value::Object(record.clone()), &mut text);
            decoder.push(text.as_bytes()).unwrap_or_else(|reason| panic!("{reason}: {text}"));
        }
        let arrays = decoder.finish().unwrap();
        for (row, record) in records.iter().enumerate() {
            for (column, array) in columns.iter().zip(&arrays) {
                let expected = record.get(&column.name).cloned().unwrap_or(Value::Null);
                assert_eq!(value_to_json(array, row), expected, "{}", column.name);
            }
        }
    }
}

#[test]
fn mutated_records_are_json_for_both_or_for_none() {
    let mut random = Random(0xBAD5EED);
    let mut decoder = JsonDecoder::new(&[], JsonOptions::default()).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..60_000 {
        let mut text = String::new();
        let tree = Value::Object(record(&mut random));
        random.write(&tree, &mut text);
        let mut bytes = text.into_bytes();
        for _ in 0..=random.below(2) {
            mutate(&mut random, &mut bytes);
        }
        let ours = decoder.push(&bytes);
        let theirs = match serde_json::from_slice::<Value>(&bytes) {
            Ok(tree) => tree.is_object(),
            // Not a matter of syntax: such a number is refused only where a column wants it.
            Err(error) if error.to_string().starts_with("number out of range") => continue,
            Err(_) => false,
        };
        assert_eq!(ours.is_ok(), theirs, "{ours:?}: {}", String::from_utf8_lossy(&bytes));
        *(if theirs { &mut accepted } else { &mut refused }) += 1;
    }
    assert!(accepted > 1_000 && refused > 10_000, "{accepted} accepted, {refused} refused");
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len().max(1) as u64) as usize;
    let pool = b"\"\\{}[]:,.-+0123456789eEtrufalsn \n\x00\x1f\x7f\x80\xc3\xff";
    let byte = pool[random.below(pool.len() as u64) as usize];
    match random.below(5) {
        _ if bytes.is_empty() => bytes.push(byte),
        0 => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        2 => drop(bytes.remove(at)),
        3 => bytes.truncate(at),
        _ => {
            let end = (at + random.below(6) as usize).min(bytes.len());
            let part = bytes[at..end].to_vec();
            let to = random.below(bytes.len() as u64 + 1) as usize;
            bytes.splice(to..to, part);
        }
    }
}
