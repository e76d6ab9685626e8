//! Disks of any size with known content, made from a seed.
//!
//! A byte is a function of its piece's seed and its own offset: a disk of terabytes costs some
//! bytes per piece, and pieces can be cut anywhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use lifeboat_model::{Extent, ExtentSet};

use crate::entropy::{SeededEntropy, mix};

/// What an area of a disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing was ever written; reads as zeros.
    Hole,
    /// Zeros that were written.
    Zeros,
    /// Compresses to about a tenth.
    Text(u64),
    /// Does not compress.
    Random(u64),
}

/// A recipe for a disk; percentages that are missing up to 100 are random content.
#[derive(Clone, Copy, Debug)]
pub struct DiskPattern {
    /// Equal seeds give equal disks.
    pub seed: u64,
    /// Bytes of the disk.
    pub size: u64,
    /// Part of the areas that are holes.
    pub hole_percent: u64,
    /// Part of the areas that hold written zeros.
    pub zero_percent: u64,
    /// Part of the areas that hold text.
    pub text_percent: u64,
    /// Areas are multiples of this many bytes.
    pub grain: u64,
    /// Most grains in one area.
    pub area_grains_max: u64,
}

impl DiskPattern {
    /// A disk as machines have it: half holes, some written zeros, much text.
    pub fn new(seed: u64, size: u64) -> Self {
        Self {
            seed,
            size,
            hole_percent: 50,
            zero_percent: 5,
            text_percent: 25,
            grain: 4096,
            area_grains_max: 256,
        }
    }

    /// Makes the disk.
    pub fn disk(&self) -> PatternDisk {
        let entropy = SeededEntropy::new(self.seed);
        let mut disk = PatternDisk::empty(self.size);
        let mut offset = 0;
        while offset < self.size {
            let length = self.grain * (1 + entropy.below(self.area_grains_max));
            let content = self.content(&entropy);
            if let Some(area) = Extent::at(offset, length.min(self.size - offset)) {
                disk.write(area, content);
            }
            offset += length;
        }
        disk
    }

    fn content(&self, entropy: &SeededEntropy) -> Content {
        let choice = entropy.below(100);
        let seed = entropy.number();
        let zeros_end = self.hole_percent + self.zero_percent;
        match choice {
            choice if choice < self.hole_percent => Content::Hole,
            choice if choice < zeros_end => Content::Zeros,
            choice if choice < zeros_end + self.text_percent => Content::Text(seed),
            _ => Content::Random(seed),
        }
    }
}

/// How a disk changes between two backups.
#[derive(Clone, Copy, Debug)]
pub struct ChangeRule {
    /// Areas that are written or discarded.
    pub area_count: u64,
    /// Most bytes in one area.
    pub area_bytes_max: u64,
    /// Areas begin and end at multiples of this; 1 for anywhere.
    pub grain: u64,
}

/// A disk in memory whose content costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternDisk {
    size: u64,
    /// End and content of each piece by its start; together they cover the disk.
    pieces: BTreeMap<u64, (u64, Content)>,
}

impl PatternDisk {
    /// One hole.
    pub fn empty(size: u64) -> Self {
        let mut pieces = BTreeMap::new();
        if size > 0 {
            pieces.insert(0, (size, Content::Hole));
        }
        Self { size, pieces }
    }

    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The area that holds `offset`, from there on; none at the end of the disk.
    pub fn area(&self, offset: u64) -> Option<(Extent, Content)> {
        let (_, (end, content)) = self.pieces.range(..=offset).next_back()?;
        Extent::new(offset, *end).map(|extent| (extent, *content))
    }

