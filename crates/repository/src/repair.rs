//! Putting a damaged repository in order, without destroying anything that is sound.
//!
//! Takes a repository under an exclusive lock. Gives what was done and what is lost.
//! Does not invent data: lost ranges of a file become zeros and are named.
//!
//! Order of use: `index`, then `packs`, then `snapshots`.

mod content;
mod depth;
mod index;
mod packs;
mod rewrite;
mod rules;
mod sight;
mod snapshots;
mod survey;

use lifeboat_format::{BlobId, PackId, SnapshotId};
use lifeboat_model::ExtentSet;

pub use index::{IndexRepairPlan, apply_index, plan_index};
pub use packs::{PackRepair, repair_packs};
pub use snapshots::{REPAIRED_TAG, SnapshotRepairPlan, apply_snapshots, plan_snapshots};

/// A pack that cannot be used, and why.
#[derive(Clone, Debug)]
pub struct LostPack {
    /// Its name.
    pub pack: PackId,
    /// What was seen.
    pub seen: String,
}

/// What of a snapshot broke a rule and was put right; nothing is lost by it.
#[derive(Clone, Debug)]
pub struct Mended {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its host name: the machine.
    pub host: String,
    /// Path in the snapshot as it was, as people read it.
    pub path: String,
    /// What was done.
    pub what: String,
}

/// What one file of one snapshot has lost.
#[derive(Clone, Debug)]
pub struct LostRanges {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its host name: the machine.
    pub host: String,
    /// Path of the file in the snapshot, as people read it.
    pub path: String,
    /// Byte ranges that are gone; the whole file when its size is not known.
    pub ranges: ExtentSet,
    /// Blobs that are gone.
    pub blobs: Vec<BlobId>,
}
