//! Which bytes of a read have arrived: each must, and none twice.

use std::ops::Range;

use crate::wire::Malformed;

/// Most separate pieces that are remembered: chunks in order are one.
const PIECES_MAX: usize = 4096;

/// Sorted, disjoint, non-touching ranges within one read.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage(Vec<Range<u64>>);

impl Coverage {
    /// Adds a range that is not empty.
    ///
    /// Errors: bytes that are there already; too many pieces.
    pub(super) fn add(&mut self, range: Range<u64>) -> Result<(), Malformed> {
        let at = self.0.partition_point(|piece| piece.end <= range.start);
        if self.0.get(at).is_some_and(|piece| piece.start < range.end) {
            return Err(Malformed("bytes of a read arrive twice"));
        }
        let is_full = self.0.len() >= PIECES_MAX;
        let joins_next = self.0.get(at).is_some_and(|piece| piece.start == range.end);
        let before = at.checked_sub(1).and_then(|at| self.0.get_mut(at));
        match before.filter(|piece| piece.end == range.start) {
            Some(piece) => {
                piece.end = range.end;
                if joins_next {
                    let next = self.0.remove(at);
                    if let Some(piece) = self.0.get_mut(at - 1) {
                        piece.end = next.end;
                    }
                }
            }
            None if joins_next => {
                if let Some(piece) = self.0.get_mut(at) {
                    piece.start = range.start;
                }
            }
            None if is_full => {
                return Err(Malformed("a read arrives in too many pieces"));
            }
            None => self.0.insert(at, range),
        }
        Ok(())
    }

    /// Says whether the bytes `0..length` are there.
    pub(super) fn is_whole(&self, length: u64) -> bool {
        matches!(self.0.as_slice(), [all] if *all == (0..length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_knows_each_byte(ranges in prop::collection::vec((0u64..64, 1u64..12), 1..40)) {
            let (mut coverage, mut bytes) = (Coverage::default(), [false; 80]);
            for (start, length) in ranges {
                let place = start as usize..(start + length) as usize;
                let is_new = !bytes[place.clone()].contains(&true);
                prop_assert_eq!(coverage.add(start..start + length).is_ok(), is_new);
                if is_new {
                    bytes[place].fill(true);
                }
                for pair in coverage.0.windows(2) {
                    prop_assert!(pair[0].end < pair[1].start);
                }
                let whole = bytes.iter().position(|byte| !byte).unwrap_or(80);
                let nothing_behind = !bytes[whole..].contains(&true);
                prop_assert_eq!(coverage.is_whole(whole as u64), nothing_behind && whole > 0);
            }
        }
    }

    #[test]
    fn pieces_are_bounded() {
        let mut coverage = Coverage::default();
        let added = (0..10_000).map(|at| coverage.add(at * 2..at * 2 + 1));
        assert_eq!(added.filter(Result::is_ok).count(), PIECES_MAX);
    }
}
