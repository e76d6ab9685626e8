//! Storing the disks of a machine as one snapshot.
//!
//! Takes disks, what is known to have changed on them, and small files; gives a snapshot.
//! Does not know machines: names and labels are carried through unread.
//!
//! Every worker thread takes the next stretch of the disk, cuts it, and then hashes, compresses
//! and seals its own chunks while they are still in its cache. Reading and cutting are in turn,
//! everything else is side by side; the order of the chunks is fixed when they are cut.
//!
//! Memory: threads x (8 MiB batch + largest chunk), the list of chunks (32 bytes each), open packs.

mod cutter;
mod parent;
mod source;
mod store;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use lifeboat_chunker::ChunkSizes;
use lifeboat_disk::DiskReader;
use lifeboat_format::{BlobId, IndexId, SnapshotFile, SnapshotId, Summary};
use lifeboat_model::{ExtentSet, Phase};
use lifeboat_repository::{
    BlobWriter, Index, Lock, Repository, WriteOptions, WriteTotals, commit, write,
};

pub use parent::{FullReason, ParentDisk};

use crate::Result;
use crate::error::Doing;

/// What is known about a disk since its parent.
pub enum Change {
    /// Nothing: every byte that is not a hole is read.
    Unknown,
    /// Only `changed` can differ from `parent`; may be larger than the truth, never smaller.
    Since {
        /// The disk as an earlier snapshot has it.
        parent: ParentDisk,
        /// Changed bytes of the guest's view.
        changed: ExtentSet,
    },
}

/// One disk to store.
pub struct DiskTask {
    /// File name in the snapshot's folder of disks.
    pub file_name: String,
    /// Where its bytes come from.
    pub source: Arc<dyn DiskReader>,
    /// What need not be read.
    pub change: Change,
}

/// A small file to store beside the disks.
pub struct PlainFile {
    /// File name at the snapshot's root.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// What became of one disk.
#[derive(Clone, Debug)]
pub struct DiskOutcome {
    /// File name in the snapshot's folder of disks.
    pub file_name: String,
    /// Bytes of the guest's view.
    pub size: u64,
    /// Bytes read from the source.
    pub read_bytes: u64,
    /// Bytes known to be zero without being stored.
    pub zero_bytes: u64,
    /// Bytes taken over from the parent unread.
    pub reused_bytes: u64,
    /// Chunks, zero pieces included.
    pub chunk_count: u64,
    /// The sizes it was cut with.
    pub sizes: ChunkSizes,
    /// SHA-256 over the ids of its chunks, in order: equal for equal content and sizes.
    pub root: BlobId,
}

/// Everything a backup needs.
pub struct BackupRequest<'a> {
    /// The disks; file names must differ.
    pub disks: Vec<DiskTask>,
    /// Small files.
    pub files: Vec<PlainFile>,
    /// Makes the manifest when all disks are read and stored; an error ends the backup before
    /// anything leads to what was stored.
    pub describe: &'a dyn Fn(&[DiskOutcome]) -> Result<PlainFile>,
    /// The snapshot record without its tree and summary.
    pub label: SnapshotFile,
    /// Sizes of chunks for small disks.
    pub sizes: ChunkSizes,
    /// How blobs are written.
    pub write: WriteOptions,
    /// Does everything but writing.
    pub is_dry_run: bool,
}

/// What a backup has done.
#[derive(Clone, Debug)]
pub struct BackupResult {
    /// The new snapshot; nothing for a dry run.
    pub snapshot: Option<SnapshotId>,
    /// Its tree: the Merkle root.
    pub tree: BlobId,
    /// What was added to the repository.
    pub totals: WriteTotals,
    /// What became of each disk.
    pub disks: Vec<DiskOutcome>,
    /// Time from start to commit.
    pub duration: Duration,
}

/// Stores all disks and files as one snapshot.
///
/// Errors: those of sources and of the repository; then there is no snapshot, and what was
/// stored is reused by the next run.
pub fn backup(
    repository: &Repository,
    index: &Index,
    lock: &Lock<'_>,
    request: BackupRequest<'_>,
) -> Result<BackupResult> {
    let environment = repository.environment();
    let (start, begin) = (environment.clock.monotonic(), environment.clock.now());
    let total = request.disks.iter().map(|disk| disk.source.size()).sum();
    environment.progress.begin(Phase::Transfer, total);
    let options = WriteOptions {
        is_dry_run: request.is_dry_run,
        ..request.write
    };
    let ((tree, disks), totals, written) = write(repository, index, lock, options, |writer| {
        store_all(repository, writer, &request)
    })?;
    environment.progress.begin(Phase::Record, 0);
    let mut label = request.label;
    label.tree = tree;
    label.summary = Some(summary(
        &disks,
        request.files.len(),
        totals,
        begin,
        environment.clock.now(),
    ));
    let seen: Vec<IndexId> = index.settled_files().chain(written).collect();
    let snapshot = if request.is_dry_run {
        None
    } else {
        let id = commit(repository, lock, &label, &seen);
        Some(id.doing(|| "cannot record the snapshot".to_owned())?)
    };
    let duration = environment.clock.monotonic().saturating_sub(start);
    Ok(BackupResult {
        snapshot,
        tree,
        totals,
        disks,
        duration,
    })
}

fn store_all(
    repository: &Repository,
    writer: &BlobWriter<'_>,
    request: &BackupRequest<'_>,
) -> Result<(BlobId, Vec<DiskOutcome>)> {
    let mut stored = Vec::with_capacity(request.disks.len());
    for disk in &request.disks {
        stored.push(store::disk(repository, writer, disk, request.sizes)?);
    }
    let outcomes: Vec<DiskOutcome> = stored.iter().map(|disk| disk.outcome.clone()).collect();
    let manifest = (request.describe)(&outcomes)?;
    let files = request.files.iter().chain([&manifest]);
    let tree = tree::store(writer, request.label.time.timestamp(), stored, files)?;
    Ok((tree, outcomes))
}

fn summary(
    disks: &[DiskOutcome],
    files: usize,
    totals: WriteTotals,
    begin: jiff::Timestamp,
    end: jiff::Timestamp,
) -> Summary {
    let count = (disks.len() + files + 1) as u64;
    Summary {
        backup_start: begin.into(),
        backup_end: end.into(),
        files_new: count,
        dirs_new: 2,
        data_blobs: totals.data_blobs,
        tree_blobs: totals.tree_blobs,
        data_added: totals.added,
        data_added_packed: totals.added_packed,
        total_files_processed: count,
        total_bytes_processed: disks.iter().map(|disk| disk.size).sum(),
        ..Summary::default()
    }
}
