//! The door by which randomness enters.

use std::fmt::Debug;

/// Fills buffers with random bytes; what it gives becomes keys, salts and nonces.
pub trait Entropy: Send + Sync + Debug {
    /// Fills `buffer` completely.
    fn fill(&self, buffer: &mut [u8]);
}

/// The kernel's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// Panics when the kernel gives no random bytes: going on without them would leak data.
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer)
            .expect("the kernel's random generator must work: nothing can be encrypted without it");
    }
}
