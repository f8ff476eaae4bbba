//! A simulated table behind a sink of the simulation's own: the shortest sink that keeps the contract, with rows, cursor
//! and fence changed in one step. It takes the results for which no real sink is needed, and it judges the engine: every
//! epoch that it is given must be durable, and no epoch may come twice or out of order.

use super::world::World;
use aqueduct_core::json::value_to_json;
use aqueduct_core::{
    Claimed, CommitPermit, Connector, Cursor, Epoch, Error, Generation, Lineage, MetadataKey, OptionDef, Result, Roles,
    SealedEpoch, Sink, SinkSpec, Source, SourceSpec,
};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A row: column to value.
pub type Row = BTreeMap<String, Value>;

#[derive(Debug, Default)]
struct State {
    rows: Vec<Row>,
    cursors: BTreeMap<Lineage, Epoch>,
    fence: Option<Generation>,
}

/// A table that outlives processes; clones are the same table.
#[derive(Debug, Clone)]
pub struct SimTable {
    world: World,
    name: String,
    state: Arc<Mutex<State>>,
}

/// What a plan needs to know.
#[derive(Debug, Clone, Copy)]
pub struct SimTableConnector;

impl Connector for SimTableConnector {
    fn name(&self) -> &'static str {
        "simulated-table"
    }

    fn roles(&self) -> Roles {
        Roles { source: false, sink: true }
    }

    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        Vec::new()
    }

    fn source(&self, spec: &SourceSpec) -> Result<Box<dyn Source>> {
        Err(Error::bug(format!("table '{}' is no source", spec.table)))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Err(Error::bug(format!("table '{}' is made by the simulation", spec.table)))
    }
}

impl SimTable {
    /// An empty table.
    pub fn new(world: World, name: &str) -> SimTable {
        SimTable { world, name: name.to_owned(), state: Arc::default() }
    }

    /// A sink over it, for one process.
    pub fn sink(&self, spec: &SinkSpec) -> Box<dyn Sink> {
        let columns = spec.columns.iter().map(|column| column.name.clone()).collect();
        Box::new(SimTableSink { table: self.clone(), columns })
    }

    /// The rows, in the order in which they came.
    pub fn rows(&self) -> Vec<Row> {
        self.state().rows.clone()
    }

    /// The newest epoch that was applied.
    pub fn cursor(&self) -> u64 {
        self.state().cursors.values().next_back().map_or(0, |epoch| epoch.0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, claimed: &Claimed) -> Result<Cursor> {
        let mut state = self.state();
        if state.fence > Some(claimed.generation) {
            return Err(self.fenced(claimed));
        }
        state.fence = Some(claimed.generation);
        Ok(Cursor(state.cursors.get(&claimed.lineage).copied().unwrap_or(Epoch::ZERO)))
    }

    fn apply(&self, claimed: &Claimed, after: Cursor, epoch: Epoch, rows: Vec<Row>) -> Result<Cursor> {
        let mut state = self.state();
        if state.fence > Some(claimed.generation) {
            return Err(self.fenced(claimed));
        }
        let stands = state.cursors.get(&claimed.lineage).copied().unwrap_or(Epoch::ZERO);
        if stands != after.0 {
            return Err(Error::retry(format!("the table stands at epoch {stands}, not at {}", after.0)));
        }
        if epoch <= stands {
            self.world.violation(format!("table {}: epoch {epoch} after epoch {stands}", self.name));
        }
        state.rows.extend(rows);
        state.cursors.insert(claimed.lineage, epoch);
        drop(state);
        self.world.trace(format!("table {} at epoch {epoch} by generation {}", self.name, claimed.generation));
        Ok(Cursor(epoch))
    }

    fn fenced(&self, claimed: &Claimed) -> Error {
        Error::fenced(format!("table {}: generation {} is not the newest", self.name, claimed.generation))
    }
}

struct SimTableSink {
    table: SimTable,
    columns: Vec<String>,
}

impl SimTableSink {
    /// A request that lands although its process dies, and whose reply may get lost.
    async fn send(&self, change: impl Fn() -> Result<Cursor> + Send + 'static) -> Result<Cursor> {
        let world = &self.table.world;
        world.pause("table request").await;
        if world.outage("table.down") {
            return Err(Error::retry("the table is down"));
        }
        if world.fault("table.delayed") {
            world.later(Duration::from_millis(1_000 + world.draw(100_000)), move || drop(change()));
            world.sleep(Duration::from_secs(15)).await;
            return Err(Error::retry("timed out"));
        }
        let (out, landed) = oneshot::channel();
        world.later(Duration::from_millis(world.draw(30)), move || drop(out.send(change())));
        let result = landed.await.unwrap_or_else(|_| Err(Error::retry("the connection was cut")));
        world.pause("table reply").await;
        if world.fault("table.reply-lost") {
            return Err(Error::retry("connection reset by peer"));
        }
        result
    }
}

#[async_trait]
impl Sink for SimTableSink {
    async fn open(&mut self, claimed: &Claimed) -> Result<Cursor> {
        let (table, claimed) = (self.table.clone(), claimed.clone());
        self.send(move || table.claim(&claimed)).await
    }

    async fn apply(&mut self, permit: CommitPermit, epoch: &SealedEpoch) -> Result<Cursor> {
        let mut rows = Vec::with_capacity(epoch.rows());
        for batch in &epoch.batches {
            for row in 0..batch.num_rows() {
                let cells = self.columns.iter().zip(batch.columns());
                rows.push(cells.map(|(name, array)| (name.clone(), value_to_json(array, row))).collect());
            }
        }
        let (table, claimed, after, number) =
            (self.table.clone(), permit.claimed().clone(), epoch.after, permit.epoch());
        self.send(move || table.apply(&claimed, after, number, rows.clone())).await
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
