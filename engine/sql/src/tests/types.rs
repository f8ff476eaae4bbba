//! What fits into a column without a CAST, and what does not.

use crate::testing::{planned, refused};

fn fits(column: &str, expr: &str) -> String {
    let plan = planned(&format!(
        "CREATE TABLE target (v {column}) WITH ('connector' = 'print'); INSERT INTO target SELECT {expr} FROM t;"
    ));
    let stage = &plan.inserts[0].stage;
    let project = stage.project.as_ref().expect("a projection");
    let mut fields: Vec<_> = plan.queries[0].schema.fields().iter().cloned().collect();
    let time = arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some("UTC".into()));
    fields.push(std::sync::Arc::new(arrow::datatypes::Field::new(aqueduct_plan::SEALED_AT, time, false)));
    let input = arrow::datatypes::Schema::new(fields);
    assert_eq!(project[0].data_type(&input).unwrap(), *stage.schema.field(0).data_type(), "{column} from {expr}");
    stage.text[0].clone()
}

fn refuses(column: &str, expr: &str) -> String {
    refused(&format!(
        "CREATE TABLE target (v {column}) WITH ('connector' = 'print');\nINSERT INTO target SELECT {expr} FROM t;"
    ))
}

#[test]
fn wider_types_and_literals_fit() {
    for (column, expr) in [
        ("BIGINT", "small"),
        ("BIGINT", "CAST(small AS TINYINT)"),
        ("INT", "5"),
        ("TINYINT", "-128"),
        ("DOUBLE", "id"),
        ("DOUBLE", "CAST(price AS FLOAT)"),
        ("DOUBLE", "amount"),
        ("FLOAT", "1.5"),
        ("DECIMAL(20, 0)", "id"),
        ("DECIMAL(8, 1)", "amount"),
        ("DECIMAL(23, 3)", "0.908 * amount"),
        ("DECIMAL(10, 2)", "12"),
        ("TIMESTAMP(3)", "ts"),
        ("TIMESTAMP(9)", "plain"),
        ("TIMESTAMP_LTZ(6)", "plain"),
        ("TIMESTAMP_LTZ(3)", "CURRENT_TIMESTAMP"),
        ("TIMESTAMP(3)", "DATE '2026-01-01'"),
        ("VARCHAR(5)", "label"),
        ("CHAR(1)", "label"),
        ("STRING", "NULL"),
        ("BIGINT", "CAST(NULL AS INT)"),
        ("BOOLEAN", "flag AND id > 1"),
        ("ARRAY<STRING>", "tags"),
        ("MAP<STRING, STRING>", "more"),
        ("ROW<id BIGINT, name STRING, home ROW<city STRING>>", "person"),
        ("BYTES", "CAST(label AS BYTES)"),
        ("DATE", "CAST(ts AS DATE)"),
        ("TIME", "CAST(plain AS TIME)"),
    ] {
        fits(column, expr);
    }
    assert_eq!(fits("BIGINT", "small"), "v = CAST(small AS BIGINT)");
    assert_eq!(fits("INT", "5"), "v = 5");
}

#[test]
fn narrower_and_other_types_need_a_cast() {
    for (column, expr, help) in [
        ("INT", "id", "CAST(... AS INT)"),
        ("TINYINT", "300", "CAST(... AS TINYINT)"),
        ("STRING", "id", "CAST(... AS STRING)"),
        ("BIGINT", "label", "CAST(... AS BIGINT)"),
        ("BIGINT", "price", "CAST(... AS BIGINT)"),
        ("BIGINT", "amount", "declare the column DECIMAL(10, 2)"),
        ("FLOAT", "price", "FLOAT"),
        ("DECIMAL(10, 2)", "price", "DECIMAL"),
        ("DECIMAL(10, 2)", "id", "DECIMAL"),
        ("STRING", "ts", "STRING"),
        ("TIMESTAMP(3)", "label", "TIMESTAMP(3)"),
        ("DATE", "ts", "DATE"),
        ("STRING", "tags", "select a STRING"),
        ("BOOLEAN", "id", "BOOLEAN"),
    ] {
        let text = refuses(column, expr);
        assert!(text.starts_with("job.sql:3:27: the column 'v' of 'target' is "), "{text}");
        assert!(text.contains(help), "{text}");
    }
}

#[test]
fn counts_of_columns_must_agree() {
    let text = refused("INSERT INTO counts SELECT ts, label FROM t;");
    assert_eq!(text, "job.sql:2:13: 'counts' takes 3 values here, the query has 2\n  help: the columns are w, k, n");
    let text = refused(
        "CREATE TABLE target (a BIGINT NOT NULL, b BIGINT) WITH ('connector' = 'print');\nINSERT INTO target (b) SELECT id FROM t;",
    );
    assert!(text.starts_with("job.sql:3:13: the column 'a' of 'target' is NOT NULL and gets no value"), "{text}");
}
