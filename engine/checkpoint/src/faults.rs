//! A store for tests that lies: replies lost after the apply, errors before it, conflicts with nothing landed, late applies.
//!
//! Faults are named per operation and used up one by one, so that a test says exactly what goes wrong where.

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What goes wrong with a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutFault {
    /// Nothing.
    None,
    /// It lands; the reply is an error.
    ReplyLost,
    /// It lands, the client repeats it, and is told that it exists.
    RepliedAlreadyExists,
    /// It does not land.
    ErrorBefore,
    /// It does not land and is told to exist.
    ConflictNothingLanded,
    /// It fails, and lands when [`FaultStore::land_late`] is called.
    LandsLate,
    /// It is refused for lack of rights.
    Denied,
}

#[derive(Debug, Default)]
struct Plan {
    puts: VecDeque<PutFault>,
    /// While true, nothing works.
    down: bool,
    /// Deletes that work before the others fail.
    deletes_left: Option<usize>,
    late: Vec<(Path, PutPayload, PutOptions)>,
    /// Lands before the first list of this folder, instead of when it is called for.
    late_lands_at: Option<Path>,
    /// The newest so many objects are missing from lists.
    stale_list: usize,
    puts_seen: u64,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Mutex<Plan>>,
}

impl FaultStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    fn plan<T>(&self, with: impl FnOnce(&mut Plan) -> T) -> T {
        with(&mut self.plan.lock().unwrap())
    }

    /// The coming puts go wrong in this way, one fault each.
    pub(crate) fn next_puts(&self, faults: &[PutFault]) {
        self.plan(|plan| plan.puts.extend(faults));
    }

    /// What has not gone wrong yet will not.
    pub(crate) fn forget_faults(&self) {
        self.plan(|plan| plan.puts.clear());
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.plan(|plan| plan.down = down);
    }

    pub(crate) fn fail_deletes_after(&self, deletes: Option<usize>) {
        self.plan(|plan| plan.deletes_left = deletes);
    }

    pub(crate) fn hide_newest_from_lists(&self, objects: usize) {
        self.plan(|plan| plan.stale_list = objects);
    }

    pub(crate) fn puts_seen(&self) -> u64 {
        self.plan(|plan| plan.puts_seen)
    }

    /// Applies what was late; the results are nobody's business any more.
    pub(crate) async fn land_late(&self) -> Vec<Result<PutResult>> {
        let late = self.plan(|plan| std::mem::take(&mut plan.late));
        let mut results = Vec::new();
        for (path, payload, options) in late {
            results.push(self.inner.put_opts(&path, payload, options).await);
        }
        results
    }

    /// The same, at the moment when this folder is listed for the first time.
    pub(crate) fn land_late_at_list_of(&self, folder: &Path) {
        self.plan(|plan| plan.late_lands_at = Some(folder.clone()));
    }

    fn up(&self) -> Result<()> {
        if self.plan(|plan| plan.down) { Err(trouble("the store is down")) } else { Ok(()) }
    }
}

fn trouble(what: &'static str) -> object_store::Error {
    object_store::Error::Generic { store: "FaultStore", source: what.into() }
}

fn exists(path: &Path) -> object_store::Error {
    object_store::Error::AlreadyExists { path: path.to_string(), source: "409 Conflict".into() }
}

impl std::fmt::Display for FaultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.up()?;
        let fault = self.plan(|plan| {
            plan.puts_seen += 1;
            plan.puts.pop_front().unwrap_or(PutFault::None)
        });
        match fault {
            PutFault::None => self.inner.put_opts(path, payload, options).await,
            PutFault::ReplyLost => {
                self.inner.put_opts(path, payload, options).await?;
                Err(trouble("the reply was lost"))
            }
            PutFault::RepliedAlreadyExists => {
                self.inner.put_opts(path, payload, options).await?;
                Err(exists(path))
            }
            PutFault::ErrorBefore => Err(trouble("nothing was sent")),
            PutFault::ConflictNothingLanded => Err(exists(path)),
            PutFault::LandsLate => {
                self.plan(|plan| plan.late.push((path.clone(), payload, options)));
                Err(trouble("timed out"))
            }
            PutFault::Denied => {
                Err(object_store::Error::PermissionDenied { path: path.to_string(), source: "403 Forbidden".into() })
            }
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.up()?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let allowed = paths.map(move |path| {
            let fails = this.plan(|plan| match &mut plan.deletes_left {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => plan.down,
            });
            if fails { Err(trouble("no delete")) } else { path }
        });
        self.inner.delete_stream(allowed.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.up() {
            return futures::stream::iter([Err(error)]).boxed();
        }
        let (hidden, this, prefix) = (self.plan(|plan| plan.stale_list), self.clone(), prefix.cloned());
        let listed = async move {
            if prefix.is_some()
                && this.plan(|plan| plan.late_lands_at.take_if(|at| prefix.as_ref() == Some(at))).is_some()
            {
                this.land_late().await;
            }
            let mut metas: Vec<ObjectMeta> = this.inner.list(prefix.as_ref()).try_collect().await?;
            metas.sort_by(|left, right| left.location.cmp(&right.location));
            metas.truncate(metas.len().saturating_sub(hidden));
            Ok::<_, object_store::Error>(futures::stream::iter(metas.into_iter().map(Ok)))
        };
        futures::stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.up()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
