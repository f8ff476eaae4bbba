//! A simulated Firestore behind the sink's own border: what its two calls meet, faults included.
//!
//! Modelled: atomic commits, preconditions (`exists`, `update_time`), update times that ascend and stay where a write changes
//! nothing, the limit of writes per commit; calls that fail before or after they were applied, that are applied much later,
//! or twice; contention, quotas, outages, a restore to an older state. Not modelled: transactions, queries, field
//! transforms, limits in bytes, the ramp of write rates. Reads are strongly consistent, as the service's are.

use super::StoredCursor;
use crate::sim::world::World;
use aqueduct_core::{Result, Sink, SinkSpec};
use aqueduct_firestore::simulation::{Database, Failure, Outcome, Service, sink as sink_over};
use async_trait::async_trait;
use gcloud_sdk::google::firestore::v1::precondition::ConditionType;
use gcloud_sdk::google::firestore::v1::value::ValueType;
use gcloud_sdk::google::firestore::v1::write::Operation;
use gcloud_sdk::google::firestore::v1::{CommitResponse, Document, Value, Write, WriteResult};
use gcloud_sdk::prost_types::Timestamp;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tonic::{Code, Status};

/// Bugs that it shows on purpose.
pub const BUGS: &[&str] = &["firestore.precondition-ignored", "firestore.torn-commit"];

/// As the real client's, by default.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Of the service.
const MAX_WRITES: usize = 500;
/// The collection of the fences.
const FENCES: &str = "/documents/aqueduct_cursors/";

/// A document by its fields' names.
pub type Fields = BTreeMap<String, serde_json::Value>;
/// Every document, by its resource name.
pub type Snapshot = BTreeMap<String, Document>;

/// A database; it outlives the processes that talk to it. Clones are the same one.
#[derive(Clone)]
pub struct SimFirestore {
    world: World,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    documents: Snapshot,
    /// The last update time that was given, in microseconds.
    clock: i64,
}

impl std::fmt::Debug for SimFirestore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimFirestore")
    }
}

