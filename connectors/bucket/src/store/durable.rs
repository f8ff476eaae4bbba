//! A local folder whose writes survive a power cut.
//!
//! `object_store`'s own local store publishes a file before its bytes are on the disk. This one writes and flushes a
//! hidden file first, publishes it by hard link (create) or rename (overwrite), and flushes the folders. Everything
//! else is the inner store's.

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct DurableLocal {
    inner: LocalFileSystem,
    /// Tells the hidden files of this process apart.
    next: AtomicU64,
}

impl DurableLocal {
    pub(crate) fn new(inner: LocalFileSystem) -> Self {
        Self { inner, next: AtomicU64::new(0) }
    }

    /// A name that the inner store hides from listings: it ends with `#` and digits.
    fn staging(&self, path: &FilePath) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut name = path.as_os_str().to_owned();
        // The process id comes first, so that two processes on one folder do not meet.
        name.push(format!("#{}{number:09}", std::process::id()));
        name.into()
    }
}

impl std::fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Durable{}", self.inner)
    }
}

fn failed(path: &FilePath, error: std::io::Error) -> Error {
    let path = path.display().to_string();
    match error.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: error.into() },
        _ => Error::Generic { store: "DurableLocal", source: Box::new(error) },
    }
}

/// Creates the folder of `path` with its parents and flushes each new entry.
fn create_folders(path: &FilePath) -> std::io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    if folder.is_dir() {
        return Ok(());
    }
    create_folders(folder)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    flush_folder(folder)
}

/// Makes the directory entry of `path` durable.
fn flush_folder(path: &FilePath) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn publish(staging: &FilePath, path: &FilePath, payload: &PutPayload, create: bool) -> std::io::Result<()> {
    create_folders(path)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(staging)?;
    payload.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()?;
    drop(file);
    if create {
        std::fs::hard_link(staging, path)?;
        std::fs::remove_file(staging)?;
    } else {
        std::fs::rename(staging, path)?;
    }
    flush_folder(path)
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "`PutMode::Update`".into(),
                    implementer: self.to_string(),
                });
            }
        };
        let path = self.inner.path_to_filesystem(location)?;
        let staging = self.staging(&path);
        let work = move || {
            publish(&staging, &path, &payload, create).map_err(|error| {
                // Best effort: a hidden file that stays behind is never listed.
                let _ = std::fs::remove_file(&staging);
                failed(&path, error)
            })
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(work).await??,
            Err(_) => work()?,
        }
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        // Not flushed: what must be durable is written whole.
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

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
