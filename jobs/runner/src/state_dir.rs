//! The local working folder of RocksDB: one process, one folder, removed at a clean end.
//!
//! Nothing in it is needed after the process: the checkpoint is the truth. So folders that dead processes left behind are
//! removed at the next start; a lock, not the process id, tells the dead from the living (ids repeat across containers).

use aqueduct_core::{Error, JobName, Result};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

const PREFIX: &str = "aqueduct-state-";

/// A locked folder.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    lock_path: PathBuf,
    /// Held for the life of the process.
    _lock: File,
}

impl StateDir {
    /// A fresh folder in `parent`, or in the system's temporary folder.
    pub(crate) fn create(parent: Option<&Path>, job: &JobName) -> Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let failed = |path: &Path, error: std::io::Error| {
            Error::config(format!(
                "cannot make the working folder {}: {error}; name a writable one with --state-dir",
                path.display()
            ))
        };
        std::fs::create_dir_all(&parent).map_err(|error| failed(&parent, error))?;
        sweep(&parent);
        for number in 0_u32.. {
            let path = parent.join(format!("{PREFIX}{job}-{}-{number}", std::process::id()));
            let lock_path = path.with_extension(lock_extension(&path));
            let lock = match File::options().write(true).create_new(true).open(&lock_path) {
                Ok(lock) => lock,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(&lock_path, error)),
            };
            lock.lock().map_err(|error| failed(&lock_path, error))?;
            std::fs::create_dir_all(&path).map_err(|error| failed(&path, error))?;
            return Ok(Self { path, lock_path, _lock: lock });
        }
        Err(Error::bug("no free name for the working folder"))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, at a clean end. What cannot be removed is left to the next start.
    pub(crate) fn remove(self) {
        remove(&self.path, &self.lock_path);
    }
}

/// A job's name may hold dots: what follows the last one is kept.
fn lock_extension(path: &Path) -> String {
    path.extension().map_or_else(|| "lock".to_owned(), |kept| format!("{}.lock", kept.to_string_lossy()))
}

fn remove(path: &Path, lock: &Path) {
    let gone = std::fs::remove_dir_all(path).is_ok() || !path.exists();
    if gone {
        // The lock goes last: without it the folder would never be swept.
        drop(std::fs::remove_file(lock));
    }
}

fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for lock_path in entries.flatten().map(|entry| entry.path()) {
        let name = lock_path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with(PREFIX) || !name.ends_with(".lock") {
            continue;
        }
        let Ok(lock) = File::options().write(true).open(&lock_path) else { continue };
        match lock.try_lock() {
            Ok(()) => remove(&lock_path.with_extension(""), &lock_path),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_dead_are_swept_and_those_of_the_living_kept() {
        let parent = tempfile::tempdir().unwrap();
        let job = JobName::new("v1.counts").unwrap();
        let living = StateDir::create(Some(parent.path()), &job).unwrap();
        let dead = parent.path().join(format!("{PREFIX}v1.counts-1-0"));
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("file"), "x").unwrap();
        std::fs::write(parent.path().join(format!("{PREFIX}v1.counts-1-0.lock")), "").unwrap();
        let second = StateDir::create(Some(parent.path()), &job).unwrap();
        assert!(!dead.exists());
        assert!(living.path().is_dir() && second.path().is_dir() && living.path() != second.path());
        living.remove();
        second.remove();
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = StateDir::create(Some(Path::new("/proc/none")), &JobName::new("a").unwrap()).unwrap_err();
        assert!(error.message().contains("/proc/none") && error.message().contains("--state-dir"), "{error}");
    }
}
