//! How much memory a command takes: a sum that is told before it is taken.
//!
//! Takes counts and gives bytes, part by part. The parts are what the modules state of themselves.

use std::fmt;

use lifeboat_chunker::ChunkSizes;
use lifeboat_format::NAMED_BYTES;
use lifeboat_model::ByteCount;
use lifeboat_repository::WriteOptions;

use crate::restore::WAITING_WORKERS;

/// The program, its threads' stacks, and what the allocator keeps.
const PROGRAM_BYTES: u64 = 40 << 20;

/// Deriving a key of ours from its password, with the program; given back before all else begins.
const KEY_BYTES: u64 = 80 << 20;

/// A row of the index; its table of prefixes and packs in front.
const INDEX_BLOB_BYTES: u64 = 52;

/// zstd's own state at the usual levels.
const COMPRESSOR_BYTES: u64 = 4 << 20;

/// A chunk in the list of a disk, on its way into a tree or out of one.
const LISTED_CHUNK_BYTES: u64 = 32;

/// A chunk's id as JSON.
const JSON_CHUNK_BYTES: u64 = 67;

/// A chunk's id in a tree that is compressed and sealed.
const SEALED_CHUNK_BYTES: u64 = 39;

/// A chunk in the list of a disk that an increment is built upon.
const PARENT_CHUNK_BYTES: u64 = 36;

/// A chunk in the set of what a run has stored: its name, and two tables.
const NEW_CHUNK_BYTES: u64 = 32 + 2 * 11;

/// A chunk in an index file that is written: as an entry, as JSON, sealed, and all of that but the
/// entry once more where it is opened again.
const INDEXED_CHUNK_BYTES: u64 = 48 + 2 * (160 + 52);

/// Chunks in an index file at most.
const INDEX_FILE_CHUNKS: u64 = 50_000;

/// Chunks that are cut anew at each end of a changed extent, until old and new cuts meet.
const RECUT_CHUNKS: u64 = 4;

/// A chunk of a restore: its place, its part of a request, and whether the target holds it.
const PLACED_CHUNK_BYTES: u64 = 88 + 32 + 1;

/// Largest request to the repository.
const REQUEST_BYTES: u64 = 4 << 20;

/// Chunks that are named together.
const BATCH_BYTES: u64 = NAMED_BYTES as u64;

/// Gaps between such chunks, and the last read behind them.
const BATCH_SLACK_BYTES: u64 = 1 << 20;

/// What an upload hands to the kernel at once.
const PIECE_BYTES: u64 = 4 << 20;

/// A disk as far as it decides memory.
#[derive(Clone, Copy, Debug)]
pub struct DiskShape {
    /// Bytes of the guest's view.
    pub size: u64,
    /// What has changed since the snapshot that it is built upon, if there is one.
    pub changed: Option<ChangeShape>,
}

/// Changed extents, counted.
#[derive(Clone, Copy, Debug)]
pub struct ChangeShape {
    /// How many there are.
    pub extents: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The most that a command takes, in bytes.
///
/// Workers and trees are not there at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// Program, index.
    pub index: u64,
    /// Packs that are filled, wait and travel, and index files: each upload thread has written
    /// some, and the allocator keeps their room for it.
    pub packs: u64,
    /// What is known of chunks as long as the command runs.
    pub lists: u64,
    /// Buffers of all threads, and the lists that they fill or follow.
    pub workers: u64,
    /// Trees: as ids, as JSON, sealed.
    pub trees: u64,
}

impl MemoryBound {
    /// Of a backup; `blobs` are those of the index.
    pub fn of_backup(
        blobs: usize,
        threads: usize,
        sizes: ChunkSizes,
        disks: &[DiskShape],
        write: &WriteOptions,
    ) -> Self {
        let largest = disks.iter().map(|disk| sizes.for_disk(disk.size).max());
        let chunk = u64::from(largest.max().unwrap_or(0));
        let chunks = disks.iter().map(|disk| chunks(disk.size, sizes, disk));
        let chunks: u64 = chunks.sum();
        // A batch ends behind its first chunk or when it is full; then one chunk is sealed.
        let worker = chunk.max(BATCH_BYTES) + BATCH_SLACK_BYTES + chunk + COMPRESSOR_BYTES;
        let uploads = write.uploads as u64;
        let new: u64 = disks.iter().map(|disk| new_chunks(disk, sizes)).sum();
        Self {
            index: PROGRAM_BYTES + blobs as u64 * INDEX_BLOB_BYTES,
            // One is filled, one waits; that of the tree is counted with it.
            packs: (uploads + 2) * (write.pack_bytes as u64 + chunk)
                + uploads * PIECE_BYTES
                + uploads * new.min(INDEX_FILE_CHUNKS) * INDEXED_CHUNK_BYTES,
            lists: disks.iter().map(|disk| known(disk, sizes)).sum(),
            workers: chunk + threads as u64 * worker + chunks * LISTED_CHUNK_BYTES,
            trees: chunks * (JSON_CHUNK_BYTES + 2 * SEALED_CHUNK_BYTES),
        }
    }

