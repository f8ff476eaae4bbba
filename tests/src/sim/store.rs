//! A simulated object store: strongly consistent objects in memory, behind a network that loses, delays and repeats.
//!
//! It keeps what GCS and S3 promise (conditional creates and updates are atomic, reads see the last write) and breaks what
//! they do not: a reply may be lost after the apply, a request may land late or twice, a conflict may be told where nothing
//! landed, a copy in another region may lag, bytes may come back damaged.

use super::world::World;
use aqueduct_checkpoint::record::{Record, decode, encode};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// An object and its version.
#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    version: u64,
    written_ms: u64,
    /// Readers do not see it before.
    visible_ms: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    objects: BTreeMap<Path, Object>,
    next_version: u64,
    /// Order of first appearance, to name blobs in the trace without their hashes.
    names: BTreeMap<Path, u64>,
    /// Every blob that ever was.
    blobs: BTreeSet<Path>,
    /// A planted bug has deleted a blob that is needed.
    has_lost_one: bool,
}

/// The names of one store's faults.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Nothing answers.
    pub down: &'static str,
    /// A request fails before it does anything: throttled, reset, 503.
    pub refused: &'static str,
    /// The request is applied; the reply is lost.
    pub reply_lost: &'static str,
    /// The request times out and is applied later, perhaps long after its process has died.
    pub delayed: &'static str,
    /// The request is applied, and applied again later by a retry somewhere on the way.
    pub twice: &'static str,
    /// A create is applied and its retry is told that the object exists.
    pub own_conflict: &'static str,
    /// A create is told that the object exists; nothing landed.
    pub conflict: &'static str,
    /// A list misses the newest objects.
    pub stale_list: &'static str,
    /// An object that was written just now cannot be read yet.
    pub invisible: &'static str,
    /// A byte of an object comes back flipped.
    pub corrupt: &'static str,
}

/// Bugs that a store shows on purpose: it answers so that its client behaves as a faulty one would.
pub const BUGS: &[&str] = &[
    // A claim log that takes "already exists" for its own success.
    "checkpoint.exists-is-success",
    // A claim log that does not know its own record again after a lost reply.
    "checkpoint.own-write-unrecognised",
    // A bucket sink that goes on after a failed put.
    "bucket.put-error-swallowed",
    // A collector that deletes a blob which a kept epoch needs.
    "collect.blob-still-needed",
    // A collector that deletes without a durable boundary.
    "collect.no-boundary",
];

/// Of the checkpoint store.
pub const CHECKPOINT_FAULTS: Faults = Faults {
    down: "store.down",
    refused: "store.refused",
    reply_lost: "store.reply-lost",
    delayed: "store.delayed",
    twice: "store.twice",
    own_conflict: "store.own-conflict",
    conflict: "store.conflict-nothing-landed",
    stale_list: "store.stale-list",
    invisible: "store.blob-not-visible",
    corrupt: "store.corrupt-read",
};

/// Of the results bucket. It has one region and checks its bytes on the way.
pub const BUCKET_FAULTS: Faults = Faults {
    down: "bucket.down",
    refused: "bucket.refused",
    reply_lost: "bucket.reply-lost",
    delayed: "bucket.delayed",
    twice: "bucket.twice",
    own_conflict: "bucket.own-conflict",
    conflict: "bucket.conflict-nothing-landed",
    stale_list: "",
    invisible: "",
    corrupt: "",
};

/// A store that outlives processes; clones are the same store.
#[derive(Debug, Clone)]
pub struct SimStore {
    world: World,
    faults: Faults,
    shelf: Arc<Mutex<Shelf>>,
}

fn trouble(what: &'static str) -> Error {
    Error::Generic { store: "SimStore", source: what.into() }
}

fn exists(path: &Path) -> Error {
    Error::AlreadyExists { path: path.to_string(), source: "412 Precondition Failed".into() }
}

fn missing(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "404 Not Found".into() }
}

