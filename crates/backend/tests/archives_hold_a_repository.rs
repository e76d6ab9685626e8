//! What is put into an archive comes out of it, also through tar; hostile archives are refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_backend::{ArchiveReader, ArchiveWriter, Backend, FileHandle, FileKind, Local};
use lifeboat_model::{ErrorKind, Id};
use lifeboat_testkit::{ManualClock, tool};

use crate::pack;

/// One file of every kind but locks, of sizes around a block.
fn files() -> Vec<(FileHandle, Vec<u8>)> {
    let mut files = vec![(FileHandle::CONFIG, b"sealed settings".to_vec())];
    let kinds = [FileKind::Key, FileKind::Index, FileKind::Snapshot];
    for (number, kind) in (1u8..).zip(kinds) {
        let content = vec![number; 500 + usize::from(number) * 4];
        files.push((FileHandle::new(kind, Id([number; 32])), content));
    }
    for (first, length) in [(0, 0), (1, 1), (2, 511), (2, 512), (3, 513), (255, 100_000)] {
        let mut file = pack(first);
        file.id.0[31] = length as u8;
        files.push((file, vec![first ^ 0x55; length]));
    }
    files
}

fn archive(path: &Path) -> u64 {
    let writer = ArchiveWriter::create(path, &ManualClock::default()).unwrap();
    writer.create().unwrap();
    for (file, content) in files() {
        writer.save(file, &content).unwrap();
        let again = writer.save(file, &content);
        assert_eq!(again.is_err(), file.kind == FileKind::Config, "{file}");
    }
    assert!(
        !path.exists(),
        "an archive has no name before it is complete"
    );
    holds_everything(&writer);
    writer.finish().unwrap()
}

fn holds_everything(backend: &dyn Backend) {
    for (file, content) in files() {
        assert_eq!(backend.load(file).unwrap(), content, "{file}");
        assert_eq!(backend.size(file).unwrap(), content.len() as u64);
        let mut end = vec![0; content.len() / 2];
        let offset = (content.len() - end.len()) as u64;
        backend.read(file, offset, &mut end).unwrap();
        assert_eq!(end, content[content.len() - end.len()..]);
        let beyond = backend.read(file, offset + 1, &mut vec![0; end.len().max(1)]);
        assert_eq!(beyond.unwrap_err().kind(), ErrorKind::Corrupt, "{file}");
    }
    for kind in FileKind::ALL {
        let mut listed: Vec<(Id, u64)> = backend
            .list(kind)
            .unwrap()
            .iter()
            .map(|file| (file.id, file.size))
            .collect();
        let mut expected: Vec<(Id, u64)> = files()
            .iter()
            .filter(|(file, _)| file.kind == kind)
            .map(|(file, content)| (file.id, content.len() as u64))
            .collect();
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected, "{kind}");
    }
    let absent = FileHandle::new(FileKind::Snapshot, Id([0xee; 32]));
    assert_eq!(
        backend.load(absent).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

/// The names below a folder.
fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn and_give_it_back() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    let size = archive(&path);
    assert_eq!(fs::metadata(&path).unwrap().len(), size);
    let left = names(place.path());
    assert_eq!(left, std::slice::from_ref(&path), "no work file is left");
    let reader = ArchiveReader::open(&path).unwrap();
    holds_everything(&reader);
    let (file, content) = files().swap_remove(1);
    assert_eq!(
        reader.save(file, &content).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(
        reader.remove(file).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(reader.create().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn as_tar_unpacks_and_packs_it() {
    let Some(tar) = tool("tar") else { return };
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    archive(&path);
    let folder = place.path().join("unpacked");
    fs::create_dir(&folder).unwrap();
    let run = |arguments: &[&str]| {
        let done = Command::new(&tar)
            .args(arguments)
            .current_dir(place.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && told.is_empty(), "{told}");
    };
    run(&["-xf", "a.tar", "-C", "unpacked"]);
    holds_everything(&Local::open(&folder).unwrap());
    for (number, format) in ["gnu", "ustar", "posix"].into_iter().enumerate() {
        let name = format!("{number}.tar");
        let format = format!("--format={format}");
        run(&["-cf", &name, &format, "-C", "unpacked", "."]);
        holds_everything(&ArchiveReader::open(&place.path().join(name)).unwrap());
    }
}

#[test]
fn and_locks_live_in_memory_only() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    let lock = FileHandle::new(FileKind::Lock, Id([9; 32]));
    let takes_locks = |backend: &dyn Backend| {
        backend.save(lock, b"here").unwrap();
        assert_eq!(backend.load(lock).unwrap(), b"here");
        assert_eq!(backend.list(FileKind::Lock).unwrap().len(), 1);
    };
    let writer = ArchiveWriter::create(&path, &ManualClock::default()).unwrap();
    writer.create().unwrap();
    takes_locks(&writer);
    writer.save(FileHandle::CONFIG, b"x").unwrap();
    writer.finish().unwrap();
    let reader = ArchiveReader::open(&path).unwrap();
    assert_eq!(reader.list(FileKind::Lock).unwrap(), []);
    takes_locks(&reader);
    reader.remove(lock).unwrap();
    assert_eq!(reader.list(FileKind::Lock).unwrap(), []);
}

#[test]
fn one_that_is_not_finished_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    let clock = ManualClock::default();
    let writer = ArchiveWriter::create(&path, &clock).unwrap();
    writer.create().unwrap();
    let second = ArchiveWriter::create(&path, &clock).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Busy, "{second}");
    writer.finish().expect_err("there is no repository in it");
    drop(writer);
    assert!(names(place.path()).is_empty());
    fs::write(&path, b"mine").unwrap();
    let refused = ArchiveWriter::create(&path, &clock).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Exists, "{refused}");
    fs::remove_file(&path).unwrap();
    let writer = ArchiveWriter::create(&path, &clock).unwrap();
    writer.create().unwrap();
    writer.save(FileHandle::CONFIG, b"x").unwrap();
    fs::write(&path, b"mine").unwrap();
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn cut_off_anywhere_they_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    archive(&path);
    let whole = fs::read(&path).unwrap();
    let cut = place.path().join("cut.tar");
    let end_of_members = {
        let zeros = whole.iter().rev().take_while(|byte| **byte == 0).count();
        (whole.len() - zeros).next_multiple_of(512)
    };
    for length in (0..end_of_members + 1024).step_by(256) {
        fs::write(&cut, &whole[..length]).unwrap();
        let error = ArchiveReader::open(&cut).unwrap_err();
        let kind = if length < 512 {
            ErrorKind::Invalid
        } else {
            ErrorKind::Corrupt
        };
        assert_eq!(error.kind(), kind, "{length}: {error}");
    }
}

