//! A set of names that takes little more memory than the names.
//!
//! The names lie in blocks that never move; a table of their numbers finds them. Only the table is
//! made anew when it grows: what large tables leave behind in an allocator is more than they hold.
//!
//! Memory: 32 bytes a name, 6 to 11 for the table, and as much for the one before it.

use lifeboat_format::BlobId;

/// Names in a block.
const BLOCK_NAMES: usize = 256;

/// Slots of the first table.
const SLOTS_MIN: usize = 64;

/// Names in the order in which they came, and an open-addressed table of their numbers from 1 on,
/// at most three quarters full; 0 is a free slot.
#[derive(Default)]
pub(super) struct IdSet {
    blocks: Vec<Vec<BlobId>>,
    slots: Vec<u32>,
    count: usize,
}

impl IdSet {
    pub(super) fn contains(&self, id: &BlobId) -> bool {
        !self.slots.is_empty() && self.slots[self.slot(id)] != 0
    }

    /// Says whether it was not there before.
    pub(super) fn insert(&mut self, id: &BlobId) -> bool {
        if (self.count + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let slot = self.slot(id);
        if self.slots[slot] != 0 {
            return false;
        }
        if self.count.is_multiple_of(BLOCK_NAMES) {
            self.blocks.push(Vec::with_capacity(BLOCK_NAMES));
        }
        self.blocks[self.count / BLOCK_NAMES].push(*id);
        self.count += 1;
        self.slots[slot] = self.count as u32;
        true
    }

    fn name(&self, number: u32) -> &BlobId {
        let at = number as usize - 1;
        &self.blocks[at / BLOCK_NAMES][at % BLOCK_NAMES]
    }

    /// The slot of a name, or the free one where it would be; there is always a free one.
    fn slot(&self, id: &BlobId) -> usize {
        let mut at = self.first_slot(id);
        while self.slots[at] != 0 && self.name(self.slots[at]) != id {
            at = self.next_slot(at);
        }
        at
    }

    /// Names are hashes already; writers choose the set by the first byte.
    fn first_slot(&self, id: &BlobId) -> usize {
        let tail = id.id().0.last_chunk::<8>().copied().unwrap_or_default();
        (u64::from_le_bytes(tail) % self.slots.len() as u64) as usize
    }

    fn next_slot(&self, slot: usize) -> usize {
        (slot + 1) % self.slots.len()
    }

    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 2).max(SLOTS_MIN)];
        for number in 1..=self.count as u32 {
            let mut at = self.first_slot(self.name(number));
            while self.slots[at] != 0 {
                at = self.next_slot(at);
            }
            self.slots[at] = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use lifeboat_model::Id;

    use super::*;

    #[test]
    fn it_knows_what_was_put_in_and_nothing_else() {
        let name = |number: u32| match number {
            0 => BlobId::default(),
            // Equal tails: every search goes on to the next slot.
            n if n % 7 == 0 => {
                let mut bytes = [0xff; 32];
                bytes[..4].copy_from_slice(&n.to_le_bytes());
                BlobId::from(Id(bytes))
            }
            n => BlobId::of(&n.to_le_bytes()),
        };
        let (mut set, mut model) = (IdSet::default(), HashSet::new());
        assert!(!set.contains(&name(1)));
        for number in 0..4000u32 {
            let id = name(number * 31 % 3001);
            assert_eq!(set.insert(&id), model.insert(id), "{number}");
        }
        for number in 0..6000 {
            let id = name(number);
            assert_eq!(set.contains(&id), model.contains(&id), "{number}");
        }
    }
}
