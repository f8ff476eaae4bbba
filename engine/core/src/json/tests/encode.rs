//! Rows to JSON, and single values to text and trees.

use super::*;
use crate::json::{JsonEncoder, TimestampFormat, text_value, value_to_json};
use arrow::array::{Array, BinaryArray, Float64Array, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

const SQL_TYPES: [&str; 14] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "STRING",
    "BYTES",
    "DATE",
    "TIME",
    "DECIMAL(10, 2)",
    "TIMESTAMP(3)",
    "TIMESTAMP_LTZ(6)",
];

/// Decodes a record with one column per SQL type, named a, b, c, ...
fn batch(record: &str) -> RecordBatch {
    let name = |index: usize| char::from(b'a' + index as u8).to_string();
    let mut columns: Vec<TableColumn> =
        SQL_TYPES.iter().enumerate().map(|(index, sql_type)| column(&name(index), sql_type)).collect();
    let part = |name: &str, data_type| Field::new(name, data_type, true);
    let fields = vec![part("x", DataType::Int64), part("y", DataType::Utf8)];
    columns.push(typed("row", DataType::Struct(fields.into()), ""));
    columns.push(typed("list", DataType::List(Arc::new(part("item", DataType::Float64))), ""));
    columns.push(typed("map", map_type(DataType::Boolean), ""));
    let mut decoder = JsonDecoder::new(&columns, JsonOptions::default()).unwrap();
    decoder.push(record.as_bytes()).unwrap();
    RecordBatch::try_new(TableColumn::schema(&columns), decoder.finish().unwrap()).unwrap()
}

const RECORD: &str = concat!(
    r#"{"a":true,"b":-1,"c":2,"d":3,"e":-9223372036854775808,"f":0.5,"g":-1e300,"h":"é\"\n\u0001","i":"AQID","#,
    r#""j":"2026-01-31","k":"12:00:00.500","l":-0.05,"m":"2026-01-01T00:00:00","n":"2026-01-01T00:00:00.000001Z","#,
    r#""row":{"x":1,"y":null},"list":[1.0,null],"map":{"k":true,"l":false}}"#
);

#[test]
fn every_type_goes_there_and_back() {
    let batch = batch(RECORD);
    let encoder = JsonEncoder::new(&batch.schema(), JsonOptions::default()).unwrap();
    let mut out = Vec::new();
    encoder.encode(&batch, 0, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, RECORD.replace("-1e300", "-1e+300").replace("-1e+300", &serde_json::to_string(&-1e300).unwrap()));
    for (column, field) in batch.columns().iter().zip(batch.schema().fields()) {
        let tree: serde_json::Value = serde_json::from_str(RECORD).unwrap();
        assert_eq!(value_to_json(column, 0), tree[field.name()], "{}", field.name());
    }
}

#[test]
fn nulls_are_written_and_columns_can_be_chosen() {
    let batch = batch("{}");
    let encoder = JsonEncoder::new(&batch.schema(), JsonOptions::default()).unwrap();
    let mut out = b"x".to_vec();
    encoder.encode_columns(&batch, 0, &[14, 0], &mut out);
    assert_eq!(out, br#"x{"row":null,"a":null}"#);
    assert!(batch.columns().iter().all(|column| text_value(column, 0).is_none() && value_to_json(column, 0).is_null()));
}

#[test]
fn rows_of_a_batch_are_the_same_objects() {
    let times = arrow::array::TimestampMillisecondArray::from(vec![Some(-1), None, Some(1_767_225_600_250)]);
    let texts: [&str; 3] = ["plain text, longer than sixteen bytes", "a \"quote\" behind sixteen bytes\n", "é\u{1}"];
    let columns: Vec<(&str, arrow::array::ArrayRef)> = vec![
        ("whole", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)]))),
        ("text", Arc::new(StringArray::from(texts.to_vec()))),
        ("none", Arc::new(StringArray::from(vec![None::<&str>; 3]))),
        ("clock", Arc::new(times.clone())),
        ("moment", Arc::new(times.with_timezone("UTC"))),
        ("double", Arc::new(Float64Array::from(vec![0.5, f64::NAN, -0.0]))),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, of)| (name, of, true))).unwrap();
    for timestamp_format in [TimestampFormat::Iso8601, TimestampFormat::Sql] {
        let options = JsonOptions { timestamp_format, ..Default::default() };
        let encoder = JsonEncoder::new(&batch.schema(), options).unwrap();
        for chosen in [vec![0, 1, 2, 3, 4, 5], vec![4, 0], vec![]] {
            let rows = encoder.rows(&batch, &chosen);
            for row in 0..3 {
                let (mut one, mut other) = (Vec::new(), Vec::new());
                encoder.encode_columns(&batch, row, &chosen, &mut one);
                rows.write(row, &mut other);
                assert_eq!(String::from_utf8(other), String::from_utf8(one));
            }
        }
    }
    let mut out = Vec::new();
    JsonEncoder::new(&batch.schema(), JsonOptions::default()).unwrap().encode_columns(&batch, 1, &[1], &mut out);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap()["text"], texts[1]);
}

