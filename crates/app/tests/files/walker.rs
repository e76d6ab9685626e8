//! Reads a tree with all that a restore must bring back.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// One entry as it is compared.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    /// Content, hashed; target of a link; device number.
    content: Vec<u8>,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path, in order, that is the same file.
    same_as: Option<PathBuf>,
}

/// A tree by path.
pub(crate) struct Entries(BTreeMap<PathBuf, Entry>);

impl Entries {
    pub(crate) fn of(root: &Path) -> Self {
        let mut paths = Vec::new();
        list(root, &mut paths);
        paths.sort();
        let mut inodes = HashMap::new();
        let entries = paths.into_iter().map(|path| {
            let name = path.strip_prefix(root).unwrap().to_owned();
            let entry = entry(&path, &name, &mut inodes);
            (name, entry)
        });
        Self(entries.collect())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.0.keys().map(|path| path.to_str().unwrap().to_owned());
        names.filter(|name| !name.is_empty()).collect()
    }

    pub(crate) fn assert_same(&self, other: &Self) {
        for (path, entry) in &self.0 {
            let found = other
                .0
                .get(path)
                .unwrap_or_else(|| panic!("{path:?} is missing"));
            assert!(
                entry == found,
                "{path:?} is\n{found:?}\ninstead of\n{entry:?}"
            );
        }
        let further = other.0.keys().find(|path| !self.0.contains_key(*path));
        assert_eq!(further, None, "something is there that should not be");
    }
}

fn list(path: &Path, paths: &mut Vec<PathBuf>) {
    paths.push(path.to_owned());
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            list(&entry.unwrap().path(), paths);
        }
    }
}

fn entry(path: &Path, name: &Path, inodes: &mut HashMap<u64, PathBuf>) -> Entry {
    let found = fs::symlink_metadata(path).unwrap();
    let kind = found.file_type();
    let device = || found.rdev().to_le_bytes().to_vec();
    let (kind, content) = match () {
        () if kind.is_dir() => ("folder", Vec::new()),
        () if kind.is_file() => ("file", digest(path)),
        () if kind.is_symlink() => ("link", bytes(fs::read_link(path).unwrap().as_os_str())),
        () if kind.is_fifo() => ("pipe", Vec::new()),
        () if kind.is_block_device() => ("block device", device()),
        () if kind.is_char_device() => ("character device", device()),
        () => panic!("{path:?} is of no known kind"),
    };
    let first = inodes.entry(found.ino()).or_insert_with(|| name.to_owned());
    Entry {
        kind,
        mode: found.mode() & 0o7777,
        owner: (found.uid(), found.gid()),
        mtime: (found.mtime(), found.mtime_nsec()),
        content,
        attributes: attributes(path),
        same_as: (first != name).then(|| first.clone()),
    }
}

/// Two sums of unlike kinds and the length: enough to tell restored files apart.
///
/// Files may be a GiB of zeros: blocks of zeros are only counted.
fn digest(path: &Path) -> Vec<u8> {
    let mut file = fs::File::open(path).unwrap();
    let (mut a, mut b, mut length) = (0xcbf2_9ce4_8422_2325_u64, 0u64, 0u64);
    let mut mix = |value: u64| {
        a = (a ^ value)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
        b = b.rotate_left(5).wrapping_add(value);
    };
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let count = (&mut file).take(1 << 20).read_to_end(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        length += count as u64;
        for block in buffer.chunks(4096) {
            if block == &[0; 4096][..block.len()] {
                mix(1 << 63);
                continue;
            }
            for word in block.chunks(8) {
                let mut bytes = [0; 8];
                bytes[..word.len()].copy_from_slice(word);
                mix(u64::from_le_bytes(bytes));
            }
        }
    }
    [a, b, length]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect()
}

fn bytes(text: &OsStr) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split_inclusive(|byte| *byte == 0);
    let names = names.map(|name| CStr::from_bytes_with_nul(name).unwrap().to_owned());
    let value = |name: CString| {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(path, &name, &mut value[..]).unwrap();
        value.truncate(length);
        (name.into_bytes(), value)
    };
    names.map(value).collect()
}
