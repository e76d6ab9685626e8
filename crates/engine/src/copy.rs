//! Carrying snapshots to another repository.
//!
//! Takes two open repositories and gives the new snapshots. Every blob is opened with the source's
//! key, hashed, and sealed with the target's; blobs the target has are not read.

use std::collections::HashSet;
use std::sync::Mutex;

use lifeboat_format::{BlobId, BlobKind, Node, PackId, SnapshotFile, SnapshotId};
use lifeboat_model::Phase;
use lifeboat_repository::{
    BlobReader, BlobWriter, Index, Lock, Repository, Snapshot, WriteOptions, WriteTotals, adopt,
    commit, each, snapshots, walk, write,
};

use crate::error::Doing;
use crate::{Error, Result};

/// The two ends of a copy.
#[derive(Clone, Copy)]
pub struct CopyEnds<'a> {
    /// Read.
    pub source: &'a Repository,
    /// Its index.
    pub source_index: &'a Index,
    /// Written.
    pub target: &'a Repository,
    /// Its lock.
    pub target_lock: &'a Lock<'a>,
}

/// A snapshot that the target is to get, and where its content comes from.
pub struct CopyItem {
    /// Its name at the source.
    pub source: SnapshotId,
    /// The record at the target.
    pub record: SnapshotFile,
    /// Trees to carry over with everything below them.
    pub roots: Vec<BlobId>,
    /// Blobs that the source does not have.
    pub made: Vec<MadeBlob>,
}

/// A blob that is made for a copy.
pub struct MadeBlob {
    /// Data or tree.
    pub kind: BlobKind,
    /// Hash of its content.
    pub id: BlobId,
    /// Its content.
    pub content: Vec<u8>,
}

impl MadeBlob {
    /// Names the content.
    pub fn new(kind: BlobKind, content: Vec<u8>) -> Self {
        let id = BlobId::of(&content);
        Self { kind, id, content }
    }
}

impl CopyItem {
    /// The snapshot as it is.
    pub fn whole(snapshot: &Snapshot) -> Self {
        Self {
            source: snapshot.id,
            record: record(snapshot),
            roots: vec![snapshot.file.tree],
            made: Vec::new(),
        }
    }

    /// What stays equal through copies.
    fn key(&self) -> (SnapshotId, BlobId) {
        (
            self.record.original.unwrap_or(self.source),
            self.record.tree,
        )
    }
}

/// What became of one snapshot.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Its name at the source.
    pub source: SnapshotId,
    /// Its name at the target; nothing if the target had it.
    pub target: Option<SnapshotId>,
}

/// Copies the snapshots that the target does not have.
///
/// A snapshot is known again by its `original` and tree, as stock restic does it.
///
/// Order: all data first, then the snapshot records, oldest first.
pub fn copy(
    ends: CopyEnds<'_>,
    wanted: &[Snapshot],
    options: WriteOptions,
) -> Result<(Vec<Copied>, WriteTotals)> {
    let items: Vec<CopyItem> = wanted.iter().map(CopyItem::whole).collect();
    copy_items(ends, &items, options)
}

/// The snapshots that [`copy`] would copy.
pub fn missing<'a>(target: &Repository, wanted: &'a [Snapshot]) -> Result<Vec<&'a Snapshot>> {
    let known = known(target)?;
    let is_missing = |snapshot: &&Snapshot| !known.contains(&CopyItem::whole(snapshot).key());
    Ok(wanted.iter().filter(is_missing).collect())
}

/// The items that [`copy_items`] would copy.
pub fn missing_items<'a>(target: &Repository, items: &'a [CopyItem]) -> Result<Vec<&'a CopyItem>> {
    let known = known(target)?;
    Ok(items
        .iter()
        .filter(|item| !known.contains(&item.key()))
        .collect())
}

/// What the target has, by the keys of [`CopyItem`].
fn known(target: &Repository) -> Result<HashSet<(SnapshotId, BlobId)>> {
    let there = snapshots::list(target)?;
    let keys = there
        .iter()
        .map(|s| (s.file.original.unwrap_or(s.id), s.file.tree));
    Ok(keys.collect())
}

