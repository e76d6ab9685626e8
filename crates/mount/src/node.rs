//! Inodes that the kernel holds, under numbers of our own.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use lifeboat_rescue::wire::{Entry, FileKind, Moment};

/// The number that the kernel gives the top.
pub(crate) const TOP: u64 = 1;
const BLOCK_BYTES: u64 = 512;
/// What programs are told to read at once.
const ADVISED_BYTES: u32 = 128 << 10;

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A folder of our own, by number.
    Own(usize),
    /// Below a root, by number: nothing, or a slash and the rest.
    Inside(usize, Vec<u8>),
}

/// What makes two names one file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    /// Files with several names: device and inode inside.
    Linked(u64, u64),
    /// Everything else, folders above all: a folder in two places would be a lie of the disk.
    Placed(Place),
}

/// What is kept of an entry: everything but its name and its attributes.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) attr: FileAttr,
    pub(crate) link_target: Option<Box<[u8]>>,
    pub(crate) has_attributes: bool,
    /// Device and inode inside, of what has several names.
    linked: Option<(u64, u64)>,
}

impl Facts {
    /// None for what Linux has no kind for.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let kind = match entry.kind {
            FileKind::File => FileType::RegularFile,
            FileKind::Folder => FileType::Directory,
            FileKind::Symlink => FileType::Symlink,
            FileKind::BlockDevice => FileType::BlockDevice,
            FileKind::CharDevice => FileType::CharDevice,
            FileKind::Fifo => FileType::NamedPipe,
            FileKind::Socket => FileType::Socket,
            FileKind::Other => return None,
        };
        let target = entry.link_target.as_deref();
        let attr = FileAttr {
            ino: INodeNo(0),
            size: target.map_or(entry.size, |target| target.len() as u64),
            blocks: entry.allocated / BLOCK_BYTES,
            atime: time(entry.atime),
            mtime: time(entry.mtime),
            ctime: time(entry.ctime),
            crtime: UNIX_EPOCH,
            kind,
            perm: entry.mode as u16,
            nlink: u32::try_from(entry.links).unwrap_or(u32::MAX),
            uid: entry.uid,
            gid: entry.gid,
            rdev: entry.device as u32,
            blksize: ADVISED_BYTES,
            flags: 0,
        };
        let is_linked = entry.links > 1 && kind != FileType::Directory;
        Some(Self {
            attr,
            link_target: target.map(Into::into),
            has_attributes: !entry.attributes.is_empty(),
            linked: is_linked.then_some((entry.device_id, entry.inode)),
        })
    }

    /// A folder of our own, that anybody may read.
    pub(crate) fn own() -> Self {
        Self {
            attr: FileAttr {
                ino: INodeNo(0),
                size: 0,
                blocks: 0,
                atime: UNIX_EPOCH,
                mtime: UNIX_EPOCH,
                ctime: UNIX_EPOCH,
                crtime: UNIX_EPOCH,
                kind: FileType::Directory,
                perm: 0o555,
                nlink: 2,
                uid: 0,
                gid: 0,
                rdev: 0,
                blksize: ADVISED_BYTES,
                flags: 0,
            },
            link_target: None,
            has_attributes: false,
            linked: None,
        }
    }
}

/// Times beyond what the host can say become the beginning of time.
fn time(moment: Moment) -> SystemTime {
    let whole = Duration::from_secs(moment.seconds.unsigned_abs());
    let second = match moment.seconds < 0 {
        true => UNIX_EPOCH.checked_sub(whole),
        false => UNIX_EPOCH.checked_add(whole),
    };
    let rest = Duration::from_nanos(moment.nanoseconds.into());
    second
        .and_then(|it| it.checked_add(rest))
        .unwrap_or(UNIX_EPOCH)
}

/// An inode that the kernel holds.
#[derive(Debug)]
pub(crate) struct Node {
    identity: Identity,
    /// One of its places.
    pub(crate) place: Place,
    pub(crate) facts: Facts,
    /// How often the kernel was given it.
    lookups: u64,
}

/// All inodes that the kernel holds.
///
/// Numbers are made of places with a secret of this process: the same file has the same number
/// after the kernel forgot it, and no disk can aim at a number that another file has.
#[derive(Debug)]
pub(crate) struct Nodes {
    held: HashMap<u64, Node>,
    secret: RandomState,
}

impl Nodes {
    /// With the top, which is never forgotten.
    pub(crate) fn with_top(place: Place, mut facts: Facts) -> Self {
        facts.attr.ino = INodeNo(TOP);
        let top = Node {
            identity: Identity::Placed(place.clone()),
            place,
            facts,
            lookups: 1,
        };
        Self {
            held: HashMap::from([(TOP, top)]),
            secret: RandomState::new(),
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Node> {
        self.held.get(&number)
    }

    /// The number that something at a place has or would get.
    pub(crate) fn number(&self, place: &Place, facts: &Facts) -> u64 {
        self.number_of(&identity(place, facts))
    }

    fn number_of(&self, identity: &Identity) -> u64 {
        if self.held[&TOP].identity == *identity {
            return TOP;
        }
        let mut number = self.secret.hash_one(identity);
        loop {
            // 0 means "none" to the kernel.
            let is_free = number > TOP
                && self
                    .held
                    .get(&number)
                    .is_none_or(|node| node.identity == *identity);
            if is_free {
                return number;
            }
            number = number.wrapping_add(1);
        }
    }

    /// Counts that the kernel is given something; gives its description with its number.
    pub(crate) fn hold(&mut self, place: Place, mut facts: Facts) -> FileAttr {
        let identity = identity(&place, &facts);
        let number = self.number_of(&identity);
        facts.attr.ino = INodeNo(number);
        let attr = facts.attr;
        let lookups = self.held.get(&number).map_or(0, |node| node.lookups) + 1;
        let node = Node {
            identity,
            place,
            facts,
            lookups,
        };
        self.held.insert(number, node);
        attr
    }

    /// The kernel gives `count` of its lookups back.
    pub(crate) fn forget(&mut self, number: u64, count: u64) {
        let Some(node) = self.held.get_mut(&number).filter(|_| number != TOP) else {
            return;
        };
        node.lookups = node.lookups.saturating_sub(count);
        if node.lookups == 0 {
            self.held.remove(&number);
        }
    }
}

fn identity(place: &Place, facts: &Facts) -> Identity {
    match facts.linked {
        Some((device, inode)) => Identity::Linked(device, inode),
        None => Identity::Placed(place.clone()),
    }
}
