//! Tests of questions over result files, written by hand as another engine would.

use super::*;
use aqueduct_core::ErrorKind;

const SQL: &str = "
CREATE TABLE events (ts TIMESTAMP_LTZ(3), label STRING, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
  WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE Results (window_start TIMESTAMP_LTZ(3), label STRING, n BIGINT)
  WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '${FOLDER}', 'sink.partition-time-column' = 'none');
CREATE TABLE screen (window_start TIMESTAMP_LTZ(3), label STRING, n BIGINT) WITH ('connector' = 'print');
CREATE VIEW minutes AS SELECT window_start, label, COUNT(*) AS n FROM TABLE(
  TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, label;
INSERT INTO Results SELECT window_start, label, n FROM minutes;
INSERT INTO screen SELECT window_start, label, n FROM minutes;
";

struct Asked {
    folder: tempfile::TempDir,
}

impl Asked {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("counts.sql"), SQL).unwrap();
        std::fs::create_dir(folder.path().join("results")).unwrap();
        let rows = "{\"window_start\":\"2026-01-01T00:00:00Z\",\"label\":\"a\",\"n\":3}\n\
                    {\"window_start\":\"2026-01-01T00:01:00Z\",\"label\":\"b\",\"n\":4}\n";
        std::fs::write(folder.path().join("results/rows.json"), rows).unwrap();
        Self { folder }
    }

    async fn ask(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let set = ("FOLDER".to_owned(), self.folder.path().join("results").display().to_string());
        let checkpoints = self.folder.path().join("checkpoints").display().to_string();
        let values = ValueArgs { variables: vec![set], checkpoint_dir: Some(checkpoints), ..ValueArgs::default() };
        ask(&self.folder.path().join("counts.sql"), &values, sql).await
    }

    async fn csv(&self, sql: &str) -> String {
        table_out::text(&self.ask(sql).await.unwrap(), crate::cli::QueryFormat::Csv).unwrap()
    }
}

#[tokio::test]
async fn results_answer_questions() {
    let asked = Asked::new();
    assert_eq!(asked.csv("SELECT sum(n) AS n, count(*) AS c FROM Results").await, "n,c\n7,2\n");
    let rows = asked.csv("SELECT window_start, label FROM results WHERE n > 3").await;
    assert_eq!(rows, "window_start,label\n2026-01-01T00:01:00Z,b\n");
    assert_eq!(asked.csv("SELECT label FROM Results WHERE n > 100").await, "label\n");
}

#[tokio::test]
async fn tables_of_the_quarantine_can_be_asked_too() {
    assert_eq!(Asked::new().csv("SELECT count(*) AS n FROM aqueduct_quarantine_late").await, "n\n0\n");
}

#[tokio::test]
async fn questions_that_cannot_be_answered_say_why() {
    let asked = Asked::new();
    let unknown = asked.ask("SELECT * FROM nothing").await.unwrap_err();
    assert!(unknown.message().contains("writes no table 'nothing'; it has: Results"), "{unknown}");
    let elsewhere = asked.ask("SELECT * FROM screen").await.unwrap_err();
    assert!(elsewhere.message().contains("goes to print"), "{elsewhere}");
    for sql in ["SELEC 1", "SELECT missing FROM Results", "CREATE TABLE t AS SELECT 1", "DROP TABLE Results"] {
        assert_eq!(asked.ask(sql).await.unwrap_err().kind(), ErrorKind::FixConfig, "{sql}");
    }
}

#[test]
fn a_job_may_stand_before_the_question() {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (job, sql) = job_and_sql(&words(&["jobs/payments", "SELECT 1"])).unwrap();
    assert_eq!((job, sql.as_str()), (PathBuf::from("jobs/payments"), "SELECT 1"));
    assert!(job_and_sql(&words(&["src"])).unwrap_err().message().contains("write the question after it"));
}
