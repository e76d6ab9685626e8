//! Storing a tree of files as one snapshot, as they come from whoever walks them.
//!
//! Takes nodes in the order of a walk and contents as pieces with holes; gives a snapshot that
//! restic has no reason to tell from its own. Does not read files, know machines or patterns.
//!
//! A file that is as it was in the parent (size, both times and inode equal, all chunks there) is
//! taken over without being asked for.
//!
//! Memory: the open folders' entries here and in the parent, one chunk, open packs.

mod cutting;
mod folders;

use std::time::Duration;

use lifeboat_chunker::ChunkSizes;
use lifeboat_format::{BlobId, IndexId, SnapshotFile, SnapshotId, Summary};
use lifeboat_model::Phase;
use lifeboat_repository::{Index, Lock, Repository, WriteOptions, WriteTotals, commit, write};

pub use cutting::FileWriter;
pub use folders::Folders;

use crate::Result;
use crate::error::Doing;

/// Everything a backup of files needs besides the files.
pub struct FileBackup {
    /// The snapshot record without its tree and summary.
    pub label: SnapshotFile,
    /// The tree of the snapshot to build upon.
    pub parent: Option<BlobId>,
    /// Sizes of chunks for small files.
    pub sizes: ChunkSizes,
    /// How blobs are written.
    pub write: WriteOptions,
}

/// What became of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// Files that the parent does not have.
    pub new: u64,
    /// Files that differ from the parent's.
    pub changed: u64,
    /// Files taken over without reading.
    pub unmodified: u64,
    /// Folders that the parent does not have.
    pub folders_new: u64,
    /// Folders in which something differs.
    pub folders_changed: u64,
    /// Folders with equal trees.
    pub folders_unmodified: u64,
    /// Links, pipes, sockets and devices.
    pub others: u64,
    /// Bytes of all files; holes and further names count.
    pub bytes: u64,
    /// Bytes of content that were handed over.
    pub read_bytes: u64,
}

/// What a backup of files has done.
#[derive(Clone, Debug)]
pub struct FileBackupResult {
    /// The new snapshot.
    pub snapshot: SnapshotId,
    /// Its tree: the Merkle root.
    pub tree: BlobId,
    /// What was added to the repository.
    pub totals: WriteTotals,
    /// What became of the files.
    pub counts: FileCounts,
    /// Time from start to commit.
    pub duration: Duration,
}

/// Stores what `walk` gives as one snapshot. When `walk` returns without an error everything is
/// durable and recorded; with one there is no snapshot, and the next run reuses what was stored.
///
/// Errors: those of `walk` and of the repository.
pub fn file_backup<E: From<crate::Error> + From<lifeboat_repository::Error>>(
    repository: &Repository,
    index: &Index,
    lock: &Lock<'_>,
    request: FileBackup,
    walk: impl FnOnce(&mut Folders<'_, '_>) -> std::result::Result<(), E>,
) -> std::result::Result<FileBackupResult, E> {
    let environment = repository.environment();
    let (start, begin) = (environment.clock.monotonic(), environment.clock.now());
    environment.progress.begin(Phase::Transfer, 0);
    let stored = write(repository, index, lock, request.write, |writer| {
        let parent = request.parent.as_ref();
        let mut folders = Folders::new(repository, index, writer, request.sizes, parent);
        walk(&mut folders)?;
        Ok::<_, E>(folders.finish()?)
    });
    let ((tree, counts), totals, written) = stored?;
    environment.progress.begin(Phase::Record, 0);
    let mut label = request.label;
    label.tree = tree;
    label.summary = Some(Summary {
        backup_start: begin.into(),
        backup_end: environment.clock.now().into(),
        ..summary(counts, totals)
    });
    let seen: Vec<IndexId> = index.settled_files().chain(written).collect();
    let snapshot = commit(repository, lock, &label, &seen);
    let snapshot: Result<SnapshotId> = snapshot.doing(|| "cannot record the snapshot".to_owned());
    Ok(FileBackupResult {
        snapshot: snapshot?,
        tree,
        totals,
        counts,
        duration: environment.clock.monotonic().saturating_sub(start),
    })
}

fn summary(counts: FileCounts, totals: WriteTotals) -> Summary {
    Summary {
        files_new: counts.new,
        files_changed: counts.changed,
        files_unmodified: counts.unmodified,
        dirs_new: counts.folders_new,
        dirs_changed: counts.folders_changed,
        dirs_unmodified: counts.folders_unmodified,
        data_blobs: totals.data_blobs,
        tree_blobs: totals.tree_blobs,
        data_added: totals.added,
        data_added_packed: totals.added_packed,
        total_files_processed: counts.new + counts.changed + counts.unmodified,
        total_bytes_processed: counts.bytes,
        ..Summary::default()
    }
}
