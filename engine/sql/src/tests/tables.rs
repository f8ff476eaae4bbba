//! CREATE TABLE: columns, watermarks, keys, options.

use crate::testing::{Given, plan_with, planned, refused};
use crate::{Overrides, explain};
use aqueduct_core::{ColumnKind, TableColumn};
use aqueduct_plan::JobPlan;
use arrow::datatypes::{DataType, TimeUnit};
use std::collections::BTreeMap;
use std::time::Duration;

fn planned_alone(text: &str) -> JobPlan {
    match plan_with(text, &Given::default(), Overrides::default()) {
        Ok(plan) => plan,
        Err(error) => panic!("{error}"),
    }
}

const META: &str = "CREATE TABLE m (
    `value` STRING,
    part INT METADATA FROM 'partition' VIRTUAL,
    `offset` BIGINT METADATA,
    at TIMESTAMP(3) METADATA FROM 'timestamp' COMMENT 'produced',
    headers MAP<STRING, BYTES> METADATA,
    up AS UPPER(`value`),
    upper_twice AS up || up,
    ts AS CAST(at AS TIMESTAMP_LTZ(3)),
    WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) COMMENT 'a table' WITH ('connector' = 'kafka', 'topic' = 'm', 'scan.watermark.idle-timeout' = '10 s', 'scan.watermark.late-scope' = 'operator');
CREATE TABLE texts (v STRING) WITH ('connector' = 'print');
CREATE TABLE numbers (v BIGINT) WITH ('connector' = 'print');\n";

