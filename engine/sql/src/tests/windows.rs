//! Windows, keys and aggregates: what the plan holds.

use crate::explain;
use crate::testing::planned;
use aqueduct_plan::{AggregateFunction, JobPlan, WindowKind};
use arrow::datatypes::DataType;

const MINUTE: i64 = 60_000;

fn counts(window: &str) -> JobPlan {
    planned(&format!(
        "INSERT INTO counts SELECT window_start, label, COUNT(*) FROM {window} GROUP BY window_start, window_end, label;"
    ))
}

fn kind(window: &str) -> WindowKind {
    counts(window).queries[0].window.as_ref().expect("a window").kind
}

#[test]
fn every_spelling_of_a_window() {
    let tumble = WindowKind::Tumble { size: MINUTE, offset: 0 };
    for text in [
        "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
        "TABLE(TUMBLE(TABLE t, DESCRIPTOR(`ts`), INTERVAL '60' SECONDS)) AS w",
        "TABLE(TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' MINUTES))",
        "TUMBLE(SIZE => INTERVAL '1' MINUTE, DATA => TABLE t, TIMECOL => DESCRIPTOR(ts))",
        "TABLE(TUMBLE((SELECT * FROM t), DESCRIPTOR(ts), INTERVAL '60000' MILLISECOND))",
    ] {
        assert_eq!(kind(text), tumble, "{text}");
    }
    let offset = 10_000;
    assert_eq!(
        kind("TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '10' SECOND))"),
        WindowKind::Tumble { size: MINUTE, offset }
    );
    assert_eq!(
        kind("TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE))"),
        WindowKind::Hop { slide: MINUTE, size: 5 * MINUTE, offset: 0 }
    );
    assert_eq!(
        kind(
            "TABLE(HOP(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '5' MINUTE, SLIDE => INTERVAL '1' MINUTE, OFFSET => -INTERVAL '10' SECOND))"
        ),
        WindowKind::Hop { slide: MINUTE, size: 5 * MINUTE, offset: -offset }
    );
    assert_eq!(
        kind("CUMULATE(TABLE t, DESCRIPTOR(ts), STEP => INTERVAL '1' HOUR, SIZE => INTERVAL '1' DAY)"),
        WindowKind::Cumulate { step: 60 * MINUTE, size: 1_440 * MINUTE, offset: 0 }
    );
}

#[test]
fn aggregates_have_the_types_of_flink() {
    let plan = planned(
        "CREATE TABLE wide (a BIGINT, b BIGINT, c DECIMAL(38, 2), d DECIMAL(38, 6), e INT, f BIGINT, g INT, h DOUBLE, i STRING, j TIMESTAMP_LTZ(3), k BIGINT, l BIGINT) WITH ('connector' = 'print');
         INSERT INTO wide SELECT COUNT(*), SUM(small), SUM(amount), AVG(amount), AVG(small), AVG(id), MIN(small), AVG(price), MAX(label), MAX(ts), COUNT(label), COUNT(person)
         FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;",
    );
    let window = plan.queries[0].window.as_ref().expect("a window");
    let found: Vec<_> =
        window.aggregates.iter().map(|a| (a.function, a.input_type.clone(), a.output_type.clone())).collect();
    use AggregateFunction::{Avg, Count, Max, Min, Sum};
    use DataType::{Decimal128, Float64, Int64, Utf8};
    let time = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some("UTC".into()));
    assert_eq!(
        found,
        [
            (Count, Int64, Int64),
            (Sum, Int64, Int64),
            (Sum, Decimal128(10, 2), Decimal128(38, 2)),
            (Avg, Decimal128(10, 2), Decimal128(38, 6)),
            (Avg, Int64, Int64),
            (Avg, Int64, Int64),
            (Min, Int64, Int64),
            (Avg, Float64, Float64),
            (Max, Utf8, Utf8),
            (Max, time.clone(), time),
            (Count, Utf8, Int64),
            (Count, Int64, Int64),
        ]
    );
    assert!(window.aggregates[0].argument.is_none() && window.aggregates[10].argument.is_some());
    // A row has no accumulator: whether it is there becomes a condition.
    assert!(window.aggregates[11].argument.is_none() && window.aggregates[11].filter.is_some());
    let input = &plan.sources[0].computed.schema;
    for aggregate in &window.aggregates {
        if let Some(argument) = &aggregate.argument {
            assert_eq!(argument.data_type(input).unwrap(), aggregate.input_type, "{}", aggregate.text);
        }
    }
}

