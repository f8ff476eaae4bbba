//! The source: a bounded read of the files below a path. One split per file, in the order of their names.
//!
//! A split is named by the file's path below the table's; its offsets are row numbers (lines, for JSON), from 0. Where
//! the folder has a ledger, only committed files are read. New files that appear while the job runs are not looked at
//! by the reader: they are splits of the next `discover`. Watermarks and lateness are the engine's.

use crate::config::TableConfig;
use crate::decode::RowBuilder;
use crate::open_file::OpenFile;
use crate::reader::{committed_files, list};
use crate::store::{Location, open_store};
use aqueduct_core::{
    ColumnKind, Error, ErrorKind, Offset, Read, ReadBudget, Result, Source, SourceIdentity, SourceReader, SourceSpec,
    SplitId, SplitLag, SplitStart,
};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// The metadata key of a file's full address.
pub(crate) const FILE_PATH: &str = "file.path";
/// The metadata key of a row's number in its file.
pub(crate) const OFFSET: &str = "offset";

/// A runtime for the thread that blocks on it. It may be dropped anywhere, also inside another runtime.
#[derive(Debug)]
pub(crate) struct Blocking(Option<Runtime>);

impl Blocking {
    pub(crate) fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| Error::bug(format!("no runtime for file reads: {error}")))
    }

    /// Must not be called from within an async context: the engine calls sources from threads of its own.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match &self.0 {
            Some(runtime) => runtime.block_on(work),
            None => Err(Error::bug("the runtime lives as long as its owner")),
        }
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What source and readers share.
pub(crate) struct Shared {
    pub(crate) config: TableConfig,
    pub(crate) spec: SourceSpec,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) root: Path,
}

/// Reads one table.
pub(crate) struct FilesystemSource {
    config: TableConfig,
    spec: SourceSpec,
    blocking: Blocking,
    shared: Option<Arc<Shared>>,
}

impl FilesystemSource {
    pub(crate) fn new(spec: &SourceSpec) -> Result<Self> {
        let mut config = TableConfig::new(&spec.table, &spec.options)?;
        // A source must not create the folder that it was to read.
        config.store.create_folder = false;
        for column in &spec.columns {
            match &column.kind {
                ColumnKind::Metadata(key) if key != FILE_PATH && key != OFFSET => {
                    return Err(Error::config(format!(
                        "table '{}': column '{}': the filesystem connector has no metadata '{key}': take \
                         '{FILE_PATH}' or '{OFFSET}'",
                        spec.table, column.name
                    )));
                }
                _ => {}
            }
        }
        let source = Self { config, spec: spec.clone(), blocking: Blocking::new()?, shared: None };
        // Types that no format can deliver are refused now, not at the first file.
        RowBuilder::new(&physical(&source.spec), &BTreeMap::new())?.json_decoder(source.config.json)?;
        Ok(source)
    }

    /// On a store that is open already.
    #[cfg(test)]
    pub(crate) fn on(spec: &SourceSpec, store: Arc<dyn ObjectStore>, root: Path) -> Self {
        let mut source = Self::new(spec).expect("a test's table is right");
        source.shared = Some(Arc::new(Shared { config: source.config.clone(), spec: spec.clone(), store, root }));
        source
    }

    fn shared(&mut self) -> Result<Arc<Shared>> {
        if let Some(shared) = &self.shared {
            return Ok(shared.clone());
        }
        let (store, root) = open_store(&self.config.path, &self.config.store).map_err(|error| self.named(error))?;
        let shared = Arc::new(Shared { config: self.config.clone(), spec: self.spec.clone(), store, root });
        self.shared = Some(shared.clone());
        Ok(shared)
    }

    fn named(&self, error: Error) -> Error {
        error.context(format!("table '{}'", self.config.table))
    }
}

/// The columns that come from the files.
pub(crate) fn physical(spec: &SourceSpec) -> Vec<aqueduct_core::TableColumn> {
    spec.columns.iter().filter(|column| column.kind == ColumnKind::Physical).cloned().collect()
}

