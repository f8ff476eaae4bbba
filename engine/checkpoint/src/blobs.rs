//! Immutable contents under content names: put once, read back checked.
//!
//! Which names contents get, which blobs are needed and which are known to be there is decided in `protocol`.

use crate::ids::hex;
use crate::paths::ShardPaths;
use crate::reader::Shared;
use crate::record::BlobRef;
use crate::store::{Store, kind_of};
use aqueduct_core::{Error, ErrorKind, Result};
use bytes::Bytes;
use object_store::path::Path;
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// From this size on hashing leaves the async thread.
const HASH_ELSEWHERE: usize = 1 << 20;

/// Puts contents, unless they are known to be there.
pub(crate) async fn put(shared: &Shared, name: &str, contents: Bytes) -> Result<BlobRef> {
    let sha256 = hash(&shared.store, &contents).await?;
    let bytes = contents.len() as u64;
    let blob = |object: String| BlobRef { name: name.to_owned(), sha256: sha256.clone(), bytes, object };
    let reused = shared.book().reuse(&sha256, bytes);
    if let Some(object) = reused {
        shared.counters.reused_blobs.fetch_add(1, Ordering::Relaxed);
        return Ok(blob(object));
    }
    let times = shared.book().times_given_up(&sha256);
    let object = ShardPaths::blob_object(shared.claimed.generation, &sha256, times);
    let path = place(&shared.paths, &object)?;
    let uploaded = create(shared, &path, contents).await?;
    shared.book().learn(&sha256, bytes, &object);
    if uploaded {
        shared.counters.uploaded_blobs.fetch_add(1, Ordering::Relaxed);
        shared.counters.uploaded_bytes.fetch_add(bytes, Ordering::Relaxed);
    } else {
        shared.counters.reused_blobs.fetch_add(1, Ordering::Relaxed);
    }
    Ok(blob(object))
}

/// True when this call uploaded, false when the blob was there. After any error the object's size decides: the name is the
/// contents' hash, so that whoever wrote it wrote the same.
async fn create(shared: &Shared, path: &Path, contents: Bytes) -> Result<bool> {
    let (store, mut tries, mut first) = (&shared.store, shared.store.tries(), true);
    loop {
        store.points.hit("checkpoint.blob.before-put");
        let put = store.create_once(path, contents.clone()).await;
        store.points.hit("checkpoint.blob.after-put");
        let Err(error) = put else { return Ok(true) };
        shared.counters.put_readbacks.fetch_add(1, Ordering::Relaxed);
        match store.size(path).await? {
            Some(size) if size == contents.len() as u64 => {
                let there_before = first && matches!(error, object_store::Error::AlreadyExists { .. });
                return Ok(!there_before);
            }
            Some(size) => {
                return Err(Error::data(format!(
                    "blob '{path}' has {size} bytes instead of {}; it was changed from outside, delete it and start again",
                    contents.len()
                )));
            }
            None if kind_of(&error) != ErrorKind::Retry || !tries.again().await => {
                return Err(store.explain(error, "create", path));
            }
            None => first = false,
        }
    }
}

/// The checked contents.
pub(crate) async fn get(store: &Store, paths: &ShardPaths, blob: &BlobRef) -> Result<Bytes> {
    get_at(store, &place(paths, &blob.object)?, blob).await
}

/// The same from another place than the reference says.
pub(crate) async fn get_at(store: &Store, path: &Path, blob: &BlobRef) -> Result<Bytes> {
    let next =
        "restore the object from a copy or an older version of it, or give the job a new pipeline.name to begin afresh";
    let contents = store
        .read(path)
        .await?
        .ok_or_else(|| Error::data(format!("checkpoint file '{}' (object '{path}') is missing; {next}", blob.name)))?;
    if contents.len() as u64 != blob.bytes {
        return Err(Error::data(format!(
            "checkpoint file '{}' (object '{path}') is damaged: {} bytes instead of {}; {next}",
            blob.name,
            contents.len(),
            blob.bytes
        )));
    }
    let sha256 = hash(store, &contents).await?;
    if sha256 != blob.sha256 {
        return Err(Error::data(format!(
            "checkpoint file '{}' (object '{path}') is damaged: SHA-256 {sha256} instead of {}; {next}",
            blob.name, blob.sha256
        )));
    }
    Ok(contents)
}

/// Where a reference points.
pub(crate) fn place(paths: &ShardPaths, object: &str) -> Result<Path> {
    paths.blob(object).ok_or_else(|| {
        Error::data(format!(
            "'{object}' is not a blob of '{}'; the record that names it was changed by hand",
            paths.folder()
        ))
    })
}

async fn hash(store: &Store, contents: &Bytes) -> Result<String> {
    if contents.len() < HASH_ELSEWHERE {
        return Ok(hex(&Sha256::digest(contents)));
    }
    let (contents, (out, hashed)) = (contents.clone(), oneshot::channel());
    let work = move || {
        // Nobody waits for it only when the call was dropped.
        let _ = out.send(hex(&Sha256::digest(&contents)));
    };
    store.host().blocking(Box::new(work)).await;
    hashed.await.map_err(|error| Error::bug(format!("hashing a blob failed: {error}")).with_source(error))
}
