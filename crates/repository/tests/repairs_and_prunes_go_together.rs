//! Between two repairs, beside marks and newer programs: nothing sound is given up or forgotten.

use lifeboat_backend::{Backend, FileHandle, FileKind};
use lifeboat_format::{BlobId, BlobKind, KeyFile, Node, NodeKind, PackId, SnapshotId, Tree};
use lifeboat_model::{ErrorKind, Id};
use lifeboat_repository::repair::{
    SnapshotRepairPlan, apply_index, apply_snapshots, plan_index, plan_snapshots, repair_packs,
};
use lifeboat_repository::{
    BlobReader, LockMode, LockWait, Repository, check, lock, snapshots, verify_pack,
};

use crate::damage_is_found::record;
use crate::world::{
    Expected, World, assert_whole, blob, bytes_of, password, prune, prune_options, read,
    small_packs,
};

fn pack_of(world: &World, seed: u64) -> PackId {
    let index = world.repository.load_index().unwrap();
    let found = index.find(BlobKind::Data, &BlobId::of(&blob(seed)));
    found.unwrap().pack
}

fn turn(world: &World, seed: u64) -> PackId {
    let index = world.repository.load_index().unwrap();
    let id = BlobId::of(&blob(seed));
    let found = index.find(BlobKind::Data, &id).unwrap();
    let file = FileHandle::new(FileKind::Pack, found.pack.into());
    let mut bytes = world.memory.load(file).unwrap();
    bytes[found.offset as usize + 20] ^= 1;
    world.memory.overwrite(file, &bytes);
    found.pack
}

/// Repairs the snapshots; gives the plan that was executed.
fn repair_snapshots(repository: &Repository) -> SnapshotRepairPlan {
    let lock = lock::acquire(repository, LockMode::Exclusive, LockWait::default()).unwrap();
    let plan = plan_snapshots(repository).unwrap();
    apply_snapshots(repository, &lock, &plan, false, small_packs()).unwrap();
    plan
}

fn findings(repository: &Repository) -> Vec<String> {
    let (checked, index) = check(repository).unwrap();
    let mut findings = checked.findings;
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        findings.extend(verify_pack(repository, pack.id, &blobs).unwrap());
    }
    let found = findings.iter().filter(|finding| !finding.is_note());
    found.map(ToString::to_string).collect()
}