#[test]
fn sql_timestamps_are_written_with_a_blank() {
    let options = JsonOptions { timestamp_format: TimestampFormat::Sql, ..Default::default() };
    let batch = batch(RECORD);
    let encoder = JsonEncoder::new(&batch.schema(), options).unwrap();
    let mut out = Vec::new();
    encoder.encode_columns(&batch, 0, &[12, 13], &mut out);
    assert_eq!(out, br#"{"m":"2026-01-01 00:00:00","n":"2026-01-01 00:00:00.000001Z"}"#);
}

#[test]
fn single_values_as_text() {
    let batch = batch(RECORD);
    let text = |column: usize| text_value(batch.column(column), 0).unwrap();
    assert_eq!(
        (text(0), text(4), text(8), text(11)),
        ("true".into(), i64::MIN.to_string(), "AQID".into(), "-0.05".into())
    );
    assert_eq!((text(7), text(13)), ("é\"\n\u{1}".into(), "2026-01-01T00:00:00.000001Z".into()));
    assert_eq!((text(14), text(15)), (r#"{"x":1,"y":null}"#.into(), "[1.0,null]".into()));
}

#[test]
fn numbers_that_json_cannot_hold() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, -0.0]));
    assert!(value_to_json(&floats, 0).is_null() && value_to_json(&floats, 1).is_null());
    assert_eq!(text_value(&floats, 2).unwrap(), "-0.0");
    let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    assert_eq!(value_to_json(&unsigned, 0), serde_json::json!(u64::MAX));
    let decimals = decode(column("v", "DECIMAL(38, 0)"), &"9".repeat(38));
    assert_eq!(value_to_json(&decimals, 0), serde_json::json!("9".repeat(38)));
    assert_eq!(value_to_json(&decode(column("v", "DECIMAL(38, 0)"), "12"), 0), serde_json::json!(12));
}

fn decode(column: TableColumn, value: &str) -> ArrayRef {
    let mut decoder = JsonDecoder::new(&[column], JsonOptions::default()).unwrap();
    decoder.push(format!("{{\"v\":{value}}}").as_bytes()).unwrap();
    decoder.finish().unwrap().remove(0)
}

#[test]
fn slices_and_names_with_quotes() {
    let schema = Schema::new(vec![
        Field::new("a\"b", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Binary, true),
    ]);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(StringArray::from(vec![None, Some("x")])),
        Arc::new(BinaryArray::from(vec![&b""[..], b"\xff"])),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), arrays).unwrap().slice(1, 1);
    let mut out = Vec::new();
    JsonEncoder::new(&schema, JsonOptions::default()).unwrap().encode(&batch, 0, &mut out);
    assert_eq!(out, br#"{"a\"b":2,"s":"x","b":"/w=="}"#);
    assert!(batch.columns().iter().all(|column: &ArrayRef| column.len() == 1));
}

#[test]
fn types_that_json_cannot_carry_are_refused() {
    let schema = Schema::new(vec![Field::new("d", DataType::Duration(TimeUnit::Second), true)]);
    let error = JsonEncoder::new(&schema, JsonOptions::default()).unwrap_err();
    assert!(error.message().starts_with("column 'd': values of type Duration"));
}
