//! Trees: folders as JSON, byte for byte as restic writes them.
//!
//! The encoder follows Go's `encoding/json`: field order, omitted empties, HTML escapes, and names
//! quoted by Go's rules first. So equal folders have equal names, and stock restic rewrites them.
//!
//! Where versions differ, the newest is followed: 0.14 escapes the characters new in Unicode 14
//! and 15, and `\b` and `\f` in other texts than names.
//!
//! Source: trees that restic 0.14, 0.18 and 0.19 made, byte for byte; restic's
//! internal/data/node.go and tree.go as of 0.19; restic-format 5.5.

mod decode;
mod encode;
mod printable;
mod quote;

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::{BlobId, GoTime};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Anything else.
    Irregular,
}

impl NodeKind {
    const ALL: [(Self, &'static str); 8] = [
        (Self::File, "file"),
        (Self::Dir, "dir"),
        (Self::Symlink, "symlink"),
        (Self::BlockDevice, "dev"),
        (Self::CharDevice, "chardev"),
        (Self::Fifo, "fifo"),
        (Self::Socket, "socket"),
        (Self::Irregular, "irregular"),
    ];

    /// restic's word for it.
    pub fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("irregular", |(_, word)| word)
    }

    fn of_word(word: &[u8]) -> Option<Self> {
        let known = Self::ALL.iter().find(|(_, known)| known.as_bytes() == word);
        known.map(|(kind, _)| *kind)
    }
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedAttribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// One entry of a folder.
#[derive(Clone, Debug)]
pub struct Node {
    /// Raw bytes of its name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: NodeKind,
    /// Go's `FileMode` bits: permissions as usual, kinds from bit 18 to 31.
    pub mode: u32,
    /// Last change of its content.
    pub mtime: GoTime,
    /// Last access.
    pub atime: GoTime,
    /// Last change of its metadata.
    pub ctime: GoTime,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Name of the owner.
    pub user: String,
    /// Name of the group.
    pub group: String,
    /// Number of its inode.
    pub inode: u64,
    /// Device of its inode.
    pub device_id: u64,
    /// Bytes of its content.
    pub size: u64,
    /// Hard links.
    pub links: u64,
    /// Where a symbolic link leads, as text.
    pub linktarget: String,
    /// Where it leads, as bytes that are not text.
    pub linktarget_raw: Option<Vec<u8>>,
    /// Extended attributes.
    pub extended_attributes: Vec<ExtendedAttribute>,
    /// Attributes of other systems; kept as they are.
    pub generic_attributes: BTreeMap<String, Box<RawValue>>,
    /// Device number of a device node.
    pub device: u64,
    /// Blobs of a file, in order; files always have a list.
    pub content: Option<Vec<BlobId>>,
    /// The tree of a folder.
    pub subtree: Option<BlobId>,
    /// What restic could not read.
    pub error: String,
    /// Texts above whose writer lost bytes because they were not UTF-8: where they stand, and
    /// their bytes with 0xff for each that was lost.
    ///
    /// So they are written again as they were; a real U+FFFD is written in another way.
    pub lossy_texts: BTreeMap<TextPlace, Vec<u8>>,
}

/// A text of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextPlace {
    /// `user`
    User,
    /// `group`
    Group,
    /// `linktarget`
    LinkTarget,
    /// `error`
    Error,
    /// The name of the extended attribute of this number.
    Attribute(usize),
}

impl Node {
    /// A node of that name and kind with everything else empty.
    pub fn new(name: &[u8], kind: NodeKind) -> Self {
        Self {
            name: name.to_vec(),
            kind,
            mode: 0,
            mtime: GoTime::default(),
            atime: GoTime::default(),
            ctime: GoTime::default(),
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            inode: 0,
            device_id: 0,
            size: 0,
            links: 0,
            linktarget: String::new(),
            linktarget_raw: None,
            extended_attributes: Vec::new(),
            generic_attributes: BTreeMap::new(),
            device: 0,
            content: None,
            subtree: None,
            error: String::new(),
            lossy_texts: BTreeMap::new(),
        }
    }

    /// Blobs of its content; none for anything but files.
    pub fn content_ids(&self) -> &[BlobId] {
        self.content.as_deref().unwrap_or(&[])
    }

    /// Replaces the blobs of its content.
    pub fn set_content(&mut self, content: Vec<BlobId>) {
        self.content = Some(content);
    }

    /// Its name for people: what is not text is escaped.
    pub fn shown_name(&self) -> String {
        String::from_utf8_lossy(&quote::quote(&self.name)).into_owned()
    }

    /// The bytes of which a text is to be written: what was read, unless the text has changed.
    fn written_bytes<'a>(&'a self, place: TextPlace, text: &'a str) -> &'a [u8] {
        let is_same = |bytes: &&Vec<u8>| String::from_utf8_lossy(bytes) == text;
        let lossy = self.lossy_texts.get(&place).filter(is_same);
        lossy.map_or(text.as_bytes(), |bytes| &bytes[..])
    }

    /// Says whether its name can be used as a file name inside a folder.
    pub fn name_is_safe(&self) -> bool {
        let is_special = matches!(&self.name[..], b"" | b"." | b"..");
        !is_special && !self.name.iter().any(|byte| matches!(byte, b'/' | 0))
    }
}

/// Deepest nesting of folders that is walked: no real tree is deeper, paths of that length cannot
/// be used anywhere, and a hostile one would end the stack.
pub const TREE_DEPTH_MAX: u32 = 1024;

/// A folder.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Its entries, sorted by the bytes of their names.
    pub nodes: Vec<Node>,
}

/// A tree and what was odd about its text.
#[derive(Clone, Debug, Default)]
pub struct DecodedTree {
    /// The tree.
    pub tree: Tree,
    /// Names are not sorted by their bytes, or come twice: newer restic may not find them.
    pub is_unsorted: bool,
    /// Nodes or the tree hold keys or kinds that are not known: encoding loses them.
    pub has_unknown_parts: bool,
}

impl Tree {
    /// The entry of that name.
    pub fn find(&self, name: &[u8]) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}
