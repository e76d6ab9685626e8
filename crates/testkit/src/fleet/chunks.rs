//! The chunks of all disks: their names, sizes and places follow from their numbers.

use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use lifeboat_backend::FileKind;
use lifeboat_format::{BlobId, BlobKind, IndexFile, IndexPack, PackEntry, SEAL_OVERHEAD};
use lifeboat_model::Id;

use super::Fleet;
use super::vault::Vault;
use crate::entropy::mix;

/// Cuts lie on blocks.
const BLOCK_BYTES: u32 = 4096;

/// Our own packs are closed at this many bytes.
const PACK_BYTES: u64 = 32 << 20;

/// Blobs of one index file at most: restic's own limit.
const INDEX_BLOBS_MAX: u64 = 50_000;

/// An id that a seed, a purpose and a number decide.
pub(super) fn drawn_id(seed: u64, purpose: u64, number: u64) -> Id {
    let start = mix(mix(seed ^ purpose << 56).wrapping_add(number));
    let mut id = [0; 32];
    for (word, part) in id.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&mix(start.wrapping_add(word as u64)).to_le_bytes());
    }
    Id(id)
}

/// All chunks, by number from zero.
pub(super) struct Chunks {
    seed: u64,
    count: u64,
    mean_bytes: u32,
    each_pack: u64,
}

impl Chunks {
    pub(super) fn new(fleet: &Fleet) -> Self {
        let mean_bytes = fleet.chunk_bytes;
        assert!(
            mean_bytes >= 2 * BLOCK_BYTES && mean_bytes.is_multiple_of(2 * BLOCK_BYTES),
            "the mean of chunks is a multiple of 8 KiB"
        );
        let stored_bytes = u64::from(stored_bytes(mean_bytes));
        Self {
            seed: fleet.seed,
            count: fleet.blobs,
            mean_bytes,
            each_pack: (PACK_BYTES / stored_bytes).clamp(1, INDEX_BLOBS_MAX),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn mean_bytes(&self) -> u32 {
        self.mean_bytes
    }

    pub(super) fn id(&self, number: u64) -> BlobId {
        drawn_id(self.seed, 1, number).into()
    }

    /// Whole blocks; a pair has twice the mean, so that sums of pairs are even.
    fn bytes(&self, number: u64) -> u32 {
        if number | 1 >= self.count {
            return self.mean_bytes;
        }
        let steps = self.mean_bytes / BLOCK_BYTES / 2;
        let off = (mix(self.seed ^ number >> 1) % u64::from(steps)) as u32 * BLOCK_BYTES;
        if number & 1 == 0 {
            self.mean_bytes - off
        } else {
            self.mean_bytes + off
        }
    }

    fn entries(&self, pack: u64) -> Vec<PackEntry> {
        let start = pack * self.each_pack;
        let mut offset = 0;
        let numbers = start..(start + self.each_pack).min(self.count);
        let entry = |number| {
            let bytes = self.bytes(number);
            let length = stored_bytes(bytes);
            let entry = PackEntry {
                kind: BlobKind::Data,
                id: self.id(number),
                offset,
                length,
                uncompressed_length: NonZeroU32::new(bytes),
            };
            offset += length;
            entry
        };
        numbers.map(entry).collect()
    }

    /// Writes the index files that list all chunks, with all cores; gives their number.
    pub(super) fn store_index(&self, vault: &Vault) -> io::Result<usize> {
        let packs = self.count.div_ceil(self.each_pack);
        let each_file = (INDEX_BLOBS_MAX / self.each_pack).max(1);
        let (next, files) = (AtomicU64::new(0), AtomicUsize::new(0));
        let work = || {
            loop {
                let start = next.fetch_add(1, Relaxed) * each_file;
                if start >= packs {
                    return Ok(());
                }
                let packs: Vec<IndexPack> = (start..(start + each_file).min(packs))
                    .map(|pack| IndexPack {
                        id: drawn_id(self.seed, 2, pack).into(),
                        blobs: self.entries(pack),
                        time: None,
                        size: None,
                    })
                    .collect();
                for pack in &packs {
                    vault.store_hollow_pack(pack.id.into())?;
                }
                let file = IndexFile {
                    packs,
                    ..IndexFile::default()
                };
                vault.store_json(FileKind::Index, &file.encode())?;
                files.fetch_add(1, Relaxed);
            }
        };
        super::vault::on_all_cores(work)?;
        Ok(files.into_inner())
    }
}

/// What is left of a chunk after compression and sealing: three eighths, as of a system's disk.
fn stored_bytes(plaintext: u32) -> u32 {
    plaintext / 8 * 3 + SEAL_OVERHEAD as u32
}
