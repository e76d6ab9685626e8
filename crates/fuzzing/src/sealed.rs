//! Files that lie sealed in a repository: the input is the plaintext.

use std::io::Write;
use std::sync::Arc;

use lifeboat_backend::{Backend, FileKind, Memory};
use lifeboat_engine::verify::{Subset, verify};
use lifeboat_engine::{dump, place};
use lifeboat_format::{
    BlobId, BlobKind, Decompressor, IndexFile, KeyFile, LockFile, Node, NodeKind, Sealed,
    SnapshotFile, Tree, decode_pack_header, decode_unpacked, label, unseal_blob,
};
use lifeboat_model::Extent;
use lifeboat_repository::{
    BlobReader, Index, LockMode, LockWait, Repository, check, keys, lock as locks, repair,
    snapshots, walk,
};

use crate::site::{Site, data, environment, folder, master, password, tree as base_tree};

/// Bytes of one file that are dumped.
const DUMP_BYTES_MAX: u64 = 1 << 20;
/// Largest product of scrypt's cost that is tried: dear keys are a matter of limits, not of bytes.
const SCRYPT_WORK_MAX: u64 = 1 << 14;

/// The configuration: opened, and written as it was read.
pub(crate) fn config(input: &[u8]) {
    let site = Site::new();
    site.replace(FileKind::Config, &site.seal(input));
    use_repository(site.memory);
}

/// An index file in the place of the sound one.
pub(crate) fn index(input: &[u8]) {
    if let Ok(index) = IndexFile::decode(input) {
        let again = IndexFile::decode(&index.encode());
        assert_eq!(again.ok(), Some(index), "an index is read as written");
    }
    let site = Site::new();
    site.replace(FileKind::Index, &site.pack_up(input));
    use_repository(site.memory);
}

/// A snapshot beside the sound one.
pub(crate) fn snapshot(input: &[u8]) {
    if let Ok(file) = SnapshotFile::decode(input) {
        let again = SnapshotFile::decode(&file.encode());
        assert_eq!(again.ok(), Some(file), "a snapshot is read as written");
    }
    let site = Site::new();
    site.add(FileKind::Snapshot, &site.pack_up(input));
    use_repository(site.memory);
}

/// The tree of a snapshot's folder.
pub(crate) fn tree(input: &[u8]) {
    reads_as_written(input);
    let site = Site::new();
    let ([noise, zeros], sound) = (data(), base_tree());
    let root = folder(BlobId::of(input));
    let mut trees = vec![(BlobKind::Tree, input), (BlobKind::Tree, &root)];
    if input != sound {
        trees.push((BlobKind::Tree, &sound));
    }
    let of_data = site.add_pack(&[(BlobKind::Data, &noise), (BlobKind::Data, &zeros)]);
    let of_trees = site.add_pack(&trees);
    site.record(BlobId::of(&root), vec![of_data, of_trees]);
    use_repository(site.memory);
}

/// What was read completely is written so that it reads the same.
fn reads_as_written(input: &[u8]) {
    let Ok(decoded) = Tree::decode_with_oddities(input) else {
        return;
    };
    for node in &decoded.tree.nodes {
        drop((node.shown_name(), node.name_is_safe()));
    }
    let Ok(written) = decoded.tree.encode() else {
        return;
    };
    let again = Tree::decode(&written).expect("what we write can be read");
    let names = |tree: &Tree| -> Vec<_> { tree.nodes.iter().map(|n| n.name.clone()).collect() };
    assert_eq!(names(&again), names(&decoded.tree), "names come back");
    let twice = again.encode().expect("what was written can be written");
    assert_eq!(twice, written, "a tree written twice is the same");
}

/// A key file as it is, and one whose sealed part is the input.
pub(crate) fn key(input: &[u8]) {
    if let Ok(key) = KeyFile::decode(input) {
        let written = key.encode().expect("a key file can be written");
        assert_eq!(KeyFile::decode(&written).ok(), Some(key));
    }
    if is_dear(input) {
        return;
    }
    let site = Site::new();
    site.replace(FileKind::Key, input);
    use_repository(site.memory);
}

/// Whether the file asks for more work than a fuzzer has time for.
fn is_dear(input: &[u8]) -> bool {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(input) else {
        return false;
    };
    let cost = |name: &str| json[name].as_u64().unwrap_or(1).max(1);
    let work = cost("N")
        .saturating_mul(cost("r"))
        .saturating_mul(cost("p"));
    work > SCRYPT_WORK_MAX && work < 1 << 34
}

/// A lock of somebody: listed, met, removed.
pub(crate) fn lock(input: &[u8]) {
    if let Ok(file) = LockFile::decode(input) {
        assert_eq!(LockFile::decode(&file.encode()).ok(), Some(file));
    }
    let site = Site::new();
    site.replace(FileKind::Lock, &site.pack_up(input));
    let Some(repository) = open(site.memory) else {
        return;
    };
    for mode in [LockMode::Shared, LockMode::Prune, LockMode::Exclusive] {
        drop(locks::acquire(&repository, mode, LockWait::default()));
    }
    drop(locks::unlock(&repository, locks::Unlock::Stale));
    let left = locks::unlock(&repository, locks::Unlock::All);
    assert!(left.is_ok(), "any lock can be removed: {left:?}");
}

