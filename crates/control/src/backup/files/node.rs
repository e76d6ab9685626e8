//! An entry inside a machine as a node of a snapshot.

use jiff::Timestamp;
use lifeboat_format::{ExtendedAttribute, GoTime, Node, NodeKind};
use lifeboat_rescue::wire::{Entry, FileKind, Moment};

/// Go's bits of a mode, for those of the system and for kinds.
const SPECIAL_BITS: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
const DEVICE: u32 = 1 << 26;
const CHAR_DEVICE: u32 = 1 << 21;

/// The node without content or subtree, and what of the entry does not fit into one; nothing for
/// what Linux has no kind for.
///
/// The time of access is that of the change, as in restic's own: else every read is a change.
pub(super) fn node(entry: &Entry) -> Option<(Node, Vec<String>)> {
    let (kind, bits) = match entry.kind {
        FileKind::File => (NodeKind::File, 0),
        FileKind::Folder => (NodeKind::Dir, 1 << 31),
        FileKind::Symlink => (NodeKind::Symlink, 1 << 27),
        FileKind::BlockDevice => (NodeKind::BlockDevice, DEVICE),
        FileKind::CharDevice => (NodeKind::CharDevice, DEVICE | CHAR_DEVICE),
        FileKind::Fifo => (NodeKind::Fifo, 1 << 25),
        FileKind::Socket => (NodeKind::Socket, 1 << 24),
        FileKind::Other => return None,
    };
    let special = SPECIAL_BITS.iter().filter(|(bit, _)| entry.mode & bit != 0);
    let mtime = time(entry.mtime);
    let mut node = Node {
        mode: special.fold(bits | entry.mode & 0o777, |mode, (_, go)| mode | go),
        mtime,
        atime: mtime,
        ctime: time(entry.ctime),
        uid: entry.uid,
        gid: entry.gid,
        inode: entry.inode,
        links: entry.links,
        size: entry.size,
        device: entry.device,
        ..Node::new(&entry.name, kind)
    };
    if entry.links > 1 && kind != NodeKind::Dir {
        // Only further names need it, and it is a number of the rescue VM.
        node.device_id = entry.device_id;
    }
    match entry
        .link_target
        .as_deref()
        .map(|raw| (raw, str::from_utf8(raw)))
    {
        Some((_, Ok(text))) => node.linktarget = text.to_owned(),
        Some((raw, Err(_))) => node.linktarget_raw = Some(raw.to_vec()),
        None => {}
    }
    let mut faults = Vec::new();
    for attribute in &entry.attributes {
        match String::from_utf8(attribute.name.clone()) {
            Ok(name) => node.extended_attributes.push(ExtendedAttribute {
                name,
                value: Some(attribute.value.clone()),
            }),
            Err(_) => faults.push("an attribute whose name is no text is left out".to_owned()),
        }
    }
    Some((node, faults))
}

/// Times beyond what a node can say become the nearest.
fn time(moment: Moment) -> GoTime {
    let edge = match moment.seconds < 0 {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    };
    let nanoseconds = i32::try_from(moment.nanoseconds).unwrap_or(0);
    Timestamp::new(moment.seconds, nanoseconds)
        .unwrap_or(edge)
        .into()
}
