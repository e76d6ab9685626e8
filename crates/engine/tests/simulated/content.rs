//! Snapshots whose bytes are known from a list of seeds.

use lifeboat_format::{BlobId, BlobKind, Node, NodeKind, SnapshotId, Tree};
use lifeboat_repository::{BlobReader, BlobWriter, Error, Repository, Result, snapshots};
use lifeboat_testkit::SeededEntropy;

/// The bytes of a blob: some compress, some do not.
pub(crate) fn blob(seed: u64) -> Vec<u8> {
    let entropy = SeededEntropy::new(seed);
    let length = 100 + entropy.below(900) as usize;
    let mut bytes = entropy.bytes(length);
    if seed.is_multiple_of(3) {
        bytes[length / 2..].fill(b'x');
    }
    bytes
}

pub(crate) fn bytes_of(seeds: &[u64]) -> Vec<u8> {
    seeds.iter().flat_map(|seed| blob(*seed)).collect()
}

/// The two trees of a snapshot with one file of these blobs; the root is the last one.
pub(crate) fn trees(seeds: &[u64]) -> [(BlobId, Vec<u8>); 2] {
    let mut file = Node::new(b"file", NodeKind::File);
    let blobs: Vec<Vec<u8>> = seeds.iter().map(|seed| blob(*seed)).collect();
    file.size = blobs.iter().map(|bytes| bytes.len() as u64).sum();
    file.set_content(blobs.iter().map(|bytes| BlobId::of(bytes)).collect());
    let encode = |node: Node| {
        let json = Tree { nodes: vec![node] }.encode();
        let json = json.expect("a tree of one node");
        (BlobId::of(&json), json)
    };
    let inner = encode(file);
    let mut folder = Node::new(b"folder", NodeKind::Dir);
    folder.subtree = Some(inner.0);
    [inner, encode(folder)]
}

pub(crate) fn put_blobs(writer: &BlobWriter<'_>, seeds: &[u64]) -> Result<()> {
    let mut bench = writer.bench();
    for seed in seeds {
        let bytes = blob(*seed);
        writer.put(BlobKind::Data, &BlobId::of(&bytes), &bytes, &mut bench)?;
    }
    Ok(())
}

pub(crate) fn put_trees(writer: &BlobWriter<'_>, seeds: &[u64]) -> Result<BlobId> {
    let mut bench = writer.bench();
    let trees = trees(seeds);
    for (id, json) in &trees {
        writer.put(BlobKind::Tree, id, json, &mut bench)?;
    }
    Ok(trees[1].0)
}

/// The root tree of a snapshot and the bytes of its file.
pub(crate) fn read(repository: &Repository, id: SnapshotId) -> Result<(BlobId, Vec<u8>)> {
    // Order: the snapshot before the index, so that what it refers to is indexed.
    let root = snapshots::load(repository, id)?.file.tree;
    let index = repository.load_index_to_read()?;
    let mut reader = BlobReader::new(repository, &index);
    let damaged = |what: &str| Error::new(lifeboat_model::ErrorKind::Corrupt, what);
    let folder = reader.tree(&root)?;
    let inner = folder.find(b"folder").and_then(|node| node.subtree);
    let inner = reader.tree(&inner.ok_or_else(|| damaged("no folder"))?)?;
    let file = inner.find(b"file").ok_or_else(|| damaged("no file"))?;
    let mut bytes = Vec::new();
    for id in file.content_ids() {
        bytes.extend(reader.get(BlobKind::Data, id)?);
    }
    Ok((root, bytes))
}
