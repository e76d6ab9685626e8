use std::fs;
use std::path::Path;

use lifeboat_backend::{Call, Fault, FaultRule, FileKind};
use lifeboat_model::ErrorKind;

use super::*;

/// Files of several requests each: 12 files of 6 MiB that share no chunk.
fn snapshot(world: &World) -> (BlobId, Vec<(String, Vec<u8>)>) {
    let mut files = Vec::new();
    let mut nodes = Vec::new();
    for number in 0..12u64 {
        let pieces = [noise(number, 3 << 20), noise(100 + number, 3 << 20)];
        let name = format!("f{number:02}");
        nodes.push(world.file(name.as_bytes(), &pieces));
        files.push((name, pieces.concat()));
    }
    (world.tree(&nodes), files)
}

/// Names that look complete are complete.
fn assert_no_lie(place: &Path, files: &[(String, Vec<u8>)]) -> usize {
    let mut complete = 0;
    for (name, content) in files {
        if let Ok(found) = fs::read(place.join(name)) {
            let mark = place.join(format!(".{name}.lifeboat-restoring"));
            if !mark.exists() {
                assert!(found == *content, "{name} looks complete and is not");
                complete += 1;
            }
        }
    }
    complete
}

#[test]
fn at_any_request_and_go_on_without_reading_twice() {
    let world = World::new();
    let (root, files) = snapshot(&world);
    for nth in [1, 2, 5, 9, 17] {
        let place = tempfile::tempdir().unwrap();
        let plan = world.plan(&root, place.path(), ExistingFiles::Refuse);
        let all = plan.read_bytes;
        let fault = Fault::Error(ErrorKind::Unreachable);
        let rule = FaultRule {
            pass: nth - 1,
            fail: u64::MAX,
            ..FaultRule::every(Call::Read, fault).of(FileKind::Pack)
        };
        world.faulty.add(rule);
        let failed = world.apply(&plan).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unreachable);
        world.faulty.heal();
        assert_no_lie(place.path(), &files);
        let plan = world.plan(&root, place.path(), ExistingFiles::Refuse);
        assert_eq!(plan.conflicts, [""; 0]);
        assert!(nth < 3 || plan.read_bytes < all, "{nth}");
        let result = world.apply(&plan).unwrap();
        assert_eq!(result.findings.fault_count(), 0);
        assert_eq!(assert_no_lie(place.path(), &files), files.len());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), files.len());
    }
}

#[test]
fn by_cancelling_in_place() {
    let world = World::new();
    let (root, files) = snapshot(&world);
    let place = tempfile::tempdir().unwrap();
    for (name, content) in &files {
        let mut old = content.clone();
        old[5] ^= 1;
        old.extend_from_slice(b"longer than before");
        fs::write(place.path().join(name), old).unwrap();
    }
    let plan = world.plan(&root, place.path(), ExistingFiles::InPlace);
    assert!(
        plan.write_bytes <= 12 * (3 << 20),
        "only what differs is written"
    );
    let fault = Fault::Error(ErrorKind::Cancelled);
    world
        .faulty
        .add(FaultRule::nth(Call::Read, 4, fault).of(FileKind::Pack));
    assert_eq!(world.apply(&plan).unwrap_err().kind(), ErrorKind::Cancelled);
    world.faulty.heal();
    let complete = files.iter().filter(|(name, content)| {
        let mark = place.path().join(format!(".{name}.lifeboat-restoring"));
        fs::read(place.path().join(name)).unwrap() == *content && !mark.exists()
    });
    assert!(complete.count() < files.len());
    world.restore(&root, place.path(), ExistingFiles::InPlace);
    assert_eq!(assert_no_lie(place.path(), &files), files.len());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), files.len());
}

#[test]
fn a_cancelled_run_writes_nothing_more() {
    let world = World::new();
    let (root, _) = snapshot(&world);
    let place = tempfile::tempdir().unwrap();
    let plan = world.plan(&root, place.path(), ExistingFiles::Refuse);
    let index = world.index();
    world.cancel.cancel();
    let failed = apply(&world.repository, &index, &plan).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Cancelled);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn existing_files_are_refused_before_anything_is_written() {
    let world = World::new();
    let (root, files) = snapshot(&world);
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("f03"), b"mine").unwrap();
    let plan = world.plan(&root, place.path(), ExistingFiles::Refuse);
    assert_eq!(plan.conflicts, ["/f03"]);
    assert_eq!(world.apply(&plan).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    let result = world.restore(&root, place.path(), ExistingFiles::Replace);
    assert_eq!(result.findings.fault_count(), 0);
    assert_eq!(assert_no_lie(place.path(), &files), files.len());
    let plan = world.plan(&root, place.path(), ExistingFiles::Replace);
    assert_eq!((plan.equal_count, plan.read_bytes), (12, 0));
}

#[test]
fn zeros_are_made_where_the_old_file_has_data() {
    let world = World::new();
    let pieces = [
        noise(1, 1 << 20),
        vec![0; 1 << 20],
        noise(2, 1 << 20),
        vec![0; 512 << 10],
    ];
    let root = world.tree(&[world.file(b"file", &pieces)]);
    let content = pieces.concat();
    for old in [
        noise(9, 3 << 20),
        noise(9, 5 << 20),
        Vec::new(),
        content.clone(),
    ] {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("file"), old).unwrap();
        world.restore(&root, place.path(), ExistingFiles::InPlace);
        assert!(fs::read(place.path().join("file")).unwrap() == content);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
