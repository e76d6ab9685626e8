//! Volumes as the caller sees them: with names made of the machine's own.

use super::settings::Disk;
use crate::wire::{FoundVolume, VolumePlace};

/// A partition, a logical volume, or a whole disk with a file system on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `vda`, `vda1`, `nvme0n1p1`, `group/name`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Kind of its content, as in `ext4`, `LVM2_member`, `swap`; empty if unknown.
    pub content: String,
    /// Label of its file system; may be empty.
    pub label: String,
    /// UUID of its file system; may be empty.
    pub uuid: String,
    /// Its files can be read.
    pub is_readable: bool,
    /// Where its files appear in the system's own tree, as in `/boot`.
    pub mounted_at: Option<String>,
    /// Drive letter of Windows, by order.
    pub letter: Option<char>,
    /// What is worth knowing, as why it cannot be read; may be empty.
    pub note: String,
}

impl Volume {
    pub(super) fn of(found: FoundVolume, disks: &[Disk]) -> Self {
        let disk_name = |number: u32| {
            let disk = disks.get(number as usize);
            disk.map_or_else(|| format!("disk{number}"), |disk| disk.name.clone())
        };
        let name = match found.place {
            VolumePlace::Disk(disk) => disk_name(disk),
            VolumePlace::Partition { disk, number } => {
                let disk = disk_name(disk);
                let between = if disk.ends_with(|it: char| it.is_ascii_digit()) {
                    "p"
                } else {
                    ""
                };
                format!("{disk}{between}{number}")
            }
            VolumePlace::Logical { group, name } => format!("{group}/{name}"),
        };
        Self {
            name,
            size: found.size,
            content: found.content,
            label: found.label,
            uuid: found.uuid,
            is_readable: found.is_readable,
            mounted_at: found.mounted_at,
            letter: found.letter,
            note: found.note,
        }
    }
}