/// A request that changes something.
#[derive(Debug, Clone)]
enum Change {
    Put { path: Path, bytes: Bytes, mode: PutMode },
    Delete { path: Path },
}

impl SimStore {
    /// An empty store.
    pub fn new(world: World, faults: Faults) -> SimStore {
        SimStore { world, faults, shelf: Arc::default() }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, kind: &'static str) -> bool {
        !kind.is_empty() && self.world.fault(kind)
    }

    /// Every object, as it stands, for the judges of a run.
    pub fn contents(&self) -> BTreeMap<String, Bytes> {
        self.shelf().objects.iter().map(|(path, object)| (path.to_string(), object.bytes.clone())).collect()
    }

    /// Whether this request meets a planted bug.
    fn is(&self, bug: &str, path: &Path, folder: &str) -> bool {
        self.world.planted(bug) && path.as_ref().contains(folder)
    }

    /// A name for the trace that does not change from run to run.
    fn name(&self, path: &Path) -> String {
        let text = path.as_ref();
        let Some((folder, _)) = text.split_once("/blobs/") else { return text.to_owned() };
        let mut shelf = self.shelf();
        let next = shelf.names.len() as u64;
        format!("{folder}/blob#{}", shelf.names.entry(path.clone()).or_insert(next))
    }

    /// A request that lands long after it was sent, or once more.
    fn apply_late(&self, change: &Change) {
        // A blob is not made anew once it was deleted: nobody needs it, and which of many equal deletes came first depends on
        // RocksDB's hashes, which differ from run to run.
        let gone = |path: &Path| path.as_ref().contains("/blobs/") && self.shelf().blobs.contains(path);
        if !matches!(change, Change::Put { path, .. } if gone(path)) {
            let _ = self.apply(change);
        }
    }

    fn apply(&self, change: &Change) -> Result<PutResult> {
        let now = self.world.now_ms();
        if matches!(change, Change::Put { path, .. } if self.is("collect.no-boundary", path, "/boundary/")) {
            return Ok(version(0));
        }
        let mut shelf = self.shelf();
        // Once only: in which order blobs are deleted depends on RocksDB's hashes, and what is the newest one changes with it.
        let deletes_blob =
            matches!(change, Change::Delete { path } if self.is("collect.blob-still-needed", path, "/blobs/"));
        if deletes_blob && !std::mem::replace(&mut shelf.has_lost_one, true) {
            let newest = shelf.objects.iter().filter(|(path, _)| path.as_ref().contains("/blobs/"));
            let newest = newest.max_by_key(|(_, object)| object.version).map(|(path, _)| path.clone());
            newest.and_then(|path| shelf.objects.remove(&path));
        }
        match change {
            Change::Delete { path } => match shelf.objects.remove(path) {
                Some(object) => Ok(version(object.version)),
                None => Err(missing(path)),
            },
            Change::Put { path, bytes, mode } => {
                let there = shelf.objects.get(path).map(|object| object.version);
                match mode {
                    PutMode::Create if there.is_some() => return Err(exists(path)),
                    PutMode::Update(wanted) if there.map(|version| version.to_string()) != wanted.version => {
                        return Err(Error::Precondition { path: path.to_string(), source: "412".into() });
                    }
                    _ => {}
                }
                shelf.next_version += 1;
                let object =
                    Object { bytes: bytes.clone(), version: shelf.next_version, written_ms: now, visible_ms: now };
                shelf.objects.insert(path.clone(), object);
                if path.as_ref().contains("/blobs/") {
                    shelf.blobs.insert(path.clone());
                }
                Ok(version(shelf.next_version))
            }
        }
    }

