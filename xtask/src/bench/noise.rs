//! Numbers that look random and are the same every time.

/// SplitMix64, by Steele, Lea and Flood (2014).
#[derive(Debug, Clone)]
pub(crate) struct Noise {
    state: u64,
}

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let index = usize::try_from(self.below(from.len() as u64)).ok()?;
        from.get(index).copied()
    }

    /// Hexadecimal digits: half as dense as noise.
    pub(crate) fn digits(&mut self, count: usize) -> Vec<u8> {
        let mut digits = Vec::with_capacity(count + 16);
        while digits.len() < count {
            digits.extend(format!("{:016x}", self.next()).into_bytes());
        }
        digits.truncate(count);
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut two) = (Noise::new(7), Noise::new(7));
        let first: Vec<_> = (0..4).map(|_| one.next()).collect();
        assert_eq!(first, (0..4).map(|_| two.next()).collect::<Vec<_>>());
        assert_ne!(first[0], Noise::new(8).next());
        assert_eq!(one.digits(21).len(), 21);
        assert!(one.below(10) < 10);
    }
}
