//! Trees of files: made on the host, read from a rescue VM, compared.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use lifeboat_rescue::wire::{Entry, FileKind, Moment};
use lifeboat_rescue::{GuestPath, LastLink, Rescue, Step};

/// What of a tree a file system's maker takes over from the host.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keeps {
    pub(crate) modes: bool,
    pub(crate) owners: bool,
    pub(crate) times: bool,
    pub(crate) attributes: bool,
    pub(crate) hard_links: bool,
}

/// An entry of a walk, with its content and what could not be read.
pub(crate) struct Seen {
    pub(crate) entry: Entry,
    pub(crate) content: Vec<u8>,
    pub(crate) faults: Vec<String>,
}

/// By path from the walk's beginning, which has the empty one.
pub(crate) type Tree = BTreeMap<Vec<u8>, Seen>;

/// Bytes that do not repeat.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Makes files of plain kinds with plain names, which every file system can hold.
pub(crate) fn make_plain(folder: &Path) {
    let write = |name: &str, content: &[u8]| fs::write(folder.join(name), content).unwrap();
    fs::create_dir_all(folder.join("deep/deeper/deepest")).unwrap();
    write("text", b"some text\n");
    write("empty", b"");
    write("noise", &noise(300_001));
    write("deep/deeper/deepest/file", &noise(5000));
    let sparse = File::create(folder.join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    sparse.write_all_at(&noise(4096), 1 << 20).unwrap();
}

/// Adds everything else that Linux knows and needs no rights to make.
pub(crate) fn make_rich(folder: &Path) {
    make_plain(folder);
    let path = |name: &str| folder.join(name);
    for (name, content) in [("a name with spaces", "1"), ("übung", "2"), ("set-id", "3")] {
        fs::write(path(name), content).unwrap();
    }
    fs::write(folder.join(OsStr::from_bytes(b"not\xfftext")), "4").unwrap();
    fs::write(path(&"n".repeat(255)), "5").unwrap();
    fs::hard_link(path("noise"), path("noise-again")).unwrap();
    fs::hard_link(path("noise"), path("deep/noise-below")).unwrap();
    symlink("text", path("link")).unwrap();
    symlink("/nowhere/at all", path("link-to-nothing")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    let chmod = |name: &str, mode| {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod("set-id", 0o6755);
    chmod("empty", 0o400);
    fs::create_dir(path("sticky")).unwrap();
    chmod("sticky", 0o1777);
    let flags = rustix::fs::XattrFlags::empty();
    for (name, value) in [("user.note", &b"a \0 value"[..]), ("user.empty", b"")] {
        rustix::fs::setxattr(path("text"), name, value, flags).unwrap();
    }
    let time = UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    let times = FileTimes::new().set_modified(time).set_accessed(time);
    for name in ["text", "noise", "sticky"] {
        File::open(path(name)).unwrap().set_times(times).unwrap();
    }
}

/// Reads all below a path.
pub(crate) fn read(rescue: &mut Rescue, path: &str) -> Tree {
    let path: GuestPath = path.parse().unwrap();
    let mut tree = Tree::new();
    let mut contents = HashMap::new();
    let mut folders: Vec<Vec<u8>> = Vec::new();
    let mut latest = Vec::new();
    for step in rescue.walk(&path, LastLink::Kept).unwrap() {
        match step.unwrap() {
            Step::Entry(entry) => {
                latest = match folders.last() {
                    Some(above) if above.is_empty() => entry.name.clone(),
                    Some(above) => [&above[..], b"/", &entry.name].concat(),
                    None => Vec::new(),
                };
                if entry.kind == FileKind::Folder {
                    folders.push(latest.clone());
                }
                let content = vec![0; usize::try_from(entry.size).unwrap()];
                let seen = Seen {
                    entry: *entry,
                    content,
                    faults: Vec::new(),
                };
                tree.insert(latest.clone(), seen);
            }
            Step::Data { offset, bytes } => {
                let content = &mut tree.get_mut(&latest).unwrap().content;
                content[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
            Step::ContentEnd => {
                let seen = &tree[&latest];
                let key = (seen.entry.device_id, seen.entry.inode);
                contents.insert(key, seen.content.clone());
            }
            Step::SameContent => {
                let seen = tree.get_mut(&latest).unwrap();
                let key = (seen.entry.device_id, seen.entry.inode);
                seen.content.clone_from(&contents[&key]);
            }
            Step::Leave => drop(folders.pop()),
            Step::Fault(text) => tree.get_mut(&latest).unwrap().faults.push(text),
        }
    }
    tree
}

/// Compares what was read with the host's folder it was made of, name by name.
pub(crate) fn assert_same(tree: &Tree, folder: &Path, keeps: Keeps) {
    let mut paths = Vec::new();
    collect(folder, &mut Vec::new(), &mut paths);
    let ours: Vec<_> = paths
        .iter()
        .map(|it| it.escape_ascii().to_string())
        .collect();
    let skipped = |path: &&Vec<u8>| !path.is_empty() && !path.starts_with(b"lost+found");
    let theirs = tree.keys().filter(skipped);
    let theirs: Vec<_> = theirs.map(|it| it.escape_ascii().to_string()).collect();
    assert_eq!(theirs, ours, "names of {}", folder.display());
    for path in &paths {
        let host = folder.join(OsStr::from_bytes(path));
        assert_entry(&tree[path], &host, keeps);
    }
    if keeps.hard_links {
        assert_same_links(tree, folder, &paths);
    }
}

/// Compares two folders of the host: kinds, contents, modes, times, links, attributes.
pub(crate) fn assert_folders_equal(ours: &Path, theirs: &Path) {
    let (mut paths, mut others) = (Vec::new(), Vec::new());
    collect(ours, &mut Vec::new(), &mut paths);
    collect(theirs, &mut Vec::new(), &mut others);
    assert_eq!(paths, others);
    let mut inodes = HashMap::new();
    for path in &paths {
        let shown = path.escape_ascii();
        let [a, b] = [ours, theirs].map(|folder| folder.join(OsStr::from_bytes(path)));
        let [found_a, found_b] = [&a, &b].map(|path| path.symlink_metadata().unwrap());
        assert_eq!(found_a.mode(), found_b.mode(), "{shown}");
        assert_eq!(found_a.mtime(), found_b.mtime(), "{shown}");
        assert_eq!(
            (found_a.uid(), found_a.gid()),
            (found_b.uid(), found_b.gid())
        );
        assert_eq!(fs::read_link(&a).ok(), fs::read_link(&b).ok(), "{shown}");
        if found_a.is_dir() {
            continue;
        }
        assert_eq!(found_a.len(), found_b.len(), "{shown}");
        if found_a.is_file() {
            assert!(fs::read(&a).ok() == fs::read(&b).ok(), "{shown}");
            let mut buffer = [0; 64];
            let value = rustix::fs::getxattr(&b, "user.note", &mut buffer[..]).ok();
            let is_noted = path == b"text";
            assert_eq!(
                value.map(|length| &buffer[..length] == b"a \0 value"),
                is_noted.then_some(true)
            );
        }
        let first = *inodes.entry(found_a.ino()).or_insert(found_b.ino());
        assert_eq!(found_b.ino(), first, "{shown}");
    }
}

fn collect(folder: &Path, above: &mut Vec<u8>, paths: &mut Vec<Vec<u8>>) {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let length = above.len();
        if length > 0 {
            above.push(b'/');
        }
        above.extend(name.as_bytes());
        paths.push(above.clone());
        let path = folder.join(&name);
        if path.symlink_metadata().unwrap().is_dir() {
            collect(&path, above, paths);
        }
        above.truncate(length);
    }
    paths.sort();
}

fn assert_entry(seen: &Seen, host: &Path, keeps: Keeps) {
    let shown = host.display();
    let found = host.symlink_metadata().unwrap();
    let entry = &seen.entry;
    assert_eq!(seen.faults, Vec::<String>::new(), "{shown}");
    assert_eq!(entry.kind, kind_of(&found), "{shown}");
    if entry.kind == FileKind::File {
        assert_eq!(entry.size, found.len(), "size of {shown}");
        // The host may not let an ordinary user read what he may not; root reads everything.
        if let Ok(content) = fs::read(host) {
            assert!(seen.content == content, "content of {shown}");
        }
    }
    if entry.kind == FileKind::Symlink {
        let target = fs::read_link(host).unwrap();
        assert_eq!(
            entry.link_target.as_deref(),
            Some(target.as_os_str().as_bytes())
        );
    }
    if keeps.modes && entry.kind != FileKind::Symlink {
        assert_eq!(entry.mode, found.mode() & 0o7777, "mode of {shown}");
    }
    if keeps.owners {
        assert_eq!(
            (entry.uid, entry.gid),
            (found.uid(), found.gid()),
            "{shown}"
        );
    }
    if keeps.times {
        let mtime = Moment {
            seconds: found.mtime(),
            nanoseconds: entry.mtime.nanoseconds,
        };
        assert_eq!(entry.mtime, mtime, "time of {shown}");
    }
    if keeps.attributes && shown.to_string().ends_with("/text") {
        let list = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
        let ours = [
            (&b"user.empty"[..], &b""[..]),
            (b"user.note", b"a \0 value"),
        ]
        .map(list);
        let theirs = entry
            .attributes
            .iter()
            .map(|it| list((&it.name, &it.value)));
        assert_eq!(theirs.collect::<Vec<_>>(), ours, "attributes of {shown}");
    }
}

/// Two names are one file here exactly if they are there.
fn assert_same_links(tree: &Tree, folder: &Path, paths: &[Vec<u8>]) {
    let mut inodes = HashMap::new();
    for path in paths {
        let found = folder
            .join(OsStr::from_bytes(path))
            .symlink_metadata()
            .unwrap();
        if found.is_dir() {
            continue;
        }
        let entry = &tree[path].entry;
        assert_eq!(entry.links, found.nlink(), "{}", path.escape_ascii());
        let first = *inodes.entry(found.ino()).or_insert(entry.inode);
        assert_eq!(entry.inode, first, "{}", path.escape_ascii());
    }
}

fn kind_of(found: &Metadata) -> FileKind {
    let kind = found.file_type();
    if kind.is_dir() {
        FileKind::Folder
    } else if kind.is_file() {
        FileKind::File
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else {
        FileKind::Other
    }
}
