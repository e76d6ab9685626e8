//! qcow2 images: the header, the tables, the bitmaps.
//!
//! The input is the image file; a last byte from 128 to 155 stands for a hole that follows it,
//! of that power of two bytes, so that tables far behind the input are inside the file.

use std::path::Path;

use lifeboat_disk::{DiskReader, InUsePolicy, OpenOptions, Qcow2Disk, Qcow2Image};

use crate::memory_file::with_file;

/// Answers of `next_extent` that are asked for: the map of a hostile image can be endless.
const EXTENTS_MAX: usize = 256;
/// Bytes that are read in one go.
const READ_BYTES: u64 = 50_000;
/// Largest hole behind an input, as a power of two: 128 MiB.
const HOLE_BITS_MAX: u32 = 27;

/// Every field of the header that can be asked for.
pub(crate) fn header(input: &[u8]) {
    with_image(input, |path| {
        if let Ok(image) = Qcow2Image::open(path) {
            assert!(image.size() <= i64::MAX.cast_unsigned());
            assert!((512..=2 << 20).contains(&image.cluster_size()));
            drop((image.backing(), image.data_file()));
            drop(image.snapshots());
            drop(image.bitmaps());
        }
    });
}

/// The whole map as far as it is short, and reads all over the disk.
pub(crate) fn image(input: &[u8]) {
    with_image(input, |path| {
        for snapshot in [None, Some("1".to_owned())] {
            let options = OpenOptions {
                in_use: InUsePolicy::Allow,
                internal_snapshot: snapshot,
                ..OpenOptions::default()
            };
            if let Ok(disk) = Qcow2Disk::open(path, &options) {
                read_map(&disk);
                read_some(&disk);
            }
        }
    });
}

/// Every bitmap with its content.
pub(crate) fn bitmaps(input: &[u8]) {
    with_image(input, |path| {
        let Ok(image) = Qcow2Image::open(path) else {
            return;
        };
        for bitmap in image.bitmaps().unwrap_or_default().iter().take(4) {
            let Ok(changed) = image.read_bitmap(&bitmap.name) else {
                continue;
            };
            let end = changed.iter().last().map_or(0, |extent| extent.end());
            assert!(end <= image.size(), "changes end with the disk");
        }
    });
}

fn with_image(input: &[u8], work: impl FnOnce(&Path)) {
    let hole = match input.last() {
        Some(byte) if (128..=128 + HOLE_BITS_MAX as u8).contains(byte) => 1 << (byte - 128),
        _ => 0,
    };
    with_file(input, hole, work);
}

fn read_map(disk: &Qcow2Disk) {
    let mut at = 0;
    for _ in 0..EXTENTS_MAX {
        if at >= disk.size() {
            assert!(disk.next_extent(at).is_err());
            break;
        }
        match disk.next_extent(at) {
            Ok(next) => {
                assert_eq!(next.extent.start(), at, "maps have no gaps");
                assert!(next.extent.end() <= disk.size(), "maps end with the disk");
                at = next.extent.end();
            }
            Err(_) => at = at.saturating_add(65_536),
        }
    }
}

fn read_some(disk: &Qcow2Disk) {
    let mut buffer = vec![0; READ_BYTES as usize];
    let last = disk.size().saturating_sub(READ_BYTES);
    for offset in [0, READ_BYTES, last / 2, last] {
        let length = READ_BYTES.min(disk.size().saturating_sub(offset)) as usize;
        drop(disk.read_at(offset, &mut buffer[..length]));
    }
    assert!(disk.read_at(disk.size(), &mut [0]).is_err());
}
