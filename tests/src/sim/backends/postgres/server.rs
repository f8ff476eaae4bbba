//! The server's side of the simulated Postgres: sessions, transactions, row locks, time-outs.
//!
//! What a real server does by itself happens here by itself: a statement that waits for a lock goes on when the lock is
//! free, whether or not its client still looks; a silent transaction is ended. Statements that wait are tried again in the
//! order in which they began to wait.

use crate::sim::backends::StoredCursor;
use crate::sim::world::World;
use aqueduct_postgres::simulation::{Change, Entry, Key, Only};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::oneshot::Sender;

/// As the sink's sessions set it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// As the sink's sessions set it.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(20);

/// A row by its columns' names.
pub type Row = BTreeMap<String, Value>;
/// The rows of a table by the text of their key; without a primary key, by a number.
pub(super) type Rows = BTreeMap<String, Row>;

/// A row to be written, with the text of its key where the table has one.
pub(super) type Keyed = (Option<String>, Row);

/// Whose cursor row: job, shard, sink, lineage.
pub(super) type CursorKey = (String, i64, String, i64);

/// What a client asks for.
#[derive(Debug, Clone)]
pub(super) enum Statement {
    Look,
    Begin,
    Commit,
    Rollback,
    LockEntries(Key),
    Entry(Key),
    Update(Key, Change),
    /// Table and rows; the key is `None` in a table without a primary key.
    Insert(String, Vec<Keyed>),
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Entries(Vec<Entry>),
    Changed(bool),
}

/// A SQLSTATE, or nothing at all: the session is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    State(&'static str, &'static str),
    Gone,
}

pub(super) type Response = Result<Answer, Refusal>;

#[derive(Debug, Default)]
struct Transaction {
    cursors: BTreeMap<CursorKey, Entry>,
    rows: Vec<(String, Vec<Keyed>)>,
    /// After an error only its end is listened to.
    failed: bool,
}

struct Job {
    statement: Statement,
    reply: Sender<Response>,
    /// Set once it waits for a lock: its place in the line.
    ticket: Option<u64>,
}

#[derive(Default)]
struct Session {
    open: Option<Transaction>,
    job: Option<Job>,
    /// Requests under way that have not arrived.
    under_way: usize,
    /// The client's side is closed: the session ends when all requests are worked off.
    hung_up: bool,
    /// Counts what happens, so that a time-out knows whether anything has.
    stamp: u64,
}

/// What survives a crash of the server.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(super) cursors: BTreeMap<CursorKey, Entry>,
    pub(super) tables: BTreeMap<String, Rows>,
    serial: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    Advisory(String),
    Cursor(CursorKey),
}

#[derive(Default)]
struct Inner {
    durable: Snapshot,
    sessions: BTreeMap<u64, Session>,
    locks: BTreeMap<Lock, u64>,
    next: u64,
}

/// The server; clones are the same one.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) world: World,
    inner: Arc<Mutex<Inner>>,
}