/// A member as a hostile hand writes it.
fn member(name: &str, flag: u8, size: &[u8; 12], body: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..136].copy_from_slice(size);
    block[156] = flag;
    block[257..263].copy_from_slice(b"ustar\0");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block.extend_from_slice(body);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn plain(name: &str, body: &[u8]) -> Vec<u8> {
    let size = format!("{:011o}\0", body.len());
    member(name, b'0', size.as_bytes().try_into().unwrap(), body)
}

#[test]
fn hostile_ones_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    let config = plain("config", b"x");
    let key = format!("keys/{}", Id([1; 32]));
    let none = b"00000000000\0";
    let huge = b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff";
    let most = b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff";
    let over = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    let records = |text: &str| {
        let size = format!("{:011o}\0", text.len());
        member(
            "x",
            b'x',
            size.as_bytes().try_into().unwrap(),
            text.as_bytes(),
        )
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("twice", [plain(&key, b"a"), plain(&key, b"b")].concat()),
        (
            "twice, once with ./",
            [plain(&key, b"a"), plain(&format!("./{key}"), b"a")].concat(),
        ),
        ("a link", member(&key, b'2', none, b"")),
        ("a hard link", member(&key, b'1', none, b"")),
        ("beyond the end", member(&key, b'0', huge, b"")),
        ("beyond 2^64", member(&key, b'0', most, b"")),
        ("a negative size", member(&key, b'0', over, b"")),
        ("no octal size", member(&key, b'0', b"0000000008x\0", b"")),
        ("a size in records beyond the end", {
            [records("22 size=999999999999\n"), plain(&key, b"a")].concat()
        }),
        (
            "broken records",
            [records("99 size=1\n"), plain(&key, b"a")].concat(),
        ),
        (
            "records of nothing",
            [records("0 \n"), plain(&key, b"a")].concat(),
        ),
        ("too large a key", plain(&key, &vec![0; (1 << 20) + 1])),
        ("no header", vec![0x41; 512]),
        ("an empty block", vec![0; 512]),
    ];
    for (what, bytes) in cases {
        let tail = if what == "an empty block" {
            plain(&key, b"a")
        } else {
            Vec::new()
        };
        fs::write(&path, [config.clone(), bytes, tail, vec![0; 1024]].concat()).unwrap();
        let error = ArchiveReader::open(&path).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    }
    for foreign in [b"QFI\xfb and so on".repeat(100), vec![0; 1 << 20]] {
        fs::write(&path, foreign).unwrap();
        let error = ArchiveReader::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("no archive"), "{error}");
    }
    let error = ArchiveReader::open(place.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[test]
fn foreign_members_are_passed_over() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    let digits = Id([1; 32]).to_string();
    let foreign = [
        plain("../../etc/passwd", b"root"),
        plain(&format!("/keys/{digits}"), b"a"),
        plain(&format!("locks/{digits}"), b"a"),
        plain(&format!("data/02/{digits}"), b"wrong folder"),
        plain("keys/short", b"a"),
        member("dev", b'3', b"00000000000\0", b""),
        plain("config", b"x"),
        vec![0; 1024],
        b"anything behind the end".to_vec(),
    ];
    fs::write(&path, foreign.concat()).unwrap();
    let reader = ArchiveReader::open(&path).unwrap();
    assert_eq!(reader.load(FileHandle::CONFIG).unwrap(), b"x");
    for kind in &FileKind::ALL[1..] {
        assert_eq!(reader.list(*kind).unwrap(), [], "{kind}");
    }
    fs::write(&path, [plain("README", b"hello"), vec![0; 1024]].concat()).unwrap();
    let empty = ArchiveReader::open(&path).unwrap();
    let error = empty.list(FileKind::Pack).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}