#[test]
fn a_prune_between_the_repairs_does_not_list_a_damaged_pack_again() {
    let world = World::new();
    let hit: Vec<u64> = (0..12).collect();
    let old = world.backup(&hit);
    let sound = world.backup(&[30, 31, 32]);
    let pack = turn(&world, 3);
    {
        let lock = lock::acquire(&world.repository, LockMode::Exclusive, LockWait::default());
        let repair = repair_packs(&world.repository, &lock.unwrap(), &[pack], small_packs());
        assert_eq!(repair.unwrap().lost, [BlobId::of(&blob(3))]);
    }
    let before = world.memory.files();
    for hours in [0, 48] {
        world.hours(hours);
        let refused = prune(&world.repository, prune_options(24)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        let told = refused.to_string();
        assert!(
            told.contains(&pack.to_string()) && told.contains("repair snapshots"),
            "{told}"
        );
    }
    assert!(
        world.memory.files() == before,
        "a refused prune changes nothing"
    );
    let index = world.repository.load_index().unwrap();
    assert!(index.packs().iter().all(|listed| listed.id != pack));
    let plan = repair_snapshots(&world.repository);
    assert_eq!(
        (plan.snapshots.as_slice(), plan.rescued.len()),
        ([old].as_slice(), 0)
    );
    world.hours(48);
    prune(&world.repository, prune_options(24)).unwrap();
    let gone = FileHandle::new(FileKind::Pack, pack.into());
    assert!(
        world.memory.size(gone).is_err(),
        "nobody needs the damaged pack now"
    );
    assert_whole(
        &world.repository,
        &Expected::from([(sound, vec![30, 31, 32])]),
        "at the end",
    );
    assert_eq!(findings(&world.repository), [""; 0]);
}

#[test]
fn what_only_a_marked_pack_holds_is_stored_again_and_not_zeroed() {
    for is_one_damaged in [false, true] {
        let world = World::new();
        let seeds: Vec<u64> = (0..12).collect();
        let brought_back = world.backup(&seeds);
        let file = FileHandle::new(FileKind::Snapshot, brought_back.into());
        let record = world.memory.load(file).unwrap();
        world.forget(brought_back);
        let kept = world.backup(&[50, 51]);
        prune(&world.repository, prune_options(24)).unwrap();
        // As if somebody had copied the record back, past us.
        world.memory.overwrite(file, &record);
        let index = world.repository.load_index().unwrap();
        let marked = index.marked().iter();
        let marked = marked.filter(|mark| mark.blobs[0].kind == BlobKind::Data);
        let marked: Vec<PackId> = marked.map(|mark| mark.id).collect();
        assert!(!marked.is_empty() && !findings(&world.repository).is_empty());
        if is_one_damaged {
            let first = FileHandle::new(FileKind::Pack, marked[0].into());
            let mut bytes = world.memory.load(first).unwrap();
            bytes[20] ^= 1;
            world.memory.overwrite(first, &bytes);
        }
        let plan = repair_snapshots(&world.repository);
        assert!(plan.rescued.len() > 6, "{}", plan.rescued.len());
        assert_eq!(findings(&world.repository), [""; 0]);
        if is_one_damaged {
            assert_eq!((plan.lost.len(), plan.lost[0].blobs.len()), (1, 1));
            continue;
        }
        assert!(plan.lost.is_empty() && plan.snapshots.is_empty());
        let all = Expected::from([(brought_back, seeds), (kept, vec![50, 51])]);
        assert_whole(&world.repository, &all, "after the repair");
        assert!(plan_snapshots(&world.repository).unwrap().is_empty());
        world.hours(48);
        prune(&world.repository, prune_options(24)).unwrap();
        assert_whole(&world.repository, &all, "after the marked packs are gone");
    }
}

/// A file of these blobs that claims another size.
fn liar(world: &World, seeds: &[u64], size: u64) -> Node {
    let stored = world.backup(seeds);
    world.forget(stored);
    let mut node = Node::new(b"liar", NodeKind::File);
    node.size = size;
    node.set_content(seeds.iter().map(|seed| BlobId::of(&blob(*seed))).collect());
    node
}

fn file(name: &str) -> Node {
    let mut node = Node::new(name.as_bytes(), NodeKind::File);
    node.set_content(Vec::new());
    node
}

fn root(repository: &Repository, snapshot: SnapshotId) -> Tree {
    let index = repository.load_index().unwrap();
    let tree = snapshots::load(repository, snapshot).unwrap().file.tree;
    BlobReader::new(repository, &index).tree(&tree).unwrap()
}

#[test]
fn sizes_that_lie_are_put_right_and_no_byte_is_touched() {
    let world = World::new();
    let whole = bytes_of(&[1, 2, 3]).len() as u64;
    let node = liar(&world, &[1, 2, 3], whole + 7);
    record(&world, vec![node.clone()], None);
    assert_eq!(findings(&world.repository).len(), 1);
    let plan = repair_snapshots(&world.repository);
    assert!(plan.lost.is_empty() && plan.mended.len() == 1 && plan.snapshots.len() == 1);
    assert_eq!(plan.mended[0].path, "/liar");
    assert_eq!(findings(&world.repository), [""; 0]);
    let now = snapshots::list(&world.repository).unwrap();
    let tree = root(&world.repository, now[0].id);
    assert_eq!((tree.nodes[0].size, now.len()), (whole, 1));
    assert_eq!(tree.nodes[0].content_ids(), node.content_ids());
}

#[test]
fn an_index_that_lies_about_a_length_does_not_change_a_size() {
    let world = World::new();
    let whole = bytes_of(&[1, 2, 3]).len() as u64;
    let node = liar(&world, &[1, 2, 3], whole);
    record(&world, vec![node], None);
    let files = world.repository.list(FileKind::Index).unwrap();
    for listed in files {
        let handle = FileHandle::new(FileKind::Index, listed.id);
        let json = world.repository.load_unpacked(handle).unwrap();
        let mut index = lifeboat_format::IndexFile::decode(&json).unwrap();
        world.memory.remove(handle).unwrap();
        for blob in index.packs.iter_mut().flat_map(|pack| &mut pack.blobs) {
            let length = &mut blob.uncompressed_length;
            *length = length.and_then(|length| length.checked_add(1));
        }
        world
            .repository
            .save_unpacked(FileKind::Index, &index.encode())
            .unwrap();
    }
    let before = world.memory.files();
    let refused = plan_snapshots(&world.repository).err();
    // Trees that cannot be read are told as lost; sizes are never made up.
    if let Some(refused) = &refused {
        assert!(
            refused
                .to_string()
                .contains("repair index --read-all-packs"),
            "{refused}"
        );
    }
    assert!(world.memory.files() == before);
    let lock = lock::acquire(&world.repository, LockMode::Exclusive, LockWait::default()).unwrap();
    let plan = plan_index(&world.repository, true).unwrap();
    apply_index(&world.repository, &lock, &plan).unwrap();
    assert!(plan_snapshots(&world.repository).unwrap().is_empty());
    assert_eq!(findings(&world.repository), [""; 0]);
}

#[test]
fn folders_that_break_the_rules_are_put_right() {
    let mut listless = file("b");
    listless.kind = NodeKind::Fifo;
    listless.content = None;
    let json_file = ("\"type\":\"fifo\"", "\"type\":\"file\"");
    /// Entries, how the last one is called, and the names that come out.
    type Case = (Vec<Node>, Option<&'static str>, &'static [&'static [u8]]);
    let cases: [Case; 6] = [
        (vec![file("b"), file("z")], Some("a"), &[b"a", b"b"]),
        (vec![file("b"), file("z")], Some("b"), &[b"b", b"b~2"]),
        (vec![file("z")], Some(".."), &[b"__"]),
        (
            vec![file("a_b"), file("z")],
            Some("a/b"),
            &[b"a_b", b"a_b~2"],
        ),
        (
            vec![Node::new(b"folder", NodeKind::Dir)],
            None,
            &[b"folder"],
        ),
        (vec![listless], None, &[b"b"]),
    ];
    for (nodes, last, names) in cases {
        let world = World::new();
        let is_listless = nodes[0].content.is_none() && nodes[0].kind == NodeKind::Fifo;
        crate::damage_is_found::record_json(&world, nodes, |json| match last {
            _ if is_listless => json.replace(json_file.0, json_file.1),
            Some(name) => json.replace("\"name\":\"z\"", &format!("\"name\":\"{name}\"")),
            None => json,
        });
        assert_ne!(findings(&world.repository), [""; 0], "{names:?}");
        let plan = repair_snapshots(&world.repository);
        assert!(plan.lost.is_empty() && !plan.mended.is_empty(), "{names:?}");
        assert_eq!(findings(&world.repository), [""; 0], "{names:?}");
        let now = snapshots::list(&world.repository).unwrap();
        let tree = root(&world.repository, now[0].id);
        let seen: Vec<&[u8]> = tree.nodes.iter().map(|node| &node.name[..]).collect();
        assert_eq!(seen, names);
        assert!(plan_snapshots(&world.repository).unwrap().is_empty());
    }
}

/// A pack whose header says that its one blob is of a type nobody knows.
fn pack_of_a_newer_program(world: &World) -> PackId {
    let key = FileHandle::new(FileKind::Key, world.repository.key().into());
    let json = world.memory.load(key).unwrap();
    let master = KeyFile::decode(&json).unwrap().open(&password()).unwrap();
    let entropy = &*world.repository.environment().entropy;
    let blob = master.seal(b"something new", entropy);
    let mut header = vec![7];
    header.extend_from_slice(&(blob.len() as u32).to_le_bytes());
    let mut id = [0; 32];
    entropy.fill(&mut id);
    header.extend_from_slice(&id);
    let sealed = master.seal(&header, entropy);
    let mut bytes = blob;
    bytes.extend_from_slice(&sealed);
    bytes.extend_from_slice(&(sealed.len() as u32).to_le_bytes());
    let id = Id::from(BlobId::of(&bytes));
    world
        .memory
        .overwrite(FileHandle::new(FileKind::Pack, id), &bytes);
    id.into()
}

#[test]
fn a_pack_of_a_newer_program_is_told_and_all_others_are_listed() {
    for is_thorough in [false, true] {
        let world = World::new();
        let seeds: Vec<u64> = (0..12).collect();
        let expected = Expected::from([(world.backup(&seeds), seeds)]);
        let newer = pack_of_a_newer_program(&world);
        for listed in world.repository.list(FileKind::Index).unwrap() {
            world
                .memory
                .remove(FileHandle::new(FileKind::Index, listed.id))
                .unwrap();
        }
        let plan = plan_index(&world.repository, is_thorough).unwrap();
        let told: Vec<PackId> = plan.unreadable.iter().map(|lost| lost.pack).collect();
        assert_eq!(told, [newer]);
        assert!(
            plan.unreadable[0].seen.contains("newer"),
            "{}",
            plan.unreadable[0].seen
        );
        let lock = lock::acquire(&world.repository, LockMode::Exclusive, LockWait::default());
        apply_index(&world.repository, &lock.unwrap(), &plan).unwrap();
        assert_whole(&world.repository, &expected, "listed anew");
        assert!(
            world
                .memory
                .size(FileHandle::new(FileKind::Pack, newer.into()))
                .is_ok()
        );
    }
}

#[test]
fn a_snapshot_with_nothing_to_repair_in_it_keeps_its_trees() {
    let world = World::new();
    let hit = world.backup(&[1, 2, 3]);
    let sound = world.backup(&[10, 11]);
    world
        .memory
        .remove(FileHandle::new(FileKind::Pack, pack_of(&world, 1).into()))
        .unwrap();
    let lock = lock::acquire(&world.repository, LockMode::Exclusive, LockWait::default()).unwrap();
    apply_index(
        &world.repository,
        &lock,
        &plan_index(&world.repository, false).unwrap(),
    )
    .unwrap();
    drop(lock);
    let root = snapshots::load(&world.repository, sound).unwrap().file.tree;
    let plan = repair_snapshots(&world.repository);
    assert_eq!(plan.snapshots, [hit]);
    assert_eq!(
        snapshots::load(&world.repository, sound).unwrap().file.tree,
        root
    );
    assert!(read(&world.repository, sound).unwrap() == bytes_of(&[10, 11]));
}
