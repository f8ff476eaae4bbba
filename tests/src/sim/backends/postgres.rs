//! A simulated Postgres behind the sink's own border: what a client of it meets, faults included.
//!
//! Modelled: transactions (`READ COMMITTED`), the lock of the cursor row and of a claim, `lock_timeout`,
//! `idle_in_transaction_session_timeout`, requests that arrive late, replies that are lost, cut connections, errors by
//! SQLSTATE, crashes of the server, a restore to an older state. Not modelled: SQL text, the catalog, types and their
//! conversion, locks of the target's rows (the cursor row already orders their writers), replication.

mod server;

use super::StoredCursor;
use crate::sim::world::World;
use aqueduct_core::json::value_to_json;
use aqueduct_core::{Result, Sink, SinkSpec};
use aqueduct_postgres::simulation::{
    Boundary, Change, Database, Entry, Failure, Key, Names, Outcome, Session, sink as sink_over,
};
use arrow::array::ArrayRef;
use async_trait::async_trait;
use futures::future::{Either, select};
use server::{Answer, Refusal, Response, Server, Statement};
pub use server::{Row, Snapshot};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot::channel;

/// Bugs that it shows on purpose.
pub const BUGS: &[&str] = &["postgres.fence-count-ignored", "postgres.cursor-outside-transaction"];

/// As the real client's.
const ANSWER_WITHIN: Duration = Duration::from_secs(75);

/// A server with its data; it outlives the processes that talk to it. Clones are the same one.
#[derive(Clone)]
pub struct SimPostgres(Server);

impl std::fmt::Debug for SimPostgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimPostgres")
    }
}

impl SimPostgres {
    /// An empty server.
    pub fn new(world: World) -> Self {
        Self(Server::new(world))
    }

    /// The real sink over this server; `spec.options` are read as ever, and not connected to.
    pub fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        sink_over(spec, self.database(spec))
    }

    /// What the sink of `spec` would connect by.
    pub fn database(&self, spec: &SinkSpec) -> Arc<dyn Database> {
        Arc::new(Door { server: self.0.clone(), spec: spec.clone() })
    }

    /// What is committed in a table (the option `table-name`, or the table's name in the job), by key; without a primary
    /// key in the order of writing.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        self.0.durable().tables.get(table).map(|rows| rows.values().cloned().collect()).unwrap_or_default()
    }

    /// The committed cursor rows.
    pub fn cursors(&self) -> Vec<StoredCursor> {
        self.0.cursors()
    }

    /// What is committed now, for a later [`SimPostgres::restore`].
    pub fn snapshot(&self) -> Snapshot {
        self.0.durable()
    }

    /// The server comes back with an older state: a restore to a point in time, a replica that was behind.
    pub fn restore(&self, snapshot: Snapshot) {
        self.0.world.count("postgres.restored");
        self.0.replace(snapshot);
    }
}

/// What a sink connects by.
struct Door {
    server: Server,
    spec: SinkSpec,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("simulated Postgres")
    }
}

#[async_trait]
impl Database for Door {
    async fn connect(&self, _job: &str) -> Outcome<Box<dyn Session>> {
        let world = &self.server.world;
        world.pause("postgres.connect").await;
        if world.outage("postgres.down") {
            self.server.crash();
            return Err(io(std::io::ErrorKind::ConnectionRefused));
        }
        if world.fault("postgres.too-many-connections") {
            return Err(state("53300", "sorry, too many clients already"));
        }
        if world.fault("postgres.starting-up") {
            return Err(state("57P03", "the database system is starting up"));
        }
        if world.fault("postgres.connect-silent") {
            world.sleep(Duration::from_secs(20)).await;
            return Err(Failure::Silent(Duration::from_secs(20)));
        }
        let id = self.server.connect();
        let session = Client { server: self.server.clone(), id, spec: self.spec.clone() };
        world.pause("postgres.connected").await;
        Ok(Box::new(session))
    }
}

/// The client's end of a session.
struct Client {
    server: Server,
    id: u64,
    spec: SinkSpec,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "simulated session {}", self.id)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let (world, id) = (&self.server.world, self.id);
        // Mostly the server hears of it at once; a machine that vanished says nothing, and its session stays until it is
        // found idle.
        if world.chance(800) {
            self.server.later(Duration::from_millis(world.draw(20)), move |server| server.hang_up(id));
        }
    }
}

/// How a request fares on its way.
enum Fate {
    Works,
    CutBefore,
    ReplyLost,
    Refused(&'static str, &'static str),
    ArrivesLate(Duration),
}

impl Client {
    fn world(&self) -> &World {
        &self.server.world
    }

    fn fate(&self, statement: &Statement) -> Fate {
        let world = self.world();
        if world.fault("postgres.cut-before") {
            return Fate::CutBefore;
        }
        if world.fault("postgres.reply-lost") {
            return Fate::ReplyLost;
        }
        if world.fault("postgres.arrives-late") {
            return Fate::ArrivesLate(Duration::from_millis(1 + world.draw(40_000)));
        }
        let inserts = matches!(statement, Statement::Insert(..));
        let writes = inserts || matches!(statement, Statement::Update(..) | Statement::LockEntries(_));
        if matches!(statement, Statement::Commit) && world.fault("postgres.commit-unknown") {
            return if world.chance(500) { Fate::CutBefore } else { Fate::ReplyLost };
        }
        if inserts && world.fault("postgres.deadlock") {
            return Fate::Refused("40P01", "deadlock detected");
        }
        if inserts && world.fault("postgres.disk-full") {
            return Fate::Refused("53100", "could not extend file: No space left on device");
        }
        if writes && world.fault("postgres.read-only") {
            return Fate::Refused("25006", "cannot execute this in a read-only transaction");
        }
        if writes && world.fault("postgres.serialization") {
            return Fate::Refused("40001", "could not serialize access due to concurrent update");
        }
        if world.fault("postgres.admin-shutdown") {
            return Fate::Refused("57P01", "terminating connection due to administrator command");
        }
        Fate::Works
    }

