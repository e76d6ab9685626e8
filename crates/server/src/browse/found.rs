//! What children tell of points, line by line.

use serde::Deserialize;

/// Files of a snapshot that are told at most; a machine's has a handful.
const STORED_MAX: usize = 1_000;
/// Entries of a folder that are kept.
pub(crate) const ENTRIES_MAX: usize = 200_000;

/// A place in a point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InsidePlace {
    /// The files of its snapshot: disks, and what describes the machine.
    Stored,
    /// The volumes on its disks.
    Volumes,
    /// A path inside its disks as it is typed; names in it need not be text.
    Path(Vec<u8>),
}

/// What was found at a place.
#[derive(Clone, Debug)]
pub enum Found {
    /// Files of the snapshot.
    Stored(Vec<StoredFile>),
    /// Volumes.
    Volumes(Vec<GuestVolume>),
    /// A folder, or the one entry that is none.
    Folder(GuestFolder),
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StoredFile {
    /// From the snapshot's root: `/disks/vda.raw`.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// A volume on the disks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GuestVolume {
    /// Its name: `vda1`, `vg/root`.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// The file system, or what else it holds.
    pub content: String,
    /// Its label.
    pub label: String,
    /// Whether files in it can be read.
    pub is_readable: bool,
    /// Where the system mounts it.
    pub mounted_at: Option<String>,
    /// What is to be known of it.
    pub note: String,
}

/// What sort of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum GuestKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a socket, a pipe.
    Other,
}

impl From<String> for GuestKind {
    fn from(word: String) -> Self {
        match word.as_str() {
            "file" => Self::File,
            "dir" => Self::Folder,
            "symlink" => Self::Link,
            _ => Self::Other,
        }
    }
}

/// What is in a folder, or at a path that is none.
#[derive(Clone, Debug, Default)]
pub struct GuestFolder {
    /// Else the one entry, without a name, is what is at the path.
    pub is_folder: bool,
    /// Folders first, then by name; the first of very many.
    pub entries: Vec<GuestEntry>,
    /// How many there are.
    pub count: usize,
    /// What could not be read.
    pub faults: Vec<String>,
}

/// An entry of a folder.
#[derive(Clone, Debug)]
pub struct GuestEntry {
    /// Its name, which need not be text.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: GuestKind,
    /// Permissions.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// In bytes.
    pub size: u64,
    /// When its content last changed, in seconds since 1970.
    pub modified: i64,
    /// Where a link leads.
    pub link_target: Option<String>,
}

#[derive(Deserialize)]
struct EntryLine {
    name: String,
    name_bytes: Option<String>,
    #[serde(rename = "type")]
    kind: GuestKind,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    link_target: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "message_type", rename_all = "snake_case")]
enum Line {
    Folder {
        path: String,
        path_bytes: Option<String>,
        is_folder: bool,
        entries: Vec<EntryLine>,
        faults: Vec<String>,
    },
    Snapshot {},
    Node {
        #[serde(rename = "type")]
        kind: GuestKind,
        #[serde(flatten)]
        file: StoredFile,
    },
    #[serde(other)]
    Else,
}

impl InsidePlace {
    pub(crate) fn is_stored(&self) -> bool {
        *self == Self::Stored
    }
}

impl Found {
    /// How much there is to keep.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Stored(files) => 1 + files.len(),
            Self::Volumes(volumes) => 1 + volumes.len(),
            Self::Folder(folder) => 1 + folder.entries.len(),
        }
    }
}

/// Takes the lines of one child.
#[derive(Default)]
pub(crate) struct Listing {
    /// Files of the snapshot, once it was named.
    stored: Option<Vec<StoredFile>>,
}

impl Listing {
    /// What a line tells.
    pub(crate) fn take(&mut self, line: &[u8]) -> Option<(InsidePlace, Found)> {
        if line.first() == Some(&b'[') {
            let volumes = serde_json::from_slice(line).unwrap_or_default();
            return Some((InsidePlace::Volumes, Found::Volumes(volumes)));
        }
        match serde_json::from_slice(line) {
            Ok(Line::Folder {
                path,
                path_bytes,
                is_folder,
                entries,
                faults,
            }) => {
                let place = InsidePlace::Path(bytes(path, path_bytes));
                let folder = folder(is_folder, entries, faults);
                return Some((place, Found::Folder(folder)));
            }
            Ok(Line::Snapshot {}) => self.stored = Some(Vec::new()),
            Ok(Line::Node {
                kind: GuestKind::File,
                file,
            }) => {
                let room = self.stored.as_mut().filter(|it| it.len() < STORED_MAX);
                room.into_iter()
                    .for_each(|stored| stored.push(file.clone()));
            }
            _ => {}
        }
        None
    }

    /// What all lines together tell.
    pub(crate) fn end(&mut self) -> Option<(InsidePlace, Found)> {
        let stored = self.stored.take()?;
        Some((InsidePlace::Stored, Found::Stored(stored)))
    }
}

fn folder(is_folder: bool, entries: Vec<EntryLine>, faults: Vec<String>) -> GuestFolder {
    let count = entries.len();
    let mut entries: Vec<_> = entries.into_iter().take(ENTRIES_MAX).map(entry).collect();
    entries.sort_by_key(|entry| entry.kind != GuestKind::Folder);
    GuestFolder {
        is_folder,
        entries,
        count,
        faults,
    }
}

fn entry(line: EntryLine) -> GuestEntry {
    GuestEntry {
        name: bytes(line.name, line.name_bytes),
        kind: line.kind,
        mode: line.mode,
        uid: line.uid,
        gid: line.gid,
        size: line.size,
        modified: line.mtime,
        link_target: line.link_target,
    }
}

/// The text's bytes, or those of its digits where it was no text.
fn bytes(text: String, digits: Option<String>) -> Vec<u8> {
    let Some(digits) = digits.filter(|digits| digits.is_ascii()) else {
        return text.into_bytes();
    };
    let pairs = (0..digits.len() / 2).map(|at| &digits[2 * at..2 * at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap_or(b'?'))
        .collect()
}
