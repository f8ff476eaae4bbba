//! The thin layer over the object store: bytes in and out, patience with a busy store, and errors in the operator's words.
//!
//! It retries what may be repeated without harm (reads, lists, deletes) and does creates exactly once: what a failed create
//! came to is judged by `protocol`, after reading back.

use crate::host::TokioHost;
use aqueduct_core::{Error, ErrorKind, FailPoints, Host, Result};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::sync::Arc;
use std::time::Duration;

/// Deletes and reads that run at once.
const CONCURRENT: usize = 16;

/// How long a busy or unreachable store is waited for, beyond the store client's own retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The first pause; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// After so long the call fails with [`ErrorKind::Retry`].
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), longest: Duration::from_secs(5), give_up: Duration::from_secs(60) }
    }
}

/// A series of tries of one thing.
#[derive(Debug)]
pub(crate) struct Tries {
    patience: Patience,
    pause: Duration,
    since: Duration,
    host: Arc<dyn Host>,
}

impl Tries {
    /// Waits before the next try; false when patience has ended.
    pub(crate) async fn again(&mut self) -> bool {
        if self.host.steady().saturating_sub(self.since) + self.pause > self.patience.give_up {
            return false;
        }
        self.host.sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.patience.longest);
        true
    }
}

/// An object store with patience.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    inner: Arc<dyn ObjectStore>,
    patience: Patience,
    host: Arc<dyn Host>,
    /// Passed by everybody who works on the store.
    pub(crate) points: FailPoints,
}

