//! Statements and shapes of queries that are supported.

use super::expressions::rows_of;
use crate::explain;
use crate::testing::{Given, plan_with, planned};
use crate::{Overrides, PlanRequest, plan};
use aqueduct_plan::{QueryInput, SystemTable};
use std::collections::BTreeMap;

#[test]
fn a_stateless_query_filters_first_and_keeps_only_what_is_used() {
    let plan = planned(
        "CREATE VIEW big AS SELECT id, label, UPPER(label) AS loud, price FROM t WHERE price > 1;
         INSERT INTO texts SELECT loud FROM big WHERE id < 10;",
    );
    assert_eq!(
        explain(&plan).split("\n\n").nth(1).unwrap(),
        "query big [15771c186eb1deb29ab70ef7055bed9b]
│ from      t
│ filter    price > CAST(1 AS DOUBLE)
│ filter    id < 10
│ stage     keep label
└─▶ texts (print)
      v = UPPER(label)
"
    );
    let batch = rows_of(&plan);
    assert_eq!((batch.num_rows(), batch.num_columns()), (1, 1));
}

#[test]
fn inserts_with_different_columns_share_a_stateless_query() {
    let plan = planned(
        "CREATE VIEW v AS SELECT * FROM t WHERE flag;
         INSERT INTO texts SELECT label FROM v;
         INSERT INTO numbers SELECT id FROM v;
         INSERT INTO numbers SELECT id FROM t;",
    );
    assert_eq!(plan.queries.len(), 2);
    let names = |index: usize| plan.queries[index].schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    assert_eq!((names(0), names(1)), (vec!["id".to_string(), "label".into()], vec!["id".to_string()]));
    assert_eq!(plan.inserts.iter().map(|insert| insert.query).collect::<Vec<_>>(), [0, 0, 1]);
}

#[test]
fn with_queries_subqueries_and_views_with_columns() {
    let plan = planned(
        "CREATE TEMPORARY VIEW IF NOT EXISTS v (a COMMENT 'one', b) COMMENT 'view' AS WITH x AS (SELECT id, label FROM t) SELECT id + 1, label FROM x;
         CREATE VIEW IF NOT EXISTS v AS SELECT 1 AS one FROM t;
         INSERT INTO numbers SELECT q.a FROM (SELECT a, b FROM v WHERE b <> '') AS q;",
    );
    assert_eq!(plan.inserts[0].stage.text, ["v = id + 1"]);
    assert_eq!(plan.queries[0].stages[0].text, ["filter label <> ''", "keep id"]);
}

#[test]
fn insert_takes_a_list_of_columns_and_fills_the_others_with_null() {
    let plan = planned("INSERT INTO counts (n, w) SELECT id, ts FROM t;");
    assert_eq!(plan.inserts[0].stage.text, ["w = ts", "k = NULL", "n = id"]);
    let plan = planned("INSERT INTO counts SELECT *, 5 FROM (SELECT ts, label FROM t);");
    assert_eq!(plan.inserts[0].stage.text, ["w = ts", "k = label", "n = 5"]);
}

#[test]
fn statement_sets_in_both_spellings_and_comments() {
    for set in ["EXECUTE STATEMENT SET BEGIN", "BEGIN STATEMENT SET;"] {
        let plan = planned(&format!(
            "-- ${{NOT_A_VARIABLE}} in a comment; ignored\n{set} INSERT INTO texts SELECT label FROM t; /* ; ${{X}} ' */ INSERT INTO numbers SELECT id FROM t; END;"
        ));
        assert_eq!(plan.inserts.len(), 2);
    }
}