impl Server {
    pub(super) fn new(world: World) -> Self {
        Self { world, inner: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A simulated crash unwinds through clients, never through a statement.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something later, if the server is still there.
    pub(super) fn later(&self, after: Duration, what: impl FnOnce(&Server) + Send + 'static) {
        let (world, inner): (World, Weak<Mutex<Inner>>) = (self.world.clone(), Arc::downgrade(&self.inner));
        self.world.later(after, move || {
            if let Some(inner) = inner.upgrade() {
                what(&Server { world, inner });
            }
        });
    }

    pub(super) fn durable(&self) -> Snapshot {
        self.lock().durable.clone()
    }

    /// The server starts again on other data.
    pub(super) fn replace(&self, durable: Snapshot) {
        self.crash();
        self.lock().durable = durable;
    }

    /// Every session ends; what was not committed is gone.
    pub(super) fn crash(&self) {
        let mut inner = self.lock();
        let ids: Vec<u64> = inner.sessions.keys().copied().collect();
        for id in ids {
            inner.end(id);
        }
    }

    pub(super) fn connect(&self) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        let id = inner.next;
        inner.sessions.insert(id, Session::default());
        id
    }

    /// Ends a session at once.
    pub(super) fn end(&self, id: u64) {
        self.lock().end(id);
        self.go_on();
    }

    /// The session's transaction can only be ended from now on.
    pub(super) fn fail(&self, id: u64) {
        self.lock().fail(id);
    }

    /// The client's side is closed: what was sent before is still worked off.
    pub(super) fn hang_up(&self, id: u64) {
        let mut inner = self.lock();
        let Some(session) = inner.sessions.get_mut(&id) else { return };
        session.hung_up = true;
        let busy = session.job.is_some() || session.under_way > 0;
        drop(inner);
        if !busy {
            self.end(id);
        }
    }

    /// A request leaves the client and arrives after `delay`.
    pub(super) fn send(&self, id: u64, statement: Statement, reply: Sender<Response>, delay: Duration) {
        if delay.is_zero() {
            return self.arrive(id, statement, reply);
        }
        if let Some(session) = self.lock().sessions.get_mut(&id) {
            session.under_way += 1;
        }
        self.later(delay, move |server| {
            if let Some(session) = server.lock().sessions.get_mut(&id) {
                session.under_way -= 1;
            }
            server.arrive(id, statement, reply);
        });
    }

    fn arrive(&self, id: u64, statement: Statement, reply: Sender<Response>) {
        let mut inner = self.lock();
        let Some(session) = inner.sessions.get_mut(&id) else {
            let _ = reply.send(Err(Refusal::Gone));
            return;
        };
        session.stamp += 1;
        session.job = Some(Job { statement, reply, ticket: None });
        drop(inner);
        self.attempt(id);
        self.go_on();
    }

    /// Tries those who wait, in their order, until none of them gets further.
    fn go_on(&self) {
        loop {
            let inner = self.lock();
            let waits = |(id, session): (&u64, &Session)| Some((session.job.as_ref()?.ticket?, *id));
            let mut line: Vec<(u64, u64)> = inner.sessions.iter().filter_map(waits).collect();
            drop(inner);
            line.sort_unstable();
            if !line.into_iter().any(|(_, id)| self.attempt(id)) {
                return;
            }
        }
    }

    /// Runs the session's statement; false when it has to wait (on).
    fn attempt(&self, id: u64) -> bool {
        let mut inner = self.lock();
        let Some(job) = inner.sessions.get_mut(&id).and_then(|session| session.job.take()) else { return false };
        let outcome = inner.run(&self.world, id, &job.statement);
        match outcome {
            Some(response) => {
                if response.is_err() {
                    inner.fail(id);
                }
                let stays = inner.finished(id);
                drop(inner);
                let _ = job.reply.send(response);
                match stays {
                    Some(stamp) => self.watch_idle(id, stamp),
                    None => self.end_quietly(id),
                }
                true
            }
            None => {
                let first = job.ticket.is_none();
                inner.next += 1;
                let ticket = job.ticket.unwrap_or(inner.next);
                let Some(session) = inner.sessions.get_mut(&id) else { return false };
                session.job = Some(Job { ticket: Some(ticket), ..job });
                let stamp = session.stamp;
                drop(inner);
                if first {
                    self.later(LOCK_TIMEOUT, move |server| server.give_up_waiting(id, stamp));
                }
                false
            }
        }
    }

    fn give_up_waiting(&self, id: u64, stamp: u64) {
        let mut inner = self.lock();
        let Some(session) = inner.sessions.get_mut(&id).filter(|session| session.stamp == stamp) else { return };
        let Some(job) = session.job.take() else { return };
        inner.fail(id);
        let stays = inner.finished(id);
        drop(inner);
        self.world.count("postgres.lock-timeout");
        let _ = job.reply.send(Err(Refusal::State("55P03", "canceling statement due to lock timeout")));
        match stays {
            Some(stamp) => self.watch_idle(id, stamp),
            None => self.end_quietly(id),
        }
        self.go_on();
    }

    fn watch_idle(&self, id: u64, stamp: u64) {
        let in_transaction = self.lock().sessions.get(&id).is_some_and(|session| session.open.is_some());
        if in_transaction {
            self.later(IDLE_IN_TRANSACTION, move |server| {
                let same = server.lock().sessions.get(&id).is_some_and(|session| session.stamp == stamp);
                if same {
                    server.world.count("postgres.idle-in-transaction-ended");
                    server.end(id);
                }
            });
        }
    }

    fn end_quietly(&self, id: u64) {
        self.lock().end(id);
    }

    pub(super) fn cursors(&self) -> Vec<StoredCursor> {
        let stored = |((job, shard, sink, lineage), entry): (&CursorKey, &Entry)| StoredCursor {
            job: job.clone(),
            shard: *shard,
            sink: sink.clone(),
            lineage: *lineage,
            epoch: entry.epoch,
            generation: entry.generation,
        };
        self.lock().durable.cursors.iter().map(stored).collect()
    }
}

impl Inner {
    /// The stamp of a session that stays; `None` when it hung up and nothing more is to come.
    fn finished(&mut self, id: u64) -> Option<u64> {
        let session = self.sessions.get_mut(&id)?;
        session.stamp += 1;
        (!session.hung_up || session.under_way > 0).then_some(session.stamp)
    }

