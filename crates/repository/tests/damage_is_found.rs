//! Check and verify find every kind of damage, and call nothing damage that is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use lifeboat_backend::{Backend, FileHandle, FileKind, Memory};
use lifeboat_format::{
    BlobId, BlobKind, IndexFile, KeyFile, Node, NodeKind, PackEntry, PackId, SnapshotFile, Tree,
    encode_pack_header, seal_blob,
};
use lifeboat_model::{Clock, Id};
use lifeboat_repository::{Finding, Repository, Result, check, snapshots, verify_pack, write};

use crate::world::{Run, World, blob, environment, password, put_all, random};

/// Everything that check and verify say; an error of theirs is a find too.
fn findings(repository: &Repository) -> Result<Vec<Finding>> {
    let (checked, index) = check(repository)?;
    let mut findings = checked.findings;
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        findings.extend(verify_pack(repository, pack.id, &blobs)?);
    }
    Ok(findings)
}

fn world() -> World {
    let world = World::new();
    world.backup(&[1, 2, 3, 4, 5, 6, 7, 8]);
    world.backup(&[5, 6, 7, 20, 21]);
    world
}

/// Whether somebody who opens, checks and verifies the place notices something.
fn is_noticed(world: &World, place: &Arc<Memory>) -> bool {
    let environment = environment(&world.clock, 3);
    match Repository::open(place.clone(), &password(), environment) {
        Err(_) => true,
        Ok(repository) => match findings(&repository) {
            Err(_) => true,
            Ok(findings) => findings.iter().any(|finding| !finding.is_note()),
        },
    }
}

#[test]
fn a_sound_repository_has_no_findings() {
    let world = world();
    assert_eq!(findings(&world.repository).unwrap(), []);
}

#[test]
fn every_turned_bit_is_found() {
    let world = world();
    for (file, content) in world.memory.files() {
        let step = if content.len() < 2000 { 1 } else { 61 };
        for at in (0..content.len()).step_by(step) {
            let place = Arc::new(world.memory.duplicate());
            let mut turned = content.to_vec();
            turned[at] ^= 1 << (at % 8);
            place.overwrite(file, &turned);
            assert!(
                is_noticed(&world, &place),
                "{file}, byte {at} of {}",
                content.len()
            );
        }
    }
}

#[test]
fn every_missing_and_every_shortened_file_is_found() {
    let world = world();
    for (file, content) in world.memory.files() {
        let place = Arc::new(world.memory.duplicate());
        for length in [0, 1, content.len() / 2, content.len() - 1] {
            place.overwrite(file, &content[..length]);
            assert!(is_noticed(&world, &place), "{file} with {length} bytes");
        }
        let mut longer = content.to_vec();
        longer.push(0);
        place.overwrite(file, &longer);
        assert!(is_noticed(&world, &place), "{file} with a byte more");
        place.remove(file).unwrap();
        // The record of a snapshot has no other trace.
        let is_found = file.kind == FileKind::Snapshot || is_noticed(&world, &place);
        assert!(is_found, "{file} is gone");
    }
}

#[test]
fn swapped_files_are_found() {
    let world = world();
    let files = world.memory.files();
    for pair in files
        .windows(2)
        .filter(|pair| pair[0].0.kind == pair[1].0.kind)
    {
        let place = Arc::new(world.memory.duplicate());
        place.overwrite(pair[0].0, &pair[1].1);
        place.overwrite(pair[1].0, &pair[0].1);
        assert!(
            is_noticed(&world, &place),
            "{} and {}",
            pair[0].0,
            pair[1].0
        );
    }
}

#[test]
fn foreign_files_are_found_and_foreign_packs_are_notes() {
    let world = world();
    for kind in [FileKind::Key, FileKind::Snapshot, FileKind::Index] {
        let place = Arc::new(world.memory.duplicate());
        place.overwrite(FileHandle::new(kind, Id([3; 32])), b"not ours");
        assert!(is_noticed(&world, &place), "{kind}");
    }
    let pack = Id([3; 32]);
    world
        .memory
        .overwrite(FileHandle::new(FileKind::Pack, pack), b"not ours");
    let expected = Finding::PackUnlisted(PackId::from(pack));
    assert_eq!(findings(&world.repository).unwrap(), [expected]);
}

/// Replaces the one index file by what `change` makes of it.
fn change_index(world: &World, change: impl FnOnce(&mut IndexFile)) {
    let mut all = IndexFile::default();
    for listed in world.repository.list(FileKind::Index).unwrap() {
        let file = FileHandle::new(FileKind::Index, listed.id);
        let json = world.repository.load_unpacked(file).unwrap();
        all.packs.extend(IndexFile::decode(&json).unwrap().packs);
        world.memory.remove(file).unwrap();
    }
    change(&mut all);
    let json = all.encode();
    world
        .repository
        .save_unpacked(FileKind::Index, &json)
        .unwrap();
}

fn names(findings: &[Finding]) -> BTreeSet<String> {
    let names = findings.iter().map(|finding| {
        let text = format!("{finding:?}");
        assert!(!finding.to_string().is_empty() && finding.remedy().starts_with("lifeboat "));
        text.split(['(', ' ']).next().unwrap().to_owned()
    });
    names.collect()
}

fn checked(world: &World) -> BTreeSet<String> {
    names(&check(&world.repository).unwrap().0.findings)
}

