//! Deleting what nobody needs: close the slots first, then delete records and blobs.
//!
//! What may go is decided in `protocol`. A record that cannot be read stops the collection: what it needs is not known.

use crate::append::unreadable;
use crate::blobs::place;
use crate::paths::slot_of;
use crate::protocol::{CollectFacts, CollectPlan, Slot, leftovers, orphans, plan_collect};
use crate::reader::{ShardReader, Shared};
use crate::record::{Boundary, decode, encode};
use crate::store::kind_of;
use aqueduct_core::{Epoch, Error, ErrorKind, Result};
use bytes::Bytes;
use object_store::path::Path;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// What a collection deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Records.
    pub records: u64,
    /// Blobs.
    pub blobs: u64,
}

/// The owner's garbage: decided, and perhaps not deleted yet.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    /// Whether what earlier owners left was looked for.
    swept: bool,
    records: Vec<Path>,
    blobs: Vec<Path>,
    boundaries: Vec<Path>,
}

impl Collector {
    pub(crate) async fn collect(
        &mut self,
        reader: &ShardReader,
        keep_after: Epoch,
        retained: usize,
    ) -> Result<Collected> {
        let shared: &Shared = &reader.shared;
        reader.check_owner().await?;
        shared.know_everything().await?;
        let plan = {
            let (entries, book) = (shared.history().entries(), shared.book());
            plan_collect(&CollectFacts { entries: &entries, keep_after, retained, pinned: book.pinned() })
        };
        if let Some(plan) = plan {
            self.close(shared, plan).await?;
        }
        if !self.swept {
            self.sweep(shared).await?;
            self.swept = true;
        }
        let records = shared.store.delete(&mut self.records).await?;
        shared.store.points.hit("checkpoint.collect.after-records");
        let blobs = shared.store.delete(&mut self.blobs).await?;
        shared.store.points.hit("checkpoint.collect.after-blobs");
        shared.store.delete(&mut self.boundaries).await?;
        shared.store.points.hit("checkpoint.collect.done");
        Ok(Collected { records, blobs })
    }

    /// Creates the boundary; only then the plan's deletions count as decided.
    async fn close(&mut self, shared: &Shared, plan: CollectPlan) -> Result<()> {
        let mut claims = shared.history().claims().clone();
        claims.extend(&plan.claims);
        let boundary = Boundary {
            slot: plan.boundary,
            put_id: shared.ids.put_id(),
            generation: shared.claimed.generation,
            claims: claims.into_iter().collect(),
        };
        let bytes = encode(&boundary).map_err(|error| Error::bug(format!("a boundary cannot be encoded: {error}")))?;
        shared.store.points.hit("checkpoint.collect.before-boundary");
        create_boundary(shared, plan.boundary, Bytes::from(bytes)).await?;
        shared.store.points.hit("checkpoint.collect.after-boundary");
        let blobs: Vec<Path> = plan.blobs.iter().map(|blob| place(&shared.paths, blob)).collect::<Result<_>>()?;
        let floor = shared.history().floor();
        if floor > Slot(0) && floor < plan.boundary {
            self.boundaries.push(shared.paths.boundary(floor));
        }
        shared.book().give_up(&plan.blobs);
        shared.history().close_below(&boundary);
        self.records.extend(plan.records.iter().map(|slot| shared.paths.record(*slot)));
        self.blobs.extend(blobs);
        Ok(())
    }

    /// Finds what earlier owners decided to delete and did not, and what they put and never committed.
    async fn sweep(&mut self, shared: &Shared) -> Result<()> {
        let (floor, claims, needed) = {
            let (history, book) = (shared.history(), shared.book());
            let mut needed: BTreeSet<String> = book.pinned().clone();
            for entry in history.entries() {
                needed.extend(entry.said.blobs().cloned().unwrap_or_default());
            }
            (history.floor(), history.claims().clone(), needed)
        };
        for meta in shared.store.list(&shared.paths.boundaries(), None).await? {
            if slot_of(&meta.location).is_some_and(|slot| slot < floor) && !self.boundaries.contains(&meta.location) {
                self.boundaries.push(meta.location);
            }
        }
        let listed = shared.store.list(&shared.paths.log(), None).await?;
        for slot in leftovers(listed.iter().filter_map(|meta| slot_of(&meta.location)), floor, &claims) {
            let path = shared.paths.record(slot);
            if !self.records.contains(&path) {
                self.records.push(path);
            }
        }
        let listed = shared.store.list(&shared.paths.blobs(), None).await?;
        let found = listed.iter().filter_map(|meta| shared.paths.blob_reference(&meta.location));
        for orphan in orphans(found, &needed, shared.claimed.generation) {
            let path = place(&shared.paths, &orphan)?;
            if !self.blobs.contains(&path) {
                self.blobs.push(path);
                shared.counters.orphaned_blobs.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Creates a boundary until it is known to be there. Another one at the same slot says the same.
async fn create_boundary(shared: &Shared, slot: Slot, bytes: Bytes) -> Result<()> {
    let (path, mut tries) = (shared.paths.boundary(slot), shared.store.tries());
    loop {
        let Err(error) = shared.store.create_once(&path, bytes.clone()).await else { return Ok(()) };
        match shared.store.read(&path).await? {
            Some(there) => {
                let read = decode::<Boundary>(&there).map_err(|error| unreadable(&error, "boundary", &path))?;
                return if read.slot == slot {
                    Ok(())
                } else {
                    Err(Error::data(format!(
                        "boundary '{path}' closes slot {}; the folder was changed by hand",
                        read.slot
                    )))
                };
            }
            None if kind_of(&error) != ErrorKind::Retry || !tries.again().await => {
                return Err(shared.store.explain(error, "create", &path));
            }
            None => {}
        }
    }
}
