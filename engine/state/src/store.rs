//! [`StateStore`]: one RocksDB per shard, without write-ahead log, with bounded memory and a bounded compaction rate.
//!
//! A crash loses everything in it, which is right: the truth lies in the checkpoint, from which it is restored.

use crate::key::{PaneKey, SliceKey, query_of};
use crate::puts::PanePuts;
use crate::snapshot::{self, StateFile};
use aqueduct_core::{Error, Result};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Env, FlushOptions, Options, ReadOptions, WaitForCompactOptions,
    WriteBatch, WriteOptions, perf::get_memory_usage_stats,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Blocks are read at restores and by compaction only.
const BLOCK_CACHE: usize = 8 << 20;
/// Panes are read from end to end, never one alone.
const BLOCK: usize = 32 << 10;
/// Two of these at most.
const WRITE_BUFFER: usize = 16 << 20;
/// The size of SST files: one upload each, and one unit of what an incremental checkpoint can leave out.
const SST_FILE: u64 = 8 << 20;
/// Read ahead in each file of a compaction.
const COMPACTION_READAHEAD: usize = 128 << 10;
/// Flushes and compactions together write at most so much per second, so that they never starve the record path.
const WRITE_RATE: i64 = 64 << 20;
/// Read ahead of an iterator.
const READAHEAD: usize = 1 << 20;
/// A write goes to the memtable in pieces of this size, so that the memtable is cut near its bound.
const PIECE: usize = 1 << 20;

/// Adds up values of one pane, the oldest first, for a query ([`crate::query_hash`]); `None` when one of them is damaged. Called by
/// any thread, also while RocksDB compacts.
pub type Merge = Arc<dyn Fn(u64, &mut dyn Iterator<Item = &[u8]>) -> Option<Vec<u8>> + Send + Sync>;

/// Belongs to the format of what is stored.
const MERGE_NAME: &str = "aqueduct.panes.1";

/// What a checkpoint changes. Applied in the order of the fields: a put into a slice that the same batch deletes survives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaneBatch {
    /// Slices that have been retired.
    pub delete_slices: Vec<SliceKey>,
    /// What single threads wrote of slices, which is gone.
    pub delete_parts: Vec<(SliceKey, u16)>,
    /// New and changed panes.
    pub puts: PanePuts,
}

/// The panes of a shard.
pub struct StateStore {
    db: DB,
    cache: Cache,
    dir: PathBuf,
    written: WriteOptions,
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateStore").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl StateStore {
    /// An empty store in `dir`, which is emptied first. `merge` is what [`PanePuts::add`] does.
    pub fn create(dir: &Path, merge: Merge) -> Result<Self> {
        empty(dir)?;
        Self::open(dir, true, merge)
    }

    /// A store from the files of a snapshot, put into `dir` under the names of [`StateFile::name`]. Fails with
    /// [`aqueduct_core::ErrorKind::FixData`] when they are not whole.
    pub fn restore_dir(dir: &Path, merge: Merge) -> Result<Self> {
        Self::open(dir, false, merge)
    }

    /// As [`Self::restore_dir`], for files that lie elsewhere on the same or another file system: `dir` is emptied and the
    /// files are linked or copied into it.
    pub fn restore(dir: &Path, files: &[(String, PathBuf)], merge: Merge) -> Result<Self> {
        empty(dir)?;
        for (name, path) in files {
            let place = dir.join(snapshot::plain_name(name)?);
            if std::fs::hard_link(path, &place).is_err() {
                std::fs::copy(path, &place).map_err(|error| disk(&place, "copy a file to", error))?;
            }
        }
        Self::open(dir, false, merge)
    }

    /// As [`Self::restore_dir`], to be read only: nothing in `dir` is changed.
    pub fn read_dir(dir: &Path, merge: Merge) -> Result<Self> {
        Self::open_as(dir, false, merge, |options| DB::open_for_read_only(options, dir, false))
    }

    fn open(dir: &Path, create: bool, merge: Merge) -> Result<Self> {
        Self::open_as(dir, create, merge, |options| DB::open(options, dir))
    }

