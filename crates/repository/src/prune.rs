//! Removing what no snapshot needs, in two phases, beside running backups.
//!
//! Takes the rules and gives a [`PrunePlan`] that can be shown; [`apply`] executes exactly it.
//! Does not forget snapshots.
//!
//! First phase: a pack without live blobs is *marked*: it leaves the index and is noted, with the
//! time, in the index file's list `packs_to_delete` (rustic's own form). Packs with few live blobs
//! are copied into new ones first. Second phase, at the next prune after the grace period: marked
//! packs that nobody needs are removed; those that a snapshot needs again are listed again.
//!
//! Source: decision 0003.

mod apply;
mod look;
mod plan;

use std::collections::HashSet;
use std::time::Duration;

use lifeboat_format::{MarkedPack, PackEntry, PackId, SnapshotId};

pub use apply::apply;
pub(crate) use plan::is_before_writer;
pub use plan::plan;

use crate::WriteOptions;

/// How much unreferenced data may stay in packs that hold live data too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnusedLimit {
    /// Part of the live data, 0.05 for 5 %; the headers of packs count too, so that what is stored
    /// stays below 1.05 times what is used.
    Share(f64),
    /// That many bytes.
    Bytes(u64),
    /// Any amount: nothing is repacked.
    Unlimited,
}

/// The rules of a prune.
#[derive(Clone, Copy, Debug)]
pub struct PruneOptions {
    /// How long a marked pack stays.
    pub grace: Duration,
    /// Removes at once instead of marking; needs an exclusive lock.
    pub is_instant: bool,
    /// When packs are repacked.
    pub unused: UnusedLimit,
    /// How new packs are written.
    pub write: WriteOptions,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(24 * 3600),
            is_instant: false,
            unused: UnusedLimit::Share(0.05),
            write: WriteOptions::default(),
        }
    }
}

/// A pack and its size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizedPack {
    /// Its name.
    pub id: PackId,
    /// Its bytes.
    pub size: u64,
}

/// A pack whose live blobs move.
#[derive(Clone, Debug)]
pub struct RepackedPack {
    /// The pack.
    pub pack: SizedPack,
    /// The blobs that move, in order of offset.
    pub live: Vec<PackEntry>,
}

/// What a prune will do.
#[derive(Debug, Default)]
pub struct PrunePlan {
    /// Snapshots that were looked at.
    pub snapshots: Vec<SnapshotId>,
    /// Live blobs.
    pub live_blobs: u64,
    /// Sealed bytes of live blobs.
    pub live_bytes: u64,
    /// Sealed bytes of dead and duplicate blobs in all packs.
    pub dead_bytes: u64,
    /// Marked packs whose grace is over: removed.
    pub remove: Vec<MarkedPack>,
    /// Marked packs that stay marked.
    pub marked: Vec<MarkedPack>,
    /// Marked packs that a snapshot needs: listed again.
    pub unmark: Vec<MarkedPack>,
    /// Packs without live blobs: marked, or removed at once.
    pub mark: Vec<SizedPack>,
    /// Packs that no index lists: as `mark`.
    pub unlisted: Vec<SizedPack>,
    /// Packs with too few live blobs: those move, then as `mark`.
    pub repack: Vec<RepackedPack>,
    /// Packs without live blobs that a running backup may have just written: left alone.
    pub young: Vec<SizedPack>,
    /// Index entries and marks of packs that are gone already; dropped.
    pub vanished: Vec<PackId>,
    options: PruneOptions,
    index_files: Vec<lifeboat_format::IndexId>,
    /// Packs that are marked and listed.
    doubtful: HashSet<PackId>,
    removed_bytes: u64,
}

impl PrunePlan {
    /// Says whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.unmark.is_empty()
            && self.mark.is_empty()
            && self.unlisted.is_empty()
            && self.repack.is_empty()
            && self.vanished.is_empty()
    }

    /// Leaves packs with few live blobs as they are: what remains needs room for an index only.
    pub fn without_repacking(mut self) -> Self {
        self.repack.clear();
        self
    }

    /// The rules it was made by.
    pub fn options(&self) -> &PruneOptions {
        &self.options
    }

    /// Bytes of live blobs that move into new packs.
    pub fn repack_bytes(&self) -> u64 {
        let live = self.repack.iter().flat_map(|pack| &pack.live);
        live.map(|blob| u64::from(blob.length)).sum()
    }

    /// Bytes that are free on return.
    pub fn freed_bytes(&self) -> u64 {
        if self.options.is_instant {
            self.removed_bytes + self.dropped_bytes()
        } else {
            self.removed_bytes
        }
    }

    /// Bytes that a later prune frees, after the grace period.
    pub fn marked_bytes(&self) -> u64 {
        if self.options.is_instant {
            0
        } else {
            self.dropped_bytes()
        }
    }

    fn dropped_bytes(&self) -> u64 {
        let repacked = self.repack.iter().map(|repacked| repacked.pack.size);
        let dead = self.mark.iter().chain(&self.unlisted).map(|pack| pack.size);
        dead.chain(repacked).sum()
    }
}

/// What a prune has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Packs removed.
    pub removed_packs: u64,
    /// Packs marked.
    pub marked_packs: u64,
    /// Sealed bytes written into new packs.
    pub repacked_bytes: u64,
    /// Marked packs that were needed after all and stay.
    pub rescued_packs: u64,
}
