//! The block devices of the rescue VM, as the kernel lists them.

use std::fs;
use std::path::{Path, PathBuf};

use super::partition;
use crate::wire::VolumePlace;

const BLOCK: &str = "/sys/block";
const SECTOR_BYTES: u64 = 512;
/// Disks carry their number in the serial.
const SERIAL: &str = "disk";

/// A disk, partition or logical volume.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) place: VolumePlace,
    /// Its file below `/dev`.
    pub(super) node: PathBuf,
    pub(super) size: u64,
    /// What a partition's table calls it; may be empty.
    pub(super) partition_uuid: String,
    pub(super) partition_label: String,
}

/// All disks in their order, each followed by its partitions.
pub(super) fn disks() -> Vec<Device> {
    let mut devices = Vec::new();
    for folder in entries(Path::new(BLOCK)) {
        let number = text(&folder, "serial")
            .strip_prefix(SERIAL)
            .and_then(|number| number.parse::<u32>().ok());
        let Some(disk) = number else { continue };
        let whole = device(&folder, VolumePlace::Disk(disk));
        let names = partition::names(&whole.node);
        devices.push(whole);
        for below in entries(&folder) {
            let Ok(number) = text(&below, "partition").parse::<u32>() else {
                continue;
            };
            let named = names.iter().find(|it| it.number == number);
            let (uuid, label) =
                named.map_or_else(Default::default, |it| (it.uuid.clone(), it.label.clone()));
            devices.push(Device {
                partition_uuid: uuid,
                partition_label: label,
                ..device(&below, VolumePlace::Partition { disk, number })
            });
        }
    }
    devices.sort_by_key(|device| match device.place {
        VolumePlace::Disk(disk) => (disk, 0),
        VolumePlace::Partition { disk, number } => (disk, number),
        VolumePlace::Logical { .. } => (u32::MAX, 0),
    });
    devices
}

/// All logical volumes that are active, by name; not what they are built of.
pub(super) fn logical_volumes() -> Vec<Device> {
    let mapped = entries(Path::new(BLOCK)).into_iter().filter_map(|folder| {
        let uuid = text(&folder, "dm/uuid");
        // LVM's own parts have a word behind the two UUIDs of 32 letters.
        let is_whole = uuid
            .strip_prefix("LVM-")
            .is_some_and(|rest| rest.len() == 64);
        let (group, name) = split_name(&text(&folder, "dm/name"))?;
        is_whole.then(|| device(&folder, VolumePlace::Logical { group, name }))
    });
    let mut devices: Vec<_> = mapped.collect();
    devices.sort_by_cached_key(|device| format!("{:?}", device.place));
    devices
}

fn device(folder: &Path, place: VolumePlace) -> Device {
    let name = folder.file_name().unwrap_or_default();
    let sectors: u64 = text(folder, "size").parse().unwrap_or(0);
    Device {
        place,
        node: Path::new("/dev").join(name),
        size: sectors.saturating_mul(SECTOR_BYTES),
        partition_uuid: String::new(),
        partition_label: String::new(),
    }
}

/// `my--group-data` is `data` in `my-group`: one hyphen parts them, two are one.
pub(super) fn split_name(mapped: &str) -> Option<(String, String)> {
    let bytes = mapped.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'-', Some(b'-')) => at += 2,
            (b'-', Some(_)) => {
                let plain = |text: &str| text.replace("--", "-");
                return Some((plain(&mapped[..at]), plain(&mapped[at + 1..])));
            }
            _ => at += 1,
        }
    }
    None
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn text(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_logical_volumes_are_taken_apart() {
        let of = |group: &str, name: &str| Some((group.to_owned(), name.to_owned()));
        assert_eq!(split_name("vg-root"), of("vg", "root"));
        assert_eq!(split_name("my--vg-da--ta"), of("my-vg", "da-ta"));
        assert_eq!(split_name("plain"), None);
        assert_eq!(split_name("a--b"), None);
    }
}
