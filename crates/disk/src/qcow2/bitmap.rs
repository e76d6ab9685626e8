//! Persistent dirty bitmaps: what was written since the bitmap was made.
//!
//! Takes a bitmap's name, gives the changed extents; the set may be larger than the truth,
//! never smaller. A bitmap that may have missed a write is refused.
//!
//! Source: QEMU docs/interop/qcow2.txt, "Bitmaps"; limits of QEMU block/qcow2-bitmap.c.

use lifeboat_model::{ErrorKind, Extent, ExtentSet};

use crate::error::shown;
use crate::port::capped;
use crate::{Error, Result};

use super::fault::{Checked, Fault, require};
use super::field::{u16_at, u32_at, u64_at, u64s};
use super::geometry::OFFSET_MASK;
use super::header::BitmapsExtension;
use super::image::Qcow2Image;

/// Limits: of QEMU.
const BITMAPS_MAX: u32 = 65_535;
const DIRECTORY_SIZE_MAX: u64 = 64 << 20;
const NAME_LENGTH_MAX: usize = 1023;
const BITMAP_SIZE_MAX: u64 = 512 << 20;

/// Limit: separate ranges in one set, 16 bytes each; beyond it the set becomes coarser.
const EXTENTS_MAX: usize = 4 << 20;
/// Table entries that are in memory at once.
const TABLE_PIECE: u64 = 4096;

const HEAD_LENGTH: usize = 24;
const FLAG_IN_USE: u32 = 1;
const FLAG_AUTO: u32 = 2;
const FLAG_EXTRA_COMPATIBLE: u32 = 4;
const DIRTY_TRACKING: u8 = 1;

/// A persistent dirty bitmap in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qcow2Bitmap {
    /// Unique in the image.
    pub name: String,
    /// Bytes of the disk that one bit stands for.
    pub granularity: u64,
    /// Whether QEMU records further writes in it.
    pub is_recording: bool,
    /// Whether its content can be relied upon.
    pub fitness: BitmapFitness,
    table_offset: u64,
    table_entries: u32,
}

/// Whether a bitmap knows all writes since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitmapFitness {
    /// It does.
    Sound,
    /// It is in use by a QEMU, or was when that QEMU ended without saving it.
    InUse,
    /// Software that knows no bitmaps has written to the image.
    Outdated,
    /// Of a kind that is not known here.
    Foreign,
}

impl Qcow2Image {
    /// The persistent dirty bitmaps of the image.
    pub fn bitmaps(&self) -> Result<Vec<Qcow2Bitmap>> {
        let Some(extension) = self.header.bitmaps else {
            return Ok(Vec::new());
        };
        let doing = "reading the bitmaps of";
        let fits = (1..=BITMAPS_MAX).contains(&extension.count)
            && extension.directory_size <= DIRECTORY_SIZE_MAX;
        self.checked(
            doing,
            require(fits, "the bitmap directory has an impossible size"),
        )?;
        let mut directory = vec![0; capped(extension.directory_size, usize::MAX)];
        self.require_inside(extension.directory_offset, directory.len())?;
        self.file.read(extension.directory_offset, &mut directory)?;
        self.checked(doing, decode_directory(&directory, extension))
    }

    /// The extents that the bitmap marks as changed, widened to its granularity.
    ///
    /// Errors: `NotFound`; `Corrupt` if the bitmap may have missed writes: then take a full
    /// backup and replace the bitmap.
    ///
    /// Cost: the bitmap's clusters are read once; at most 64 MiB for the set.
    pub fn read_bitmap(&self, name: &str) -> Result<ExtentSet> {
        let bitmap = self
            .bitmaps()?
            .into_iter()
            .find(|bitmap| bitmap.name == name);
        let failed =
            |kind, seen: String| Error::new(kind, "reading a bitmap of", self.path()).seen(seen);
        let named = shown(name.as_bytes());
        let Some(bitmap) = bitmap else {
            return Err(failed(
                ErrorKind::NotFound,
                format!("no bitmap \"{named}\""),
            ));
        };
        if let Some(seen) = bitmap.fitness.refusal() {
            return Err(failed(
                ErrorKind::Corrupt,
                format!("bitmap \"{named}\" {seen}"),
            ));
        }
        self.read_content(&bitmap)
    }

