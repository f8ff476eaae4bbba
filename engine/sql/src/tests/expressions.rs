//! Every function and operator, planned and evaluated on one row.

use crate::testing::planned;
use aqueduct_plan::{JobPlan, Stage};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, MapBuilder,
    RecordBatch, RecordBatchOptions, StringArray, StringBuilder, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;

/// 2026-03-14T15:09:26.535Z, a Saturday.
pub(super) const AT: i64 = 1_773_500_966_535;

fn column(name: &str) -> ArrayRef {
    match name {
        "id" => Arc::new(Int64Array::from(vec![7])),
        "label" => Arc::new(StringArray::from(vec!["a-b-c"])),
        "amount" => Arc::new(Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 2).unwrap()),
        "price" => Arc::new(Float64Array::from(vec![2.5])),
        "flag" => Arc::new(BooleanArray::from(vec![true])),
        "small" => Arc::new(Int32Array::from(vec![None])),
        "ts" => Arc::new(TimestampMillisecondArray::from(vec![AT]).with_timezone("UTC")),
        "plain" => Arc::new(TimestampMillisecondArray::from(vec![AT])),
        "person" => person(),
        "tags" => {
            let values = StringArray::from(vec!["x", "y"]);
            let field = Arc::new(Field::new("item", DataType::Utf8, true));
            Arc::new(ListArray::new(field, arrow::buffer::OffsetBuffer::from_lengths([2]), Arc::new(values), None))
        }
        "more" => more(),
        other => panic!("no column {other}"),
    }
}

fn person() -> ArrayRef {
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let home = StructArray::from(vec![(Arc::new(Field::new("city", DataType::Utf8, true)), text("Ulm"))]);
    let fields = vec![
        (Arc::new(Field::new("id", DataType::Int64, true)), Arc::new(Int64Array::from(vec![42])) as ArrayRef),
        (Arc::new(Field::new("name", DataType::Utf8, true)), text("Ann")),
        (Arc::new(Field::new("home", home.data_type().clone(), true)), Arc::new(home) as ArrayRef),
    ];
    Arc::new(StructArray::from(fields))
}

fn more() -> ArrayRef {
    let names = arrow::array::MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("v");
    map.append(true).unwrap();
    Arc::new(map.finish())
}

fn run(stage: &Stage, batch: &RecordBatch) -> RecordBatch {
    let mut batch = batch.clone();
    if let Some(filter) = &stage.filter {
        let mask = filter.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap();
        batch = arrow::compute::filter_record_batch(&batch, mask.as_any().downcast_ref().unwrap()).unwrap();
    }
    let Some(project) = &stage.project else { return batch };
    let rows = batch.num_rows();
    let arrays = project.iter().map(|expr| expr.evaluate(&batch).unwrap().into_array(rows).unwrap()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(&stage.schema), arrays, &options).unwrap()
}

