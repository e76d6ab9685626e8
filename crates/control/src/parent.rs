//! The snapshot that a backup builds upon, and what of it can be taken over.

use std::collections::BTreeMap;

use lifeboat_chunker::ChunkSizes;
use lifeboat_engine::backup::{FullReason, ParentDisk};
use lifeboat_format::{
    BlobId, BlobKind, Chunking, DiskManifest, MANIFEST_NAME, MachineManifest, Node, NodeKind, Tree,
    label,
};
use lifeboat_model::{ErrorKind, VmName};
use lifeboat_platform::{CheckpointId, Vm};
use lifeboat_repository::{BlobReader, Index, Repository, Snapshot, snapshots};

use crate::error::{Doing, chain};
use crate::{Error, Result};

/// An earlier snapshot of a machine.
pub struct Parent {
    /// Its record.
    pub snapshot: Snapshot,
    /// What it says of its disks, or why that cannot be read.
    pub manifest: std::result::Result<MachineManifest, String>,
}

impl Parent {
    /// What it says of one disk.
    pub fn disk(&self, name: &str) -> Option<&DiskManifest> {
        let manifest = self.manifest.as_ref().ok()?;
        manifest.disks.iter().find(|disk| disk.name == name)
    }

    /// The platform's id of the machine, if it has one.
    pub fn vm_id(&self) -> Option<&str> {
        self.manifest.as_ref().ok()?.machine.id.as_deref()
    }

    /// The marks that increments can be built upon; those of other programs are left out.
    pub fn checkpoints(&self) -> Vec<CheckpointId> {
        let disks = self.manifest.iter().flat_map(|manifest| &manifest.disks);
        let names = disks.filter_map(|disk| disk.checkpoint.as_deref());
        names.filter_map(|name| name.parse().ok()).collect()
    }

    /// Reads what `snapshot` says of its disks.
    pub fn of(repository: &Repository, index: &Index, snapshot: &Snapshot) -> Self {
        let mut reader = BlobReader::new(repository, index);
        let manifest = read_manifest(&mut reader, snapshot);
        Self {
            snapshot: snapshot.clone(),
            manifest: manifest.map_err(|error| chain(&error)),
        }
    }
}

/// All snapshots of a machine, oldest first; unreadable records are passed over.
pub fn snapshots_of(repository: &Repository, machine: &VmName) -> Result<Vec<Snapshot>> {
    let (mut all, _) =
        snapshots::list_tolerant(repository).doing(|| "cannot list snapshots".to_owned())?;
    all.retain(|snapshot| label::read(&snapshot.file).as_ref() == Some(machine));
    Ok(all)
}

/// How many snapshots are looked at for one that left a mark.
const LOOK_BACK_MAX: usize = 32;

/// The snapshot of a machine to build upon: its newest that left a mark from which changes can
/// be asked, else the newest of its name. A machine that was renamed is found by its id; marks of
/// another machine of its name are passed over.
///
/// A run that leaves no mark, as that of a machine that was off, does not end a row of
/// increments: the mark before it still knows everything that was written since.
///
/// Errors: those of the repository.
pub fn parent_of_vm(repository: &Repository, index: &Index, vm: &Vm) -> Result<Option<Parent>> {
    let (all, _) =
        snapshots::list_tolerant(repository).doing(|| "cannot list snapshots".to_owned())?;
    let mut by_name: BTreeMap<VmName, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in &all {
        if let Some(name) = label::read(&snapshot.file) {
            by_name.entry(name).or_default().push(snapshot);
        }
    }
    if let Some(own) = by_name.get(&vm.name) {
        return Ok(marked(repository, index, own, vm));
    }
    let is_renamed = |own: &&Vec<&Snapshot>| {
        let newest = own.last().map(|it| Parent::of(repository, index, it));
        newest.is_some_and(|it| it.vm_id() == Some(vm.id.as_str()))
    };
    let renamed = by_name.values().find(is_renamed);
    Ok(renamed.and_then(|own| marked(repository, index, own, vm)))
}