    /// Of restoring a disk of `chunks` chunks of at most `chunk_bytes`.
    pub fn of_restore(blobs: usize, threads: usize, chunks: usize, chunk_bytes: u32) -> Self {
        let (chunk, chunks) = (u64::from(chunk_bytes), chunks as u64);
        let worker = chunk.max(REQUEST_BYTES)
            + chunk.max(BATCH_BYTES)
            + BATCH_SLACK_BYTES
            + COMPRESSOR_BYTES;
        Self {
            index: PROGRAM_BYTES + blobs as u64 * INDEX_BLOB_BYTES,
            packs: 0,
            lists: chunks * LISTED_CHUNK_BYTES,
            workers: (threads + WAITING_WORKERS) as u64 * worker + chunks * PLACED_CHUNK_BYTES,
            trees: chunks * (JSON_CHUNK_BYTES + SEALED_CHUNK_BYTES),
        }
    }

    /// All of it; not less than what opening the repository took before.
    pub fn total(&self) -> u64 {
        let parts = self.index + self.packs + self.lists + self.workers.max(self.trees);
        parts.max(KEY_BYTES)
    }
}

/// Chunks of so many bytes of a disk.
fn chunks(bytes: u64, sizes: ChunkSizes, disk: &DiskShape) -> u64 {
    let sizes = sizes.for_disk(disk.size);
    bytes.div_ceil(u64::from(sizes.min()) + u64::from(sizes.gap()))
}

/// Chunks that are stored anew at most.
fn new_chunks(disk: &DiskShape, sizes: ChunkSizes) -> u64 {
    let all = chunks(disk.size, sizes, disk);
    disk.changed.map_or(all, |changed| {
        let cut = chunks(changed.bytes, sizes, disk) + changed.extents * RECUT_CHUNKS;
        cut.min(all)
    })
}

/// Bytes for what was stored before and what is new.
fn known(disk: &DiskShape, sizes: ChunkSizes) -> u64 {
    let parent = match disk.changed {
        Some(_) => chunks(disk.size, sizes, disk) * PARENT_CHUNK_BYTES,
        None => 0,
    };
    parent + new_chunks(disk, sizes) * NEW_CHUNK_BYTES
}

impl fmt::Display for MemoryBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at most {}: index {}, packs {}, lists of chunks {}, then workers {} or trees {}",
            ByteCount(self.total()),
            ByteCount(self.index),
            ByteCount(self.packs),
            ByteCount(self.lists),
            ByteCount(self.workers),
            ByteCount(self.trees)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK_BYTES: u64 = 2 << 40;
    const PROMISED: u64 = 512 << 20;
    const MARGIN: u64 = 20 << 20;

    #[test]
    fn two_tebibytes_without_two_equal_chunks_fit_into_512_mebibytes() {
        let disk = |changed| DiskShape {
            size: DISK_BYTES,
            changed,
        };
        let (sizes, write) = (ChunkSizes::DEFAULT, WriteOptions::default());
        let count = chunks(DISK_BYTES, sizes, &disk(None));
        assert_eq!(count, 1 << 20);
        let changed = ChangeShape {
            extents: 4_000,
            bytes: 4_000 << 12,
        };
        let (threads, blobs) = (2, count as usize);
        let full = MemoryBound::of_backup(0, threads, sizes, &[disk(None)], &write);
        let next = [disk(Some(changed))];
        let increment = MemoryBound::of_backup(blobs, threads, sizes, &next, &write);
        let largest = sizes.for_disk(DISK_BYTES).max();
        let restore = MemoryBound::of_restore(blobs, threads, blobs, largest);
        for bound in [full, increment, restore] {
            assert!(bound.total() <= PROMISED - MARGIN, "{bound}");
        }
    }
}
