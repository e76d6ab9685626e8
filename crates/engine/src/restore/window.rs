//! Chunks on their way to the disk: opened here, named together, written in stretches.
//!
//! Takes chunks in the order of the disk, each opened right into its place. Chunks that are
//! neighbours on the disk are neighbours here, so they are one write. The memory is aligned as the
//! disk is, so that a target can write past the page cache.

use std::ops::Range;

use lifeboat_format::{BlobId, NAMED_BYTES};

use crate::PlacedChunk;

/// What storage wants memory and offsets to be multiples of.
const ALIGNMENT: usize = 4096;

/// The chunks that one thread has opened and not yet written.
#[derive(Default)]
pub(super) struct Window<'a> {
    memory: Vec<u8>,
    parts: Vec<Part<'a>>,
}

/// A chunk in the window, and everywhere it belongs.
struct Part<'a> {
    places: &'a [PlacedChunk],
    bytes: Range<usize>,
}

impl Part<'_> {
    fn offset(&self) -> u64 {
        self.places[0].offset
    }

    fn end(&self) -> u64 {
        self.offset() + self.bytes.len() as u64
    }
}

impl<'a> Window<'a> {
    /// Says whether a chunk can be added; an empty window takes every length.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.filled() == 0 || self.filled() + ALIGNMENT + length <= NAMED_BYTES
    }

    /// Room for a chunk that belongs to `places`, at least one; only where there is room.
    pub(super) fn add(&mut self, places: &'a [PlacedChunk], length: usize) -> &mut [u8] {
        let needed = length.max(NAMED_BYTES) + 2 * ALIGNMENT;
        if self.memory.len() < needed {
            self.memory.resize(needed, 0);
        }
        let offset = places[0].offset;
        let follows = self.parts.last().is_some_and(|last| last.end() == offset);
        let start = match follows {
            true => self.filled(),
            false => self.aligned_as(offset),
        };
        let bytes = start..start + length;
        self.parts.push(Part {
            places,
            bytes: bytes.clone(),
        });
        &mut self.memory[bytes]
    }

    fn filled(&self) -> usize {
        self.parts.last().map_or(0, |last| last.bytes.end)
    }

    /// The first free byte whose address is as far from a whole block as `offset` is.
    fn aligned_as(&self, offset: u64) -> usize {
        let wanted = (offset % ALIGNMENT as u64) as usize;
        let address = self.memory.as_ptr().addr() + self.filled();
        self.filled() + (wanted + ALIGNMENT - address % ALIGNMENT) % ALIGNMENT
    }

    /// The chunks whose content does not hash to their names.
    pub(super) fn wrong(&self) -> Vec<usize> {
        let chunks: Vec<&[u8]> = self.parts.iter().map(|part| self.bytes_of(part)).collect();
        let names = BlobId::of_all(&chunks);
        let parts = self.parts.iter().zip(names).enumerate();
        parts
            .filter(|(_, (part, name))| part.places[0].id != *name)
            .map(|(index, _)| index)
            .collect()
    }

    /// A chunk that must be read again, and its room.
    pub(super) fn again(&mut self, index: usize) -> (&'a PlacedChunk, &mut [u8]) {
        let part = &self.parts[index];
        (&part.places[0], &mut self.memory[part.bytes.clone()])
    }

    /// The stretches of the disk that the chunks make, and where chunks belong once more.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let follows =
            |a: &Part<'_>, b: &Part<'_>| a.bytes.end == b.bytes.start && a.end() == b.offset();
        let stretches = self.parts.chunk_by(follows).map(|parts| {
            let bytes = parts[0].bytes.start..parts[parts.len() - 1].bytes.end;
            (parts[0].offset(), &self.memory[bytes])
        });
        let again = self.parts.iter().flat_map(|part| {
            let more = part.places[1..].iter();
            more.map(|place| (place.offset, self.bytes_of(part)))
        });
        stretches.chain(again)
    }

    fn bytes_of(&self, part: &Part<'_>) -> &[u8] {
        &self.memory[part.bytes.clone()]
    }

    /// Forgets all chunks.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_format::PackId;
    use lifeboat_repository::BlobLocation;

    use super::*;

    fn place(offset: u64, content: &[u8]) -> PlacedChunk {
        PlacedChunk {
            id: BlobId::of(content),
            offset,
            location: BlobLocation {
                pack: PackId::default(),
                offset: 0,
                length: 100,
                uncompressed_length: None,
            },
        }
    }

    #[test]
    fn neighbours_become_one_stretch_and_memory_is_aligned_as_the_disk() {
        let contents: [&[u8]; 4] = [&[1; 4096], &[2; 700], &[3; 5], &[4; 9000]];
        let offsets = [8192, 12288, 12988, 100_000];
        let mut places: Vec<_> = offsets
            .iter()
            .zip(contents)
            .map(|(offset, content)| vec![place(*offset, content)])
            .collect();
        places[3].push(place(500_000, contents[3]));
        let mut window = Window::default();
        for (places, content) in places.iter().zip(contents) {
            assert!(window.has_room(content.len()));
            window.add(places, content.len()).copy_from_slice(content);
        }
        assert!(window.wrong().is_empty());
        let stretches: Vec<_> = window.stretches().collect();
        let found: Vec<_> = stretches
            .iter()
            .map(|(at, bytes)| (*at, bytes.len()))
            .collect();
        assert_eq!(found, [(8192, 4801), (100_000, 9000), (500_000, 9000)]);
        for (offset, bytes) in &stretches[..2] {
            let misfit = bytes.as_ptr().addr() as u64 % 4096;
            assert_eq!(misfit, offset % 4096);
        }
    }

    #[test]
    fn what_does_not_hash_to_its_name_is_told_and_can_be_replaced() {
        let places = [[place(0, &[7; 64])], [place(64, &[8; 64])]];
        let mut window = Window::default();
        window.add(&places[0], 64).fill(7);
        window.add(&places[1], 64).fill(9);
        assert_eq!(window.wrong(), [1]);
        let (chunk, room) = window.again(1);
        assert_eq!(chunk.offset, 64);
        room.fill(8);
        assert!(window.wrong().is_empty());
        assert!(!window.has_room(NAMED_BYTES));
        window.clear();
        assert!(window.has_room(2 * NAMED_BYTES));
        assert_eq!(window.stretches().count(), 0);
    }
}