#[test]
fn filters_having_and_arithmetic_over_aggregates() {
    let plan = planned(
        "CREATE VIEW v AS SELECT window_start, window_end, window_time, UPPER(label) AS k, COUNT(*) FILTER (WHERE flag) AS yes, SUM(id) * 1.0 / COUNT(*) AS mean, SUM(id) AS total
         FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE id > 0 GROUP BY window_start, window_end, window_time, UPPER(label) HAVING COUNT(*) > 1;
         INSERT INTO counts SELECT window_time, k || '!', yes + total FROM v WHERE total > 10;
         INSERT INTO doubles SELECT mean FROM v;",
    );
    assert_eq!(
        explain(&plan),
        "source t (kafka)
│ reads     id BIGINT, label STRING, flag BOOLEAN, ts TIMESTAMP_LTZ(3) (4 of 11 columns)
│ time      ts with watermark ts - INTERVAL '5' SECOND
│           a split is never idle; rows are late by the split's own watermark

query v [45edc611ff5fe94c1aab35eb6e85f79a]
│ from      t
│ filter    id > 0
│ window    TUMBLE of 1 min
│ key       k = UPPER(label) (STRING)
│ aggregate yes = COUNT(*) FILTER (WHERE flag) (BIGINT)
│ aggregate total = SUM(id) (BIGINT)
│ aggregate `COUNT(*)` = COUNT(*) (BIGINT)
├─▶ counts (print)
│     filter `COUNT(*)` > 1
│     filter total > 10
│     w = window_time
│     k = k || '!'
│     n = yes + total
└─▶ doubles (print)
      filter `COUNT(*)` > 1
      v = CAST((CAST(total AS DECIMAL(20, 0)) * 1.0) / CAST(`COUNT(*)` AS DECIMAL(20, 0)) AS DOUBLE)
"
    );
}

#[test]
fn keys_alone_are_the_distinct_rows_of_a_window() {
    let plan = planned(
        "INSERT INTO texts SELECT label FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, label;",
    );
    let window = plan.queries[0].window.as_ref().expect("a window");
    assert_eq!((window.keys.len(), window.aggregates.len()), (1, 0));
    assert_eq!(window.schema.fields().len(), 4);
}

#[test]
fn a_view_of_several_inserts_is_one_query() {
    let plan = planned(
        "CREATE VIEW v AS SELECT window_start AS w, label AS k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, label;
         CREATE VIEW renamed AS SELECT w AS start_of, n AS many, k FROM v;
         INSERT INTO counts SELECT * FROM v;
         INSERT INTO counts SELECT start_of, LOWER(k), many FROM renamed WHERE many > 5;
         INSERT INTO counts SELECT window_start, label, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, label;
         INSERT INTO counts SELECT window_start, label, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end, label;",
    );
    assert_eq!(plan.queries.iter().map(|query| query.name.as_str()).collect::<Vec<_>>(), ["v", "counts"]);
    assert_eq!(
        plan.inserts.iter().map(|insert| (insert.sink, insert.query)).collect::<Vec<_>>(),
        [(0, 0), (0, 0), (0, 0), (0, 1)]
    );
    assert_eq!((plan.sources.len(), plan.sinks.len()), (1, 1));
}

#[test]
fn the_identity_survives_renaming_and_new_columns_but_not_a_new_meaning() {
    let id = |statements: &str| planned(statements).queries[0].id.clone();
    let one = "SELECT window_start AS a, label AS b, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, label";
    let first = id(&format!("INSERT INTO counts {one};"));
    let view = id(&format!("CREATE VIEW other AS {one}; INSERT INTO texts SELECT b FROM other WHERE c > 1;"));
    let named = id(&format!(
        "INSERT INTO counts {};",
        one.replace("DESCRIPTOR(ts)", "TIMECOL => DESCRIPTOR(ts)")
            .replace("TABLE t", "DATA => TABLE t")
            .replace("INTERVAL '1'", "SIZE => INTERVAL '1'")
    ));
    assert_eq!((&first, &first), (&view, &named));
    for changed in [
        one.replace("'1' MINUTE", "'2' MINUTE"),
        one.replace("COUNT(*)", "COUNT(label)"),
        one.replace(", label", ", UPPER(label)").replace("label AS b", "UPPER(label) AS b"),
        one.replace(" GROUP", " WHERE id > 1 GROUP"),
    ] {
        assert_ne!(first, id(&format!("INSERT INTO counts {changed};")), "{changed}");
    }
}

