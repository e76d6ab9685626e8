//! A set of names that takes little more memory than the names.
//!
//! Memory: 40 to 50 bytes a name; while it grows, the old table as well.

use lifeboat_format::BlobId;

/// Slots of the first table.
const SLOTS_MIN: usize = 64;

/// Names in a table with open addresses, at most four fifths full; a free slot holds only zeros.
#[derive(Default)]
pub(super) struct IdSet {
    slots: Vec<BlobId>,
    count: usize,
    /// The name that stands for a free slot.
    has_zeros: bool,
}

impl IdSet {
    pub(super) fn contains(&self, id: &BlobId) -> bool {
        if *id == BlobId::default() {
            return self.has_zeros;
        }
        !self.slots.is_empty() && self.slots[self.slot(id)] == *id
    }

    /// Says whether it was not there before.
    pub(super) fn insert(&mut self, id: &BlobId) -> bool {
        if *id == BlobId::default() {
            return !std::mem::replace(&mut self.has_zeros, true);
        }
        if (self.count + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        let slot = self.slot(id);
        let is_new = self.slots[slot] != *id;
        if is_new {
            self.slots[slot] = *id;
            self.count += 1;
        }
        is_new
    }

    /// Where a name is or would be; there is always a free slot.
    fn slot(&self, id: &BlobId) -> usize {
        // Names are hashes already; writers choose the set by the first byte.
        let tail = id
            .id()
            .0
            .last_chunk::<8>()
            .map_or(0, |t| u64::from_le_bytes(*t));
        let length = self.slots.len();
        let mut at = ((u128::from(tail) * length as u128) >> 64) as usize;
        while self.slots[at] != *id && self.slots[at] != BlobId::default() {
            at = if at + 1 == length { 0 } else { at + 1 };
        }
        at
    }

    fn grow(&mut self) {
        let length = (self.slots.len() / 4 * 5).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![BlobId::default(); length]);
        for id in old.into_iter().filter(|id| *id != BlobId::default()) {
            let slot = self.slot(&id);
            self.slots[slot] = id;
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
