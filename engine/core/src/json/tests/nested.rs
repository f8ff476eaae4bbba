//! ROW, ARRAY and MAP.

use super::*;

fn row() -> TableColumn {
    let inner = DataType::Struct(
        vec![Field::new("zip", DataType::Int32, false), Field::new("city", DataType::Utf8, true)].into(),
    );
    let fields = vec![Field::new("name", DataType::Utf8, true), Field::new("home", inner, true)];
    typed("person", DataType::Struct(fields.into()), "ROW<name STRING, home ROW<zip INT NOT NULL, city STRING>>")
}

fn list(item: DataType, nullable: bool) -> TableColumn {
    typed("tags", DataType::List(Arc::new(Field::new("item", item, nullable))), "ARRAY<...>")
}

fn plain(column: TableColumn, record: &str) -> String {
    decode_as(column, record, JsonOptions::default())
}

#[test]
fn rows_take_their_fields_by_name() {
    assert_eq!(
        plain(row(), r#"{"person":{"x":{"zip":"no"},"home":{"city":"a","zip":"7"},"name":"n"}}"#),
        r#"|{"name":"n","home":{"zip":7,"city":"a"}}|"#
    );
    assert_eq!(plain(row(), r#"{"person":{}}"#), r#"|{"name":null,"home":null}|"#);
    assert_eq!(plain(row(), r#"{"person":null}"#), "NULL");
    assert_eq!(plain(row(), r#"{"person":{"home":{}}}"#), "person.home.zip: missing, but the column is NOT NULL");
    assert_eq!(plain(row(), r#"{"person":{"home":{"zip":"x"}}}"#), "person.home.zip: expected INT, found text 'x'");
    assert_eq!(plain(row(), r#"{"person":[]}"#), format!("person: expected {}, found an array", row().sql_type));
    assert_eq!(plain(row(), r#"{"person":{"name":"a","name":"b"}}"#), r#"|{"name":"b","home":null}|"#);
}

#[test]
fn lists_take_their_items() {
    assert_eq!(plain(list(DataType::Int64, true), r#"{"tags":[ 1 , "2", null ]}"#), "|[1,2,null]|");
    assert_eq!(plain(list(DataType::Int64, true), r#"{"tags":[]}"#), "|[]|");
    assert_eq!(plain(list(DataType::Int64, true), r#"{"tags":[1,"x"]}"#), "tags[1]: expected BIGINT, found text 'x'");
    assert_eq!(plain(list(DataType::Int64, false), r#"{"tags":[null]}"#), "tags[0]: null, but the column is NOT NULL");
    let deep = list(DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), true);
    assert_eq!(plain(deep, r#"{"tags":[["a","b"],[],null,["\u0063"]]}"#), r#"|[["a","b"],[],null,["c"]]|"#);
    assert_eq!(
        plain(list(row().data_type, true), r#"{"tags":[{"home":{"zip":"x"}}]}"#),
        "tags[0].home.zip: expected INT, found text 'x'"
    );
}

#[test]
fn maps_keep_their_order_and_the_last_of_the_same_key() {
    let map = || typed("m", map_type(DataType::Int64), "MAP<STRING, BIGINT>");
    assert_eq!(plain(map(), r#"{"m":{"b":1,"\u0061":2,"b":3,"c":null}}"#), r#"|{"b":3,"a":2,"c":null}|"#);
    assert_eq!(plain(map(), r#"{"m":{}}"#), "|{}|");
    assert_eq!(plain(map(), r#"{"m":{"k":"x"}}"#), "m['k']: expected BIGINT, found text 'x'");
    assert_eq!(plain(map(), r#"{"m":1}"#), "m: expected MAP<STRING, BIGINT>, found number 1");
}

#[test]
fn a_refused_record_takes_back_half_built_nested_values() {
    let columns = [row(), list(DataType::Utf8, true), typed("m", map_type(DataType::Int64), ""), column("n", "BIGINT")];
    let mut decoder = JsonDecoder::new(&columns, JsonOptions::default()).unwrap();
    let good = r#"{"person":{"name":"a","home":{"zip":1}},"tags":["x","y"],"m":{"k":1},"n":1}"#;
    for round in 0..3 {
        decoder.push(good.as_bytes()).unwrap();
        for bad in [
            r#"{"person":{"name":"bad","home":{"zip":"z"}},"tags":["p"],"m":{"q":1},"n":1}"#,
            r#"{"person":{"name":"bad"},"tags":["p"],"m":{"q":1,"r":"x"},"n":1}"#,
            r#"{"person":{"name":"bad"},"tags":["p"],"m":{"q":1},"n":"x"}"#,
        ] {
            decoder.push(bad.as_bytes()).unwrap_err();
        }
        assert_eq!(decoder.rows(), round + 1);
    }
    decoder.push(b"{}").unwrap();
    let arrays = decoder.finish().unwrap();
    for row in 0..3 {
        let shown: Vec<String> = arrays.iter().map(|array| show(array, row)).collect();
        assert_eq!(shown, [r#"|{"name":"a","home":{"zip":1,"city":null}}|"#, r#"|["x","y"]|"#, r#"|{"k":1}|"#, "|1|"]);
    }
    assert!(arrays.iter().all(|array| array.len() == 4 && array.is_null(3)));
}

#[test]
fn lenient_decoding_makes_the_innermost_value_null() {
    let options = JsonOptions { ignore_parse_errors: true, ..Default::default() };
    let shown = decode_as(row(), r#"{"person":{"name":"a","home":{"zip":"x","city":"c"}}}"#, options);
    assert_eq!(shown, r#"|{"name":"a","home":null}|"#);
    assert_eq!(decode_as(list(DataType::Int64, true), r#"{"tags":[1,"x",3]}"#, options), "|[1,null,3]|");
}
