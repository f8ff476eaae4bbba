//! Every path of the checkpoint folder, and the way back from a path to its numbers.
//!
//! ```text
//! <root>/<job>/L<lineage>/s<shard>/log/<slot, 20 digits>          records, created only
//! <root>/<job>/L<lineage>/s<shard>/boundary/<slot, 20 digits>     slots below are closed; created only, the greatest counts
//! <root>/<job>/L<lineage>/s<shard>/blobs/g<generation>/<sha256>   immutable contents
//! <root>/<job>/L<lineage>/s<shard>/pins/<epoch, 20 digits>-<id>   a savepoint of that epoch is being copied
//! <savepoint>/_metadata                                           its manifest, created last
//! <savepoint>/blobs/<sha256>                                      its contents
//! ```
//!
//! Blobs lie under their shard, not their lineage, because only a shard's owner may collect them; and under the
//! generation that wrote them, because then a name that one owner deletes can never be a name that a later owner uses.
//! Nothing here reads or writes.

use crate::protocol::Slot;
use aqueduct_core::{Epoch, Error, Generation, JobName, Lineage, Result, ShardId};
use object_store::path::Path;

/// The folder of one job.
pub(crate) fn job(root: &Path, job: &JobName) -> Path {
    root.clone().join(job.as_str())
}

/// The folder of one lineage.
pub(crate) fn lineage(root: &Path, job_name: &JobName, lineage: Lineage) -> Path {
    job(root, job_name).join(format!("L{lineage}"))
}

/// `L7` is lineage 7; anything else is not one of ours.
pub(crate) fn lineage_of(folder: &Path) -> Option<Lineage> {
    numbered(folder, 'L').map(Lineage)
}

/// `s0` is shard 0.
pub(crate) fn shard_of(folder: &Path) -> Option<ShardId> {
    numbered(folder, 's').map(ShardId)
}

/// The name of a folder that may be a job's.
pub(crate) fn job_of(folder: &Path) -> Option<JobName> {
    JobName::new(folder.filename()?).ok()
}

/// The slot of a record or a boundary.
pub(crate) fn slot_of(object: &Path) -> Option<Slot> {
    let name = object.filename()?;
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok().map(Slot) } else { None }
}

/// The epoch of a pin.
pub(crate) fn pinned_epoch(pin: &Path) -> Option<Epoch> {
    let (digits, _) = pin.filename()?.split_once('-')?;
    digits.parse().ok().map(Epoch)
}

/// The folder of a savepoint.
#[derive(Debug, Clone)]
pub(crate) struct SavepointPaths {
    folder: Path,
}

impl SavepointPaths {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.clone() }
    }

    pub(crate) fn manifest(&self) -> Path {
        self.folder.clone().join("_metadata")
    }

    /// A reference to a blob, relative to the savepoint.
    pub(crate) fn object(sha256: &str) -> String {
        format!("blobs/{sha256}")
    }

    /// The place of a blob. The name comes from a manifest that anybody may have written: only a hash leads nowhere else.
    pub(crate) fn blob(&self, sha256: &str) -> Result<Path> {
        if sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(self.folder.clone().join("blobs").join(sha256))
        } else {
            Err(Error::data(format!(
                "'{sha256}' in '{}' is not a SHA-256; the savepoint was changed by hand",
                self.manifest()
            )))
        }
    }
}

fn numbered(folder: &Path, letter: char) -> Option<u32> {
    let digits = folder.filename()?.strip_prefix(letter)?;
    // No second spelling of a number: L01 is not L1.
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// The folder of one shard in one lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardPaths {
    folder: Path,
}

