//! Which blobs an owner may refer to, and which names it may never use again.

use std::collections::{BTreeMap, BTreeSet};

/// What an owner knows about blobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct BlobBook {
    /// Hash to a blob that exists: size and reference.
    known: BTreeMap<String, (u64, String)>,
    /// Blobs put since the last commit that named them.
    pinned: BTreeSet<String>,
    /// Hashes whose plain name this owner has given up for deletion, and how often: the next name differs, because a delayed
    /// delete may still arrive.
    given_up: BTreeMap<String, u32>,
}

impl BlobBook {
    /// Knows the blobs (hash, size, reference) of the commit that was taken over, and no others: what older commits had may be
    /// given up already.
    pub fn new<'a>(newest: impl IntoIterator<Item = (&'a str, u64, &'a str)>) -> Self {
        let known = newest.into_iter().map(|(sha256, bytes, object)| (sha256.to_owned(), (bytes, object.to_owned())));
        Self { known: known.collect(), ..Self::default() }
    }

    /// A known blob with these contents; from now on it stays until the coming commit has named it.
    pub fn reuse(&mut self, sha256: &str, bytes: u64) -> Option<String> {
        let (size, object) = self.known.get(sha256)?;
        if *size != bytes {
            return None;
        }
        self.pinned.insert(object.clone());
        Some(object.clone())
    }

    /// How often this owner has given up a name for these contents: a part of the next name.
    pub fn times_given_up(&self, sha256: &str) -> u32 {
        self.given_up.get(sha256).copied().unwrap_or(0)
    }

    /// The blob was put for the coming commit.
    pub fn learn(&mut self, sha256: &str, bytes: u64, object: &str) {
        self.pinned.insert(object.to_owned());
        self.known.insert(sha256.to_owned(), (bytes, object.to_owned()));
    }

    /// References that the coming commit may use.
    pub fn pinned(&self) -> &BTreeSet<String> {
        &self.pinned
    }

    /// The commit that names these references is durable.
    pub fn committed<'a>(&mut self, objects: impl IntoIterator<Item = &'a str>) {
        for object in objects {
            self.pinned.remove(object);
        }
    }

    /// These references will be deleted.
    pub fn give_up(&mut self, objects: &BTreeSet<String>) {
        let given_up = &mut self.given_up;
        self.known.retain(|sha256, (_, object)| {
            let stays = !objects.contains(object);
            if !stays {
                *given_up.entry(sha256.clone()).or_insert(0) += 1;
            }
            stays
        });
    }
}