impl SimFirestore {
    /// An empty database.
    pub fn new(world: World) -> Self {
        Self { world, inner: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A simulated crash unwinds through clients, never through a commit.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The real sink over this database; `spec.options` are read as ever, and not connected to.
    pub fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        sink_over(spec, Arc::new(self.clone()))
    }

    /// The documents of a collection, by name. Integers are numbers, timestamps RFC 3339 texts.
    pub fn rows(&self, collection: &str) -> Vec<Fields> {
        let part = format!("/documents/{collection}/");
        let inner = self.lock();
        let of_it =
            inner.documents.iter().filter(|(name, _)| name.split_once(&part).is_some_and(|(_, id)| !id.contains('/')));
        of_it.map(|(_, document)| fields(&document.fields)).collect()
    }

    /// What the fence documents say.
    pub fn cursors(&self) -> Vec<StoredCursor> {
        self.lock().documents.iter().filter(|(name, _)| name.contains(FENCES)).filter_map(|(_, d)| fence(d)).collect()
    }

    /// What is there now, for a later [`SimFirestore::restore`].
    pub fn snapshot(&self) -> Snapshot {
        self.lock().documents.clone()
    }

    /// The database comes back with an older state.
    pub fn restore(&self, snapshot: Snapshot) {
        self.world.count("firestore.restored");
        self.lock().documents = snapshot;
    }

    /// Does something later, if the database is still there.
    fn later(&self, after: Duration, what: impl FnOnce(&SimFirestore) + Send + 'static) {
        let (world, inner): (World, Weak<Mutex<Inner>>) = (self.world.clone(), Arc::downgrade(&self.inner));
        self.world.later(after, move || {
            if let Some(inner) = inner.upgrade() {
                what(&SimFirestore { world, inner });
            }
        });
    }

    /// One commit, all or nothing.
    fn apply(&self, writes: &[Write]) -> std::result::Result<CommitResponse, Status> {
        if writes.len() > MAX_WRITES {
            return Err(Status::invalid_argument("maximum 500 writes allowed per request"));
        }
        let documents: Vec<&Document> = writes.iter().filter_map(whole).collect();
        if documents.len() != writes.len() {
            return Err(Status::unimplemented("the simulation knows writes of whole documents only"));
        }
        let mut guard = self.lock();
        let inner = &mut *guard;
        if !self.world.planted("firestore.precondition-ignored") {
            for write in writes {
                inner.check(write)?;
            }
        }
        let mut results = Vec::with_capacity(writes.len());
        let time = inner.tick(self.world.now_ms());
        let mut laws = Vec::new();
        for (at, document) in documents.iter().enumerate() {
            let old = inner.documents.get(&document.name);
            let same = old.is_some_and(|old| old.fields == document.fields);
            let update_time = if same { old.and_then(|old| old.update_time) } else { Some(time) };
            let create_time = old.map_or(Some(time), |old| old.create_time);
            if document.name.contains(FENCES) {
                laws.push((old.and_then(fence), fence(document)));
            }
            results.push(WriteResult { update_time, ..WriteResult::default() });
            // The torn commit takes the fence, which comes first, and loses the last document.
            if self.world.planted("firestore.torn-commit") && at > 0 && at + 1 == writes.len() && self.world.chance(200)
            {
                continue;
            }
            let stored = Document { update_time, create_time, ..(*document).clone() };
            inner.documents.insert(document.name.clone(), stored);
        }
        drop(guard);
        laws.into_iter().for_each(|(before, after)| self.judge(before, after));
        Ok(CommitResponse { write_results: results, commit_time: Some(time) })
    }

    /// The law of a fence: neither its lineage, nor inside one its generation or epoch, ever goes back.
    fn judge(&self, before: Option<StoredCursor>, after: Option<StoredCursor>) {
        let Some(after) = after else {
            return self.world.violation("firestore: a fence document without its fields was written".to_owned());
        };
        let StoredCursor { job, shard, sink, lineage, epoch, generation } = &after;
        self.world.trace(format!("firestore {job}/{shard}/{sink} L{lineage} e{epoch} g{generation}"));
        let Some(before) = before else { return };
        let back = before.lineage > *lineage
            || (before.lineage == *lineage && (before.epoch > *epoch || before.generation > *generation));
        if back {
            self.world.violation(format!("firestore: the fence of {sink} went back from {before:?} to {after:?}"));
        }
    }
}

impl Inner {
    /// A new update time, greater than all before.
    fn tick(&mut self, now_ms: u64) -> Timestamp {
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX / 1_000) * 1_000;
        self.clock = now.max(self.clock + 1);
        let nanos = (self.clock % 1_000_000) * 1_000;
        Timestamp { seconds: 1_767_225_600 + self.clock / 1_000_000, nanos: i32::try_from(nanos).unwrap_or(0) }
    }

