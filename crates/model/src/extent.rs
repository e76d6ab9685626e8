//! Byte ranges on a disk.

/// A half-open byte range `start..end`, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    start: u64,
    end: u64,
}

impl Extent {
    /// The range `start..end`, or nothing when it holds no byte.
    pub fn new(start: u64, end: u64) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The range of `length` bytes at `start`; nothing when empty or beyond 2^64.
    pub fn at(start: u64, length: u64) -> Option<Self> {
        Self::new(start, start.checked_add(length)?)
    }

    /// First byte.
    pub fn start(self) -> u64 {
        self.start
    }

    /// One past the last byte.
    pub fn end(self) -> u64 {
        self.end
    }

    /// Bytes in the range; never zero.
    #[expect(clippy::len_without_is_empty, reason = "an extent is never empty")]
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// The part that both ranges share.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

/// Sorted, disjoint, non-touching byte ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentSet {
    extents: Vec<Extent>,
}

impl ExtentSet {
    /// The set without any byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// The set of all bytes of a disk of `size` bytes.
    pub fn all(size: u64) -> Self {
        Self {
            extents: Extent::new(0, size).into_iter().collect(),
        }
    }

    /// Adds a range; touching and overlapping ranges become one.
    ///
    /// Cost: constant when ranges come in order, else linear in the ranges behind it.
    pub fn insert(&mut self, extent: Extent) {
        let from = self.extents.partition_point(|e| e.end < extent.start);
        let to = self.extents.partition_point(|e| e.start <= extent.end);
        let merged = self.extents[from..to].iter().fold(extent, |sum, e| Extent {
            start: sum.start.min(e.start),
            end: sum.end.max(e.end),
        });
        self.extents.splice(from..to, [merged]);
    }

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Extent> + '_ {
        self.extents.iter().copied()
    }

    /// How many separate ranges there are.
    pub fn count(&self) -> usize {
        self.extents.len()
    }

    /// Says whether no byte is in the set.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// Sum of all ranges in bytes.
    pub fn byte_count(&self) -> u64 {
        self.iter().map(Extent::len).sum()
    }

    /// The first range that ends behind `offset`.
    pub fn next_from(&self, offset: u64) -> Option<Extent> {
        self.extents
            .get(self.extents.partition_point(|e| e.end <= offset))
            .copied()
    }

    /// Says whether any byte of `extent` is in the set.
    pub fn touches(&self, extent: Extent) -> bool {
        self.next_from(extent.start)
            .is_some_and(|e| e.start < extent.end)
    }

    /// The bytes of this set that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::new();
        for extent in self.iter() {
            let mut start = extent.start;
            while let Some(hole) = other
                .next_from(start)
                .filter(|hole| hole.start < extent.end)
            {
                left.extents.extend(Extent::new(start, hole.start));
                start = hole.end;
            }
            left.extents.extend(Extent::new(start, extent.end));
        }
        left
    }

    /// The same bytes widened outwards to multiples of `grain`, cut at `size`.
    pub fn aligned(&self, grain: u64, size: u64) -> Self {
        let mut set = Self::new();
        for extent in self.iter() {
            let start = extent.start - extent.start % grain;
            let end = extent
                .end
                .checked_next_multiple_of(grain)
                .unwrap_or(u64::MAX)
                .min(size);
            if let Some(wide) = Extent::new(start, end) {
                set.insert(wide);
            }
        }
        set
    }
}

impl Extend<Extent> for ExtentSet {
    fn extend<T: IntoIterator<Item = Extent>>(&mut self, extents: T) {
        extents.into_iter().for_each(|extent| self.insert(extent));
    }
}

impl FromIterator<Extent> for ExtentSet {
    fn from_iter<T: IntoIterator<Item = Extent>>(extents: T) -> Self {
        let mut set = Self::new();
        set.extend(extents);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_holds_exactly_the_inserted_bytes(
            ranges in prop::collection::vec((0u64..200, 1u64..30), 0..20), grain in 1u64..9,
            holes in prop::collection::vec((0u64..200, 1u64..30), 0..20),
        ) {
            let set: ExtentSet = ranges.iter().filter_map(|(s, n)| Extent::at(*s, *n)).collect();
            let inside = |byte: u64| ranges.iter().any(|(s, n)| (*s..s + n).contains(&byte));
            for byte in 0..240 {
                prop_assert_eq!(set.touches(Extent::at(byte, 1).unwrap()), inside(byte));
            }
            for pair in set.extents.windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            let other: ExtentSet = holes.iter().filter_map(|(s, n)| Extent::at(*s, *n)).collect();
            let left = set.without(&other);
            for byte in 0..240 {
                let one = Extent::at(byte, 1).unwrap();
                prop_assert_eq!(left.touches(one), set.touches(one) && !other.touches(one));
            }
            let wide = set.aligned(grain, 210);
            for byte in 0..210 {
                let cell = byte - byte % grain;
                let expected = (cell..cell + grain).any(inside);
                prop_assert_eq!(wide.touches(Extent::at(byte, 1).unwrap()), expected);
            }
        }
    }
}
