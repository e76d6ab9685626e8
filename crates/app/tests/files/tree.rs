//! Trees that are hard to bring back.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use lifeboat_testkit::SeededEntropy;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, makedev,
};

fn bytes(seed: u64, length: usize) -> Vec<u8> {
    SeededEntropy::new(seed).bytes(length)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Everything a file system can hold.
pub(crate) fn nasty(root: &Path) {
    names(root);
    links(root);
    contents(root);
    if is_root() {
        special(root);
    }
    attributes(root);
    modes_and_times(root);
}

fn names(root: &Path) {
    let long = [b'n'; 255];
    let all: [&[u8]; 11] = [
        b"line\nbreak",
        b"quo\"te",
        b"back\\slash\\n",
        b"inv\xff\xfealid",
        b"tab\tbell\x07",
        b" leading and trailing ",
        b"-rf",
        "\u{e4}\u{1f980}\u{2028}".as_bytes(),
        b"<&>$(x);`y`",
        b"*?[a]",
        &long,
    ];
    for (number, name) in all.iter().enumerate() {
        let name = OsStr::from_bytes(name);
        fs::write(root.join(name), bytes(number as u64, 1000)).unwrap();
        let folder = root.join("folders").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), b"inside").unwrap();
    }
}

fn links(root: &Path) {
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("folders", root.join("to a folder")).unwrap();
    symlink("x".repeat(4000), root.join("long target")).unwrap();
    let deep = root.join("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    fs::write(root.join("hard 1"), bytes(7, 300_000)).unwrap();
    fs::hard_link(root.join("hard 1"), root.join("a/hard 2")).unwrap();
    fs::hard_link(root.join("hard 1"), deep.join("hard 3")).unwrap();
    fs::write(deep.join("empty 1"), b"").unwrap();
    fs::hard_link(deep.join("empty 1"), root.join("empty 2")).unwrap();
}

/// Of links, restic 0.14 keeps neither targets that are no text nor attributes.
pub(crate) fn what_old_restic_loses(root: &Path) {
    symlink(OsStr::from_bytes(b"raw\xfftarget"), root.join("raw")).unwrap();
    if is_root() {
        let flags = XattrFlags::empty();
        let name = "trusted.of a link";
        rustix::fs::lsetxattr(root.join("raw"), name, b"x", flags).unwrap();
    }
}

fn contents(root: &Path) {
    fs::write(root.join("empty"), b"").unwrap();
    fs::write(root.join("one byte"), b"x").unwrap();
    fs::write(root.join("big"), bytes(1, 20 << 20)).unwrap();
    fs::write(root.join("same as big"), bytes(1, 20 << 20)).unwrap();
    fs::write(root.join("zeros"), vec![0; 3_000_000]).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"begin", 5000).unwrap();
    sparse
        .write_all_at(&bytes(2, 100_000), 500_000_000)
        .unwrap();
    sparse.set_len(1 << 30).unwrap();
}

fn special(root: &Path) {
    let make = |name: &str, kind, device| {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, root.join(name), kind, mode, device).unwrap();
    };
    make("pipe", FileType::Fifo, 0);
    make("null", FileType::CharacterDevice, makedev(1, 3));
    make("loop", FileType::BlockDevice, makedev(7, 300));
    set_time(&root.join("pipe"), 1_000_000_000, 5);
    set_time(&root.join("null"), 1_000_000_001, 6);
    let chown = |name: &str, uid, gid| {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(CWD, root.join(name), Some(uid), Some(gid), flags).unwrap();
    };
    chown("one byte", 1234, 4321);
    chown("dangling", 1234, 4321);
    chown("pipe", 99, 98);
    chown("folders", 77, 78);
    fs::write(root.join("other's program"), b"#!").unwrap();
    chown("other's program", 55, 56);
    set_mode(&root.join("other's program"), 0o6755);
}

