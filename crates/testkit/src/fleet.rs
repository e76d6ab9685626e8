//! A repository as large as a fleet of machines makes it, without the machines.
//!
//! Takes counts and gives the folder of a sound restic repository: config, key, index files,
//! snapshots of many machines, their trees and manifests.
//! Does not make the packs of the disks' chunks: whatever reads no disk works on it, with us as
//! with stock restic (`snapshots`, `ls`, `find`, `list`, `stats`, `cat`).
//!
//! The same counts and seed give the same ids of chunks.
//!
//! Source: restic-format 5.2 to 5.5; decision 0002 for the shapes.

mod chunks;
mod machines;
mod vault;

use std::io;
use std::path::Path;

use lifeboat_model::Secret;

use chunks::Chunks;
use machines::Machines;
use vault::Vault;

/// Snapshots of one machine: some four days of hourly ones, or three months of daily ones.
const SNAPSHOTS_EACH: usize = 100;

/// How large a fleet is.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Snapshots of all machines; each machine has up to a hundred.
    pub snapshots: usize,
    /// Chunks of all disks, each listed by one index file.
    pub blobs: u64,
    /// Chunks of each machine's disk, as many as there are at most.
    pub disk_chunks: u64,
    /// Mean bytes of a chunk: a multiple of 8 KiB.
    pub chunk_bytes: u32,
    /// Decides everything that is drawn.
    pub seed: u64,
}

impl Default for Fleet {
    /// A hundred snapshots of one machine, a thousand chunks of 128 KiB.
    fn default() -> Self {
        Self {
            snapshots: SNAPSHOTS_EACH,
            blobs: 1000,
            disk_chunks: 1000,
            chunk_bytes: 128 << 10,
            seed: 1,
        }
    }
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetMade {
    /// Snapshot files.
    pub snapshots: usize,
    /// Machines they are of.
    pub machines: usize,
    /// Blobs that the index lists: chunks, and what the snapshots' trees need.
    pub blobs: u64,
    /// Index files.
    pub index_files: usize,
    /// Bytes of each disk.
    pub disk_bytes: u64,
}

impl Fleet {
    /// Makes the repository in `folder`, which must be empty or not there, under `password`.
    ///
    /// Cost: some 2 µs a blob with one core; one index file for each thread in memory.
    ///
    /// Errors: those of writing; `AlreadyExists` for a folder that holds anything.
    pub fn make(&self, folder: &Path, password: &Secret) -> io::Result<FleetMade> {
        let vault = Vault::make(folder, password, self.seed)?;
        let chunks = Chunks::new(self);
        let machines = Machines {
            count: self.snapshots.div_ceil(SNAPSHOTS_EACH).max(1),
            fleet: self,
            chunks: &chunks,
            vault: &vault,
        };
        let trees = machines.store_trees()?;
        let small_blobs = vault.close_packs()?;
        let index_files = chunks.store_index(&vault)? + 1;
        machines.store_snapshots(&trees)?;
        Ok(FleetMade {
            snapshots: self.snapshots,
            machines: machines.count,
            blobs: self.blobs + small_blobs,
            index_files,
            disk_bytes: machines.disk_bytes(),
        })
    }
}