    fn end(&mut self, id: u64) {
        if let Some(job) = self.sessions.remove(&id).and_then(|session| session.job) {
            let _ = job.reply.send(Err(Refusal::Gone));
        }
        self.locks.retain(|_, holder| *holder != id);
    }

    fn fail(&mut self, id: u64) {
        if let Some(open) = self.sessions.get_mut(&id).and_then(|session| session.open.as_mut()) {
            open.failed = true;
        }
    }

    /// `None`: it has to wait for a lock.
    fn run(&mut self, world: &World, id: u64, statement: &Statement) -> Option<Response> {
        let failed = self.transaction(id).is_some_and(|open| open.failed);
        if failed && !matches!(statement, Statement::Commit | Statement::Rollback) {
            let why = "current transaction is aborted, commands ignored until end of transaction block";
            return Some(Err(Refusal::State("25P02", why)));
        }
        let inside = matches!(statement, Statement::LockEntries(_) | Statement::Update(..) | Statement::Insert(..));
        if inside && self.transaction(id).is_none() {
            return Some(Err(Refusal::State("25P01", "there is no transaction in progress")));
        }
        Some(Ok(match statement {
            Statement::Look => Answer::Done,
            Statement::Begin => {
                let session = self.sessions.get_mut(&id)?;
                session.open.get_or_insert_default();
                Answer::Done
            }
            Statement::Rollback => {
                self.finish(world, id, false);
                Answer::Done
            }
            Statement::Commit => {
                // Committing what has failed is a rollback, and no error.
                self.finish(world, id, !failed);
                Answer::Done
            }
            Statement::LockEntries(key) => Answer::Entries(self.lock_entries(id, key)?),
            Statement::Entry(key) => {
                let own = self.cursor(id, &cursor_key(key, key.lineage));
                Answer::Entries(own.into_iter().collect())
            }
            Statement::Update(key, change) => Answer::Changed(self.update(world, id, key, change)?),
            Statement::Insert(table, rows) => match self.insert(id, table, rows) {
                Ok(()) => Answer::Done,
                Err(refusal) => return Some(Err(refusal)),
            },
        }))
    }

    fn transaction(&mut self, id: u64) -> Option<&mut Transaction> {
        self.sessions.get_mut(&id)?.open.as_mut()
    }

    /// True when the session holds the lock now.
    fn take(&mut self, id: u64, lock: Lock) -> bool {
        *self.locks.entry(lock).or_insert(id) == id
    }

    /// The row as this session sees it: its own changes over what is committed.
    fn cursor(&mut self, id: u64, key: &CursorKey) -> Option<Entry> {
        let own = self.transaction(id).and_then(|open| open.cursors.get(key).copied());
        own.or_else(|| self.durable.cursors.get(key).copied())
    }

