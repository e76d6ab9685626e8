//! Modules: which are packed for what, and loading them.

use std::fs::{self, File};

use rustix::io::Errno;

use super::places::{MODULE_ORDER, MODULES};

/// For the channel and the disks.
pub(super) const BOOT: [&str; 3] = ["virtio_pci", "virtio_console", "virtio_blk"];
/// For logical volumes: plain, snapshots, thin, mirrored, cached.
pub(super) const LOGICAL: [&str; 7] = [
    CHECKSUM,
    "dm_mod",
    "dm_snapshot",
    "dm_thin_pool",
    "dm_mirror",
    "dm_cache_smq",
    "dm_writecache",
];
/// For logical volumes over several disks with parity. It measures the processor for a second
/// when it is loaded, so only where it is needed.
pub(super) const RAID: [&str; 1] = ["dm_raid"];
/// A kernel elsewhere loads it by itself when others ask for the checksum; here it must be first.
const CHECKSUM: &str = "crc32c_generic";

/// Always packed.
pub(crate) const ALWAYS: [&str; 12] = [
    BOOT[0], BOOT[1], BOOT[2], LOGICAL[0], LOGICAL[1], LOGICAL[2], LOGICAL[3], LOGICAL[4],
    LOGICAL[5], LOGICAL[6], RAID[0], "fuse",
];

/// What each kind of file system needs, in order, the file system itself last.
pub(crate) const FILE_SYSTEMS: [(&str, &[&str]); 7] = [
    ("ext4", &[CHECKSUM, "ext4"]),
    ("xfs", &[CHECKSUM, "xfs"]),
    (
        "btrfs",
        &[
            CHECKSUM,
            "xxhash_generic",
            "blake2b_generic",
            "sha256_generic",
            "btrfs",
        ],
    ),
    ("ntfs3", &["ntfs3"]),
    (
        "vfat",
        &[
            "nls_cp437",
            "nls_ascii",
            "nls_iso8859_1",
            "nls_utf8",
            "vfat",
        ],
    ),
    ("exfat", &["nls_utf8", "exfat"]),
    ("iso9660", &["isofs"]),
];

/// Loads modules with what they need; those that the kernel has built in, or lacks, are passed
/// over: what uses them fails with the better error.
pub(super) fn load(names: &[&str]) {
    let order = fs::read_to_string(MODULE_ORDER).unwrap_or_default();
    for name in names {
        let mut lines = order.lines().map(str::split_whitespace);
        let line = lines.find(|words| words.clone().next() == Some(name));
        let before = line.into_iter().flat_map(|words| words.skip(1));
        for module in before.chain([*name]) {
            load_one(module);
        }
    }
}

/// Loads what a kind of file system needs.
pub(super) fn load_for(file_system: &str) {
    let known = FILE_SYSTEMS.iter().find(|(name, _)| *name == file_system);
    if let Some((_, names)) = known {
        load(names);
    }
}

fn load_one(name: &str) {
    let Ok(image) = File::open(format!("{MODULES}/{name}")) else {
        return;
    };
    match rustix::system::finit_module(&image, c"", 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => eprintln!("module {name}: {error}"),
    }
}
