//! Every sort of failure has its own exit code and says what to do; none loses anything.

use std::fs;
use std::process::Command;

use lifeboat_format::KeyFile;
use lifeboat_model::{Secret, SystemEntropy};

use crate::Place;

const BACKUP: [&str; 7] = ["-r", "r", "backup", "-m", "web01", "-d", "vda=vda.raw"];

fn check(place: &Place, arguments: &[&str], code: i32, words: &[&str]) {
    let (seen, told) = place.fails(arguments);
    assert_eq!(seen, code, "{arguments:?}: {told}");
    for word in words {
        assert!(told.contains(word), "{arguments:?}: {told}");
    }
}

/// A repository `r` with one snapshot of the disk in `vda.raw`.
fn place() -> Place {
    let place = Place::new();
    fs::write(place.path("vda.raw"), vec![7; 3 << 20]).unwrap();
    place.lifeboat(&["-r", "r", "init"]);
    place.lifeboat(&BACKUP);
    place
}

fn replace_config(place: &Place, content: &[u8]) {
    let path = place.path("r/config");
    fs::remove_file(&path).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn of_repositories() {
    let place = place();
    check(
        &place,
        &["-r", "gone", "snapshots"],
        10,
        &["no repository", "lifeboat init"],
    );
    let wrong = ["-r", "r", "--password-file", "other", "snapshots"];
    check(&place, &wrong, 12, &["opens with this password"]);
    check(&place, &["-r", "r", "init"], 1, &["exists"]);
    check(&place, &["snapshots"], 2, &["-r PLACE"]);
    let sealed = fs::read(place.path("r/config")).unwrap();
    let key = fs::read_dir(place.path("r/keys"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let key = KeyFile::decode(&fs::read(key.path()).unwrap()).unwrap();
    let master = key.open(&Secret::new(b"geheim".to_vec())).unwrap();
    let json = String::from_utf8(master.unseal(&sealed).unwrap()).unwrap();
    let newer = json.replace("\"version\":2", "\"version\":3");
    assert_ne!(newer, json);
    replace_config(&place, &master.seal(newer.as_bytes(), &SystemEntropy));
    check(
        &place,
        &["-r", "r", "snapshots"],
        26,
        &["version 3", "newer"],
    );
    replace_config(&place, b"{}");
    check(&place, &["-r", "r", "snapshots"], 25, &["configuration"]);
    replace_config(&place, &sealed);
    place.lifeboat(&["-r", "r", "check", "--read-data"]);
}

#[test]
fn of_sources() {
    let place = place();
    let backup = |disk: &'static str| ["-r", "r", "backup", "-m", "web01", "-d", disk];
    check(
        &place,
        &backup("vda=gone.raw"),
        1,
        &["gone.raw", "No such file"],
    );
    check(&place, &backup("vda"), 2, &["NAME=VALUE"]);
    let named = ["-r", "r", "backup", "-m", "a/b", "-d", "vda=vda.raw"];
    check(&place, &named, 2, &["a/b", "machine name"]);
    let qcow2 = [&backup("vda=vda.raw")[..], &["--format", "vda=qcow2"]].concat();
    check(&place, &qcow2, 25, &["qcow2"]);
    let parent = [&BACKUP[..], &["--parent", "abcdef"]].concat();
    check(&place, &parent, 1, &["abcdef"]);
    let bitmap = [&BACKUP[..], &["--bitmap", "vda=x"]].concat();
    check(&place, &bitmap, 2, &["--format vda=qcow2"]);
    assert_eq!(place.snapshots("r").len(), 1);
    place.lifeboat(&["-r", "r", "check", "--read-data"]);
}

#[test]
fn of_rules() {
    let place = place();
    check(&place, &["-r", "r", "forget"], 22, &[]);
    check(
        &place,
        &["-r", "r", "forget", "--keep-tag", "typo"],
        22,
        &[],
    );
    let all = ["-r", "r", "forget", "--unsafe-allow-remove-all"];
    check(&place, &all, 22, &["--machine"]);
    let restore = ["-r", "r", "restore", "-d", "vda", "-t", "vda.raw"];
    check(&place, &restore, 1, &["--overwrite"]);
    assert_eq!(place.snapshots("r").len(), 1);
}

#[test]
fn of_a_full_disk() {
    let place = place();
    fs::create_dir(place.path("small")).unwrap();
    let small = place.path("small");
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
        .arg(&small)
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: mounting a small file system is not allowed here");
        return;
    }
    let seeded = lifeboat_testkit::SeededEntropy::new(1).bytes(40 << 20);
    fs::write(place.path("big.raw"), seeded).unwrap();
    place.lifeboat(&["-r", "small/r", "--pack-size", "4M", "init"]);
    let big = ["-r", "small/r", "backup", "-m", "big", "-d", "vda=big.raw"];
    check(&place, &big, 24, &["no space left", "prune"]);
    place.lifeboat(&["-r", "small/r", "check", "--read-data"]);
    place.lifeboat(&["-r", "small/r", "prune", "--instant"]);
    let fits = [
        "-r",
        "small/r",
        "backup",
        "-m",
        "web01",
        "-d",
        "vda=vda.raw",
    ];
    place.lifeboat(&fits);
    assert!(
        Command::new("umount")
            .arg(&small)
            .status()
            .unwrap()
            .success()
    );
}
