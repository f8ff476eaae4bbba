//! What is refused: the position, the construct and what works instead. Statements begin in line 2, column 1.

use crate::testing::refused;

const WINDOW: &str = "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))";

/// Line and column, part of the message, part of the help.
fn check(statements: &str, at: &str, message: &str, help: &str) {
    let text = refused(statements);
    let (first, advice) = text.split_once("\n  help: ").unwrap_or((&text, ""));
    assert!(first.starts_with(&format!("job.sql:{at}: ")), "expected {at}, found: {text}\nin: {statements}");
    assert!(first.contains(message), "expected '{message}', found: {text}");
    assert!(advice.contains(help), "expected help '{help}', found: {text}");
}

fn select(query: &str, at: &str, message: &str, help: &str) {
    check(&format!("INSERT INTO texts {query};"), at, message, help);
}

#[test]
fn statements() {
    check("SELECT 1;", "2:1", "a SELECT that goes nowhere", "INSERT INTO");
    check("CREATE FUNCTION f AS 'c';", "2:8", "CREATE FUNCTION", "built-in");
    check("CREATE TEMPORARY SYSTEM FUNCTION f AS 'c';", "2:18", "CREATE SYSTEM", "built-in");
    check("CREATE CATALOG c WITH ('a' = 'b');", "2:8", "CREATE CATALOG", "CREATE TABLE");
    check("CREATE DATABASE d;", "2:8", "CREATE DATABASE", "one word");
    check("CREATE OR REPLACE VIEW v AS SELECT 1;", "2:8", "OR REPLACE", "once");
    check("USE CATALOG c;", "2:1", "USE", "one word");
    check("DROP TABLE t;", "2:1", "DROP", "leave the statement out");
    check("DELETE FROM t;", "2:1", "DELETE", "upserted");
    check("EXPLAIN SELECT 1;", "2:1", "EXPLAIN", "aqueduct explain");
    check("ADD JAR 'x';", "2:1", "ADD", "jars");
    check("HELLO WORLD;", "2:1", "not the beginning of a statement: HELLO WORLD", "CREATE TABLE");
    check("INSERT OVERWRITE texts SELECT label FROM t;", "2:8", "INSERT OVERWRITE", "INSERT INTO");
    check("INSERT INTO texts VALUES ('a');", "2:19", "VALUES", "datagen");
    check("INSERT INTO texts PARTITION (a = 1) SELECT label FROM t;", "2:19", "PARTITION", "PARTITIONED BY");
    check("SET a = b;", "2:1", "SET", "SET 'key' = 'value'");
    check("END;", "2:1", "END without", "BEGIN");
    check("EXECUTE STATEMENT SET BEGIN INSERT INTO texts SELECT label FROM t;", "2:1", "no END", "END;");
    check("BEGIN STATEMENT SET; CREATE VIEW v AS SELECT 1 FROM t; END;", "2:22", "INSERT statements only", "above");
    check("INSERT INTO texts SELECT label FROM t INSERT INTO texts SELECT label FROM t;", "2:46", "INTO begins", "';'");
    check("CREATE TABLE c AS SELECT 1;", "2:16", "AS SELECT", "INSERT INTO");
    check("CREATE TABLE c (a INT) LIKE t;", "2:24", "LIKE", "write the columns");
    check("SET 'a' = 'b';", "2:1", "no INSERT INTO", "INSERT INTO");
}