/// An access list with one further user, as Linux stores it: version 2, entries of 8 bytes.
const ACCESS_LIST: [u8; 44] = [
    2, 0, 0, 0, //
    1, 0, 6, 0, 255, 255, 255, 255, // owner: rw
    2, 0, 4, 0, 210, 4, 0, 0, // user 1234: r
    4, 0, 4, 0, 255, 255, 255, 255, // group: r
    16, 0, 4, 0, 255, 255, 255, 255, // mask: r
    32, 0, 0, 0, 255, 255, 255, 255, // others: nothing
];

fn attributes(root: &Path) {
    let set = |path: &str, name: &str, value: &[u8]| {
        let path = root.join(path);
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
    };
    fs::write(root.join("with attributes"), b"content").unwrap();
    set("with attributes", "user.text", b"value");
    set("with attributes", "user.empty", b"");
    set("with attributes", "user.bytes", &[0, 255, 10]);
    set("with attributes", "system.posix_acl_access", &ACCESS_LIST);
    fs::create_dir(root.join("folder with attributes")).unwrap();
    fs::write(root.join("folder with attributes/plain"), b"no list").unwrap();
    set("folder with attributes", "user.text", b"value");
    set(
        "folder with attributes",
        "system.posix_acl_default",
        &ACCESS_LIST,
    );
    if is_root() {
        set("with attributes", "trusted.secret", b"root only");
        set("pipe", "trusted.of a pipe", b"x");
        // cap_net_raw=ep
        let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set("with attributes", "security.capability", &capability);
    }
}

fn modes_and_times(root: &Path) {
    fs::write(root.join("program"), b"#!").unwrap();
    set_mode(&root.join("program"), 0o4755);
    for (name, mode) in [("unreadable", 0o000), ("read only", 0o444), ("open", 0o777)] {
        fs::write(root.join(name), name).unwrap();
        set_mode(
            &root.join(name),
            if is_root() { mode } else { mode | 0o400 },
        );
    }
    let closed = root.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("inside"), b"x").unwrap();
    set_time(&closed.join("inside"), -5, 123_456_789);
    set_mode(&closed, 0o1500);
    set_time(&root.join("dangling"), 1_234_567_890, 987_654_321);
    set_time(&root.join("big"), 4_000_000_000, 1);
    set_time(&root.join("a/b/c"), 1, 1);
    set_time(&root.join("a/b"), 2, 2);
    set_time(&root.join("a"), 3, 3);
    set_time(&root.join("empty"), 0, 1);
    set_time(&closed, 1_600_000_000, 500_000_000);
}

/// Changes a restored nasty tree in ways that a restore must repair.
pub(crate) fn spoil(root: &Path) {
    let big = File::options().write(true).open(root.join("big")).unwrap();
    big.write_all_at(b"spoilt", 7_000_000).unwrap();
    big.set_len(25 << 20).unwrap();
    let zeros = File::options()
        .write(true)
        .open(root.join("zeros"))
        .unwrap();
    zeros.write_all_at(b"not zero", 2_000_000).unwrap();
    fs::write(root.join("one byte"), b"yy").unwrap();
    fs::remove_file(root.join("empty")).unwrap();
    fs::remove_file(root.join("dangling")).unwrap();
    symlink("elsewhere", root.join("dangling")).unwrap();
    fs::remove_file(root.join("a/hard 2")).unwrap();
    fs::write(root.join("a/hard 2"), b"no link any more").unwrap();
    set_mode(&root.join("program"), 0o600);
}

/// Ten thousand small files in a hundred folders.
pub(crate) fn many(root: &Path) {
    for folder in 0..100u64 {
        let path = root.join(format!("folder {folder}"));
        fs::create_dir(&path).unwrap();
        for file in 0..100u64 {
            let length = (folder * 37 + file * 11) % 3000;
            let content = bytes(folder << 16 | file, length as usize);
            fs::write(path.join(format!("file {file}")), content).unwrap();
        }
    }
}

/// A few files to choose from.
pub(crate) fn plain(root: &Path) {
    fs::create_dir_all(root.join("etc/deep/er")).unwrap();
    fs::create_dir_all(root.join("etc/secret")).unwrap();
    for name in [
        "etc/a.conf",
        "etc/a.txt",
        "etc/deep/er/b.conf",
        "etc/secret/c.conf",
    ] {
        fs::write(root.join(name), name).unwrap();
    }
}
