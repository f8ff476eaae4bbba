//! Variables and secrets in the text, and what they must not reach.

use crate::testing::{Given, plan_with};
use crate::{Overrides, explain};
use std::collections::BTreeSet;

const OUT: &str = "CREATE TABLE o (v STRING) WITH ('connector' = 'print');\n";

#[test]
fn variables_stand_anywhere_and_positions_are_those_of_the_text() {
    let variables = Given::values([("COLUMNS", "a STRING,\n b BIGINT"), ("QUOTE", "it's"), ("NAME", "s")]);
    let text = format!(
        "{OUT}CREATE TABLE ${{NAME}} (${{COLUMNS}}) WITH ('connector' = '${{KIND:-kafka}}', 'topic' = '${{QUOTE}}');\nINSERT INTO o SELECT a FROM `${{NAME}}` WHERE b > ${{LEAST:-5}};"
    );
    let plan = plan_with(&text, &variables, Overrides::default()).unwrap();
    assert_eq!(plan.sources[0].spec.options.get("topic"), Some("it's"));
    assert_eq!(plan.queries[0].stages[0].text[0], "filter b > 5");
    let wrong = text.replace("SELECT a", "SELECT c");
    let error = plan_with(&wrong, &variables, Overrides::default()).unwrap_err().to_string();
    assert!(error.starts_with("job.sql:3:22: there is no column 'c'"), "{error}");
    let wrong = text.replace("'topic'", "'topik'");
    let error = plan_with(&wrong, &variables, Overrides::default()).unwrap_err().to_string();
    assert!(error.starts_with("job.sql:2:73: "), "{error}");
}

#[test]
fn all_variables_without_a_value_are_told_at_once() {
    let text = format!(
        "{OUT}CREATE TABLE s (a STRING) WITH (\n'connector' = 'kafka',\n'topic' = '${{TOPIC}}',\n'properties.x' = 'a${{X}}b');\nINSERT INTO o SELECT a FROM s WHERE a = '${{Y}}';\nINSERT INTO o SELECT ${{Z}} FROM s;"
    );
    let error = plan_with(&text, &Given::default(), Overrides::default()).unwrap_err();
    let told: Vec<String> = error
        .problems()
        .iter()
        .map(|problem| format!("{}:{} {}", problem.at.line, problem.at.column, problem.message))
        .collect();
    assert_eq!(
        told,
        [
            "4:12 the variable TOPIC has no value",
            "5:20 the variable X has no value",
            "6:42 the variable Y has no value",
            "7:22 the variable Z has no value",
        ]
    );
    assert!(error.to_string().contains("--set TOPIC=VALUE"), "{error}");
    assert_eq!(aqueduct_core::Error::from(error).kind(), aqueduct_core::ErrorKind::FixConfig);
}

#[test]
fn variables_of_skipped_tables_need_no_value() {
    let text = format!(
        "{OUT}CREATE TABLE s (a STRING) WITH ('connector' = 'kafka');
         CREATE TABLE far (${{COLUMN}} STRING) WITH ('connector' = 'postgres', 'url' = '${{URL}}', 'password' = '${{file:/none}}', 'unknown' = 'x');
         INSERT INTO far SELECT ${{EXPR}} FROM s; INSERT INTO o SELECT a FROM s;"
    );
    let overrides = Overrides { skip: BTreeSet::from(["far".to_string()]), ..Overrides::default() };
    let plan = plan_with(&text, &Given::default(), overrides).unwrap();
    assert_eq!(plan.sinks.iter().map(|sink| sink.spec.table.as_str()).collect::<Vec<_>>(), ["o"]);
}

#[test]
fn empty_options_count_as_absent() {
    let text = format!(
        "{OUT}CREATE TABLE s (a STRING) WITH ('connector' = 'kafka', 'topic' = '${{T:-}}', 'properties.ssl.ca' = '${{C}}'); INSERT INTO o SELECT a FROM s;"
    );
    let plan = plan_with(&text, &Given::values([("C", "")]), Overrides::default()).unwrap();
    assert_eq!(plan.sources[0].spec.options.below("properties.").count(), 0);
}