    fn read_content(&self, bitmap: &Qcow2Bitmap) -> Result<ExtentSet> {
        let doing = "reading a bitmap of";
        let cluster_size = self.cluster_size();
        let bits = self.size().div_ceil(bitmap.granularity);
        let clusters = bits.div_ceil(8).div_ceil(cluster_size);
        let entries = u64::from(bitmap.table_entries);
        let fits = clusters == entries && entries.saturating_mul(cluster_size) <= BITMAP_SIZE_MAX;
        self.checked(
            doing,
            require(fits, "the bitmap's size does not fit the disk's"),
        )?;
        let aligned = self.header.geometry.is_aligned(bitmap.table_offset);
        self.checked(doing, require(aligned, "the bitmap's table is not aligned"))?;
        self.table_length(bitmap.table_offset, entries)?;
        let mut changed = Changed::new(bitmap.granularity, self.size());
        let mut done = 0;
        while done < entries {
            let count = TABLE_PIECE.min(entries - done);
            let piece = self.read_table(bitmap.table_offset + done * 8, count)?;
            for (index, entry) in (done..).zip(piece) {
                self.read_cluster(entry, index * cluster_size * 8, &mut changed)?;
            }
            done += count;
        }
        Ok(changed.set)
    }

    /// Adds one cluster of the bitmap, whose first bit has number `first`.
    fn read_cluster(&self, entry: u64, first: u64, changed: &mut Changed) -> Result<()> {
        let doing = "reading a bitmap of";
        let reserved = entry & !(OFFSET_MASK | 1);
        let offset = entry & OFFSET_MASK;
        let sound = reserved == 0 && (offset == 0 || entry & 1 == 0);
        self.checked(
            doing,
            require(sound, "a bitmap table entry has reserved bits"),
        )?;
        let bits = self.cluster_size() * 8;
        match (offset, entry & 1) {
            (0, 0) => Ok(()),
            (0, _) => {
                changed.add(first, bits);
                Ok(())
            }
            _ => {
                let aligned = self.header.geometry.is_aligned(offset);
                self.checked(doing, require(aligned, "a bitmap cluster is not aligned"))?;
                let mut cluster = vec![0; self.header.geometry.cluster_length()];
                self.require_inside(offset, cluster.len())?;
                self.file.read(offset, &mut cluster)?;
                changed.add_bits(first, &cluster);
                Ok(())
            }
        }
    }
}

impl BitmapFitness {
    fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Sound => None,
            Self::InUse => Some(
                "was not saved: a QEMU has it open or ended without saving it; take a full \
                 backup, and remove it with qemu-img bitmap --remove once no QEMU runs",
            ),
            Self::Outdated => Some(
                "is outdated: the image was written by software that knows no bitmaps; take a \
                 full backup and replace it",
            ),
            Self::Foreign => Some("is of a kind that is not known here; take a full backup"),
        }
    }
}

/// Collects changed ranges with bounded memory.
struct Changed {
    granularity: u64,
    size: u64,
    /// Ranges are widened to this; grows when there are too many.
    grain: u64,
    set: ExtentSet,
}

impl Changed {
    fn new(granularity: u64, size: u64) -> Self {
        Self {
            granularity,
            size,
            grain: granularity,
            set: ExtentSet::new(),
        }
    }

    /// Marks `count` bits from number `first` on; what lies behind the disk's end is cut.
    fn add(&mut self, first: u64, count: u64) {
        let start = first.saturating_mul(self.granularity);
        let end = first.saturating_add(count).saturating_mul(self.granularity);
        let start = start - start % self.grain;
        let end = end
            .checked_next_multiple_of(self.grain)
            .unwrap_or(u64::MAX)
            .min(self.size);
        let Some(extent) = Extent::new(start, end) else {
            return;
        };
        self.set.insert(extent);
        while self.set.count() > EXTENTS_MAX {
            self.grain = self.grain.saturating_mul(2);
            self.set = self.set.aligned(self.grain, self.size);
        }
    }

    /// Marks the set bits of `cluster`, joined to runs.
    ///
    /// Bits lie in bytes from the first to the last, low bits first: read as little-endian
    /// numbers, bit 0 comes first.
    fn add_bits(&mut self, first: u64, cluster: &[u8]) {
        let mut run: Option<(u64, u64)> = None;
        for (index, word) in (0..).zip(u64s(cluster)) {
            let mut word = word.swap_bytes();
            let base = first + index * 64;
            while word != 0 {
                let skip = u64::from(word.trailing_zeros());
                let count = u64::from((word >> skip).trailing_ones());
                run = match run {
                    Some((start, length)) if start + length == base + skip => {
                        Some((start, length + count))
                    }
                    earlier => {
                        earlier
                            .into_iter()
                            .for_each(|(start, length)| self.add(start, length));
                        Some((base + skip, count))
                    }
                };
                let used = skip + count;
                word = if used < 64 { word >> used << used } else { 0 };
            }
        }
        run.into_iter()
            .for_each(|(start, length)| self.add(start, length));
    }
}

