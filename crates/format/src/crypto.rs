//! Sealing: AES-256 in counter mode, authenticated with Poly1305-AES over the ciphertext.
//!
//! A sealed object is a 16-byte nonce, the ciphertext and a 16-byte tag. The nonce is the first
//! counter block; encrypted with the second MAC key it also ends the one-time Poly1305 key.
//! Nothing else is bound: the kind and the name of an object are proved by its hash alone.
//!
//! Source: restic's design document, "Keys, Encryption and MAC"; restic-format 5.1.

use aes::cipher::{BlockEncrypt, KeyInit, KeyIvInit, StreamCipher};
use aes::{Aes128, Aes256};
use lifeboat_model::Entropy;
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash;
use zeroize::Zeroize;

use crate::{Error, Result};

/// Bytes a sealed object is longer than its content: nonce and tag.
pub const SEAL_OVERHEAD: usize = NONCE_BYTES + TAG_BYTES;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const BLOCK_BYTES: usize = 16;

/// Encrypted and authenticated piece by piece, while a piece is in the nearest cache.
const PIECE_BYTES: usize = 16 << 10;

/// The key of everything in a repository.
#[derive(Clone)]
pub struct MasterKey {
    encrypt: [u8; 32],
    mac_k: [u8; 16],
    mac_r: [u8; 16],
}

