//! Starting the binary, and a small job that needs no service.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How the binary ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Nothing from the developer's shell may reach the job.
    command.env_remove("RUST_LOG").env("TMPDIR", folder);
    command
}

pub(crate) fn finish(child: Child) -> Done {
    let output = child.wait_with_output().expect("the binary can be waited for");
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[allow(dead_code)] // Each test binary uses its own part of this file.
pub(crate) fn aqueduct(arguments: &[&str]) -> Done {
    finish(command(&std::env::temp_dir(), arguments).spawn().expect("the binary starts"))
}

/// A job in a temporary folder, in its subfolder `counts`.
pub(crate) struct Job {
    folder: tempfile::TempDir,
}

const SQL: &str = "CREATE TABLE events (
  `timestamp` STRING, size_label STRING, size_bytes BIGINT,
  ts AS TO_TIMESTAMP_LTZ(`timestamp`),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'datagen', DATAGEN);
CREATE TABLE counts_local (window_start TIMESTAMP_LTZ(3), label STRING, events BIGINT, bytes BIGINT,
  PRIMARY KEY (window_start, label) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'path' = 'results', 'format' = 'json');
INSERT INTO counts_local
SELECT window_start, size_label, COUNT(*), SUM(size_bytes)
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, size_label;
";

#[allow(dead_code)]
impl Job {
    /// Counts generated rows by minute and label into a folder.
    pub(crate) fn counts(toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("counts")).expect("a folder");
        let job = Self { folder };
        std::fs::write(
            job.sql(),
            SQL.replace(
                "DATAGEN",
                "'number-of-rows' = '20000', 'late-fraction' = '0.01', 'malformed-fraction' = '0.01'",
            ),
        )
        .expect("job.sql");
        if !toml.is_empty() {
            std::fs::write(job.path().join("counts/job.toml"), toml).expect("job.toml");
        }
        job
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn sql(&self) -> PathBuf {
        self.path().join("counts/job.sql")
    }

    /// Replaces a part of the SQL.
    #[must_use]
    pub(crate) fn edit(self, from: &str, to: &str) -> Self {
        let text = std::fs::read_to_string(self.sql()).expect("job.sql");
        assert!(text.contains(from), "{from} is not in the job");
        std::fs::write(self.sql(), text.replace(from, to)).expect("job.sql");
        self
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        command(self.path(), arguments).spawn().expect("the binary starts")
    }

    pub(crate) fn aqueduct(&self, arguments: &[&str]) -> Done {
        finish(self.start(arguments))
    }
}
