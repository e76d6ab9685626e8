//! What a source says is what programs of the host see.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use lifeboat_mount::{Audience, Mounted, Shown, check, mount};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use crate::folder::{Folder, attributes};

/// Nothing where this machine has no FUSE.
fn mounted(source: &Path, shown: Shown, at: &Path) -> Option<Mounted> {
    fs::create_dir(at).unwrap();
    match check(at) {
        Ok(folder) => {
            let source = Folder(source.to_owned());
            Some(mount(source, shown, &folder, "lifeboat-test", Audience::Owner).unwrap())
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("deep/deeper")).unwrap();
    fs::write(root.join("big"), noise(700_001)).unwrap();
    fs::hard_link(root.join("big"), root.join("deep/again")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not\xfftext\n")), "x").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    for number in 0..2000 {
        fs::write(
            root.join(format!("deep/deeper/{number}")),
            number.to_string(),
        )
        .unwrap();
    }
    symlink("deep/again", root.join("link")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    let mode = Mode::from_raw_mode(0o640);
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, mode, 0).unwrap();
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o6755)).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"data", 3 << 20).unwrap();
    sparse.set_len(5 << 20).unwrap();
    let before = UNIX_EPOCH - Duration::new(5, 300);
    let times = FileTimes::new().set_modified(before).set_accessed(before);
    File::open(root.join("empty"))
        .unwrap()
        .set_times(times)
        .unwrap();
    let flags = XattrFlags::empty();
    for (name, value) in [("user.note", &b"a \0 value"[..]), ("user.empty", b"")] {
        rustix::fs::setxattr(root.join("big"), name, value, flags).unwrap();
    }
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into()).collect();
    names.sort();
    names
}

/// Compares two folders with all below them.
fn assert_same(ours: &Path, theirs: &Path) {
    assert_eq!(names(ours), names(theirs), "{ours:?}");
    for name in names(ours) {
        let [a, b] = [ours.join(&name), theirs.join(&name)];
        let facts = |path: &Path| {
            let it = path.symlink_metadata().unwrap();
            let size = if it.is_dir() { 0 } else { it.len() };
            let owner = (it.uid(), it.gid(), it.mode(), size, it.nlink());
            (
                owner,
                it.mtime(),
                it.mtime_nsec(),
                it.ctime_nsec(),
                fs::read_link(path).ok(),
            )
        };
        assert_eq!(facts(&a), facts(&b), "{a:?}");
        assert_eq!(attributes(&a), attributes(&b), "{a:?}");
        let found = a.symlink_metadata().unwrap();
        if found.is_dir() {
            assert_same(&a, &b);
        } else if found.is_file() {
            assert!(fs::read(&a).unwrap() == fs::read(&b).unwrap(), "{a:?}");
            assert_eq!(
                found.blocks(),
                b.symlink_metadata().unwrap().blocks(),
                "{a:?}"
            );
        }
    }
}

#[test]
fn a_tree_is_the_same_and_cannot_be_changed() {
    let all = tempfile::tempdir().unwrap();
    let source = all.path().join("source");
    fs::create_dir(&source).unwrap();
    make_tree(&source);
    let at = all.path().join("mnt");
    let shown = Shown::Folder {
        volume: None,
        path: b"/".to_vec(),
    };
    let Some(mounted) = mounted(&source, shown, &at) else {
        return;
    };
    assert_same(&source, &at);
    let inode = |path: &str| at.join(path).metadata().unwrap().ino();
    assert_eq!(inode("big"), inode("deep/again"));
    assert_ne!(inode("big"), inode("sparse"));
    let (file, content) = (File::open(at.join("big")).unwrap(), noise(700_001));
    for offset in [0, 1, 4095, 262_144, 699_000, 700_000, 700_001, 800_000] {
        let mut piece = vec![0; 5000];
        let length = file.read_at(&mut piece, offset as u64).unwrap();
        let rest = content.get(offset..).unwrap_or(&[]);
        assert!(
            piece[..length] == rest[..rest.len().min(5000)],
            "at {offset}"
        );
    }
    drop(file);
    let refused = fs::write(at.join("new"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(30), "{refused}");
    let missing = fs::read(at.join("missing")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    assert!(mounted.end().unwrap());
    assert!(names(&at).is_empty());
}

#[test]
fn volumes_are_folders_and_a_mount_in_use_is_taken_away() {
    let all = tempfile::tempdir().unwrap();
    let source = all.path().join("source");
    for volume in ["vda1", "vg/root"] {
        fs::create_dir_all(source.join(volume)).unwrap();
        fs::write(source.join(volume).join("name"), volume).unwrap();
    }
    let at = all.path().join("mnt");
    let volumes = ["vda1", "vg/root", "../source"].map(String::from);
    let Some(mounted) = mounted(&source, Shown::Volumes(volumes.to_vec()), &at) else {
        return;
    };
    assert_eq!(names(&at), ["vda1", "vg"].map(PathBuf::from));
    assert_eq!(names(&at.join("vg")), ["root"].map(PathBuf::from));
    assert_eq!(fs::read(at.join("vg/root/name")).unwrap(), b"vg/root");
    let refused = check(&at).unwrap_err().to_string();
    assert!(refused.contains("mounted there already"), "{refused}");
    let used = File::open(at.join("vda1/name")).unwrap();
    assert!(!mounted.end().unwrap());
    assert!(names(&at).is_empty());
    drop(used);
}

#[test]
fn a_mount_notices_that_somebody_unmounts_it() {
    let all = tempfile::tempdir().unwrap();
    fs::create_dir(all.path().join("source")).unwrap();
    let at = all.path().join("mnt");
    let shown = Shown::Volumes(vec!["vda1".to_owned()]);
    let Some(mounted) = mounted(&all.path().join("source"), shown, &at) else {
        return;
    };
    assert!(!mounted.is_over());
    let mut command = std::process::Command::new("fusermount3");
    assert!(command.arg("-u").arg(&at).status().unwrap().success());
    while !mounted.is_over() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(mounted.end().unwrap());
}