#[test]
fn computed_and_metadata_columns() {
    let plan = planned_alone(&format!(
        "{META}INSERT INTO texts SELECT upper_twice FROM m; INSERT INTO numbers SELECT `offset` + part FROM m;"
    ));
    assert_eq!(
        explain(&plan).split("\n\n").next().unwrap(),
        "source m (kafka)
│ reads     `value` STRING, part INT from metadata 'partition', `offset` BIGINT from metadata 'offset', `$metadata.timestamp` TIMESTAMP_LTZ(3) from metadata 'timestamp' (1 of 1 columns)
│ computes  upper_twice AS UPPER(`value`) || UPPER(`value`)
│ computes  ts AS CAST(CAST(`$metadata.timestamp` AS TIMESTAMP(3)) AS TIMESTAMP_LTZ(3))
│ time      ts with watermark ts - INTERVAL '1' SECOND
│           a split is idle after 10 s; rows are late by the shard's watermark"
            .replace("`value`", "value").replace("`offset`", "offset")
    );
    let source = &plan.sources[0];
    let column = |name: &str| source.spec.columns.iter().find(|column| column.name == name).expect("read");
    assert_eq!(column("$metadata.timestamp").kind, ColumnKind::Metadata("timestamp".into()));
    assert_eq!(column("$metadata.timestamp").data_type, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    assert_eq!(source.spec.options.get("scan.watermark.idle-timeout"), None);
    assert_eq!(source.spec.options.get("topic"), Some("m"));
    let event_time = source.event_time.as_ref().expect("event time");
    assert_eq!((event_time.idle_timeout, event_time.late_by_operator), (Some(Duration::from_secs(10)), true));
    let project = source.computed.project.as_ref().expect("computed");
    let input = TableColumn::schema(&source.spec.columns);
    for (expr, field) in project.iter().zip(source.computed.schema.fields()) {
        assert_eq!(expr.data_type(&input).unwrap(), *field.data_type(), "{}", field.name());
    }
    assert_eq!(
        event_time.watermark.data_type(&source.computed.schema).unwrap(),
        DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
    );
}

#[test]
fn keys_and_partitions_are_indexes() {
    let plan = planned(
        "CREATE TABLE target (a BIGINT, more AS a + 1, part INT METADATA FROM 'partition' VIRTUAL, b STRING NOT NULL, c STRING, CONSTRAINT pk PRIMARY KEY (c, a) NOT ENFORCED) PARTITIONED BY (b) WITH ('connector' = 'print');
         CREATE TABLE single (a BIGINT PRIMARY KEY NOT ENFORCED) WITH ('connector' = 'print');
         INSERT INTO target SELECT id, label, label FROM t; INSERT INTO single SELECT id FROM t;",
    );
    let spec = &plan.sinks[0].spec;
    assert_eq!((spec.primary_key.as_slice(), spec.partitioned_by.as_slice()), ([2, 0].as_slice(), [1].as_slice()));
    assert_eq!(
        spec.columns.iter().map(|column| (column.name.as_str(), column.nullable)).collect::<Vec<_>>(),
        [("a", true), ("b", false), ("c", true)]
    );
    assert_eq!(plan.sinks[1].spec.primary_key, [0]);
}

#[test]
fn every_type_has_an_arrow_type_and_a_name() {
    let types = "a STRING, b VARCHAR(20) NOT NULL, c CHAR, d BOOLEAN, e TINYINT, f SMALLINT, g INTEGER, h BIGINT, i FLOAT, j DOUBLE PRECISION, k DECIMAL(38, 18), l DEC, m NUMERIC(5), n DATE, o TIME, p TIMESTAMP, q TIMESTAMP(0) WITHOUT TIME ZONE, r TIMESTAMP(9), s TIMESTAMP_LTZ(3), u TIMESTAMP(3) WITH LOCAL TIME ZONE, v BYTES, w VARBINARY(9), x ARRAY<ROW<a INT NOT NULL, `b c` MAP<STRING, ARRAY<INT>>>>, y ROW(a INT 'comment', b STRING)";
    let plan = planned_alone(&format!(
        "CREATE TABLE s ({types}) WITH ('connector' = 'kafka'); CREATE TABLE o ({types}) WITH ('connector' = 'print'); INSERT INTO o SELECT * FROM s;"
    ));
    let names: Vec<&str> = plan.sinks[0].spec.columns.iter().map(|column| column.sql_type.as_str()).collect();
    assert_eq!(
        names,
        [
            "STRING",
            "VARCHAR(20)",
            "CHAR",
            "BOOLEAN",
            "TINYINT",
            "SMALLINT",
            "INT",
            "BIGINT",
            "FLOAT",
            "DOUBLE",
            "DECIMAL(38, 18)",
            "DECIMAL(10, 0)",
            "DECIMAL(5, 0)",
            "DATE",
            "TIME",
            "TIMESTAMP(6)",
            "TIMESTAMP(0)",
            "TIMESTAMP(9)",
            "TIMESTAMP_LTZ(3)",
            "TIMESTAMP_LTZ(3)",
            "BYTES",
            "VARBINARY(9)",
            "ARRAY<ROW<a INT NOT NULL, `b c` MAP<STRING, ARRAY<INT>>>>",
            "ROW<a INT, b STRING>",
        ]
    );
    let column = |index: usize| &plan.sinks[0].spec.columns[index];
    assert_eq!(column(16).data_type, DataType::Timestamp(TimeUnit::Millisecond, None));
    assert_eq!(column(15).data_type, DataType::Timestamp(TimeUnit::Microsecond, None));
    assert_eq!(column(17).data_type, DataType::Timestamp(TimeUnit::Nanosecond, None));
    assert_eq!(column(13).data_type, DataType::Date32);
    assert_eq!(column(14).data_type, DataType::Time32(TimeUnit::Millisecond));
    assert!(!column(1).nullable && column(0).nullable);
}

#[test]
fn idle_timeouts_come_from_the_table_or_the_job() {
    let idle = |set: &str, option: &str| {
        let plan = planned_alone(&format!(
            "CREATE TABLE s (ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'kafka'{option}); CREATE TABLE o (v TIMESTAMP(3)) WITH ('connector' = 'print'); {set} INSERT INTO o SELECT ts FROM s;"
        ));
        plan.sources[0].event_time.as_ref().expect("event time").idle_timeout
    };
    let set = "SET 'table.exec.source.idle-timeout' = '30 s';";
    assert_eq!(idle("", ""), None);
    assert_eq!(idle(set, ""), Some(Duration::from_secs(30)));
    assert_eq!(idle(set, ", 'scan.watermark.idle-timeout' = '1 min'"), Some(Duration::from_secs(60)));
    assert_eq!(idle(set, ", 'scan.watermark.idle-timeout' = '0 ms'"), None);
}

fn check(table: &str, at: &str, message: &str, help: &str) {
    let text = refused(table);
    assert!(
        text.starts_with(&format!("job.sql:{at}: ")) && text.contains(message) && text.contains(help),
        "{at} {message} {help}\n{text}"
    );
}

#[test]
fn options_are_checked() {
    check("CREATE TABLE x (a INT);", "2:14", "no connector", "kafka, datagen, postgres");
    check(
        "CREATE TABLE x (a INT) WITH ('connector' = 'kafak');",
        "2:44",
        "no connector 'kafak'",
        "did you mean 'kafka'?",
    );
    check(
        "CREATE TABLE x (a INT) WITH ('connector' = 'kafka', 'topik' = 'a');",
        "2:53",
        "no option 'topik'",
        "did you mean 'topic'?",
    );
    check(
        "CREATE TABLE x (a INT) WITH ('connector' = 'kafka', 'propertis.ssl' = 'a');",
        "2:53",
        "no option 'propertis.ssl'",
        "properties.",
    );
    check(
        "CREATE TABLE x (a INT) WITH ('connector' = 'kafka', 'topic' = 'a', 'topic' = 'b');",
        "2:68",
        "given twice",
        "keep one",
    );
    check(
        "CREATE TABLE x (a INT) WITH ('connector' = 'kafka', 'format' = 'avro');",
        "2:64",
        "the format 'avro' is not supported yet",
        "json",
    );
    check(
        "CREATE TABLE x (a INT) WITH ('connector' = 'kafka', 'scan.watermark.idle-timeout' = 'soon');",
        "2:85",
        "not a duration",
        "'30 s'",
    );
    check(
        "CREATE TABLE x (a INT) WITH ('connector' = 'kafka', 'scan.watermark.late-scope' = 'x');",
        "2:83",
        "does not exist",
        "'split'",
    );
    check("CREATE TABLE x (a INT) WITH ('connector' = kafka);", "2:44", "single quotes", "");
}

#[test]
fn columns_are_checked() {
    let table = |columns: &str| format!("CREATE TABLE x ({columns}) WITH ('connector' = 'kafka');");
    check(&table("a INT, a BIGINT"), "2:24", "declared twice", "line 2, column 17");
    check(&table("a STRNG"), "2:19", "unknown type STRNG", "STRING");
    check(&table("a MULTISET<INT>"), "2:19", "MULTISET", "ARRAY");
    check(&table("a DECIMAL(50, 2)"), "2:19", "DECIMAL(50, 2)", "1 to 38");
    check(&table("a TIMESTAMP(3) WITH TIME ZONE"), "2:19", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_LTZ(3)");
    check(&table("a INT METADATA FROM 'partitoin'"), "2:37", "no metadata 'partitoin'", "did you mean 'partition'?");
    check(&table("a ROW<b INT> METADATA FROM 'offset'"), "2:17", "cannot become ROW", "BIGINT");
    check(&table("a INT, b AS c + 1"), "2:29", "no column 'c'", "columns: a");
    check(&table("a INT, b AS COUNT(a)"), "2:29", "cannot stand in a computed column", "SELECT list");
    check(&table("a INT, PRIMARY KEY (a)"), "2:39", "NOT ENFORCED", "PRIMARY KEY (...) NOT ENFORCED");
    check(&table("a INT, PRIMARY KEY (b) NOT ENFORCED"), "2:37", "no physical column 'b'", "columns: a");
    check(&table("a INT, UNIQUE (a)"), "2:24", "UNIQUE", "PRIMARY KEY");
    check("CREATE TABLE db.x (a INT) WITH ('connector' = 'kafka');", "2:14", "catalogs", "one word");
    check("CREATE TABLE x (a INT) DISTRIBUTED BY (a) WITH ('connector' = 'kafka');", "2:24", "DISTRIBUTED", "leave");
}

#[test]
fn watermarks_are_checked() {
    let table = |columns: &str| format!("CREATE TABLE x ({columns}) WITH ('connector' = 'kafka');");
    check(&table("a BIGINT, WATERMARK FOR a AS a"), "2:41", "is BIGINT, not a TIMESTAMP", "TO_TIMESTAMP_LTZ");
    check(&table("a TIMESTAMP, WATERMARK FOR a AS a"), "2:44", "TIMESTAMP(6)", "TIMESTAMP(3)");
    check(&table("a TIMESTAMP(3), WATERMARK FOR b AS a"), "2:47", "no column 'b'", "columns: a");
    check(&table("a TIMESTAMP(3), WATERMARK FOR a AS 1"), "2:33", "not a TIMESTAMP", "INTERVAL '5' SECOND");
    check(&table("a TIMESTAMP(3), WATERMARK FOR a AS a, WATERMARK FOR a AS a"), "2:55", "one watermark", "keep one");
    check(&table("a ROW<t TIMESTAMP(3)>, WATERMARK FOR a.t AS a.t"), "2:55", "nested", "computed column");
}

#[test]
fn metadata_cannot_be_written() {
    check(
        "CREATE TABLE x (a BIGINT, o BIGINT METADATA FROM 'offset') WITH ('connector' = 'kafka'); INSERT INTO x SELECT id, id FROM t;",
        "2:102",
        "writing the metadata column 'o'",
        "VIRTUAL",
    );
}

#[test]
fn options_can_be_replaced_as_a_whole() {
    let text = "CREATE TABLE s (a BIGINT) WITH ('connector' = 'kafka', 'topic' = '${TOPIC}');
                CREATE TABLE o (a BIGINT) WITH ('connector' = 'print'); INSERT INTO o SELECT a FROM s;";
    let replace = |options: &[(&str, &str)]| Overrides {
        replace: BTreeMap::from([(
            "s".to_string(),
            options.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect(),
        )]),
        ..Overrides::default()
    };
    let plan =
        plan_with(text, &Given::default(), replace(&[("connector", "datagen"), ("number-of-rows", "5")])).unwrap();
    assert_eq!(
        (plan.sources[0].connector.as_str(), plan.sources[0].spec.options.get("number-of-rows")),
        ("datagen", Some("5"))
    );
    let error = plan_with(text, &Given::default(), replace(&[("connector", "datagen"), ("number-of-row", "5")]))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("job.sql:1:14: table 's' (its options are replaced by job.toml)"), "{error}");
    assert!(error.contains("number-of-rows"), "{error}");
}
