//! The sink: an epoch becomes some files, created only, and then one ledger entry that makes them count.
//!
//! Contents are a function of the epoch alone, so that any number of deliveries, by any generation, write the same
//! bytes under the same names. An object of the same name with other bytes stops the job: nothing is overwritten. The
//! layout `object-per-row` makes one exception: an object that an earlier epoch of this job wrote (the ledger says so)
//! is replaced, because there the name is the row's key. Partition folders and formats are decided elsewhere.

use crate::config::{Layout, SinkConfig};
use crate::encode::FileEncoder;
use crate::layout::{label, part, under};
use crate::ledger::{Ledger, LedgerFile};
use crate::put::{Created, Found, create, replace};
use crate::rows::{by_folder, by_object, last_per_key};
use crate::store::{Needs, is_missing_folder, look, open_store};
use aqueduct_core::{
    Claimed, CommitPermit, Cursor, Epoch, Error, JobName, Line, Repeated, Result, SealedEpoch, ShardId, Sink, Survey,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Part files in flight; each is held in memory.
const CONCURRENT_FILES: usize = 4;
/// Small objects in flight.
const CONCURRENT_OBJECTS: usize = 32;

/// Writes one table.
pub(crate) struct FilesystemSink {
    config: SinkConfig,
    encoder: FileEncoder,
    store: Option<(Arc<dyn ObjectStore>, Path)>,
    /// The ancestors of the lineage that is opened.
    line: Line,
    opened: Option<Opened>,
}

struct Opened {
    claimed: Claimed,
    label: String,
    ledger: Ledger,
    cursor: Cursor,
}

/// An object of one row, ready to be written.
struct RowObject {
    /// Below the table's path.
    name: String,
    bytes: Bytes,
}

impl FilesystemSink {
    pub(crate) fn new(config: SinkConfig) -> Result<Self> {
        let encoder =
            FileEncoder::new(&config).map_err(|error| error.context(format!("table '{}'", config.common.table)))?;
        Ok(Self { config, encoder, store: None, line: Line::default(), opened: None })
    }

    /// On a store that is open already.
    pub(crate) fn over(config: SinkConfig, store: Arc<dyn ObjectStore>, path: Path) -> Result<Self> {
        Ok(Self { store: Some((store, path)), ..Self::new(config)? })
    }

    fn store(&mut self) -> Result<(Arc<dyn ObjectStore>, Path)> {
        if self.store.is_none() {
            self.store = Some(open_store(&self.config.common.path, &self.config.common.store)?);
        }
        self.store.clone().ok_or_else(|| Error::bug("the store was opened just now"))
    }

    async fn deliver(&self, opened: &Opened, epoch: Epoch, sealed: &SealedEpoch) -> Result<()> {
        let (store, path) = self.store.as_ref().ok_or_else(|| Error::bug("an open sink has a store"))?;
        let target = Target { store: store.as_ref(), path, sink: self, opened, after: sealed.after };
        opened.ledger.check(sealed.after).await?;
        let files = match &self.config.layout {
            Layout::Epoch(_) => target.write_parts(epoch, sealed).await?,
            Layout::ObjectPerRow(_) => target.write_objects(sealed).await?,
        };
        // Right before the entry: the writes may have taken long.
        opened.ledger.check(sealed.after).await?;
        self.config.points.hit("sink.filesystem.before-entry");
        opened.ledger.commit(epoch, sealed.after, sealed.sealed_at_ms, &files).await?;
        self.config.points.hit("sink.filesystem.after-entry");
        Ok(())
    }
}

/// Where one delivery writes.
struct Target<'a> {
    store: &'a dyn ObjectStore,
    path: &'a Path,
    sink: &'a FilesystemSink,
    opened: &'a Opened,
    after: Cursor,
}