impl Store {
    /// Over tokio; needs its runtime.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, patience: Patience) -> Self {
        Self::on(inner, patience, Arc::new(TokioHost::default()))
    }

    /// The same store, with points that tests have armed.
    pub(crate) fn with_points(self, points: FailPoints) -> Self {
        Self { points, ..self }
    }

    pub(crate) fn on(inner: Arc<dyn ObjectStore>, patience: Patience, host: Arc<dyn Host>) -> Self {
        Self { inner, patience, host, points: FailPoints::default() }
    }

    /// Begins a series of tries.
    pub(crate) fn tries(&self) -> Tries {
        Tries {
            patience: self.patience,
            pause: self.patience.first,
            since: self.host.steady(),
            host: self.host.clone(),
        }
    }

    /// Where waits and blocking work go.
    pub(crate) fn host(&self) -> &dyn Host {
        self.host.as_ref()
    }

    /// One create, with no second try.
    pub(crate) async fn create_once(&self, path: &Path, bytes: Bytes) -> object_store::Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.inner.put_opts(path, PutPayload::from_bytes(bytes), options).await.map(|_| ())
    }

    /// The whole object; `None` when there is none.
    pub(crate) async fn read(&self, path: &Path) -> Result<Option<Bytes>> {
        let mut tries = self.tries();
        loop {
            let error = match self.read_once(path).await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => error,
            };
            self.pause_or_fail(&mut tries, error, "read", path).await?;
        }
    }

    async fn read_once(&self, path: &Path) -> object_store::Result<Bytes> {
        self.inner.get(path).await?.bytes().await
    }

    /// The object's size; `None` when there is none.
    pub(crate) async fn size(&self, path: &Path) -> Result<Option<u64>> {
        let mut tries = self.tries();
        loop {
            let error = match self.inner.head(path).await {
                Ok(meta) => return Ok(Some(meta.size)),
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => error,
            };
            self.pause_or_fail(&mut tries, error, "look at", path).await?;
        }
    }

    /// Everything under a folder, after `after` where that is given.
    pub(crate) async fn list(&self, folder: &Path, after: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let mut tries = self.tries();
        loop {
            let entries = match after {
                Some(after) => self.inner.list_with_offset(Some(folder), after),
                None => self.inner.list(Some(folder)),
            };
            match entries.try_collect().await {
                Ok(entries) => return Ok(entries),
                Err(error) => self.pause_or_fail(&mut tries, error, "list", folder).await?,
            }
        }
    }

    /// The folders directly in a folder.
    pub(crate) async fn folders(&self, folder: &Path) -> Result<Vec<Path>> {
        let mut tries = self.tries();
        loop {
            match self.inner.list_with_delimiter(Some(folder)).await {
                Ok(found) => return Ok(found.common_prefixes),
                Err(error) => self.pause_or_fail(&mut tries, error, "list", folder).await?,
            }
        }
    }

    /// Deletes objects; one that is gone already counts as deleted. Takes the deleted ones out of `paths`, so that what is
    /// left after an error can be tried again.
    pub(crate) async fn delete(&self, paths: &mut Vec<Path>) -> Result<u64> {
        let mut deleted = 0;
        while !paths.is_empty() {
            let batch: Vec<Path> = paths.iter().rev().take(CONCURRENT * 4).cloned().collect();
            let size = batch.len();
            let deletes = futures::stream::iter(batch).map(|path| async move { self.delete_one(&path).await });
            deletes.buffer_unordered(CONCURRENT).try_collect::<Vec<()>>().await?;
            paths.truncate(paths.len() - size);
            deleted += size as u64;
        }
        Ok(deleted)
    }

    async fn delete_one(&self, path: &Path) -> Result<()> {
        let mut tries = self.tries();
        loop {
            match self.inner.delete(path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {
                    self.points.hit("checkpoint.collect.between-deletes");
                    return Ok(());
                }
                Err(error) => self.pause_or_fail(&mut tries, error, "delete", path).await?,
            }
        }
    }

    async fn pause_or_fail(
        &self,
        tries: &mut Tries,
        error: object_store::Error,
        action: &str,
        path: &Path,
    ) -> Result<()> {
        if kind_of(&error) != ErrorKind::Retry || !tries.again().await {
            return Err(self.explain(error, action, path));
        }
        tracing::debug!(%path, %error, "the checkpoint store could not {action}; trying again");
        Ok(())
    }

    /// An error in the operator's words.
    pub(crate) fn explain(&self, error: object_store::Error, action: &str, path: &Path) -> Error {
        let next = match &error {
            object_store::Error::PermissionDenied { .. } => {
                "permission denied; grant read, write, list and delete on execution.checkpointing.dir"
            }
            object_store::Error::Unauthenticated { .. } => {
                "the credentials were refused; check the ones for execution.checkpointing.dir"
            }
            object_store::Error::NotFound { .. } => {
                "the bucket or folder does not exist; create it or correct execution.checkpointing.dir"
            }
            object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
                "the store cannot do this; take a store with conditional creates for execution.checkpointing.dir"
            }
            _ => match kind_of(&error) {
                ErrorKind::FixConfig => {
                    "check the folder of execution.checkpointing.dir, its rights and its free space"
                }
                _ => "the store is unreachable or busy; the same call may work later",
            },
        };
        let message = format!("cannot {action} '{path}' in {}: {next} ({error})", self.inner);
        Error::new(kind_of(&error), message).with_source(error)
    }
}

/// Whether waiting can help.
pub(crate) fn kind_of(error: &object_store::Error) -> ErrorKind {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. }
        | E::Unauthenticated { .. }
        | E::NotFound { .. }
        | E::NotImplemented { .. }
        | E::NotSupported { .. }
        | E::InvalidPath { .. }
        | E::UnknownConfigurationKey { .. } => ErrorKind::FixConfig,
        other if local_trouble(other) || refused(other) => ErrorKind::FixConfig,
        _ => ErrorKind::Retry,
    }
}

/// Lists tell a refusal as `Generic` too; only their text has the status.
fn refused(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["401", "403", "404"].iter().any(|status| text.contains(&format!("status code: {status}")))
}

/// The local file system tells everything as `Generic`; the cause below it says whether waiting can help.
fn local_trouble(error: &object_store::Error) -> bool {
    use std::io::ErrorKind as Io;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            return matches!(
                io.kind(),
                Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotADirectory | Io::IsADirectory
            );
        }
        cause = current.source();
    }
    false
}
