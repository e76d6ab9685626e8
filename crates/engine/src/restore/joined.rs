//! Chunks that are neighbours on the disk, joined into one write.
//!
//! Takes chunks one by one, each opened right into its place; gives the stretch of the disk that
//! they make. The memory is aligned as the disk is, so that a target can write past the page
//! cache.

/// A stretch that has so many bytes is written; also what stays in a processor's cache.
const JOINED_BYTES: usize = 2 << 20;

/// What storage wants memory and offsets to be multiples of.
const ALIGNMENT: usize = 4096;

/// A stretch of the disk being filled; one per thread.
#[derive(Default)]
pub(super) struct Joined {
    memory: Vec<u8>,
    /// First byte of `memory` that is used.
    from: usize,
    length: usize,
    /// Where the stretch begins on the disk.
    offset: u64,
}

impl Joined {
    /// Says whether a chunk at `offset` continues the stretch and has room in it.
    pub(super) fn takes(&self, offset: u64, length: usize) -> bool {
        self.offset + self.length as u64 == offset && self.length + length <= JOINED_BYTES
    }

    /// Room for the next chunk; without what [`Joined::takes`] allows a new stretch begins.
    pub(super) fn add(&mut self, offset: u64, length: usize) -> &mut [u8] {
        if self.length == 0 || !self.takes(offset, length) {
            self.begin(offset, length);
        }
        let start = self.from + self.length;
        self.length += length;
        &mut self.memory[start..start + length]
    }

    fn begin(&mut self, offset: u64, length: usize) {
        // Room for the gaps in front of an aligned address and of an odd offset.
        let needed = length.max(JOINED_BYTES) + 2 * ALIGNMENT;
        if self.memory.len() < needed {
            self.memory = vec![0; needed];
        }
        let address = self.memory.as_ptr().addr();
        let gap = address.next_multiple_of(ALIGNMENT) - address;
        self.from = gap + (offset % ALIGNMENT as u64) as usize;
        self.length = 0;
        self.offset = offset;
    }

    /// The stretch so far and where it belongs; nothing if it is empty.
    pub(super) fn stretch(&self) -> Option<(u64, &[u8])> {
        let bytes = &self.memory[self.from..self.from + self.length];
        (!bytes.is_empty()).then_some((self.offset, bytes))
    }

    /// The chunk that was added last.
    pub(super) fn last(&self, length: usize) -> &[u8] {
        let end = self.from + self.length;
        &self.memory[end - length..end]
    }

    /// Forgets the stretch.
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_stretch_and_memory_is_aligned_as_the_disk() {
        let mut joined = Joined::default();
        assert_eq!(joined.stretch(), None);
        for (offset, length) in [(8192, 4096), (12288, 700), (12988, 5)] {
            assert!(joined.length == 0 || joined.takes(offset, length));
            joined.add(offset, length).fill(offset as u8);
            assert_eq!(joined.last(length), vec![offset as u8; length]);
        }
        let (offset, bytes) = joined.stretch().expect("it was filled");
        assert_eq!((offset, bytes.len()), (8192, 4801));
        assert_eq!(bytes.as_ptr().addr() % ALIGNMENT, 0);
        assert!(!joined.takes(12988, 5), "it is not where the stretch ends");
        assert!(!joined.takes(12993, JOINED_BYTES), "there is no room");
        joined.clear();
        assert_eq!(joined.stretch(), None);
        joined.add(8193, 3 * JOINED_BYTES).fill(1);
        let (_, bytes) = joined.stretch().expect("it was filled");
        assert_eq!(bytes, vec![1; 3 * JOINED_BYTES]);
        assert_eq!(bytes.as_ptr().addr() % ALIGNMENT, 1);
    }
}