/// The files that count and their sizes. A path that names a file gives this one, under an empty name.
async fn files(shared: &Shared) -> Result<Vec<(String, u64)>> {
    let Shared { config, store, root, .. } = shared;
    if !root.is_root()
        && let Ok(file) = store.head(root).await
    {
        return Ok(vec![(String::new(), file.size)]);
    }
    let mut files = committed_files(store, root, &config.path).await?;
    files.retain(|(name, _)| config.format.fits(name));
    if files.is_empty()
        && list(store, root, &config.path).await?.is_empty()
        && !Location::parse(&config.path)?.is_local()
    {
        // A folder of a bucket exists by its objects only: nothing there is a wrong path more often than an empty
        // table.
        return Err(Error::config(format!(
            "{}: there is no object below this path: check 'path', or put a file there first",
            config.path
        )));
    }
    Ok(files)
}

impl Source for FilesystemSource {
    fn discover(&mut self) -> Result<(Vec<SplitId>, SourceIdentity)> {
        let shared = self.shared()?;
        let found = self.blocking.wait(files(&shared)).map_err(|error| self.named(error))?;
        // A file whose size has changed is not the one that the checkpoint's row numbers speak of.
        let identity = found.iter().map(|(name, size)| (format!("file {}", shown(name)), format!("{size} bytes")));
        let identity = SourceIdentity(identity.collect());
        Ok((found.into_iter().map(|(name, _)| SplitId::new(shown(&name), 0)).collect(), identity))
    }

    fn start_of(&mut self, _split: &SplitId, _late_arrival: bool) -> Result<Offset> {
        Ok(Offset(0))
    }

    fn reader(&mut self, splits: Vec<SplitStart>) -> Result<Box<dyn SourceReader>> {
        let mut reader = FileReader {
            shared: self.shared()?,
            blocking: Blocking::new()?,
            waiting: VecDeque::new(),
            open: None,
            ended: vec![],
        };
        reader.assign(splits)?;
        Ok(Box::new(reader))
    }

    fn publish_progress(&mut self, _offsets: &[SplitStart]) -> Result<()> {
        Ok(())
    }

    fn bounded(&self) -> bool {
        true
    }

    fn expected_records(&self) -> Option<u64> {
        // Counting lines would mean to read everything twice.
        None
    }
}

/// A file's name as a split's: the only file of a path has an empty one.
fn shown(name: &str) -> &str {
    if name.is_empty() { "." } else { name }
}

/// Reads its files one after the other.
struct FileReader {
    shared: Arc<Shared>,
    blocking: Blocking,
    waiting: VecDeque<SplitStart>,
    open: Option<OpenFile>,
    ended: Vec<SplitId>,
}

impl SourceReader for FileReader {
    fn read(&mut self, budget: ReadBudget) -> Result<Read> {
        let Self { shared, blocking, waiting, open, ended } = self;
        let named = |error: Error| error.context(format!("table '{}'", shared.config.table));
        if open.is_none() {
            let Some(start) = waiting.pop_front() else { return Ok(Read::End) };
            // It opens the file at the first read, so that a failure there can be repeated.
            *open = Some(OpenFile::new(shared.clone(), start).map_err(named)?);
        }
        let Some(file) = open else { return Ok(Read::End) };
        match file.next(blocking, budget.max_records.max(1)) {
            Ok(Some(batch)) => Ok(Read::Batch(batch)),
            Ok(None) => {
                let split = file.split().clone();
                *open = None;
                ended.push(split.clone());
                Ok(Read::SplitEnd(split))
            }
            Err(error) => {
                if error.kind() == ErrorKind::Retry {
                    file.reopen_later();
                }
                Err(named(error))
            }
        }
    }

    fn assign(&mut self, splits: Vec<SplitStart>) -> Result<()> {
        self.waiting.extend(splits);
        self.waiting.make_contiguous().sort_by(|left, right| left.split.cmp(&right.split));
        Ok(())
    }

    fn lag(&self) -> Vec<SplitLag> {
        let unread = self.waiting.iter().map(|start| &start.split).chain(self.open.as_ref().map(OpenFile::split));
        let unread = unread.map(|split| SplitLag { split: split.clone(), records: None });
        let ended = self.ended.iter().map(|split| SplitLag { split: split.clone(), records: Some(0) });
        unread.chain(ended).collect()
    }

    fn close(&mut self) {
        self.waiting.clear();
        self.open = None;
    }
}

#[cfg(test)]
mod tests;
