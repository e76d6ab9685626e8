//! Which blocks an overlay holds, in memory and as pages of its file.
//!
//! A page is 4096 bytes: its number, its generation, bits, a checksum. Bits are only ever set,
//! so an older copy of a page never names a block that is not there.

use std::collections::BTreeSet;

use super::header::{Fields, PAGE_BITS, PAGE_BYTES, Page, is_whole, put, sum_up};

/// Bits of a page in words of memory.
const PAGE_WORDS: usize = (PAGE_BITS / 64) as usize;

#[derive(Debug)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    generations: Vec<u64>,
    /// Pages that changed since they were written.
    changed: BTreeSet<usize>,
}

fn place(block: u64) -> (usize, u64) {
    // Limit: blocks are fewer than 2^34, and a usize has 64 bits wherever disks are large.
    (
        usize::try_from(block / 64).unwrap_or(usize::MAX),
        1 << (block % 64),
    )
}

impl Bitmap {
    /// No block is there.
    pub(super) fn new(page_count: u64) -> Self {
        let count = usize::try_from(page_count).unwrap_or(usize::MAX);
        Self {
            words: vec![0; count * PAGE_WORDS],
            generations: vec![1; count],
            changed: BTreeSet::new(),
        }
    }

    pub(super) fn has(&self, block: u64) -> bool {
        let (word, bit) = place(block);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn set(&mut self, block: u64) {
        let (at, bit) = place(block);
        if let Some(word) = self.words.get_mut(at)
            && *word & bit == 0
        {
            *word |= bit;
            self.changed.insert(at / PAGE_WORDS);
        }
    }

    /// The first block from `block` on, before `end`, whose bit differs from its.
    pub(super) fn end_of_run(&self, block: u64, end: u64) -> u64 {
        let is_there = self.has(block);
        let uniform = if is_there { u64::MAX } else { 0 };
        let mut at = block + 1;
        while at < end {
            let (word, _) = place(at);
            let is_uniform = self.words.get(word).is_some_and(|word| *word == uniform);
            if at.is_multiple_of(64) && is_uniform {
                at += 64;
            } else if self.has(at) == is_there {
                at += 1;
            } else {
                return at;
            }
        }
        end
    }

    /// Pages that changed, by number, as they are to be written; a next generation begins.
    pub(super) fn take_changed(&mut self) -> Vec<(u64, Box<Page>)> {
        let changed = std::mem::take(&mut self.changed);
        let encode = |index: usize| {
            if let Some(generation) = self.generations.get_mut(index) {
                *generation += 1;
            }
            (index as u64, self.page(index))
        };
        changed.into_iter().map(encode).collect()
    }

    /// A page as it is written.
    pub(super) fn page(&self, index: usize) -> Box<Page> {
        let mut page = Box::new([0; PAGE_BYTES]);
        let generation = self.generations.get(index).copied().unwrap_or_default();
        let words = self.words.get(index * PAGE_WORDS..(index + 1) * PAGE_WORDS);
        let mut bytes = (index as u64).to_le_bytes().to_vec();
        bytes.extend(generation.to_le_bytes());
        let words = words.unwrap_or_default().iter();
        bytes.extend(words.flat_map(|word| word.to_le_bytes()));
        put(&mut page, &bytes);
        sum_up(&mut page);
        page
    }

    /// Takes the newer of a page's two copies; says which copies are to be written anew.
    ///
    /// Errors: both copies are broken, or they are of one generation and differ.
    pub(super) fn load(
        &mut self,
        index: usize,
        copies: [&Page; 2],
    ) -> Result<[bool; 2], &'static str> {
        let found = copies.map(|page| generation_of(page, index));
        let newest = match found {
            [None, None] => return Err("both copies of a page are broken"),
            [Some(first), Some(second)] if first == second && copies[0] != copies[1] => {
                return Err("two copies of a page contradict each other");
            }
            [first, second] => usize::from(second > first),
        };
        let page = copies.get(newest).copied().ok_or("a page is missing")?;
        let mut fields = Fields(page);
        fields.take::<8>()?;
        let generation = u64::from_le_bytes(fields.take()?);
        let words = self
            .words
            .get_mut(index * PAGE_WORDS..(index + 1) * PAGE_WORDS);
        for word in words.unwrap_or_default() {
            *word = u64::from_le_bytes(fields.take()?);
        }
        if let Some(place) = self.generations.get_mut(index) {
            *place = generation;
        }
        Ok(found.map(|copy| copy != Some(generation)))
    }
}

/// The generation of a page that is whole and lies where it should.
fn generation_of(page: &Page, index: usize) -> Option<u64> {
    let mut fields = Fields(page);
    let number = u64::from_le_bytes(fields.take().ok()?);
    let generation = u64::from_le_bytes(fields.take().ok()?);
    let is_sound = number == index as u64 && generation > 0 && generation < u64::MAX;
    (is_sound && is_whole(page)).then_some(generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_come_back_from_pages(blocks in prop::collection::btree_set(0u64..70_000, 0..60)) {
            let mut bitmap = Bitmap::new(3);
            blocks.iter().for_each(|block| bitmap.set(*block));
            let mut read = Bitmap::new(3);
            for (index, page) in bitmap.take_changed() {
                prop_assert_eq!(read.load(index as usize, [&page, &page]), Ok([false, false]));
            }
            prop_assert_eq!(&read.words, &bitmap.words);
            prop_assert!(bitmap.take_changed().is_empty());
            let mut at = 0;
            while at < 70_000 {
                let end = read.end_of_run(at, 70_000);
                let is_there = blocks.contains(&at);
                prop_assert!((at..end).all(|block| blocks.contains(&block) == is_there));
                prop_assert!(end == 70_000 || blocks.contains(&end) != is_there);
                at = end;
            }
        }
    }

    #[test]
    fn a_torn_copy_is_replaced_by_the_other_and_two_are_an_error() {
        let mut bitmap = Bitmap::new(1);
        let old = bitmap.page(0);
        bitmap.set(5);
        let new = bitmap.take_changed().remove(0).1;
        let mut torn = new.clone();
        torn[512..].copy_from_slice(&old[512..]);
        let mut read = Bitmap::new(1);
        assert_eq!(read.load(0, [&torn, &old]), Ok([true, false]));
        assert!(!read.has(5));
        assert_eq!(read.load(0, [&new, &torn]), Ok([false, true]));
        assert!(read.has(5));
        assert_eq!(read.load(0, [&new, &old]), Ok([false, true]));
        assert!(read.load(0, [&torn, &torn]).is_err());
        assert!(read.load(0, [&[0; PAGE_BYTES], &[0; PAGE_BYTES]]).is_err());
        assert!(Bitmap::new(2).load(1, [&new, &new]).is_err());
    }
}