    /// Sends a change. The request travels on its own: it lands although its process dies meanwhile.
    async fn send(&self, change: Change) -> Result<PutResult> {
        let (what, path) = match &change {
            Change::Put { path, .. } => ("put", path.clone()),
            Change::Delete { path } => ("delete", path.clone()),
        };
        self.world.pause("store request").await;
        if !self.faults.down.is_empty() && self.world.outage(self.faults.down) {
            self.world.sleep(Duration::from_millis(200)).await;
            return Err(trouble("503: the store is down"));
        }
        let line = if what == "delete" { what.to_owned() } else { format!("{what} {}", self.name(&path)) };
        // Files of results are few: the dice of the fault alone would seldom meet one.
        let swallowed = self.is("bucket.put-error-swallowed", &path, "results/dt=") && !self.world.is_calm();
        if swallowed && self.world.draw(8) == 0 {
            self.world.trace(format!("{line} refused, and nobody minds"));
            return Ok(version(0));
        }
        if self.fault(self.faults.refused) {
            self.world.trace(format!("{line} refused"));
            return Err(trouble("429: slow down"));
        }
        let create = matches!(&change, Change::Put { mode: PutMode::Create, .. });
        if create && self.fault(self.faults.conflict) {
            self.world.trace(format!("{line} 409, nothing landed"));
            return Err(exists(&path));
        }
        if self.fault(self.faults.delayed) {
            let late = 1_000 + self.world.draw(150_000);
            self.world.trace(format!("{line} lands {late} ms later"));
            let this = self.clone();
            self.world.later(Duration::from_millis(late), move || this.apply_late(&change));
            self.world.sleep(Duration::from_secs(30)).await;
            return Err(trouble("timed out"));
        }
        let (out, landed) = oneshot::channel();
        let (this, again) = (self.clone(), change.clone());
        let way = self.world.draw(20);
        self.world.later(Duration::from_millis(way), move || {
            // The receiver is gone when the process has died.
            let _ = out.send(this.apply(&change));
        });
        let result = landed.await.unwrap_or_else(|_| Err(trouble("the connection was cut")));
        self.world.trace(format!("{line} {}", if result.is_ok() { "ok" } else { "failed" }));
        self.world.pause("store reply").await;
        self.after(&again, &path, create, result)
    }

    /// What becomes of a reply on its way back.
    fn after(&self, change: &Change, path: &Path, create: bool, result: Result<PutResult>) -> Result<PutResult> {
        if matches!(result, Err(Error::AlreadyExists { .. })) && self.is("checkpoint.exists-is-success", path, "/log/")
        {
            return Ok(version(0));
        }
        if self.fault(self.faults.twice) {
            let (this, again) = (self.clone(), change.clone());
            let late = self.world.draw(120_000);
            self.world.later(Duration::from_millis(late), move || this.apply_late(&again));
        }
        if result.is_ok() && create && self.fault(self.faults.own_conflict) {
            return Err(exists(path));
        }
        if self.fault(self.faults.reply_lost) {
            return Err(trouble("connection reset by peer"));
        }
        result
    }

