use std::fs;

use lifeboat_backend::{FileHandle, FileKind};

use super::*;

#[test]
fn a_damaged_chunk_costs_its_file_only() {
    let world = World::new();
    let pieces = [noise(1, 70_000), noise(2, 80_000), noise(3, 90_000)];
    let bad = world.file(b"bad", &pieces);
    let good = world.file(b"good", &[noise(3, 90_000), noise(4, 1000)]);
    let root = world.tree(&[bad.clone(), good]);
    let index = world.index();
    let location = index.find(BlobKind::Data, &bad.content_ids()[1]).unwrap();
    let file = FileHandle::new(FileKind::Pack, location.pack.into());
    let mut pack = world.memory.load(file).unwrap();
    pack[location.offset as usize + 40] ^= 1;
    world.memory.overwrite(file, &pack);
    let place = tempfile::tempdir().unwrap();
    let result = world.restore(&root, place.path(), ExistingFiles::Refuse);
    assert_eq!(count(&result.findings, FindingKind::Damaged), 1);
    let finding = result.findings.iter().next().unwrap();
    assert_eq!(finding.path, "/bad");
    assert!(finding.seen.contains("70000..150000"), "{}", finding.seen);
    assert!(!place.path().join("bad").exists());
    let part = fs::read(place.path().join(".bad.lifeboat-part")).unwrap();
    assert_eq!(part.len(), 240_000);
    assert_eq!(part[..70_000], pieces[0]);
    assert!(part[70_000..150_000].iter().all(|byte| *byte == 0));
    assert_eq!(part[150_000..], pieces[2]);
    let expected = [noise(3, 90_000), noise(4, 1000)].concat();
    assert_eq!(fs::read(place.path().join("good")).unwrap(), expected);
}

#[test]
fn a_missing_chunk_and_a_missing_tree_cost_only_what_needs_them() {
    let world = World::new();
    let mut bad = world.file(b"bad", &[noise(1, 1000)]);
    bad.content = Some(vec![BlobId::of(b"nowhere")]);
    let mut folder = world.folder(b"folder", &[]);
    folder.subtree = Some(BlobId::of(b"no tree"));
    let root = world.tree(&[bad, folder, world.file(b"good", &[noise(2, 1000)])]);
    let place = tempfile::tempdir().unwrap();
    let result = world.restore(&root, place.path(), ExistingFiles::Refuse);
    assert_eq!(count(&result.findings, FindingKind::Damaged), 2);
    assert!(!place.path().join("bad").exists());
    assert_eq!(fs::read(place.path().join("good")).unwrap(), noise(2, 1000));
}

#[test]
fn a_wrong_size_is_told() {
    let world = World::new();
    let mut file = world.file(b"file", &[noise(1, 1000)]);
    file.size = 999;
    let root = world.tree(&[file]);
    let place = tempfile::tempdir().unwrap();
    let result = world.restore(&root, place.path(), ExistingFiles::Refuse);
    assert_eq!(count(&result.findings, FindingKind::Damaged), 1);
    assert_eq!(fs::read(place.path().join("file")).unwrap(), noise(1, 1000));
}

#[test]
fn many_small_files_of_one_pack_are_one_read() {
    let world = World::new();
    let blobs: Vec<Vec<u8>> = (0..2000).map(|number| noise(number, 300)).collect();
    world.put(BlobKind::Data, &blobs);
    let nodes: Vec<Node> = blobs
        .iter()
        .enumerate()
        .map(|(number, blob)| Node {
            mode: 0o600,
            size: 300,
            content: Some(vec![BlobId::of(blob)]),
            ..Node::new(format!("f{number:04}").as_bytes(), NodeKind::File)
        })
        .collect();
    let root = world.tree(&nodes);
    let place = tempfile::tempdir().unwrap();
    let plan = world.plan(&root, place.path(), ExistingFiles::Refuse);
    assert_eq!(plan.request_count(), 1);
    assert_eq!(plan.file_count, 2000);
    let result = world.apply(&plan).unwrap();
    assert_eq!(result.files, 2000);
    assert_eq!(result.findings.fault_count(), 0);
    assert_eq!(fs::read(place.path().join("f1999")).unwrap(), blobs[1999]);
}

#[test]
fn one_chunk_repeated_is_read_once() {
    let world = World::new();
    let piece = noise(36, 4096);
    let mut file = world.file(b"file", std::slice::from_ref(&piece));
    let id = file.content_ids()[0];
    file.content = Some(vec![id; 20_000]);
    file.size = 20_000 * 4096;
    let root = world.tree(&[file]);
    let place = tempfile::tempdir().unwrap();
    let plan = world.plan(&root, place.path(), ExistingFiles::Refuse);
    assert_eq!(plan.request_count(), 1);
    assert!(plan.read_bytes < 5000);
    world.apply(&plan).unwrap();
    let content = fs::read(place.path().join("file")).unwrap();
    assert!(content.chunks(4096).all(|chunk| chunk == piece));
    assert_eq!(content.len(), 20_000 * 4096);
}
