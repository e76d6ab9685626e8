//! What lies on a device: told by its magic numbers.
//!
//! Source: each format's own description of its superblock; offsets as in libblkid's lists.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// All marks lie in the first bytes.
const HEAD_BYTES: usize = 68 << 10;
const BTRFS: usize = 64 << 10;
const EXT: usize = 1024;
/// Feature bits of ext: a journal; and those only ext4 knows.
const HAS_JOURNAL: u32 = 0x4;
const EXT4_INCOMPATIBLE: u32 = 0x2c0;
const EXT4_READ_ONLY: u32 = 0x478;

/// A kind of content and its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Probed {
    /// As in `ext4`; empty if unknown.
    pub(super) content: &'static str,
    pub(super) label: String,
    pub(super) uuid: String,
}

/// Looks at a device; an unreadable one is unknown.
pub(super) fn probe(device: &Path) -> Probed {
    let mut head = Vec::new();
    if let Ok(file) = File::open(device) {
        head.resize(HEAD_BYTES, 0);
        let mut filled = 0;
        while let Ok(length @ 1..) = file.read_at(&mut head[filled..], filled as u64) {
            filled += length;
        }
    }
    of_head(&head)
}

/// Stronger marks first: a reformatted disk may still carry weak ones.
fn of_head(head: &[u8]) -> Probed {
    let readers = [
        luks, logical, raid, bit_locker, xfs, btrfs, ext, swap, ntfs, exfat, iso, fat,
    ];
    let mut found = readers.iter().filter_map(|reader| reader(head));
    found.next().unwrap_or_default()
}

fn luks(head: &[u8]) -> Option<Probed> {
    let is_there = has(head, 0, b"LUKS\xba\xbe");
    is_there.then(|| probed("crypto_LUKS", String::new(), text(head, 168, 40)))
}

fn bit_locker(head: &[u8]) -> Option<Probed> {
    has(head, 3, b"-FVE-FS-").then(|| probed("BitLocker", String::new(), String::new()))
}

fn logical(head: &[u8]) -> Option<Probed> {
    let sectors = [0, 512, 1024, 1536];
    let at = sectors.into_iter().find(|at| has(head, *at, b"LABELONE"))?;
    if !has(head, at + 24, b"LVM2 001") {
        return None;
    }
    let inside = u32_at(head, at + 20)? as usize;
    Some(probed(
        "LVM2_member",
        String::new(),
        text(head, at + inside, 32),
    ))
}

fn raid(head: &[u8]) -> Option<Probed> {
    let magic = [0xfc, 0x4e, 0x2b, 0xa9];
    let is_there = has(head, 0, &magic) || has(head, 4096, &magic);
    is_there.then(|| probed("linux_raid_member", String::new(), String::new()))
}

fn xfs(head: &[u8]) -> Option<Probed> {
    has(head, 0, b"XFSB").then(|| probed("xfs", text(head, 108, 12), uuid(head, 32)))
}

fn btrfs(head: &[u8]) -> Option<Probed> {
    let is_there = has(head, BTRFS + 0x40, b"_BHRfS_M");
    is_there.then(|| {
        let label = text(head, BTRFS + 0x12b, 256);
        probed("btrfs", label, uuid(head, BTRFS + 0x20))
    })
}

fn ext(head: &[u8]) -> Option<Probed> {
    if !has(head, EXT + 0x38, &[0x53, 0xef]) {
        return None;
    }
    let compatible = u32_at(head, EXT + 0x5c)?;
    let incompatible = u32_at(head, EXT + 0x60)?;
    let read_only = u32_at(head, EXT + 0x64)?;
    let content = match compatible & HAS_JOURNAL != 0 {
        _ if incompatible & EXT4_INCOMPATIBLE != 0 || read_only & EXT4_READ_ONLY != 0 => "ext4",
        true => "ext3",
        false => "ext2",
    };
    let label = text(head, EXT + 0x78, 16);
    Some(probed(content, label, uuid(head, EXT + 0x68)))
}

fn swap(head: &[u8]) -> Option<Probed> {
    let is_there = has(head, 4096 - 10, b"SWAPSPACE2");
    is_there.then(|| probed("swap", text(head, 0x41c, 16), uuid(head, 0x40c)))
}

fn ntfs(head: &[u8]) -> Option<Probed> {
    if !has(head, 3, b"NTFS    ") {
        return None;
    }
    let serial = u64::from_le_bytes(head.get(0x48..0x50)?.try_into().ok()?);
    Some(probed("ntfs", String::new(), format!("{serial:016X}")))
}

fn exfat(head: &[u8]) -> Option<Probed> {
    let is_there = has(head, 3, b"EXFAT   ");
    is_there.then(|| probed("exfat", String::new(), serial(head, 0x64)))
}

fn iso(head: &[u8]) -> Option<Probed> {
    let is_there = has(head, 0x8001, b"CD001");
    is_there.then(|| probed("iso9660", text(head, 0x8028, 32), String::new()))
}

fn fat(head: &[u8]) -> Option<Probed> {
    if !has(head, 510, &[0x55, 0xaa]) {
        return None;
    }
    let (serial_at, label_at) = if has(head, 0x52, b"FAT32   ") {
        (0x43, 0x47)
    } else if has(head, 0x36, b"FAT12   ") || has(head, 0x36, b"FAT16   ") {
        (0x27, 0x2b)
    } else {
        return None;
    };
    let label = match text(head, label_at, 11) {
        label if label == "NO NAME" => String::new(),
        label => label,
    };
    Some(probed("vfat", label, serial(head, serial_at)))
}

fn probed(content: &'static str, label: String, uuid: String) -> Probed {
    Probed {
        content,
        label,
        uuid,
    }
}

fn has(head: &[u8], at: usize, mark: &[u8]) -> bool {
    head.get(at..).is_some_and(|rest| rest.starts_with(mark))
}

fn u32_at(head: &[u8], at: usize) -> Option<u32> {
    let bytes = head.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Up to the first zero, without spaces at the end.
fn text(head: &[u8], at: usize, bytes_max: usize) -> String {
    let rest = head.get(at..).unwrap_or_default();
    let field = &rest[..rest.len().min(bytes_max)];
    let end = field.iter().position(|byte| *byte == 0);
    let field = &field[..end.unwrap_or(field.len())];
    String::from_utf8_lossy(field).trim_end().to_owned()
}

fn uuid(head: &[u8], at: usize) -> String {
    let Some(bytes) = head.get(at..at + 16) else {
        return String::new();
    };
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
    let groups = [0..4, 4..6, 6..8, 8..10, 10..16].map(|group| hex(&bytes[group]));
    groups.join("-")
}

/// Two numbers of 16 bits, the higher first.
fn serial(head: &[u8], at: usize) -> String {
    let Some(number) = u32_at(head, at) else {
        return String::new();
    };
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_can_be_looked_at() {
        assert_eq!(of_head(&[]), Probed::default());
        let mut head = vec![0xff; HEAD_BYTES];
        assert_eq!(of_head(&head), Probed::default());
        head[..8].copy_from_slice(b"LABELONE");
        head[24..32].copy_from_slice(b"LVM2 001");
        assert_eq!(of_head(&head).content, "LVM2_member");
        for length in [8, 31, 100, 1100, 5000] {
            drop(of_head(&head[..length]));
        }
    }
}
