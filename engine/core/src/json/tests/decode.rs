//! The table of behaviours in the room's documentation, line by line.

use super::*;
use crate::json::TimestampFormat;

#[test]
fn integers_come_from_numbers_and_from_text_of_digits() {
    for (text, expected) in [
        ("123", "|123|"),
        ("\"123\"", "|123|"),
        ("\"-007\"", "|-7|"),
        ("\"\\u0031\"", "|1|"),
        ("-0", "|0|"),
        ("12.0", "|12|"),
        ("1e3", "|1000|"),
        ("120e-1", "|12|"),
        ("1.20E+2", "|120|"),
        ("0e999999999", "|0|"),
        ("9223372036854775807", "|9223372036854775807|"),
        ("-9223372036854775808", "|-9223372036854775808|"),
        ("9223372036854775808", "v: 9223372036854775808 is out of range for BIGINT"),
        ("1e999999999", "v: 1e999999999 is out of range for BIGINT"),
        ("12.5", "v: expected BIGINT, found number 12.5"),
        ("1e-3", "v: expected BIGINT, found number 1e-3"),
        ("\"abc\"", "v: expected BIGINT, found text 'abc'"),
        ("\"+5\"", "v: expected BIGINT, found text '+5'"),
        ("\" 5\"", "v: expected BIGINT, found text ' 5'"),
        ("\"12.0\"", "v: expected BIGINT, found text '12.0'"),
        ("\"\"", "v: expected BIGINT, found text ''"),
        ("\"-\"", "v: expected BIGINT, found text '-'"),
        ("true", "v: expected BIGINT, found true"),
        ("{}", "v: expected BIGINT, found an object"),
        ("[1]", "v: expected BIGINT, found an array"),
    ] {
        assert_eq!(value("BIGINT", text), expected, "{text}");
    }
}

#[test]
fn small_integers_have_their_ranges() {
    assert_eq!(value("TINYINT", "-128"), "|-128|");
    assert_eq!(value("TINYINT", "128"), "v: 128 is out of range for TINYINT");
    assert_eq!(value("SMALLINT", "\"32768\""), "v: 32768 is out of range for SMALLINT");
    assert_eq!(value("INT", "2147483647"), "|2147483647|");
    assert_eq!(value("INT", "-2147483649"), "v: -2147483649 is out of range for INT");
}

#[test]
fn floats_are_the_nearest_value_and_never_infinite() {
    for (text, expected) in [
        ("0.1", "|0.1|"),
        ("-0.0", "|-0.0|"),
        ("-0", "|-0.0|"),
        ("\"2.5e-3\"", "|0.0025|"),
        ("5e-324", "|5e-324|"),
        ("1e-999", "|0.0|"),
        ("1e999", "v: 1e999 is out of range for DOUBLE"),
        ("\"NaN\"", "v: expected DOUBLE, found text 'NaN'"),
        ("\"inf\"", "v: expected DOUBLE, found text 'inf'"),
        ("\".5\"", "v: expected DOUBLE, found text '.5'"),
        ("NaN", "broken JSON at byte 6: expected a value, found 'N'"),
        ("Infinity", "broken JSON at byte 6: expected a value, found 'I'"),
    ] {
        assert_eq!(value("DOUBLE", text), expected, "{text}");
    }
    assert_eq!(value("FLOAT", "0.1"), "|0.1|");
    assert_eq!(value("FLOAT", "1e39"), "v: 1e39 is out of range for FLOAT");
}

#[test]
fn decimals_come_from_the_digits() {
    for (text, expected) in [
        ("12", "|12.00|"),
        ("1.005", "|1.01|"),
        ("-1.005", "|-1.01|"),
        ("1.00499999999999999999999999999999999999999999999", "|1.00|"),
        ("\"99.9\"", "|99.90|"),
        ("1e-3", "|0.00|"),
        ("5e-3", "|0.01|"),
        ("-0", "|0.00|"),
        ("12345678.994", "|12345678.99|"),
        ("99999999.995", "v: 99999999.995 is out of range for DECIMAL(10, 2)"),
        ("1e8", "v: 1e8 is out of range for DECIMAL(10, 2)"),
        ("\"x\"", "v: expected DECIMAL(10, 2), found text 'x'"),
    ] {
        assert_eq!(value("DECIMAL(10, 2)", text), expected, "{text}");
    }
    let nines = "9".repeat(38);
    assert_eq!(value("DECIMAL(38, 0)", &nines), format!("|{nines}|"));
    assert_eq!(
        value("DECIMAL(38, 0)", &format!("{nines}.5")),
        format!("v: {nines}.5 is out of range for DECIMAL(38, 0)")
    );
    assert_eq!(value("DECIMAL(38, 38)", &format!("0.{nines}4")), format!("|0.{nines}|"));
    assert_eq!(value("DECIMAL(38, 38)", "1"), "v: 1 is out of range for DECIMAL(38, 38)");
}