#[test]
fn shapes_of_queries() {
    select("SELECT a.label FROM t AS a JOIN t AS b ON a.id = b.id", "2:46", "joins", "GROUP BY");
    select("SELECT a.label FROM t AS a, gen", "2:47", "joins", "result tables");
    select("SELECT DISTINCT label FROM t", "2:26", "SELECT DISTINCT", "GROUP BY window_start");
    select("SELECT label FROM t UNION ALL SELECT label FROM t", "2:39", "UNION", "one INSERT INTO per query");
    select("SELECT label FROM t ORDER BY id", "2:39", "ORDER BY", "when you read");
    select("SELECT label FROM t LIMIT 5", "2:39", "LIMIT", "WHERE");
    select("SELECT label FROM t WHERE id IN (SELECT a FROM gen)", "2:45", "a subquery in an expression", "view");
    select("SELECT label FROM t WHERE EXISTS (SELECT a FROM gen)", "2:53", "a subquery", "view");
    select("SELECT label FROM t FOR SYSTEM_TIME AS OF ts", "2:39", "FOR SYSTEM_TIME", "join");
    select("SELECT label FROM t MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS TRUE)", "2:39", "MATCH_RECOGNIZE", "windows");
    select("SELECT label FROM LATERAL TABLE(f(1)) AS x", "2:45", "LATERAL", "TUMBLE");
    select("SELECT 1", "2:19", "without FROM", "tables");
    select("WITH RECURSIVE x AS (SELECT label FROM t) SELECT label FROM x", "2:24", "RECURSIVE", "views");
    select("SELECT label FROM t /*+ OPTIONS('a' = 'b') */", "2:39", "hints", "WITH");
    select("SELECT * EXCEPT (id) FROM t", "2:36", "expected SELECT", "");
    select("SELECT label FROM (VALUES ('a')) AS v(label)", "2:38", "VALUES", "datagen");
}

#[test]
fn aggregations() {
    let minute = "GROUP BY window_start, window_end";
    select("SELECT label FROM t GROUP BY label", "2:39", "GROUP BY without a window", "TUMBLE");
    select("SELECT COUNT(*) FROM t", "2:26", "an aggregate without a window", "TUMBLE");
    select(&format!("SELECT label FROM {WINDOW}"), "2:43", "a window function without GROUP BY", "add GROUP BY");
    select(
        &format!("SELECT label FROM {WINDOW} GROUP BY window_start, label"),
        "2:97",
        "must name window_start and window_end",
        "GROUP BY",
    );
    select(&format!("SELECT COUNT(DISTINCT id) FROM {WINDOW} {minute}"), "2:26", "COUNT(DISTINCT", "count the rows");
    select(&format!("SELECT SUM(COUNT(*)) FROM {WINDOW} {minute}"), "2:30", "inside of another aggregate", "once");
    select(
        "SELECT label FROM t GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), label",
        "2:48",
        "the old window syntax GROUP BY TUMBLE",
        "TABLE(TUMBLE(",
    );
    select(
        "SELECT label FROM t GROUP BY HOP(ts, INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)",
        "2:48",
        "GROUP BY HOP",
        "slide first",
    );
    select("SELECT TUMBLE_START(ts, INTERVAL '1' MINUTE) FROM t", "2:26", "TUMBLE_START", "window_start");
    select("SELECT label FROM TABLE(SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))", "2:43", "SESSION", "HOP");
    select("SELECT ROW_NUMBER() OVER (ORDER BY ts) FROM t", "2:26", "ROW_NUMBER", "MIN and MAX");
    select("SELECT SUM(id) OVER (PARTITION BY label) FROM t", "2:26", "OVER", "windows");
    select(&format!("SELECT LISTAGG(label) FROM {WINDOW} {minute}"), "2:26", "LISTAGG", "aggregates: COUNT");
    select("SELECT label FROM t WHERE COUNT(*) > 1", "2:45", "cannot stand in WHERE", "HAVING");
    select(&format!("SELECT label FROM {WINDOW} {minute}, ROLLUP(label)"), "2:139", "ROLLUP", "one insert");
    select(&format!("SELECT label FROM {WINDOW} {minute}, 1"), "2:132", "not positions", "name");
    select(&format!("SELECT SUM(label) FROM {WINDOW} {minute}"), "2:26", "SUM takes numbers, not STRING", "");
    select(
        &format!("SELECT label FROM {WINDOW} WHERE window_start > ts {minute}, label"),
        "2:97",
        "before GROUP BY",
        "HAVING",
    );
    select(
        &format!("SELECT label FROM {WINDOW} {minute}, DATE_FORMAT(window_start, 'yyyy'), label"),
        "2:97",
        "a key computed from window_start",
        "SELECT list",
    );
    let twice = format!(
        "CREATE VIEW v AS SELECT window_start, window_end, label AS k, COUNT(*) AS n FROM {WINDOW} {minute}, label;\n"
    );
    check(
        &format!("{twice}INSERT INTO texts SELECT MAX(k) FROM v GROUP BY window_start;"),
        "3:40",
        "an aggregation over an aggregation",
        "once per window",
    );
    check(
        &format!(
            "{twice}INSERT INTO texts SELECT k FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(window_start), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, k;"
        ),
        "3:39",
        "over the results of an aggregation",
        "second view",
    );
}