/// The rows that a stateless job writes for the one row above.
pub(super) fn rows_of(plan: &JobPlan) -> RecordBatch {
    let source = &plan.sources[0];
    let columns = source.spec.columns.iter().map(|spec| column(&spec.name)).collect();
    let schema = aqueduct_core::TableColumn::schema(&source.spec.columns);
    let mut batch = run(&source.computed, &RecordBatch::try_new(schema, columns).unwrap());
    for stage in &plan.queries[0].stages {
        batch = run(stage, &batch);
    }
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    let sealed = TimestampMillisecondArray::from(vec![0; batch.num_rows()]).with_timezone("UTC");
    fields.push(Arc::new(Field::new(aqueduct_plan::SEALED_AT, sealed.data_type().clone(), false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(sealed));
    run(&plan.inserts[0].stage, &RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap())
}

fn shown(array: &dyn Array, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    ArrayFormatter::try_new(array, &options).unwrap().value(row).to_string()
}

/// The value of `expr`, as text, in a column of `table`.
fn value(table: &str, expr: &str) -> String {
    let batch = rows_of(&planned(&format!("INSERT INTO {table} SELECT {expr} FROM t;")));
    assert_eq!(batch.num_rows(), 1, "{expr}");
    shown(batch.column(0), 0)
}

fn check(table: &str, cases: &[(&str, &str)]) {
    for (expr, expected) in cases {
        assert_eq!(value(table, expr), *expected, "{expr}");
    }
}

#[test]
fn texts() {
    check(
        "texts",
        &[
            ("UPPER(label)", "A-B-C"),
            ("LOWER('ÄB')", "äb"),
            ("label || '!' || label", "a-b-c!a-b-c"),
            ("CONCAT(label, '/', 'x')", "a-b-c/x"),
            ("CONCAT(label, CAST(NULL AS STRING))", "NULL"),
            ("CONCAT_WS(',', 'a', CAST(NULL AS STRING), 'b')", "a,b"),
            ("TRIM('  x ')", "x"),
            ("TRIM(BOTH '-' FROM '--x-')", "x"),
            ("TRIM(LEADING '-' FROM '--x-')", "x-"),
            ("LTRIM(' x')", "x"),
            ("RTRIM('x ')", "x"),
            ("SUBSTRING(label, 3)", "b-c"),
            ("SUBSTRING(label FROM 1 FOR 3)", "a-b"),
            ("SUBSTR(label, 1, 1)", "a"),
            ("REPLACE(label, '-', '+')", "a+b+c"),
            ("REGEXP_REPLACE(label, '[a-c]', 'z')", "z-z-z"),
            ("REGEXP_EXTRACT('https://h/x=12&y=3', 'x=([0-9]+)', 1)", "12"),
            ("REGEXP_EXTRACT('ab', '(a)(z)?b', 2)", "NULL"),
            ("REGEXP_EXTRACT('ab', 'a.')", "ab"),
            ("REGEXP_EXTRACT('ab', 'q')", "NULL"),
            ("SPLIT_INDEX(label, '-', 1)", "b"),
            ("SPLIT_INDEX(label, '-', 3)", "NULL"),
            ("SPLIT_INDEX(label, '-', -1)", "NULL"),
            ("LEFT(label, 1)", "a"),
            ("RIGHT(label, 1)", "c"),
            ("LPAD('1', 3, '0')", "001"),
            ("RPAD('1', 3, '0')", "100"),
            ("REVERSE('abc')", "cba"),
            ("REPEAT('ab', 2)", "abab"),
            ("INITCAP('hello you')", "Hello You"),
            ("OVERLAY('abcd' PLACING 'XX' FROM 2 FOR 2)", "aXXd"),
            ("CAST(id AS STRING)", "7"),
            ("CAST(ts AS STRING)", "2026-03-14T15:09:26.535Z"),
            ("CAST(plain AS STRING)", "2026-03-14T15:09:26.535"),
            ("CAST(FLOOR(ts TO SECOND) AS STRING)", "2026-03-14T15:09:26Z"),
            ("IFNULL(CAST(NULL AS STRING), label)", "a-b-c"),
            ("COALESCE(CAST(NULL AS STRING), 'x')", "x"),
            ("NULLIF(label, 'a-b-c')", "NULL"),
            ("IF(id > 5, 'big', 'small')", "big"),
            ("CASE WHEN id < 5 THEN 'small' WHEN id < 10 THEN 'middle' ELSE 'big' END", "middle"),
            ("CASE id WHEN 7 THEN 'seven' END", "seven"),
            ("person.name", "Ann"),
            ("person.home.city", "Ulm"),
            ("t.person.home.city", "Ulm"),
            ("tags[2]", "y"),
            ("tags[3]", "NULL"),
            ("more['k']", "v"),
            ("more['none']", "NULL"),
        ],
    );
}

#[test]
fn numbers() {
    check(
        "numbers",
        &[
            ("id + 1", "8"),
            ("id - 1", "6"),
            ("id * 2", "14"),
            ("id / 2", "3"),
            ("MOD(id, 4)", "3"),
            ("id % 4", "3"),
            ("-id", "-7"),
            ("ABS(-id)", "7"),
            ("CHAR_LENGTH(label)", "5"),
            ("CHARACTER_LENGTH('äö')", "2"),
            ("POSITION('b' IN label)", "3"),
            ("LOCATE('b', label)", "3"),
            ("INSTR(label, 'b')", "3"),
            ("ASCII('a')", "97"),
            ("person.id", "42"),
            ("small", "NULL"),
            ("COALESCE(small, 3)", "3"),
            ("CAST('12' AS BIGINT)", "12"),
            ("TRY_CAST('x' AS BIGINT)", "NULL"),
            ("YEAR(ts)", "2026"),
            ("QUARTER(ts)", "1"),
            ("MONTH(ts)", "3"),
            ("DAYOFMONTH(ts)", "14"),
            ("DAYOFWEEK(ts)", "7"),
            ("DAYOFYEAR(ts)", "73"),
            ("HOUR(plain)", "15"),
            ("MINUTE(ts)", "9"),
            ("SECOND(ts)", "26"),
            ("EXTRACT(HOUR FROM ts)", "15"),
            ("EXTRACT(DAY FROM ts)", "14"),
            ("EXTRACT(EPOCH FROM ts)", "1773500966"),
            ("UNIX_TIMESTAMP('1970-01-01 00:01:00')", "60"),
            ("UNIX_TIMESTAMP('01.02.1970', 'dd.MM.yyyy')", "2678400"),
            ("CAST(ROUND(price) AS BIGINT)", "3"),
        ],
    );
}

#[test]
fn doubles() {
    check(
        "doubles",
        &[
            ("price * 2", "5.0"),
            ("price + amount", "15.0"),
            ("amount", "12.5"),
            ("0.5 * id", "3.5"),
            ("FLOOR(price)", "2.0"),
            ("CEIL(price)", "3.0"),
            ("CEILING(price)", "3.0"),
            ("ROUND(price, 1)", "2.5"),
            ("TRUNCATE(price, 0)", "2.0"),
            ("POWER(2, 3)", "8.0"),
            ("SQRT(16.0E0)", "4.0"),
            ("EXP(0E0)", "1.0"),
            ("LN(1E0)", "0.0"),
            ("SIGN(-price)", "-1.0"),
            ("id", "7.0"),
        ],
    );
}

#[test]
fn times() {
    check(
        "times",
        &[
            ("ts", "2026-03-14T15:09:26.535Z"),
            ("plain", "2026-03-14T15:09:26.535Z"),
            ("ts + INTERVAL '1' DAY", "2026-03-15T15:09:26.535Z"),
            ("ts - INTERVAL '10' MINUTES", "2026-03-14T14:59:26.535Z"),
            ("ts + INTERVAL '1' MONTH", "2026-04-14T15:09:26.535Z"),
            ("ts - INTERVAL '0.250' SECOND", "2026-03-14T15:09:26.285Z"),
            ("FLOOR(ts TO HOUR)", "2026-03-14T15:00:00Z"),
            ("FLOOR(ts TO DAY)", "2026-03-14T00:00:00Z"),
            ("TO_TIMESTAMP('2026-01-01 00:00:00')", "2026-01-01T00:00:00Z"),
            ("TO_TIMESTAMP('2026-01-01T00:00:00.25+01:00')", "2025-12-31T23:00:00.250Z"),
            ("TO_TIMESTAMP('nonsense')", "NULL"),
            ("TO_TIMESTAMP('14/03/2026 15h', 'dd/MM/yyyy HH''h''')", "2026-03-14T15:00:00Z"),
            ("TO_TIMESTAMP_LTZ(1000, 3)", "1970-01-01T00:00:01Z"),
            ("TO_TIMESTAMP_LTZ(1000)", "1970-01-01T00:00:01Z"),
            ("TO_TIMESTAMP_LTZ(id, 0)", "1970-01-01T00:00:07Z"),
            ("TO_TIMESTAMP_LTZ(9223372036854775807, 0)", "NULL"),
            ("TO_TIMESTAMP_LTZ('2026-01-01T00:00:00Z')", "2026-01-01T00:00:00Z"),
            ("TIMESTAMP '2026-01-01 00:00:00'", "2026-01-01T00:00:00Z"),
            ("CAST('2026-01-01T00:00:00Z' AS TIMESTAMP_LTZ(3))", "2026-01-01T00:00:00Z"),
            ("CAST(plain AS TIMESTAMP(3) WITH LOCAL TIME ZONE)", "2026-03-14T15:09:26.535Z"),
            ("CURRENT_TIMESTAMP", "1970-01-01T00:00:00Z"),
            ("NOW()", "1970-01-01T00:00:00Z"),
            ("PROCTIME()", "1970-01-01T00:00:00Z"),
            ("CURRENT_ROW_TIMESTAMP()", "1970-01-01T00:00:00Z"),
            ("DATE '2026-01-01'", "2026-01-01T00:00:00Z"),
        ],
    );
    check(
        "texts",
        &[
            ("DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm:ss.SSS')", "2026-03-14 15:09:26.535"),
            ("DATE_FORMAT(plain, 'EEE d MMM yy hh:mm a')", "Sat 14 Mar 26 03:09 PM"),
            ("DATE_FORMAT('2026-01-02 03:04:05', 'yyyyMMdd''T''HHmm')", "20260102T0304"),
            ("FROM_UNIXTIME(0)", "1970-01-01 00:00:00"),
            ("FROM_UNIXTIME(id, 'ss')", "07"),
            ("CAST(TO_DATE('2026-01-02') AS STRING)", "2026-01-02"),
        ],
    );
}

#[test]
fn conditions() {
    for condition in [
        "label LIKE 'a-%'",
        "label NOT LIKE '%z%'",
        "id IN (1, 7)",
        "id NOT IN (1, 2)",
        "id BETWEEN 7 AND 8",
        "NOT (id = 8)",
        "small IS NULL",
        "label IS NOT NULL",
        "flag",
        "flag IS TRUE",
        "id <> 8 AND (id = 8 OR price >= 2.5)",
        "ts > TIMESTAMP '2026-01-01 00:00:00'",
        "plain < ts + INTERVAL '1' SECOND",
        "small IS DISTINCT FROM 1",
        "amount = 12.50",
        "REGEXP(label, '^a')",
        "STARTS_WITH(label, 'a')",
        "person.id = 42",
    ] {
        let batch = rows_of(&planned(&format!("INSERT INTO numbers SELECT id FROM t WHERE {condition};")));
        assert_eq!(batch.num_rows(), 1, "{condition}");
        let batch = rows_of(&planned(&format!("INSERT INTO numbers SELECT id FROM t WHERE NOT ({condition});")));
        assert_eq!(batch.num_rows(), 0, "{condition}");
    }
}

#[test]
fn json_objects() {
    check(
        "texts",
        &[
            (
                "JSON_OBJECT(KEY 'id' VALUE id, KEY 'at' VALUE ts, KEY 'label' VALUE label, KEY 'none' VALUE small)",
                r#"{"id":7,"at":"2026-03-14T15:09:26.535Z","label":"a-b-c","none":null}"#,
            ),
            ("JSON_OBJECT('id' VALUE id, 'none' VALUE small ABSENT ON NULL)", r#"{"id":7}"#),
            ("JSON_OBJECT(KEY 'in' VALUE JSON_OBJECT(KEY 'f' VALUE flag))", r#"{"in":{"f":true}}"#),
            ("JSON_OBJECT(KEY 'text' VALUE '{\"a\":1}' NULL ON NULL)", r#"{"text":"{\"a\":1}"}"#),
            ("JSON_OBJECT()", "{}"),
        ],
    );
}

#[test]
fn physical_types_are_plain() {
    let plan = planned("INSERT INTO texts SELECT CONCAT(UPPER(label), SUBSTRING(label, 1)) FROM t;");
    let batch = rows_of(&plan);
    assert_eq!(batch.column(0).data_type(), &DataType::Utf8);
    let numbers = planned("INSERT INTO numbers SELECT small FROM t;");
    assert_eq!(rows_of(&numbers).column(0).data_type(), &DataType::Int64);
}

#[test]
fn intervals_of_a_fixed_length_are_added_as_durations() {
    let planned = |expr: &str| {
        let plan = planned(&format!("INSERT INTO times SELECT {expr} FROM t;"));
        format!("{:?}", plan.inserts[0].stage.project)
    };
    for fixed in ["ts - INTERVAL '5' SECOND", "ts + INTERVAL '1' DAY"] {
        let planned = planned(fixed);
        assert!(planned.contains("DurationMillisecond"), "{fixed}: {planned}");
    }
    let planned = planned("ts + INTERVAL '1' MONTH");
    assert!(planned.contains("Interval") && !planned.contains("Duration"), "{planned}");
}
