//! The real restic reads, checks and writes what we keep; modes and places are its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_backend::{Backend, FileHandle, FileKind, Local};
use lifeboat_model::ErrorKind;
use lifeboat_testkit::{SeededEntropy, tool};

use crate::pack;

fn run(restic: &Path, repository: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(restic);
    command
        .arg("-r")
        .arg(repository)
        .arg("--no-cache")
        .args(arguments);
    let output = command.env("RESTIC_PASSWORD", "test").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}\n{problems}");
    text
}

fn judges() -> Vec<PathBuf> {
    ["restic", "restic-new"]
        .into_iter()
        .filter_map(tool)
        .collect()
}

/// A repository made by the real program, with some packs.
fn made_by(restic: &Path, place: &Path) -> Local {
    fs::create_dir(place.join("tree")).unwrap();
    for number in 0..20 {
        let content = SeededEntropy::new(number).bytes(200_000);
        fs::write(place.join(format!("tree/{number}")), content).unwrap();
    }
    let path = place.join("original");
    run(restic, &path, &["init"]);
    let tree = place.join("tree").display().to_string();
    run(restic, &path, &["backup", &tree]);
    Local::open(&path).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_restic_wrote_is_listed_and_copied_so_that_restic_accepts_it() {
    for restic in judges() {
        let place = tempfile::tempdir().unwrap();
        let original = made_by(&restic, place.path());
        assert_eq!(original.strays().unwrap(), []);
        let path = place.path().join("copy");
        let copy = Local::open(&path).unwrap();
        copy.create().unwrap();
        for kind in FileKind::ALL {
            let listed = original.list(kind).unwrap();
            assert_eq!(listed.is_empty(), kind == FileKind::Lock, "{kind}");
            for found in listed {
                let file = FileHandle::new(kind, found.id);
                let content = original.load(file).unwrap();
                assert_eq!(content.len() as u64, found.size);
                copy.save(file, &content).unwrap();
            }
        }
        same_names_and_modes(&place.path().join("original"), &path);
        let hex = pack(3).id.to_string();
        for work in [
            ".config.1-0",
            "keys/.k.1-0",
            "data/03/.p.1-0",
            "locks/.l.1-0",
        ] {
            fs::write(path.join(format!("{work}.lifeboat-part")), hex.as_bytes()).unwrap();
        }
        for judge in judges() {
            run(&judge, &path, &["check", "--read-data"]);
        }
        let tree = place.path().join("tree").display().to_string();
        run(&restic, &path, &["backup", &tree]);
        run(&restic, &path, &["forget", "--keep-last", "1", "--prune"]);
        assert_eq!(copy.list(FileKind::Snapshot).unwrap().len(), 1);
        assert_eq!(copy.list(FileKind::Lock).unwrap(), []);
    }
}

fn same_names_and_modes(original: &Path, copy: &Path) {
    let mut names: Vec<_> = entries(original);
    names.sort();
    let mut ours = entries(copy);
    ours.sort();
    assert_eq!(ours, names);
    for name in names {
        assert_eq!(
            mode(&copy.join(&name)),
            mode(&original.join(&name)),
            "{}",
            name.display()
        );
    }
}

/// All paths below a directory, relative to it.
fn entries(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path.clone());
            }
            found.push(path.strip_prefix(root).unwrap().to_owned());
        }
    }
    found
}

#[test]
fn files_of_a_group_stay_open_to_the_group() {
    let place = tempfile::tempdir().unwrap();
    let first = Local::open(place.path()).unwrap();
    first.create().unwrap();
    first.save(FileHandle::CONFIG, b"config").unwrap();
    first.save(pack(1), b"private").unwrap();
    let config = place.path().join("config");
    assert_eq!(mode(&config), 0o400);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o440)).unwrap();
    fs::remove_dir(place.path().join("data/02")).unwrap();
    let shared = Local::open(place.path()).unwrap();
    shared.save(pack(2), b"shared").unwrap();
    let data = place.path().join("data");
    let path = |first: u8| data.join(format!("{first:02x}/{}", pack(first).id));
    assert_eq!([mode(&path(1)), mode(&path(2))], [0o400, 0o440]);
    assert_eq!(
        [mode(&data.join("01")), mode(&data.join("02"))],
        [0o700, 0o770]
    );
}

#[test]
fn missing_directories_of_a_repository_are_made_again() {
    let place = tempfile::tempdir().unwrap();
    let local = Local::open(place.path()).unwrap();
    local.create().unwrap();
    local.save(FileHandle::CONFIG, b"config").unwrap();
    for name in ["data", "locks", "index"] {
        fs::remove_dir_all(place.path().join(name)).unwrap();
    }
    for kind in [FileKind::Pack, FileKind::Lock, FileKind::Index] {
        assert_eq!(local.list(kind).unwrap(), []);
        let file = FileHandle::new(kind, pack(3).id);
        assert_eq!(local.load(file).unwrap_err().kind(), ErrorKind::NotFound);
        local.save(file, b"again").unwrap();
        assert_eq!(local.list(kind).unwrap().len(), 1);
    }
    assert_eq!(local.strays().unwrap(), []);
}

#[test]
fn a_file_in_the_way_is_told() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("file"), b"").unwrap();
    let local = Local::open(&place.path().join("file")).unwrap();
    let error = local.create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let below = Local::open(&place.path().join("file/below")).unwrap();
    assert_eq!(below.create().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(
        below.list(FileKind::Pack).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn a_file_beyond_all_measure_is_not_loaded() {
    let place = tempfile::tempdir().unwrap();
    let local = Local::open(place.path()).unwrap();
    local.create().unwrap();
    let key = FileHandle::new(FileKind::Key, pack(1).id);
    let path = place.path().join("keys").join(key.id.to_string());
    fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(local.load(key).unwrap_err().kind(), ErrorKind::Corrupt);
    local.read(key, 1 << 39, &mut [0; 512]).unwrap();
}