/// Like [`copy`], for snapshots that become something else on the way.
pub fn copy_items(
    ends: CopyEnds<'_>,
    items: &[CopyItem],
    options: WriteOptions,
) -> Result<(Vec<Copied>, WriteTotals)> {
    let known = known(ends.target)?;
    let is_known = |item: &CopyItem| known.contains(&item.key());
    let missing: Vec<&CopyItem> = items.iter().filter(|item| !is_known(item)).collect();
    let mut target_index = ends.target.load_index()?;
    // What a killed copy has stored is not sent again.
    if !missing.is_empty() {
        (target_index, _) = adopt(ends.target, ends.target_lock, target_index)?;
    }
    let (_, totals, written) = write(
        ends.target,
        &target_index,
        ends.target_lock,
        options,
        |writer| copy_blobs(ends, writer, &missing),
    )?;
    let seen: Vec<_> = target_index.settled_files().chain(written).collect();
    let mut copied = Vec::new();
    for item in items {
        let target = if is_known(item) {
            None
        } else {
            let id = commit(ends.target, ends.target_lock, &item.record, &seen);
            Some(id.doing(|| "cannot record the copied snapshot".to_owned())?)
        };
        copied.push(Copied {
            source: item.source,
            target,
        });
    }
    Ok((copied, totals))
}

fn record(snapshot: &Snapshot) -> SnapshotFile {
    let mut file = snapshot.file.clone();
    file.original.get_or_insert(snapshot.id);
    file.parent = None;
    file
}

/// Copies every blob below the snapshots that the target lacks, pack by pack of the source.
fn copy_blobs(ends: CopyEnds<'_>, writer: &BlobWriter<'_>, missing: &[&CopyItem]) -> Result<()> {
    let mut bench = writer.bench();
    for blob in missing.iter().flat_map(|item| &item.made) {
        writer.put(blob.kind, &blob.id, &blob.content, &mut bench)?;
    }
    let wanted = Mutex::new(HashSet::new());
    let roots = missing.iter().flat_map(|item| item.roots.iter().copied());
    walk::trees(ends.source, ends.source_index, roots, |at| {
        let tree = at.tree.map_err(|error| {
            lifeboat_repository::Error::new(
                error.kind(),
                format!("cannot read tree {}: {error}", at.id),
            )
        })?;
        let data = tree.nodes.iter().flat_map(Node::content_ids);
        let all = data
            .map(|id| (BlobKind::Data, *id))
            .chain([(BlobKind::Tree, at.id)]);
        let mut wanted = wanted.lock().unwrap_or_else(|poison| poison.into_inner());
        wanted.extend(all.filter(|(kind, id)| !writer.knows(*kind, id)));
        Ok(())
    })?;
    let wanted = wanted
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    let mut placed = place(ends.source_index, wanted)?;
    placed.sort_unstable();
    let progress = &ends.source.environment().progress;
    progress.begin(
        Phase::Transfer,
        placed.iter().map(|blob| u64::from(blob.length)).sum(),
    );
    let packs: Vec<&[Placed]> = placed.chunk_by(|a, b| a.pack == b.pack).collect();
    each(ends.source, &packs, |blobs| copy_pack(ends, writer, blobs))?;
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    pack: PackId,
    offset: u32,
    length: u32,
    kind: BlobKind,
    id: BlobId,
}

fn place(index: &Index, wanted: HashSet<(BlobKind, BlobId)>) -> Result<Vec<Placed>> {
    let place = |(kind, id): (BlobKind, BlobId)| {
        let found = index.find(kind, &id).ok_or_else(|| {
            let doing = format!("cannot copy: {kind} blob {id} is missing, run 'lifeboat check'");
            Error::new(lifeboat_model::ErrorKind::Corrupt, doing)
        })?;
        let (pack, offset, length) = (found.pack, found.offset, found.length);
        Ok(Placed {
            pack,
            offset,
            length,
            kind,
            id,
        })
    };
    wanted.into_iter().map(place).collect()
}

fn copy_pack(
    ends: CopyEnds<'_>,
    writer: &BlobWriter<'_>,
    blobs: &[Placed],
) -> lifeboat_repository::Result<()> {
    let mut reader = BlobReader::new(ends.source, ends.source_index);
    let (mut bench, mut plaintext) = (writer.bench(), Vec::new());
    for blob in blobs {
        reader.get_into(blob.kind, &blob.id, &mut plaintext)?;
        writer.put(blob.kind, &blob.id, &plaintext, &mut bench)?;
        ends.source
            .environment()
            .progress
            .advance(u64::from(blob.length));
    }
    Ok(())
}