    fn open_as(
        dir: &Path,
        create: bool,
        merge: Merge,
        open: impl FnOnce(&Options) -> std::result::Result<DB, rocksdb::Error>,
    ) -> Result<Self> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE);
        let mut options = options(&cache, create);
        // Whoever restores reads everything at once; what compacts meanwhile only takes the disk from it.
        options.set_disable_auto_compactions(!create);
        options.set_merge_operator_associative(MERGE_NAME, move |key, there, added| {
            merge(query_of(key)?, &mut there.into_iter().chain(added))
        });
        let db = open(&options).map_err(|error| {
            let next = if create {
                "check the folder's rights and free space"
            } else {
                "the files of the checkpoint are not whole; restore an earlier checkpoint folder or begin afresh"
            };
            let message = format!("the state in '{}' cannot be opened: {error}; {next}", dir.display());
            let error = if create || is_space(&error) { Error::config(message) } else { Error::data(message) };
            error.with_source(std::io::Error::other("RocksDB"))
        })?;
        let mut written = WriteOptions::default();
        written.disable_wal(true);
        Ok(Self { db, cache, dir: dir.to_owned(), written })
    }

    /// Lets RocksDB compact, which it does not do from a restore until this is said.
    pub fn let_compact(&mut self) -> Result<()> {
        let allowed = self.db.set_options(&[("disable_auto_compactions", "false")]);
        allowed.map_err(|error| self.explain(&error, "compacted"))
    }

    /// Applies a batch. It survives the process only as part of a snapshot.
    pub fn write(&mut self, batch: PaneBatch) -> Result<()> {
        let PaneBatch { delete_slices, delete_parts, mut puts } = batch;
        let mut piece = WriteBatch::default();
        for slice in delete_slices {
            let (first, after) = slice.range();
            piece.delete_range(first, after);
        }
        for (slice, worker) in delete_parts {
            piece.delete_range(slice.worker_prefix(worker), slice.behind(worker));
        }
        // Sorted input makes memtable inserts cheap: each one lands beside the one before.
        for (key, value, added) in puts.sorted() {
            if added {
                piece.merge(key, value);
            } else {
                piece.put(key, value);
            }
            if piece.size_in_bytes() >= PIECE {
                self.apply(std::mem::take(&mut piece))?;
            }
        }
        self.apply(piece)
    }

    pub(crate) fn apply(&self, piece: WriteBatch) -> Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        self.db.write_opt(piece, &self.written).map_err(|error| self.explain(&error, "written"))
    }

    /// Flushes, and waits until no compaction runs or is due: equal writes then lead to equal sets of files.
    pub fn settle(&mut self) -> Result<()> {
        let mut wait = WaitForCompactOptions::default();
        wait.set_flush(true);
        self.db.wait_for_compact(&wait).map_err(|error| self.explain(&error, "compacted"))
    }

    /// Flushes, and links everything into the folder `into`, which lies on the same file system as the store; a snapshot that
    /// is there already is replaced. Unchanged files are the same files as in the snapshot before.
    pub fn snapshot(&mut self, into: &Path) -> Result<Vec<StateFile>> {
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        self.db.flush_opt(&flush).map_err(|error| self.explain(&error, "flushed"))?;
        snapshot::take(&self.db, into)
    }

    /// An iterator that reads ahead and leaves the cache as it is.
    pub(crate) fn iterator(&self, mut options: ReadOptions) -> rocksdb::DBRawIterator<'_> {
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD);
        self.db.raw_iterator_opt(options)
    }

    pub(crate) fn read_key(&self, pane: &mut PaneKey, key: &[u8]) -> Result<u16> {
        pane.read(key).map_err(|why| {
            Error::data(format!(
                "the state in '{}' holds a key that is none ({why}); restore an earlier checkpoint folder or begin afresh",
                self.dir.display()
            ))
        })
    }

    /// Memory of RocksDB: memtables, block cache, and what open tables keep.
    pub fn memory_bytes(&self) -> u64 {
        get_memory_usage_stats(Some(&[&self.db]), Some(&[&self.cache]))
            .map(|usage| usage.mem_table_total + usage.mem_table_readers_total + usage.cache_total)
            .unwrap_or(0)
    }

    /// Bytes of the SST files that are in use.
    pub fn disk_bytes(&self) -> u64 {
        self.db.property_int_value("rocksdb.live-sst-files-size").ok().flatten().unwrap_or(0)
    }

    pub(crate) fn explain(&self, error: &rocksdb::Error, action: &str) -> Error {
        let place = self.dir.display();
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Error::data(format!(
                "the state in '{place}' is damaged and cannot be {action}: {error}; restore an earlier checkpoint folder or begin \
                 afresh"
            )),
            rocksdb::ErrorKind::IOError => Error::config(format!(
                "the state in '{place}' cannot be {action}: {error}; check the disk and its free space, then start again"
            )),
            _ => Error::bug(format!("the state in '{place}' cannot be {action}: {error}")),
        }
    }
}

fn options(cache: &Cache, create: bool) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(BLOCK);
    // Index blocks count against the cache, so that many files cannot grow memory past the bound.
    blocks.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.create_if_missing(create);
    options.set_error_if_exists(create);
    options.set_paranoid_checks(true);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(WRITE_BUFFER);
    options.set_max_write_buffer_number(2);
    options.set_target_file_size_base(SST_FILE);
    options.set_max_bytes_for_level_base(8 * SST_FILE);
    // Every snapshot flushes one file: compact in larger steps than the default, and slow writers down late.
    options.set_level_zero_file_num_compaction_trigger(8);
    options.set_level_zero_slowdown_writes_trigger(32);
    options.set_level_zero_stop_writes_trigger(48);
    options.set_max_background_jobs(2);
    // The default reads 2 MiB ahead in each file that it merges, which local disks do not need.
    options.set_compaction_readahead_size(COMPACTION_READAHEAD);
    options.set_max_open_files(256);
    options.set_ratelimiter(WRITE_RATE, 100_000, 10);
    // Flushes and compactions wait where a reading thread wants the processor. Without it they only take their share.
    if let Ok(mut env) = Env::new() {
        env.lower_thread_pool_cpu_priority();
        options.set_env(&env);
    }
    // The manifest is uploaded with every checkpoint: keep it short.
    options.set_max_manifest_file_size(64 << 10);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options
}

fn empty(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(dir, "empty", error)),
        _ => {}
    }
    std::fs::create_dir_all(dir).map_err(|error| disk(dir, "create", error))
}

/// A local file error in the operator's words.
pub(crate) fn disk(path: &Path, action: &str, error: std::io::Error) -> Error {
    let message = format!("cannot {action} '{}': {error}; check the folder's rights and free space", path.display());
    Error::config(message).with_source(error)
}

fn is_space(error: &rocksdb::Error) -> bool {
    error.kind() == rocksdb::ErrorKind::IOError && error.to_string().contains("No space")
}

#[cfg(test)]
mod tests;