#[test]
fn an_index_that_lies_is_found() {
    let lie = |change: &dyn Fn(&mut IndexFile)| {
        let world = world();
        change_index(&world, change);
        checked(&world)
    };
    assert_eq!(lie(&|_| {}), BTreeSet::new());
    let gap = lie(&|index| index.packs[0].blobs.last_mut().unwrap().offset += 1);
    assert!(gap.contains("PackLayout"), "{gap:?}");
    let short = lie(&|index| {
        index.packs[0].blobs.pop();
    });
    assert!(short.contains("PackSize"), "{short:?}");
    let data = |index: &mut IndexFile| {
        let is_data = |pack: &lifeboat_format::IndexPack| pack.blobs[0].kind == BlobKind::Data;
        let at = index.packs.iter().position(is_data).unwrap();
        index.packs.remove(at);
    };
    let unlisted = lie(&data);
    assert!(
        unlisted.contains("DataMissing") && unlisted.contains("PackUnlisted"),
        "{unlisted:?}"
    );
    let trees = lie(&|index| {
        index
            .packs
            .retain(|pack| pack.blobs[0].kind == BlobKind::Data);
    });
    assert!(trees.contains("Tree"), "{trees:?}");
    let length = lie(&|index| {
        let mut blobs = index.packs.iter_mut().flat_map(|pack| &mut pack.blobs);
        let compressed =
            blobs.find(|b| b.kind == BlobKind::Data && b.uncompressed_length.is_some());
        let length = &mut compressed.unwrap().uncompressed_length;
        *length = length.map(|length| length.checked_add(1).unwrap());
    });
    assert!(length.contains("FileSize"), "{length:?}");
}

/// Stores a tree of these nodes as a snapshot; `last` renames the last one.
pub(crate) fn record(world: &World, nodes: Vec<Node>, last: Option<&str>) {
    record_json(world, nodes, |json| match last {
        Some(name) => json.replace("\"name\":\"z\"", &format!("\"name\":\"{name}\"")),
        None => json,
    });
}

/// Stores what `change` makes of the tree of these nodes as a snapshot.
pub(crate) fn record_json(world: &World, nodes: Vec<Node>, change: impl FnOnce(String) -> String) {
    let run = Run::begin(&world.repository).unwrap();
    let json = String::from_utf8(Tree { nodes }.encode().unwrap()).unwrap();
    let json = change(json).into_bytes();
    let tree = BlobId::of(&json);
    let stored = write(
        run.repository,
        &run.index,
        &run.lock,
        run.options,
        |writer| writer.put(BlobKind::Tree, &tree, &json, &mut writer.bench()),
    );
    stored.unwrap();
    let mut file = SnapshotFile::new(world.clock.now().into());
    file.tree = tree;
    snapshots::save(&world.repository, &file).unwrap();
}

#[test]
fn trees_that_break_the_rules_are_found() {
    let file = |name: &str| {
        let mut node = Node::new(name.as_bytes(), NodeKind::File);
        node.set_content(Vec::new());
        node
    };
    let mut larger = file("a");
    larger.size = 1;
    let cases = [
        (vec![file("b"), file("z")], Some("a"), "TreeRule"),
        (vec![file("b"), file("z")], Some("b"), "TreeRule"),
        (vec![file("z")], Some(".."), "TreeRule"),
        (vec![file("z")], Some("a/b"), "TreeRule"),
        (vec![Node::new(b"folder", NodeKind::Dir)], None, "TreeRule"),
        (vec![larger], None, "FileSize"),
    ];
    for (nodes, last, expected) in cases {
        let world = World::new();
        record(&world, nodes, last);
        assert_eq!(checked(&world), BTreeSet::from([expected.to_owned()]));
    }
    let world = World::new();
    record(&world, vec![file("a"), file("b")], None);
    assert_eq!(checked(&world), BTreeSet::new());
}

#[test]
fn a_pack_of_trees_and_data_is_a_note() {
    let world = World::new();
    let key = FileHandle::new(FileKind::Key, world.repository.key().into());
    let json = world.memory.load(key).unwrap();
    let master = KeyFile::decode(&json).unwrap().open(&password()).unwrap();
    let entropy = &*world.repository.environment().entropy;
    let tree = Tree::default().encode().unwrap();
    let (mut bytes, mut blobs) = (Vec::new(), Vec::new());
    for (kind, plain) in [(BlobKind::Data, blob(1)), (BlobKind::Tree, tree)] {
        let offset = bytes.len() as u32;
        let nonce = random(offset.into(), 16).try_into().unwrap();
        let uncompressed_length = seal_blob(&plain, None, &master, nonce, &mut bytes).unwrap();
        blobs.push(PackEntry {
            kind,
            id: BlobId::of(&plain),
            offset,
            length: bytes.len() as u32 - offset,
            uncompressed_length,
        });
    }
    bytes.extend(encode_pack_header(&blobs, &master, entropy).unwrap());
    let id = Id::from(BlobId::of(&bytes));
    world
        .memory
        .overwrite(FileHandle::new(FileKind::Pack, id), &bytes);
    change_index(&world, |index| {
        index.packs.push(lifeboat_format::IndexPack {
            id: id.into(),
            blobs,
            time: None,
            size: None,
        });
    });
    assert_eq!(
        names(&findings(&world.repository).unwrap()),
        BTreeSet::from(["PackMixed".into()])
    );
}

#[test]
fn an_unrecorded_run_is_no_damage() {
    let world = world();
    let run = Run::begin(&world.repository).unwrap();
    let stored = write(
        run.repository,
        &run.index,
        &run.lock,
        run.options,
        |writer| put_all(writer, &[60, 61]),
    );
    stored.unwrap();
    assert_eq!(findings(&world.repository).unwrap(), []);
}