    fn check(&self, write: &Write) -> std::result::Result<(), Status> {
        let Some(document) = whole(write) else { return Ok(()) };
        let found = self.documents.get(&document.name);
        let condition = write.current_document.as_ref().and_then(|condition| condition.condition_type.as_ref());
        match (condition, found) {
            (Some(ConditionType::Exists(false)), Some(_)) => {
                Err(Status::already_exists(format!("Document already exists: {}", document.name)))
            }
            (Some(ConditionType::Exists(true) | ConditionType::UpdateTime(_)), None) => {
                Err(Status::not_found(format!("No document to update: {}", document.name)))
            }
            (Some(ConditionType::UpdateTime(expected)), Some(found))
                if found.update_time.as_ref() != Some(expected) =>
            {
                Err(Status::failed_precondition("the stored version does not match the required base version"))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Service for SimFirestore {
    async fn connect(&self) -> Result<Box<dyn Database>> {
        self.world.pause("firestore.connect").await;
        if self.world.outage("firestore.down") {
            return Err(aqueduct_core::Error::retry("firestore at the simulation cannot be reached: refused"));
        }
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Database for SimFirestore {
    async fn get(&self, name: String) -> Outcome<Option<Document>> {
        self.world.pause("firestore.get").await;
        self.refuse().await?;
        let found = self.lock().documents.get(&name).cloned();
        self.world.pause("firestore.get").await;
        Ok(found)
    }

    async fn commit(&self, writes: Vec<Write>) -> Outcome<CommitResponse> {
        let world = &self.world;
        world.pause("firestore.commit").await;
        self.refuse().await?;
        if world.fault("firestore.aborted") {
            return Err(status(Code::Aborted, "too much contention on these documents, please try again"));
        }
        if world.fault("firestore.applied-late") {
            // Under way somewhere: its preconditions are judged when it arrives.
            let delay = Duration::from_millis(1 + world.draw(90_000));
            self.later(delay, move |database| drop(database.apply(&writes)));
            return Err(self.silence().await);
        }
        let outcome = self.apply(&writes);
        let outcome = match outcome.is_ok() && world.fault("firestore.applied-twice") {
            // A proxy sends it again, and the second answer is the one that comes back.
            true => self.apply(&writes),
            false => outcome,
        };
        // The answer is on its way; whoever dies here has written all the same.
        world.pause("firestore.commit").await;
        if world.fault("firestore.unavailable-after") {
            return Err(status(Code::Unavailable, "the connection was closed"));
        }
        if world.fault("firestore.deadline-after") {
            return Err(self.silence().await);
        }
        outcome.map_err(|status| Failure::from(Box::new(status)))
    }
}

impl SimFirestore {
    /// Failures that come before anything is done.
    async fn refuse(&self) -> Outcome<()> {
        let world = &self.world;
        if world.outage("firestore.down") || world.fault("firestore.unavailable-before") {
            return Err(status(Code::Unavailable, "the service is currently unavailable"));
        }
        if world.fault("firestore.resource-exhausted") {
            return Err(status(Code::ResourceExhausted, "quota exceeded"));
        }
        if world.fault("firestore.internal") {
            return Err(status(Code::Internal, "internal error encountered"));
        }
        if world.fault("firestore.deadline-before") {
            return Err(self.silence().await);
        }
        Ok(())
    }

    /// No answer: the service says so itself, or the client stops waiting.
    async fn silence(&self) -> Failure {
        if self.world.chance(500) {
            self.world.sleep(Duration::from_millis(self.world.draw(60_000))).await;
            return status(Code::DeadlineExceeded, "deadline exceeded");
        }
        self.world.sleep(ANSWER_WITHIN).await;
        Failure::Silent(ANSWER_WITHIN)
    }
}

/// The document of a write that replaces all of it.
fn whole(write: &Write) -> Option<&Document> {
    match &write.operation {
        Some(Operation::Update(document)) if write.update_mask.is_none() => Some(document),
        _ => None,
    }
}

fn status(code: Code, text: &str) -> Failure {
    Failure::from(Box::new(Status::new(code, text)))
}

fn fence(document: &Document) -> Option<StoredCursor> {
    let fields = fields(&document.fields);
    let number = |name: &str| fields.get(name).and_then(serde_json::Value::as_i64);
    let text = |name: &str| fields.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    Some(StoredCursor {
        job: text("job")?,
        shard: number("shard")?,
        sink: text("sink")?,
        lineage: number("lineage")?,
        epoch: number("epoch")?,
        generation: number("generation")?,
    })
}

fn fields(fields: &HashMap<String, Value>) -> Fields {
    fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
}

fn plain(value: &Value) -> serde_json::Value {
    match &value.value_type {
        None | Some(ValueType::NullValue(_)) => serde_json::Value::Null,
        Some(ValueType::BooleanValue(value)) => json!(value),
        Some(ValueType::IntegerValue(value)) => json!(value),
        Some(ValueType::DoubleValue(value)) => json!(value),
        Some(ValueType::StringValue(value)) => json!(value),
        Some(ValueType::BytesValue(value)) => json!(value),
        Some(ValueType::TimestampValue(value)) => json!(value.to_string()),
        Some(ValueType::ArrayValue(values)) => values.values.iter().map(plain).collect(),
        Some(ValueType::MapValue(map)) => json!(fields(&map.fields)),
        Some(other) => json!(format!("{other:?}")),
    }
}
