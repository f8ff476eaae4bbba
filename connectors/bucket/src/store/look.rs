//! A look at a store that leaves nothing behind: whether a place can be listed and written, and what only a write would tell.
//!
//! A right is asked for by a request that cannot take effect: a write under a condition that never holds is refused in other
//! words to those who may write than to those who may not.

use super::{Location, StoreOptions, System, open_store, store_error};
use aqueduct_core::{Error, Hurdle, Result};
use futures::TryStreamExt;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion, path::Path};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

/// The object that is asked for. Nobody makes it.
const NOBODYS: &str = "aqueduct-check";

/// What a place is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Objects are listed, read and created.
    Create,
    /// ... and deleted or replaced.
    CreateAndDelete,
}

/// Whether the folder of `url` can be used as `needs` says; a local one need not exist yet. Fails with what is wrong and what to
/// do. The answer is what cannot be known without leaving something there.
pub async fn look(url: &str, options: &StoreOptions, needs: Needs) -> Result<Vec<String>> {
    let location = Location::parse(url)?;
    if location.is_local() {
        return look_at_folder(&location.path);
    }
    let (store, folder) = open_store(url, options)?;
    store.list(Some(&folder)).try_next().await.map_err(|error| store_error(error, &format!("listing {url}")))?;
    let nobodys = folder.clone().join(NOBODYS);
    let mut unknown = Vec::new();
    ask_to_create(store.as_ref(), &nobodys, url, &mut unknown).await?;
    if needs == Needs::CreateAndDelete {
        ask_to_delete(location.system, store.as_ref(), &nobodys, url, &mut unknown).await?;
    }
    Ok(unknown)
}

async fn ask_to_create(store: &dyn ObjectStore, nobodys: &Path, url: &str, unknown: &mut Vec<String>) -> Result<()> {
    let never = UpdateVersion { e_tag: Some("\"00000000000000000000000000000000\"".into()), version: Some("1".into()) };
    match store.put_opts(nobodys, PutPayload::from_static(b""), PutMode::Update(never).into()).await {
        Err(StoreError::Precondition { .. } | StoreError::NotFound { .. }) => Ok(()),
        Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => {
            unknown.push(format!("the right to create objects in {url}"));
            Ok(())
        }
        Err(error) => Err(store_error(error, &format!("asking for the right to create objects in {url}"))),
        Ok(_) => {
            // It is there against our will, and all that can be done is to take it away again.
            let left = match store.delete(nobodys).await {
                Ok(()) => String::new(),
                Err(_) => format!("; the empty object '{nobodys}' was left there"),
            };
            Err(Error::config(format!(
                "{url}: this store takes a write whose condition does not hold: two owners could write at once, so it cannot be \
                 used; take a store with conditional writes{left}"
            ))
            .at(Hurdle::Fit))
        }
    }
}

async fn ask_to_delete(
    system: System,
    store: &dyn ObjectStore,
    nobodys: &Path,
    url: &str,
    unknown: &mut Vec<String>,
) -> Result<()> {
    if system == System::S3 {
        // In a bucket with versions even the deletion of nothing leaves a marker.
        unknown.push(format!("the right to delete objects in {url}"));
        return Ok(());
    }
    match store.delete(nobodys).await {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(store_error(error, &format!("asking for the right to delete objects in {url}"))),
    }
}

/// A file without a name is made in the folder, or in the nearest one above it that exists; it vanishes by itself.
fn look_at_folder(folder: &str) -> Result<Vec<String>> {
    let failed = |what: &str, error: std::io::Error| {
        Error::config(format!("{what} '{folder}': {error}: check the path and its permissions"))
            .at(Hurdle::Permit)
            .with_source(error)
    };
    let absolute = std::path::absolute(folder).map_err(|error| failed("resolving the folder", error))?;
    let existing = absolute.ancestors().find(|above| above.exists()).unwrap_or(&absolute);
    if !existing.is_dir() {
        let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(failed("using the folder", error));
    }
    std::fs::read_dir(existing).map_err(|error| failed("reading the folder", error))?;
    match OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(existing) {
        Ok(_) => Ok(Vec::new()),
        // File systems without nameless files.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {
            Ok(vec![format!("the right to create files in {folder}")])
        }
        Err(error) => Err(failed("writing to the folder", error)),
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
