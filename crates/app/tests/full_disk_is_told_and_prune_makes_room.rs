//! On a full file system every command says so and leaves nothing half; prune makes room, even
//! with not one byte free.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_testkit::{Effort, figure};

use crate::trial::{Operation, Site, Trial, files, fill, spread, unfinished};

/// Room for any operation here, and a rest that is filled up.
const DISK_MIB: u64 = 64;

/// The file systems that are filled.
const KINDS: [&str; 2] = ["tmpfs", "ext4"];

/// A small file system of a trial; gone when dropped.
struct SmallDisk {
    place: PathBuf,
    _image: tempfile::TempDir,
}

impl SmallDisk {
    /// Nothing where mounting is not allowed: this needs a superuser, not a program.
    fn mount(kind: &str) -> Option<Self> {
        let image = tempfile::tempdir().unwrap();
        let place = image.path().join("disk");
        fs::create_dir(&place).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let done = Command::new(program).args(arguments).output();
            done.is_ok_and(|output| output.status.success())
        };
        let (at, size) = (place.to_str().unwrap(), format!("size={DISK_MIB}m"));
        let is_mounted = if kind == "tmpfs" {
            run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", at])
        } else {
            let file = image.path().join("image");
            File::create(&file)
                .unwrap()
                .set_len(DISK_MIB << 20)
                .unwrap();
            let file = file.to_str().unwrap();
            // Without blocks that only the superuser may use.
            run("mkfs.ext4", &["-q", "-m", "0", "-O", "^has_journal", file])
                && run("mount", &["-o", "loop", file, at])
        };
        if !is_mounted {
            eprintln!("SKIPPED: a small {kind} cannot be mounted here");
            return None;
        }
        Some(Self {
            place,
            _image: image,
        })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.place).output();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Puts what the operation writes to onto the small disk, under its old name.
fn move_onto(site: &Site, disk: &SmallDisk, written: &str) {
    let (here, there) = (site.path(written), disk.place.join(written));
    if here.is_dir() {
        copy_folder(&here, &there);
        fs::remove_dir_all(&here).unwrap();
        std::os::unix::fs::symlink(&there, &here).unwrap();
    }
}

/// A repository on a small disk, which is empty again when dropped.
fn on_small_disk(trial: &Trial, disk: &SmallDisk) -> Site {
    let site = trial.site();
    move_onto(&site, disk, trial.operation.repository());
    site
}