#[test]
fn windows() {
    let count = |window: &str| format!("SELECT label FROM {window} GROUP BY window_start, window_end, label");
    let with = |window: &str, at: &str, message: &str, help: &str| select(&count(window), at, message, help);
    with(
        "TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '5' MINUTE))",
        "2:43",
        "not a multiple of the slide",
        "multiple",
    );
    with(
        "TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '1' MINUTE))",
        "2:43",
        "not a multiple",
        "the slide comes first",
    );
    with(
        "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts)))",
        "2:43",
        "no size",
        "TUMBLE(TABLE t, DESCRIPTOR(ts), size [, offset])",
    );
    with("TABLE(TUMBLE(TABLE t, ts, INTERVAL '1' MINUTE))", "2:43", "DESCRIPTOR(column)", "DESCRIPTOR(ts)");
    with("TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MONTH))", "2:43", "no fixed length", "MINUTE");
    with("TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '0' MINUTE))", "2:43", "positive", "MINUTE");
    with(
        "TABLE(TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZ => INTERVAL '1' MINUTE))",
        "2:94",
        "no argument 'SIZ'",
        "'SIZE'",
    );
    with("TABLE(TUMBL(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))", "2:43", "no table function 'TUMBL'", "'TUMBLE'");
    with("TABLE(TUMBLE(TABLE t, DESCRIPTOR(plain), INTERVAL '1' MINUTE))", "2:59", "not the time column", "'ts'");
    with("TABLE(TUMBLE(TABLE t, DESCRIPTOR(tz), INTERVAL '1' MINUTE))", "2:70", "no column 'tz'", "'ts'");
    with("TABLE(TUMBLE(TABLE t PARTITION BY label, DESCRIPTOR(ts), INTERVAL '1' MINUTE))", "2:58", "PARTITION", "");
    select(
        "SELECT reason FROM TABLE(TUMBLE(TABLE aqueduct$dead_letters, DESCRIPTOR(`timestamp`), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, reason",
        "2:80",
        "needs a time column with a watermark",
        "WATERMARK FOR",
    );
}

#[test]
fn names() {
    select("SELECT lable FROM t", "2:26", "no column 'lable'", "did you mean 'label'?");
    select("SELECT person.nam FROM t", "2:33", "no field 'nam'", "CREATE TABLE");
    select("SELECT label FROM tt", "2:37", "no table or view 'tt'", "did you mean 't'?");
    select("SELECT label FROM db.t", "2:37", "catalogs", "one word");
    check("INSERT INTO text SELECT label FROM t;", "2:13", "no table: 'text'", "did you mean 'texts'?");
    check(
        "CREATE VIEW v AS SELECT label FROM t; INSERT INTO v SELECT label FROM t;",
        "2:51",
        "a view cannot be written",
        "tables",
    );
    check("INSERT INTO counts (w, kk) SELECT ts, label FROM t;", "2:24", "no column 'kk'", "columns: w, k, n");
    check("INSERT INTO counts (w, w) SELECT ts, ts FROM t;", "2:24", "stands twice", "keep one");
    select("SELECT UPER(label) FROM t", "2:26", "no function UPER", "UPPER");
    select("SELECT my_own_thing(label) FROM t", "2:26", "no function MY_OWN_THING", "user-defined");
    check("CREATE TABLE t (a INT) WITH ('connector' = 'print');", "2:14", "exists already", "another name");
    check(
        "CREATE TABLE aqueduct$late (a INT) WITH ('connector' = 'print');",
        "2:14",
        "a table of the engine",
        "another name",
    );
    check(
        "CREATE VIEW v AS SELECT id, label AS id FROM t; INSERT INTO texts SELECT 'a' FROM v;",
        "2:25",
        "'id' is ambiguous",
        "AS name",
    );
    check(
        "CREATE VIEW v (a) AS SELECT id, label FROM t; INSERT INTO texts SELECT a FROM v;",
        "2:13",
        "names 1 columns, its query has 2",
        "SELECT list",
    );
}

