//! Snapshots: a folder of hard links that stays as it is while the store goes on.
//!
//! Names of SST files come back in later incarnations with other contents: keep files by their contents, and use
//! [`FileIdentity`] only within one process, to leave out hashing a file twice.

use crate::store::disk;
use aqueduct_core::{Error, Result};
use rocksdb::{DB, checkpoint::Checkpoint};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFile {
    /// Its name in the store's folder; a restore needs it under the same name.
    pub name: String,
    /// Where it lies now.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// True for files that never change under their name while this store lives (SST files).
    pub immutable: bool,
    /// The same identity means the same contents, within one process.
    pub identity: FileIdentity,
}

/// Which file on this machine it is; a key for a cache of hashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileIdentity {
    name: String,
    bytes: u64,
    device: u64,
    inode: u64,
    modified_ns: i128,
}

/// Links the flushed store into `into`.
pub(crate) fn take(db: &DB, into: &Path) -> Result<Vec<StateFile>> {
    make_room(into)?;
    let taken = Checkpoint::new(db).and_then(|checkpoint| checkpoint.create_checkpoint(into));
    taken.map_err(|error| {
        Error::config(format!(
            "no snapshot can be taken in '{}': {error}; it must lie on the same file system as the state, with free space",
            into.display()
        ))
    })?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(into).map_err(|error| disk(into, "list", error))? {
        let entry = entry.map_err(|error| disk(into, "list", error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Opening does not need it, and it would be one more upload with every checkpoint.
        if name.starts_with("OPTIONS-") {
            continue;
        }
        let path = entry.path();
        let meta = entry.metadata().map_err(|error| disk(&path, "look at", error))?;
        if meta.is_file() {
            files.push(describe(name, path, &meta));
        }
    }
    files.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(files)
}

fn describe(name: String, path: PathBuf, meta: &std::fs::Metadata) -> StateFile {
    let identity = FileIdentity {
        name: name.clone(),
        bytes: meta.len(),
        device: meta.dev(),
        inode: meta.ino(),
        modified_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
    };
    let immutable = Path::new(&name).extension().is_some_and(|extension| extension == "sst");
    StateFile { name, path, bytes: meta.len(), immutable, identity }
}

/// RocksDB wants to create the folder itself. Only what looks like a snapshot, or is empty, is removed.
fn make_room(into: &Path) -> Result<()> {
    if let Some(parent) = into.parent() {
        std::fs::create_dir_all(parent).map_err(|error| disk(parent, "create", error))?;
    }
    let mut entries = match std::fs::read_dir(into) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(disk(into, "list", error)),
    };
    if into.join("CURRENT").is_file() || entries.next().is_none() {
        return std::fs::remove_dir_all(into).map_err(|error| disk(into, "empty", error));
    }
    Err(Error::bug(format!("'{}' holds something else than a snapshot and is left alone", into.display())))
}

/// A name that stays in the store's folder.
pub(crate) fn plain_name(name: &str) -> Result<&str> {
    let plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != "..";
    if plain { Ok(name) } else { Err(Error::data(format!("'{name}' cannot be the name of a state file"))) }
}