#[test]
fn secrets_reach_options_only() {
    let secret = "s3cr3t'word";
    let given =
        Given::values([("PASSWORD", "${file:/run/pw}"), ("DIR", "/run")]).file("/run/pw", &format!("{secret}\n"));
    let table = "CREATE TABLE s (a STRING) WITH ('connector' = 'kafka', 'topic' = 't'); CREATE TABLE p (v STRING) WITH ('connector' = 'postgres', 'url' = '${file:${DIR}/pw}', 'password' = '${PASSWORD}');";
    let plan = plan_with(&format!("{table} INSERT INTO p SELECT a FROM s;"), &given, Overrides::default()).unwrap();
    assert_eq!(plan.sinks[0].spec.options.get("password"), Some(secret));
    assert_eq!(plan.sinks[0].spec.options.get("url"), Some(secret));
    assert!(!explain(&plan).contains("s3cr3t") && !format!("{plan:?}").contains("s3cr3t"));
    for (text, at) in [
        (format!("{table} INSERT INTO p SELECT '${{PASSWORD}}' FROM s;"), "stands outside of WITH"),
        (format!("{table} SET 'a' = '${{file:/run/pw}}'; INSERT INTO p SELECT a FROM s;"), "stands outside of WITH"),
        (format!("{table} INSERT INTO p SELECT ${{file:/run/pw}} FROM s;"), "outside a text literal"),
        ("CREATE TABLE s (a STRING) WITH ('connector' = '${PASSWORD}');".to_string(), "there is no connector"),
        (format!("{table} INSERT INTO p SELECT a FROM s WHERE a = '${{file:/none}}';"), "stands outside of WITH"),
        (
            "CREATE TABLE s (a STRING) WITH ('connector' = 'kafka', 'topic' = '${file:/none}');".to_string(),
            "'/none' cannot be read",
        ),
        ("CREATE TABLE s (a STRING) WITH ('connector' = 'kafka', '${PASSWORD}' = 'x');".to_string(), "no option"),
    ] {
        let error = plan_with(&text, &given, Overrides::default()).unwrap_err().to_string();
        assert!(error.contains(at) && !error.contains("s3cr3t"), "{error}");
    }
}

#[test]
fn secrets_of_managers_stay_references() {
    let given = Given::values([("PASSWORD", "${secret:gcp:projects/p/secrets/s}"), ("NAME", "kafka")]);
    let table = "CREATE TABLE s (a STRING) WITH ('connector' = 'kafka', 'topic' = 't', 'properties.sasl.password' = '${secret:aws:${NAME}#password}');
        CREATE TABLE p (v STRING) WITH ('connector' = 'postgres', 'url' = 'u', 'password' = '${PASSWORD}');";
    let plan = plan_with(&format!("{table} INSERT INTO p SELECT a FROM s;"), &given, Overrides::default()).unwrap();
    let source = &plan.sources[0].spec.options;
    assert_eq!(source.get("properties.sasl.password"), Some("${secret:aws:kafka#password}"));
    assert_eq!(plan.sinks[0].spec.options.get("password"), Some("${secret:gcp:projects/p/secrets/s}"));
    for outside in
        ["SET 'a' = '${secret:aws:x}'; INSERT INTO p SELECT a FROM s;", "INSERT INTO p SELECT '${PASSWORD}' FROM s;"]
    {
        let error = plan_with(&format!("{table} {outside}"), &given, Overrides::default()).unwrap_err().to_string();
        assert!(error.contains("stands outside of WITH"), "{error}");
    }
}

#[test]
fn what_is_not_a_variable_is_refused() {
    for (text, message) in
        [("INSERT INTO ${", "not closed"), ("SELECT ${1A}", "not a variable"), ("SELECT '${A B}'", "not a variable")]
    {
        let error = plan_with(text, &Given::default(), Overrides::default()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