#[test]
fn text_columns_take_everything() {
    for (text, expected) in [
        ("\"plain\"", "|plain|"),
        ("\"\"", "||"),
        (r#""a\"b\\c\/d\b\f\n\r\tz""#, "|a\"b\\c/d\u{8}\u{c}\n\r\tz|"),
        (r#""\u00e9\ud83d\ude00 é😀""#, "|é😀 é😀|"),
        (r#""\u0000""#, "|\0|"),
        ("1.50", "|1.50|"),
        ("-0", "|-0|"),
        ("123456789012345678901234567890", "|123456789012345678901234567890|"),
        ("true", "|true|"),
        ("false", "|false|"),
        (r#"{"a": [1, "x\n"]}"#, r#"|{"a": [1, "x\n"]}|"#),
        ("[1,2]", "|[1,2]|"),
        ("null", "NULL"),
    ] {
        assert_eq!(value("STRING", text), expected, "{text}");
    }
}

#[test]
fn booleans_and_bytes() {
    assert_eq!(value("BOOLEAN", "true"), "|true|");
    assert_eq!(value("BOOLEAN", "\"false\""), "|false|");
    assert_eq!(value("BOOLEAN", "\"True\""), "v: expected BOOLEAN, found text 'True'");
    assert_eq!(value("BOOLEAN", "1"), "v: expected BOOLEAN, found number 1");
    for plain in ["", "QQ==", "QUI=", "QUJD", "+/+/"] {
        assert_eq!(value("BYTES", &format!("\"{plain}\"")), format!("|{plain}|"));
    }
    assert_eq!(value("BYTES", r#""+\/+\/""#), "|+/+/|");
    assert_eq!(value("BYTES", "\"QQ\""), "v: 'QQ' is not base64");
    assert_eq!(value("BYTES", "\"Q===\""), "v: 'Q===' is not base64");
    assert_eq!(value("BYTES", "\"QU-_\""), "v: 'QU-_' is not base64");
    assert_eq!(value("BYTES", "7"), "v: expected BYTES, found number 7");
}

#[test]
fn timestamps_are_cut_to_the_precision_of_the_column() {
    assert_eq!(value(LTZ, "\"2026-01-01T02:00:00.123999+02:00\""), "|2026-01-01T00:00:00.123Z|");
    assert_eq!(value("TIMESTAMP_LTZ(1)", "\"2026-01-01T00:00:00.199Z\""), "|2026-01-01T00:00:00.100Z|");
    assert_eq!(value("TIMESTAMP_LTZ(1)", "\"1969-12-31T23:59:59.999Z\""), "|1969-12-31T23:59:59.900Z|");
    assert_eq!(value("TIMESTAMP(0)", "\"2026-01-01 00:00:00.9\""), "|2026-01-01T00:00:00|");
    assert_eq!(value("TIMESTAMP_LTZ(6)", "\"2026-01-01T00:00:00.1234567Z\""), "|2026-01-01T00:00:00.123456Z|");
    assert_eq!(value("TIMESTAMP_LTZ(9)", "\"2026-01-01T00:00:00.1234567891Z\""), "|2026-01-01T00:00:00.123456789Z|");
    let late = "v: 2400-01-01T00:00:00Z is out of range for TIMESTAMP_LTZ(9)";
    assert_eq!(value("TIMESTAMP_LTZ(9)", "\"2400-01-01T00:00:00Z\""), late);
}

#[test]
fn empty_times_are_null_and_numbers_are_refused() {
    for sql_type in [LTZ, "TIMESTAMP(3)", "DATE", "TIME"] {
        assert_eq!(value(sql_type, "\"\""), "NULL");
    }
    let strict = decode_as(not_null(column("v", LTZ)), r#"{"v": ""}"#, JsonOptions::default());
    assert_eq!(strict, "v: empty text, but the column is NOT NULL");
    assert_eq!(
        value(LTZ, "1767225600000"),
        "v: expected TIMESTAMP_LTZ(3) as text, found number 1767225600000; for epoch milliseconds declare the field as \
         BIGINT and use TO_TIMESTAMP_LTZ(field, 3)"
    );
    assert_eq!(value(LTZ, "true"), "v: expected TIMESTAMP_LTZ(3) as text, found true");
    assert_eq!(value("DATE", "20454"), "v: expected DATE, found number 20454");
}

#[test]
fn sql_timestamps_want_exactly_their_form() {
    let options = JsonOptions { timestamp_format: TimestampFormat::Sql, ..Default::default() };
    let sql = |sql_type: &str, text: &str| decode_as(column("v", sql_type), &format!(r#"{{"v": "{text}"}}"#), options);
    assert_eq!(sql("TIMESTAMP(3)", "2026-01-01 00:00:00.123"), "|2026-01-01T00:00:00.123|");
    assert_eq!(sql(LTZ, "2026-01-01 00:00:00Z"), "|2026-01-01T00:00:00Z|");
    assert!(sql(LTZ, "2026-01-01 00:00:00").contains("is not a timestamp such as '2026-01-01 00:00:00.250Z'"));
    assert!(sql("TIMESTAMP(3)", "2026-01-01 00:00:00Z").contains("is not a timestamp"));
    assert!(sql("TIMESTAMP(3)", "2026-01-01T00:00:00").contains("is not a timestamp"));
}

#[test]
fn missing_and_null_fields_are_null_unless_the_column_is_not_null() {
    let refused = |record: &str| decode_as(not_null(column("size_bytes", "BIGINT")), record, JsonOptions::default());
    assert_eq!(refused("{}"), "size_bytes: missing, but the column is NOT NULL");
    assert_eq!(refused(r#"{"size_bytes": null}"#), "size_bytes: null, but the column is NOT NULL");
    assert_eq!(decode_as(column("v", "BIGINT"), "{}", JsonOptions::default()), "NULL");
    assert_eq!(value("BIGINT", "null"), "NULL");
}

#[test]
fn names_are_compared_exactly_and_the_last_of_the_same_name_counts() {
    let v = |record: &str| decode_as(column("v", "BIGINT"), record, JsonOptions::default());
    assert_eq!(v(r#"{"v": "abc", "v": 2}"#), "|2|");
    assert_eq!(v(r#"{"v": 2, "v": null}"#), "NULL");
    assert_eq!(v(r#"{"V": 2}"#), "NULL");
    assert_eq!(v(r#"{"\u0076": 2}"#), "|2|");
    assert_eq!(v(r#"{"vv": 1, "": 3}"#), "NULL");
    let odd = |name: &str, record: &str| decode_as(column(name, "BIGINT"), record, JsonOptions::default());
    assert_eq!(odd("", r#"{"": 3}"#), "|3|");
    assert_eq!(odd("größe", r#"{"größe": 3}"#), "|3|");
    assert_eq!(odd("a\":1,\"b", r#"{"a":1,"b":2}"#), "NULL");
    assert_eq!(odd("a\"b", r#"{"a\"b":2}"#), "|2|");
}

#[test]
fn broken_records_are_refused_with_the_place() {
    let bytes = |record: &[u8]| {
        let mut decoder = JsonDecoder::new(&[column("v", "BIGINT")], JsonOptions::default()).unwrap();
        decoder.push(record).unwrap_err()
    };
    for (record, reason) in [
        (&b""[..], "the value is empty"),
        (b" \n", "the value is empty"),
        (b"[1]", "the value is JSON, but not an object: it begins with '['"),
        (b"null", "the value is JSON, but not an object: it begins with 'n'"),
        (b"12", "the value is JSON, but not an object: it begins with '1'"),
        (b"12 x", "broken JSON at byte 3: expected the end, found 'x'"),
        (b"nul", "broken JSON at byte 0: expected a value, found 'n'"),
        (b"{", "broken JSON at byte 1: expected a field's name, found the end"),
        (b"{\"v\":1", "broken JSON at byte 6: expected ',' or '}', found the end"),
        (b"{\"v\":1,}", "broken JSON at byte 7: expected a field's name, found '}'"),
        (b"{\"v\" 1}", "broken JSON at byte 5: expected ':', found '1'"),
        (b"{\"v\":[1 2]}", "broken JSON at byte 8: expected ',' or ']', found '2'"),
        (b"{\"v\":01}", "broken JSON at byte 6: a number must not begin with 0"),
        (b"{\"v\":1.}", "broken JSON at byte 7: expected a digit after '.', found '}'"),
        (b"{\"v\":1e}", "broken JSON at byte 7: expected a digit in the exponent, found '}'"),
        (b"{\"v\":-}", "broken JSON at byte 6: expected a digit, found '}'"),
        (b"{\"v\":+1}", "broken JSON at byte 5: expected a value, found '+'"),
        (b"{\"v\":1} {}", "broken JSON at byte 8: expected the end, found '{'"),
        (b"{\"v\":\"\x01\"}", "broken JSON at byte 6: a control character in text must be escaped"),
        (b"{\"v\":\"a", "broken JSON at byte 7: the text does not end"),
        (b"{\"v\":\"\\x\"}", "broken JSON at byte 6: unknown escape"),
        (b"{\"x\":\"\xff\"}", "broken UTF-8 at byte 6"),
        (b"\xef\xbb\xbf{}", "broken JSON at byte 0: expected a value, found '\\u{feff}'"),
    ] {
        assert_eq!(bytes(record), reason, "{}", String::from_utf8_lossy(record));
    }
    for lone in
        [r#"{"x":"\ud800"}"#, r#"{"x":"\udc00"}"#, r#"{"x":"\ud800\ud800"}"#, r#"{"x":"\u12G4"}"#, r#"{"x":"\ud800x"}"#]
    {
        assert!(bytes(lone.as_bytes()).starts_with("broken JSON at byte 6: not a character"), "{lone}");
    }
}

#[test]
fn nesting_ends_at_64_levels() {
    let nested = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    let push = |record: String| {
        JsonDecoder::new(&[column("v", "BIGINT")], JsonOptions::default()).unwrap().push(record.as_bytes())
    };
    assert_eq!(push(nested(64)), Ok(()));
    assert_eq!(push(nested(65)).unwrap_err(), "broken JSON at byte 68: nested deeper than 64 levels");
    assert!(push("[".repeat(1_000_000)).unwrap_err().contains("nested deeper"));
}

#[test]
fn a_refused_record_leaves_the_rows_before_it_alone() {
    let columns = [column("a", "STRING"), column("b", "BIGINT"), column("c", "BOOLEAN")];
    let mut decoder = JsonDecoder::new(&columns, JsonOptions::default()).unwrap();
    decoder.push(br#"{"a":"one","b":1,"c":true}"#).unwrap();
    decoder.push(br#"{"a":"two","b":"x","c":true}"#).unwrap_err();
    decoder.push(br#"{"a":"three","b":3,"c":"no"}"#).unwrap_err();
    decoder.push(br#"{"a":"four","b":4}"#).unwrap();
    assert_eq!((decoder.rows(), decoder.buffered_bytes()), (2, 44));
    let arrays = decoder.finish().unwrap();
    let shown: Vec<String> = (0..2).flat_map(|row| arrays.iter().map(move |array| show(array, row))).collect();
    assert_eq!(shown, ["|one|", "|1|", "|true|", "|four|", "|4|", "NULL"]);
    assert_eq!((decoder.rows(), decoder.buffered_bytes()), (0, 0));
    decoder.push(br#"{"a":"five"}"#).unwrap();
    assert_eq!(show(&decoder.finish().unwrap()[0], 0), "|five|");
}

#[test]
fn lenient_decoding_turns_what_does_not_convert_into_null() {
    let options = JsonOptions { ignore_parse_errors: true, ..Default::default() };
    let lenient = |column: TableColumn, record: &str| decode_as(column, record, options);
    assert_eq!(lenient(column("v", "BIGINT"), r#"{"v":"x"}"#), "NULL");
    assert_eq!(lenient(not_null(column("v", "BIGINT")), r#"{"v":"x"}"#), "v: expected BIGINT, found text 'x'");
    assert!(lenient(column("v", "BIGINT"), r#"{"v":"x""#).starts_with("broken JSON"));
}

#[test]
fn only_physical_columns_are_decoded_and_order_does_not_matter() {
    let mut offset = column("offset", "BIGINT");
    offset.kind = ColumnKind::Metadata("offset".into());
    let columns = [column("b", "BIGINT"), offset, column("a", "BIGINT")];
    let mut decoder = JsonDecoder::new(&columns, JsonOptions::default()).unwrap();
    for record in [
        r#"{"a":1,"b":2,"offset":9}"#,
        r#"{"b":2,"x":{},"a":1}"#,
        r#" { "x" : [ ] , "a" : 1 , "b" : 2 } "#,
        r#"{"a":1,"y":0,"b":2}"#,
    ] {
        decoder.push(record.as_bytes()).unwrap();
    }
    let arrays = decoder.finish().unwrap();
    assert_eq!(arrays.len(), 2);
    for row in 0..4 {
        assert_eq!((show(&arrays[0], row), show(&arrays[1], row)), ("|2|".into(), "|1|".into()));
    }
    let mut none = JsonDecoder::new(&[], JsonOptions::default()).unwrap();
    none.push(b"{}").unwrap();
    assert_eq!((none.rows(), none.finish().unwrap().len()), (1, 0));
}

#[test]
fn long_values_are_cut_in_messages() {
    let long = "ä".repeat(100);
    assert_eq!(
        value("BIGINT", &format!("\"{long}\"")),
        format!("v: expected BIGINT, found text '{}...'", "ä".repeat(40))
    );
}

#[test]
fn types_that_json_cannot_carry_are_refused_by_name() {
    let error = JsonDecoder::new(
        &[typed("v", DataType::Interval(arrow::datatypes::IntervalUnit::DayTime), "")],
        JsonOptions::default(),
    );
    assert!(error.unwrap_err().message().starts_with("column 'v': JSON cannot be read as"));
    let keys = DataType::Map(
        Arc::new(Field::new(
            "entries",
            DataType::Struct(
                vec![Field::new("key", DataType::Int64, false), Field::new("value", DataType::Int64, true)].into(),
            ),
            false,
        )),
        false,
    );
    let error = JsonDecoder::new(&[typed("m", keys, "MAP<BIGINT, BIGINT>")], JsonOptions::default()).unwrap_err();
    assert_eq!(error.message(), "column 'm': the keys of a MAP in JSON must be STRING");
}

#[test]
fn a_guessed_name_accepts_nothing_that_is_no_name() {
    let columns =
        [column("a\"b", "BIGINT"), column("a_name_of_more_than_sixteen_bytes", "BIGINT"), column("x", "BIGINT")];
    let mut decoder = JsonDecoder::new(&columns, JsonOptions::default()).unwrap();
    for broken in
        [&b"{\0:1}"[..], b"{\xff:1}", b"{\"a\"b\":1}", b"{\"x:1}", b"{\"x\"", b"{\"x\":", b"{\"a_name_of_more_t"]
    {
        decoder.push(broken).unwrap_err();
    }
    for _ in 0..2 {
        decoder.push(br#"{"a\"b":1,"a_name_of_more_than_sixteen_bytes":2,"x":3}"#).unwrap();
        decoder
            .push(
                br#"{"a\"b" : 1,"a_name_of_more_than_sixteen_BYTES":9,"x" :3, "a_name_of_more_than_sixteen_bytes" :2}"#,
            )
            .unwrap();
        decoder.push(br#"{"a_name_of_more_than_sixteen_bytes":2,"x":3,"xx":4,"a\u0022b":1}"#).unwrap();
    }
    let arrays = decoder.finish().unwrap();
    for row in 0..6 {
        let shown: Vec<String> = arrays.iter().map(|array| show(array, row)).collect();
        assert_eq!(shown, ["|1|", "|2|", "|3|"], "row {row}");
    }
}

#[test]
fn many_unknown_names_are_passed_over() {
    let mut decoder = JsonDecoder::new(&[column("v", "BIGINT")], JsonOptions::default()).unwrap();
    for round in 0..2_000 {
        decoder.push(format!(r#"{{"n{round}":1,"v":{round},"m{round}":{{"v":0}}}}"#).as_bytes()).unwrap();
    }
    let arrays = decoder.finish().unwrap();
    assert!((0..2_000).all(|row| show(&arrays[0], row) == format!("|{row}|")));
}
