//! Everything outside of the process: the checkpoint store, the topic, and the services behind the sinks. It outlives
//! processes.

use super::backends::StoredCursor;
use super::backends::firestore::SimFirestore;
use super::backends::kafka::SimKafka;
use super::backends::postgres::SimPostgres;
use super::input::Input;
use super::source::{SimSourceConnector, SimTopic};
use super::store::{BUCKET_FAULTS, CHECKPOINT_FAULTS, SimStore};
use super::table::{Row, SimTable, SimTableConnector};
use super::world::World;
use aqueduct_bucket::FilesystemConnector;
use aqueduct_core::{Connector, Error, FailPoints, Result, Sink, SinkSpec};
use aqueduct_firestore::FirestoreConnector;
use aqueduct_kafka::KafkaConnector;
use aqueduct_plan::{JobPlan, SinkTable};
use aqueduct_postgres::PostgresConnector;
use object_store::path::Path;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The services of a run.
#[derive(Debug, Clone)]
pub struct Services {
    /// `execution.checkpointing.dir`
    pub checkpoints: SimStore,
    /// The results bucket.
    pub bucket: SimStore,
    /// The input.
    pub topic: SimTopic,
    /// The database of the Postgres sinks.
    pub postgres: SimPostgres,
    /// The database of the Firestore sink.
    pub firestore: SimFirestore,
    /// The cluster of the results topic.
    pub kafka: SimKafka,
    /// Simulated tables by name.
    pub tables: BTreeMap<String, SimTable>,
}

/// Where the results table lies in the bucket.
pub const BUCKET_PATH: &str = "results";

impl Services {
    /// The services of a run of `plan` over `input`.
    pub fn new(world: &World, plan: &JobPlan, input: Arc<Input>) -> Services {
        let simulated = plan.sinks.iter().filter(|table| table.connector == "simulated-table");
        let table = |table: &SinkTable| (table.spec.table.clone(), SimTable::new(world.clone(), &table.spec.table));
        Services {
            checkpoints: SimStore::new(world.clone(), CHECKPOINT_FAULTS),
            bucket: SimStore::new(world.clone(), BUCKET_FAULTS),
            topic: SimTopic::new(world.clone(), input),
            postgres: SimPostgres::new(world.clone()),
            firestore: SimFirestore::new(world.clone()),
            kafka: SimKafka::new(world.clone()),
            tables: simulated.map(table).collect(),
        }
    }

    /// What a plan can name.
    pub fn connectors() -> Vec<Arc<dyn Connector>> {
        vec![
            Arc::new(SimSourceConnector),
            Arc::new(SimTableConnector),
            Arc::new(FilesystemConnector),
            Arc::new(PostgresConnector),
            Arc::new(FirestoreConnector),
            Arc::new(KafkaConnector),
        ]
    }

    /// The rows of a simulated table.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        self.tables.get(table).map(SimTable::rows).unwrap_or_default()
    }

    /// Every table that takes the totals of the tumbling windows, with its rows; the bucket's is read by the judges.
    pub fn totals(&self) -> Vec<(&'static str, Vec<Row>)> {
        let record = |(_, value): (_, Vec<u8>)| serde_json::from_slice(&value).unwrap_or_default();
        vec![
            ("table_totals", self.rows("table_totals")),
            ("pg_totals", self.postgres.rows("pg_totals")),
            ("documents", self.firestore.rows("documents")),
            ("topic_totals", self.kafka.committed("results").into_iter().map(record).collect()),
        ]
    }

    /// Every table that takes the rows of the filter.
    pub fn big(&self) -> Vec<(&'static str, Vec<Row>)> {
        vec![("big_rows", self.rows("big_rows")), ("pg_big", self.postgres.rows("pg_big"))]
    }

    /// The newest applied epoch of each sink that keeps it.
    pub fn cursors(&self) -> Vec<(String, u64)> {
        let tables = self.tables.iter().map(|(name, table)| (name.clone(), table.cursor()));
        let stored = |cursor: StoredCursor| (cursor.sink, u64::try_from(cursor.epoch).unwrap_or(0));
        let services = [self.postgres.cursors(), self.firestore.cursors(), self.kafka.cursors()];
        tables.chain(services.into_iter().flatten().map(stored)).collect()
    }

    /// A sink of one process, which dies at its fail points.
    pub fn sink(&self, table: &SinkTable, fail_points: &FailPoints) -> Result<Box<dyn Sink>> {
        let spec = &SinkSpec { fail_points: fail_points.clone(), ..table.spec.clone() };
        match table.connector.as_str() {
            "postgres" => self.postgres.sink(spec),
            "firestore" => self.firestore.sink(spec),
            "kafka" => self.kafka.sink(spec),
            "filesystem" => {
                aqueduct_bucket::simulation::sink(spec, Arc::new(self.bucket.clone()), Path::from(BUCKET_PATH))
            }
            _ => {
                let simulated = self.tables.get(&spec.table);
                let simulated =
                    simulated.ok_or_else(|| Error::bug(format!("table '{}' has no service", spec.table)))?;
                Ok(simulated.sink(spec))
            }
        }
    }
}
