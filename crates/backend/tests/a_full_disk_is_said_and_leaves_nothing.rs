//! Without space a save says so, leaves no work file, and works again once there is space.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_backend::{ArchiveWriter, Backend, FileHandle, FileKind, Local};
use lifeboat_model::ErrorKind;
use lifeboat_testkit::ManualClock;

use crate::pack;

/// A small file system in memory, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing where mounting is not allowed: this needs a superuser, not a program.
    fn mount(path: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(path)
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: a small file system cannot be mounted here");
            return None;
        }
        Some(Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn at_any_fill_level() {
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(place.path()) else {
        return;
    };
    let local = Local::open(&disk.0).unwrap();
    local.create().unwrap();
    let content = vec![5; 100_000];
    let mut saved = 0;
    let error = loop {
        match local.save(pack(saved), &content) {
            Ok(()) => saved += 1,
            Err(error) => break error,
        }
    };
    assert!(saved > 3, "{saved}");
    assert_eq!(error.kind(), ErrorKind::Full);
    let told = error.to_string();
    assert!(told.contains(&disk.0.display().to_string()), "{told}");
    assert!(told.contains("make room"), "{told}");
    assert_eq!(local.strays().unwrap(), [], "no work file is left");
    assert_eq!(
        local.list(FileKind::Pack).unwrap().len(),
        usize::from(saved)
    );
    for first in 0..saved {
        assert_eq!(local.load(pack(first)).unwrap(), content);
    }
    for length in (0..64).map(|step| step * 4096) {
        let smaller = local.save(pack(saved), &content[..length.min(content.len())]);
        match smaller {
            Ok(()) => local.remove(pack(saved)).unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full),
        }
    }
    local.remove(pack(0)).expect("removing needs no space");
    local.save(pack(saved), &content).unwrap();
    assert_eq!(local.strays().unwrap(), []);
    assert_eq!(fs::read_dir(disk.0.join("data")).unwrap().count(), 256);
}

#[test]
fn in_an_archive_too() {
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(place.path()) else {
        return;
    };
    let target = disk.0.join("a.tar");
    let archive = ArchiveWriter::create(&target, &ManualClock::default()).unwrap();
    archive.create().unwrap();
    archive.save(FileHandle::CONFIG, b"x").unwrap();
    let content = vec![5; 100_000];
    let mut saved = (0..100).map(|first| archive.save(pack(first), &content));
    let error = saved.find_map(Result::err).expect("2 MiB are not enough");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.to_string().contains("make room"), "{error}");
    let later = archive.save(pack(200), b"small");
    later.expect_err("what lies behind a gap cannot be read");
    archive.finish().expect_err("it is not complete");
    drop(archive);
    assert_eq!(fs::read_dir(&disk.0).unwrap().count(), 0);
}
