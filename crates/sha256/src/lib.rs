//! SHA-256 of many messages at once.
//!
//! Takes messages and gives their digests. One message is hashed by the processor's SHA
//! instructions; many are hashed sixteen side by side where the processor has AVX-512, which is
//! twice as fast: SHA instructions wait for each other, lanes do not.
//! Does not name anything: what a digest is the name of, `format` knows.
//!
//! Source: FIPS 180-4, section 6.2; measured in docs/decisions/0007.

mod lanes;
mod tail;
#[cfg(target_arch = "x86_64")]
mod wide;

use sha2::Digest as _;

/// A SHA-256 value.
pub type Digest = [u8; 32];

/// Bytes of a block, the unit that the hash takes in.
const BLOCK_BYTES: usize = 64;

/// The state between two blocks.
type State = [u32; 8];

/// What the hash begins with.
const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The digest of one message.
pub fn digest(message: &[u8]) -> Digest {
    sha2::Sha256::digest(message).into()
}

/// The digests of many messages, in their order.
///
/// Best with 32 messages or more of similar lengths; never slower than one after the other.
pub fn digest_all(messages: &[&[u8]]) -> Vec<Digest> {
    match lanes::Engine::of_this_processor() {
        Some(engine) if messages.len() >= lanes::WORTHWHILE => lanes::digest_all(messages, engine),
        _ => messages.iter().map(|message| digest(message)).collect(),
    }
}