#[test]
fn roles() {
    select("SELECT v FROM texts", "2:33", "'texts' cannot be read", "kafka, datagen, filesystem");
    check(
        "INSERT INTO gen SELECT id FROM t;",
        "2:13",
        "'gen' cannot be written",
        "kafka, postgres, firestore, filesystem, print",
    );
}

#[test]
fn expressions() {
    select("SELECT label::BIGINT FROM t", "2:26", "this form of a cast", "CAST(x AS type)");
    select("SELECT CAST(label AS VARCHAR(3)) FROM t", "2:31", "a cast to VARCHAR(3)", "LEFT");
    select("SELECT CAST(ts AS TIMESTAMP(3) WITH TIME ZONE) FROM t", "2:31", "TIMESTAMP", "TIMESTAMP_LTZ");
    select("SELECT ARRAY[label] FROM t", "2:32", "constructor", "JSON_OBJECT");
    select("SELECT label FROM t WHERE label ILIKE 'a'", "2:45", "ILIKE", "LOWER");
    select("SELECT label FROM t WHERE label SIMILAR TO 'a'", "2:45", "SIMILAR TO", "REGEXP");
    select("SELECT \"label\" FROM t", "2:26", "\"label\" is neither a name nor a text", "backquotes");
    select("SELECT label FROM t WHERE ts > ts - INTERVAL 5 MINUTE", "2:64", "INTERVAL", "INTERVAL '5' SECOND");
    select("SELECT label FROM t WHERE ts > ts - INTERVAL '1:30' MINUTE TO SECOND", "2:64", "two units", "'90' SECOND");
    select("SELECT DATE_FORMAT(ts, 'Q') FROM t", "2:42", "the pattern 'Q'", "");
    select("SELECT UNIX_TIMESTAMP() FROM t", "2:26", "UNIX_TIMESTAMP()", "CURRENT_TIMESTAMP");
    select("SELECT RAND() FROM t", "2:26", "RAND", "derive");
    select("SELECT CURRENT_DATE FROM t", "2:26", "CURRENT_DATE", "CAST(CURRENT_TIMESTAMP AS DATE)");
    select("SELECT JSON_VALUE(label, '$.a') FROM t", "2:26", "JSON_VALUE", "columns");
    select("SELECT JSON_OBJECT('a', label) FROM t", "2:26", "form of arguments", "KEY 'k' VALUE v");
    select("SELECT label FROM t WHERE", "2:44", "expected", "");
    select("SELECT label + id FROM t", "2:26", "STRING + BIGINT", "");
    select("SELECT UPPER(label) FILTER (WHERE flag) FROM t", "2:26", "FILTER", "COUNT");
}

#[test]
fn wall_time() {
    select("SELECT label FROM t WHERE ts > CURRENT_TIMESTAMP", "2:50", "when they are computed", "outermost SELECT");
    select(
        &format!("SELECT MAX(NOW()) FROM {WINDOW} GROUP BY window_start, window_end"),
        "2:30",
        "when they are computed",
        "",
    );
    let view = "CREATE VIEW v AS SELECT ts, label, CURRENT_TIMESTAMP AS c FROM t;\n";
    check(
        &format!("{view}INSERT INTO texts SELECT label FROM v WHERE c > ts;"),
        "3:1",
        "reaches a condition",
        "outermost SELECT",
    );
    check(
        &format!(
            "{view}INSERT INTO times SELECT MAX(c) FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;"
        ),
        "3:1",
        "reaches an aggregate",
        "event time",
    );
    check("CREATE TABLE c (a BIGINT, p AS PROCTIME()) WITH ('connector' = 'kafka');", "2:32", "PROCTIME", "event time");
}
