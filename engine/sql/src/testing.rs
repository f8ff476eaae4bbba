//! Connectors that only say what they accept, variables from a map, and short ways to plan, for the tests of this
//! crate.

use crate::{Overrides, PlanRequest, SqlError, Variables, plan};
use aqueduct_core::{Connector, Error, MetadataKey, OptionDef, Result, Roles, Sink, SinkSpec, Source, SourceSpec};
use aqueduct_plan::JobPlan;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A connector in name only.
#[derive(Debug)]
pub(crate) struct Fake {
    name: &'static str,
    roles: Roles,
    options: &'static [OptionDef],
}

const KAFKA: &[OptionDef] = &[
    OptionDef::new("topic", "topic"),
    OptionDef::prefix("properties.", "client"),
    OptionDef::new("format", "format"),
    OptionDef::new("scan.startup.mode", "where to begin"),
    OptionDef::new("sink.delivery-guarantee", "guarantee"),
];
const STORE: &[OptionDef] = &[
    OptionDef::new("url", "address"),
    OptionDef::new("username", "user"),
    OptionDef::new("password", "password"),
    OptionDef::new("sslmode", "mode"),
    OptionDef::new("ssl-root-cert", "CA"),
    OptionDef::new("table-name", "table"),
    OptionDef::new("sink.create-table", "create"),
];
const FIRESTORE: &[OptionDef] = &[
    OptionDef::new("project-id", "project"),
    OptionDef::new("collection", "collection"),
    OptionDef::new("emulator-host", "emulator"),
];
const FILES: &[OptionDef] = &[OptionDef::new("path", "path"), OptionDef::new("format", "format")];
const DATAGEN: &[OptionDef] = &[
    OptionDef::new("number-of-rows", "rows"),
    OptionDef::new("template", "template"),
    OptionDef::new("seed", "seed"),
    OptionDef::prefix("fields.", "fields"),
];

impl Connector for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn roles(&self) -> Roles {
        self.roles
    }

    fn options(&self) -> &'static [OptionDef] {
        self.options
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        let entries =
            Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
        let headers = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false);
        vec![
            MetadataKey { key: "partition", data_type: DataType::Int32 },
            MetadataKey { key: "offset", data_type: DataType::Int64 },
            MetadataKey { key: "timestamp", data_type: DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())) },
            MetadataKey { key: "headers", data_type: headers },
        ]
    }

    fn source(&self, _spec: &SourceSpec) -> Result<Box<dyn Source>> {
        Err(Error::bug("a fake has no source"))
    }

    fn sink(&self, _spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Err(Error::bug("a fake has no sink"))
    }
}

/// Kafka (both sides), datagen (source), postgres, firestore and print (sinks), filesystem (both).
pub(crate) fn connectors() -> Vec<Arc<dyn Connector>> {
    let fake = |name, source, sink, options| {
        Arc::new(Fake { name, roles: Roles { source, sink }, options }) as Arc<dyn Connector>
    };
    vec![
        fake("kafka", true, true, KAFKA),
        fake("datagen", true, false, DATAGEN),
        fake("postgres", false, true, STORE),
        fake("firestore", false, true, FIRESTORE),
        fake("filesystem", true, true, FILES),
        fake("print", false, true, &[]),
    ]
}

/// Variables and secret files from maps.
#[derive(Debug, Default, Clone)]
pub(crate) struct Given {
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) files: BTreeMap<String, String>,
}

impl Given {
    pub(crate) fn values<const N: usize>(values: [(&str, &str); N]) -> Self {
        Self {
            values: values.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            files: BTreeMap::new(),
        }
    }

    pub(crate) fn file(mut self, path: &str, contents: &str) -> Self {
        self.files.insert(path.into(), contents.into());
        self
    }
}

impl Variables for Given {
    fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "no such file"))
    }
}

/// Plans a whole text.
pub(crate) fn plan_with(text: &str, variables: &Given, overrides: Overrides) -> std::result::Result<JobPlan, SqlError> {
    let connectors = connectors();
    plan(&PlanRequest {
        file: "job.sql",
        text,
        connectors: &connectors,
        variables,
        overrides,
        settings: BTreeMap::new(),
        job: "test",
    })
}

/// A source `t` with a column of each kind, a sink `out` for anything, above the statements of a test. One line, so
/// that the
/// statements begin in line 2.
pub(crate) const TABLES: &str = "CREATE TABLE t (id BIGINT, label STRING, amount DECIMAL(10, 2), price DOUBLE, flag BOOLEAN, small INT, ts TIMESTAMP_LTZ(3), plain TIMESTAMP(3), person ROW<id BIGINT, name STRING, home ROW<city STRING>>, tags ARRAY<STRING>, more MAP<STRING, STRING>, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'kafka', 'topic' = 't'); CREATE TABLE gen (a BIGINT) WITH ('connector' = 'datagen'); CREATE TABLE texts (v STRING) WITH ('connector' = 'print'); CREATE TABLE numbers (v BIGINT) WITH ('connector' = 'print'); CREATE TABLE doubles (v DOUBLE) WITH ('connector' = 'print'); CREATE TABLE times (v TIMESTAMP_LTZ(3)) WITH ('connector' = 'print'); CREATE TABLE counts (w TIMESTAMP_LTZ(3), k STRING, n BIGINT) WITH ('connector' = 'print');\n";

/// Plans statements below [`TABLES`].
pub(crate) fn plan_below(statements: &str) -> std::result::Result<JobPlan, SqlError> {
    plan_with(&format!("{TABLES}{statements}"), &Given::default(), Overrides::default())
}

/// The plan of statements that are right.
pub(crate) fn planned(statements: &str) -> JobPlan {
    match plan_below(statements) {
        Ok(plan) => plan,
        Err(error) => panic!("{statements}\n{error}"),
    }
}

/// The message of statements that are wrong.
pub(crate) fn refused(statements: &str) -> String {
    match plan_below(statements) {
        Ok(plan) => panic!("this was planned: {statements}\n{}", crate::explain(&plan)),
        Err(error) => error.to_string(),
    }
}
