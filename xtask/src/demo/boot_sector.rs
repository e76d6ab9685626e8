//! Sector 0 of the demo's disk and what follows it: a partition table and GRUB.
//!
//! GRUB's `boot.img` loads sector 1 by default, and its core image, when it begins there, finds
//! the rest of itself behind: so both are simply written to their places, without a mount, a loop
//! device or `grub-install`. Source: GRUB's manual, "Images" and "BIOS installation".

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

const SECTOR_BYTES: usize = 512;
/// Where the one partition begins; GRUB lies in the gap before it.
pub(crate) const PARTITION_START: u64 = 1024 * 1024;
/// Code may fill the sector up to here; the disk's signature and the table follow.
const CODE_BYTES: usize = 440;
const TABLE_START: usize = 446;
const LINUX: u8 = 0x83;
const ACTIVE: u8 = 0x80;
/// "See the sector numbers": for heads and cylinders that no disk has any more.
const NO_GEOMETRY: [u8; 3] = [0xfe, 0xff, 0xff];

/// GRUB's modules that the disk needs before it can read its own configuration.
const MODULES: [&str; 7] = [
    "biosdisk",
    "part_msdos",
    "ext2",
    "search_label",
    "linux",
    "configfile",
    "normal",
];
const GRUB_FOLDER: &str = "/usr/lib/grub/i386-pc";

/// Makes a disk bootable whose only partition begins at `PARTITION_START`.
pub(crate) fn write(disk: &Path, disk_bytes: u64, work: &Path) -> Result<()> {
    let code = fs::read(Path::new(GRUB_FOLDER).join("boot.img")).context("reading boot.img")?;
    let core = core_image(work)?;
    let gap = usize::try_from(PARTITION_START)? - SECTOR_BYTES;
    ensure!(
        core.len() <= gap,
        "GRUB's core image does not fit before the partition"
    );
    let mut file = OpenOptions::new()
        .write(true)
        .open(disk)
        .context("opening the disk")?;
    file.write_all(&sector(&code, disk_bytes)?)
        .context("writing the boot sector")?;
    file.write_all(&core).context("writing GRUB's core image")
}

fn core_image(work: &Path) -> Result<Vec<u8>> {
    let (settings, core) = (work.join("grub-early.cfg"), work.join("core.img"));
    fs::write(&settings, include_str!("../../guest/grub-early.cfg"))?;
    let mut command = Command::new("grub-mkimage");
    command
        .args(["-O", "i386-pc", "-p", "/boot/grub", "-c"])
        .arg(&settings);
    process::quiet(command.arg("-o").arg(&core).args(MODULES))?;
    let image = fs::read(&core).context("reading GRUB's core image")?;
    fs::remove_file(&settings)?;
    fs::remove_file(&core)?;
    Ok(image)
}

/// Boot code, the table with one active Linux partition, and the signature.
fn sector(code: &[u8], disk_bytes: u64) -> Result<[u8; SECTOR_BYTES]> {
    let code = code.get(..CODE_BYTES).context("boot.img is too short")?;
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR_BYTES as u64);
    let first = sectors(PARTITION_START)?;
    let count = sectors(disk_bytes)?
        .checked_sub(first)
        .context("the disk is too small")?;
    let mut sector = [0; SECTOR_BYTES];
    sector[..CODE_BYTES].copy_from_slice(code);
    let entry = &mut sector[TABLE_START..TABLE_START + 16];
    entry[0] = ACTIVE;
    entry[1..4].copy_from_slice(&NO_GEOMETRY);
    entry[4] = LINUX;
    entry[5..8].copy_from_slice(&NO_GEOMETRY);
    entry[8..12].copy_from_slice(&first.to_le_bytes());
    entry[12..16].copy_from_slice(&count.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(sector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_fills_the_disk_behind_the_gap() {
        let sector = sector(&[7; 512], 64 * 1024 * 1024).unwrap();
        assert_eq!(sector[..440], [7; 440]);
        assert_eq!(sector[446], 0x80);
        assert_eq!(sector[454..458], 2048_u32.to_le_bytes());
        assert_eq!(sector[458..462], (131_072_u32 - 2048).to_le_bytes());
        assert_eq!(sector[462..510], [0; 48]);
    }

    #[test]
    fn a_disk_without_room_is_refused() {
        assert!(sector(&[7; 512], 512).is_err());
        assert!(sector(&[7; 100], 64 * 1024 * 1024).is_err());
    }
}
