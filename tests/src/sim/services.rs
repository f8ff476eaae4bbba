//! Everything outside of the process: the checkpoint store, the topic, and the services behind the sinks. It outlives
//! processes.

use super::input::Input;
use super::source::{SimSourceConnector, SimTopic};
use super::store::{BUCKET_FAULTS, CHECKPOINT_FAULTS, SimStore};
use super::table::{Row, SimTable, SimTableConnector};
use super::world::World;
use aqueduct_bucket::FilesystemConnector;
use aqueduct_core::{Connector, Error, Result, Sink};
use aqueduct_plan::{JobPlan, SinkTable};
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
            tables: simulated.map(table).collect(),
        }
    }

    /// What a plan can name.
    pub fn connectors() -> Vec<Arc<dyn Connector>> {
        vec![Arc::new(SimSourceConnector), Arc::new(SimTableConnector), Arc::new(FilesystemConnector)]
    }

    /// The rows of a simulated table.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        self.tables.get(table).map(SimTable::rows).unwrap_or_default()
    }

    /// Every table that takes the totals of the tumbling windows, with its rows.
    pub fn totals(&self) -> Vec<(String, Vec<Row>)> {
        vec![("table_totals".to_owned(), self.rows("table_totals"))]
    }

    /// The newest applied epoch of each sink that shows it at once.
    pub fn cursors(&self) -> Vec<(String, u64)> {
        self.tables.iter().map(|(name, table)| (name.clone(), table.cursor())).collect()
    }

    /// A sink of one process.
    pub fn sink(&self, table: &SinkTable) -> Result<Box<dyn Sink>> {
        let spec = &table.spec;
        match table.connector.as_str() {
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
