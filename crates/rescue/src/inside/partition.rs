//! What partition tables call their partitions. The kernel finds the partitions themselves.
//!
//! Source: UEFI specification 2.10, section 5.3; the identifier of older tables as Linux forms
//! it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// More entries than this no table of a real machine has.
const ENTRIES_MAX: u32 = 1024;
const SECTOR_SIZES: [u64; 2] = [512, 4096];

/// What a table says of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// From 1.
    pub(super) number: u32,
    pub(super) uuid: String,
    pub(super) label: String,
}

/// Reads a disk's table; nothing if it has none, or a broken one.
pub(super) fn names(disk: &Path) -> Vec<Named> {
    let Ok(file) = File::open(disk) else {
        return Vec::new();
    };
    let read = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    };
    let with_header = SECTOR_SIZES.iter().find_map(|size| of_gpt(&read, *size));
    with_header
        .or_else(|| of_mbr(&read(0, 512)?))
        .unwrap_or_default()
}

fn of_gpt(read: &impl Fn(u64, usize) -> Option<Vec<u8>>, sector_bytes: u64) -> Option<Vec<Named>> {
    let header = read(sector_bytes, 512)?;
    if !header.starts_with(b"EFI PART") {
        return None;
    }
    let start = u64::from_le_bytes(header[72..80].try_into().ok()?);
    let count = u32::from_le_bytes(header[80..84].try_into().ok()?).min(ENTRIES_MAX);
    let size = u32::from_le_bytes(header[84..88].try_into().ok()?) as usize;
    if !(128..=4096).contains(&size) {
        return None;
    }
    let table = read(start.checked_mul(sector_bytes)?, size * count as usize)?;
    let entries = (1..).zip(table.chunks_exact(size));
    let used = entries.filter(|(_, entry)| entry[..16].iter().any(|byte| *byte != 0));
    Some(
        used.map(|(number, entry)| gpt_entry(number, entry))
            .collect(),
    )
}

fn gpt_entry(number: u32, entry: &[u8]) -> Named {
    let units = entry[56..128].chunks_exact(2);
    let label: Vec<u16> = units
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    Named {
        number,
        uuid: mixed_uuid(&entry[16..32]),
        label: String::from_utf16_lossy(&label),
    }
}

/// The first three groups are numbers, least byte first.
fn mixed_uuid(bytes: &[u8]) -> String {
    let hex = |places: &[usize]| -> String {
        places
            .iter()
            .map(|at| format!("{:02x}", bytes[*at]))
            .collect()
    };
    format!(
        "{}-{}-{}-{}-{}",
        hex(&[3, 2, 1, 0]),
        hex(&[5, 4]),
        hex(&[7, 6]),
        hex(&[8, 9]),
        hex(&[10, 11, 12, 13, 14, 15])
    )
}

fn of_mbr(sector: &[u8]) -> Option<Vec<Named>> {
    if sector.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let disk = u32::from_le_bytes(sector[440..444].try_into().ok()?);
    let named = (1..=64).map(|number| Named {
        number,
        uuid: format!("{disk:08x}-{number:02x}"),
        label: String::new(),
    });
    Some(named.collect())
}