    async fn ask(&mut self, point: &'static str, statement: Statement) -> Outcome<Answer> {
        self.world().pause(point).await;
        if self.world().outage("postgres.down") {
            self.server.crash();
            return Err(io(std::io::ErrorKind::ConnectionReset));
        }
        let fate = self.fate(&statement);
        let delay = match fate {
            Fate::CutBefore => {
                self.server.end(self.id);
                return Err(io(std::io::ErrorKind::ConnectionReset));
            }
            Fate::Refused(code, text) => {
                match code {
                    "57P01" => self.server.end(self.id),
                    _ => self.server.fail(self.id),
                }
                return Err(state(code, text));
            }
            Fate::ArrivesLate(delay) => delay,
            Fate::Works | Fate::ReplyLost => Duration::ZERO,
        };
        let (reply, answer) = channel();
        self.server.send(self.id, statement, reply, delay);
        let patience = self.world().sleep(ANSWER_WITHIN);
        let response: Response = match select(answer, patience).await {
            Either::Left((response, _)) => response.unwrap_or(Err(Refusal::Gone)),
            Either::Right(_) => return Err(Failure::Silent(ANSWER_WITHIN)),
        };
        // The reply is on its way; whoever dies here has been answered all the same.
        self.world().pause(point).await;
        if matches!(fate, Fate::ReplyLost) {
            self.server.hang_up(self.id);
            return Err(io(std::io::ErrorKind::ConnectionReset));
        }
        response.map_err(|refusal| match refusal {
            Refusal::State(code, text) => state(code, text),
            Refusal::Gone => io(std::io::ErrorKind::UnexpectedEof),
        })
    }

    fn target(&self) -> String {
        self.spec.options.get("table-name").unwrap_or(&self.spec.table).to_owned()
    }
}

#[async_trait]
impl Session for Client {
    async fn prepare(&mut self) -> Result<Names> {
        match self.ask("postgres.prepare", Statement::Look).await {
            Ok(_) => Ok(Names { target: self.target(), cursor: "aqueduct_cursor".to_owned() }),
            Err(failure) => {
                Err(aqueduct_core::Error::retry(format!("table '{}': reading the catalog: {failure}", self.spec.table)))
            }
        }
    }

    async fn transaction(&mut self, boundary: Boundary) -> Outcome<()> {
        let (point, statement) = match boundary {
            Boundary::Begin => ("postgres.begin", Statement::Begin),
            Boundary::Commit => ("postgres.commit", Statement::Commit),
            Boundary::Rollback => ("postgres.rollback", Statement::Rollback),
        };
        self.ask(point, statement).await.map(|_| ())
    }

    async fn lock_entries(&mut self, key: &Key) -> Outcome<Vec<Entry>> {
        match self.ask("postgres.lock-entries", Statement::LockEntries(key.clone())).await? {
            Answer::Entries(entries) => Ok(entries),
            other => Err(Failure::Told(unexpected(&other))),
        }
    }

    async fn entry(&mut self, key: &Key) -> Outcome<Option<Entry>> {
        match self.ask("postgres.entry", Statement::Entry(key.clone())).await? {
            Answer::Entries(entries) => Ok(entries.first().copied()),
            other => Err(Failure::Told(unexpected(&other))),
        }
    }

    async fn update(&mut self, key: &Key, change: &Change) -> Outcome<bool> {
        match self.ask("postgres.update", Statement::Update(key.clone(), change.clone())).await? {
            Answer::Changed(changed) => Ok(changed),
            other => Err(Failure::Told(unexpected(&other))),
        }
    }

    async fn insert(&mut self, columns: &[ArrayRef]) -> Outcome<()> {
        let count = columns.first().map_or(0, |column| column.len());
        let rows = (0..count).map(|at| (key_of(&self.spec, columns, at), row_of(&self.spec, columns, at)));
        let statement = Statement::Insert(self.target(), rows.collect());
        self.ask("postgres.insert", statement).await.map(|_| ())
    }

    async fn close(self: Box<Self>) {
        self.server.end(self.id);
    }
}

fn row_of(spec: &SinkSpec, columns: &[ArrayRef], at: usize) -> Row {
    let value = |(column, array): (&aqueduct_core::TableColumn, &ArrayRef)| {
        (column.name.clone(), value_to_json(array.as_ref(), at))
    };
    spec.columns.iter().zip(columns).map(value).collect()
}

fn key_of(spec: &SinkSpec, columns: &[ArrayRef], at: usize) -> Option<String> {
    let parts: Vec<String> =
        spec.primary_key.iter().map(|&index| value_to_json(columns[index].as_ref(), at).to_string()).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

fn unexpected(answer: &Answer) -> aqueduct_core::Error {
    aqueduct_core::Error::bug(format!("the simulated server answered {answer:?}"))
}

fn io(kind: std::io::ErrorKind) -> Failure {
    Failure::from(sqlx::Error::Io(kind.into()))
}

fn state(code: &'static str, text: &'static str) -> Failure {
    Failure::from(sqlx::Error::Database(Box::new(State { code, text })))
}

/// An error as a server tells it.
#[derive(Debug)]
struct State {
    code: &'static str,
    text: &'static str,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text)
    }
}

impl std::error::Error for State {}

impl sqlx::error::DatabaseError for State {
    fn message(&self) -> &str {
        self.text
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.code))
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }
}
