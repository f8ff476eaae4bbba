//! Conditional writes whose outcome is known: after any error the object is read back before it is judged.
//!
//! A store's client tries conditional writes again after server errors, so that the winner itself can be told *already
//! exists*; and a time-out says nothing at all. It does not decide what another object of the same name means.

use crate::store::store_error;
use aqueduct_core::Result;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};

/// An object as it was read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) bytes: Bytes,
    pub(crate) version: UpdateVersion,
}

/// The outcome of [`create`].
#[derive(Debug)]
pub(crate) enum Created {
    /// The object holds these bytes: written now, or by an earlier try.
    Holds,
    /// The name is taken by other bytes.
    Other(Found),
}

/// Reads an object; `None` when it does not exist. `address` names it in errors.
pub(crate) async fn read(store: &dyn ObjectStore, path: &Path, address: &str) -> Result<Option<Found>> {
    let failed = |error| store_error(error, &format!("reading {address}"));
    match store.get(path).await {
        Ok(found) => {
            let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
            Ok(Some(Found { bytes: found.bytes().await.map_err(failed)?, version }))
        }
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Creates an object that must not exist yet. An error means that the bytes are not there, or that nobody can tell.
pub(crate) async fn create(store: &dyn ObjectStore, path: &Path, bytes: &Bytes, address: &str) -> Result<Created> {
    let Err(error) = store.put_opts(path, bytes.clone().into(), PutMode::Create.into()).await else {
        return Ok(Created::Holds);
    };
    match read(store, path, address).await {
        Ok(Some(found)) if found.bytes == *bytes => Ok(Created::Holds),
        Ok(Some(found)) => Ok(Created::Other(found)),
        // Nothing landed (S3 answers "exists" to a lost race of which nobody won), or reading fails too: the first
        // error tells.
        Ok(None) | Err(_) => Err(store_error(error, &format!("writing {address}"))),
    }
}

/// Replaces exactly the object that was found. False: it is another one by now. Where the store has no conditional
/// replacement (local folders), `check` runs right before a plain one.
pub(crate) async fn replace(
    store: &dyn ObjectStore,
    path: &Path,
    bytes: &Bytes,
    expected: UpdateVersion,
    address: &str,
    check: impl Future<Output = Result<()>>,
) -> Result<bool> {
    let mut outcome = store.put_opts(path, bytes.clone().into(), PutMode::Update(expected).into()).await;
    if matches!(outcome, Err(Error::NotImplemented { .. })) {
        check.await?;
        outcome = store.put_opts(path, bytes.clone().into(), PutMode::Overwrite.into()).await;
    }
    let Err(error) = outcome else { return Ok(true) };
    match read(store, path, address).await {
        Ok(Some(found)) if found.bytes == *bytes => Ok(true),
        Ok(_) if matches!(error, Error::Precondition { .. } | Error::AlreadyExists { .. }) => Ok(false),
        _ => Err(store_error(error, &format!("replacing {address}"))),
    }
}
