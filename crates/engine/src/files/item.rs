//! The entries of a plan, kept small: there may be many millions.

use std::borrow::Cow;
use std::ops::Range;

use lifeboat_format::BlobId;
use sha2::{Digest, Sha256};

use super::metadata::Metadata;

/// Ending of the file that is being written.
const WORK_ENDING: &[u8] = b".lifeboat-part";

/// Ending of the mark beside a file that is being rewritten in place.
const MARK_ENDING: &[u8] = b".lifeboat-restoring";

/// Longest file name of Linux.
const NAME_BYTES_MAX: usize = 255;

/// A folder; number 0 is the target itself.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) parent: u32,
    pub(super) depth: u32,
    pub(super) name: Box<[u8]>,
    pub(super) metadata: Metadata,
    /// Not only the way to something else.
    pub(super) is_selected: bool,
    /// It or something below it is selected.
    pub(super) is_wanted: bool,
    pub(super) found: FoundFolder,
}

/// What is at a folder's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundFolder {
    Nothing,
    Folder,
    /// Something else, or it cannot be opened: all below is left out.
    Blocked,
}

/// Anything but a folder.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) folder: u32,
    pub(super) name: Box<[u8]>,
    pub(super) metadata: Metadata,
    pub(super) what: What,
    pub(super) found: Found,
}

/// What an item is.
#[derive(Debug)]
pub(super) enum What {
    File {
        size: u64,
        pieces: Range<u32>,
    },
    /// A further name of that item.
    Link(u32),
    Symlink(Box<[u8]>),
    Fifo,
    BlockDevice(u64),
    CharDevice(u64),
}

/// What is at an item's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or what will be replaced.
    Nothing,
    /// The part that an interrupted restore has left.
    Part,
    /// Exactly its content; the file has one name if `is_single`.
    Equal { is_single: bool },
    /// A file whose differing ranges will be rewritten.
    InPlace,
    /// It cannot be restored; a finding says why.
    Blocked,
}

impl Item {
    pub(super) fn is_file(&self) -> bool {
        matches!(self.what, What::File { .. })
    }

    /// Bytes of its content; zero for anything but files.
    pub(super) fn size(&self) -> u64 {
        match self.what {
            What::File { size, .. } => size,
            _ => 0,
        }
    }

    /// Numbers of its pieces; none for anything but files.
    pub(super) fn pieces(&self) -> Range<usize> {
        match &self.what {
            What::File { pieces, .. } => pieces.start as usize..pieces.end as usize,
            _ => 0..0,
        }
    }
}

/// Name of the file that is being written.
pub(super) fn work_name(name: &[u8]) -> Vec<u8> {
    beside(name, WORK_ENDING)
}

/// Name of the mark beside a file that is being rewritten in place.
pub(super) fn mark_name(name: &[u8]) -> Vec<u8> {
    beside(name, MARK_ENDING)
}

/// Says whether a name looks like one of ours.
pub(super) fn is_ours(name: &[u8]) -> bool {
    name.ends_with(WORK_ENDING) || name.ends_with(MARK_ENDING)
}

/// `.<name><ending>`; a name that would become too long is replaced by its hash.
fn beside(name: &[u8], ending: &[u8]) -> Vec<u8> {
    if 1 + name.len() + ending.len() <= NAME_BYTES_MAX {
        return [b".", name, ending].concat();
    }
    let hash = BlobId::from(lifeboat_model::Id(Sha256::digest(name).into()));
    [b".", hash.to_string().as_bytes(), ending].concat()
}

/// A name for people: controls and what is not text are escaped.
pub(super) fn shown(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.chars().any(char::is_control) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(name)),
    }
}

fn escaped(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// `/a/b/name` for people.
pub(super) fn shown_path(folders: &[Folder], folder: u32, name: &[u8]) -> String {
    let mut names = vec![shown(name)];
    let mut at = folder;
    while at != 0 {
        let folder = &folders[at as usize];
        names.push(shown(&folder.name));
        at = folder.parent;
    }
    names.reverse();
    format!("/{}", names.join("/"))
}
