//! Whatever check tells of, the commands it names put right; nothing stays in the way for good.

use std::fs;
use std::path::PathBuf;

use lifeboat_testkit::{ChangeRule, DiskPattern, SeededEntropy, tool};
use rustix::fs::{FlockOperation, flock};

use crate::Place;

fn place() -> Place {
    let place = Place::new();
    place.init_light();
    place.backup("r", &DiskPattern::new(7, 3 << 20).disk());
    place
}

fn files(place: &Place, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path(&format!("r/{folder}"))).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn name(path: &std::path::Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn garble(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn refused(place: &Place, arguments: &[&str]) -> String {
    let output = place.command(env!("CARGO_BIN_EXE_lifeboat").as_ref(), arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_damaged_key_can_be_removed() {
    let place = place();
    place.lifeboat(&["-r", "r", "key", "add", "--new-password-file", "other"]);
    let keys = files(&place, "keys");
    garble(&keys[0]);
    let id = name(&keys[0]);
    let opens = ["password", "other"].into_iter().find(|password| {
        let arguments = ["-r", "r", "-p", password, "snapshots"];
        let ours = env!("CARGO_BIN_EXE_lifeboat").as_ref();
        place.command(ours, &arguments).status.success()
    });
    let opens = opens.expect("the other key opens");
    let told = refused(&place, &["-r", "r", "-p", opens, "check"]);
    assert!(told.contains(&id) && told.contains("key remove"), "{told}");
    place.lifeboat(&["-r", "r", "-p", opens, "key", "remove", &id[..8]]);
    place.lifeboat(&["-r", "r", "-p", opens, "check"]);
}

#[test]
fn a_record_that_nobody_can_read_comes_back_from_a_catalog_and_goes_by_its_name() {
    let place = place();
    place.lifeboat(&["-r", "r", "catalog", "export", "-t", "list"]);
    let record = files(&place, "snapshots").remove(0);
    garble(&record);
    let id = name(&record);
    let told = refused(&place, &["-r", "r", "check"]);
    assert!(
        told.contains(&id) && told.contains("catalog import"),
        "{told}"
    );
    assert!(refused(&place, &["-r", "r", "prune"]).contains(&id[..8]));
    place.lifeboat(&["-r", "r", "catalog", "import", "list"]);
    place.lifeboat(&["-r", "r", "forget", &id[..8]]);
    assert_eq!(place.snapshots("r").len(), 1);
    place.lifeboat(&["-r", "r", "prune"]);
    place.lifeboat(&["-r", "r", "check", "--read-data"]);
    let told = refused(&place, &["-r", "r", "forget", &id[..8]]);
    assert!(told.contains(&id[..8]), "{told}");
}

#[test]
fn a_lock_that_nobody_can_read_stops_what_removes_and_names_its_remedy() {
    let place = place();
    let id = "ab".repeat(32);
    fs::write(place.path("r/locks").join(&id), "").unwrap();
    let disk = DiskPattern::new(8, 1 << 20).disk();
    place.backup("r", &disk);
    for arguments in [
        &["-r", "r", "prune"][..],
        &["-r", "r", "prune", "--instant"],
        &["-r", "r", "repair", "snapshots"],
    ] {
        let (code, told) = place.fails(arguments);
        assert_eq!(code, 11, "{told}");
        assert!(
            told.contains(&id) && told.contains("unlock --remove-all"),
            "{told}"
        );
    }
    place.lifeboat(&["-r", "r", "unlock"]);
    assert!(place.path("r/locks").join(&id).exists(), "only on demand");
    place.lifeboat(&["-r", "r", "unlock", "--remove-all"]);
    place.lifeboat(&["-r", "r", "prune"]);
}

#[test]
fn two_restores_of_files_do_not_share_a_folder() {
    let Some(restic) = tool("restic-new") else {
        return;
    };
    let place = Place::new();
    fs::create_dir(place.path("source")).unwrap();
    fs::write(place.path("source/a"), "content").unwrap();
    place.tool(&restic, &["-r", "r", "init"]);
    place.tool(&restic, &["-r", "r", "backup", "source"]);
    fs::create_dir(place.path("target")).unwrap();
    let held = fs::File::open(place.path("target")).unwrap();
    flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
    let restore = ["-r", "r", "restore", "latest", "-t", "target"];
    let (_, told) = place.fails(&restore);
    assert!(told.contains("another restore"), "{told}");
    assert_eq!(fs::read_dir(place.path("target")).unwrap().count(), 0);
    drop(held);
    place.lifeboat(&restore);
    assert_ne!(fs::read_dir(place.path("target")).unwrap().count(), 0);
}

#[test]
fn a_chain_that_cannot_be_finished_leaves_no_files() {
    let place = Place::new();
    place.init_light();
    let mut disk = DiskPattern::new(7, 6 << 20).disk();
    place.backup("r", &disk);
    let packs = |place: &Place| -> Vec<PathBuf> {
        let folders = files(place, "data")
            .into_iter()
            .filter(|path| path.is_dir());
        let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    };
    let before = packs(&place);
    let rule = ChangeRule {
        area_count: 5,
        area_bytes_max: 300_000,
        grain: 512,
    };
    disk.change(&SeededEntropy::new(3), rule);
    place.backup("r", &disk);
    let new = packs(&place)
        .into_iter()
        .filter(|pack| !before.contains(pack));
    let data = new
        .max_by_key(|pack| fs::metadata(pack).unwrap().len())
        .unwrap();
    let whole = fs::read(&data).unwrap();
    fs::remove_file(&data).unwrap();
    fs::write(&data, vec![0; whole.len()]).unwrap();
    let ids = place.snapshots("r");
    let export = ["-r", "r", "chain", "export", &ids[0], &ids[1], "-t", "e"];
    place.fails(&export);
    assert_eq!(
        fs::read_dir(place.path("e")).unwrap().count(),
        0,
        "nothing is left"
    );
    fs::remove_file(&data).unwrap();
    fs::write(&data, whole).unwrap();
    place.lifeboat(&export);
    assert_eq!(
        fs::read_dir(place.path("e")).unwrap().count(),
        3,
        "two files and their list"
    );
}
