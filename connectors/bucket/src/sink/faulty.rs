//! A store whose writes go wrong as they do in the field. For tests only.

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::sync::{Arc, Mutex};

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is written.
    BeforeApplying,
    /// It is written, but the reply is lost.
    AfterApplying,
    /// It is written; the client's second try then finds it.
    AlreadyExistsAfterApplying,
    /// Nothing is written, and the store speaks of a conflict.
    AlreadyExistsWithoutApplying,
    /// No permission.
    Denied,
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    fault: Mutex<Option<Fault>>,
}

impl FaultyStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, fault: Mutex::new(None) }
    }

    /// Every write goes wrong so, from now on.
    pub(super) fn every_put(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = *self.fault.lock().unwrap();
        let update = matches!(options.mode, PutMode::Update(_));
        let path = location.to_string();
        let lost = || Error::Generic { store: "Faulty", source: "connection reset".into() };
        let Some(fault) = fault else { return self.inner.put_opts(location, payload, options).await };
        if matches!(fault, Fault::AfterApplying | Fault::AlreadyExistsAfterApplying) {
            self.inner.put_opts(location, payload, options).await?;
        }
        Err(match fault {
            Fault::BeforeApplying | Fault::AfterApplying => lost(),
            Fault::Denied => Error::PermissionDenied { path, source: "403".into() },
            _ if update => Error::Precondition { path, source: "412".into() },
            _ => Error::AlreadyExists { path, source: "409".into() },
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
