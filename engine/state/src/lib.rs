//! The state room: panes in RocksDB, touched at checkpoints, restores and by windows that had no room in memory, never per event.
//!
//! | part | duty |
//! |---|---|
//! | [`PaneKey`], [`SliceKey`] | keys and their encoding, which keeps its meaning for ever |
//! | [`PanePuts`] | changed panes, encoded, on their way to the store |
//! | [`StateStore`] | write sorted batches, snapshot by hard links, restore, read in pages, take slices out |
//!
//! Values are opaque here: the runtime encodes accumulators, with a version of its own. Where snapshot files go, and which
//! epoch they belong to, is the checkpoint room's business.

mod key;
mod pages;
mod puts;
mod snapshot;
mod store;
mod take;

pub use key::{KEY_GROUPS, PaneKey, SliceKey, key_group, query_hash, stable_hash};
pub use pages::{Place, twin};
pub use puts::PanePuts;
pub use snapshot::{FileIdentity, StateFile};
pub use store::{Merge, PaneBatch, StateStore};
pub use take::Visit;