#[test]
fn an_expression_that_is_used_twice_is_computed_once() {
    let plan = planned(
        "CREATE VIEW parsed AS SELECT ts, SPLIT_INDEX(label, '-', 0) AS part, id FROM t;
         INSERT INTO counts SELECT window_start, part, COUNT(part) FROM TABLE(TUMBLE(TABLE parsed, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE id > 1 GROUP BY window_start, window_end, part;",
    );
    let query = &plan.queries[0];
    assert_eq!(query.stages.len(), 1);
    assert_eq!(query.stages[0].text, ["filter id > 1", "`$stage0_0` = SPLIT_INDEX(label, '-', 0)", "`$stage0_1` = ts"]);
    assert_eq!(query.window.as_ref().expect("a window").time_column, 1);
    // Used once, it stays where it is used.
    let plan = planned(
        "CREATE VIEW parsed AS SELECT ts, SPLIT_INDEX(label, '-', 0) AS part FROM t;
         INSERT INTO counts SELECT window_start, part, COUNT(*) FROM TABLE(TUMBLE(TABLE parsed, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, part;",
    );
    assert!(plan.queries[0].stages.is_empty());
}

#[test]
fn windows_over_views_keep_the_time_column() {
    let plan = planned(
        "CREATE VIEW renamed AS SELECT ts AS at, label AS k FROM (SELECT * FROM t WHERE flag);
         CREATE VIEW again AS SELECT at AS moment, UPPER(k) AS k FROM renamed;
         INSERT INTO counts SELECT window_start, k, COUNT(*) FROM TABLE(TUMBLE(TABLE again, DESCRIPTOR(moment), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, k;",
    );
    let query = &plan.queries[0];
    let source = &plan.sources[0];
    let window = query.window.as_ref().expect("a window");
    assert_eq!(source.computed.schema.field(window.time_column).name(), "ts");
    assert_eq!(query.stages[0].text, ["filter flag"]);
    assert_eq!(window.key_text, ["UPPER(label)"]);
}

#[test]
fn a_window_may_be_grouped_further_up() {
    for statements in [
        "INSERT INTO counts SELECT window_start, k, COUNT(*) FROM (SELECT *, UPPER(label) AS k FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE flag) GROUP BY window_start, window_end, k;",
        "CREATE VIEW w AS SELECT window_start AS a, window_end AS b, UPPER(label) AS k FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE flag; INSERT INTO counts SELECT a, k, COUNT(*) FROM w GROUP BY a, b, k;",
    ] {
        let plan = planned(statements);
        let query = &plan.queries[0];
        assert_eq!(query.window.as_ref().expect("a window").key_text, ["UPPER(label)"]);
        assert_eq!(query.stages[0].text, ["filter flag"]);
        assert_eq!(plan.inserts[0].stage.text[0], "w = window_start");
    }
}

#[test]
fn aggregates_see_case_and_nested_fields() {
    let plan = planned(
        "INSERT INTO counts SELECT window_end, w.person.home.city, SUM(CASE WHEN flag THEN 1 ELSE 0 END) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '2' MINUTE)) AS w GROUP BY window_start, window_end, w.person.home.city HAVING COUNT(*) > 1 AND MAX(id) IS NOT NULL;",
    );
    let window = plan.queries[0].window.as_ref().expect("a window");
    assert_eq!(window.key_text, ["person.home.city"]);
    let texts: Vec<&str> = window.aggregates.iter().map(|aggregate| aggregate.text.as_str()).collect();
    assert_eq!(texts, ["SUM(CASE WHEN flag THEN 1 ELSE 0 END)", "COUNT(*)", "MAX(id)"]);
}