fn decode_directory(mut rest: &[u8], extension: BitmapsExtension) -> Checked<Vec<Qcow2Bitmap>> {
    let mut bitmaps: Vec<Qcow2Bitmap> = Vec::new();
    for _ in 0..extension.count {
        let short = || Fault::corrupt("a bitmap directory entry is cut short");
        let (bitmap, length) = decode_entry(rest, extension.is_current)?;
        rest = rest.get(length.next_multiple_of(8)..).ok_or_else(short)?;
        bitmaps.push(bitmap);
    }
    require(
        rest.is_empty(),
        "the bitmap directory has more bytes than entries",
    )?;
    let mut names: Vec<&str> = bitmaps.iter().map(|bitmap| bitmap.name.as_str()).collect();
    names.sort_unstable();
    require(
        names.is_sorted_by(|a, b| a < b),
        "two bitmaps have the same name",
    )?;
    Ok(bitmaps)
}

fn decode_entry(entry: &[u8], is_current: bool) -> Checked<(Qcow2Bitmap, usize)> {
    let short = || Fault::corrupt("a bitmap directory entry is cut short");
    let flags = u32_at(entry, 12).ok_or_else(short)?;
    let kind = entry.get(16).copied().ok_or_else(short)?;
    let granularity_bits = entry.get(17).copied().ok_or_else(short)?;
    let name_length = usize::from(u16_at(entry, 18).ok_or_else(short)?);
    let extra = u32_at(entry, 20).ok_or_else(short)?;
    let extra = usize::try_from(extra).unwrap_or(usize::MAX);
    require(
        (9..=31).contains(&granularity_bits),
        "a bitmap has an impossible granularity",
    )?;
    let name_fits = (1..=NAME_LENGTH_MAX).contains(&name_length);
    require(name_fits, "a bitmap's name has an impossible length")?;
    require(
        extra <= entry.len(),
        "a bitmap directory entry is cut short",
    )?;
    let name_at = HEAD_LENGTH + extra;
    let length = name_at + name_length;
    let name = entry.get(name_at..length).ok_or_else(short)?;
    let is_known = flags & !(FLAG_IN_USE | FLAG_AUTO | FLAG_EXTRA_COMPATIBLE) == 0
        && kind == DIRTY_TRACKING
        && (extra == 0 || flags & FLAG_EXTRA_COMPATIBLE != 0);
    let fitness = match () {
        () if !is_known => BitmapFitness::Foreign,
        () if !is_current => BitmapFitness::Outdated,
        () if flags & FLAG_IN_USE != 0 => BitmapFitness::InUse,
        () => BitmapFitness::Sound,
    };
    let bitmap = Qcow2Bitmap {
        name: String::from_utf8_lossy(name).into_owned(),
        granularity: 1 << granularity_bits,
        is_recording: flags & FLAG_AUTO != 0,
        fitness,
        table_offset: u64_at(entry, 0).ok_or_else(short)?,
        table_entries: u32_at(entry, 8).ok_or_else(short)?,
    };
    Ok((bitmap, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_bits_become_extents_of_the_granularity() {
        let mut changed = Changed::new(512, 100_000);
        let mut cluster = vec![0; 32];
        cluster[0] = 0b1000_0001;
        cluster[1] = 1;
        cluster[7] = 0x80;
        cluster[8] = 1;
        cluster[24..].fill(0xff);
        changed.add_bits(0, &cluster);
        let bits: Vec<_> = changed
            .set
            .iter()
            .map(|e| (e.start() / 512, e.end().div_ceil(512)))
            .collect();
        assert_eq!(bits, [(0, 1), (7, 9), (63, 65), (192, 196)]);
        assert_eq!(changed.set.iter().last().map(Extent::end), Some(100_000));
    }

    #[test]
    fn too_many_ranges_make_the_set_coarser_and_never_smaller() {
        let bits = 2 * u64::try_from(EXTENTS_MAX).unwrap() + 64;
        let mut changed = Changed::new(512, bits * 512);
        for bit in (0..bits).step_by(2) {
            changed.add(bit, 1);
        }
        assert!(changed.set.count() <= EXTENTS_MAX);
        assert!(changed.set.byte_count() >= bits / 2 * 512);
        assert_eq!(changed.set.next_from(0).map(Extent::start), Some(0));
    }
}