#[test]
fn settings_are_set_reset_and_overridden() {
    let text = format!(
        "{}SET 'a' = '1'; SET 'b' = 'it''s'; SET 'c' = '3'; RESET 'c'; INSERT INTO texts SELECT label FROM t;",
        crate::testing::TABLES
    );
    let connectors = crate::testing::connectors();
    let request = PlanRequest {
        file: "job.sql",
        text: &text,
        connectors: &connectors,
        variables: &Given::default(),
        overrides: Overrides::default(),
        settings: BTreeMap::from([("a".to_string(), "2".to_string())]),
        job: "test",
    };
    let settings = plan(&request).unwrap().settings;
    assert_eq!(settings, BTreeMap::from([("a".into(), "2".into()), ("b".into(), "it's".into())]));
}

#[test]
fn system_tables_can_be_selected_from() {
    let plan = planned(
        "INSERT INTO texts SELECT reason FROM `aqueduct$dead_letters` WHERE topic = 'a';
         INSERT INTO numbers SELECT rows_late FROM aqueduct$ledger;
         INSERT INTO texts SELECT `row` FROM `aqueduct$late`;",
    );
    let inputs: Vec<_> = plan.queries.iter().map(|query| query.input).collect();
    let system = |table| QueryInput::System(table);
    assert_eq!(inputs, [system(SystemTable::DeadLetters), system(SystemTable::Ledger), system(SystemTable::Late)]);
    assert!(plan.sources.is_empty());
    assert_eq!(plan.queries[0].stages[0].text, ["filter topic = 'a'", "keep reason"]);
}

#[test]
fn wall_time_reaches_an_insert_through_views() {
    let plan = planned(
        "CREATE VIEW v AS SELECT label, CURRENT_TIMESTAMP AS processed_at FROM t;
         CREATE VIEW w AS SELECT label, processed_at, processed_at AS again FROM v;
         INSERT INTO times SELECT again FROM w;
         INSERT INTO texts SELECT DATE_FORMAT(processed_at, 'yyyy') FROM w;",
    );
    assert_eq!(plan.inserts[0].stage.text, ["v = CURRENT_TIMESTAMP"]);
    assert_eq!(plan.inserts[1].stage.text, ["v = DATE_FORMAT(CAST(CURRENT_TIMESTAMP AS TIMESTAMP_LTZ(9)), 'yyyy')"]);
}

#[test]
fn names_keep_their_case_and_may_be_quoted() {
    let plan = plan_with(
        "create table `my table` (`Select` bigint, Mixed string) with ('connector' = 'kafka');
         create table `out` (`a b` BIGINT, m STRING) with ('connector' = 'print');
         insert into `out` select `Select`, `my table`.Mixed from `my table`",
        &Given::default(),
        Overrides::default(),
    )
    .unwrap();
    assert_eq!(plan.inserts[0].stage.text, ["`a b` = Select", "m = Mixed"]);
}

#[test]
fn only_referenced_columns_are_read() {
    let plan = planned("INSERT INTO texts SELECT person.name FROM t WHERE flag;");
    let names =
        |columns: &[aqueduct_core::TableColumn]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&plan.sources[0].spec.columns), ["flag", "ts", "person"]);
    assert_eq!(plan.sources[0].spec.declared.len(), 11);
    let plan = planned("INSERT INTO numbers SELECT 1 FROM t;");
    assert_eq!(names(&plan.sources[0].spec.columns), ["ts"]);
}

#[test]
fn a_value_may_go_into_several_columns() {
    let plan = planned(
        "INSERT INTO counts SELECT ts, label, id FROM t; CREATE TABLE two (a BIGINT, b BIGINT, c BIGINT) WITH ('connector' = 'print'); INSERT INTO two SELECT id, t.id, id AS id FROM t; INSERT INTO two SELECT *, id FROM (SELECT id, id + 1 AS more FROM t); INSERT INTO two SELECT 1, 1, 1 FROM t;",
    );
    assert_eq!(plan.inserts[1].stage.text, ["a = id", "b = id", "c = id"]);
    assert_eq!(plan.inserts[2].stage.text, ["a = id", "b = id + 1", "c = id"]);
}
