//! Whoever has the key can seal anything: forged sizes, bombs and mazes are told calmly.

use std::sync::Arc;

use lifeboat_backend::{Backend, FileHandle, FileKind};
use lifeboat_format::{
    BlobId, BlobKind, IndexFile, IndexId, Node, NodeKind, SnapshotFile, SnapshotId, Tree,
};
use lifeboat_model::{Clock, ErrorKind};
use lifeboat_repository::{
    BlobReader, BlobWriter, Error, Finding, Repository, Result, check, repair, snapshots, write,
};

use crate::world::{Run, World, blob};

/// Stores what `put` makes, below a snapshot of the tree that it gives.
fn store(world: &World, put: impl FnOnce(&BlobWriter<'_>) -> Result<BlobId> + Send) -> SnapshotId {
    let run = Run::begin(&world.repository).unwrap();
    let (repository, options) = (&world.repository, run.options);
    let written = write(repository, &run.index, &run.lock, options, put).unwrap();
    let mut file = SnapshotFile::new(world.clock.now().into());
    file.tree = written.0;
    snapshots::save(repository, &file).unwrap()
}

fn put_tree(writer: &BlobWriter<'_>, nodes: Vec<Node>) -> Result<BlobId> {
    let json = Tree { nodes }.encode().unwrap();
    let id = BlobId::of(&json);
    writer.put(BlobKind::Tree, &id, &json, &mut writer.bench())?;
    Ok::<BlobId, Error>(id)
}

fn folder(name: &str, below: BlobId) -> Node {
    let mut node = Node::new(name.as_bytes(), NodeKind::Dir);
    node.subtree = Some(below);
    node
}

/// A file whose one blob is nowhere, of any size that is claimed.
fn lost_file(size: u64) -> Node {
    let mut node = Node::new(b"lost", NodeKind::File);
    node.set_content(vec![BlobId::of(b"nowhere")]);
    node.size = size;
    node
}

/// The one index file, replaced by a changed one.
fn forge_index(world: &World, change: impl FnOnce(&mut IndexFile)) -> Repository {
    let listed = world.repository.list(FileKind::Index).unwrap();
    let handle = FileHandle::new(FileKind::Index, listed[0].id);
    let json = world.repository.load_unpacked(handle).unwrap();
    let mut index = IndexFile::decode(&json).unwrap();
    change(&mut index);
    let json = index.encode();
    world
        .repository
        .save_unpacked(FileKind::Index, &json)
        .unwrap();
    world.memory.remove(handle).unwrap();
    world.other(9)
}

#[test]
fn a_forged_file_size_does_not_decide_how_much_is_repaired() {
    let world = World::new();
    let snapshot = store(&world, |writer| put_tree(writer, vec![lost_file(u64::MAX)]));
    let plan = repair::plan_snapshots(&world.repository).unwrap();
    assert_eq!(plan.snapshots, [snapshot]);
    let bytes = plan.lost[0].ranges.byte_count();
    assert_eq!(
        bytes,
        BlobKind::Data.bytes_max() as u64,
        "what one blob can hold"
    );
}

#[test]
fn a_tree_that_repeats_itself_is_read_once() {
    for is_lost in [false, true] {
        let world = World::new();
        store(&world, |writer| {
            let leaf = if is_lost {
                lost_file(10)
            } else {
                Node::new(b"empty", NodeKind::Fifo)
            };
            let mut below = put_tree(writer, vec![leaf])?;
            for _ in 0..64 {
                below = put_tree(writer, vec![folder("a", below), folder("b", below)])?;
            }
            Ok(below)
        });
        let (checked, _) = check(&world.repository).unwrap();
        assert_eq!(checked.trees, 65);
        let plan = repair::plan_snapshots(&world.repository).unwrap();
        assert_eq!(plan.snapshots.len(), usize::from(is_lost));
        assert!(plan.lost.len() <= 10_000);
    }
}

#[test]
fn a_tree_of_any_depth_is_checked_and_no_stack_ends() {
    let world = World::new();
    store(&world, |writer| {
        let mut below = put_tree(writer, vec![lost_file(10)])?;
        for _ in 0..4000 {
            below = put_tree(writer, vec![folder("a", below)])?;
        }
        Ok(below)
    });
    let (checked, _) = check(&world.repository).unwrap();
    assert_eq!(checked.trees, 4001);
    let refused = repair::plan_snapshots(&world.repository).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("1024 folders"), "{refused}");
}

#[test]
fn an_index_that_claims_more_than_a_pack_has_costs_no_memory() {
    let world = World::new();
    world.backup(&[1]);
    let id = BlobId::of(&blob(1));
    let forged = forge_index(&world, |index| {
        let entries = index.packs.iter_mut().flat_map(|pack| &mut pack.blobs);
        for entry in entries {
            entry.length = 100 << 20;
            entry.uncompressed_length = None;
        }
    });
    let index = forged.load_index().unwrap();
    let mut reader = BlobReader::new(&forged, &index);
    let error = reader.get(BlobKind::Data, &id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("the pack has"), "{error}");
}

#[test]
fn lengths_that_no_blob_has_make_an_index_unreadable() {
    let world = World::new();
    world.backup(&[1]);
    let forged = forge_index(&world, |index| {
        index.packs[0].blobs[0].uncompressed_length = u32::MAX.try_into().ok();
    });
    let listed: IndexId = forged.list(FileKind::Index).unwrap()[0].id.into();
    let (checked, _) = check(&forged).unwrap();
    let is_named = |finding: &Finding| matches!(finding, Finding::Index(id, _) if *id == listed);
    assert!(
        checked.findings.iter().any(is_named),
        "{:?}",
        checked.findings
    );
}

#[test]
fn small_files_that_unpack_to_much_are_refused() {
    let world = World::new();
    world.backup(&[1]);
    let sound = SnapshotFile::new(world.clock.now().into()).encode();
    let sound = String::from_utf8(sound).unwrap();
    let body = sound.trim_end().trim_end_matches('}');
    for bomb in [
        format!("{body},\"x\":\"{}\"}}", "a".repeat(16 << 20)),
        format!("{body},\"x\":[{}0]}}", "{},".repeat(70_000)),
        format!("{body},\"x\":[{}0]}}", "0,".repeat(1_100_000)),
        format!("{body},\"x\":{}{}}}", "[".repeat(200), "]".repeat(200)),
    ] {
        let saved = world
            .repository
            .save_unpacked(FileKind::Snapshot, bomb.as_bytes());
        let id = saved.unwrap();
        let error = snapshots::load(&world.repository, id.into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let file = FileHandle::new(FileKind::Snapshot, id);
        world.memory.remove(file).unwrap();
    }
    let place: Arc<dyn Backend> = world.memory.clone();
    let (checked, _) = check(&world.through(place, 5)).unwrap();
    assert!(checked.is_whole());
}
