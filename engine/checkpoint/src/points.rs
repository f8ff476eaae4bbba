//! The fail points of this room: their registry, and those of an append, whose names depend on the kind of record.
//!
//! What happens at a point is decided by whoever armed it; nothing here changes what is written.

use crate::record::Kind;
use aqueduct_core::FailPoints;

/// The name of every fail point that this room passes, in the order of a job's life.
pub const FAIL_POINTS: &[&str] = &[
    "checkpoint.claim.before-put",
    "checkpoint.claim.after-put",
    "checkpoint.claim.verified",
    "checkpoint.head.read",
    "checkpoint.blob.before-put",
    "checkpoint.blob.after-put",
    "checkpoint.commit.before-put",
    "checkpoint.commit.after-put",
    "checkpoint.commit.verified",
    "checkpoint.collect.before-boundary",
    "checkpoint.collect.after-boundary",
    "checkpoint.collect.between-deletes",
    "checkpoint.collect.after-records",
    "checkpoint.collect.after-blobs",
    "checkpoint.collect.done",
    "checkpoint.begin.claimed",
    "checkpoint.begin.before-copy",
    "checkpoint.begin.after-copy",
    "checkpoint.begin.after-record",
    "checkpoint.savepoint.after-pin",
    "checkpoint.savepoint.before-manifest",
    "checkpoint.savepoint.after-manifest",
];

/// A record was decided and nothing is written.
pub(crate) fn before_put(points: &FailPoints, kind: &Kind) {
    match kind {
        Kind::Claim { .. } => points.hit("checkpoint.claim.before-put"),
        Kind::Commit { .. } => points.hit("checkpoint.commit.before-put"),
        Kind::Rewind { .. } => {}
    }
}

/// A record was sent; what became of it is not known yet.
pub(crate) fn after_put(points: &FailPoints, kind: &Kind) {
    match kind {
        Kind::Claim { .. } => points.hit("checkpoint.claim.after-put"),
        Kind::Commit { .. } => points.hit("checkpoint.commit.after-put"),
        Kind::Rewind { .. } => {}
    }
}