impl ShardPaths {
    pub(crate) fn new(root: &Path, job_name: &JobName, of: Lineage, shard: ShardId) -> Self {
        Self { folder: lineage(root, job_name, of).join(format!("s{shard}")) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn log(&self) -> Path {
        self.folder.clone().join("log")
    }

    pub(crate) fn record(&self, slot: Slot) -> Path {
        self.log().join(format!("{:020}", slot.0))
    }

    pub(crate) fn boundaries(&self) -> Path {
        self.folder.clone().join("boundary")
    }

    pub(crate) fn boundary(&self, slot: Slot) -> Path {
        self.boundaries().join(format!("{:020}", slot.0))
    }

    pub(crate) fn pins(&self) -> Path {
        self.folder.clone().join("pins")
    }

    pub(crate) fn pin(&self, epoch: Epoch, id: &str) -> Path {
        self.pins().join(format!("{:020}-{id}", epoch.0))
    }

    pub(crate) fn blobs(&self) -> Path {
        self.folder.clone().join("blobs")
    }

    /// A reference to a blob, relative to the shard's folder. `copy` is 0 unless the plain name was given up before.
    pub(crate) fn blob_object(generation: Generation, sha256: &str, copy: u32) -> String {
        match copy {
            0 => format!("blobs/g{generation}/{sha256}"),
            copy => format!("blobs/g{generation}/{sha256}-{copy}"),
        }
    }

    /// The place of a relative reference; `None` for one that leads out of the blobs.
    pub(crate) fn blob(&self, object: &str) -> Option<Path> {
        let mut parts = object.split('/');
        let blobs = parts.next() == Some("blobs");
        let rest: Vec<&str> = parts.collect();
        let plain = rest.len() == 2 && rest.iter().all(|part| !part.is_empty() && *part != "." && *part != "..");
        (blobs && plain).then(|| rest.into_iter().fold(self.blobs(), |path, part| path.join(part)))
    }

    /// The way back from an object's place to the reference, with the generation that wrote it.
    pub(crate) fn blob_reference(&self, place: &Path) -> Option<(String, Generation)> {
        let mut parts = place.prefix_match(&self.blobs())?;
        let (folder, name) = (parts.next()?, parts.next()?);
        let generation = folder.as_ref().strip_prefix('g')?.parse().ok()?;
        parts.next().is_none().then(|| (format!("blobs/{}/{}", folder.as_ref(), name.as_ref()), Generation(generation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> ShardPaths {
        let job = JobName::new("metrics").unwrap();
        ShardPaths::new(&Path::from("a/b"), &job, Lineage(3), ShardId(0))
    }

    #[test]
    fn paths_are_a_promise() {
        assert_eq!(shard().record(Slot(42)).as_ref(), "a/b/metrics/L3/s0/log/00000000000000000042");
        assert_eq!(shard().boundary(Slot(7)).as_ref(), "a/b/metrics/L3/s0/boundary/00000000000000000007");
        let object = ShardPaths::blob_object(Generation(9), "abcd", 0);
        assert_eq!(object, "blobs/g9/abcd");
        assert_eq!(shard().blob(&object).unwrap().as_ref(), "a/b/metrics/L3/s0/blobs/g9/abcd");
        assert_eq!(ShardPaths::blob_object(Generation(9), "abcd", 2), "blobs/g9/abcd-2");
    }

    #[test]
    fn numbers_come_back_from_paths() {
        assert_eq!(slot_of(&shard().record(Slot(42))), Some(Slot(42)));
        assert_eq!(slot_of(&Path::from("log/42")), None);
        assert_eq!(lineage_of(&Path::from("a/L3")), Some(Lineage(3)));
        assert_eq!(lineage_of(&Path::from("a/L03")), None);
        assert_eq!(lineage_of(&Path::from("a/Lx")), None);
        assert_eq!(shard_of(&Path::from("a/s12")), Some(ShardId(12)));
        let place = shard().blob("blobs/g9/abcd").unwrap();
        assert_eq!(shard().blob_reference(&place), Some(("blobs/g9/abcd".to_owned(), Generation(9))));
        assert_eq!(shard().blob_reference(&Path::from("elsewhere/g9/abcd")), None);
    }

    #[test]
    fn a_reference_cannot_lead_out_of_the_blobs() {
        for bad in ["blobs/../log/1", "log/g1/x", "blobs/g1", "blobs//x", "blobs/g1/a/b", "/blobs/g1/a"] {
            assert_eq!(shard().blob(bad), None, "{bad}");
        }
    }
}
