//! What is written about a machine is read back, by us and after others touched it.

use lifeboat_format::{
    BlobId, Chunking, DiskManifest, GoTime, MachineIdentity, MachineManifest, SnapshotFile, label,
};
use lifeboat_model::{ErrorKind, VmName};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_machine_is_found_in_its_snapshot(
        name in "\\PC{1,60}", tags in prop::collection::vec("\\PC{0,9}", 0..4),
    ) {
        if let Ok(machine) = name.parse::<VmName>() {
            let labelled = label::of(&machine, GoTime::default(), &tags);
            let stored = SnapshotFile::decode(&labelled.encode()).unwrap();
            prop_assert_eq!(label::read(&stored), Some(machine));
        }
    }
}

#[test]
fn snapshots_of_other_things_hold_no_machine() {
    let machine = "web01".parse().unwrap();
    let labelled = label::of(&machine, GoTime::default(), &["x".into()]);
    assert_eq!(labelled.tags, ["lifeboat", "x"]);
    assert_eq!(
        (&*labelled.hostname, &*labelled.paths[0]),
        ("web01", "/web01")
    );
    let changes: [fn(&mut SnapshotFile); 5] = [
        |snapshot| snapshot.tags.clear(),
        |snapshot| snapshot.hostname = "other".into(),
        |snapshot| snapshot.paths.push("/etc".into()),
        |snapshot| snapshot.paths.clear(),
        |snapshot| {
            snapshot.hostname = "..".into();
            snapshot.paths = vec!["/..".into()];
        },
    ];
    for change in changes {
        let mut other = labelled.clone();
        change(&mut other);
        assert_eq!(label::read(&other), None);
    }
}

fn manifest() -> MachineManifest {
    let disk = DiskManifest {
        name: "vda".into(),
        path: "disks/vda.raw".into(),
        size: 1 << 40,
        source_format: "qcow2".into(),
        chunking: Chunking::new(65_536, 1 << 20, 8 << 20, 7),
        mode: "incremental".into(),
        reason: "checkpoint lb-7".into(),
        parent: None,
        changed_bytes: Some(5),
        read_bytes: 4096,
        checkpoint: Some("lb-8".into()),
        root: BlobId::of(b"chunks"),
    };
    MachineManifest {
        version: 1,
        program: "lifeboat 0.1.0".into(),
        machine: MachineIdentity {
            platform: "image".into(),
            id: Some("1".into()),
            name: "B\u{fc}ro 3".into(),
        },
        captured_at: "2023-11-14T22:13:20Z".parse().unwrap(),
        consistency: "filesystem".into(),
        disks: vec![disk],
        files: vec!["machine.xml".into()],
        other: Default::default(),
    }
}

#[test]
fn a_manifest_comes_back() {
    assert_eq!(
        MachineManifest::decode(&manifest().encode()).unwrap(),
        manifest()
    );
    let error = MachineManifest::decode(b"{}").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn fields_of_newer_versions_stay() {
    let text = String::from_utf8(manifest().encode()).unwrap();
    let newer = text.replace("\"program\"", "\"moon\": [1], \"program\"");
    let read = MachineManifest::decode(newer.as_bytes()).unwrap();
    assert_eq!(read.other["moon"][0], 1);
    assert!(
        String::from_utf8(read.encode())
            .unwrap()
            .contains("\"moon\"")
    );
}

#[test]
fn the_seed_does_not_show() {
    let first = Chunking::new(1, 2, 3, 1_234_567_890);
    assert_ne!(first, Chunking::new(1, 2, 3, 1_234_567_891));
    assert!(first.seed.len() == 8 && !first.seed.contains("499602d2"));
}