/// Of the snapshots of one name, oldest first.
fn marked(repository: &Repository, index: &Index, own: &[&Snapshot], vm: &Vm) -> Option<Parent> {
    let is_marked = |parent: &Parent| {
        let is_own = parent.vm_id().is_none_or(|id| id == vm.id.as_str());
        is_own && !parent.checkpoints().is_empty()
    };
    let recent = own.iter().rev().take(LOOK_BACK_MAX);
    let mut recent = recent.map(|snapshot| Parent::of(repository, index, snapshot));
    let newest = recent.next()?;
    if is_marked(&newest) {
        return Some(newest);
    }
    Some(recent.find(is_marked).unwrap_or(newest))
}

/// Reads the manifest of a machine's snapshot.
///
/// Errors: `NotFound` for a snapshot without one, `Corrupt`.
pub fn read_manifest(reader: &mut BlobReader<'_>, snapshot: &Snapshot) -> Result<MachineManifest> {
    let json = read_file(reader, &snapshot.file.tree, MANIFEST_NAME)?;
    MachineManifest::decode(&json).doing(|| "cannot read the manifest".to_owned())
}

/// Reads a small file of a snapshot.
///
/// Errors: `NotFound`; `Invalid` for one above 256 MiB; those of the repository.
pub fn read_file(reader: &mut BlobReader<'_>, root: &BlobId, path: &str) -> Result<Vec<u8>> {
    /// Nothing that describes a machine is larger.
    const FILE_BYTES_MAX: u64 = 256 << 20;
    let node = node_at(reader, root, path)?;
    if node.size > FILE_BYTES_MAX {
        let message = format!(
            "the file \"{path}\" has {} bytes: too many to be read whole",
            node.size
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let mut content = Vec::new();
    for id in node.content_ids() {
        let piece = reader.get(BlobKind::Data, id);
        content.extend(piece.doing(|| format!("cannot read the file \"{path}\""))?);
    }
    Ok(content)
}

/// Walks from a tree to the node at `path`.
///
/// Errors: `NotFound`; those of the repository.
pub fn node_at(reader: &mut BlobReader<'_>, root: &BlobId, path: &str) -> Result<Node> {
    let missing = || {
        let message = format!("no file \"{path}\" in the snapshot: 'lifeboat ls' lists them");
        Error::new(ErrorKind::NotFound, message)
    };
    let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
    let mut tree: Tree = tree_at(reader, root)?;
    while let Some(name) = names.next() {
        let node = tree.find(name.as_bytes()).ok_or_else(missing)?;
        match (names.peek(), node.kind, node.subtree) {
            (None, _, _) => return Ok(node.clone()),
            (Some(_), NodeKind::Dir, Some(subtree)) => tree = tree_at(reader, &subtree)?,
            _ => return Err(missing()),
        }
    }
    Err(missing())
}

fn tree_at(reader: &mut BlobReader<'_>, id: &BlobId) -> Result<Tree> {
    reader
        .tree(id)
        .doing(|| "cannot read the snapshot's tree".to_owned())
}

/// A disk in the parent that an increment can build upon, or why it cannot.
pub fn parent_disk(
    repository: &Repository,
    index: &Index,
    parent: Option<&Parent>,
    name: &str,
    sizes: ChunkSizes,
) -> std::result::Result<ParentDisk, String> {
    let parent = parent.ok_or_else(|| FullReason::NoParent.to_string())?;
    if let Err(seen) = &parent.manifest {
        return Err(format!("{}: {seen}", FullReason::ParentUnreadable));
    }
    let disk = parent
        .disk(name)
        .ok_or_else(|| FullReason::NoParent.to_string())?;
    let seed = repository.config().chunker_polynomial;
    if disk.chunking != Chunking::new(sizes.min(), sizes.gap(), sizes.max(), seed) {
        return Err(FullReason::OtherChunking.to_string());
    }
    let mut reader = BlobReader::new(repository, index);
    let node = node_at(&mut reader, &parent.snapshot.file.tree, &disk.path)
        .map_err(|seen| format!("{}: {}", FullReason::ParentUnreadable, chain(&seen)))?;
    ParentDisk::new(&node, index).map_err(|reason| reason.to_string())
}