impl MasterKey {
    /// Makes a new one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 64];
        entropy.fill(&mut bytes);
        let mut key = Self::from_bytes(&bytes);
        key.mac_r = clamp(key.mac_r);
        bytes.zeroize();
        key
    }

    /// Takes 32 bytes for encryption, 16 for `k` and 16 for `r`: what scrypt gives.
    pub(crate) fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (mut encrypt, mut mac_k, mut mac_r) = ([0; 32], [0; 16], [0; 16]);
        encrypt.copy_from_slice(&bytes[..32]);
        mac_k.copy_from_slice(&bytes[32..48]);
        mac_r.copy_from_slice(&bytes[48..]);
        Self {
            encrypt,
            mac_k,
            mac_r,
        }
    }

    /// Takes the three parts; refuses keys that are all zero.
    pub(crate) fn from_parts(encrypt: [u8; 32], mac_k: [u8; 16], mac_r: [u8; 16]) -> Result<Self> {
        if encrypt == [0; 32] || mac_k == [0; 16] || mac_r == [0; 16] {
            return Err(Error::corrupt("a key is all zero"));
        }
        Ok(Self {
            encrypt,
            mac_k,
            mac_r,
        })
    }

    pub(crate) fn parts(&self) -> (&[u8; 32], &[u8; 16], &[u8; 16]) {
        (&self.encrypt, &self.mac_k, &self.mac_r)
    }

    /// Seals `plaintext` under a fresh nonce.
    pub fn seal(&self, plaintext: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(plaintext.len() + SEAL_OVERHEAD);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        self.seal_from(&mut sealed, 0);
        sealed
    }

    /// Seals what stands in `sealed` from `start` on: a nonce and plaintext.
    ///
    /// The nonce must never have been used with this key before.
    pub(crate) fn seal_from(&self, sealed: &mut Vec<u8>, start: usize) {
        let (nonce, content) = sealed[start..].split_at_mut(NONCE_BYTES);
        let nonce: &[u8] = nonce;
        assert!(
            nonce != [0; NONCE_BYTES],
            "an all-zero nonce means there is no randomness"
        );
        let mut cipher = self.cipher(nonce);
        let mut mac = self.authenticator(nonce);
        let whole = content.len() - content.len() % BLOCK_BYTES;
        let (blocks, odd) = content.split_at_mut(whole);
        for piece in blocks.chunks_mut(PIECE_BYTES) {
            cipher.apply_keystream(piece);
            update(&mut mac, piece);
        }
        cipher.apply_keystream(odd);
        let tag = mac.compute_unpadded(odd);
        sealed.extend_from_slice(&tag);
    }

    /// Opens a sealed object in place; gives the plaintext within it.
    ///
    /// Errors: `Corrupt` if it is too short or was not sealed with this key.
    pub fn unseal_in_place<'a>(&self, sealed: &'a mut [u8]) -> Result<&'a mut [u8]> {
        self.authenticate(sealed)?;
        let (nonce, rest) = sealed.split_at_mut(NONCE_BYTES);
        let (content, _tag) = rest.split_at_mut(rest.len() - TAG_BYTES);
        self.cipher(nonce).apply_keystream(content);
        Ok(content)
    }

    /// Opens a sealed object and gives its plaintext to `take` piece by piece; it stays as it is.
    ///
    /// Errors: as [`unseal_in_place`](Self::unseal_in_place), before a piece is given; those of
    /// `take`.
    pub(crate) fn unseal_by_pieces(
        &self,
        sealed: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.authenticate(sealed)?;
        let (nonce, rest) = sealed.split_at(NONCE_BYTES);
        let content = &rest[..rest.len() - TAG_BYTES];
        let mut cipher = self.cipher(nonce);
        let mut room = vec![0; PIECE_BYTES.min(content.len())];
        for part in content.chunks(PIECE_BYTES) {
            let piece = &mut room[..part.len()];
            piece.copy_from_slice(part);
            cipher.apply_keystream(piece);
            take(piece)?;
        }
        Ok(())
    }

    /// Errors: `Corrupt` if it is too short or was not sealed with this key.
    fn authenticate(&self, sealed: &[u8]) -> Result<()> {
        if sealed.len() < SEAL_OVERHEAD {
            return Err(Error::corrupt("a sealed object is shorter than 32 bytes"));
        }
        let (nonce, rest) = sealed.split_at(NONCE_BYTES);
        let (content, tag) = rest.split_at(rest.len() - TAG_BYTES);
        if *nonce == [0; NONCE_BYTES] {
            return Err(Error::corrupt("the nonce of a sealed object is all zero"));
        }
        if !equal_in_constant_time(&self.tag(nonce, content), tag) {
            return Err(Error::corrupt(
                "authentication failed: the data was changed or damaged",
            ));
        }
        Ok(())
    }

    /// Opens a sealed object.
    pub fn unseal(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        let mut copy = sealed.to_vec();
        let length = self.unseal_in_place(&mut copy)?.len();
        copy.drain(..NONCE_BYTES);
        copy.truncate(length);
        Ok(copy)
    }

    fn cipher(&self, nonce: &[u8]) -> ctr::Ctr128BE<Aes256> {
        ctr::Ctr128BE::<Aes256>::new((&self.encrypt).into(), nonce.into())
    }

    fn tag(&self, nonce: &[u8], content: &[u8]) -> [u8; TAG_BYTES] {
        let mut mac = self.authenticator(nonce);
        let whole = content.len() - content.len() % BLOCK_BYTES;
        let (blocks, odd) = content.split_at(whole);
        update(&mut mac, blocks);
        mac.compute_unpadded(odd).into()
    }

    fn authenticator(&self, nonce: &[u8]) -> Poly1305 {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&clamp(self.mac_r));
        let mut pad = aes::Block::clone_from_slice(nonce);
        Aes128::new((&self.mac_k).into()).encrypt_block(&mut pad);
        key[16..].copy_from_slice(&pad);
        let mac = Poly1305::new((&key).into());
        key.zeroize();
        mac
    }
}

/// Takes whole blocks, many at a time: one by one they cost four times as much.
fn update(mac: &mut Poly1305, content: &[u8]) {
    let mut blocks = [poly1305::Block::default(); 64];
    for part in content.chunks(64 * BLOCK_BYTES) {
        let mut count = 0;
        for (block, bytes) in blocks.iter_mut().zip(part.chunks_exact(BLOCK_BYTES)) {
            block.copy_from_slice(bytes);
            count += 1;
        }
        mac.update(&blocks[..count]);
    }
}

/// Poly1305 clears these bits of `r`; restic before 0.15 stored it so, newer ones need not.
fn clamp(mut r: [u8; 16]) -> [u8; 16] {
    for index in [3, 7, 11, 15] {
        r[index] &= 15;
    }
    for index in [4, 8, 12] {
        r[index] &= 252;
    }
    r
}

fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
    left.len() == right.len() && std::hint::black_box(difference) == 0
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.encrypt.zeroize();
        self.mac_k.zeroize();
        self.mac_r.zeroize();
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}