    /// All areas in ascending order; neighbours may hold the same.
    pub fn areas(&self) -> impl Iterator<Item = (Extent, Content)> + '_ {
        let areas = self.pieces.iter();
        areas.filter_map(|(start, (end, content))| Some((Extent::new(*start, *end)?, *content)))
    }

    /// What was ever written, zeros included.
    pub fn allocated(&self) -> ExtentSet {
        let written = self
            .areas()
            .filter(|(_, content)| *content != Content::Hole);
        written.map(|(extent, _)| extent).collect()
    }

    /// Fills `buffer` from `offset` on; panics beyond the end.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let (area, content) = self.area(at).expect("a test reads inside its disk");
            let length = usize::try_from(area.len()).unwrap_or(usize::MAX);
            let end = buffer.len().min(done.saturating_add(length));
            content.fill(at, &mut buffer[done..end]);
            done = end;
        }
    }

    /// The bytes of the whole disk; for small ones.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.size).expect("a small disk")];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// Replaces an area; panics when it ends behind the disk.
    pub fn write(&mut self, area: Extent, content: Content) {
        assert!(area.end() <= self.size, "{area:?} ends behind the disk");
        self.cut(area.start());
        self.cut(area.end());
        let inside: Vec<u64> = self
            .pieces
            .range(area.start()..area.end())
            .map(|p| *p.0)
            .collect();
        for start in inside {
            self.pieces.remove(&start);
        }
        self.pieces.insert(area.start(), (area.end(), content));
    }

    /// Makes the disk larger (by a hole) or smaller.
    pub fn resize(&mut self, size: u64) {
        if let Some(added) = Extent::new(self.size, size) {
            self.pieces
                .insert(added.start(), (added.end(), Content::Hole));
        } else {
            self.cut(size);
            self.pieces.split_off(&size);
        }
        self.size = size;
    }

    /// Writes and discards at random places; gives all that may read differently now.
    pub fn change(&mut self, entropy: &SeededEntropy, rule: ChangeRule) -> ExtentSet {
        let grains = self.size / rule.grain;
        let grains_max = (rule.area_bytes_max / rule.grain).max(1);
        let mut changed = ExtentSet::new();
        let area_count = if grains == 0 { 0 } else { rule.area_count };
        for _ in 0..area_count {
            let start = entropy.below(grains) * rule.grain;
            let length = (1 + entropy.below(grains_max)) * rule.grain;
            let end = (start + length).min(self.size);
            let seed = entropy.number();
            let content = match entropy.below(8) {
                0 => Content::Hole,
                1 => Content::Zeros,
                2..=4 => Content::Text(seed),
                _ => Content::Random(seed),
            };
            if let Some(area) = Extent::new(start, end) {
                self.write(area, content);
                changed.insert(area);
            }
        }
        changed
    }

    /// Writes the disk into an empty file; holes stay holes.
    pub fn write_to(&self, file: &File) -> io::Result<()> {
        file.set_len(self.size)?;
        let mut buffer = vec![0; 1 << 20];
        for extent in self.allocated().iter() {
            let mut offset = extent.start();
            while offset < extent.end() {
                let length = usize::try_from(extent.end() - offset).unwrap_or(usize::MAX);
                let part = buffer.len().min(length);
                self.read_at(offset, &mut buffer[..part]);
                file.write_all_at(&buffer[..part], offset)?;
                offset += part as u64;
            }
        }
        Ok(())
    }

    /// Lets a piece begin at `offset`.
    fn cut(&mut self, offset: u64) {
        if let Some((start, (end, content))) = self.pieces.range_mut(..offset).next_back()
            && *end > offset
        {
            let (tail, content) = (*end, *content);
            *end = offset;
            debug_assert!(*start < offset);
            self.pieces.insert(offset, (tail, content));
        }
    }
}

/// Fills one slot of 16 bytes of text.
const WORDS: [&[u8; 16]; 8] = [
    b"the disk of web1",
    b" was written at ",
    b"midnight, as the",
    b" log says: ok   ",
    b"\n127.0.0.1 - - [",
    b"GET /index.html ",
    b"HTTP/1.1\" 200 51",
    b"                ",
];

impl Content {
    /// The bytes from `offset` of the disk on.
    fn fill(self, offset: u64, buffer: &mut [u8]) {
        match self {
            Self::Hole | Self::Zeros => buffer.fill(0),
            Self::Text(seed) => fill_slots(offset, buffer, |slot| {
                let choice = mix(seed ^ slot);
                *WORDS[usize::from(choice as u8 & 7)]
            }),
            Self::Random(seed) => fill_slots(offset, buffer, |slot| {
                let low = mix(seed ^ mix(slot));
                (u128::from(low) | u128::from(mix(low ^ seed)) << 64).to_le_bytes()
            }),
        }
    }
}

/// Fills `buffer` from slots of 16 bytes that begin at multiples of 16 on the disk.
fn fill_slots(offset: u64, buffer: &mut [u8], slot_bytes: impl Fn(u64) -> [u8; 16]) {
    let mut done = 0;
    while done < buffer.len() {
        let at = offset + done as u64;
        let bytes = slot_bytes(at / 16);
        let inside = (at % 16) as usize;
        let part = (16 - inside).min(buffer.len() - done);
        buffer[done..done + part].copy_from_slice(&bytes[inside..inside + part]);
        done += part;
    }
}