/// The header of a pack that no index lists; the blobs before it have the length it claims.
pub(crate) fn pack_header(input: &[u8]) {
    let site = Site::new();
    let sealed = site.seal(input);
    let mut pack = vec![0xa5; claimed_bytes(input)];
    pack.extend_from_slice(&sealed);
    pack.extend_from_slice(&(sealed.len() as u32).to_le_bytes());
    if let Ok(entries) = decode_pack_header(&pack, pack.len() as u64, master()) {
        let size = lifeboat_format::pack_size(&entries);
        assert_eq!(size, pack.len() as u64, "a header accounts for its pack");
    }
    site.add(FileKind::Pack, &pack);
    use_repository(site.memory);
}

/// Bytes that the entries of a header claim; none when that is much.
fn claimed_bytes(mut header: &[u8]) -> usize {
    let mut sum = 0u64;
    while let [kind, a, b, c, d, rest @ ..] = header {
        sum += u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
        let id_at = if *kind & 2 == 0 { 32 } else { 36 };
        header = rest.get(id_at..).unwrap_or_default();
    }
    if sum < 1 << 20 { sum as usize } else { 0 }
}

/// Compressed bytes: of a small file, and of a data blob that claims the length in front.
pub(crate) fn compressed(input: &[u8]) {
    let Some((claimed, frame)) = input.split_first_chunk::<4>() else {
        return;
    };
    let site = Site::new();
    let plaintext = [&[2], frame].concat();
    if let Ok(json) = decode_unpacked(&site.seal(&plaintext), master(), 1 << 20) {
        assert!(json.len() <= 1 << 20, "plaintexts have a limit");
    }
    let mut sealed = site.seal(frame);
    let length = u32::from_le_bytes(*claimed);
    let sealed = Sealed {
        bytes: &mut sealed,
        kind: BlobKind::Data,
        uncompressed_length: length.try_into().ok(),
    };
    let (mut decompressor, mut opened) = (Decompressor::new(), Vec::new());
    let id = BlobId::default();
    let result = unseal_blob(sealed, &id, master(), &mut decompressor, &mut opened);
    assert!(result.is_err(), "nothing hashes to zero");
    // Claims up to 16 MiB are believed; beyond, memory follows what is there.
    let bound = (opened.len() + frame.len()) * 2 + (17 << 20);
    assert!(
        opened.capacity() <= bound,
        "claims beyond 16 MiB cost nothing"
    );
}

fn open(memory: Memory) -> Option<Repository> {
    let backend: Arc<dyn Backend> = Arc::new(memory);
    Repository::open(backend, &password(), environment()).ok()
}

/// Opens the repository and does everything with it that only reads.
fn use_repository(memory: Memory) {
    let Some(repository) = open(memory) else {
        return;
    };
    drop(keys::list(&repository));
    drop(locks::list(&repository));
    if let Ok((_, index)) = check(&repository) {
        read_all(&repository, &index);
        drop(verify(&repository, &index, Subset::All));
    }
    for is_thorough in [false, true] {
        drop(repair::plan_index(&repository, is_thorough));
    }
    drop(repair::plan_snapshots(&repository));
}

fn read_all(repository: &Repository, index: &Index) {
    let Ok((snapshots, _)) = snapshots::list_tolerant(repository) else {
        return;
    };
    let roots: Vec<BlobId> = snapshots.iter().map(|it| it.file.tree).collect();
    drop(walk::used(repository, index, roots.iter().copied()));
    for snapshot in &snapshots {
        drop(label::read(&snapshot.file));
        read_tree(repository, index, &snapshot.file.tree, 3);
    }
}

fn read_tree(repository: &Repository, index: &Index, id: &BlobId, depth: u32) {
    let Ok(tree) = BlobReader::new(repository, index).tree(id) else {
        return;
    };
    for node in tree.nodes.iter().take(20) {
        match (node.kind, &node.subtree) {
            (NodeKind::Dir, Some(below)) if depth > 0 => {
                read_tree(repository, index, below, depth - 1);
            }
            (NodeKind::File, _) => read_file(repository, index, node),
            _ => {}
        }
    }
}

fn read_file(repository: &Repository, index: &Index, node: &Node) {
    let Ok(content) = place(index, node) else {
        return;
    };
    let Some(range) = Extent::new(0, content.size.min(DUMP_BYTES_MAX)) else {
        return;
    };
    let mut bytes = Vec::new();
    if dump(repository, index, &content, range, &mut Bounded(&mut bytes)).is_ok() {
        assert_eq!(bytes.len() as u64, range.len(), "a dump has its length");
    }
}

/// Takes no more than was asked for.
struct Bounded<'a>(&'a mut Vec<u8>);

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        assert!(self.0.len() as u64 <= DUMP_BYTES_MAX, "no more is dumped");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