    /// A read of one object.
    async fn look(&self, path: &Path) -> Result<Object> {
        self.world.pause("store read").await;
        if !self.faults.down.is_empty() && self.world.outage(self.faults.down) {
            self.world.sleep(Duration::from_millis(200)).await;
            return Err(trouble("503: the store is down"));
        }
        if self.fault(self.faults.refused) {
            return Err(trouble("503: try again"));
        }
        let found = self.shelf().objects.get(path).cloned();
        let Some(mut object) = found else { return Err(missing(path)) };
        let now = self.world.now_ms();
        // Only blobs: a record is one small object, read where it was written.
        let blob = path.as_ref().contains("/blobs/");
        if blob && now < object.visible_ms {
            self.world.count(self.faults.invisible);
            return Err(missing(path));
        }
        if blob && now < object.written_ms + 10_000 && self.world.draw(6) == 0 && self.fault(self.faults.invisible) {
            let until = now + 100 + self.world.draw(15_000);
            if let Some(object) = self.shelf().objects.get_mut(path) {
                object.visible_ms = until;
            }
            self.world.trace(format!("{} is not visible yet", self.name(path)));
            return Err(missing(path));
        }
        if self.is("checkpoint.own-write-unrecognised", path, "/log/") {
            object.bytes = disowned(&object.bytes);
        }
        if !object.bytes.is_empty() && self.world.draw(6) == 0 && self.fault(self.faults.corrupt) {
            let mut bytes = object.bytes.to_vec();
            let at = (self.world.draw(1 << 40) % bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.world.draw(8);
            object.bytes = bytes.into();
            self.world.trace(format!("{} comes back damaged", self.name(path)));
        }
        Ok(object)
    }

    async fn entries(&self, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        self.world.pause("store list").await;
        if !self.faults.down.is_empty() && self.world.outage(self.faults.down) {
            return Err(trouble("503: the store is down"));
        }
        if self.fault(self.faults.refused) {
            return Err(trouble("503: try again"));
        }
        // Only the log is looked at through a list that may be old; boundaries and lineages need the consistent lists that
        // GCS and S3 promise.
        let log = prefix.as_ref().is_some_and(|prefix| prefix.as_ref().ends_with("/log"));
        let stale = log && self.fault(self.faults.stale_list);
        let horizon = if stale { self.world.now_ms().saturating_sub(self.world.draw(60_000)) } else { u64::MAX };
        let shelf = self.shelf();
        let inside = |path: &Path| prefix.as_ref().is_none_or(|prefix| path.prefix_matches(prefix) && path != prefix);
        let found = shelf.objects.iter().filter(|(path, object)| inside(path) && object.written_ms <= horizon);
        Ok(found.map(|(path, object)| meta(path, object)).collect())
    }
}

/// The same record, as if another process had written it.
fn disowned(bytes: &Bytes) -> Bytes {
    let Ok(mut record) = decode::<Record>(bytes) else { return bytes.clone() };
    record.put_id = "0".repeat(32);
    encode(&record).map_or_else(|_| bytes.clone(), Bytes::from)
}

fn version(version: u64) -> PutResult {
    PutResult { e_tag: Some(version.to_string()), version: Some(version.to_string()) }
}

fn meta(path: &Path, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: path.clone(),
        last_modified: chrono::DateTime::from_timestamp_millis(object.written_ms as i64).unwrap_or_default(),
        size: object.bytes.len() as u64,
        e_tag: Some(object.version.to_string()),
        version: Some(object.version.to_string()),
    }
}

impl std::fmt::Display for SimStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimStore")
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.send(Change::Put { path: path.clone(), bytes: Bytes::from(payload), mode: options.mode }).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "multipart".to_owned(), implementer: "SimStore".to_owned() })
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let object = self.look(path).await?;
        let size = object.bytes.len() as u64;
        let meta = meta(path, &object);
        let range = match &options.range {
            Some(range) => {
                range.as_range(size).map_err(|error| Error::Generic { store: "SimStore", source: error.into() })?
            }
            None => 0..size,
        };
        let bytes = object.bytes.slice(range.start as usize..range.end as usize);
        let payload = if options.head { Bytes::new() } else { bytes };
        let stream = futures::stream::once(async move { Ok(payload) }).boxed();
        Ok(GetResult { payload: GetResultPayload::Stream(stream), meta, range, attributes: Attributes::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |path: Path| {
            let this = this.clone();
            async move { this.send(Change::Delete { path: path.clone() }).await.map(|_| path) }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let entries = this.entries(prefix).await?;
            Ok::<_, Error>(futures::stream::iter(entries.into_iter().map(Ok)))
        };
        futures::stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let entries = self.entries(prefix.cloned()).await?;
        let (mut folders, mut objects) = (BTreeSet::new(), Vec::new());
        let root = prefix.cloned().unwrap_or_default();
        for entry in entries {
            let mut parts = entry.location.prefix_match(&root).into_iter().flatten();
            match (parts.next(), parts.next()) {
                (Some(folder), Some(_)) => {
                    let folder = root.clone().join(folder);
                    folders.insert(folder);
                }
                _ => objects.push(entry.clone()),
            }
        }
        Ok(ListResult { common_prefixes: folders.into_iter().collect(), objects })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".to_owned(), implementer: "SimStore".to_owned() })
    }
}
