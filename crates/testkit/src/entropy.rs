//! Randomness that tests own.

use std::sync::Mutex;

use lifeboat_model::Entropy;

/// Gives the same bytes for the same seed; good enough for tests, worthless for keys.
#[derive(Debug)]
pub struct SeededEntropy {
    state: Mutex<u64>,
}

/// Spreads the bits of a number: neighbours give unlike values.
///
/// Source: Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl SeededEntropy {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Mutex::new(mix(seed)),
        }
    }

    /// The next 64 bits.
    pub fn number(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(|p| p.into_inner());
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(*state)
    }

    /// The next number below `end`, which is not zero.
    pub fn below(&self, end: u64) -> u64 {
        self.number() % end
    }

    /// The next `length` bytes.
    pub fn bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            part.copy_from_slice(&self.number().to_le_bytes()[..part.len()]);
        }
    }
}
