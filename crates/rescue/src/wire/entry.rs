//! A file's description: everything a restic node holds besides the content.

use super::codec::{Decoder, Encoder, Malformed};

/// Longest file name: 255 characters of FAT and NTFS, as UTF-8.
pub(crate) const NAME_BYTES_MAX: usize = 1020;
/// Longest target of a symbolic link.
const TARGET_BYTES_MAX: usize = 4095;
/// Longest value of an attribute.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// All names of attributes together have 64 KiB; the shortest takes five bytes.
const ATTRIBUTES_MAX: usize = (64 << 10) / 5;
const NANOSECONDS: u32 = 1_000_000_000;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
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
    Other,
}

impl FileKind {
    const ALL: [Self; 8] = [
        Self::File,
        Self::Folder,
        Self::Symlink,
        Self::BlockDevice,
        Self::CharDevice,
        Self::Fifo,
        Self::Socket,
        Self::Other,
    ];
}

/// A time: seconds since 1970, and nanoseconds after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970, before it negative.
    pub seconds: i64,
    /// Less than a second.
    pub nanoseconds: u32,
}

/// An extended attribute; access lists are such, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, as in `user.comment`.
    pub name: Vec<u8>,
    /// Its value, at most 64 KiB.
    pub value: Vec<u8>,
}

/// One file, folder, link or device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in its folder: a plain one. Empty for what the request named itself.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
    /// Permissions and the set-user-id, set-group-id and sticky bits.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Bytes of a regular file's content.
    pub size: u64,
    /// Bytes that its file system keeps for it; less than `size` where it has holes.
    pub allocated: u64,
    /// Last access.
    pub atime: Moment,
    /// Last change of the content.
    pub mtime: Moment,
    /// Last change of the metadata.
    pub ctime: Moment,
    /// Number of its inode; the same file has the same pair of device and inode.
    pub inode: u64,
    /// Device of its inode, as numbered in the rescue VM.
    pub device_id: u64,
    /// Hard links.
    pub links: u64,
    /// Device number of a device node.
    pub device: u64,
    /// Where a symbolic link leads.
    pub link_target: Option<Vec<u8>>,
    /// Extended attributes, sorted by name.
    pub attributes: Vec<Attribute>,
}

impl Entry {
    pub(super) fn encode(&self, to: Encoder) -> Encoder {
        let kind = FileKind::ALL.iter().position(|kind| *kind == self.kind);
        let to = to
            .string(&self.name)
            .u8(kind.unwrap_or(FileKind::ALL.len() - 1) as u8)
            .u32(self.mode)
            .u32(self.uid)
            .u32(self.gid)
            .u64(self.size)
            .u64(self.allocated);
        let moments = [self.atime, self.mtime, self.ctime];
        let to = moments.iter().fold(to, |to, moment| {
            to.u64(moment.seconds as u64).u32(moment.nanoseconds)
        });
        let to = [self.inode, self.device_id, self.links, self.device]
            .iter()
            .fold(to, |to, number| to.u64(*number));
        to.optional(self.link_target.as_deref())
            .list(&self.attributes, |to, attribute| {
                to.string(&attribute.name).string(&attribute.value)
            })
    }

    pub(super) fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let name = from.string(NAME_BYTES_MAX)?;
        if matches!(&name[..], b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(Malformed("a name is not plain"));
        }
        let kind = FileKind::ALL.get(from.u8()? as usize);
        let entry = Self {
            name,
            kind: *kind.ok_or(Malformed("an entry's kind is unknown"))?,
            mode: from.u32()?,
            uid: from.u32()?,
            gid: from.u32()?,
            size: from.u64()?,
            allocated: from.u64()?,
            atime: decode_moment(from)?,
            mtime: decode_moment(from)?,
            ctime: decode_moment(from)?,
            inode: from.u64()?,
            device_id: from.u64()?,
            links: from.u64()?,
            device: from.u64()?,
            link_target: from.optional(TARGET_BYTES_MAX)?,
            attributes: from.list(ATTRIBUTES_MAX, decode_attribute)?,
        };
        entry.checked()
    }

    fn checked(self) -> Result<Self, Malformed> {
        if self.mode & !0o7777 != 0 {
            return Err(Malformed("a mode has unknown bits"));
        }
        if self.size > i64::MAX as u64 {
            return Err(Malformed("a size is beyond what a file can have"));
        }
        match (self.kind, &self.link_target) {
            (FileKind::Symlink, Some(target)) if is_link_target(target) => Ok(self),
            (FileKind::Symlink, _) => Err(Malformed("a link leads nowhere")),
            (_, Some(_)) => Err(Malformed("what is no link has a target")),
            (_, None) => Ok(self),
        }
    }
}

fn is_link_target(target: &[u8]) -> bool {
    !target.is_empty() && !target.contains(&0)
}

fn decode_moment(from: &mut Decoder<'_>) -> Result<Moment, Malformed> {
    let moment = Moment {
        seconds: from.u64()? as i64,
        nanoseconds: from.u32()?,
    };
    if moment.nanoseconds >= NANOSECONDS {
        return Err(Malformed("a time has more than a second of nanoseconds"));
    }
    Ok(moment)
}

fn decode_attribute(from: &mut Decoder<'_>) -> Result<Attribute, Malformed> {
    let attribute = Attribute {
        name: from.string(NAME_BYTES_MAX)?,
        value: from.string(VALUE_BYTES_MAX)?,
    };
    if attribute.name.is_empty() || attribute.name.contains(&0) {
        return Err(Malformed("an attribute has no plain name"));
    }
    Ok(attribute)
}