fn leave(trial: &Trial, site: Site, disk: &SmallDisk) {
    trial.leave(site);
    for path in fs::read_dir(&disk.place).unwrap() {
        let path = path.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "lost+found" {
            fs::remove_dir_all(path).unwrap();
        } else if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
}

/// From nothing to more than enough.
fn sizes_up_to(bytes: u64) -> Vec<u64> {
    let all: Vec<u64> = (0..64).map(|step| bytes * step / 63).collect();
    spread(&all, Effort::current().pick(4, 32))
}

/// The operation at every fill level: done, or refused with the right words, and then done.
fn at_any_fill_level(operation: Operation, bytes: u64) {
    let trial = Trial::new(operation);
    let (mut refused, mut tried) = (0, 0);
    for kind in KINDS {
        let Some(disk) = SmallDisk::mount(kind) else {
            continue;
        };
        for free in sizes_up_to(bytes) {
            let site = on_small_disk(&trial, &disk);
            fill(&disk.place.join("filler"), free);
            let when = format!("{} with {free} bytes free on {kind}", operation.name());
            let ended = site.run(operation.arguments());
            tried += 1;
            if !ended.status.success() {
                refused += 1;
                let told = &ended.told;
                assert_eq!(ended.status.code(), Some(24), "{when}: {told}");
                let names_place = told.contains(operation.repository());
                assert!(
                    names_place && told.contains("no space left"),
                    "{when}: {told}"
                );
                assert_eq!(
                    unfinished(&disk.place),
                    [""; 0].map(PathBuf::from),
                    "{when}"
                );
                let locks = site.path(operation.repository()).join("locks");
                assert_eq!(files(&locks), [""; 0].map(PathBuf::from), "{when}");
                trial.is_whole(&site, &when, false);
                fs::remove_file(disk.place.join("filler")).unwrap();
                trial.again(&site, &when);
            }
            leave(&trial, site, &disk);
        }
    }
    assert!(
        tried == 0 || refused > 1 && refused < tried,
        "{refused} of {tried}"
    );
    figure(
        "full disk",
        &format!("{}: fill levels", operation.name()),
        tried,
    );
}

#[test]
fn full_disk_during_a_backup() {
    at_any_fill_level(Operation::FirstBackup, 16 << 20);
}

#[test]
fn full_disk_during_an_import() {
    at_any_fill_level(Operation::Import, 45 << 20);
}

/// With nothing free, and with too little to repack at first.
#[test]
fn full_disk_prune_makes_room() {
    let trial = Trial::new(Operation::InstantPrune);
    let mut tried = 0;
    for kind in KINDS {
        let Some(disk) = SmallDisk::mount(kind) else {
            continue;
        };
        for free in sizes_up_to(4 << 20) {
            let site = on_small_disk(&trial, &disk);
            fill(&disk.place.join("filler"), free);
            let when = format!("prune with {free} bytes free on {kind}");
            let before = crate::trial::pack_bytes(&site.path("r"));
            site.lifeboat(&when, trial.operation.arguments());
            trial.is_done(&site, &when);
            let after = crate::trial::pack_bytes(&site.path("r"));
            assert!(
                after + (8 << 20) < before,
                "{when}: {before} bytes, then {after}"
            );
            assert!(site.path("r/lifeboat.reserve").exists(), "{when}");
            trial.restic_agrees(&site, &when);
            leave(&trial, site, &disk);
            tried += 1;
        }
    }
    figure("full disk", "prune: fill levels", tried);
}

/// A repository of another program holds no reserve: prune says what to do, and harms nothing.
#[test]
fn full_disk_without_a_reserve() {
    let trial = Trial::new(Operation::InstantPrune);
    for kind in KINDS {
        let Some(disk) = SmallDisk::mount(kind) else {
            continue;
        };
        let site = on_small_disk(&trial, &disk);
        fs::remove_file(site.path("r/lifeboat.reserve")).unwrap();
        fill(&disk.place.join("filler"), 0);
        let ended = site.run(trial.operation.arguments());
        assert_eq!(ended.status.code(), Some(24), "{kind}: {}", ended.told);
        assert!(
            ended.told.contains("prune --instant"),
            "{kind}: {}",
            ended.told
        );
        trial.is_whole(&site, kind, false);
        let backup = Operation::FirstBackup.arguments();
        let ended = site.run(backup);
        assert_eq!(ended.status.code(), Some(24), "{kind}: {}", ended.told);
        assert!(ended.told.contains("--no-lock"), "{kind}: {}", ended.told);
        let filler = File::options()
            .write(true)
            .open(disk.place.join("filler"))
            .unwrap();
        let length = filler.metadata().unwrap().len();
        filler.set_len(length - (1 << 20)).unwrap();
        trial.again(&site, kind);
        leave(&trial, site, &disk);
    }
}

/// What a restore could not finish goes on from where it was, once there is room.
#[test]
fn full_disk_under_a_restore() {
    let trial = Trial::new(Operation::Restore);
    let (mut refused, mut tried) = (0, 0);
    for kind in KINDS {
        let Some(disk) = SmallDisk::mount(kind) else {
            continue;
        };
        for free in sizes_up_to(14 << 20) {
            let site = trial.site();
            fill(&disk.place.join("filler"), free);
            let target = disk.place.join("target.raw");
            let when = format!("restore with {free} bytes free on {kind}");
            let mut restore = ["-r", "r", "restore", "-d", "vda", "-t", ""];
            restore[6] = target.to_str().unwrap();
            let ended = site.run(&restore);
            tried += 1;
            if !ended.status.success() {
                refused += 1;
                assert_eq!(ended.status.code(), Some(24), "{when}: {}", ended.told);
                let told = &ended.told;
                assert!(
                    told.contains("target.raw") && told.contains("pace"),
                    "{when}: {told}"
                );
                assert!(!target.exists(), "{when}");
                assert_eq!(
                    unfinished(&disk.place),
                    [""; 0].map(PathBuf::from),
                    "{when}"
                );
                fs::remove_file(disk.place.join("filler")).unwrap();
                site.lifeboat(&when, &restore);
            }
            fs::rename(&target, disk.place.join("done")).unwrap();
            fs::copy(disk.place.join("done"), site.path("target.raw")).unwrap();
            trial.is_done(&site, &when);
            leave(&trial, site, &disk);
        }
    }
    assert!(
        tried == 0 || refused > 1 && refused < tried,
        "{refused} of {tried}"
    );
    figure("full disk", "restore: fill levels", tried);
}