impl Target<'_> {
    async fn write_parts(&self, epoch: Epoch, sealed: &SealedEpoch) -> Result<Vec<LedgerFile>> {
        let FilesystemSink { config, encoder, .. } = self.sink;
        let Layout::Epoch(folders) = &config.layout else { return Err(Error::bug("part files need the epoch layout")) };
        let places = last_per_key(&sealed.batches, &config.key)?;
        let groups = by_folder(&sealed.batches, places, &config.columns, folders)?;
        let mut files = Vec::new();
        let mut writes = FuturesUnordered::new();
        for (folder, places) in &groups {
            let (mut rest, mut number) = (places.as_slice(), 0);
            while !rest.is_empty() {
                let (bytes, rows) = encoder.file(&sealed.batches, rest)?;
                rest = &rest[rows..];
                let name = part(&self.opened.label, epoch, number, config.common.format.extension());
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                files.push(LedgerFile { path: name.clone(), rows, bytes: bytes.len(), sha256: sha256(&bytes) });
                if writes.len() >= CONCURRENT_FILES {
                    writes.try_next().await?;
                }
                writes.push(self.write_part(name, bytes));
                number += 1;
            }
        }
        while writes.try_next().await?.is_some() {}
        Ok(files)
    }

    async fn write_part(&self, name: String, bytes: Bytes) -> Result<()> {
        let address = self.sink.config.common.address(&name);
        self.sink.config.points.hit("sink.filesystem.before-object");
        match create(self.store, &under(self.path, &name)?, &bytes, &address).await? {
            Created::Holds => Ok(()),
            Created::Other(_) => Err(self.foreign(&address)),
        }
    }

    async fn write_objects(&self, sealed: &SealedEpoch) -> Result<Vec<LedgerFile>> {
        let FilesystemSink { config, encoder, .. } = self.sink;
        let Layout::ObjectPerRow(template) = &config.layout else {
            return Err(Error::bug("objects per row need their layout"));
        };
        let places = last_per_key(&sealed.batches, &config.key)?;
        let objects = by_object(&sealed.batches, places, template);
        let object = |(name, place)| RowObject { name, bytes: encoder.object(&sealed.batches, place) };
        let objects: Vec<RowObject> = objects.into_iter().map(object).collect();
        let writes: Vec<_> = objects.iter().map(|object| self.create_object(object)).collect();
        let outcomes: Vec<Created> = futures::stream::iter(writes).buffered(CONCURRENT_OBJECTS).try_collect().await?;
        let taken = objects.iter().zip(outcomes).filter_map(|(object, outcome)| match outcome {
            Created::Holds => None,
            Created::Other(found) => Some((object, found)),
        });
        self.replace_objects(taken.collect()).await?;
        let file = |object: &RowObject| LedgerFile {
            path: object.name.clone(),
            rows: 1,
            bytes: object.bytes.len(),
            sha256: sha256(&object.bytes),
        };
        Ok(objects.iter().map(file).collect())
    }

    async fn create_object(&self, object: &RowObject) -> Result<Created> {
        let address = self.sink.config.common.address(&object.name);
        self.sink.config.points.hit("sink.filesystem.before-object");
        create(self.store, &under(self.path, &object.name)?, &object.bytes, &address).await
    }

    /// Replaces what earlier epochs of this job wrote; anything else of the same name stops the job.
    async fn replace_objects(&self, taken: Vec<(&RowObject, Found)>) -> Result<()> {
        if taken.is_empty() {
            return Ok(());
        }
        // A newer owner may have gone on meanwhile: then its results are the right ones.
        self.opened.ledger.check(self.after).await?;
        let wanted: HashMap<String, String> =
            taken.iter().map(|(object, found)| (object.name.clone(), sha256(&found.bytes))).collect();
        let ours = self.opened.ledger.recorded(&wanted).await?;
        if let Some((foreign, _)) = taken.iter().find(|(object, _)| !ours.contains(&object.name)) {
            return Err(self.foreign(&self.sink.config.common.address(&foreign.name)));
        }
        let writes: Vec<_> = taken.into_iter().map(|(object, found)| self.replace_object(object, found)).collect();
        futures::stream::iter(writes).buffer_unordered(CONCURRENT_OBJECTS).try_collect().await
    }

    async fn replace_object(&self, object: &RowObject, found: Found) -> Result<()> {
        let address = self.sink.config.common.address(&object.name);
        let path = under(self.path, &object.name)?;
        let check = self.opened.ledger.check(self.after);
        self.sink.config.points.hit("sink.filesystem.before-object");
        if replace(self.store, &path, &object.bytes, found.version, &address, check).await? {
            return Ok(());
        }
        self.opened.ledger.check(self.after).await?;
        Err(Error::retry(format!("{address} was changed by somebody else at the same moment: it is tried again")))
    }

    fn foreign(&self, address: &str) -> Error {
        Error::data(format!(
            "{address}: another object of the same name with other contents exists, which this epoch did not write; nothing \
             was overwritten. Find out who wrote it; then move it away, or give table '{}' another path",
            self.sink.config.common.table
        ))
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl Sink for FilesystemSink {
    async fn open(&mut self, claimed: &Claimed) -> Result<Cursor> {
        self.opened = None;
        let table = self.config.common.table.clone();
        let named = |error: Error| error.context(format!("table '{table}'"));
        let (store, path) = self.store().map_err(named)?;
        let address = &self.config.common.path;
        self.config.points.hit("sink.filesystem.before-claim");
        let (ledger, cursor) =
            Ledger::claim(store, &path, address, &table, claimed, &self.line).await.map_err(named)?;
        self.config.points.hit("sink.filesystem.after-claim");
        self.opened = Some(Opened { claimed: claimed.clone(), label: label(claimed), ledger, cursor });
        Ok(cursor)
    }

    async fn apply(&mut self, permit: CommitPermit, sealed: &SealedEpoch) -> Result<Cursor> {
        let table = &self.config.common.table;
        let opened = self.opened.as_ref().ok_or_else(|| Error::bug(format!("table '{table}': apply before open")))?;
        let epoch = permit.epoch();
        if *permit.claimed() != opened.claimed || sealed.after != opened.cursor || epoch <= sealed.after.0 {
            return Err(Error::bug(format!(
                "table '{table}': epoch {epoch} after epoch {} was handed in by generation {}, but the sink stands at epoch \
                 {} of generation {}: nothing was written",
                sealed.after.0,
                permit.claimed().generation,
                opened.cursor.0,
                opened.claimed.generation
            )));
        }
        self.deliver(opened, epoch, sealed).await.map_err(|error| error.context(format!("table '{table}'")))?;
        if let Some(opened) = &mut self.opened {
            opened.cursor = Cursor(epoch);
        }
        Ok(Cursor(epoch))
    }

    async fn close(&mut self) -> Result<()> {
        self.opened = None;
        Ok(())
    }

    fn follow(&mut self, line: &Line) {
        self.line = line.clone();
    }

    async fn look(&mut self, job: &JobName, shard: ShardId) -> Result<Vec<String>> {
        let common = &self.config.common;
        let named = |error: Error| error.context(format!("table '{}'", common.table));
        // An object of a row is replaced, which stores count as deleting.
        let needs = match self.config.layout {
            Layout::Epoch(_) => Needs::Create,
            Layout::ObjectPerRow(_) => Needs::CreateAndDelete,
        };
        let unknown = look(&common.path, &common.store, needs).await.map_err(named)?;
        // Opening would create a local folder.
        if !is_missing_folder(&common.path)? {
            self.survey(job, shard).await?;
        }
        Ok(unknown)
    }

    async fn survey(&mut self, job: &JobName, shard: ShardId) -> Result<Survey> {
        let table = self.config.common.table.clone();
        let named = |error: Error| error.context(format!("table '{table}'"));
        let (store, path) = self.store().map_err(named)?;
        let ledger = Ledger::look(store, &path, &self.config.common.path, job, shard)?;
        let standings = ledger.standings(job).await.map_err(named)?;
        let words = match self.config.layout {
            Layout::Epoch(_) => {
                "files are written under the new lineage's name, and the old ones count no more: the ledger says so; whoever reads the folders without the ledger sees both"
            }
            Layout::ObjectPerRow(_) => "objects of the same name are replaced",
        };
        Ok(Survey { standings, repeated: Repeated::Replaced, words: words.to_owned() })
    }
}

#[cfg(test)]
mod tests;