    fn lock_entries(&mut self, id: u64, key: &Key) -> Option<Vec<Entry>> {
        if !self.take(id, Lock::Advisory(format!("{} {} {}", key.job, key.shard, key.sink))) {
            return None;
        }
        let own = cursor_key(key, key.lineage);
        if self.cursor(id, &own).is_none() {
            let fresh = Entry { lineage: key.lineage, epoch: 0, generation: 0 };
            self.transaction(id)?.cursors.insert(own.clone(), fresh);
        }
        let mine = |other: &&CursorKey| (&other.0, other.1, &other.2) == (&own.0, own.1, &own.2);
        let mut keys: Vec<CursorKey> = self.durable.cursors.keys().filter(mine).cloned().collect();
        if !keys.contains(&own) {
            keys.push(own.clone());
        }
        keys.sort_unstable_by_key(|key| key.3);
        let mut entries = Vec::new();
        for key in keys {
            if !self.take(id, Lock::Cursor(key.clone())) {
                return None;
            }
            entries.extend(self.cursor(id, &key));
        }
        Some(entries)
    }

    fn update(&mut self, world: &World, id: u64, key: &Key, change: &Change) -> Option<bool> {
        let row = cursor_key(key, change.lineage);
        let holds = |entry: &Entry| {
            change.only.iter().all(|only| match only {
                Only::At(epoch) => entry.epoch == *epoch,
                Only::UpTo(generation) => entry.generation <= *generation,
            })
        };
        let ignored = world.planted("postgres.fence-count-ignored");
        // A row that does not match is not waited for.
        let Some(_) = self.cursor(id, &row).filter(&holds) else { return Some(ignored) };
        let lock = Lock::Cursor(row.clone());
        let held = self.locks.get(&lock) == Some(&id);
        if !self.take(id, lock.clone()) {
            return None;
        }
        // It may have changed while it was waited for: the conditions are looked at again.
        let Some(entry) = self.cursor(id, &row).filter(&holds) else {
            if !held {
                self.locks.remove(&lock);
            }
            return Some(ignored);
        };
        let changed = Entry { epoch: change.epoch.unwrap_or(entry.epoch), generation: change.generation, ..entry };
        if world.planted("postgres.cursor-outside-transaction") && change.epoch.is_some() {
            self.durable.cursors.insert(row, changed);
        } else {
            self.transaction(id)?.cursors.insert(row, changed);
        }
        Some(true)
    }

    fn insert(&mut self, id: u64, table: &str, rows: &[Keyed]) -> Result<(), Refusal> {
        let mut keys: Vec<&String> = rows.iter().filter_map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            let why = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            return Err(Refusal::State("21000", why));
        }
        if let Some(open) = self.transaction(id) {
            open.rows.push((table.to_owned(), rows.to_vec()));
        }
        Ok(())
    }

    /// Ends the transaction, if there is one, and gives its locks back.
    fn finish(&mut self, world: &World, id: u64, commit: bool) {
        let open = self.sessions.get_mut(&id).and_then(|session| session.open.take());
        self.locks.retain(|_, holder| *holder != id);
        let Some(open) = open.filter(|_| commit) else { return };
        for (key, entry) in open.cursors {
            let before = self.durable.cursors.insert(key.clone(), entry);
            let (job, shard, sink, lineage) = &key;
            world.trace(format!("postgres {job}/{shard}/{sink} L{lineage} e{} g{}", entry.epoch, entry.generation));
            if before.is_some_and(|before| before.epoch > entry.epoch || before.generation > entry.generation) {
                world.violation(format!("postgres: the cursor of {sink} went back from {before:?} to {entry:?}"));
            }
        }
        for (table, rows) in open.rows {
            for (key, row) in rows {
                self.durable.serial += 1;
                let key = key.unwrap_or_else(|| format!("{:020}", self.durable.serial));
                self.durable.tables.entry(table.clone()).or_default().insert(key, row);
            }
        }
    }
}

fn cursor_key(key: &Key, lineage: i64) -> CursorKey {
    (key.job.clone(), key.shard, key.sink.clone(), lineage)
}
