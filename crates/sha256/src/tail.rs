//! The end of a message: what is left of it for one lane alone, and its padding.

use sha2::block_api::compress256;

use crate::{BLOCK_BYTES, Digest, State};

/// Takes in the blocks that are left, the odd bytes and the padding; gives the digest.
///
/// `length` is the whole message's in bytes.
pub(crate) fn finish(mut state: State, rest: &[u8], length: usize) -> Digest {
    let (blocks, odd) = rest.as_chunks::<BLOCK_BYTES>();
    compress256(&mut state, blocks);
    let mut padded = [[0; BLOCK_BYTES]; 2];
    let last = usize::from(odd.len() >= BLOCK_BYTES - 8);
    padded[0][..odd.len()].copy_from_slice(odd);
    padded[0][odd.len()] = 0x80;
    let bits = (length as u64) << 3;
    padded[last][BLOCK_BYTES - 8..].copy_from_slice(&bits.to_be_bytes());
    compress256(&mut state, &padded[..=last]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}
